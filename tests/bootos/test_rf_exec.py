"""rf-exec as its callers see it: a process with exit codes; only where its state lies is the test's own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bootos import rf_exec
from bootos.rf_records import System

# The device number of a fake disk stands in a file beside it: regular files have none.
DRIVER = """
import os, sys
from bootos.rf_exec import main
from bootos.rf_records import System
root = sys.argv[1]
def number(fd):
    with open(os.readlink(f"/proc/self/fd/{fd}") + ".number") as stream:
        return stream.read()
system = System(run=root + "/run", lasting=root + "/lasting", sys=root + "/sys", udev=root + "/udev",
                dev=root + "/dev", console=root + "/console", device_number=number)
sys.exit(main(sys.argv[2:], system))
"""
# Time is up when the command's processes are there: a busy computer may take long to start them.
PATIENT = """
import time
import bootos.rf_step as s
kill = s.kill_all
def kill_all(system, number):
    while number == s.signal.SIGTERM and len(s.rest(system)) < {count}:
        time.sleep(0.01)
    {then}
s.kill_all = kill_all
"""
DEADLINE_S = 20.0


class Machine:
    """A machine in a folder, with rf-exec on it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("run", "sys/block", "sys/dev/block", "udev", "dev"):
            (root / name).mkdir(parents=True)
        (root / "console").touch()

    def argv(self, *arguments: str) -> list[str]:
        return [sys.executable, "-c", DRIVER, str(self.root), *arguments]

    def run(
        self, *arguments: str, stdin: bytes = b"", before: str = ""
    ) -> subprocess.CompletedProcess[bytes]:
        python, option, driver, *rest = self.argv(*arguments)
        argv = [python, option, before + driver, *rest]
        return subprocess.run(argv, input=stdin, capture_output=True, check=False, timeout=DEADLINE_S)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        argv = self.argv(*arguments)
        return subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def step(self, name: str) -> Path:
        return self.root / "run/steps" / name

    def add_disk(self, name: str, number: str, serial: str, size_bytes: int = 1 << 20) -> None:
        device = self.root / "sys/block" / name
        device.mkdir()
        (device / "dev").write_text(f"{number}\n")
        (device / "serial").write_text(f"{serial}\n")
        (device / "size").write_text(f"{size_bytes // 512}\n")
        (self.root / "sys/dev/block" / number).symlink_to(device)
        (self.root / "dev" / name).write_bytes(b"")
        (self.root / "dev" / f"{name}.number").write_text(number)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "the awaited state did not come"
        time.sleep(0.01)


