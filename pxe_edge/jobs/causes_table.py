"""The whole ordered table of causes, and what a given situation is explained by."""

from typing import Final

from pxe_edge.jobs import causes
from pxe_edge.jobs.causes import Cause, Rule, Situation
from pxe_edge.jobs.causes_boot import BOOT_RULES
from pxe_edge.jobs.causes_host import GENERAL, PARTICULAR, STANDING
from pxe_edge.jobs.causes_job import QUEUE_RULES, RUN_RULES

SECTIONS: Final[tuple[tuple[str, tuple[Rule[Situation], ...]], ...]] = (
    ("A job has no run at work", QUEUE_RULES),
    ("A machine is to come up", BOOT_RULES),
    ("A run is at work, or ended in a wait", RUN_RULES),
    ("A job has failed, and its message says more than its code", PARTICULAR),
    ("The host bears a reason code", GENERAL),
    ("Nothing works, and nothing failed", STANDING),
)
RULES: Final[tuple[Rule[Situation], ...]] = tuple(rule for _, rules in SECTIONS for rule in rules)


def explain(situation: Situation) -> Cause:
    """The first rule that holds."""
    return causes.explain(RULES, situation)
