"""What becomes of an open job whose run may be dead: everything known in, one decision out.

Theory. Prefect knows what it started, the edge knows who renewed a lease, and neither knows whether a
process lives. So nothing here decides that a process is dead; it decides that the job goes on without
it. The lease then raises its epoch with the next claim, and that is what keeps a process that lives on
from doing harm. While Prefect does not answer, runs are not judged at all: a whole site's runs would
look lost at once.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pxe_edge.jobs.leases import Lease
from pxe_edge.jobs.rules import FINAL
from pxe_edge.jobs.timing import Timing
from specs.phases import DEADLINE_S, Phase
from specs.records import JobState, Verb

ATTEMPTS: Final = 5
"""Attempts after lost runs; the loss after the last one fails the job."""
ENDED: Final = frozenset({"COMPLETED", "FAILED", "CRASHED"})
CANCELLED: Final = frozenset({"CANCELLED", "CANCELLING"})
"""A cancel in Prefect's UI, before and after the worker has ended the process."""
NO_CLOCK: Final[frozenset[Verb]] = frozenset({"power", "observe"})
"""Verbs that move no phase, so that a phase's deadline is none of theirs."""


@dataclass(frozen=True, slots=True)
class PrefectState:
    """Prefect's word on a run, and since when it is so."""

    type: str
    since: datetime


UNKNOWN: Final = "UNKNOWN"
"""The type of a run that Prefect has forgotten."""


@dataclass(frozen=True, slots=True)
class Situation:
    """All that is known of one open job. `prefect` None: it was not asked, or did not answer."""

    state: JobState
    verb: Verb
    run_id: str | None
    run_at: datetime
    """When the present run was delivered, or put into the outbox."""
    delivered: bool
    claimed_once: bool
    lost_runs: int
    lease: Lease
    prefect: PrefectState | None
    wait_until: datetime | None = None
    waiting_since: datetime | None = None
    phase: Phase = Phase.READY
    phase_s: float = 0.0
    """How long the phase's clock has run."""


@dataclass(frozen=True, slots=True)
class Nothing:
    """All is well, or nothing can be said."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The run is lost; `force` when Prefect still believes that it lives."""

    message: str
    force: bool


@dataclass(frozen=True, slots=True)
class Replace:
    """The run never came as far as its claim: another one, and nothing is counted."""

    message: str


@dataclass(frozen=True, slots=True)
class Cancelling:
    """Cancelled in Prefect's UI: the next run winds down at once."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancelled in Prefect's UI before any run touched the host: the job ends."""


@dataclass(frozen=True, slots=True)
class Resume:
    """The run was suspended after its consent had come: wake it."""


@dataclass(frozen=True, slots=True)
class NextRun:
    """The wait is over by the clock."""


@dataclass(frozen=True, slots=True)
class PhaseDeadline:
    """The phase took longer than it may."""

    message: str


@dataclass(frozen=True, slots=True)
class ConsentExpired:
    """Nobody consented in time."""


Decision = Nothing | Lost | Replace | Cancelling | Cancel | Resume | NextRun | PhaseDeadline | ConsentExpired


def decide(job: Situation, timing: Timing, now: datetime) -> Decision:
    """The one thing to do about a job now."""
    if job.state in FINAL:
        return Nothing()
    if job.state == "waiting-consent":
        return _for_consent(job, timing, now)
    limit_s = DEADLINE_S.get(job.phase)
    if limit_s is not None and job.phase_s >= limit_s and job.verb not in NO_CLOCK:
        return PhaseDeadline(f"{job.phase} took longer than {limit_s // 60} minutes")
    return _for_event(job, now) if job.state == "waiting" else _of_run(job, timing, now)


def _of_run(job: Situation, timing: Timing, now: datetime) -> Decision:
    """What the present run's fate is, as far as Prefect was asked about it."""
    if job.prefect is None or job.run_id is None:
        return Nothing()
    if job.lease.run_id is not None:
        return _of_holder(job, job.prefect, timing, now)
    if job.delivered:
        return _unclaimed(job, job.prefect, timing, now)
    return _to_be_woken(job, job.prefect, timing, now)


