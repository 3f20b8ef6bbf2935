"""SshShell with the rf-exec that machines really have; only its folders are the test's own."""

import threading

import pytest

from bootos import one_file
from metal.errors import LeaseLost, Refused
from metal.protocols import Command, DiskGuard
from metal.transport import ssh

pytestmark = pytest.mark.interop


@pytest.fixture
def shells(sshd, tmp_path, monkeypatch):
    """Opens shells on one machine; each call is another run's connection."""
    program = tmp_path / "rf-exec"
    text = one_file.program("rf-exec").replace("/run/rackflow", str(tmp_path / "run"))
    text = text.replace("/var/lib/rackflow", str(tmp_path / "lib")).replace("/dev/console", "/dev/null")
    program.write_text(text)
    program.chmod(0o755)
    (tmp_path / "run").mkdir()
    monkeypatch.setattr(ssh, "STEPS", str(tmp_path / "run" / "steps"))
    opened = []

    def connect() -> ssh.SshShell:
        given = {"user": sshd.user, "private_key": sshd.private_key, "host_key": sshd.host_key}
        shell = ssh.SshShell.connect("m1", "127.0.0.1", port=sshd.port, rf_exec=str(program), **given)
        opened.append(shell)
        return shell

    yield connect
    for shell in opened:
        shell.close()


def test_output_status_and_progress_come_through(shells, tmp_path):
    go_on = tmp_path / "go-on"
    line = '{"stage": "write", "done_bytes": 5, "total_bytes": 10, "mb_per_s": 1.5}'
    text = f"echo '{line}' >&$RF_PROGRESS_FD; cat; until [ -e {go_on} ]; do sleep 0.05; done; exit 3"
    seen = []

    def sink(progress) -> None:
        seen.append((progress.done_bytes, progress.total_bytes, progress.mb_per_s))
        go_on.touch()

    write = Command(("bash", "-c", text), "write", stdin=b"in", timeout_s=30)
    out = shells().change(write, step="7-write-image", epoch=1, progress=sink)
    assert (out.status, out.stdout) == (3, "in")
    assert seen == [(5, 10, 1.5)]


def test_a_higher_epoch_ends_the_lower_ones_step_and_bars_it(shells, tmp_path):
    begun = tmp_path / "begun"
    hang = Command(("sh", "-c", f"touch {begun}; sleep 60"), "hang", timeout_s=60)
    old, new = shells(), shells()
    caught = []

    def run_old() -> None:
        try:
            old.change(hang, step="1-x", epoch=1)
        except LeaseLost as error:
            caught.append(error)

    thread = threading.Thread(target=run_old)
    thread.start()
    waiting = Command(("sh", "-c", f"until [ -e {begun} ]; do sleep 0.05; done"), "wait")
    assert new.read(waiting.argv).ok
    assert new.change(Command(("true",), "do"), step="2-x", epoch=2).ok
    thread.join(20)
    assert "higher epoch" in caught[0].message
    with pytest.raises(LeaseLost, match="epoch refused"):
        old.change(Command(("true",), "do"), step="1-y", epoch=1)


def test_a_disk_that_is_not_there_is_refused_before_anything_starts(shells, tmp_path):
    trace = tmp_path / "trace"
    guarded = Command(("touch", str(trace)), "erase", disks=(DiskGuard("NO-SUCH-SERIAL", 1 << 30),))
    with pytest.raises(Refused, match="NO-SUCH-SERIAL"):
        shells().change(guarded, step="1-wipe", epoch=1)
    assert not trace.exists()


def test_a_command_that_takes_too_long_is_ended_there(shells):
    out = shells().change(Command(("sleep", "60"), "hang", timeout_s=1), step="1-x", epoch=1)
    assert (out.status, out.ok) == (124, False)


def test_the_same_change_asked_by_another_run_is_run_again(shells, tmp_path):
    count = tmp_path / "count"
    change = Command(("sh", "-c", f"echo run >>{count}"), "count")
    for shell in (shells(), shells()):
        assert shell.change(change, step="1-x", epoch=1).ok
    assert count.read_text() == "run\nrun\n"
