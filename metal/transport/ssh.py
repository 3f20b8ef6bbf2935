"""A shell on one machine over SSH, by fabric and paramiko.

Trust is decided before the connection: the machine's host key is known from its report-in or was made
by the installer, and any other key is refused. The private key is text in memory and never a file.
Reading runs in plain channels and may be repeated; every change goes through rf-exec (see `rf_exec`),
so that a dropped connection is no accident: the same step ID is asked for again. A machine that stays
away for longer is unreachable, whatever time its command still has: it may have lost its power.
"""

import io
import secrets
import select
import shlex
import socket
import time
from types import TracebackType
from typing import Final, Self

import fabric
import paramiko

from metal.errors import RackflowError, Refused, Unparsable, Unreachable
from metal.protocols import Change, Gone, Output, ProgressSink
from metal.transport.rf_exec import STEPS, as_command, failure, parse_progress, rf_exec_argv, step_id

RF_EXEC: Final = "/usr/lib/rackflow/rf-exec"
_CHANGE_LIMIT_BYTES: Final = 16 << 20
_WAIT_FOR_OTHER_STEP_S: Final = 120
_PROGRESS_EVERY_S: Final = 2.0
_RECONNECT_EVERY_S: Final = 2.0
_KEEPALIVE_S: Final = 5
_UNACKNOWLEDGED_S: Final = 20
"""TCP itself gives a peer that vanished up after a quarter of an hour (tcp(7), tcp_retries2)."""
_AWAY_S: Final = 90.0
"""Longer than a switch takes to start."""
_ASK_EVERY_S: Final = 15.0
"""How often somebody else is asked whether a machine that does not answer is gone for good."""
_NO_SUCH_FILE: Final = 44
_READ_FILE: Final = '[ -e "$1" ] || [ -L "$1" ] || exit 44; exec head -c "$2" -- "$1"'


class _Dropped(Exception):
    """The connection ended before the command's exit status came."""


