"""The machine is as the plan found it (DESIGN 5.2b): asked before the first destructive step."""

import re
from typing import Final

from metal.drivers.hardware import read_hardware
from metal.engine.work import Work
from metal.errors import Refused
from metal.planning.basis import moved
from specs.facts import Observation

SEEN_OTHERWISE: Final = re.compile(r"hardware\.(raids|disks\..+\.(found|partitions))\b")
"""What a running system shows in other words than the boot OS: mounts, holders, assembled arrays."""

OWN_READING_S: Final = 120.0
"""How long the reading that this very run made its plan from stands for a new one."""


def hold_basis(work: Work) -> None:
    """Compare a fresh reading with the plan's basis. Raises Refused (plan-moved) naming every difference.

    After the first destructive step the machine differs by what the plan did; each step then compares
    its own part before and after.
    """
    if len(work.intents) > 1 or _just_read(work) or _begun(work):
        return
    hardware, unknown = read_hardware(work.shell(), None)
    now = Observation(
        at=work.intents[-1].at,
        seen_from="boot-os",
        hardware=hardware,
        unknown={f"hardware.{field}": why for field, why in unknown.items()},
    )
    found = moved(work.plan.basis, now) if work.plan.basis.get("reads") == "hardware" else []
    if work.plan.seen_from != "boot-os":
        found = [line for line in found if not SEEN_OTHERWISE.match(line)]
    if found:
        raise Refused(
            f"the machine is not as it was when the plan was made: {'; '.join(found)}",
            host=work.host,
            reason="plan-moved",
            hint=f"rackflow plan {work.host} --refresh",
        )


def _begun(work: Work) -> bool:
    """Whether a destructive step of this plan has written before, or may have."""
    destructive = {step.id for step in work.plan.steps if step.destructive and step.id != work.step.id}
    rows = [row for row in work.edge.journal_rows(work.host, job=work.claim.job) if row.step in destructive]
    last = {row.step: row for row in rows}
    return any(row.detail.get("writes") for row in rows) or any(r.phase == "intent" for r in last.values())


def _just_read(work: Work) -> bool:
    observed = work.kept.observed
    return (
        observed is not None
        and observed[0] == work.plan.observed_at
        and work.plan.seen_from == "boot-os"
        and work.clock() - observed[1] < OWN_READING_S
    )
