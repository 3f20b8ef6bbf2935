"""The phases of a host's life and the transitions between them: one table, from which the docs are made.

Only the edge writes a phase, on a journal entry with a valid epoch or on an event of its own
(a report-in, an operator's command). Code looks a transition up; it never compares phases by hand.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Phase(StrEnum):
    """Where a host is in its life."""

    REGISTERED = "registered"
    INSPECTING = "inspecting"
    INSPECT_FAILED = "inspect-failed"
    READY = "ready"
    PROVISIONING = "provisioning"
    PROVISION_FAILED = "provision-failed"
    ACTIVE = "active"
    WIPING = "wiping"
    WIPE_FAILED = "wipe-failed"
    RESCUE = "rescue"
    ADOPTED = "adopted"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class Transition:
    """One allowed step, and what makes it happen."""

    before: Phase
    after: Phase
    cause: str


_P = Phase
TRANSITIONS: Final[tuple[Transition, ...]] = (
    Transition(_P.REGISTERED, _P.INSPECTING, "a discover or inspect job claims the host"),
    Transition(_P.INSPECTING, _P.READY, "BMC verified (or none) and hardware facts stored"),
    Transition(
        _P.INSPECTING, _P.INSPECT_FAILED, "the job failed, was cancelled or released, or the deadline passed"
    ),
    Transition(_P.INSPECT_FAILED, _P.INSPECTING, "a new discover or inspect job claims the host"),
    Transition(_P.READY, _P.INSPECTING, "an inspect job, or the machine reports in anew"),
    Transition(_P.READY, _P.PROVISIONING, "an apply job starts its first step"),
    Transition(_P.PROVISIONING, _P.ACTIVE, "the deployed system was verified against the spec"),
    Transition(
        _P.PROVISIONING,
        _P.PROVISION_FAILED,
        "the job failed, was cancelled or released, or the deadline passed",
    ),
    Transition(_P.PROVISION_FAILED, _P.PROVISIONING, "a new apply job claims the host"),
    Transition(_P.PROVISION_FAILED, _P.INSPECTING, "an inspect job claims the host"),
    Transition(_P.ACTIVE, _P.PROVISIONING, "a consented apply or reinstall starts a destructive step"),
    Transition(_P.ACTIVE, _P.RESCUE, "a rescue job booted the boot OS"),
    Transition(_P.RESCUE, _P.ACTIVE, "an unrescue job saw the system up again"),
    Transition(_P.ACTIVE, _P.WIPING, "a wipe job that may run starts its first step"),
    Transition(_P.READY, _P.WIPING, "a wipe job that may run starts its first step"),
    Transition(_P.PROVISION_FAILED, _P.WIPING, "a wipe job that may run starts its first step"),
    Transition(_P.ADOPTED, _P.WIPING, "a wipe job that may run starts its first step"),
    Transition(_P.WIPING, _P.READY, "the wipe is attested"),
    Transition(
        _P.WIPING, _P.WIPE_FAILED, "the job failed, was cancelled or released, or the deadline passed"
    ),
    Transition(_P.WIPE_FAILED, _P.WIPING, "a new wipe job starts its first step"),
    Transition(_P.WIPE_FAILED, _P.INSPECTING, "an inspect job claims the host"),
    Transition(_P.REGISTERED, _P.ADOPTED, "an adopt job read the running system"),
    Transition(_P.ADOPTED, _P.PROVISIONING, "a consented reinstall starts"),
    Transition(_P.READY, _P.RETIRED, "retired by an operator"),
    Transition(_P.ACTIVE, _P.RETIRED, "retired by an operator"),
    Transition(_P.ADOPTED, _P.RETIRED, "retired by an operator"),
    Transition(_P.REGISTERED, _P.RETIRED, "retired by an operator"),
    Transition(_P.INSPECT_FAILED, _P.RETIRED, "retired by an operator"),
    Transition(_P.PROVISION_FAILED, _P.RETIRED, "retired by an operator"),
    Transition(_P.WIPE_FAILED, _P.RETIRED, "retired by an operator"),
)

FAILED_TWIN: Final[dict[Phase, Phase]] = {
    Phase.INSPECTING: Phase.INSPECT_FAILED,
    Phase.PROVISIONING: Phase.PROVISION_FAILED,
    Phase.WIPING: Phase.WIPE_FAILED,
}

DEADLINE_S: Final[dict[Phase, int]] = {
    Phase.INSPECTING: 30 * 60,
    Phase.PROVISIONING: 90 * 60,
    Phase.WIPING: 24 * 3600,
}
"""How long a phase may take until its job fails; the clock stands still while the job waits for consent."""

_ALLOWED: Final = frozenset((t.before, t.after) for t in TRANSITIONS)


def allowed(before: Phase, after: Phase) -> bool:
    """Whether a host may go from one phase to the other; staying is always allowed."""
    return before == after or (before, after) in _ALLOWED


CONDITIONS: Final = ("InSync", "Reachable", "BmcVerified", "HardwareMatches", "Healthy")
"""Facets beside the phase, each True | False | Unknown with reason, message and since."""
