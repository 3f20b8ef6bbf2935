"""The journal: intent and outcome of each step, written under the epoch of the lease."""

from datetime import datetime
from typing import Any, Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from pxe_edge.registry import jobs, leases
from pxe_edge.registry.errors import ConflictError
from pxe_edge.registry.tables import HostRow, JournalEntryRow


def append(
    session: Session,
    now: datetime,
    host: HostRow,
    *,
    epoch: int,
    job: int,
    step: str,
    kind: str,
    phase: Literal["intent", "done", "failed"],
    plan: str | None,
    detail: dict[str, Any],
) -> JournalEntryRow:
    """Write one row; 409 for another's epoch, or for a job that is not the lease's.

    A step that is done for the first time is progress. One that each run does again (the way into the boot
    OS) is none: runs that die one after the other must come to their end.
    """
    lease = leases.require_epoch(session, host, epoch)
    if lease.job != job:
        raise ConflictError(f"the lease is job {lease.job}'s, not {job}'s", code="epoch", host=host.name)
    progress = phase == "done" and not _was_done(session, host, job, step)
    row = JournalEntryRow(
        host_id=host.id,
        job=job,
        epoch=epoch,
        step=step,
        kind=kind,
        phase=phase,
        plan=plan,
        detail=detail,
        at=now,
    )
    session.add(row)
    session.flush()
    if progress:
        jobs.progressed(session, host, job)
    return row


def _was_done(session: Session, host: HostRow, job: int, step: str) -> bool:
    query = select(JournalEntryRow.no).where(
        JournalEntryRow.host_id == host.id, JournalEntryRow.job == job, JournalEntryRow.step == step,
        JournalEntryRow.phase == "done",
    )  # fmt: skip
    return session.scalar(query.limit(1)) is not None


def read(
    session: Session, host: HostRow, *, job: int | None, kind: str | None = None, after: int, limit: int
) -> list[JournalEntryRow]:
    """Rows after a number, of one job or one kind of step, oldest first."""
    query = select(JournalEntryRow).where(JournalEntryRow.host_id == host.id, JournalEntryRow.no > after)
    if job is not None:
        query = query.where(JournalEntryRow.job == job)
    if kind is not None:
        query = query.where(JournalEntryRow.kind == kind)
    return list(session.scalars(query.order_by(JournalEntryRow.no).limit(limit)))
