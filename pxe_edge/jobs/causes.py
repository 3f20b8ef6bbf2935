"""Why a host is where it is: one snapshot in, one cause with one sentence and one next step out. Pure.

Theory. Everything that is known of a host at one moment is a `Situation`. An ordered table of rules
(`causes_table`) is asked from the top; the first rule that holds is the cause. Particular causes stand
before general ones: "the console ends with a kernel panic" before "it has not reported in". A rule is
data: a code, what has to hold, a sentence and a next step with places for facts, so that the docs are
made from the table and a test can show that no rule hides behind another.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Generic, TypeVar

from pxe_edge.jobs.causes_serial import Console
from pxe_edge.jobs.leases import NEVER_HELD, Lease
from specs.phases import DEADLINE_S, Phase
from specs.records import HostRecord, JobRecord, JournalRow

Facts = Mapping[str, str]
"""What a rule found, by the names that its sentence and next step use."""
S = TypeVar("S")
ATTEMPTS: Final = 5
"""Attempts that a job gets after a lost run before it fails."""
SHORT_ID: Final = 8
_READING: Final = frozenset({"discover", "inspect"})


@dataclass(frozen=True, slots=True)
class Run:
    """The job's newest flow run, as the outbox has it."""

    no: int
    state: str
    created_at: datetime
    next_try_at: datetime
    delivered_at: datetime | None = None
    attempts: int = 0
    error: str | None = None
    prefect_state: str | None = None
    """The state type that Prefect told last; None where it was not asked yet."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One boot request of the machine, and what it was answered, in pairs."""

    at: datetime
    via: str
    client: str
    answer: Mapping[str, str]

    @property
    def boot(self) -> str:
        """What it was told to boot; empty when it got no answer."""
        return self.answer.get("boot") or ("script" if self.answer.get("answer") == "script" else "")


@dataclass(frozen=True, slots=True)
class Ignored:
    """Packets of one machine that got no answer, for one reason."""

    at: datetime
    reason: str
    count: int = 1
    network: str | None = None
    detail: str = ""
    """What the reason is about, in pairs: `giaddr=10.9.9.9`."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A report-in or phone-home that the edge did not take."""

    at: datetime
    text: str


@dataclass(frozen=True, slots=True)
class Erased:
    """A disk that the waiting plan erases."""

    serial: str
    size: str
    found: str


@dataclass(frozen=True, slots=True)
class Situation:
    """All that `why` knows of a host at one moment."""

    now: datetime
    host: HostRecord
    phase_since: datetime
    job: JobRecord | None = None
    """The job that has not ended, also one that waits for consent."""
    ended: JobRecord | None = None
    """The newest job that has ended."""
    run: Run | None = None
    lease: Lease = NEVER_HELD
    lease_ttl_s: int = 90
    journal: tuple[JournalRow, ...] = ()
    """Rows of the job, or of the ended one where none is open; oldest first."""
    asked: tuple[Asked, ...] = ()
    refused: tuple[Refused, ...] = ()
    console: Console | None = None
    """How the newest serial log ends."""
    boot_os_built: bool = True
    prefect_answers: bool = True
    erased: tuple[Erased, ...] = ()
    consent_asked: datetime | None = None
    """When the job began to wait for consent."""
    image: str | None = None
    """The image that the spec names."""
    image_state: str | None = None
    """What the store says of it; None when it is not there."""
    secrets_missing: tuple[str, ...] = ()
    bmc_locked_by: str | None = None
    ignored: tuple[Ignored, ...] = ()
    """Packets of its NICs that got no answer."""
    discovery: str = "register"
    """What the site does with machines that it does not recognise."""

    @property
    def reason(self) -> str | None:
        """The host's reason code; None when nothing is wrong."""
        return None if self.host.reason == "ok" else self.host.reason


@dataclass(frozen=True, slots=True)
class Rule(Generic[S]):
    """One cause. `holds` gives the facts of the sentence, None when this is not the cause."""

    code: str
    when: str
    holds: Callable[[S], Facts | None]
    sentence: str
    next_step: str


@dataclass(frozen=True, slots=True)
class Cause:
    """What a person is told."""

    code: str
    sentence: str
    next_step: str
    reason: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    run_id: str | None = None


