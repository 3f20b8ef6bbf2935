"""Causes that stand in the host itself: its reason code, its conditions, its phase.

Some codes cover several causes that ask for different steps: a BMC that is silent, one that refuses the
login and one that forgets what it was told. Those are told apart by the message that the run left.
"""

import re
from collections.abc import Callable
from typing import Final

from pxe_edge.jobs.causes import Facts, Rule, Situation, age_s, clock, counted, if_, in_phase, since
from pxe_edge.jobs.causes_silence import newest, words
from pxe_edge.policy.silences import BY_PROTOCOL
from specs.phases import FAILED_TWIN, Phase
from specs.reasons import REASONS, Reason
from specs.records import Condition

_SECRET: Final = re.compile(r"secret:([A-Za-z0-9._-]{1,63})")
_GENERIC: Final = frozenset({"step-failed", "refused", "unreachable", "unparsable"})
"""Codes that say little: the step that failed says more."""
_BUSY: Final = frozenset(FAILED_TWIN)
_RECENT_S: Final = 900
"""So long a boot request is what somebody who asks wants explained."""
_SETTLED: Final = frozenset({Phase.READY, Phase.ACTIVE, Phase.ADOPTED, Phase.RESCUE})


def _idle(s: Situation) -> bool:
    return s.job is None


def _said(s: Situation) -> str:
    """The message that the run left, else the code's sentence."""
    known = REASONS.get(s.reason or "")
    text = s.host.message or (known.sentence if known else s.reason or "")
    return text.rstrip(". ")


def _ended(s: Situation) -> str:
    if s.ended is None:
        return ""
    return f" (job {s.ended.no}, {s.ended.verb}, by {s.ended.by} at {clock(s.ended.created_at, s.now)})"


def _reason(code: str, pattern: str = "") -> Callable[[Situation], Facts | None]:
    """The host bears this code, and the message fits."""
    wanted = re.compile(pattern, re.IGNORECASE)

    def holds(s: Situation) -> Facts | None:
        if not _idle(s) or s.reason != code or not wanted.search(s.host.message or ""):
            return None
        return {"said": _said(s), "ended": _ended(s)}

    return holds


def _failed_step(s: Situation) -> Facts | None:
    if not _idle(s) or s.reason not in _GENERIC:
        return None
    row = next((row for row in reversed(s.journal) if row.phase == "failed"), None)
    if row is None:
        return None
    done = len({one.step for one in s.journal if one.phase == "done"})
    said = str(row.detail.get("message") or _said(s)).rstrip(". ")
    return {
        "step": row.step,
        "said": said,
        "done": counted(done, "finished step"),
        "ended": _ended(s),
        "at": since(row.at, s.now),
    }


def _secret(s: Situation) -> Facts | None:
    if not _idle(s) or s.reason != "secret-missing":
        return None
    named = _SECRET.findall(s.host.message or "") or list(s.secrets_missing)
    return {"secret": named[0], "said": _said(s), "ended": _ended(s)} if named else None


def _image(s: Situation) -> Facts | None:
    if not _idle(s) or s.reason not in ("image-missing", "image-mismatch") or s.image is None:
        return None
    return {
        "image": s.image,
        "said": _said(s),
        "stored": s.image_state or "not in the store",
        "ended": _ended(s),
    }


def _condition(type_: str, status: str = "False") -> Callable[[Situation], Facts | None]:
    def holds(s: Situation) -> Facts | None:
        found = _of(s, type_)
        if not _idle(s) or s.reason is not None or found is None or found.status != status:
            return None
        return {"said": found.message or found.reason, "at": since(found.since, s.now)}

    return holds


def _of(s: Situation, type_: str) -> Condition | None:
    return next((one for one in s.host.conditions if one.type == type_), None)


def _missing_image(s: Situation) -> Facts | None:
    if not _idle(s) or s.host.phase is not Phase.READY or s.image is None or s.image_state == "ready":
        return None
    return {"image": s.image, "stored": s.image_state or "not in the store"}


def _missing_secret(s: Situation) -> Facts | None:
    if not _idle(s) or s.host.phase is not Phase.READY or not s.secrets_missing:
        return None
    return {"secret": s.secrets_missing[0], "secrets": ", ".join(s.secrets_missing)}


def _wiped(s: Situation) -> Facts | None:
    job = s.ended
    if not _idle(s) or s.host.phase is not Phase.READY or job is None:
        return None
    if job.verb != "wipe" or job.state != "done":
        return None
    then = f"rackflow apply {s.host.name} installs it anew" if s.host.spec else "no spec is bound to it"
    return {"said": (job.message or "its disks were erased").rstrip(". "), "then": then}


