"""Every combination of phase, lifecycle, poster, disk content and plan, against DESIGN 5.2 written out anew.

`TABLE` is the text of the rules: the first row that fits decides. It knows nothing of `safety.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest

from metal.planning.plan import Destroyed, Plan, Step
from metal.planning.safety import Allowed, Forbidden, NeedsConsent, consent_needed
from specs.erasure import WipeWish
from specs.phases import Phase

OURS = "OURS"
INSTALL_RECORD = frozenset({OURS})
HAS_A_SYSTEM = {Phase.ACTIVE, Phase.ADOPTED}
"""DESIGN 5.2 "a host that is active or adopted". Rescue is such a host too, and leads to no installation."""
MAY_BE_INSTALLED = {
    Phase.READY,
    Phase.PROVISIONING,
    Phase.PROVISION_FAILED,
    Phase.ACTIVE,
    Phase.ADOPTED,
}
"""DESIGN 4 "Phases": from where `provisioning` is entered, or gone on with."""
MAY_BE_WIPED = {
    Phase.READY,
    Phase.PROVISION_FAILED,
    Phase.WIPING,
    Phase.WIPE_FAILED,
    Phase.ACTIVE,
    Phase.ADOPTED,
}
"""The same of `wiping`."""
MAY_BE = {"install": MAY_BE_INSTALLED, "wipe": MAY_BE_WIPED}


@dataclass(frozen=True)
class Case:
    """One combination."""

    phase: Phase
    destroy: str
    take_disks: bool
    content: str
    by: str
    plan: str
    aim: str = "install"


Rule = tuple[str, Callable[[Case], bool], str]

TABLE: tuple[Rule, ...] = (
    ("a blocked plan is shown and never runs", lambda c: c.plan == "blocked", "forbidden image-missing"),
    ("what destroys nothing needs nobody's leave", lambda c: c.plan == "harmless", "allowed"),
    (
        "allowed transitions are one table: nothing is installed or wiped from any other phase",
        lambda c: c.phase not in MAY_BE[c.aim],
        "forbidden no-work-due",
    ),
    (
        "`lifecycle.destroy`: never",
        lambda c: c.destroy == "never",
        "forbidden destroy-never",
    ),
    (
        "jobs made by fleet, webhook or publish destroy nothing there: no wipe either",
        lambda c: c.aim == "wipe" and c.phase in HAS_A_SYSTEM and c.by in ("fleet", "webhook", "publish"),
        "forbidden person-needed",
    ),
    (
        "jobs made by fleet, webhook or publish report drift there and destroy nothing",
        lambda c: c.phase in HAS_A_SYSTEM and c.by in ("fleet", "webhook", "publish"),
        "forbidden drift",
    ),
    (
        "on an active or adopted host a destructive step needs a consent, or a person's command",
        lambda c: c.phase in HAS_A_SYSTEM and c.by != "person",
        "consent waiting-consent",
    ),
    ("`ask` (default: a person consents)", lambda c: c.destroy == "ask", "consent waiting-consent"),
    (
        "a flow that somebody starts by hand in the Prefect UI gets nothing destructive without a consent",
        lambda c: c.by == "prefect-ui",
        "consent waiting-consent",
    ),
    (
        "a disk without serial and WWN is written only with a consent that names its path",
        lambda c: c.content == "by path",
        "consent waiting-consent",
    ),
    (
        "`allow` covers disks; what names none is covered by nothing that the spec says",
        lambda c: c.content == "no disk",
        "consent waiting-consent",
    ),
    ("`allow` covers blank disks", lambda c: c.content == "blank", "allowed"),
    (
        "and disks whose serial the registry lists under this host's install record",
        lambda c: c.content == "own",
        "allowed",
    ),
    (
        "foreign content asks all the same, unless `lifecycle.takeDisks: true`",
        lambda c: c.content in ("foreign", "foreign beside own", "unknown", "not named") and not c.take_disks,
        "consent foreign-content",
    ),
    ("`takeDisks: true`", lambda c: c.take_disks, "allowed"),
)

CONTENTS: dict[str, tuple[Destroyed, ...]] = {
    "no disk": (),
    "blank": (Destroyed(serial="NEW", size_bytes=1, found="blank"),),
    "own": (Destroyed(serial=OURS, size_bytes=1, found="gpt with 3 partitions"),),
    "foreign": (Destroyed(serial="OTHER", size_bytes=1, found="ntfs"),),
    "foreign beside own": (
        Destroyed(serial=OURS, size_bytes=1, found="gpt"),
        Destroyed(serial="OTHER", size_bytes=1, found="ntfs"),
    ),
    "unknown": (Destroyed(serial="OTHER", size_bytes=1, found="the first sectors could not be read"),),
    "by path": (Destroyed(serial="path pci-0000:03:00.0-ata-1", size_bytes=1, found="blank"),),
    "not named": (),
}


def step(**more: Any) -> Step:
    return Step(**{"id": "s", "kind": "wipe", "field": "disks", "reason": "r", **more})


def plan(*steps: Step, basis: dict[str, Any] | None = None) -> Plan:
    parts = {"specset": None, "spec": "h", "observed_at": None, "seen_from": None, "basis": basis or {}}
    return Plan(host="h", host_id="i", steps=steps, **parts)


def plan_of(case: Case) -> Plan:
    target = {"target": {"identity": "OTHER", "size_bytes": 1}} if case.content == "not named" else {}
    made = plan(
        step(
            destructive=case.plan != "harmless",
            destroys=CONTENTS[case.content],
            blocked_by="image-missing" if case.plan == "blocked" else None,
            args=target,
        )
    )
    return made if case.aim == "install" else made.model_copy(update={"wipe": WipeWish()})


def expected(case: Case) -> str:
    return next(answer for _, fits, answer in TABLE if fits(case))


def said(verdict: Allowed | NeedsConsent | Forbidden) -> str:
    if isinstance(verdict, Allowed):
        return "allowed"
    kind = "consent" if isinstance(verdict, NeedsConsent) else "forbidden"
    return f"{kind} {verdict.reason}"


def judged(made: Plan, **changed: Any) -> Allowed | NeedsConsent | Forbidden:
    """The verdict under the most generous rules, but for what is changed."""
    rules = {
        "phase": Phase.READY,
        "destroy": "allow",
        "take_disks": True,
        "installed": INSTALL_RECORD,
        "posted_by": "person",
    }
    return consent_needed(made, **{**rules, **changed})


COMBINATIONS = tuple(
    Case(*values)
    for values in product(
        Phase,
        ("never", "ask", "allow"),
        (False, True),
        CONTENTS,
        ("person", "discovery", "fleet", "publish", "webhook", "prefect-ui"),
        ("harmless", "destructive", "blocked"),
        MAY_BE,
    )
)


def test_every_combination() -> None:
    wrong = {}
    for case in COMBINATIONS:
        verdict = judged(
            plan_of(case),
            phase=case.phase,
            destroy=case.destroy,
            take_disks=case.take_disks,
            posted_by=case.by,
        )
        if said(verdict) != expected(case):
            wrong[case] = (said(verdict), expected(case))
    assert not wrong, f"{len(wrong)} of {len(COMBINATIONS)}, the first: {next(iter(wrong.items()))}"


def test_every_row_of_the_table_decides_something() -> None:
    used = {next(row[0] for row in TABLE if row[1](case)) for case in COMBINATIONS}
    assert used == {row[0] for row in TABLE}


def test_a_consent_names_every_disk() -> None:
    case = Case(Phase.READY, "allow", False, "foreign beside own", "person", "destructive")
    assert judged(plan_of(case), take_disks=False) == NeedsConsent("foreign-content", (OURS, "OTHER"))


def test_a_disk_known_by_its_path_alone_is_named_by_it_and_asked_for_whatever_the_spec_allows() -> None:
    target = {"identity": None, "by_path": "pci-0000:03:00.0-ata-1", "size_bytes": 1}
    asked = NeedsConsent("waiting-consent", ("path pci-0000:03:00.0-ata-1",))
    assert judged(plan(step(destructive=True, args={"target": target}))) == asked


@pytest.mark.parametrize(
    "args",
    [
        {"target": {"identity": None, "size_bytes": 1}},
        {"members": [{"identity": "", "size_bytes": 1}]},
        {"target": {"raid": "nobody-knows"}},
    ],
)
def test_a_disk_without_any_name_is_never_written(args: dict[str, Any]) -> None:
    assert judged(plan(step(destructive=True, args=args))) == Forbidden("no-matching-disk")


@pytest.mark.parametrize(("members", "answer"), [([OURS], "allowed"), ([OURS, "OTHER"], "consent")])
def test_a_file_system_beside_a_preserved_one_is_judged_by_the_disks_below_its_volume(
    members: list[str], answer: str
) -> None:
    """Such a step names no disk that it erases, as the disk stays; what lay in its partition does not."""
    mkfs = step(id="mkfs:scratch", kind="mkfs", destructive=True, args={"target": {"raid": "data"}})
    seen = {"hardware": {"raids": {"u1": {"name": "any:data", "level": "raid1", "members": members}}}}
    verdict = judged(plan(mkfs, basis=seen), take_disks=False)
    assert said(verdict).partition(" ")[0] == answer


def test_the_members_of_a_volume_that_the_plan_makes_are_its_disks() -> None:
    members = [{"identity": OURS, "size_bytes": 1}, {"identity": "NEW", "size_bytes": 1}]
    blank = (Destroyed(serial="NEW", size_bytes=1, found="blank"),)
    make = step(
        id="raid-create:sys", kind="raid-create", destructive=True, destroys=blank, args={"members": members}
    )
    write = step(id="w", kind="write-image", destructive=True, args={"target": {"raid": "sys"}})
    assert said(judged(plan(make, write), take_disks=False)) == "allowed"
