"""Jobs and the outbox: a wish is a row, its flow runs are rows, and the rules decide what follows."""

from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from pxe_edge.jobs import rules
from pxe_edge.jobs.due import BootState, BootWish
from pxe_edge.registry import hosts, leases, timeline
from pxe_edge.registry.errors import ConflictError, InvalidError, NotFoundError
from pxe_edge.registry.tables import HostRow, JobRow, RunRow
from specs.phases import Phase
from specs.reasons import REASONS
from specs.records import JobState, Result, Verb


def get(session: Session, host: HostRow, no: int) -> JobRow:
    """One job of a host; 404 otherwise."""
    row = session.get(JobRow, (host.id, no))
    if row is None:
        raise NotFoundError(f"{host.name} has no job {no}", hint=f"rackflow host {host.name}", host=host.name)
    return row


def unfinished(session: Session, host_id: str) -> list[JobRow]:
    """The jobs of a host that have not ended, oldest first."""
    query = (
        select(JobRow).where(JobRow.host_id == host_id, JobRow.state.not_in(rules.FINAL)).order_by(JobRow.no)
    )
    return list(session.scalars(query))


def as_rule(row: JobRow) -> rules.Job:
    """The row as the rules see it."""
    return rules.Job(row.no, _verb(row.verb), _state(row.state))


def boot_state(session: Session, host: HostRow) -> BootState:
    """What decides over a host's next boot."""
    job = next((row for row in map(as_rule, unfinished(session, host.id)) if row.state in rules.OPEN), None)
    wish: BootWish = "boot-os" if host.boot_wish == "boot-os" else "none"
    return BootState(Phase(host.phase), wish, job, installed_by=(host.installed or {}).get("job"))


def _verb(text: str) -> Verb:
    verb: Verb = text  # type: ignore[assignment]  # written from a checked Verb
    return verb


def _state(text: str) -> JobState:
    state: JobState = text  # type: ignore[assignment]  # written from a checked JobState
    return state


def post(
    session: Session,
    now: datetime,
    host: HostRow,
    verb: Verb,
    *,
    args: dict[str, Any] | None = None,
    by: str,
    idempotency_key: str | None = None,
) -> tuple[JobRow, bool]:
    """Wish for a job: the new row and True, or the open one and False; 409 when another is in the way."""
    if idempotency_key is not None:
        there = session.scalar(
            select(JobRow).where(JobRow.host_id == host.id, JobRow.idempotency_key == idempotency_key)
        )
        if there is not None:
            return there, False
    open_jobs = unfinished(session, host.id)
    decision = rules.post([as_rule(j) for j in open_jobs], verb=verb, by=by, phase=Phase(host.phase))
    if isinstance(decision, rules.Refused):
        kind = InvalidError if decision.other is None else ConflictError
        raise kind(decision.message, code="job", hint=decision.hint, host=host.name)
    if isinstance(decision, rules.Same):
        return get(session, host, decision.no), False
    job = _insert(session, now, host, verb, args or {}, by)
    job.idempotency_key = idempotency_key
    if decision.supersedes is not None:
        old = get(session, host, decision.supersedes)
        old.state, old.reason, old.ended_at = "cancelled", "cancelled", now
        old.message = f"job {job.no} took its place"
    add_run(session, now, job)
    return job, True


def _insert(
    session: Session, now: datetime, host: HostRow, verb: Verb, args: dict[str, Any], by: str
) -> JobRow:
    host.last_job += 1
    job = JobRow(
        host_id=host.id,
        no=host.last_job,
        verb=verb,
        args=args,
        state="wanted",
        by=by,
        created_at=now,
        run_no=1,
    )
    session.add(job)
    session.flush()
    timeline.add(session, now, "job", f"job {job.no} {verb} wanted by {by}", host_id=host.id)
    return job


def add_run(session: Session, now: datetime, job: JobRow) -> None:
    """Put the job's present run into the outbox."""
    session.add(
        RunRow(
            host_id=job.host_id,
            job_no=job.no,
            run_no=job.run_no,
            state="pending",
            next_try_at=now,
            created_at=now,
        )
    )
    session.flush()


