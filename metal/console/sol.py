"""One serial-over-LAN session, read by ipmitool under a pseudo terminal.

A process per console, so that one BMC that hangs or lies can't stall another's log, and ending it is a
kill. The password goes through a pipe that ipmitool reads as its password file: never in argv or the
environment. ipmitool needs a terminal on its standard input and treats `~` after a newline as its own.
"""

import contextlib
import os
import pty
import subprocess
from dataclasses import dataclass
from typing import Final

from specs.records import BmcCredential

READ_BYTES: Final = 65536
LEAVE: Final = b"\r~."
LEAVE_S: Final = 3.0
CONNECT_NOTICE: Final = b"[SOL Session operational.  Use ~? for help]\r\n"
"""ipmitool's own first line, no byte of the machine's."""

REFUSED: Final = b"> RAKP 2 "
"""How ipmitool -v tells a wrong name or password; a BMC that is silent gets no further than asking it
for its ciphers (ipmitool 1.8.19)."""


def ipmitool(credential: BmcCredential, *verb: str) -> tuple[tuple[str, ...], int]:
    """Argv for one ipmitool call and the read end of the pipe that holds the password."""
    reader, writer = os.pipe()
    os.write(writer, credential.password.encode() + b"\n")
    os.close(writer)
    argv = ("ipmitool", "-I", "lanplus", "-C", "17", "-H", credential.address, "-U", credential.user)
    return (*argv, "-f", f"/dev/fd/{reader}", *verb), reader


def deactivate(credential: BmcCredential) -> bool:
    """End a session that somebody (we, before a crash) left active; False when the BMC refused the login."""
    argv, reader = ipmitool(credential, "-v", "sol", "deactivate")
    said = b""
    try:
        with contextlib.suppress(subprocess.TimeoutExpired):
            said = subprocess.run(
                argv,
                pass_fds=(reader,),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=20,
                check=False,
            ).stdout
    finally:
        os.close(reader)
    return REFUSED not in said


@dataclass
class SolSession:
    """A running `ipmitool sol activate`; `read` gives what came, `b""` for nothing, None at the end."""

    credential: BmcCredential
    _process: subprocess.Popen[bytes] | None = None
    _terminal: int = -1
    _notice_left: bool = True

    def open(self) -> None:
        """Start the session."""
        argv, reader = ipmitool(self.credential, "sol", "activate")
        self._terminal, slave = pty.openpty()
        os.set_blocking(self._terminal, False)
        try:
            self._process = subprocess.Popen(
                argv,
                stdin=slave,
                stdout=slave,
                stderr=slave,
                pass_fds=(reader,),
                start_new_session=True,
            )
        finally:
            os.close(slave)
            os.close(reader)

    def fileno(self) -> int:
        """For select."""
        return self._terminal

    def read(self) -> bytes | None:
        """What the console said since the last call."""
        try:
            data = os.read(self._terminal, READ_BYTES)
        except BlockingIOError:
            return b"" if self.alive else None
        except OSError:
            return None
        if self._notice_left and CONNECT_NOTICE in data:
            self._notice_left = False
            data = data.replace(CONNECT_NOTICE, b"", 1)
        return data

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process is not None and self._process.poll() is None

    def close(self) -> None:
        """Leave as a person would (`~.`), so that the BMC knows; then end the process for sure."""
        if self._process is not None:
            with contextlib.suppress(OSError):
                os.write(self._terminal, LEAVE)
            if not self._ended(LEAVE_S):
                self._process.kill()
                self._process.wait()
                # Killed, it said no goodbye: the BMC would keep its one session for a minute.
                deactivate(self.credential)
            self._process = None
        if self._terminal >= 0:
            os.close(self._terminal)
            self._terminal = -1

    def _ended(self, within_s: float) -> bool:
        assert self._process is not None
        try:
            self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            return False
        return True
