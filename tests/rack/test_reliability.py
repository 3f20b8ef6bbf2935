"""Kill -9 of anything at any moment: without a further command the machine ends in sync.

Each scenario starts from a snapshot and kills one thing in one stage. The serial console and the disks' write
counters, not rackflow's journal, show that there was no second writer and no finished step done again.
"""

import fcntl
import json
from collections.abc import Callable, Iterator
from typing import get_args

import pytest

from lab import demo as lab_demo
from lab.demo import CLONE, Demo
from lab.kills import Bench, Kind, Outcome, Stage

pytestmark = [pytest.mark.rack, pytest.mark.timeout(1500)]

RESULTS = CLONE / "build" / "reliability.json"
SLACK_BYTES = 128 << 20
"""What may be written twice: chunks that were in flight, file system journals, and one more boot."""
KINDS: tuple[Kind, ...] = get_args(Kind)
STAGES: tuple[Stage, ...] = get_args(Stage)


@pytest.fixture(scope="module")
def bench(alone: Callable[[], Demo]) -> Iterator[Bench]:
    """A rack with both snapshots, the site down."""
    demo = alone()
    image = lab_demo.build(demo)
    lab_demo.forget(demo)
    demo.python("-m", "lab", "up", "--rack", "lab/racks/demo.yaml", "--fresh")
    bench = Bench(demo)
    try:
        bench.make_snapshots(image)
        yield bench
    finally:
        demo.python("-m", "lab", "down")


@pytest.fixture(scope="module")
def undisturbed(bench: Bench) -> Outcome:
    """A life in which nothing dies: what its disks' counters show is the measure for the others."""
    outcome = bench.run(None, "image write")
    note("nothing", "image write", outcome)
    return outcome


def note(kind: str, stage: str, outcome: Outcome) -> None:
    """Keep the times for docs/reliability.md."""
    with RESULTS.with_suffix(".lock").open("w") as lock:  # another run may note beside this one
        fcntl.flock(lock, fcntl.LOCK_EX)
        rows = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        rows[f"{kind} | {stage}"] = {
            "noticed_s": outcome.noticed_s,
            "converged_s": round(outcome.converged_s, 1),
            "written_bytes": outcome.written_bytes,
        }
        RESULTS.write_text(json.dumps(rows, indent=1))


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_kill_ends_in_sync(bench: Bench, undisturbed: Outcome, kind: Kind, stage: Stage) -> None:
    outcome = bench.run(kind, stage)
    note(kind, stage, outcome)

    assert outcome.violations == ()
    assert outcome.written_bytes <= undisturbed.written_bytes + SLACK_BYTES
