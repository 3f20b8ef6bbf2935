"""Whether a wait is over, and the times that the environment may set."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pxe_edge.jobs.plan_difference import difference
from pxe_edge.jobs.timing import KNOBS, Timing
from pxe_edge.jobs.waits import Heard, Wait, bounded, over, seen

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
WAIT = Wait("boot-os", NOW, NOW + timedelta(seconds=120))


@pytest.mark.parametrize(
    ("heard", "expected"),
    [
        ([], False),
        ([Heard("boot-os", NOW)], True),
        ([Heard("boot-os", NOW - timedelta(microseconds=1))], False),
        ([Heard("os", NOW + timedelta(seconds=5))], False),
        ([Heard("os", NOW), Heard("boot-os", NOW + timedelta(seconds=5))], True),
    ],
)
def test_seen(heard: list[Heard], *, expected: bool) -> None:
    assert seen(WAIT, heard) is expected


@given(st.integers(-100, 10**7), st.integers(1, 10**6))
def test_a_bounded_wait_is_over_in_time(deadline_s: int, most_s: int) -> None:
    wait = bounded(Wait("os", NOW, NOW + timedelta(seconds=deadline_s)), NOW, most_s)
    assert over(wait.deadline, NOW + timedelta(seconds=most_s))
    assert over(wait.deadline, NOW) is (deadline_s <= 0)


def test_the_environment_sets_times() -> None:
    assert Timing.from_environment({}) == Timing()
    given_times = dict.fromkeys(KNOBS, "7")
    assert Timing.from_environment({**given_times, "PATH": "x"}) == Timing(
        lease_ttl_s=7, retry_base_s=7, sweep_s=7, unclaimed_s=7
    )


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "90s", "²", "1000000", "86401"])
def test_a_time_that_is_none_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="RACKFLOW_SWEEP_S"):
        Timing.from_environment({"RACKFLOW_SWEEP_S": text})


def step(step_id: str, *serials: str, **more: str) -> dict[str, object]:
    return {"id": step_id, "destroys": [{"serial": s, "found": "ntfs"} for s in serials], **more}


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ([step("a", "D1")], [step("a", "D1")], "has the same steps, planned on another reading"),
        ([step("a", "D1")], [step("a", "D1", "D2")], "also erases D2 (holds ntfs)"),
        ([step("a", "D1", "D2")], [step("a", "D1")], "no longer erases D2 (holds ntfs)"),
        ([step("a")], [step("a"), step("b")], "adds the steps b"),
        (
            [step("a", old="x", new="y")],
            [step("a", old="x", new="z")],
            "adds the steps a (x -> z); lacks the steps a (x -> y)",
        ),
    ],
)
def test_the_difference_of_plans(before: list[object], after: list[object], said: str) -> None:
    assert difference({"steps": before}, {"steps": after}) == said


@given(st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(
    st.sampled_from(["steps", "id", "destroys", "serial", "old", "x"]), inner)))  # fmt: skip
def test_a_plan_of_any_shape_is_compared(plan: object) -> None:
    assert difference({"steps": plan}, {"steps": [step("a", "D1")]})
