"""Jobs and the outbox: a wish is a row, its flow runs are rows, and the rules decide what follows."""

from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from pxe_edge.jobs import rules, sweeping
from pxe_edge.jobs.due import BootState, BootWish
from pxe_edge.jobs.timing import Timing
from pxe_edge.registry import hosts, leases, runs, timeline
from pxe_edge.registry.errors import ConflictError, InvalidError, NotFoundError
from pxe_edge.registry.tables import ConsentRow, HostRow, JobRow
from specs import reasons
from specs.phases import FAILED_TWIN, Phase
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
    return rules.Job(row.no, _verb(row.verb), _state(row.state), row.args)


def boot_state(session: Session, host: HostRow) -> BootState:
    """What decides over a host's next boot."""
    return boot_state_of(
        host, next((row for row in unfinished(session, host.id) if row.state in rules.OPEN), None)
    )


def boot_state_of(host: HostRow, open_job: JobRow | None) -> BootState:
    """The same, where its oldest open job is at hand."""
    job = as_rule(open_job) if open_job is not None else None
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
            if (there.verb, there.args) != (verb, args or {}):
                raise ConflictError(
                    f"the Idempotency-Key was used for job {there.no} ({there.verb}) with another body",
                    code="idempotency", hint="give each wish a key of its own", host=host.name,
                )  # fmt: skip
            return there, False
    open_jobs = unfinished(session, host.id)
    decision = rules.post(
        [as_rule(j) for j in open_jobs], verb=verb, by=by, phase=Phase(host.phase), args=args
    )
    if isinstance(decision, rules.Refused):
        kind = InvalidError if decision.other is None else ConflictError
        raise kind(decision.message, code="job", hint=decision.hint, host=host.name)
    if isinstance(decision, rules.Same):
        return get(session, host, decision.no), False
    job = _insert(session, now, host, verb, args or {}, by)
    job.idempotency_key = idempotency_key
    if decision.supersedes is not None:
        _supersede(session, now, host, get(session, host, decision.supersedes), job)
    runs.tell(session, now, job, "start")
    return job, True


def _supersede(session: Session, now: datetime, host: HostRow, old: JobRow, new: JobRow) -> None:
    """End a job that waits for consent, because a person wants another one."""
    stop_waiting(now, host, old)
    old.state, old.reason, old.ended_at = "cancelled", "cancelled", now
    old.message = f"job {new.no} took its place"
    runs.end(session, now, old, "cancel", old.message)


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


def next_run(session: Session, now: datetime, job: JobRow, *, delay_s: float = 0.0) -> None:
    """Give a job its next flow run under a new number; one that is being cancelled winds down in it."""
    stop_waiting(now, session.get_one(HostRow, job.host_id), job)
    runs.drop(session, job)
    job.run_no += 1
    job.run_id, job.result = None, None
    if job.state != "cancelling":
        job.state = "wanted"
    runs.tell(session, now, job, "start", delay_s=delay_s)


def go_on(session: Session, now: datetime, host: HostRow, job: JobRow, *, suspended: bool) -> None:
    """Let a job that waited for consent go on: its suspended run is woken, else a next one is made."""
    if not suspended or job.run_id is None:
        next_run(session, now, job)
        return
    stop_waiting(now, host, job)
    job.state, job.result = "wanted", None
    runs.tell(session, now, job, "resume", run_id=job.run_id)


def woken(session: Session, now: datetime, host: HostRow, job: JobRow) -> None:
    """The suspended run of a job that waited for consent was woken in Prefect, and goes on itself."""
    stop_waiting(now, host, job)
    job.state, job.result = "delivered", None
    row = runs.present(session, job)
    if row is not None:
        row.state, row.delivered_at = "delivered", now
    session.flush()


def stop_waiting(now: datetime, host: HostRow, job: JobRow) -> None:
    """Forget what a job waited for; a wait for consent is taken off the phase's clock."""
    if job.state == "waiting-consent" and job.waiting_since is not None:
        host.phase_stood_s += (now - job.waiting_since).total_seconds()
    job.wait, job.waiting_since = None, None