_SAID: Final = "{phase}: {said}{ended}."

PARTICULAR: Final[tuple[Rule[Situation], ...]] = (
    Rule(
        "bmc-refuses",
        "the BMC answers and takes none of the stored accounts",
        _reason("bmc-unverified", r"refuses user|takes no credential"),
        "{phase}: the BMC at {bmc} answers and refuses the login: {said}{ended}.",
        "Where no system runs, rackflow inspect {name} sets the account up again from inside the machine; "
        "else give the BMC the account that rackflow credentials {name} shows",
    ),
    Rule(
        "bmc-not-on-lan",
        "the BMC was set up in band and does not answer over the LAN",
        _reason("bmc-unverified", r"does not log in over the|was set in band"),
        "{phase}: {said}{ended}.",
        "Check the cable and VLAN of the BMC's port and the route to {bmc}, then: rackflow inspect {name}",
    ),
    Rule(
        "bmc-no-address",
        "no address is left for the BMC",
        _reason("bmc-unverified", r"no BMC address is kept"),
        "{phase}: {said}{ended}.",
        "Give the Site a network with purpose bmc, rackflow spec publish, then: rackflow inspect {name}",
    ),
    Rule(
        "bmc-silent",
        "the BMC does not answer",
        _reason("unreachable", r"IPMI|BMC"),
        "{phase}: the BMC at {bmc} does not answer: {said}{ended}.",
        "Is {bmc} reached from the worker? rackflow power status {name}; then {again}",
    ),
    Rule(
        "bmc-lies",
        "the BMC says done and does something else",
        _reason("refused", r"keeps another boot override|read back"),
        "{phase}: {said}{ended}.",
        "Reset or update the BMC at {bmc}, then: {again}",
    ),
    Rule(
        "bmc-refuses-command",
        "the BMC refuses a command",
        _reason("refused", r"\bBMC\b"),
        "{phase}: the BMC at {bmc} refused: {said}{ended}.",
        "rackflow power status {name} shows what it does take; then {again}",
    ),
    Rule(
        "boot-os-unreachable",
        "the boot OS is not there, or takes no SSH connection",
        _reason("unreachable", r"no boot OS|SSH"),
        _SAID,
        "rackflow console {name}; if it hangs: rackflow power cycle {name}, then {again}",
    ),
    Rule(
        "secret-not-set",
        "a named secret is not set, or was changed after the plan was made",
        _secret,
        "{phase}: secret {secret} is missing: {said}{ended}.",
        "rackflow secret set {secret}, then: {again}",
    ),
    Rule(
        "image-not-stored",
        "the image that the spec names is not in the store, or is another one",
        _image,
        "{phase}: image {image} is {stored}: {said}{ended}.",
        "rackflow image add {image}, then: {again}",
    ),
    Rule(
        "failed-step",
        "a step of the job failed",
        _failed_step,
        "{phase}: step {step} failed {at} after {done}: {said}{ended}.",
        "rackflow plan {name} --refresh shows what is there now; {again} goes on",
    ),
)
"""Codes of which the message says more."""


def _general(reason: Reason) -> Rule[Situation]:
    """The rule of a code without particulars: its message, and the next step of its table."""
    step = reason.next_step.replace("rackflow apply NAME", "{again}")
    for word in ("NAME", "MAC", "IMAGE", "SECRET"):
        step = re.sub(rf"\b{word}\b", f"{{{word.lower()}}}", step)
    return Rule(
        reason.code,
        reason.sentence.rstrip("."),
        _reason(reason.code),
        _SAID,
        step,
    )


def _unanswered(s: Situation) -> Facts | None:
    silence = newest(s.ignored, after=s.asked[-1].at if s.asked else None)
    if silence is None or age_s(silence.at, s.now) > _RECENT_S or silence.reason in BY_PROTOCOL:
        return None
    return words(silence, mac=s.host.macs[0] if s.host.macs else s.host.name, now=s.now)


def _asked_without_work(s: Situation) -> Facts | None:
    last = s.asked[-1] if s.asked else None
    if last is None or last.boot != "no-work-due" or age_s(last.at, s.now) > _RECENT_S:
        return None
    return {"at": since(last.at, s.now)}


GENERAL: Final[tuple[Rule[Situation], ...]] = tuple(
    _general(reason) for reason in REASONS.values() if reason.code != "ok"
)

