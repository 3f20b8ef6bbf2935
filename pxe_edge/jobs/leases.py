"""Who may change a host now: the rules of the host lease and its epoch.

Theory. A host has one lease row for ever. It is free, held by one process of one run, or kept by the
edge for a job that waits for a boot or for its next attempt. Its epoch rises each time the lease
changes hands, and every registry write and every machine command carries it (DESIGN 5.3): a run that
lost its lease and does not know it yet is refused by number, not by luck. The same process asking
again is given the same epoch, so that a repeated request is harmless; another process of the same run
(Prefect starts one again on a retry from its UI, or when it is resumed) gets the next one. A claim
never takes a lease away from another run, expired or not: only the sweeper does, because only it has
asked Prefect whether the holder may still be alive.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from pxe_edge.jobs.timing import Timing

TTL_S: Final = Timing().lease_ttl_s
"""How long a lease lives without renewal, unless the edge's environment says otherwise."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The lease row of a host. `job` None: free; `run_id` None: kept for the job; else held."""

    epoch: int
    job: int | None = None
    run_id: str | None = None
    expires: datetime | None = None
    holder: str | None = None
    """The word of the process that holds it, made by itself at its start."""

    @property
    def kept(self) -> bool:
        """Whether the edge keeps it for a job of which no run lives."""
        return self.job is not None and self.run_id is None

    def held(self, now: datetime) -> bool:
        """Whether somebody holds it and has renewed it in time."""
        return self.run_id is not None and self.expires is not None and now < self.expires


@dataclass(frozen=True, slots=True)
class Claimant:
    """One process of one run of one job, asking for the host."""

    job: int
    run_id: str
    holder: str | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The lease is not given; `lease` names the holder, `message` says what to do."""

    lease: Lease
    message: str


NEVER_HELD: Final = Lease(epoch=0)


def claim(lease: Lease, by: Claimant, *, now: datetime, ttl_s: int = TTL_S) -> Lease | Refused:
    """Give the lease to a process of a run, or refuse and name the holder."""
    expires = now + timedelta(seconds=ttl_s)
    if lease.run_id is not None and (lease.run_id, lease.job) != (by.run_id, by.job):
        return Refused(lease, _holder(lease, now))
    if lease.kept and lease.job != by.job:
        return Refused(lease, f"the host is kept for job {lease.job}, whose next run is due")
    if lease.run_id is not None and lease.holder == by.holder:
        return replace(lease, expires=expires)
    return Lease(lease.epoch + 1, by.job, by.run_id, expires, by.holder)


def renew(lease: Lease, *, epoch: int, run_id: str, now: datetime, ttl_s: int = TTL_S) -> Lease | Refused:
    """Prolong a lease for its holder; a late holder keeps it as long as nobody took it away."""
    if lease.epoch != epoch or lease.run_id != run_id:
        return Refused(lease, _not_holder(lease, epoch))
    return replace(lease, expires=now + timedelta(seconds=ttl_s))


def keep(lease: Lease) -> Lease:
    """Take the lease into the edge's keeping for its job; the next claim raises the epoch."""
    return Lease(lease.epoch, lease.job)


def release(lease: Lease, *, epoch: int, run_id: str) -> Lease | Refused:
    """Give the lease back; what is free or kept already stays so, another's is not released."""
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


def _holder(lease: Lease, now: datetime) -> str:
    who = f"run {lease.run_id} of job {lease.job}"
    if lease.held(now):
        return f"{who} holds the host until {lease.expires}"
    return f"the lease of {who} has expired; it is handed on once Prefect has been asked about that run"


def _not_holder(lease: Lease, epoch: int) -> str:
    if lease.job is None:
        return f"epoch {epoch} holds no lease: the host is free at epoch {lease.epoch}"
    if lease.run_id is None:
        kept = f"the host is kept for job {lease.job}'s next run at epoch {lease.epoch}"
        return f"epoch {epoch} holds no lease: {kept}"
    return (
        f"epoch {epoch} is not the holder's: run {lease.run_id} of job {lease.job} holds epoch {lease.epoch}"
    )
