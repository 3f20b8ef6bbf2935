"""The host lease: who gets it, who keeps it, and that its epoch only rises."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pxe_edge.jobs.leases import (
    NEVER_HELD,
    TTL_S,
    Lease,
    Refused,
    check_epoch,
    claim,
    release,
    renew,
)

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
LATER = NOW + timedelta(seconds=TTL_S)
HELD = Lease(3, job=1, run_id="a", expires=LATER)
EXPIRED = Lease(3, job=1, run_id="a", expires=NOW)
FREE = Lease(3)


@pytest.mark.parametrize(
    ("lease", "run_id", "may_hand_on", "epoch"),
    [
        (NEVER_HELD, "a", True, 1),
        (FREE, "b", True, 4),
        (FREE, "b", False, 4),
        (HELD, "a", True, 3),
        (EXPIRED, "a", True, 3),
        (EXPIRED, "b", True, 4),
        (HELD, "b", True, None),
        (EXPIRED, "b", False, None),
    ],
    ids=[
        "first",
        "free",
        "free, Prefect away",
        "again",
        "again, late",
        "expired",
        "held",
        "expired, Prefect away",
    ],
)
def test_claim(lease: Lease, run_id: str, *, may_hand_on: bool, epoch: int | None) -> None:
    got = claim(lease, job=1, run_id=run_id, now=NOW, may_hand_on=may_hand_on)
    if epoch is None:
        assert isinstance(got, Refused)
        assert "run a" in got.message
    else:
        assert got == Lease(epoch, job=1, run_id=run_id, expires=LATER)


def test_another_job_of_the_same_run_is_another_claim() -> None:
    assert isinstance(claim(HELD, job=2, run_id="a", now=NOW), Refused)


@pytest.mark.parametrize(
    ("lease", "epoch", "kept"), [(HELD, 3, True), (EXPIRED, 3, True), (HELD, 2, False), (FREE, 3, False)]
)
def test_renew(lease: Lease, epoch: int, *, kept: bool) -> None:
    assert isinstance(renew(lease, epoch=epoch, run_id="a", now=NOW), Lease) is kept


def test_release_is_repeatable_and_only_the_holders() -> None:
    free = release(HELD, epoch=3, run_id="a")
    assert free == FREE
    assert release(FREE, epoch=3, run_id="a") == FREE
    assert isinstance(release(HELD, epoch=3, run_id="b"), Refused)


@pytest.mark.parametrize(
    ("lease", "epoch", "good"),
    [(HELD, 3, True), (HELD, 2, False), (HELD, 4, False), (FREE, 3, False), (NEVER_HELD, 0, False)],
)
def test_only_the_present_holders_epoch_may_write(lease: Lease, epoch: int, *, good: bool) -> None:
    assert (check_epoch(lease, epoch) is None) is good


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"), st.sampled_from(["claim", "renew", "release"]), st.integers(0, 200)
        ),
        max_size=30,
    )
)
def test_two_runs_never_hold_one_epoch(moves: list[tuple[str, str, int]]) -> None:
    """Whatever the order and the delays, an epoch belongs to one run for ever."""
    lease, now, owners = NEVER_HELD, NOW, dict[int, str]()
    epochs = dict[str, int]()
    for run_id, move, seconds in moves:
        now += timedelta(seconds=seconds)
        if move == "claim":
            got = claim(lease, job=1, run_id=run_id, now=now)
        elif move == "renew":
            got = renew(lease, epoch=epochs.get(run_id, 0), run_id=run_id, now=now)
        else:
            got = release(lease, epoch=epochs.get(run_id, 0), run_id=run_id)
        if isinstance(got, Refused):
            continue
        assert got.epoch >= lease.epoch
        lease = got
        if lease.run_id is not None:
            epochs[lease.run_id] = lease.epoch
            assert owners.setdefault(lease.epoch, lease.run_id) == lease.run_id