def next_run(session: Session, now: datetime, job: JobRow) -> None:
    """Give a job its next flow run under a new number."""
    job.run_no += 1
    job.state, job.result = "wanted", None
    job.run_id = None
    add_run(session, now, job)


def claim_by_hand(
    session: Session, now: datetime, host: HostRow, *, run_id: str, verb: Verb, args: dict[str, Any]
) -> JobRow:
    """A job for a flow run that somebody started in Prefect's UI; 409 while another job is open."""
    for row in unfinished(session, host.id):
        if row.run_id == run_id:
            return row
        if row.state in rules.OPEN:
            raise ConflictError(
                f"job {row.no} ({row.verb}) is {row.state}", code="job", hint="wait for it", host=host.name
            )
    if verb not in rules.FLOW_OF:
        raise InvalidError(f"no flow does {verb} yet", code="job", host=host.name)
    job = _insert(session, now, host, verb, args, "prefect-ui")
    job.state, job.run_id = "delivered", run_id
    session.add(
        RunRow(
            host_id=host.id, job_no=job.no, run_no=1, state="delivered", next_try_at=now,
            created_at=now, delivered_at=now, run_id=run_id,
        )
    )  # fmt: skip
    session.flush()
    return job


def require_open(host: HostRow, job: JobRow) -> None:
    """409 for a job that has ended or waits for consent: no run may take the host for it."""
    if job.state not in rules.OPEN:
        raise ConflictError(
            f"job {job.no} is {job.state}", code="job", hint=f"rackflow host {host.name}", host=host.name
        )


def claimed(session: Session, job: JobRow, run_id: str) -> None:
    """Mark a job as claimed by a run that got the lease."""
    if job.state != "cancelling":
        job.state = "claimed"
    job.run_id = run_id
    session.flush()


def cancel(session: Session, now: datetime, host: HostRow, no: int) -> JobRow:
    """Ask a job to stop; one that no run has claimed yet is cancelled at once."""
    job = get(session, host, no)
    if job.state == "claimed":
        job.state = "cancelling"
    elif job.state in ("wanted", "delivered", "waiting-consent"):
        job.state, job.reason, job.ended_at = "cancelled", "cancelled", now
        for run in session.scalars(
            select(RunRow).where(RunRow.host_id == host.id, RunRow.job_no == no, RunRow.state == "pending")
        ):
            run.state = "dropped"
    timeline.add(session, now, "job", f"job {no} {job.verb} is {job.state}", host_id=host.id)
    session.flush()
    return job


def finish(
    session: Session,
    now: datetime,
    host: HostRow,
    job: JobRow,
    *,
    result: Result,
    reason: str | None,
    message: str | None,
    next_step: str | None,
    outcome: dict[str, Any],
    plan: str | None,
) -> JobRow:
    """Take a run's outcome: end the job, move the host, free the lease."""
    ending = rules.finish(_state(job.state), result, Phase(host.phase))
    known = REASONS.get(reason or "")
    job.state, job.result, job.outcome, job.plan = ending.state, result, outcome, plan or job.plan
    job.reason, job.message = reason, message or (known.sentence if known else None)
    job.next_step = next_step or (known.next_step if known else None)
    if ending.state != "waiting-consent":
        job.ended_at = now
    host.reason, host.message = job.reason, job.message
    hosts.set_phase(session, now, host, ending.phase, reason=job.reason, message=job.message)
    lease = leases.read(session, host.id)
    if lease.job == job.no:
        leases.take_away(session, host.id)
    if result in ("in-sync", "applied") and job.verb != "power":
        host.boot_wish = "none"
    said = f"job {job.no} {job.verb} {ending.state}: {result}"
    timeline.add(
        session, now, "job", said + (f", {job.message}" if job.message else ""),
        host_id=host.id, detail={"reason": reason, "run_id": job.run_id},
    )  # fmt: skip
    session.flush()
    return job


def crashed(session: Session, now: datetime, host: HostRow, job: JobRow, message: str) -> None:
    """End a job whose run died without an outcome."""
    finish(
        session, now, host, job, result="failed", reason="job-crashed", message=message,
        next_step=f"rackflow {'inspect' if job.verb == 'discover' else 'apply'} {host.name}",
        outcome=job.outcome, plan=None,
    )  # fmt: skip
