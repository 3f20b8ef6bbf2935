"""The host lease rows, under the rules of `pxe_edge.jobs.leases`."""

from datetime import datetime

from sqlalchemy.orm import Session

from pxe_edge.jobs import leases as rules
from pxe_edge.registry import timeline
from pxe_edge.registry.errors import ConflictError
from pxe_edge.registry.tables import HostRow, JobRow, LeaseRow
from specs.records import LeaseGrant


def read(session: Session, host_id: str) -> rules.Lease:
    """The lease of a host as the rules see it."""
    row = session.get(LeaseRow, host_id)
    return rules.NEVER_HELD if row is None else rules.Lease(row.epoch, row.job, row.run_id, row.expires)


def _write(session: Session, host_id: str, lease: rules.Lease) -> None:
    row = session.get(LeaseRow, host_id)
    if row is None:
        row = LeaseRow(host_id=host_id)
        session.add(row)
    row.epoch, row.job, row.run_id, row.expires = lease.epoch, lease.job, lease.run_id, lease.expires
    session.flush()


def _taken(outcome: rules.Lease | rules.Refused, host: HostRow, code: str) -> rules.Lease:
    if isinstance(outcome, rules.Refused):
        raise ConflictError(outcome.message, code=code, hint=f"rackflow host {host.name}", host=host.name)
    return outcome


def claim(
    session: Session, now: datetime, host: HostRow, job: JobRow, run_id: str, *, may_hand_on: bool
) -> LeaseGrant:
    """Give the lease to a run of a job, or 409 naming the holder."""
    before = read(session, host.id)
    after = _taken(
        rules.claim(before, job=job.no, run_id=run_id, now=now, may_hand_on=may_hand_on), host, "lease"
    )
    if after.epoch != before.epoch:
        timeline.add(
            session, now, "lease", f"job {job.no} holds the host at epoch {after.epoch}",
            host_id=host.id, detail={"run_id": run_id},
        )  # fmt: skip
    _write(session, host.id, after)
    return LeaseGrant(epoch=after.epoch, ttl_s=rules.TTL_S, cancelling=job.state == "cancelling")


def renew(session: Session, now: datetime, host: HostRow, *, epoch: int, run_id: str) -> LeaseGrant:
    """Prolong a lease and tell the run whether its job is being cancelled."""
    lease = _taken(rules.renew(read(session, host.id), epoch=epoch, run_id=run_id, now=now), host, "lease")
    _write(session, host.id, lease)
    job = session.get(JobRow, (host.id, lease.job))
    return LeaseGrant(
        epoch=lease.epoch, ttl_s=rules.TTL_S, cancelling=job is not None and job.state == "cancelling"
    )


def release(session: Session, host: HostRow, *, epoch: int, run_id: str) -> None:
    """Give a lease back."""
    _write(
        session,
        host.id,
        _taken(rules.release(read(session, host.id), epoch=epoch, run_id=run_id), host, "lease"),
    )


def take_away(session: Session, host_id: str) -> None:
    """Free the lease of a run that is known to be dead; the epoch stays, so the next claim raises it."""
    _write(session, host_id, rules.Lease(epoch=read(session, host_id).epoch))


def require_epoch(session: Session, host: HostRow, epoch: int) -> rules.Lease:
    """409 unless this epoch is the present holder's; returns the lease."""
    lease = read(session, host.id)
    refused = rules.check_epoch(lease, epoch)
    if refused is not None:
        raise ConflictError(refused.message, code="epoch", hint=f"rackflow host {host.name}", host=host.name)
    return lease
