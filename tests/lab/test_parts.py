"""Parts of a site are found by command line and data folder, and nothing else is."""

import subprocess
import sys
from pathlib import Path

import pytest

from lab import kills, parts
from lab.site import Failed


def start(data: Path, *argv: str) -> subprocess.Popen[bytes]:
    """A process that looks like a part: its words, its folder in the environment."""
    program = "import sys; print(flush=True); sys.stdin.read()"
    process = subprocess.Popen(
        [sys.executable, "-c", program, *argv],
        env={"PREFECT_HOME": str(data / "prefect")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


def test_only_the_part_of_this_site_is_killed(tmp_path: Path) -> None:
    ours, other, another = tmp_path / "a", tmp_path / "b", ("-m", "pxe_edge")
    worker = start(ours, "-m", "prefect", "worker", "start")
    edge = start(ours, *another)
    foreign = start(other, "-m", "prefect", "worker", "start")
    try:
        assert parts.kill(ours, "worker") == [worker.pid]
        assert worker.wait(5) == -9
        assert parts.pids(ours, "edge") == [edge.pid]
        assert parts.pids(other, "worker") == [foreign.pid]
    finally:
        for process in (worker, edge, foreign):
            process.kill()
            process.communicate()


def test_a_scenario_that_finds_nothing_to_kill_fails(tmp_path: Path) -> None:
    """It would pass otherwise, and show nothing."""
    worker = start(tmp_path, "-m", "prefect", "worker", "start")
    try:
        with pytest.raises(Failed, match="no edge to kill"):
            kills.strike(tmp_path, "edge", "image write")
        with pytest.raises(Failed, match="no run to kill"):
            kills.strike(tmp_path, "worker and run", "image write")
        assert parts.pids(tmp_path, "worker") == [worker.pid]
        kills.strike(tmp_path, "worker and run", "first boot")
        assert worker.wait(5) == -9
    finally:
        worker.kill()
        worker.communicate()


@pytest.mark.parametrize(
    ("said", "noticed"),
    [
        ("run run 2 of job 1 is lost: its lease expired; the next attempt comes in 30 s", True),
        ("step enter-boot-os", True),
        ("step power-again", True),
        ("wait job 2 waits for the installed system to phone home, until 10:00:00 UTC at the latest", False),
        ("step write-image", False),
    ],
)
def test_a_death_is_noticed_by_what_no_undisturbed_life_has(said: str, noticed: bool) -> None:  # noqa: FBT001
    assert bool(kills.NOTICED.match(said)) is noticed