def is_gone(pid: int) -> bool:
    """Ended; a zombie that nobody reaps counts."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def error_of(done: subprocess.CompletedProcess[bytes]) -> dict[str, object]:
    value = json.loads(done.stderr.splitlines()[-1])
    assert isinstance(value, dict)
    return value


def test_output_and_exit_code_are_the_command_s_and_the_console_tells(machine: Machine) -> None:
    done = machine.run("--epoch", "3", "--step", "job.1", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"out\n", b"err\n")
    told = (machine.root / "console").read_text().splitlines()
    assert told == ["rf-exec: epoch=3 step=job.1 start sh", "rf-exec: epoch=3 step=job.1 exit=7"]


def test_the_same_id_returns_the_result_and_never_starts_again(machine: Machine) -> None:
    marks = machine.root / "marks"
    command = ("--epoch", "3", "--step", "a", "--", "sh", "-c", f"echo x >> {marks}; echo done; exit 4")
    assert machine.run(*command).returncode == 4
    again = machine.run(*command)
    assert (again.returncode, again.stdout) == (4, b"done\n")
    assert marks.read_text() == "x\n"
    other = machine.run("--epoch", "3", "--step", "a", "--", "true")
    assert (other.returncode, error_of(other)["step"]) == (76, "a")
    status = json.loads(machine.run("--status", "a").stdout)
    assert (status["running"], status["status"]["exit"], status["meta"]["epoch"]) == (False, 4, 3)
    assert machine.run("--status", "b").returncode == 66


def test_a_second_caller_follows_the_running_step(machine: Machine) -> None:
    gate, marks = machine.root / "gate-fifo", machine.root / "marks"
    os.mkfifo(gate)
    command = (
        "--epoch",
        "1",
        "--step",
        "a",
        "--",
        "sh",
        "-c",
        f"echo x >> {marks}; echo one; cat {gate}; exit 5",
    )
    first = machine.start(*command)
    wait_for(marks.exists)
    second = machine.start(*command)
    gate.write_text("two\n")
    for caller in (first, second):
        out, _err = caller.communicate(timeout=DEADLINE_S)
        assert (caller.returncode, out) == (5, b"one\ntwo\n")
    assert marks.read_text() == "x\n"


def test_a_step_outlives_its_caller(machine: Machine) -> None:
    gate, marks = machine.root / "gate-fifo", machine.root / "marks"
    os.mkfifo(gate)
    command = ("--epoch", "1", "--step", "a", "--", "sh", "-c", f"echo x >> {marks}; cat {gate}")
    caller = machine.start(*command)
    wait_for(marks.exists)
    caller.kill()
    caller.communicate(timeout=DEADLINE_S)
    gate.write_text("later\n")
    done = machine.run(*command)
    assert (done.returncode, done.stdout, marks.read_text()) == (0, b"later\n", "x\n")


def test_a_lower_epoch_is_refused_and_names_both(machine: Machine) -> None:
    assert machine.run("--epoch", "4", "--step", "a", "--", "true").returncode == 0
    mark = machine.root / "mark"
    done = machine.run("--epoch", "3", "--step", "b", "--", "touch", str(mark))
    assert done.returncode == 75
    assert (error_of(done)["epoch"], error_of(done)["highest"]) == (3, 4)
    assert not mark.exists()
    assert (machine.root / "run/epoch").read_text() == "4\n"


def test_a_deployed_system_keeps_the_epoch_over_a_reboot(machine: Machine) -> None:
    (machine.root / "lasting").mkdir()
    assert machine.run("--epoch", "9", "--step", "a", "--", "true").returncode == 0
    assert (machine.root / "lasting/epoch").read_text() == "9\n"
    (machine.root / "lasting/epoch").write_text("9\x00damaged")
    done = machine.run("--epoch", "10", "--step", "b", "--", "true")
    assert (done.returncode, error_of(done)["found"]) == (78, "9\x00damaged")


def test_the_epoch_outlives_a_reboot_and_the_late_coming_of_its_folder(machine: Machine) -> None:
    assert machine.run("--epoch", "9", "--step", "a", "--", "true").returncode == 0
    (machine.root / "lasting").mkdir()  # the management step makes it, from within a step
    assert machine.run("--epoch", "8", "--step", "b", "--", "true").returncode == 75
    assert machine.run("--epoch", "10", "--step", "c", "--", "true").returncode == 0
    shutil.rmtree(machine.root / "run")
    (machine.root / "run").mkdir()
    done = machine.run("--epoch", "9", "--step", "d", "--", "true")
    assert (done.returncode, error_of(done)["highest"]) == (75, 10)


def test_a_step_that_ends_while_its_status_is_read_is_told_with_its_result(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert machine.run("--epoch", "1", "--step", "a", "--", "true").returncode == 0
    status = machine.step("a") / "status.json"
    kept = status.read_text()
    status.unlink()

    def ends(*_: object) -> bool:
        status.write_text(kept)
        return False

    monkeypatch.setattr(rf_exec, "lives", ends)
    assert rf_exec.show_status(System(run=str(machine.root / "run")), "a") == 0
    told = json.loads(capfd.readouterr().out)
    assert (told["running"], told["lost"], told["status"]["exit"]) == (False, False, 0)


def test_what_a_killed_supervisor_left_running_is_ended_before_the_next_step(machine: Machine) -> None:
    """The lock dies with the supervisor; its command would go on writing beside the next one."""
    pids = machine.root / "pids"
    script = f"setsid sleep 300 & echo $! >> {pids}; echo $$ >> {pids}; touch {pids}.ready; sleep 300"
    caller = machine.start("--epoch", "1", "--step", "low", "--", "sh", "-c", script)
    wait_for(Path(f"{pids}.ready").exists)
    caller.kill()
    caller.communicate(timeout=DEADLINE_S)
    supervisor = json.loads((machine.step("low") / "meta.json").read_text())["supervisor"]
    os.kill(supervisor, signal.SIGKILL)
    wait_for(lambda: is_gone(supervisor))
    running = [int(line) for line in pids.read_text().split()]
    assert not any(is_gone(pid) for pid in running)
    status = json.loads(machine.run("--status", "low").stdout)
    assert (status["running"], status["lost"], status["status"]) == (False, True, {})
    assert machine.run("--epoch", "1", "--step", "next", "--", "true").returncode == 0
    assert all(is_gone(pid) for pid in running)
    again = machine.run("--epoch", "1", "--step", "low", "--", "sh", "-c", script)
    assert (again.returncode, error_of(again)["lost"]) == (70, True)
    assert "rf-exec: epoch=1 step=low exit=70" in (machine.root / "console").read_text()


def test_who_follows_a_step_whose_supervisor_is_killed_is_told_that_it_is_lost(machine: Machine) -> None:
    mark = machine.root / "mark"
    caller = machine.start("--epoch", "1", "--step", "a", "--", "sh", "-c", f"touch {mark}; sleep 300")
    wait_for(mark.exists)
    os.kill(json.loads((machine.step("a") / "meta.json").read_text())["supervisor"], signal.SIGKILL)
    _out, err = caller.communicate(timeout=DEADLINE_S)
    assert (caller.returncode, json.loads(err.splitlines()[-1])["lost"]) == (70, True)


def test_a_command_that_outlives_its_sigkill_keeps_every_other_step_waiting(machine: Machine) -> None:
    """As one that hangs in a device does: when the device comes back, it writes."""
    gate = machine.root / "gate-fifo"
    os.mkfifo(gate)
    deaf = PATIENT.format(count=2, then="pass") + "s.TERM_GRACE_S = s.FENCE_WAIT_S = 0.05\n"
    command = ("--timeout", "0.1", "--", "sh", "-c", f"cat {gate}; true")
    done = machine.run("--epoch", "1", "--step", "hung", *command, before=deaf)
    assert (done.returncode, len(error_of(done)["left"])) == (124, 2)  # type: ignore[arg-type]
    other = machine.run("--epoch", "1", "--step", "b", "--wait", "0.1", "--", "true")
    assert (other.returncode, error_of(other)["held_by"]) == (79, ["hung"])
    gate.write_text("")
    assert machine.run("--epoch", "1", "--step", "b", "--", "true").returncode == 0


def test_a_higher_epoch_ends_all_that_lower_ones_run_before_it_starts(machine: Machine) -> None:
    pids = machine.root / "pids"
    # a child in a session of its own, an orphan, and a main process that ignores SIGTERM
    script = (
        f"trap '' TERM; setsid sleep 300 & echo $! >> {pids}; (sleep 300 & echo $! >> {pids}); "
        f"echo $$ >> {pids}; touch {pids}.ready; while :; do sleep 1; done"
    )
    lower = machine.start("--epoch", "1", "--step", "low", "--", "bash", "-c", script)
    wait_for(Path(f"{pids}.ready").exists)
    running = [int(line) for line in pids.read_text().split()]
    assert not any(is_gone(pid) for pid in running)
    probe = "; ".join(f"test -d /proc/{pid} && grep State /proc/{pid}/status" for pid in running)
    higher = machine.run("--epoch", "2", "--step", "high", "--", "sh", "-c", f"{probe}; true")
    assert higher.returncode == 0
    assert all(b"Z (zombie)" in line for line in higher.stdout.splitlines())
    assert all(is_gone(pid) for pid in running)
    _out, err = lower.communicate(timeout=DEADLINE_S)
    assert lower.returncode == 128 + signal.SIGKILL
    assert json.loads(err.splitlines()[-1])["fenced"] is True
    again = machine.run("--epoch", "2", "--step", "low", "--", "bash", "-c", script)
    assert again.returncode == 128 + signal.SIGKILL


def test_one_step_runs_at_a_time_and_the_one_in_the_way_is_named(machine: Machine) -> None:
    gate, mark = machine.root / "gate-fifo", machine.root / "mark"
    os.mkfifo(gate)
    first = machine.start("--epoch", "1", "--step", "a", "--", "sh", "-c", f"touch {mark}; cat {gate}")
    wait_for(mark.exists)
    second = machine.run("--epoch", "1", "--step", "b", "--wait", "0.1", "--", "true")
    assert (second.returncode, error_of(second)["held_by"]) == (79, ["a"])
    gate.write_text("")
    first.communicate(timeout=DEADLINE_S)
    assert machine.run("--epoch", "1", "--step", "b", "--", "true").returncode == 0


def test_stdin_reaches_the_command_and_no_file(machine: Machine) -> None:
    secret = b"correct horse battery staple"
    done = machine.run("--epoch", "1", "--step", "a", "--stdin", "--", "wc", "-c", stdin=secret)
    assert done.stdout.split() == [str(len(secret)).encode()]
    files = [path for path in machine.root.rglob("*") if path.is_file()]
    assert not any(secret in path.read_bytes() for path in files)


def test_a_caller_that_sends_no_end_of_stdin_keeps_no_higher_epoch_out(machine: Machine) -> None:
    """The worker's machine may vanish while it sends; its SSH session then stays open for minutes."""
    machine.run("--epoch", "1", "--step", "warm", "--", "true")
    argv = machine.argv("--epoch", "1", "--step", "a", "--stdin", "--", "cat")
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as silent:
        assert silent.stdin is not None
        silent.stdin.write(b"x" * 65537)  # returns when the last byte fits into the pipe: it is being read
        silent.stdin.flush()
        done = machine.run("--epoch", "2", "--step", "b", "--wait", "0.1", "--", "true")
        assert done.returncode == 0
        silent.stdin.close()
        assert silent.wait(DEADLINE_S) == 75
    assert not (machine.root / "run/steps/a").exists()


