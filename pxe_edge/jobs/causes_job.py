"""Causes that lie in a job: its run is not there, not picked up, at work, lost, or waits for a person."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from pxe_edge.jobs.causes import ATTEMPTS, Facts, Rule, Situation, age_s, clock, counted, if_, since
from pxe_edge.jobs.rules import NOT_YET
from specs.records import JournalRow

PICK_UP_S: Final = 30
"""A worker polls every few seconds; a run that nobody has taken after this long is told as late."""
QUIET_S: Final = 45
"""A run renews every 20 s: after this long something keeps it from doing so."""
LONG_HASH: Final = 12
CONSENT_DAYS: Final = 7
_BEGUN: Final = ("PENDING", "RUNNING", "PAUSED")


def step_now(s: Situation) -> JournalRow | None:
    """The step that was begun last and has no outcome."""
    newest = s.journal[-1] if s.journal else None
    return newest if newest is not None and newest.phase == "intent" else None


def steps_done(s: Situation) -> int:
    """How many steps of the job are done."""
    return len({row.step for row in s.journal if row.phase == "done"})


def _in(*states: str) -> Callable[[Situation], bool]:
    return lambda s: s.job is not None and s.job.state in states


def _pending(s: Situation) -> bool:
    """The edge has a run to give to Prefect."""
    return s.job is not None and s.run is not None and s.run.state == "pending"


def _waits_for_prefect(s: Situation, *, deployment: bool) -> Facts | None:
    run = s.run
    if run is None or not _pending(s) or run.error is None or run.error.endswith(NOT_YET):
        return None
    if run.error.startswith("no deployment") is not deployment:
        return None
    return {
        "error": run.error,
        "tries": str(run.attempts),
        "next": clock(run.next_try_at, s.now),
        "wanted": since(run.created_at, s.now),
    }


def _prefect_silent(s: Situation) -> Facts | None:
    """Nobody heard of Prefect for a minute, and the job needs it to go on."""
    if s.prefect_answers or s.run is None or s.job is None:
        return None
    needs = _pending(s) or s.job.state == "delivered"
    late = age_s(_given(s), s.now) > PICK_UP_S
    return {"given": since(_given(s), s.now)} if needs and late else None


def _given(s: Situation) -> datetime:
    assert s.run is not None
    return s.run.delivered_at or s.run.created_at


def _retry(s: Situation) -> Facts | None:
    job, run = s.job, s.run
    if job is None or run is None or not _pending(s) or job.lost_runs == 0 or run.next_try_at <= s.now:
        return None
    left = f"attempt {min(job.lost_runs, ATTEMPTS)} of {ATTEMPTS}"
    return {"next": clock(run.next_try_at, s.now), "left": left, "lost": counted(job.lost_runs, "run")}


def _taken(s: Situation, *states: str | None, late: bool) -> Facts | None:
    """Prefect has the run, in one of these states, and nobody has claimed the host with it."""
    run = s.run
    if run is None or not _in("delivered", "cancelling")(s) or run.state != "delivered" or _held(s):
        return None
    if run.prefect_state not in states or late is not (age_s(_given(s), s.now) > PICK_UP_S):
        return None
    state = f", where it is {run.prefect_state}" if run.prefect_state else ""
    return {"given": since(_given(s), s.now), "state": state}


def _ended_unclaimed(s: Situation) -> Facts | None:
    """Prefect says that the run is over, and it never came as far as its claim."""
    run = s.run
    if run is None or not _in("delivered")(s) or run.state != "delivered" or _held(s):
        return None
    if run.prefect_state is None or run.prefect_state in ("SCHEDULED", *_BEGUN):
        return None
    return {"given": since(_given(s), s.now), "state": run.prefect_state}


def _held(s: Situation) -> bool:
    return s.lease.run_id is not None and s.job is not None and s.lease.job == s.job.no


def _expired(s: Situation, *, prefect: bool) -> Facts | None:
    lease = s.lease
    if not _held(s) or lease.expires is None or s.now < lease.expires or s.prefect_answers is not prefect:
        return None
    renewed = lease.expires - timedelta(seconds=s.lease_ttl_s)
    return {"renewed": since(renewed, s.now), "expired": clock(lease.expires, s.now), "doing": _doing(s)}


def _quiet(s: Situation) -> Facts | None:
    lease = s.lease
    if not _held(s) or lease.expires is None:
        return None
    renewed = lease.expires - timedelta(seconds=s.lease_ttl_s)
    if age_s(renewed, s.now) < QUIET_S:
        return None
    return {"renewed": since(renewed, s.now), "expires": clock(lease.expires, s.now), "doing": _doing(s)}


def _doing(s: Situation) -> str:
    step = step_now(s)
    return f"in step {step.step}, begun at {clock(step.at, s.now)}" if step else "between two steps"


def _cancelling(s: Situation, *, held: bool) -> Facts | None:
    if not _in("cancelling")(s) or _held(s) is not held:
        return None
    return {"doing": _doing(s), "done": counted(steps_done(s), "step")}


def _foreign_lease(s: Situation) -> Facts | None:
    """Another job's run holds the host: the open job cannot have it."""
    lease, job = s.lease, s.job
    if job is None or lease.run_id is None or lease.job is None or lease.job == job.no:
        return None
    until = clock(lease.expires, s.now) if lease.expires else "nobody knows when"
    return {"holder": f"flow run {lease.run_id[:8]} of job {lease.job}", "until": until}


