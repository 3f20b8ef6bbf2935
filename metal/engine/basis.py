"""The machine is as the plan found it, or where the plan leaves it (DESIGN 5.2b): asked before erasing."""

from collections.abc import Iterator
from typing import Final

from metal.drivers.hardware import read_hardware
from metal.engine.controllers import is_hardware
from metal.engine.work import Work
from metal.errors import Refused
from metal.planning.basis import OF_MACHINE, moved
from metal.planning.disks import Refusal
from metal.planning.erasing import unwipeable
from metal.planning.raid.steps import volume_ids
from metal.planning.report import asked_again
from specs.facts import Hardware, Observation

OWN_READING_S: Final = 120.0
"""How long the reading that this very run made its plan from stands for a new one."""


def hold_basis(work: Work) -> None:
    """Compare a fresh reading with the plan's basis. Raises Refused (plan-moved) naming every difference.

    Asked before the first destructive step of each process and of each boot. A difference is the plan's own
    where a step that was begun declares that it leaves one (`Step.leaves`); any other stops the job. So does
    a disk that can't be erased as planned (wipe-impossible): a plan that was made on a running system's
    reading could not know, and nothing is erased yet.
    """
    if work.kept.basis_held or _just_read(work) or work.plan.basis.get("reads") not in OF_MACHINE:
        work.kept.basis_held = True
        return
    hardware, unknown = read_hardware(work.shell(), None)
    now = Observation(
        at=work.intents[-1].at,
        seen_from="boot-os",
        hardware=hardware,
        unknown={f"hardware.{field}": why for field, why in unknown.items()},
    )
    own = tuple(_left(work, hardware))
    found = [one for one in moved(work.plan, now) if not any(one.under(leaf) for leaf in own)]
    if found:
        raise Refused(
            f"the machine is not as it was when the plan was made: {'; '.join(map(str, found))}",
            host=work.host,
            reason="plan-moved",
            hint=f"rackflow plan {work.host} {asked_again(work.plan)}",
        )
    impossible = [refusal.message for refusal in _impossible(work, hardware)]
    if impossible:
        raise Refused("; ".join(impossible), host=work.host, reason="wipe-impossible")
    work.kept.basis_held = True


def _impossible(work: Work, hardware: Hardware) -> Iterator[Refusal]:
    """Why disks that this plan has not begun to erase can't be erased by its methods."""
    methods = {
        step.args["target"].get("identity"): str(step.args.get("method", "metadata"))
        for step in work.plan.steps
        if step.kind == "wipe" and "target" in step.args and not work.has_begun(step.id)
    }
    for disk in hardware.disks:
        if disk.identity is not None and disk.identity in methods:
            refusal = unwipeable(disk, methods[disk.identity])
            if refusal is not None:
                yield refusal


def _left(work: Work, hardware: Hardware) -> Iterator[str]:
    """Paths that steps of this plan leave otherwise, of those that were begun before; arrays by their ids."""
    ids = {
        f"{{raid:{step.args['name']}}}": work.made(f"raid:{step.args['name']}")
        for step in work.plan.steps
        if step.kind == "raid-create" and not is_hardware(step.args)
    } | volume_ids(work.plan, hardware)
    for step in work.plan.steps:
        if not work.has_begun(step.id):
            continue
        for path in step.leaves:
            place = path[path.find("{") :] if "{" in path else ""
            yield path.removesuffix(place) + ids.get(place, place)


def _just_read(work: Work) -> bool:
    observed = work.kept.observed
    return (
        observed is not None
        and observed[0] == work.plan.observed_at
        and work.plan.seen_from == "boot-os"
        and work.clock() - observed[1] < OWN_READING_S
    )
