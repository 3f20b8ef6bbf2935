"""SshShell against a real sshd: trust, limits, the fence, and a connection that drops."""

import json
import subprocess
import time
from pathlib import Path

import pytest

from metal.errors import LeaseLost, Refused, Unparsable, Unreachable
from metal.protocols import Command, DiskGuard, WriteFile
from metal.transport.ssh import SshShell

pytestmark = pytest.mark.interop


def open_shell(sshd, **changes) -> SshShell:
    given = {
        "user": sshd.user,
        "private_key": sshd.private_key,
        "host_key": sshd.host_key,
        "port": sshd.port,
        "rf_exec": sshd.rf_exec,
        "connect_timeout_s": 5,
        "retries": 1,
    }
    return SshShell.connect("m1", "127.0.0.1", **{**given, **changes})


@pytest.fixture
def shell(sshd):
    with open_shell(sshd) as opened:
        yield opened


def new_key(folder: Path) -> tuple[str, str]:
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "k")]
    subprocess.run(argv, check=True)
    return (folder / "k").read_text(), (folder / "k.pub").read_text()


def test_another_host_key_than_the_pinned_one_is_refused(sshd, tmp_path):
    _, other = new_key(tmp_path)
    with pytest.raises(Refused, match="another host key"):
        open_shell(sshd, host_key=other)


def test_a_key_that_the_machine_does_not_know_is_refused(sshd, tmp_path):
    stranger, _ = new_key(tmp_path)
    with pytest.raises(Refused, match="refuses the management key"):
        open_shell(sshd, private_key=stranger)


def test_nobody_listening_is_unreachable(sshd):
    with pytest.raises(Unreachable):
        open_shell(sshd, port=1)


def test_reading_keeps_words_bytes_status_and_language(shell):
    out = shell.read(("sh", "-c", 'printf "%s|" "$@" "$LC_ALL"; echo no >&2; exit 3', "x", "a b", "$HOME;'"))
    assert (out.stdout, out.stderr, out.status) == ("a b|$HOME;'|C|", "no\n", 3)
    assert shell.read(("cat",), stdin=b"\xc3\xa4\n").stdout == "ä\n"


def test_output_without_end_is_cut_and_named(shell):
    with pytest.raises(Unparsable, match="more than 1000 bytes"):
        shell.read(("cat", "/dev/zero"), limit_bytes=1000)
    assert shell.read(("echo", "on")).stdout == "on\n"


def test_a_command_that_hangs_ends_at_its_deadline(shell):
    begun = time.monotonic()
    with pytest.raises(Unreachable, match="no end of sleep"):
        shell.read(("sleep", "60"), timeout_s=1)
    assert time.monotonic() - begun < 10


def test_files_are_read_whole_absent_or_too_long(shell, tmp_path):
    (tmp_path / "f").write_bytes(b"\0\xff")
    assert shell.read_file(str(tmp_path / "f")) == b"\0\xff"
    assert shell.read_file(str(tmp_path / "none")) is None
    with pytest.raises(Unparsable):
        shell.read_file("/dev/zero", limit_bytes=10)


def test_a_file_is_written_beside_and_renamed(shell, tmp_path):
    path = tmp_path / "new" / "folder" / "file"
    content = bytes(range(256)) * 1000
    change = WriteFile(str(path), content, mode="0640", owner=tmp_path.owner(), group=tmp_path.group())
    assert shell.change(change, step="1-files", epoch=5).ok
    assert path.read_bytes() == content
    assert path.stat().st_mode & 0o777 == 0o640
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]
    assert shell.writes == 1


def test_a_folder_is_not_replaced_by_a_file(shell, tmp_path):
    out = shell.change(WriteFile(str(tmp_path), b"x"), step="1-files", epoch=5)
    assert not out.ok
    assert "is a directory" in out.stderr


def test_a_lower_epoch_loses_the_lease(shell):
    with pytest.raises(LeaseLost, match="epoch refused"):
        shell.change(Command(("true",), "do"), step="1-x", epoch=4)


def test_a_disk_of_another_identity_is_refused(shell):
    guarded = Command(("true",), "erase", disks=(DiskGuard("ABSENT", 10),))
    with pytest.raises(Refused, match="no disk has this identity"):
        shell.change(guarded, step="1-wipe", epoch=5)


def test_the_status_of_the_command_is_its_own(shell):
    out = shell.change(Command(("sh", "-c", "echo out; exit 75"), "do"), step="1-x", epoch=5)
    assert (out.status, out.stdout) == (75, "out\n")


def test_a_dropped_connection_follows_the_same_step(sshd, shell, tmp_path):
    (sshd.home / "drop").touch()
    count = tmp_path / "count"
    change = Command(("sh", "-c", 'cat; echo run >>"$0"', str(count)), "count", stdin=b"secret")
    out = shell.change(change, step="1-x", epoch=5)
    assert not (sshd.home / "drop").exists(), "the connection was never dropped"
    assert out.stdout == "secret"
    assert count.read_text() == "run\n"


def test_a_secret_on_stdin_is_in_no_argv(sshd, shell):
    shell.change(Command(("cat",), "pass", stdin=b"hunter2"), step="9-secret", epoch=5)
    kept = next(sshd.home.glob("9-secret-*.json"))
    assert "hunter2" not in json.dumps(json.loads(kept.read_text())[3])


def test_without_rf_exec_nothing_is_changed(sshd):
    with (
        open_shell(sshd, rf_exec="/nonexistent/rf-exec") as shell,
        pytest.raises(Refused, match="not on this machine"),
    ):
        shell.change(Command(("true",), "do"), step="1-x", epoch=5)
