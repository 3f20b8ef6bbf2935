"""A machine that loses its power in the middle of a command whose own deadline may be an hour away."""

import contextlib
import signal
import socket
import time

import pytest

from metal.errors import Unreachable
from metal.protocols import Command
from metal.transport import ssh
from metal.transport.ssh import SshShell


@contextlib.contextmanager
def nobody_listens():
    """A port that is taken, so that nobody else begins to listen on it, and that refuses connections."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def test_a_machine_that_stays_away_is_given_up_long_before_the_commands_deadline(sshd, monkeypatch, tmp_path):
    """Its server goes, and with it the session: as a power cut shows itself once TCP has given up."""
    monkeypatch.setattr(ssh, "_AWAY_S", 0.5)
    monkeypatch.setattr(ssh, "_RECONNECT_EVERY_S", 0.1)
    shell = SshShell.connect(
        "web-01", "127.0.0.1", user=sshd.user, private_key=sshd.private_key, host_key=sshd.host_key,
        port=sshd.port, rf_exec=sshd.rf_exec, retries=1,
    )  # fmt: skip
    with shell, nobody_listens() as dead_port:
        transport = shell._connection.client.get_transport()
        assert transport.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 20_000
        shell._connection.port = dead_port
        session = 'p=$PPID; until grep -q sshd /proc/$p/comm; do p=$(cut -d" " -f4 /proc/$p/stat); done'
        argv = ("sh", "-c", f"{session}; kill -{signal.SIGKILL} $p")
        began = time.monotonic()
        with pytest.raises(Unreachable, match="the connection dropped during 'write for an hour'"):
            shell.change(Command(argv, "write for an hour", timeout_s=3600), step="1-x", epoch=5)
        assert time.monotonic() - began < 20


@pytest.mark.parametrize("opens", [True, False])
def test_a_connection_that_is_closed_under_us_is_a_machine_that_does_not_answer(sshd, monkeypatch, opens):
    """Between its opening and its use: paramiko then has no transport, which is no error of ours."""
    shell = SshShell.connect(
        "web-01", "127.0.0.1", user=sshd.user, private_key=sshd.private_key, host_key=sshd.host_key,
        port=sshd.port, rf_exec=sshd.rf_exec, retries=1,
    )  # fmt: skip
    with shell:
        shell._connection.client.close()
        monkeypatch.setattr(shell, "_alive", lambda: opens)
        monkeypatch.setattr(type(shell._connection), "open", lambda _self: None)
        with pytest.raises(Unreachable, match="closed"):
            shell.read(("true",))


def test_a_machine_that_is_known_to_be_off_is_not_waited_for(sshd, monkeypatch):
    """Its BMC is asked at the first silence, and rarely after that: each asking is a login."""
    monkeypatch.setattr(ssh, "_RECONNECT_EVERY_S", 0.05)
    monkeypatch.setattr(ssh, "_ASK_EVERY_S", 0.3)
    shell = SshShell.connect(
        "web-01", "127.0.0.1", user=sshd.user, private_key=sshd.private_key, host_key=sshd.host_key,
        port=sshd.port, rf_exec=sshd.rf_exec, retries=1,
    )  # fmt: skip
    told = iter((None, "its BMC says that its power is off"))
    asked_at: list[float] = []

    def gone() -> str | None:
        asked_at.append(time.monotonic())
        return next(told)

    with shell, nobody_listens() as shell._connection.port:
        shell._connection.client.close()
        with pytest.raises(Unreachable, match="its power is off"):
            shell.change(Command(("true",), "write"), step="1-x", epoch=5, gone=gone)
    assert len(asked_at) == 2
    assert asked_at[1] - asked_at[0] >= 0.3
