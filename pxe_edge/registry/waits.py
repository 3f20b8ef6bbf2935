"""Waits of jobs: registered by a run that then ends, over by an event or by the clock.

Registering and hearing are transactions of one database with one writer, so an event comes either
before (the run is told that it has come) or after (the wait is there to be ended): none is missed.
"""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from pxe_edge.jobs import waits as rules
from pxe_edge.registry import jobs, leases, timeline
from pxe_edge.registry.tables import BootRow, HostRow, JobRow
from specs.records import WaitEvent, WaitRecord


def register(
    session: Session, now: datetime, host: HostRow, job: JobRow, wait: rules.Wait, *, message: str
) -> bool:
    """Whether the event has come; if not, the job waits for it, and the edge keeps its lease.

    A job that is being cancelled waits for nothing: its next run, due at once, winds down.
    """
    if job.state == "cancelling":
        leases.keep(session, host.id, job.no)
        jobs.next_run(session, now, job)
        return False
    if rules.seen(wait, _heard(session, host.id)):
        return True
    job.state, job.waiting_since = "waiting", now
    job.wait = WaitRecord(
        event=wait.event, since=wait.since, deadline=wait.deadline, message=message
    ).model_dump(mode="json")
    leases.keep(session, host.id, job.no)
    timeline.add(
        session, now, "wait", f"job {job.no} {message}", host_id=host.id,
        detail={"event": wait.event, "until": wait.deadline.isoformat()},
    )  # fmt: skip
    session.flush()
    return False


def said_already(job: JobRow, wait: rules.Wait, *, run_id: str, epoch: int) -> bool:
    """Whether this process has registered this wait: the answer to its first request got lost."""
    there = of_job(job)
    return (
        job.state == "waiting"
        and (job.run_id, job.epoch) == (run_id, epoch)
        and there is not None
        and (there.event, there.since) == (wait.event, wait.since)
    )


def of_job(job: JobRow) -> WaitRecord | None:
    """What a job waits for."""
    return WaitRecord.model_validate(job.wait) if job.wait is not None else None


def _heard(session: Session, host_id: str) -> list[rules.Heard]:
    query = (
        select(BootRow)
        .where(BootRow.host_id == host_id, BootRow.reported_at.is_not(None))
        .order_by(BootRow.no.desc())
        .limit(10)
    )
    return [
        rules.Heard(rules.EVENT_OF_BOOT[row.kind], row.reported_at)
        for row in session.scalars(query)
        if row.reported_at is not None
    ]


def wake(session: Session, now: datetime, host: HostRow, event: WaitEvent) -> bool:
    """An event came: start the next run of a job that waits for it; whether one did."""
    for job in jobs.unfinished(session, host.id):
        wait = of_job(job)
        if job.state == "waiting" and wait is not None and wait.event == event:
            timeline.add(session, now, "wait", f"job {job.no} goes on: {event} is up", host_id=host.id)
            jobs.next_run(session, now, job)
            return True
    return False


def overdue(session: Session, now: datetime) -> int:
    """Start the next run of each job whose wait is over by the clock; how many."""
    count = 0
    for job in session.scalars(select(JobRow).where(JobRow.state == "waiting")):
        wait = of_job(job)
        if wait is not None and rules.over(wait.deadline, now):
            said = f"job {job.no} goes on: no word of {wait.event} in time"
            timeline.add(session, now, "wait", said, host_id=job.host_id)
            jobs.next_run(session, now, job)
            count += 1
    return count
