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
    if row is None:
        return rules.NEVER_HELD
    return rules.Lease(row.epoch, row.job, row.run_id, row.expires, row.holder)


def _write(session: Session, host_id: str, lease: rules.Lease) -> None:
    row = session.get(LeaseRow, host_id)
    if row is None:
        row = LeaseRow(host_id=host_id)
        session.add(row)
    row.epoch, row.job, row.run_id, row.expires = lease.epoch, lease.job, lease.run_id, lease.expires
    row.holder = lease.holder
    session.flush()


def _taken(outcome: rules.Lease | rules.Refused, host: HostRow, code: str) -> rules.Lease:
    if isinstance(outcome, rules.Refused):
        raise ConflictError(outcome.message, code=code, hint=f"rackflow host {host.name}", host=host.name)
    return outcome


def claim(
    session: Session, now: datetime, host: HostRow, by: rules.Claimant, *, ttl_s: int = rules.TTL_S
) -> LeaseGrant:
    """Give the lease to a process of a run of a job, or 409 naming the holder."""
    before = read(session, host.id)
    after = _taken(rules.claim(before, by, now=now, ttl_s=ttl_s), host, "lease")
    if after.epoch != before.epoch:
        timeline.add(
            session, now, "lease", f"job {by.job} holds the host at epoch {after.epoch}",
            host_id=host.id, detail={"run_id": by.run_id},
        )  # fmt: skip
    _write(session, host.id, after)
    return _grant(session, host, after, ttl_s)


def renew(
    session: Session, now: datetime, host: HostRow, *, epoch: int, run_id: str, ttl_s: int = rules.TTL_S
) -> LeaseGrant:
    """Prolong a lease and tell the run whether its job is being cancelled."""
    outcome = rules.renew(read(session, host.id), epoch=epoch, run_id=run_id, now=now, ttl_s=ttl_s)
    lease = _taken(outcome, host, "lease")
    _write(session, host.id, lease)
    return _grant(session, host, lease, ttl_s)


def _grant(session: Session, host: HostRow, lease: rules.Lease, ttl_s: int) -> LeaseGrant:
    job = session.get(JobRow, (host.id, lease.job))
    return LeaseGrant(
        epoch=lease.epoch, ttl_s=ttl_s, cancelling=job is not None and job.state == "cancelling"
    )


def release(session: Session, host: HostRow, *, epoch: int, run_id: str) -> None:
    """Give a lease back."""
    _write(
        session,
        host.id,
        _taken(rules.release(read(session, host.id), epoch=epoch, run_id=run_id), host, "lease"),
    )


def take_away(session: Session, host_id: str) -> None:
    """Free the lease of a job that has ended; the epoch stays, so the next claim raises it."""
    _write(session, host_id, rules.Lease(epoch=read(session, host_id).epoch))


def of_job(session: Session, host_id: str, job_no: int) -> rules.Lease:
    """The lease as far as it is this job's; free otherwise."""
    lease = read(session, host_id)
    return lease if lease.job == job_no else rules.Lease(lease.epoch)


def keep(session: Session, host_id: str, job_no: int) -> None:
    """Take a job's lease into the edge's keeping until its next run claims it."""
    lease = read(session, host_id)
    if lease.job == job_no:
        _write(session, host_id, rules.keep(lease))


def require_epoch(session: Session, host: HostRow, epoch: int) -> rules.Lease:
    """409 unless this epoch is the present holder's; returns the lease."""
    lease = read(session, host.id)
    refused = rules.check_epoch(lease, epoch)
    if refused is not None:
        raise ConflictError(refused.message, code="epoch", hint=f"rackflow host {host.name}", host=host.name)
    return lease


def require_run(session: Session, host: HostRow, *, epoch: int, job: int, run_id: str) -> None:
    """409 unless this run of this job holds the host under this epoch."""
    lease = require_epoch(session, host, epoch)
    if (lease.job, lease.run_id) != (job, run_id):
        raise ConflictError(
            f"run {lease.run_id} of job {lease.job} holds the host, not run {run_id} of job {job}",
            code="epoch", hint=f"rackflow host {host.name}", host=host.name,
        )  # fmt: skip
