"""May this plan destroy what it would destroy? One pure function, and the table of its answers (DESIGN 5.2).

The order of the rules is part of them: what is forbidden is said before what is merely to be asked, so
that nobody consents to a plan that then is refused.

A disk counts as blank or as this host's own only where the plan says so by its identity. A disk that a
destructive step writes without having named it, and one that is known by its path alone, is nobody's.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from metal.planning.erasing import BLANK
from metal.planning.plan import Plan, Step
from metal.planning.steps import INSTALLED
from specs.phases import Phase, allowed

PostedBy = Literal["person", "discovery", "fleet", "publish", "webhook", "prefect-ui"]
"""Who wants a job. Prefect's UI knows no users: a run that was started there is nobody's consent."""
Destroy = Literal["never", "ask", "allow"]

ONLY_REPORT: Final[frozenset[PostedBy]] = frozenset({"fleet", "publish", "webhook"})
"""Programs that report drift on a running system and destroy nothing there, whatever anybody consents to."""

BY_PATH: Final = "path "
"""How a disk without serial and WWN is named: by where it is plugged in, as the plan's basis names it."""

NOT_SEEN: Final = "not looked at"


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
    written = written_disks(plan)
    forbidden = _forbidden(plan, written, phase, destroy, posted_by)
    if forbidden:
        return Forbidden(forbidden)
    if not plan.destructive:
        return ALLOWED
    disks = tuple(written)
    nobody_said_so = phase in INSTALLED and posted_by != "person"
    # A destructive step that names no disk is nothing that a standing consent could cover.
    if destroy == "ask" or posted_by == "prefect-ui" or nobody_said_so or not disks:
        return NeedsConsent("waiting-consent", disks)
    if any(name.startswith(BY_PATH) for name in disks):
        return NeedsConsent("waiting-consent", disks)
    foreign = any(found != BLANK and name not in installed for name, found in written.items())
    return NeedsConsent("foreign-content", disks) if foreign and not take_disks else ALLOWED


def _forbidden(
    plan: Plan, written: Mapping[str, str], phase: Phase, destroy: Destroy, posted_by: PostedBy
) -> str | None:
    """The reason code why no consent helps; None when one may."""
    if plan.blocked or not plan.destructive:
        return plan.blocked
    if not allowed(phase, plan.phase):
        return "no-work-due"
    if destroy == "never":
        return "destroy-never"
    if "" in written:
        return "no-matching-disk"
    if phase in INSTALLED and posted_by in ONLY_REPORT:
        return "drift" if plan.wipe is None else "person-needed"
    return None


def written_disks(plan: Plan) -> dict[str, str]:
    """Every disk that a destructive step writes, with what the plan saw on it; "" for one without a name.

    Steps name a disk where they are the first to erase it. One that only makes a file system in a partition
    that stays (`mkfs` beside a preserved one) names none, and destroys all the same.
    """
    steps = [step for step in plan.steps if step.destructive]
    found = {one.serial.strip(): one.found for step in steps for one in step.destroys}
    for step in steps:
        for name in _targets(plan, step):
            found.setdefault(name, NOT_SEEN)
    return found


def _targets(plan: Plan, step: Step) -> Iterator[str]:
    """Identities of the disks that a step's arguments lead to."""
    for one in (*step.args.get("members", ()), *step.args.get("spares", ())):
        yield _name(one)
    group = step.args.get("group", step.args)
    for target in (step.args.get("target"), *(one["target"] for one in group.get("pvs", ()))):
        if target is None:
            continue
        if "raid" in target:
            yield from _members(plan, str(target["raid"]), target.get("uuid"))
        else:
            yield _name(target)


def _name(disk: Mapping[str, Any]) -> str:
    path = disk.get("by_path")
    return str(disk.get("identity") or (f"{BY_PATH}{path}" if path else ""))


def _members(plan: Plan, volume: str, uuid: str | None = None) -> Iterator[str]:
    """Disks below a volume: of the step that makes it, else of the array of that id or name that was seen."""
    made = next((step for step in plan.steps if step.id == f"raid-create:{volume}"), None)
    if made is not None:
        yield from _targets(plan, made)
        return
    raids = (plan.basis.get("hardware") or {}).get("raids") or {}
    seen = [one for one in raids.values() if str(one.get("name") or "").rpartition(":")[2] == volume]
    if uuid is not None:
        seen = [raids[uuid]] if uuid in raids else []
    for array in seen:
        yield from map(str, array.get("members") or ())
    if not seen:
        yield ""
