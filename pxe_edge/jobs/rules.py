"""Which jobs may be posted, how they end, and what makes one by itself.

One host has at most one open job, because two plans for one machine are two opinions about its
disks. A job that waits for consent is not open: a person may replace it, a program may not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from specs.erasure import wipe_args
from specs.model import Host
from specs.phases import FAILED_TWIN, Phase, allowed
from specs.records import JobState, Result, Verb

OPEN: Final[frozenset[JobState]] = frozenset({"wanted", "delivered", "claimed", "waiting", "cancelling"})
FINAL: Final[frozenset[JobState]] = frozenset({"done", "failed", "cancelled"})
PROGRAMS: Final = frozenset({"fleet", "publish", "discovery", "webhook"})
"""Who posts jobs without a person: these never replace a job that waits for a person's consent."""

FLOW_OF: Final[dict[Verb, str]] = {
    "discover": "discover",
    "inspect": "discover",
    "apply": "reconcile-host",
    "observe": "reconcile-host",
    "reinstall": "reconcile-host",
    "wipe": "wipe-host",
    "power": "power",
}
"""Verb -> the flow that does it; a verb that is missing here has no flow yet and is refused."""


@dataclass(frozen=True, slots=True)
class Job:
    """What the rules need of a job row."""

    no: int
    verb: Verb
    state: JobState
    args: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class New:
    """Make a new job; `supersedes` is a waiting job that it replaces."""

    supersedes: int | None = None


@dataclass(frozen=True, slots=True)
class Same:
    """The wish is there already, as this job."""

    no: int


@dataclass(frozen=True, slots=True)
class Refused:
    """No job is made; `other` is the job in the way, if one is."""

    message: str
    hint: str
    other: int | None = None


def post(
    jobs: Sequence[Job], *, verb: Verb, by: str, phase: Phase, args: Mapping[str, Any] | None = None
) -> New | Same | Refused:
    """Decide about a wish for a job, given the jobs of the host that are not final."""
    wrong = _why_never(verb, phase, args or {})
    if wrong is not None:
        return wrong
    for job in jobs:
        if job.state in OPEN and job.verb == verb and job.state != "cancelling":
            if by not in PROGRAMS and job.args != (args or {}):
                said = f"job {job.no} ({job.verb}) is {job.state}, and does another thing: {dict(job.args)}"
                return Refused(said, "wait for it, or: rackflow cancel NAME", job.no)
            return Same(job.no)
        if job.state in OPEN:
            return Refused(
                f"job {job.no} ({job.verb}) is {job.state}", "wait for it, or: rackflow cancel NAME", job.no
            )
    waiting = next((job for job in jobs if job.state == "waiting-consent"), None)
    return New() if waiting is None else _in_place_of(waiting, verb, by)


def _why_never(verb: Verb, phase: Phase, args: Mapping[str, Any]) -> Refused | None:
    """Why a wish is refused whatever jobs the host has."""
    if verb not in FLOW_OF:
        return Refused(f"no flow does {verb} yet", f"verbs with a flow: {', '.join(sorted(FLOW_OF))}")
    if phase is Phase.RETIRED:
        return Refused("the host is retired", "rackflow host add it anew")
    if verb == "inspect" and phase not in FAILED_TWIN and not allowed(phase, Phase.INSPECTING):
        said = f"a host that is {phase.value} is not inspected: the boot OS would take its system's place"
        return Refused(said, "rackflow plan NAME --refresh reads it as it runs")
    return _why_no_wipe(phase, args) if verb == "wipe" else None


def _why_no_wipe(phase: Phase, args: Mapping[str, Any]) -> Refused | None:
    """Why a wipe is not even begun: a misread argument could mean every disk."""
    try:
        wipe_args(dict(args))
    except ValueError as error:
        return Refused(f"args of wipe: {error}", 'give {"method": METHOD, "disks": "all" or [SERIAL, ...]}')
    if allowed(phase, Phase.WIPING):
        return None
    ways = ", ".join(one.value for one in Phase if one is not Phase.WIPING and allowed(one, Phase.WIPING))
    return Refused(f"a host that is {phase.value} is not wiped", f"one that is {ways} is")


def _in_place_of(waiting: Job, verb: Verb, by: str) -> New | Same | Refused:
    """What becomes of a wish while a job waits for a person's consent."""
    if by in PROGRAMS:
        return Same(waiting.no)
    if verb in ("observe", "power"):
        said = f"job {waiting.no} ({waiting.verb}) waits for consent, and {verb} would take its place"
        return Refused(said, "rackflow approve NAME, or: rackflow cancel NAME", waiting.no)
    return New(supersedes=waiting.no)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a job ends, and in which phase that leaves its host."""

    state: JobState
    phase: Phase


def finish(state: JobState, result: Result, phase: Phase) -> Ending:
    """The state after a run's outcome; a failed run moves its host to the failed twin of its phase.

    A job that is being cancelled asks nobody for consent any more: it ends.
    """
    if result == "waiting-consent" and state != "cancelling":
        return Ending("waiting-consent", phase)
    if result in ("failed", "waiting-consent"):
        ended: JobState = "cancelled" if state == "cancelling" else "failed"
        return Ending(ended, FAILED_TWIN.get(phase, phase))
    return Ending("done", phase)


def report_in_posts(phase: Phase, jobs: Sequence[Job]) -> bool:
    """Whether a report-in makes a discover job: a machine whose facts nobody has read, and no job at it."""
    unread = phase in (Phase.REGISTERED, Phase.INSPECTING, Phase.INSPECT_FAILED)
    return unread and not any(job.state in OPEN for job in jobs)


def leads_on(verb: Verb) -> bool:
    """Whether a job that leaves its host ready is followed by what its spec wants without a command.

    Who had a host wiped wants it blank, and not installed anew at once.
    """
    return verb != "wipe"


def apply_is_due(phase: Phase, spec: Host | None) -> bool:
    """Whether a ready host is provisioned without a command: its spec has an image and allows destroying."""
    return (
        phase is Phase.READY
        and spec is not None
        and spec.image is not None
        and spec.lifecycle.destroy == "allow"
    )


RETRY_BASE_S: Final = 1.0
RETRY_CAP_S: Final = 10.0


def delivery_delay_s(attempts: int, jitter: float) -> float:
    """Seconds until a flow run is offered to Prefect again; `jitter` in 0..1 spreads many edges.

    SQLite-backed servers answer 503 to most creates while they are busy (measured), so the first
    retries are close; a machine waits at the other end, so the cap is ten seconds.
    """
    delay: float = min(RETRY_CAP_S, RETRY_BASE_S * 2.0 ** min(attempts, 10))
    return delay * (0.5 + jitter / 2)


PREFECT_TERMINAL: Final = frozenset({"COMPLETED", "FAILED", "CANCELLED", "CRASHED"})
"""State types from which a Prefect run never goes on by itself."""

NOT_YET: Final = "not suspended yet"
"""What a run is that is to be woken before it has suspended itself: Prefect answers, the run is late."""

Stop = Literal["nothing", "end", "wind-down"]


def cancel(state: JobState, *, claimed_once: bool) -> Stop:
    """How a job is stopped: at once as long as no run has touched the host, else by a run that winds down.

    A job that waits for consent has done nothing since its plan was made that is worth winding down.
    """
    if state in FINAL or state == "cancelling":
        return "nothing"
    if state == "waiting-consent" or (state in ("wanted", "delivered") and not claimed_once):
        return "end"
    return "wind-down"