def _step(s: Situation) -> Facts | None:
    step = step_now(s)
    if not _held(s) or step is None:
        return None
    return {
        "step": step.step,
        "says": str(step.detail.get("says") or step.kind),
        "begun": since(step.at, s.now),
        "done": counted(steps_done(s), "step"),
    }


def _consent(s: Situation, *, foreign: bool) -> Facts | None:
    job = s.job
    if job is None or job.state != "waiting-consent" or (job.reason == "foreign-content") is not foreign:
        return None
    disks = "; ".join(f"{one.serial} ({one.size}: {one.found})" for one in s.erased)
    plan = (job.plan or "")[:LONG_HASH]
    asked = s.consent_asked or job.created_at
    return {
        "plan": plan,
        "erases": disks or "data",
        "asked": since(asked, s.now),
        "until": f"{asked + timedelta(days=CONSENT_DAYS):%Y-%m-%d %H:%M} UTC",
    }


QUEUE_RULES: Final[tuple[Rule[Situation], ...]] = (
    Rule(
        "no-deployment",
        "Prefect answers and does not know the flow of this site",
        lambda s: _waits_for_prefect(s, deployment=True),
        "{job} has wanted its flow run since {wanted}; Prefect has {error}. Tries: {tries}; next at {next}.",
        "rackflow up registers the deployments at its start",
    ),
    Rule(
        "prefect-away",
        "the edge wants a flow run and Prefect does not take it",
        lambda s: _waits_for_prefect(s, deployment=False),
        "{job} has wanted its flow run since {wanted}; Prefect has not taken its run: {error}. "
        "Tries: {tries}; next at {next}.",
        "Start Prefect's server (rackflow up); the edge then delivers the run by itself",
    ),
    Rule(
        "prefect-silent",
        "Prefect has not answered the edge for a minute",
        _prefect_silent,
        "{run} of {job} has been due since {given}, and Prefect has not answered the edge for a minute.",
        "Start Prefect's server (rackflow up); nothing is handed on until it answers",
    ),
    Rule(
        "run-lost",
        "runs were lost; the next attempt waits for its time",
        _retry,
        "{lost} of {job} ended without an outcome; {left} starts at {next}.",
        "Nothing to do: it starts by itself; rackflow cancel {name} stops it",
    ),
    Rule(
        "lease-foreign",
        "another job's run holds the host",
        _foreign_lease,
        "{job} cannot have the host: {holder} holds it until {until}.",
        "Wait for its end; if its process is known to be dead: rackflow release {name}",
    ),
    Rule(
        "no-worker",
        "Prefect has the run and no worker has taken it",
        lambda s: _taken(s, None, "SCHEDULED", late=True),
        "Prefect has {run} of {job} since {given}{state}, and no worker has taken it.",
        "Start a worker for the site: rackflow worker (rackflow up has one); or its pool is at its limit",
    ),
    Rule(
        "run-unclaimed",
        "a worker took the run, and its process has not claimed the host",
        lambda s: _taken(s, *_BEGUN, late=True),
        "A worker took {run} of {job} at {given}{state}, and its process has not claimed the host. "
        "After 2 min the edge replaces it.",
        "Read the worker's log; rackflow cancel {name} stops the job",
    ),
    Rule(
        "run-ended",
        "Prefect ended the run before its process claimed the host",
        _ended_unclaimed,
        "Prefect had {run} of {job} since {given} and says {state}; the edge gives the job its next run.",
        "Nothing to do: the next run starts by itself; rackflow cancel {name} stops the job",
    ),
    Rule(
        "run-starting",
        "Prefect has the run since a moment",
        lambda s: _taken(s, None, "SCHEDULED", *_BEGUN, late=False),
        "Prefect has {run} of {job} since {given}; a worker is about to take it.",
        "Nothing to do: the run starts by itself",
    ),
    Rule(
        "run-due",
        "the run is about to be given to Prefect",
        if_(lambda s: _in("wanted")(s) or (_pending(s) and _in("cancelling")(s))),
        "{job} was wanted by {by} at {job_since}; the edge is about to give {run} to Prefect.",
        "Nothing to do: the run starts by itself",
    ),
)
"""The job has no run at work."""

