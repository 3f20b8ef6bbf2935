"""A power cut on a machine whose root is a mirror: the arrays of the job are put together again."""

from collections.abc import Callable, Iterator

import pytest

from lab import demo as lab_demo
from lab.demo import Demo
from lab.kills import Bench, Stage

pytestmark = [pytest.mark.rack, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def bench(alone: Callable[[], Demo]) -> Iterator[Bench]:
    """A rack with snapshots of the UEFI machine, the site down."""
    demo = alone()
    image = lab_demo.build(demo)
    lab_demo.forget(demo)
    demo.python("-m", "lab", "up", "--rack", "lab/racks/demo.yaml", "--fresh")
    bench = Bench(demo, host="web-01")
    try:
        bench.make_snapshots(image)
        yield bench
    finally:
        demo.python("-m", "lab", "down")


@pytest.mark.parametrize("stage", ["image write", "partitioning"])
def test_a_mirror_outlives_a_power_cut(bench: Bench, stage: Stage) -> None:
    """Switched on again by its BMC, in the boot OS, with its array: in sync, and nothing was done twice."""
    outcome = bench.run("machine", stage)

    assert outcome.violations == ()
