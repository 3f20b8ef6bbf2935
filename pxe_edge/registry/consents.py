"""Plans by hash, and the leave to carry them out."""

from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from pxe_edge.jobs.plan_difference import difference
from pxe_edge.jobs.timing import Timing
from pxe_edge.registry import jobs, timeline
from pxe_edge.registry.errors import ConflictError, ForbiddenError, NotFoundError
from pxe_edge.registry.site_tables import PlanRow
from pxe_edge.registry.tables import ConsentRow, HostRow, JobRow
from specs.records import NOT_IN_PLAN_HASH

VALID_S: Final = Timing().consent_s
BY_FORM: Final = "prefect-ui (shared)"
"""Who consents by the form: Prefect knows one account, so nobody in particular."""


def put_plan(session: Session, now: datetime, plan_hash: str, body: dict[str, Any]) -> None:
    """Store a plan; the same again is fine, another one under the same hash is refused.

    A run that died before it noted its plan makes it anew, from a later reading: what the hash leaves out may
    differ then, and what was stored first stays.
    """
    there = session.get(PlanRow, plan_hash)
    if there is None:
        session.add(PlanRow(hash=plan_hash, body=body, at=now))
        session.flush()
    elif _hashed(there.body) != _hashed(body):
        raise ConflictError(f"another plan is stored under {plan_hash}", code="plan")


def _hashed(body: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key not in NOT_IN_PLAN_HASH}


def get_plan(session: Session, plan_hash: str) -> dict[str, Any]:
    """A stored plan; 404 otherwise."""
    row = session.get(PlanRow, plan_hash)
    if row is None:
        raise NotFoundError(f"no plan {plan_hash} is stored", hint="rackflow plan NAME --refresh")
    return row.body


def give(
    session: Session, now: datetime, host: HostRow, *, plan: str | None, by: str, suspended: bool = False
) -> ConsentRow:
    """Give consent to a plan (by default the waiting job's) and let the waiting job go on with it.

    `suspended` is whether the job's run may be suspended at Prefect, showing its form.
    """
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
    if plan is not None and waiting is not None:
        _require_waiting(session, host, waiting, plan)
    elif plan is not None:
        get_plan(session, plan)  # nobody consents to what is not there to be looked at
    named = plan or (waiting.plan if waiting else None) or ""
    row = _consent(session, now, host, named, by)
    if waiting is not None:
        host.reason, host.message = None, None
        jobs.go_on(session, now, host, waiting, suspended=suspended)
    session.flush()
    return row


def _require_waiting(session: Session, host: HostRow, waiting: JobRow, plan: str) -> None:
    """409 unless the job waits with this plan; says what differs as far as both plans are stored."""
    if waiting.plan == plan:
        return
    said = f"job {waiting.no} of {host.name} waits with plan {waiting.plan}, not {plan}"
    there, given = session.get(PlanRow, waiting.plan or ""), session.get(PlanRow, plan)
    if there is not None and given is not None:
        said += f". Against that one, the plan that waits {difference(given.body, there.body)}"
    raise ConflictError(said, code="consent", hint=f"rackflow plan {host.name}", host=host.name)


def _consent(session: Session, now: datetime, host: HostRow, plan: str, by: str) -> ConsentRow:
    row = ConsentRow(host_id=host.id, plan=plan, by=by, at=now, expires=now + timedelta(seconds=VALID_S))
    session.add(row)
    timeline.add(session, now, "consent", f"{by} consents to plan {plan}", host_id=host.id)
    return row


def answer_form(
    session: Session,
    now: datetime,
    host: HostRow,
    job: JobRow,
    *,
    run_id: str,
    plan: str,
    yes: bool,
    allowed: bool,
) -> None:
    """Take a form's answer for the plan that this run's job waits with; the run itself goes on."""
    if not allowed:
        raise ForbiddenError(
            "the Site has switched the consent form off", code="form", hint=f"rackflow approve {host.name}",
            host=host.name,
        )  # fmt: skip
    if job.run_id != run_id:
        raise ConflictError(
            f"job {job.no} goes on in another run than {run_id}", code="lease",
            hint=f"rackflow host {host.name}", host=host.name,
        )  # fmt: skip
    if yes and job.state == "delivered" and job.plan == plan:
        return
    if job.state != "waiting-consent":
        raise ConflictError(f"job {job.no} is {job.state}", code="consent", host=host.name)
    _require_waiting(session, host, job, plan)
    if not yes:
        said = f"{BY_FORM} refused plan {plan}"
        jobs.end_cancelled(session, now, host, job, reason="consent-refused", message=said)
        return
    _consent(session, now, host, plan, BY_FORM)
    host.reason, host.message = None, None
    jobs.woken(session, now, host, job)


def valid(
    session: Session, now: datetime, host: HostRow, *, plan: str | None, job: int | None
) -> list[ConsentRow]:
    """The consents that count now; with a job, free ones are spent by it and stay good for it to its end.

    A job that has ended spends none: a run of it that lives on must not take what is another job's.
    """
    good = ConsentRow.expires > now
    if job is not None:
        good = or_(good, ConsentRow.spent_by_job == job)
    query = select(ConsentRow).where(ConsentRow.host_id == host.id, good)
    if plan is not None:
        query = query.where(ConsentRow.plan == plan)
    rows = [r for r in session.scalars(query.order_by(ConsentRow.no)) if r.spent_by_job in (None, job)]
    if job is None:
        return rows
    asking = session.get(JobRow, (host.id, job))
    if asking is None or asking.ended_at is not None:
        return [row for row in rows if row.spent_by_job == job]
    for row in rows:
        row.spent_by_job = job
    session.flush()
    return rows