def test_a_command_that_takes_too_long_is_ended_with_its_children(machine: Machine) -> None:
    pids = machine.root / "pids"
    command = ("sh", "-c", f"sleep 300 & echo $! > {pids}; sleep 300; true")
    patient = PATIENT.format(count=3, then="kill(system, number)")
    done = machine.run("--epoch", "1", "--step", "a", "--timeout", "0.3", "--", *command, before=patient)
    assert (done.returncode, error_of(done)["timed_out_after_s"]) == (124, 0.3)
    assert is_gone(int(pids.read_text()))


def test_progress_is_the_last_whole_line(machine: Machine) -> None:
    lines = """{"n": 1}\\nnonsense\\n{"n": 2}\\n{"n": """
    script = f"import os; os.write(int(os.environ['RF_PROGRESS_FD']), b'{lines}')"
    assert machine.run("--epoch", "1", "--step", "a", "--", sys.executable, "-c", script).returncode == 0
    assert json.loads(machine.run("--status", "a").stdout)["progress"] == {"n": 2}


@pytest.mark.parametrize(
    "arguments",
    [
        ("--epoch", "1", "--step", "../x", "--", "true"),
        ("--epoch", "-1", "--step", "a", "--", "true"),
        ("--epoch", "1", "--step", "a"),
        ("--step", "a", "--", "true"),
        ("--unknown",),
    ],
)
def test_wrong_usage_starts_nothing(machine: Machine, arguments: tuple[str, ...]) -> None:
    done = machine.run(*arguments)
    assert (done.returncode, error_of(done)["exit"]) == (64, 64)
    assert not (machine.root / "run/steps").exists()


