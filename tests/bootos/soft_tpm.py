"""A TPM 2.0 in software as /dev/tpmrm0 of a mount namespace: swtpm behind a terminal, seen by real tools.

The tools find their TPM by /sys/class/tpmrm and speak to a character device; this machine has neither. So the
namespace gets both: a folder, and a raw terminal whose other end hands commands to swtpm and back.
"""

import os
import pty
import socket
import subprocess
import threading
import time
import tty
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "build/tools/root"
LIBRARIES = TOOLS / "usr/lib/x86_64-linux-gnu"
ENTER = """set -e
mkdir -p "$1/dev"
mount --rbind /dev "$1/dev"
mount -t tmpfs none /sys/class
[ -z "$2" ] || mkdir -p /sys/class/tpmrm/tpmrm0
mount -t tmpfs none /dev
for name in null zero urandom random shm; do ln -s "$1/dev/$name" "/dev/$name"; done
ln -s /proc/self/fd /dev/fd
[ -z "$2" ] || ln -s "$1/dev${2#/dev}" /dev/tpmrm0
shift 2
exec "$@"
"""
HEADER_BYTES = 10
STARTUP, GET_CAPABILITY, FLUSH_CONTEXT = 0x144, 0x17A, 0x165
HELD = (0x80000000, 0x02000000)
"""Objects and sessions that a program has left in the TPM (TPM 2.0 Library, Part 2, "TPM_HT")."""


def missing() -> str | None:
    """Why there is no software TPM here; None where there is."""
    if os.geteuid() != 0:
        return "a mount namespace needs root"
    needed = [TOOLS / "usr/bin/swtpm", LIBRARIES / "libtss2-esys.so.0", TOOLS / "sbin/cryptsetup"]
    gone = [path.name for path in needed if not path.exists()]
    return f"scripts/setup has not unpacked {', '.join(gone)}" if gone else None


class SoftTpm:
    """One TPM, with what it remembers; `run` runs a program that sees it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        state, control = folder / "state", folder / "control"
        state.mkdir(parents=True)
        path = folder / "tpm"
        argv = [str(TOOLS / "usr/bin/swtpm"), "socket", "--tpm2", "--tpmstate", f"dir={state}"]
        argv += ["--server", f"type=unixio,path={path}", "--ctrl", f"type=unixio,path={control}"]
        argv += ["--flags", "not-need-init,startup-clear"]
        self._process = subprocess.Popen(argv, env=self.environment(), stderr=subprocess.DEVNULL)
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self._socket = _connected(path)
        threading.Thread(target=self._relay, daemon=True).start()

    @staticmethod
    def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Where the unpacked tools and their libraries are."""
        found = {"LD_LIBRARY_PATH": f"{LIBRARIES}:{LIBRARIES}/swtpm", "TSS2_LOG": "all+none"}
        return {**os.environ, "PATH": f"{TOOLS}/sbin:{os.environ['PATH']}", **found, **(more or {})}

    def run(
        self, *argv: str, data: bytes = b"", more: Mapping[str, str] | None = None, shown: bool = True
    ) -> "subprocess.CompletedProcess[bytes]":
        """Run a program in the namespace; `shown` False leaves the TPM out of it."""
        place = self.folder / "ns"
        place.mkdir(exist_ok=True)
        name = os.ttyname(self._slave) if shown else ""
        enter = [
            "unshare",
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            ENTER,
            "enter",
            str(place),
            name,
        ]
        return subprocess.run(
            [*enter, *argv],
            input=data,
            capture_output=True,
            env=self.environment(more),
            check=False,
            timeout=120,
        )

    def close(self) -> None:
        """Switch it off; what it remembers goes with its folder."""
        self._process.terminate()
        self._process.wait()
        self._socket.close()
        os.close(self._slave)
        os.close(self._master)

    def _relay(self) -> None:
        """Hand commands over; what a program has left goes when the next one begins, as in the kernel."""
        while command := _whole(lambda: _read(self._master)):
            if int.from_bytes(command[6:10], "big") == STARTUP:
                for kind in HELD:
                    self._flush(kind)
            os.write(self._master, self._ask(command))

    def _ask(self, command: bytes) -> bytes:
        self._socket.sendall(command)
        return _whole(lambda: self._socket.recv(8192))

    def _flush(self, kind: int) -> None:
        answer = self._ask(_command(GET_CAPABILITY, 1, kind, 16))
        count = int.from_bytes(answer[15:19], "big")
        for first in range(19, 19 + 4 * count, 4):
            self._ask(_command(FLUSH_CONTEXT, int.from_bytes(answer[first : first + 4], "big")))


def _command(code: int, *values: int) -> bytes:
    """A command without sessions: tag, length, code, then 32 bits each."""
    body = b"".join(value.to_bytes(4, "big") for value in (code, *values))
    return b"\x80\x01" + (len(body) + 6).to_bytes(4, "big") + body


def _whole(more: Callable[[], bytes]) -> bytes:
    """One command or answer; b"" where the other end is gone."""
    data = b""
    while len(data) < HEADER_BYTES or len(data) < int.from_bytes(data[2:6], "big"):
        try:
            got = more()
        except OSError:
            return b""
        if not got:
            return b""
        data += got
    return data


def _read(fd: int) -> bytes:
    return os.read(fd, 4096)


def _connected(path: Path) -> socket.socket:
    found = socket.socket(socket.AF_UNIX)
    for _ in range(100):
        try:
            found.connect(str(path))
        except OSError:
            time.sleep(0.05)
        else:
            return found
    pytest.fail("swtpm did not begin to listen within 5 s")
