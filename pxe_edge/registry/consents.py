"""Plans by hash, and the leave to carry them out."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from pxe_edge.registry import jobs, timeline
from pxe_edge.registry.errors import ConflictError, NotFoundError
from pxe_edge.registry.site_tables import PlanRow
from pxe_edge.registry.tables import ConsentRow, HostRow, JobRow

VALID_DAYS = 7


def put_plan(session: Session, now: datetime, plan_hash: str, body: dict[str, Any]) -> None:
    """Store a plan; the same again is fine, another body under the same hash is refused."""
    there = session.get(PlanRow, plan_hash)
    if there is None:
        session.add(PlanRow(hash=plan_hash, body=body, at=now))
        session.flush()
    elif there.body != body:
        raise ConflictError(f"another plan is stored under {plan_hash}", code="plan")


def get_plan(session: Session, plan_hash: str) -> dict[str, Any]:
    """A stored plan; 404 otherwise."""
    row = session.get(PlanRow, plan_hash)
    if row is None:
        raise NotFoundError(f"no plan {plan_hash} is stored", hint="rackflow plan NAME --refresh")
    return row.body


def give(session: Session, now: datetime, host: HostRow, *, plan: str | None, by: str) -> ConsentRow:
    """Give consent to a plan (by default the waiting job's) and let the waiting job go on with it."""
    waiting = session.scalar(
        select(JobRow).where(JobRow.host_id == host.id, JobRow.state == "waiting-consent")
    )
    if plan is None and (waiting is None or waiting.plan is None):
        raise ConflictError(
            f"no job of {host.name} waits for consent",
            code="consent",
            hint=f"rackflow apply {host.name}",
            host=host.name,
        )
    if plan is not None and waiting is not None and waiting.plan != plan:
        raise ConflictError(
            f"{host.name} waits with plan {waiting.plan}, not {plan}",
            code="consent",
            hint=f"rackflow plan {host.name}",
            host=host.name,
        )
    named = plan or (waiting.plan if waiting else None) or ""
    row = ConsentRow(host_id=host.id, plan=named, by=by, at=now, expires=now + timedelta(days=VALID_DAYS))
    session.add(row)
    timeline.add(session, now, "consent", f"{by} consents to plan {named}", host_id=host.id)
    if waiting is not None:
        host.reason, host.message = None, None
        jobs.next_run(session, now, waiting)
    session.flush()
    return row


def valid(
    session: Session, now: datetime, host: HostRow, *, plan: str | None, job: int | None
) -> list[ConsentRow]:
    """The consents that count now; with a job, free ones are spent by it and stay good for it to its end."""
    good = ConsentRow.expires > now
    if job is not None:
        good = or_(good, ConsentRow.spent_by_job == job)
    query = select(ConsentRow).where(ConsentRow.host_id == host.id, good)
    if plan is not None:
        query = query.where(ConsentRow.plan == plan)
    rows = [r for r in session.scalars(query.order_by(ConsentRow.no)) if r.spent_by_job in (None, job)]
    if job is not None:
        for row in rows:
            row.spent_by_job = job
        session.flush()
    return rows