def test_programs_that_do_not_exist_or_do_not_run(machine: Machine) -> None:
    assert machine.run("--epoch", "1", "--step", "a", "--", "/no/such").returncode == 127
    assert machine.run("--epoch", "1", "--step", "b", "--", "/etc/passwd").returncode == 126


def test_a_verified_disk_is_passed_on_open(machine: Machine) -> None:
    machine.add_disk("vda", "253:0", "SER0")
    machine.add_disk("vdb", "253:16", "SER1")
    script = "echo $0 $RF_DISK_0 $RF_DISK_IDENTITY_0; readlink /proc/self/fd/$RF_DISK_FD_0"
    wish = f"SER1:{1 << 20}"
    done = machine.run("--epoch", "1", "--step", "a", "--disk", wish, "--", "sh", "-c", script, "{disk0}")
    path = str(machine.root / "dev/vdb")
    assert done.stdout.decode().split() == [path, path, "SER1", path]


def test_check_mode_lets_go_of_the_disk_before_the_start(machine: Machine) -> None:
    machine.add_disk("vda", "253:0", "SER0")
    options = ("--epoch", "1", "--step", "a", "--disk", "SER0", "--disk-open", "check")
    done = machine.run(*options, "--", "sh", "-c", "echo x${RF_DISK_FD_0}x; ls -l /proc/self/fd")
    assert done.stdout.startswith(b"xx\n")
    assert b"dev/vda" not in done.stdout


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        ("SER9", "no disk has this identity"),
        ("TWIN", "more than one disk"),
        ("SER0:512", "is not the disk asked for"),
        ("HELD", "in use"),
        ("0000", "placeholder"),
        ("", "placeholder"),
    ],
)
def test_a_disk_is_refused_and_nothing_is_started(machine: Machine, wish: str, says: str) -> None:
    machine.add_disk("vda", "253:0", "SER0")
    machine.add_disk("vdb", "253:16", "TWIN")
    machine.add_disk("vdc", "253:32", "TWIN")
    machine.add_disk("vdd", "253:48", "HELD")
    machine.add_disk("vde", "253:64", "0000")
    (machine.root / "sys/block/vdd/holders/md0").mkdir(parents=True)
    mark = machine.root / "mark"
    done = machine.run("--epoch", "1", "--step", "a", "--disk", wish, "--", "touch", str(mark))
    assert done.returncode == 77
    assert says in str(error_of(done)["error"])
    assert not mark.exists()
    assert machine.run("--status", "a").returncode == 66


