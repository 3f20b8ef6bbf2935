"""The outbox as the courier works through it: what is due, and what becomes of each delivery."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from pxe_edge.jobs import rules
from pxe_edge.registry import jobs, leases, runs, timeline
from pxe_edge.registry.tables import HostRow, JobRow, RunRow


@dataclass(frozen=True, slots=True)
class Delivery:
    """One thing that Prefect is told: all of it."""

    row: int
    kind: runs.Kind
    flow: str
    deployment: str
    key: str
    name: str
    tags: tuple[str, ...]
    parameters: dict[str, Any] = field(default_factory=dict)
    run_id: str = ""
    """Whose state is set or who is woken; empty for a start."""
    message: str = ""


def due(
    session: Session, now: datetime, *, site: str, specset: str | None, limit: int = 20
) -> list[Delivery]:
    """What to tell Prefect now, oldest first."""
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
    kind: runs.Kind = run.kind  # type: ignore[assignment]  # written from a checked Kind
    return Delivery(
        row=run.id,
        kind=kind,
        flow=flow,
        deployment=site,
        key=f"{site}:{host.id}:{job.no}:{run.run_no}",
        name=f"{job.verb} {host.name}",
        tags=("rackflow", f"host:{host.name}", f"site:{site}", f"job:{host.id}:{job.no}"),
        parameters=parameters,
        run_id=run.run_id or "",
        message=run.message or "",
    )


def delivered(session: Session, now: datetime, row: int, run_id: str) -> None:
    """Prefect took it: remember which run it is. A start that was taken back meanwhile is cancelled."""
    run = session.get_one(RunRow, row)
    dropped = run.state == "dropped"
    run.state, run.run_id, run.delivered_at, run.error = "delivered", run_id, now, None
    if run.kind not in runs.BEGINS:
        session.flush()
        return
    job = session.get_one(JobRow, (run.host_id, run.job_no))
    # A run whose delivery got lost may have claimed under this number: then this is a second one.
    taken = job.run_id is not None
    unwanted = dropped or taken or job.run_no != run.run_no or job.state in rules.FINAL
    if unwanted and job.run_id != run_id:
        # The edge would refuse its claim anyway; this spares the worker the start.
        said = "the job went on without it"
        runs.tell(session, now, job, "cancel", run_no=run.run_no, run_id=run_id, message=said)
        return
    job.run_id = run_id
    if job.state == "wanted":
        job.state = "delivered"
    said = "is woken as" if run.kind == "resume" else "is"
    timeline.add(
        session, now, "run", f"job {run.job_no} run {run.run_no} {said} flow run {run_id}",
        host_id=run.host_id,
    )  # fmt: skip


def stale(session: Session, now: datetime, row: int, run_id: str) -> None:
    """The run of this number has ended, or cannot be woken: the job needs one with a new number.

    One that holds the host (it claimed before its delivery was noted) is the sweeper's to judge.
    """
    run = session.get_one(RunRow, row)
    run.state, run.run_id = "stale", run_id
    run.error = "Prefect knows the key from an ended run" if run.kind == "start" else "it is not suspended"
    job = session.get_one(JobRow, (run.host_id, run.job_no))
    held = leases.of_job(session, job.host_id, job.no).run_id is not None
    if job.run_no == run.run_no and job.state in ("wanted", "delivered", "cancelling") and not held:
        if run.kind == "resume":
            runs.end(session, now, job, "cancel", "its job goes on in another run")
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
    """Prefect refuses the run itself: trying again cannot help, so the job fails with the reason.

    One that it refuses to wake is followed by a new one instead.
    """
    run = session.get_one(RunRow, row)
    if run.kind == "resume":
        stale(session, now, row, run.run_id or "")
        return
    run.state, run.error = "refused", error
    job = session.get_one(JobRow, (run.host_id, run.job_no))
    host = session.get_one(HostRow, run.host_id)
    if run.kind == "start" and job.run_no == run.run_no and job.state in rules.OPEN:
        jobs.fail(session, now, host, job, "job-crashed", f"Prefect refuses the flow run: {error}")
    session.flush()
