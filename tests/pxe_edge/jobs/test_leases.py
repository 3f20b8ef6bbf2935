"""The host lease: who gets it, who keeps it, and that its epoch only rises."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pxe_edge.jobs.leases import (
    NEVER_HELD,
    TTL_S,
    Claimant,
    Lease,
    Refused,
    check_epoch,
    claim,
    keep,
    release,
    renew,
)

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
LATER = NOW + timedelta(seconds=TTL_S)
HELD = Lease(3, job=1, run_id="a", expires=LATER, holder="x")
EXPIRED = Lease(3, job=1, run_id="a", expires=NOW, holder="x")
FREE = Lease(3)
KEPT = Lease(3, job=1)


@pytest.mark.parametrize(
    ("lease", "by", "epoch"),
    [
        (NEVER_HELD, Claimant(1, "a"), 1),
        (FREE, Claimant(1, "b"), 4),
        (KEPT, Claimant(1, "b"), 4),
        (KEPT, Claimant(2, "b"), None),
        (HELD, Claimant(1, "a", "x"), 3),
        (HELD, Claimant(1, "a", "y"), 4),
        (HELD, Claimant(1, "a"), 4),
        (EXPIRED, Claimant(1, "a", "x"), 3),
        (EXPIRED, Claimant(1, "a", "y"), 4),
        (HELD, Claimant(1, "b", "x"), None),
        (HELD, Claimant(2, "a", "x"), None),
        (EXPIRED, Claimant(1, "b", "x"), None),
    ],
    ids=[
        "first",
        "free",
        "kept for this job",
        "kept for another job",
        "again",
        "another process of the run",
        "a process without a word",
        "again, late",
        "another process, late",
        "held by another run",
        "held for another job",
        "expired: only the sweeper takes it away",
    ],
)
def test_claim(lease: Lease, by: Claimant, epoch: int | None) -> None:
    got = claim(lease, by, now=NOW)
    if epoch is None:
        assert isinstance(got, Refused)
        assert f"job {lease.job}" in got.message
    else:
        assert got == Lease(epoch, by.job, by.run_id, LATER, by.holder)


@pytest.mark.parametrize(
    ("lease", "epoch", "kept"),
    [(HELD, 3, True), (EXPIRED, 3, True), (HELD, 2, False), (FREE, 3, False), (KEPT, 3, False)],
)
def test_renew(lease: Lease, epoch: int, *, kept: bool) -> None:
    assert isinstance(renew(lease, epoch=epoch, run_id="a", now=NOW), Lease) is kept


def test_release_is_repeatable_and_only_the_holders() -> None:
    free = release(HELD, epoch=3, run_id="a")
    assert free == FREE
    assert release(FREE, epoch=3, run_id="a") == FREE
    assert isinstance(release(HELD, epoch=3, run_id="b"), Refused)
    assert release(KEPT, epoch=3, run_id="a") == KEPT


@pytest.mark.parametrize(
    ("lease", "epoch", "good"),
    [
        (HELD, 3, True),
        (HELD, 2, False),
        (HELD, 4, False),
        (FREE, 3, False),
        (KEPT, 3, False),
        (NEVER_HELD, 0, False),
    ],
)
def test_only_the_present_holders_epoch_may_write(lease: Lease, epoch: int, *, good: bool) -> None:
    assert (check_epoch(lease, epoch) is None) is good


MOVES = st.sampled_from(["claim", "renew", "release", "keep"])


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xy"), MOVES, st.integers(0, 200))))
def test_two_processes_never_hold_one_epoch(moves: list[tuple[str, str, str, int]]) -> None:
    """Whatever the order and the delays, an epoch belongs to one process for ever, and it only rises."""
    lease, now, owners = NEVER_HELD, NOW, dict[int, tuple[str, str]]()
    epochs = dict[tuple[str, str], int]()
    for run_id, holder, move, seconds in moves:
        now += timedelta(seconds=seconds)
        epoch = epochs.get((run_id, holder), 0)
        if move == "claim":
            got = claim(lease, Claimant(1, run_id, holder), now=now)
        elif move == "renew":
            got = renew(lease, epoch=epoch, run_id=run_id, now=now)
        elif move == "release":
            got = release(lease, epoch=epoch, run_id=run_id)
        else:
            got = keep(lease)
        if isinstance(got, Refused):
            continue
        assert got.epoch >= lease.epoch
        if move == "claim":
            epochs[run_id, holder] = got.epoch
            assert owners.setdefault(got.epoch, (run_id, holder)) == (run_id, holder)
        lease = got
