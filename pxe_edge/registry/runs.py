"""The outbox's rows: what Prefect has yet to be told about the flow runs of jobs.

A row per run number and kind, so that telling twice is one row and one delivery.
"""

from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from pxe_edge.registry.tables import JobRow, RunRow

Kind = Literal["start", "resume", "cancel", "crash"]
BEGINS = ("start", "resume")
"""Kinds that lead to a run of the job; the others end one."""


def tell(
    session: Session,
    now: datetime,
    job: JobRow,
    kind: Kind,
    *,
    delay_s: float = 0.0,
    run_no: int | None = None,
    run_id: str | None = None,
    message: str | None = None,
) -> RunRow:
    """Put what concerns a run of the job into the outbox; told before, it is delivered once more."""
    number = run_no or job.run_no
    row = session.scalar(
        select(RunRow).where(
            RunRow.host_id == job.host_id, RunRow.job_no == job.no, RunRow.run_no == number,
            RunRow.kind == kind,
        )
    )  # fmt: skip
    if row is None:
        row = RunRow(host_id=job.host_id, job_no=job.no, run_no=number, kind=kind)
        session.add(row)
    row.created_at = now
    row.state, row.attempts, row.error, row.delivered_at = "pending", 0, None, None
    row.next_try_at = now + timedelta(seconds=delay_s)
    row.run_id, row.message = run_id, message
    session.flush()
    return row


def end(session: Session, now: datetime, job: JobRow, kind: Literal["cancel", "crash"], message: str) -> None:
    """Have Prefect end the job's present run, if it has one, and offer none that it has not taken yet."""
    drop(session, job)
    if job.run_id is not None:
        tell(session, now, job, kind, run_id=job.run_id, message=message)


def present(session: Session, job: JobRow) -> RunRow | None:
    """The row that leads to the job's present run."""
    query = select(RunRow).where(
        RunRow.host_id == job.host_id, RunRow.job_no == job.no, RunRow.run_no == job.run_no,
        RunRow.kind.in_(BEGINS),
    )  # fmt: skip
    return session.scalar(query.order_by(RunRow.id.desc()).limit(1))


def drop(session: Session, job: JobRow, kinds: tuple[str, ...] = BEGINS) -> None:
    """Take back what Prefect has not been told yet."""
    session.execute(
        update(RunRow)
        .where(
            RunRow.host_id == job.host_id, RunRow.job_no == job.no, RunRow.state == "pending",
            RunRow.kind.in_(kinds),
        )
        .values(state="dropped")
    )  # fmt: skip


def hasten(session: Session, now: datetime, job: JobRow) -> None:
    """Offer the job's next run now instead of after its back-off."""
    row = present(session, job)
    if row is not None and row.state == "pending":
        row.next_try_at = min(row.next_try_at, now)
        session.flush()


def may_be(session: Session, now: datetime, job: JobRow, run_id: str) -> bool:
    """Whether a flow run is the job's present one.

    A run may claim before the edge has noted the answer to its delivery; then its id is not known yet,
    but it is none that an earlier run had, and the delivery has been tried.
    """
    if job.run_id is not None:
        return job.run_id == run_id
    row = present(session, job)
    if row is None or row.state != "pending" or (row.next_try_at > now and row.attempts == 0):
        return False
    query = select(RunRow.id).where(
        RunRow.host_id == job.host_id, RunRow.job_no == job.no, RunRow.run_id == run_id
    )
    return session.scalar(query.limit(1)) is None