class SshShell:
    """A `protocols.Shell` on one machine; use as a context manager. `writes` counts the changes sent."""

    def __init__(
        self, host: str, connection: fabric.Connection, *, sudo: bool, rf_exec: str, retries: int
    ) -> None:
        self.host = host
        self.writes = 0
        self._connection = connection
        self._sudo = sudo
        self._rf_exec = rf_exec
        self._retries = retries
        self._nonce = secrets.token_hex(4)

    @classmethod
    def connect(
        cls,
        host: str,
        address: str,
        *,
        user: str,
        private_key: str,
        host_key: str,
        port: int = 22,
        sudo: bool = False,
        rf_exec: str = RF_EXEC,
        connect_timeout_s: int = 10,
        retries: int = 3,
    ) -> Self:
        """Open the connection. `private_key` is OpenSSH PEM text, `host_key` is `ssh-ed25519 AAAA…`."""
        connection = _connection(address, port, user, private_key, connect_timeout_s)
        _pin(connection, address, port, host_key)
        shell = cls(host, connection, sudo=sudo, rf_exec=rf_exec, retries=retries)
        shell._open(retries)
        return shell

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection; what rf-exec started goes on."""
        self._connection.client.close()

    def read(
        self,
        argv: tuple[str, ...],
        *,
        stdin: bytes | None = None,
        timeout_s: int = 30,
        limit_bytes: int = 4 << 20,
    ) -> Output:
        """Run a command that changes nothing; asked again once if the connection drops meanwhile."""
        status, out, err = self._read(argv, stdin, timeout_s, limit_bytes)
        return Output(argv, status, out.decode(errors="replace"), err.decode(errors="replace"))

    def read_file(self, path: str, *, limit_bytes: int = 1 << 20) -> bytes | None:
        """The file's content; None when there is no such file."""
        argv = ("sh", "-c", _READ_FILE, "rf-read", path, str(limit_bytes + 1))
        status, out, err = self._read(argv, None, 30, limit_bytes + 1)
        if status == _NO_SUCH_FILE:
            return None
        if status != 0:
            raise Refused(f"{path}: {err.decode(errors='replace').strip()}", host=self.host, reason="refused")
        if len(out) > limit_bytes:
            raise Unparsable(
                f"{path} is longer than {limit_bytes} bytes", host=self.host, reason="unparsable"
            )
        return out

    def change(
        self,
        change: Change,
        *,
        step: str,
        epoch: int,
        progress: ProgressSink | None = None,
        gone: Gone | None = None,
    ) -> Output:
        """Send one change through rf-exec; after a dropped connection the same step is followed again.

        `gone` is asked now and then while the machine does not answer; a reason ends the waiting.
        """
        command = as_command(change)
        name = step_id(step, self._nonce, self.writes)
        self.writes += 1
        argv = rf_exec_argv(self._rf_exec, command, step=name, epoch=epoch, wait_s=_WAIT_FOR_OTHER_STEP_S)
        deadline = time.monotonic() + command.timeout_s + _WAIT_FOR_OTHER_STEP_S + 30
        watch = _Watch(self, name, progress) if progress else None
        away_from = time.monotonic()
        asked_at = -_ASK_EVERY_S
        why: str | None = None
        while True:
            try:
                status, out, err = self._run(argv, command.stdin, deadline, _CHANGE_LIMIT_BYTES, watch)
                break
            except (_Dropped, Unreachable) as error:
                if isinstance(error, _Dropped):
                    away_from = time.monotonic()
                if gone is not None and time.monotonic() > asked_at + _ASK_EVERY_S:
                    why = gone()
                    asked_at = time.monotonic()
                if why is not None or time.monotonic() > min(deadline, away_from + _AWAY_S):
                    raise Unreachable(
                        f"the connection dropped during {command.says!r} (step {name}): {why or error}",
                        host=self.host,
                        reason="unreachable",
                        hint=f"{self._rf_exec} --status {name} on the machine tells how it ended",
                    ) from error
                time.sleep(_RECONNECT_EVERY_S)
        output = Output(command.argv, status, out.decode(errors="replace"), err.decode(errors="replace"))
        if refused := failure(self.host, output, self._rf_exec):
            raise refused
        return output

    def _read(
        self, argv: tuple[str, ...], stdin: bytes | None, timeout_s: int, limit_bytes: int
    ) -> tuple[int, bytes, bytes]:
        for last in (False, True):
            try:
                return self._run(argv, stdin, time.monotonic() + timeout_s, limit_bytes, None)
            except _Dropped as error:
                if last:
                    raise Unreachable(
                        f"the connection dropped while reading {argv[0]}: {error}",
                        host=self.host,
                        reason="unreachable",
                    ) from error
        raise AssertionError("unreachable: the loop returns or raises")

    def _run(
        self,
        argv: tuple[str, ...],
        stdin: bytes | None,
        deadline: float,
        limit_bytes: int,
        watch: "_Watch | None",
    ) -> tuple[int, bytes, bytes]:
        """Run one command in a channel of its own. Raises _Dropped, Unreachable (late), Unparsable (long)."""
        if not self._alive():
            self._open(self._retries)
        transport = self._connection.client.get_transport()
        if transport is None:  # closed since: the machine went away within the moment
            raise _Dropped("the connection was closed")
        try:
            channel = transport.open_session(timeout=max(deadline - time.monotonic(), 1))
        except (paramiko.SSHException, OSError, EOFError) as error:
            self._connection.client.close()
            raise _Dropped(str(error)) from error
        with channel:
            try:
                channel.settimeout(max(deadline - time.monotonic(), 1))
                channel.exec_command(self._line(argv))
                if stdin:
                    _send(channel, stdin)
                channel.shutdown_write()
                return self._collect(channel, argv, deadline, limit_bytes, watch)
            except (paramiko.SSHException, OSError, EOFError) as error:
                raise _Dropped(str(error) or type(error).__name__) from error

    def _collect(
        self,
        channel: paramiko.Channel,
        argv: tuple[str, ...],
        deadline: float,
        limit_bytes: int,
        watch: "_Watch | None",
    ) -> tuple[int, bytes, bytes]:
        out, err = bytearray(), bytearray()
        while not (channel.exit_status_ready() and channel.eof_received) and not channel.closed:
            select.select([channel], [], [], 0.5)
            _drain(channel, out, err)
            if len(out) + len(err) > limit_bytes + (1 << 16):
                raise Unparsable(
                    f"{argv[0]} printed more than {limit_bytes} bytes", host=self.host, reason="unparsable"
                )
            if time.monotonic() > deadline:
                raise Unreachable(f"no end of {argv[0]} in time", host=self.host, reason="unreachable")
            if watch:
                watch.look()
        _drain(channel, out, err)
        if not channel.status_event.wait(1) or channel.exit_status < 0:
            raise _Dropped("no exit status")
        return channel.exit_status, bytes(out), bytes(err)

    def _line(self, argv: tuple[str, ...]) -> str:
        # sudo starts with an environment of its own; without it the shell sets the variable for free.
        return (
            shlex.join(("sudo", "-n", "env", "LC_ALL=C", *argv))
            if self._sudo
            else f"LC_ALL=C {shlex.join(argv)}"
        )

    def _alive(self) -> bool:
        transport = self._connection.client.get_transport()
        return transport is not None and transport.is_active()

    def _open(self, attempts: int) -> None:
        for attempt in range(1, max(attempts, 1) + 1):
            try:
                self._connection.client.close()
                self._connection.transport = None
                self._connection.open()
                self._watch_peer()
            except Exception as error:
                failed = _open_failure(self.host, self._connection.host, error)
                if not isinstance(failed, Unreachable) or attempt >= attempts:
                    raise failed from error
                time.sleep(min(0.5 * attempt, 3))
            else:
                return

    def _watch_peer(self) -> None:
        """Have the kernel notice a peer that is gone. Raises EOFError where the connection is closed."""
        transport = self._connection.client.get_transport()
        if transport is None:
            raise EOFError("it was closed at once")
        transport.set_keepalive(_KEEPALIVE_S)
        transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_S * 1000)