def if_(test: Callable[[S], bool]) -> Callable[[S], Facts | None]:
    """A condition that finds nothing but itself."""
    return lambda situation: {} if test(situation) else None


def decide(rules: Sequence[Rule[S]], situation: S, facts: Facts) -> Cause | None:
    """The first rule that holds, with `facts` and its own put into its words."""
    for rule in rules:
        found = rule.holds(situation)
        if found is not None:
            words = {**facts, **found}
            return Cause(rule.code, rule.sentence.format_map(words), rule.next_step.format_map(words))
    return None


def explain(rules: Sequence[Rule[Situation]], situation: Situation) -> Cause:
    """The cause of a host's situation; the table ends with rules that always hold."""
    cause = decide(rules, situation, facts_of(situation))
    assert cause is not None, "the last rule holds always"
    job, host = situation.job, situation.host
    since = situation.phase_since
    if job is not None:
        since = job.wait.since if job.wait else job.created_at
    return replace(
        cause,
        reason=host.reason or (job.reason if job else None),
        since=since,
        until=_until(situation),
        run_id=job.run_id if job else host.last_run,
    )


def _until(s: Situation) -> datetime | None:
    if s.job is not None and s.job.wait is not None and s.job.state == "waiting":
        return s.job.wait.deadline
    if s.job is not None and s.run is not None and s.run.state == "pending":
        return s.run.next_try_at
    return None


def facts_of(s: Situation) -> dict[str, str]:
    """The facts that every sentence may use."""
    job = s.job or s.ended
    limit_s = DEADLINE_S.get(s.host.phase)
    return {
        "name": s.host.name,
        "phase": s.host.phase.value,
        "phase_since": since(s.phase_since, s.now),
        "phase_limit": f" (at most {span(limit_s)})" if limit_s else "",
        "job": f"job {job.no} ({job.verb})" if job else "no job",
        "job_since": since(job.created_at, s.now) if job else "",
        "by": job.by if job else "",
        "run": run_words(job) if job else "no run",
        "attempt": str(job.lost_runs) if job else "0",
        "attempts": str(ATTEMPTS),
        "message": s.host.message or "",
        "bmc": s.host.bmc_address or "an unknown address",
        "mac": s.host.macs[0] if s.host.macs else s.host.name,
        "image": s.image or "IMAGE",
        "secret": s.secrets_missing[0] if s.secrets_missing else "SECRET",
        "again": again(s),
        "cycle": cycle(s),
    }


def again(s: Situation) -> str:
    """The command that starts what failed once more: an inspection, a wipe, and all else an apply."""
    if s.host.phase in (Phase.WIPING, Phase.WIPE_FAILED) or (s.ended is not None and s.ended.verb == "wipe"):
        return f"rackflow wipe {s.host.name}"
    reads = s.host.phase in (Phase.INSPECTING, Phase.INSPECT_FAILED) or (
        s.ended is not None and s.ended.verb in _READING
    )
    return f"rackflow {'inspect' if reads else 'apply'} {s.host.name}"


def cycle(s: Situation) -> str:
    """How to start the machine anew: an open job does it itself, and no power job is taken beside it."""
    command = f"rackflow power cycle {s.host.name}"
    if s.job is None:
        return command
    return (
        f"its job restarts it where that is safe; to do it now: rackflow cancel {s.host.name}, then {command}"
    )


def run_words(job: JobRecord) -> str:
    """Which run: its number, and Prefect's id as far as it is known."""
    return f"run {job.run_no}" + (f" (flow run {job.run_id[:SHORT_ID]})" if job.run_id else "")


def clock(at: datetime, now: datetime) -> str:
    """A time as a person reads it: without the date today."""
    return f"{at:%H:%M:%S} UTC" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M} UTC"


def span(seconds: float) -> str:
    """A length of time in its largest fitting unit."""
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def since(at: datetime, now: datetime) -> str:
    """When something began, and how long ago that is."""
    return f"{clock(at, now)} ({span((now - at).total_seconds())} ago)"


def age_s(at: datetime, now: datetime) -> float:
    """Seconds since a moment."""
    return (now - at).total_seconds()


def counted(number: int, thing: str) -> str:
    """A number of things."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def in_phase(*phases: Phase) -> Callable[[Situation], bool]:
    """A condition: the host is in one of these phases."""
    return lambda s: s.host.phase in phases