RUN_RULES: Final[tuple[Rule[Situation], ...]] = (
    Rule(
        "lease-kept",
        "the run is silent, and Prefect is away: nothing is handed on",
        lambda s: _expired(s, prefect=False),
        "{run} of {job} has not renewed its lease since {renewed}; it expired at {expired}, {doing}; "
        "Prefect does not answer, so the host is not handed on.",
        "Start Prefect's server (rackflow up); if the run is known to be dead: rackflow release {name}",
    ),
    Rule(
        "lease-expired",
        "the run is silent: its process or its network died",
        lambda s: _expired(s, prefect=True),
        "{run} of {job} has not renewed its lease since {renewed}; it expired at {expired}, {doing}; "
        "the edge gives the job its next run.",
        "Nothing to do: the next run goes on where this one ended",
    ),
    Rule(
        "cancel-asked",
        "a cancelled job's run is at work and stops at the next safe point",
        lambda s: _cancelling(s, held=True),
        "{job} is being cancelled: {run} ({doing}; {done} done) stops before its next step.",
        "rackflow cancel {name} waits for its end and says what is left",
    ),
    Rule(
        "cancel-winds-down",
        "a cancelled job's last run is on its way, to leave the machine in a known state",
        lambda s: _cancelling(s, held=False),
        "{job} is being cancelled: its next run winds down what was begun ({doing}; {done} done).",
        "rackflow cancel {name} waits for its end and says what is left",
    ),
    Rule(
        "run-quiet",
        "the run missed a renewal",
        _quiet,
        "{run} of {job} has not renewed its lease since {renewed}, {doing}; it expires at {expires}.",
        "Nothing to do: a run that comes back goes on, else the next one does",
    ),
    Rule(
        "consent-foreign",
        "the plan erases what is not this host's own",
        lambda s: _consent(s, foreign=True),
        "{phase}: plan {plan} of {job} waits for consent since {asked} until {until}; it erases content that "
        "is not this host's own: {erases}.",
        "rackflow approve {name} --plan {plan}",
    ),
    Rule(
        "consent",
        "the plan destroys data and waits for a person",
        lambda s: _consent(s, foreign=False),
        "{phase}: plan {plan} of {job} waits for consent since {asked} until {until}; it erases {erases}.",
        "rackflow approve {name} --plan {plan}",
    ),
    Rule(
        "step-running",
        "a step is at work",
        _step,
        "{phase} since {phase_since}{phase_limit}: {run} of {job} does step {step} ({says}) since {begun}, "
        "{done} done.",
        "Nothing to do: rackflow why {name} shows how it goes on",
    ),
    Rule(
        "run-working",
        "the run reads the machine or plans",
        if_(_held),
        "{phase} since {phase_since}{phase_limit}: {run} of {job} holds the host and is between two steps.",
        "Nothing to do: rackflow why {name} shows how it goes on",
    ),
    Rule(
        "job-open",
        "the job is open and nothing more is known",
        if_(_in("wanted", "delivered", "claimed", "waiting", "waiting-consent", "cancelling")),
        "{job} is open since {job_since} ({run}) and nobody holds the host.",
        "rackflow cancel {name}, then rackflow apply {name}",
    ),
)
"""A run is at work, died, or ended in a wait."""