class _Watch:
    """Reads the progress of a running step now and then, over the same connection."""

    def __init__(self, shell: SshShell, step: str, sink: ProgressSink) -> None:
        self._shell, self._sink = shell, sink
        self._path = f"{STEPS}/{step}/progress.json"
        self._next = time.monotonic() + _PROGRESS_EVERY_S
        self._last: object = None

    def look(self) -> None:
        """Report progress if it is time and there is news; never disturbs the step."""
        if time.monotonic() < self._next:
            return
        try:
            told = parse_progress(self._shell.read_file(self._path, limit_bytes=1 << 16))
        except (RackflowError, _Dropped):
            told = None
        self._next = time.monotonic() + _PROGRESS_EVERY_S
        if told and told != self._last:
            self._last = told
            self._sink(told)


def _connection(address: str, port: int, user: str, private_key: str, timeout_s: int) -> fabric.Connection:
    try:
        key = paramiko.Ed25519Key.from_private_key(io.StringIO(private_key))
    except (paramiko.SSHException, ValueError) as error:
        raise Refused(f"the management key is no OpenSSH ed25519 key: {error}", reason="refused") from error
    return fabric.Connection(
        address,
        user=user,
        port=port,
        connect_timeout=timeout_s,
        # The operator's own SSH configuration must not decide where a provisioning run connects to.
        config=fabric.Config(overrides={"load_ssh_configs": False}),
        connect_kwargs={
            "pkey": key,
            "allow_agent": False,
            "look_for_keys": False,
            "banner_timeout": timeout_s,
            "auth_timeout": timeout_s,
        },
    )


def _pin(connection: fabric.Connection, address: str, port: int, host_key: str) -> None:
    name = address if port == 22 else f"[{address}]:{port}"
    entry = paramiko.hostkeys.HostKeyEntry.from_line(f"{name} {' '.join(host_key.split()[:2])}")
    if entry is None or entry.key is None:
        raise Refused(f"the host key on record is no SSH public key: {host_key[:40]!r}", reason="refused")
    connection.client.get_host_keys().add(name, entry.key.get_name(), entry.key)
    connection.client.set_missing_host_key_policy(paramiko.RejectPolicy())


def _open_failure(host: str, address: str, error: Exception) -> RackflowError:
    if isinstance(error, paramiko.BadHostKeyException) or "not found in known_hosts" in str(error):
        got = (
            error.key.get_base64()
            if isinstance(error, paramiko.BadHostKeyException)
            else "a key of another type"
        )
        return Refused(
            f"{address} shows another host key than the one on record, got {got}",
            host=host,
            reason="refused",
            hint="the address may belong to another machine; boot the boot OS to have its key reported anew",
        )
    if isinstance(error, paramiko.AuthenticationException):
        return Refused(f"{address} refuses the management key: {error}", host=host, reason="refused")
    if isinstance(error, (paramiko.SSHException, OSError, EOFError, socket.gaierror)):
        return Unreachable(f"no SSH connection to {address}: {error}", host=host, reason="unreachable")
    raise error


def _send(channel: paramiko.Channel, data: bytes) -> None:
    try:
        channel.sendall(data)
    except OSError:
        # rf-exec may answer an ID that it knows without reading; then its exit status tells.
        if not (channel.eof_received or channel.closed):
            raise


def _drain(channel: paramiko.Channel, out: bytearray, err: bytearray) -> None:
    while channel.recv_ready():
        out += channel.recv(1 << 16)
    while channel.recv_stderr_ready():
        err += channel.recv_stderr(1 << 16)