def _for_consent(job: Situation, timing: Timing, now: datetime) -> Decision:
    since = job.waiting_since
    if since is not None and now >= since + timedelta(seconds=timing.consent_s):
        return ConsentExpired()
    if job.prefect is None or job.run_id is None:
        return Nothing()
    if job.prefect.type in CANCELLED:
        return Cancel()
    return _of_asking(job.prefect, since or job.run_at, timing, now)


def _of_asking(prefect: PrefectState, since: datetime, timing: Timing, now: datetime) -> Decision:
    """The run that shows the form. Where it died, its answer may have died with it: the next one asks again.

    COMPLETED is no loss: such a run could or should show no form, and the job waits for the command alone.
    """
    if prefect.type in ("FAILED", "CRASHED"):
        return Lost(f"Prefect says {prefect.type} of the run that asks for consent", force=False)
    late = now >= max(prefect.since, since) + timedelta(seconds=timing.unclaimed_s)
    if prefect.type in ("PENDING", "RUNNING") and late:
        return Lost(f"{prefect.type} for {timing.unclaimed_s} s without asking for consent", force=True)
    return Nothing()


def _for_event(job: Situation, now: datetime) -> Decision:
    if job.prefect is not None and job.prefect.type in CANCELLED:
        return Cancelling()
    if job.wait_until is not None and now >= job.wait_until:
        return NextRun()
    return Nothing()


def _of_holder(job: Situation, prefect: PrefectState, timing: Timing, now: datetime) -> Decision:
    """A run holds the lease. Who renewed after Prefect's verdict lives on, and is left to its lease."""
    expires = job.lease.expires or now
    renewed_at = expires - timedelta(seconds=timing.lease_ttl_s)
    if prefect.type in CANCELLED and job.state != "cancelling":
        return Cancelling()
    ended = prefect.type in ENDED or prefect.type == "CANCELLED"
    if ended and renewed_at <= prefect.since:
        return Lost(f"Prefect says {prefect.type}, and no outcome came", force=prefect.type == "COMPLETED")
    if now >= expires:
        said = f"its lease expired at {expires:%H:%M:%S}"
        return Lost(f"{said}; Prefect said {prefect.type}", force=prefect.type not in ENDED)
    return Nothing()


def _unclaimed(job: Situation, prefect: PrefectState, timing: Timing, now: datetime) -> Decision:
    """Prefect has the run, and it has not claimed the host. SCHEDULED only means that no worker is free."""
    if prefect.type in CANCELLED:
        return _cancelled(job)
    if prefect.type in ENDED:
        return Lost(f"Prefect says {prefect.type}, and it never claimed the host", force=False)
    if prefect.type == "PAUSED":
        return Resume()
    return _in_time(job, prefect, timing, now) if prefect.type != "SCHEDULED" else Nothing()


def _to_be_woken(job: Situation, prefect: PrefectState, timing: Timing, now: datetime) -> Decision:
    """The run was to suspend itself and is to be woken; the courier sees to it once it has."""
    if prefect.type in CANCELLED:
        return _cancelled(job)
    return _in_time(job, prefect, timing, now) if prefect.type in ("PENDING", "RUNNING") else Nothing()


def _in_time(job: Situation, prefect: PrefectState, timing: Timing, now: datetime) -> Decision:
    since = max(prefect.since, job.run_at) if prefect.type != UNKNOWN else job.run_at
    if now < since + timedelta(seconds=timing.unclaimed_s):
        return Nothing()
    return Replace(f"{prefect.type} for {timing.unclaimed_s} s without claiming the host")


def _cancelled(job: Situation) -> Decision:
    if not job.claimed_once:
        return Cancel()
    if job.state == "cancelling":
        return Lost("Prefect says CANCELLED of the run that should wind down", force=False)
    return Cancelling()


def attempt_delay_s(lost_before: int, timing: Timing) -> float | None:
    """Seconds until the next attempt after a lost run; None when there is none any more."""
    return None if lost_before >= ATTEMPTS else float(timing.retry_base_s * 2**lost_before)


def fleet_is_stuck(state: PrefectState, timing: Timing, now: datetime) -> str | None:
    """Why a fleet run keeps its site's one place for nothing, if it does."""
    limit_s = {"PENDING": timing.unclaimed_s, "RUNNING": timing.fleet_s}.get(state.type)
    if limit_s is None or now < state.since + timedelta(seconds=limit_s):
        return None
    return f"{state.type} for more than {limit_s} s"
