"""The supervisor with real processes: restarts what dies, ends what will not, leaves nothing behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from metal.cli.up import supervisor as module
from metal.cli.up.parts import Part, SiteRun, edge_env, run_limit, server_env, worker_env, worker_part
from metal.cli.up.supervisor import Supervisor
from metal.errors import RackflowError

DEADLINE_S = 20
ENDLESS = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {ENDLESS}"
PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("child", child.pid, flush=True)
child.wait()
"""


def part(code: str, **more: object) -> Part:
    """A Python program as a part."""
    return Part("part", (sys.executable, "-c", code), ready_text="up", **more)  # type: ignore[arg-type]


def eventually(holds: Callable[[], bool], what: str) -> None:
    """Wait for a state, with a deadline."""
    ends_at = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < ends_at, f"{what}: not within {DEADLINE_S} s"
        time.sleep(0.02)


def gone(pid: int) -> bool:
    """Whether a process has ended (a zombie has)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def site(tmp_path: Path, said: list[str]) -> Iterator[Supervisor]:
    running = Supervisor(tmp_path, said.append)
    yield running
    running.close()


def pid_of(site: Supervisor) -> int:
    """Process id of the only part."""
    (running,) = site._parts
    return running.process.pid if running.process else 0


def test_a_part_that_dies_is_started_again_after_a_pause(
    site: Supervisor, said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BACKOFF_S", (0.0, 0.1, 600.0))
    site.start(part(ENDLESS))
    watching = threading.Thread(target=site.watch)
    watching.start()
    try:
        for turn in (1, 2):
            first = pid_of(site)
            os.kill(first, signal.SIGKILL)
            eventually(lambda old=first: pid_of(site) not in (0, old), f"restart {turn}")  # type: ignore[misc]
        os.kill(pid_of(site), signal.SIGKILL)
        eventually(lambda: "starting again in 600 s" in said[-1], "the third pause is longer")
        assert pid_of(site) == 0
    finally:
        site.stop()
        watching.join(DEADLINE_S)
    assert not watching.is_alive()
    assert "part: ended with -9, starting again in 0 s" in said


def test_a_part_that_ignores_sigterm_is_killed_after_its_grace(site: Supervisor) -> None:
    site.start(part(STUBBORN, grace_s=0.3))
    pid = pid_of(site)
    began = time.monotonic()
    site.close()

    assert gone(pid)
    assert time.monotonic() - began >= 0.3


def test_what_a_part_started_ends_with_it(site: Supervisor, tmp_path: Path) -> None:
    """A flow run must not outlive its worker unseen."""
    site.start(Part("part", (sys.executable, "-c", PARENT), ready_text="child"))
    child = int((tmp_path / "part.log").read_text().split()[-1])
    site.close()

    eventually(lambda: gone(child), "the child of the part ends")


@pytest.mark.parametrize(("program", "signal_name"), [(ENDLESS, "TERM"), (STUBBORN, "KILL")])
def test_parts_end_when_their_supervisor_is_killed(tmp_path: Path, program: str, signal_name: str) -> None:
    code = (
        "import sys; from pathlib import Path; from metal.cli.up.parts import Part; "
        "from metal.cli.up.supervisor import Supervisor; s = Supervisor(Path(sys.argv[1]), print); "
        f"s.start(Part('part', (sys.executable, '-c', {program!r}), ready_text='up', "
        f"orphan_signal={signal_name!r})); "
        "print('pid', s._parts[0].process.pid, flush=True); s.watch()"
    )
    root = Path(__file__).parents[3]
    argv = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=root) as killed:
        assert killed.stdout is not None
        pid = next(int(line.split()[1]) for line in killed.stdout if line.startswith("pid"))
        assert not gone(pid)
        killed.kill()
        killed.wait(DEADLINE_S)

    eventually(lambda: gone(pid), "the part ends")


@pytest.mark.parametrize(
    ("code", "why"),
    [("print('no database'); raise SystemExit(3)", "no database"), ("pass", "it said nothing")],
)
def test_a_part_that_does_not_come_up_is_an_error_with_the_end_of_its_log(
    site: Supervisor, tmp_path: Path, code: str, why: str
) -> None:
    with pytest.raises(RackflowError, match=f"part did not come up: .*{why}") as caught:
        site.start(part(code))

    assert caught.value.hint == f"see {tmp_path / 'part.log'}"


def test_a_part_that_is_not_ready_in_time_is_an_error(site: Supervisor) -> None:
    with pytest.raises(RackflowError, match="did not come up"):
        site.start(
            Part("part", (sys.executable, "-c", ENDLESS), ready_text="never", grace_s=0.1), ready_s=0.2
        )


def test_the_text_of_an_earlier_start_does_not_count(site: Supervisor, tmp_path: Path) -> None:
    (tmp_path / "part.log").write_text("up\n")

    with pytest.raises(RackflowError):
        site.start(part("raise SystemExit(1)"))


def test_flow_runs_are_limited_by_memory_and_by_cores() -> None:
    assert run_limit(24 << 30, 2) == 16
    assert run_limit(1 << 30, 8) == 11
    assert run_limit(1, 1) == 2


def test_what_a_run_reports_to_the_edge_with_are_paths_never_values(tmp_path: Path) -> None:
    run = SiteRun(data=tmp_path)
    run.prefect_home.mkdir()
    run.auth_file.write_text("rackflow:hidden\n")
    assert worker_part(run).orphan_signal == "KILL", "an idle worker was seen to ignore SIGTERM"

    assert "hidden" not in str(edge_env(run)) + str(worker_env(run))
    assert server_env(run)["PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE"].endswith("filesystem")
    assert "hidden" not in repr(Part("p", (), server_env(run)))
