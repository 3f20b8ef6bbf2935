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

    Asked before the first destructive step of each process: a run that goes on where another ended may find
    what the plan did to its own disks, by identity, and no other difference (DESIGN 4 "Journal").
    """
    if work.kept.basis_held or _just_read(work):
        work.kept.basis_held = True
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
    if found and _begun(work):
        found = [line for line in found if not line.startswith(_own(work))]
    if found:
        raise Refused(
            f"the machine is not as it was when the plan was made: {'; '.join(found)}",
            host=work.host,
            reason="plan-moved",
            hint=f"rackflow plan {work.host} --refresh",
        )
    work.kept.basis_held = True


def _begun(work: Work) -> bool:
    """Whether a destructive step of this plan, this one included, has written before, or may have."""
    destructive = {step.id for step in work.plan.steps if step.destructive}
    started = {row.no for row in work.intents[-1:]}
    open_steps: set[str] = set()
    for row in work.edge.journal_rows(work.host, job=work.claim.job):
        if row.step not in destructive or row.no in started:
            continue
        if row.detail.get("writes") or (row.phase == "intent" and row.step in open_steps):
            return True  # of two intents in a row the first start died, and nobody knows when
        (open_steps.add if row.phase == "intent" else open_steps.discard)(row.step)
    return bool(open_steps)


def _own(work: Work) -> tuple[str, ...]:
    """Beginnings of the differences that this plan makes: on the disks that it destroys, and arrays."""
    erased = [one.serial for step in work.plan.steps for one in step.destroys]
    contents = [f"hardware.disks.{serial}.{part}:" for serial in erased for part in ("found", "partitions")]
    return ("hardware.raids", *contents)


def _just_read(work: Work) -> bool:
    observed = work.kept.observed
    return (
        observed is not None
        and observed[0] == work.plan.observed_at
        and work.plan.seen_from == "boot-os"
        and work.clock() - observed[1] < OWN_READING_S
    )
