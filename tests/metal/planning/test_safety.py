"""Every combination of phase, lifecycle, poster and disk content, against the rules written out once more."""

from itertools import product
from typing import get_args

import pytest

from metal.planning.plan import Destroyed, Plan, Step
from metal.planning.safety import Allowed, Forbidden, NeedsConsent, PostedBy, consent_needed
from specs.phases import Phase

OURS = "OURS"
RUNNING = {Phase.ACTIVE, Phase.ADOPTED, Phase.RESCUE}
CLOSED = {Phase.WIPING, Phase.WIPE_FAILED, Phase.RETIRED}


def plan(content: str, *, blocked: str | None = None) -> Plan:
    destroyed = {
        "none": (),
        "blank": (Destroyed(serial="NEW", size_bytes=1, found="blank"),),
        "ours": (Destroyed(serial=OURS, size_bytes=1, found="gpt with 3 partitions"),),
        "foreign": (
            Destroyed(serial=OURS, size_bytes=1, found="gpt"),
            Destroyed(serial="OTHER", size_bytes=1, found="ntfs"),
        ),
        "harmless": (),
    }[content]
    step = Step(
        id="s",
        kind="wipe",
        field="disks",
        reason="r",
        destructive=content != "harmless",
        destroys=destroyed,
        blocked_by=blocked,
    )
    return Plan(
        host="h", host_id="i", specset=None, spec="h", observed_at=None, seen_from=None, steps=(step,)
    )


def expected(content: str, phase: Phase, destroy: str, posted_by: str, *, take_disks: bool) -> str:
    if content == "harmless" or phase in CLOSED:
        return "allowed" if content == "harmless" else "forbidden no-work-due"
    if destroy == "never":
        return "forbidden destroy-never"
    if phase in RUNNING and posted_by != "person":
        return "forbidden drift"
    if destroy == "ask" or posted_by == "prefect-ui" or content == "none":
        return "consent waiting-consent"
    return "consent foreign-content" if content == "foreign" and not take_disks else "allowed"


def said(verdict: Allowed | NeedsConsent | Forbidden) -> str:
    if isinstance(verdict, Allowed):
        return "allowed"
    kind = "consent" if isinstance(verdict, NeedsConsent) else "forbidden"
    return f"{kind} {verdict.reason}"


@pytest.mark.parametrize("phase", list(Phase))
def test_every_combination(phase: Phase) -> None:
    for content, destroy, take, by in product(
        ("none", "blank", "ours", "foreign", "harmless"),
        ("never", "ask", "allow"),
        (False, True),
        get_args(PostedBy),
    ):
        verdict = consent_needed(
            plan(content),
            phase=phase,
            destroy=destroy,
            take_disks=take,
            installed=frozenset({OURS}),
            posted_by=by,
        )
        assert said(verdict) == expected(content, phase, destroy, by, take_disks=take), (
            content,
            destroy,
            take,
            by,
        )


def test_a_consent_names_every_disk_and_a_blocked_plan_never_runs() -> None:
    rules = {
        "phase": Phase.READY,
        "destroy": "allow",
        "take_disks": False,
        "installed": frozenset(),
        "posted_by": "person",
    }
    verdict = consent_needed(plan("foreign"), **rules)
    assert verdict == NeedsConsent("foreign-content", (OURS, "OTHER"))
    assert consent_needed(plan("blank", blocked="image-missing"), **rules) == Forbidden("image-missing")
