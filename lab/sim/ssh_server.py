"""The SSH server of a simulated system: one key may log in, commands go to its shell.

paramiko in its server role, a thread per connection and one per command. A power cut closes the sockets;
what a command was doing then is the fence's business.
"""

import contextlib
import io
import logging
import socket
import threading
from collections.abc import Callable

import paramiko
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from paramiko import common

from lab.sim.fence import Answer

PORT = 22
BACKLOG = 32
REPLY_S = 5.0
Run = Callable[[str, Callable[[], bytes]], Answer]


def new_host_key() -> str:
    """A fresh host key as OpenSSH text."""
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()


class SshServer:
    """Listens at one address until it is closed."""

    def __init__(self, address: str, host_key: str, allowed: dict[str, set[str]], run: Run) -> None:
        self._key = paramiko.Ed25519Key.from_private_key(io.StringIO(host_key))
        self._allowed, self._run = allowed, run
        self._open: set[paramiko.Transport] = set()
        self._closed = threading.Event()
        logging.getLogger("paramiko").setLevel(logging.CRITICAL)
        self._listening = socket.socket()
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listening.bind((address, PORT))
        self._listening.listen(BACKLOG)
        threading.Thread(target=self._serve, name=f"sshd {address}", daemon=True).start()

    @property
    def public_key(self) -> str:
        """The host key's public half."""
        return f"{self._key.get_name()} {self._key.get_base64()}"

    def close(self) -> None:
        """Cut all connections and stop listening."""
        self._closed.set()
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for transport in list(self._open):
            with contextlib.suppress(Exception):
                transport.close()

    def _serve(self) -> None:
        while not self._closed.is_set():
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._greet, args=(connection,), daemon=True).start()

    def _greet(self, connection: socket.socket) -> None:
        transport = _Transport(connection)
        self._open = {each for each in self._open if each.is_active()} | {transport}
        if self._closed.is_set():
            transport.close()
            return
        transport.add_server_key(self._key)
        try:
            transport.start_server(server=_Door(self._allowed, self._run))
        except (paramiko.SSHException, EOFError, OSError):
            transport.close()


class _Transport(paramiko.Transport):
    """Tells when a request was said yes to: an answer before that closes the channel too early."""

    def __init__(self, connection: socket.socket) -> None:
        self.said_yes: dict[int, threading.Event] = {}
        super().__init__(connection)

    def _send_user_message(self, data: paramiko.Message) -> None:
        super()._send_user_message(data)  # type: ignore[misc]  # paramiko's stubs leave it out
        message = data.asbytes()
        if message[0] == common.MSG_CHANNEL_SUCCESS:
            self.said_yes.setdefault(int.from_bytes(message[1:5], "big"), threading.Event()).set()


class _Door(paramiko.ServerInterface):
    """Who may come in, and what they may ask for."""

    def __init__(self, allowed: dict[str, set[str]], run: Run) -> None:
        self._allowed, self._run = allowed, run

    def get_allowed_auths(self, username: str) -> str:  # noqa: ARG002 - paramiko's shape
        """Keys only."""
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        """A key that this user may log in with."""
        fits = key.get_base64() in self._allowed.get(username, set())
        return common.AUTH_SUCCESSFUL if fits else common.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:  # noqa: ARG002 - paramiko's shape
        """Sessions only."""
        return common.OPEN_SUCCEEDED if kind == "session" else common.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        """Run a command in a thread of its own."""
        threading.Thread(target=self._command, args=(channel, command.decode()), daemon=True).start()
        return True

    def _command(self, channel: paramiko.Channel, line: str) -> None:
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            transport = channel.get_transport()
            if isinstance(transport, _Transport):
                yes = transport.said_yes.setdefault(channel.remote_chanid, threading.Event())
                yes.wait(REPLY_S)
            status, out, err = self._run(line, lambda: _all_of(channel))
            channel.sendall(out.encode())
            channel.sendall_stderr(err.encode())
            channel.send_exit_status(status)
            channel.shutdown_write()
            channel.close()


def _all_of(channel: paramiko.Channel) -> bytes:
    """Standard input to its end."""
    data = bytearray()
    while block := channel.recv(65536):
        data += block
    return bytes(data)