def claim_by_hand(
    session: Session, now: datetime, host: HostRow, *, run_id: str, verb: Verb, args: dict[str, Any]
) -> JobRow:
    """A job for a flow run that somebody started in Prefect's UI; 409 while another job is open."""
    there = unfinished(session, host.id)
    for row in there:
        if row.run_id == run_id:
            return row
        if row.state in rules.OPEN:
            raise ConflictError(
                f"job {row.no} ({row.verb}) is {row.state}", code="job", hint="wait for it", host=host.name
            )
    decision = rules.post([], verb=verb, by="prefect-ui", phase=Phase(host.phase), args=args)
    if isinstance(decision, rules.Refused):
        raise InvalidError(decision.message, code="job", hint=decision.hint, host=host.name)
    job = _insert(session, now, host, verb, args, "prefect-ui")
    for row in there:
        _supersede(session, now, host, row, job)
    job.state, job.run_id = "delivered", run_id
    run = runs.tell(session, now, job, "start", run_id=run_id)
    run.state, run.delivered_at = "delivered", now
    session.flush()
    return job


def require_claimable(session: Session, now: datetime, host: HostRow, job: JobRow, run_id: str) -> None:
    """409 for a job that has ended or waits for consent, and for a run that is not the job's present one."""
    hint = f"rackflow host {host.name}"
    if job.state not in rules.OPEN:
        raise ConflictError(f"job {job.no} is {job.state}", code="job", hint=hint, host=host.name)
    if not runs.may_be(session, now, job, run_id):
        present = f"run {job.run_id}" if job.run_id else f"its run {job.run_no}, which is not started yet"
        raise ConflictError(
            f"run {run_id} is not the present one of job {job.no}: that is {present}",
            code="lease", hint=hint, host=host.name,
        )  # fmt: skip


def claimed(session: Session, now: datetime, host: HostRow, job: JobRow, *, run_id: str, epoch: int) -> None:
    """Mark a job as claimed by a run that got the lease."""
    stop_waiting(now, host, job)
    if job.state != "cancelling":
        job.state = "claimed"
    job.run_id, job.epoch = run_id, epoch
    runs.drop(session, job, ("resume",))
    session.flush()


def cancel(session: Session, now: datetime, host: HostRow, no: int) -> JobRow:
    """Ask a job to stop; one that has not touched the host is cancelled at once."""
    job = get(session, host, no)
    match rules.cancel(_state(job.state), claimed_once=job.epoch is not None):
        case "nothing":
            return job
        case "end":
            end_cancelled(session, now, host, job, reason="cancelled", message=None)
        case "wind-down":
            wind_down(session, now, host, job)
    return job


def end_cancelled(
    session: Session, now: datetime, host: HostRow, job: JobRow, *, reason: str, message: str | None
) -> None:
    """Cancel a job that nobody works on, with its run at Prefect."""
    runs.end(session, now, job, "cancel", message or REASONS[reason].sentence)
    if job.state == "waiting-consent":
        stop_waiting(now, host, job)
    job.state = "cancelling"
    finish(
        session, now, host, job, result="failed", reason=reason, message=message, next_step=None,
        outcome=job.outcome, plan=None,
    )  # fmt: skip


def wind_down(session: Session, now: datetime, host: HostRow, job: JobRow) -> None:
    """Have a run stop the job at a safe point: the live one at its next renewal, else a next one, at once."""
    waited = job.state == "waiting"
    job.state = "cancelling"
    timeline.add(session, now, "job", f"job {job.no} {job.verb} is cancelling", host_id=host.id)
    if waited:
        next_run(session, now, job)
    else:
        runs.hasten(session, now, job)
    session.flush()


def wind_down_anew(session: Session, now: datetime, host: HostRow, job: JobRow) -> None:
    """Have the next run wind the job down, at once: its present one was ended in Prefect's UI."""
    job.state = "cancelling"
    timeline.add(
        session, now, "job", f"job {job.no} {job.verb} was cancelled in Prefect's UI", host_id=host.id
    )
    leases.keep(session, host.id, job.no)
    next_run(session, now, job)