def test_a_name_that_leads_to_another_disk_when_opened_is_refused(machine: Machine) -> None:
    machine.add_disk("vda", "253:0", "SER0")
    machine.add_disk("vdb", "253:16", "SER1")
    (machine.root / "dev/vda.number").write_text("253:16")  # a hot swap between look-up and open
    done = machine.run("--epoch", "1", "--step", "a", "--disk", "SER0", "--", "true")
    assert (done.returncode, error_of(done)["got"]) == (77, ["SER1"])


def test_a_wwn_in_any_spelling_and_an_array_by_uuid(machine: Machine) -> None:
    uuid = "e42062fc:1eb3004e:47c924a9:00533005"
    machine.add_disk("sda", "8:0", "")
    (machine.root / "sys/block/sda/wwid").write_text("naa.5000c50012345678\n")
    machine.add_disk("md0", "9:0", "")
    (machine.root / "udev/b9:0").write_text(f"S:md/root\nE:MD_UUID={uuid}\n")
    for step, wish in enumerate(
        ("0x5000C50012345678", f"naa.5000c50012345678:{1 << 20}", "wwn-0x5000c50012345678")
    ):
        done = machine.run("--epoch", "1", "--step", f"w{step}", "--disk", wish, "--", "echo", "{disk0}")
        assert done.stdout.decode().strip().endswith("/dev/sda")
    for step, wish in enumerate((f"md-uuid:{uuid}", f"md-uuid:{uuid.upper()}:{1 << 20}")):
        done = machine.run("--epoch", "1", "--step", f"m{step}", "--disk", wish, "--", "echo", "{disk0}")
        assert done.stdout.decode().strip().endswith("/dev/md0")


def test_a_partition_is_named_by_its_number_on_the_verified_disk(machine: Machine) -> None:
    machine.add_disk("nvme0n1", "259:0", "NV0")
    part = machine.root / "sys/block/nvme0n1/nvme0n1p2"
    part.mkdir()
    (part / "partition").write_text("2\n")
    (part / "dev").write_text("259:2\n")
    done = machine.run("--epoch", "1", "--step", "a", "--disk", "NV0", "--", "echo", "{disk0:p2}")
    assert done.stdout.decode().strip().endswith("/dev/nvme0n1p2")
    done = machine.run("--epoch", "1", "--step", "b", "--disk", "NV0", "--", "echo", "{disk0:p3}")
    assert done.returncode == 77
    done = machine.run("--epoch", "1", "--step", "c", "--disk", "NV0", "--", "echo", "{disk1}")
    assert done.returncode == 64
