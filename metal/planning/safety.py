"""May this plan destroy what it would destroy? One pure function, and the table of its answers.

The order of the rules is part of them: what is forbidden is said before what is merely to be asked, so
that nobody consents to a plan that then is refused.
"""

from dataclasses import dataclass
from typing import Final, Literal

from metal.planning.install import BLANK
from metal.planning.plan import Plan
from metal.planning.steps import BUSY, INSTALLED
from specs.phases import Phase

PostedBy = Literal["person", "discovery", "fleet", "publish", "webhook", "prefect-ui"]
"""Who wants a job. Prefect's UI knows no users: a run that was started there is nobody's consent."""
Destroy = Literal["never", "ask", "allow"]


@dataclass(frozen=True, slots=True)
class Allowed:
    """The plan may run."""


@dataclass(frozen=True, slots=True)
class NeedsConsent:
    """The plan may run once a person has consented to its hash; `disks` are the identities to be erased."""

    reason: str
    disks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Forbidden:
    """The plan must not run, whatever anybody consents to; the reason code says what to change."""

    reason: str


Verdict = Allowed | NeedsConsent | Forbidden

ALLOWED: Final = Allowed()


def consent_needed(
    plan: Plan,
    *,
    phase: Phase,
    destroy: Destroy,
    take_disks: bool,
    installed: frozenset[str],
    posted_by: PostedBy,
) -> Verdict:
    """Judge a plan by the host's phase, its spec's lifecycle, its disks, and who wants it.

    `installed` are the identities that the registry lists under this host's install record.
    """
    disks = tuple(dict.fromkeys(one.serial for step in plan.steps for one in step.destroys))
    foreign = [
        one.serial
        for step in plan.steps
        for one in step.destroys
        if one.found != BLANK and one.serial not in installed
    ]
    forbidden = _forbidden(plan, phase, destroy, posted_by)
    if forbidden:
        return Forbidden(forbidden)
    if not plan.destructive:
        return ALLOWED
    if destroy == "ask" or posted_by == "prefect-ui" or not disks:
        # A destructive step that names no disk is nothing that a standing consent could cover.
        return NeedsConsent("waiting-consent", disks)
    if foreign and not take_disks:
        return NeedsConsent("foreign-content", disks)
    return ALLOWED


def _forbidden(plan: Plan, phase: Phase, destroy: Destroy, posted_by: PostedBy) -> str | None:
    """The reason code why no consent helps; None when one may."""
    if plan.blocked or not plan.destructive:
        return plan.blocked
    if phase in BUSY:
        return "no-work-due"
    if destroy == "never":
        return "destroy-never"
    # Fleet, webhook and publish report drift on a running system; they destroy nothing there.
    return "drift" if phase in INSTALLED and posted_by != "person" else None