def said_already(job: JobRow, *, run_id: str, epoch: int, result: Result, plan: str | None) -> bool:
    """Whether this process has reported this outcome: the answer to its first request got lost."""
    ended = job.ended_at is not None or job.state == "waiting-consent"
    same_plan = plan is None or job.plan == plan
    return ended and same_plan and (job.run_id, job.epoch, job.result) == (run_id, epoch, result)


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
    stop_waiting(now, host, job)
    ending = rules.finish(_state(job.state), result, Phase(host.phase))
    if ending.state == "cancelled" and result == "waiting-consent":
        result, reason, message, next_step = "failed", "cancelled", None, None
    known = REASONS.get(reason or "")
    job.state, job.result, job.outcome, job.plan = ending.state, result, outcome, plan or job.plan
    job.reason, job.message = reason, message or (known.sentence if known else None)
    job.next_step = next_step or reasons.next_step(reason, job.verb)
    if ending.state == "waiting-consent":
        job.waiting_since = now
    else:
        job.ended_at = now
        _spend_consents(session, job)
    host.reason, host.message = job.reason, job.message
    hosts.set_phase(session, now, host, ending.phase, reason=job.reason, message=job.message)
    lease = leases.read(session, host.id)
    if lease.job == job.no:
        leases.take_away(session, host.id)
    if ending.state in rules.FINAL and job.epoch is not None and job.verb != "power":
        # Like a one-time boot flag: what a job wished for its own way is over with it, however it ends.
        host.boot_wish = "none"
    said = f"job {job.no} {job.verb} {ending.state}: {result}"
    timeline.add(
        session, now, "job", said + (f", {job.message}" if job.message else ""),
        host_id=host.id, detail={"reason": reason, "run_id": job.run_id},
    )  # fmt: skip
    session.flush()
    return job


def _spend_consents(session: Session, job: JobRow) -> None:
    """Leave no consent behind that was given to this job's plan and that no run of it came to ask for.

    Who approved a plan and then cancelled its job has not approved a later job that plans the same.
    """
    session.execute(
        update(ConsentRow)
        .where(
            ConsentRow.host_id == job.host_id, ConsentRow.plan == job.plan, ConsentRow.spent_by_job.is_(None)
        )
        .values(spent_by_job=job.no)
    )  # fmt: skip


def fail(session: Session, now: datetime, host: HostRow, job: JobRow, reason: str, message: str) -> None:
    """End a job from the edge's side; whatever run of it lives is ended at Prefect and fenced here."""
    runs.end(session, now, job, "crash", message)
    finish(
        session, now, host, job, result="failed", reason=reason, message=message,
        next_step=f"rackflow {'inspect' if job.verb == 'discover' else job.verb} {host.name}",
        outcome=job.outcome, plan=None,
    )  # fmt: skip


def expire(session: Session, now: datetime, host: HostRow, job: JobRow) -> None:
    """End a job that nobody consented to in time, and the run that shows its form."""
    message = REASONS["consent-expired"].sentence
    runs.end(session, now, job, "cancel", message)
    finish(
        session, now, host, job, result="failed", reason="consent-expired", message=message,
        next_step=f"rackflow apply {host.name}", outcome=job.outcome, plan=None,
    )  # fmt: skip


def lost(
    session: Session, now: datetime, host: HostRow, job: JobRow, message: str, timing: Timing, *, force: bool
) -> None:
    """A run of the job is lost: the next attempt after its back-off, or the failed phase in the end."""
    said = f"run {job.run_no} of job {job.no} is lost: {message}"
    delay_s = sweeping.attempt_delay_s(job.lost_runs, timing)
    job.lost_runs += 1
    timeline.add(session, now, "run", said, host_id=host.id, detail={"run_id": job.run_id})
    if delay_s is None:
        fail(session, now, host, job, "runs-lost", f"{job.lost_runs} runs were lost; the last: {message}")
        return
    if force:
        runs.end(session, now, job, "crash", f"lost: {message}")
    leases.keep(session, host.id, job.no)
    next_run(session, now, job, delay_s=delay_s)


def progressed(session: Session, host: HostRow, no: int) -> None:
    """A step of the job is done for the first time: runs lost before it count no more."""
    get(session, host, no).lost_runs = 0
    session.flush()


def give_up(
    session: Session, now: datetime, host: HostRow, *, epoch: int, run_id: str, timing: Timing
) -> None:
    """Take a lease back from its holder; one whose job has no outcome yet lost this run."""
    held = leases.read(session, host.id)
    leases.release(session, host, epoch=epoch, run_id=run_id)
    job = session.get(JobRow, (host.id, held.job))
    if held.run_id is not None and job is not None and job.state in rules.OPEN:
        lost(session, now, host, job, "it gave the host back without an outcome", timing, force=False)


def release(session: Session, now: datetime, host: HostRow, *, by: str) -> None:
    """Take the host from its run by an operator's word; whatever lives on is fenced by its epoch."""
    timeline.add(session, now, "lease", f"released by {by}", host_id=host.id)
    for job in unfinished(session, host.id):
        fail(session, now, host, job, "released", f"{by} took the host from job {job.no}")
    leases.take_away(session, host.id)
    twin = FAILED_TWIN.get(Phase(host.phase))
    if twin is not None:
        hosts.set_phase(session, now, host, twin, reason="released", message=f"released by {by}")
    session.flush()
