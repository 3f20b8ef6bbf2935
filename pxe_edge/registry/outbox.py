"""The outbox's rows: which flow runs Prefect still has to be told of, and which runs to look after."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from pxe_edge.jobs import rules
from pxe_edge.registry import jobs, leases, timeline
from pxe_edge.registry.tables import HostRow, JobRow, RunRow


@dataclass(frozen=True, slots=True)
class Delivery:
    """One flow run to be made: all that Prefect is told."""

    row: int
    flow: str
    deployment: str
    key: str
    name: str
    tags: tuple[str, ...]
    parameters: dict[str, Any]


def due(
    session: Session, now: datetime, *, site: str, specset: str | None, limit: int = 20
) -> list[Delivery]:
    """The flow runs to offer to Prefect now, oldest first."""
    query = (
        select(RunRow, JobRow, HostRow)
        .join(JobRow, (JobRow.host_id == RunRow.host_id) & (JobRow.no == RunRow.job_no))
        .join(HostRow, HostRow.id == RunRow.host_id)
        .where(RunRow.state == "pending", RunRow.next_try_at <= now)
        .order_by(RunRow.id)
        .limit(limit)
    )
    return [_delivery(run, job, host, site, specset) for run, job, host in session.execute(query)]


def _delivery(run: RunRow, job: JobRow, host: HostRow, site: str, specset: str | None) -> Delivery:
    flow = rules.FLOW_OF[jobs.as_rule(job).verb]
    parameters: dict[str, Any] = {"host": host.name, "job": job.no}
    if flow == "power":
        parameters["action"] = job.args.get("action", "status")
    else:
        parameters["specset"] = specset
    return Delivery(
        row=run.id,
        flow=flow,
        deployment=site,
        key=f"{site}:{host.id}:{job.no}:{run.run_no}",
        name=f"{job.verb} {host.name}",
        tags=("rackflow", f"host:{host.name}", f"site:{site}", f"job:{host.id}:{job.no}"),
        parameters=parameters,
    )


def delivered(session: Session, now: datetime, row: int, run_id: str) -> None:
    """Prefect has the run: remember which one it is."""
    run = session.get_one(RunRow, row)
    run.state, run.run_id, run.delivered_at, run.error = "delivered", run_id, now, None
    job = session.get_one(JobRow, (run.host_id, run.job_no))
    if job.run_no == run.run_no:
        job.run_id = run_id
        if job.state == "wanted":
            job.state = "delivered"
    timeline.add(
        session, now, "run", f"job {run.job_no} run {run.run_no} is flow run {run_id}", host_id=run.host_id
    )
    session.flush()


def stale(session: Session, now: datetime, row: int, run_id: str) -> None:
    """Prefect answered with an old, ended run under this key: the job needs a run with a new number."""
    run = session.get_one(RunRow, row)
    run.state, run.run_id, run.error = "stale", run_id, "Prefect knows the key from an ended run"
    job = session.get_one(JobRow, (run.host_id, run.job_no))
    if job.run_no == run.run_no and job.state in rules.OPEN:
        jobs.next_run(session, now, job)
    session.flush()


def failed_try(session: Session, now: datetime, row: int, error: str, jitter: float) -> None:
    """Prefect did not take it: note why, and when to try again."""
    run = session.get_one(RunRow, row)
    run.attempts += 1
    run.error = error
    run.next_try_at = now + timedelta(seconds=rules.delivery_delay_s(run.attempts, jitter))
    session.flush()


def refused(session: Session, now: datetime, row: int, error: str) -> None:
    """Prefect refuses the run itself: trying again cannot help, so the job fails with the reason."""
    run = session.get_one(RunRow, row)
    run.state, run.error = "refused", error
    job = session.get_one(JobRow, (run.host_id, run.job_no))
    host = session.get_one(HostRow, run.host_id)
    if job.state in rules.OPEN:
        jobs.crashed(session, now, host, job, f"Prefect refuses the flow run: {error}")


def watched(session: Session) -> dict[str, tuple[str, int]]:
    """Flow runs of open jobs: run id -> (host id, job)."""
    query = select(JobRow).where(JobRow.state.in_(rules.OPEN), JobRow.run_id.is_not(None))
    return {row.run_id: (row.host_id, row.no) for row in session.scalars(query) if row.run_id}


def ended(session: Session, now: datetime, host_id: str, job_no: int, run_id: str, state: str) -> bool:
    """Prefect says that a run has ended; whether that was news, and its job is failed now."""
    job = session.get(JobRow, (host_id, job_no))
    host = session.get(HostRow, host_id)
    if job is None or host is None or job.run_id != run_id:
        return False
    lease = leases.read(session, host_id)
    held = lease.held(now) and lease.run_id == run_id
    if not rules.run_is_lost(jobs.as_rule(job).state, state, lease_held=held):
        return False
    jobs.crashed(session, now, host, job, f"Prefect says {state} of run {run_id}, which reported no outcome")
    return True
