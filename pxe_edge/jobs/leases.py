"""Who may change a host now: the rules of the host lease and its epoch.

Theory. A host has one lease row for ever. Its epoch rises each time the lease changes hands, and
every registry write and every machine command carries it (DESIGN 5.3): a run that lost its lease
and does not know it yet is refused by number, not by luck. The same run asking again is given the
same epoch, so that a repeated request is harmless. An expired lease is handed on only while Prefect
can be asked, because only Prefect could say that the holder is still alive.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

TTL_S: Final = 90
"""How long a lease lives without renewal; a run renews every 20 s and stops after 60 s without."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The lease row of a host; `run_id` is None while nobody holds it."""

    epoch: int
    job: int | None = None
    run_id: str | None = None
    expires: datetime | None = None

    def held(self, now: datetime) -> bool:
        """Whether somebody holds it and has renewed it in time."""
        return self.run_id is not None and self.expires is not None and now < self.expires


@dataclass(frozen=True, slots=True)
class Refused:
    """The lease is not given; `lease` names the holder, `message` says what to do."""

    lease: Lease
    message: str


NEVER_HELD: Final = Lease(epoch=0)


def _expiry(now: datetime) -> datetime:
    return now + timedelta(seconds=TTL_S)


def claim(lease: Lease, *, job: int, run_id: str, now: datetime, may_hand_on: bool = True) -> Lease | Refused:
    """Give the lease to a run, or refuse and name the holder.

    `may_hand_on` is whether Prefect answers: an expired lease is kept while it does not.
    """
    if lease.run_id == run_id and lease.job == job:
        return replace(lease, expires=_expiry(now))
    if lease.held(now):
        return Refused(lease, f"run {lease.run_id} of job {lease.job} holds the host until {lease.expires}")
    if lease.run_id is not None and not may_hand_on:
        return Refused(
            lease,
            f"the lease of run {lease.run_id} expired, but Prefect does not answer, so it is not handed on",
        )
    return Lease(epoch=lease.epoch + 1, job=job, run_id=run_id, expires=_expiry(now))


def renew(lease: Lease, *, epoch: int, run_id: str, now: datetime) -> Lease | Refused:
    """Prolong a lease for its holder; a late holder keeps it as long as nobody else took it."""
    if lease.epoch != epoch or lease.run_id != run_id:
        return Refused(lease, _not_holder(lease, epoch))
    return replace(lease, expires=_expiry(now))


def release(lease: Lease, *, epoch: int, run_id: str) -> Lease | Refused:
    """Give the lease back; releasing what is free already is fine, releasing another's is not."""
    if lease.run_id is None and lease.epoch == epoch:
        return lease
    if lease.epoch != epoch or lease.run_id != run_id:
        return Refused(lease, _not_holder(lease, epoch))
    return Lease(epoch=lease.epoch)


def check_epoch(lease: Lease, epoch: int) -> Refused | None:
    """Whether a write with this epoch may be made: only the present holder's may."""
    if lease.run_id is not None and lease.epoch == epoch:
        return None
    return Refused(lease, _not_holder(lease, epoch))


def _not_holder(lease: Lease, epoch: int) -> str:
    if lease.run_id is None:
        return f"epoch {epoch} holds no lease: the host is free at epoch {lease.epoch}"
    return (
        f"epoch {epoch} is not the holder's: run {lease.run_id} of job {lease.job} holds epoch {lease.epoch}"
    )