STANDING: Final[tuple[Rule[Situation], ...]] = (
    Rule(
        "packets-unanswered",
        "a host without work whose newest packets got no answer",
        _unanswered,
        "{phase}, and its newest packets got no answer. {why}: {seen}.",
        "{step}",
    ),
    Rule(
        "hardware-changed",
        "the machine's identities are not those on record",
        _condition("HardwareMatches"),
        "{phase}: since {at} the hardware does not match what is on record: {said}.",
        "Compare rackflow host {name} with the machine in the rack",
    ),
    Rule(
        "not-reachable",
        "the running system does not answer",
        _condition("Reachable"),
        "{phase}: the machine has not answered since {at}: {said}.",
        "rackflow power status {name}, then rackflow console {name}",
    ),
    Rule(
        "bmc-not-verified",
        "the BMC's account is not proven",
        _condition("BmcVerified"),
        "{phase}: the BMC is not verified since {at}: {said}.",
        "Where no system runs, rackflow inspect {name} sets it up again; else give it the account that "
        "rackflow credentials {name} shows",
    ),
    Rule(
        "drive-to-replace",
        "a drive of a RAID volume has failed, is missing or is about to fail, or a volume lacks redundancy",
        _condition("Healthy"),
        "{phase}: since {at} a RAID volume is not in order: {said}.",
        "rackflow host {name} shows volumes, slots and serials; a rebuild needs nothing but time",
    ),
    Rule(
        "not-in-sync",
        "the machine differs from its spec",
        _condition("InSync"),
        "{phase}: the machine differs from its spec since {at}: {said}.",
        "rackflow plan {name}",
    ),
    Rule(
        "no-open-job",
        "the phase is one of work, and no job works",
        if_(lambda s: _idle(s) and s.host.phase in _BUSY),
        "{phase} since {phase_since}{phase_limit}, and no job is open.",
        "{again}",
    ),
    Rule(
        "failed",
        "a failed phase without a reason",
        if_(lambda s: _idle(s) and s.host.phase in FAILED_TWIN.values()),
        "{phase} since {phase_since}; the run left no reason.",
        "{again}",
    ),
    Rule(
        "retired",
        "the host is retired",
        if_(lambda s: s.host.phase is Phase.RETIRED),
        "retired since {phase_since}: it gets no work.",
        "Nothing to do",
    ),
    Rule(
        "wiped",
        "ready, and blank: its disks were erased by command",
        _wiped,
        "ready since {phase_since}, and nothing is installed: {said} ({job}, by {by}).",
        "rackflow host {name} shows the report of each disk; {then}",
    ),
    Rule(
        "spec-missing",
        "no spec is bound",
        if_(lambda s: _idle(s) and s.host.spec is None and s.host.phase in _SETTLED),
        "{phase}: no spec is bound to this host.",
        "rackflow host {name} shows what to match; write a Host spec, then: rackflow spec publish",
    ),
    Rule(
        "image-needed",
        "ready, and the image of its spec is not in the store",
        _missing_image,
        "ready since {phase_since}: image {image}, which its spec names, is {stored}.",
        "rackflow image add {image}",
    ),
    Rule(
        "secret-needed",
        "ready, and secrets of its spec are not set",
        _missing_secret,
        "ready since {phase_since}: its spec names secrets that are not set: {secrets}.",
        "rackflow secret set {secret}",
    ),
    Rule(
        "idle",
        "ready, and nobody asked for an installation",
        if_(lambda s: _idle(s) and in_phase(Phase.READY)(s)),
        "ready since {phase_since}: nobody has asked for its installation.",
        "rackflow plan {name}, then rackflow apply {name}",
    ),
    Rule(
        "asked-without-work",
        "the machine asked for a network boot, and none is due",
        _asked_without_work,
        "{phase}: it asked for a network boot at {at}, and none is due: an address, and no boot file.",
        "Put its disk first in the boot order; where no system runs, rackflow inspect {name} has it booted",
    ),
    Rule(
        "raid-not-known",
        "a RAID volume of the spec can't be read, because its controller's tool is not there",
        _condition("Healthy", "Unknown"),
        "{phase}: since {at} the RAID volumes are not known: {said}.",
        "Put its tool into the system that runs, then rackflow plan {name} --refresh; where none runs, "
        "rackflow inspect {name} reads them from the boot OS",
    ),
    Rule(
        "controller-not-known",
        "a RAID controller can't be asked, so its drives are not known",
        _condition("HardwareMatches", "Unknown"),
        "{phase}: since {at} a RAID controller's drives are not known: {said}.",
        "Put its tool into bootos/vendor, then rackflow bootos build: its next boot OS reads them; "
        "where no system runs, rackflow inspect {name} starts it",
    ),
    Rule(
        "ok",
        "everything asked for is there",
        if_(lambda _: True),
        "{phase} since {phase_since}: nothing is due.",
        "Nothing to do",
    ),
)
"""No job and no reason code: conditions and phase."""
