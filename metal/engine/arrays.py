"""Arrays that a job works on, assembled after each boot of the boot OS: it assembles none by itself."""

from collections.abc import Iterator
from typing import Any

from metal.drivers.raid import MD
from metal.drivers.raid.volume import Volume, find_array
from metal.engine.controllers import is_hardware
from metal.engine.work import Work
from metal.planning.plan import Plan


def assemble_own(work: Work) -> None:
    """Assemble the arrays that this job made, by the id it gave them, and those that stay and get something.

    Asked once per boot and process; arrays of others never. Whether it worked is seen by the step that needs
    the array: one that was half made when the machine died cannot be assembled, and is made anew.
    """
    if work.kept.assembled_in == work.kept.boot_no:
        return
    made = [
        step.args
        for step in work.plan.steps
        if step.kind == "raid-create" and not is_hardware(step.args) and work.has_begun(step.id)
    ]
    wanted = [(Volume.of(args, uuid=work.made(f"raid:{args['name']}")), False) for args in made]
    wanted += [
        (Volume.of({**one, "name": one["raid"]}, uuid=one["uuid"]), True) for one in _standing(work.plan)
    ]
    if wanted:
        arrays = work.block().arrays
        for volume, stays in wanted:
            if find_array(arrays, volume.uuid) is None:
                work.send(MD.assemble(volume, stays=stays))
    work.kept.assembled_in = work.kept.boot_no


def _standing(plan: Plan) -> list[dict[str, Any]]:
    """Arrays that steps of a plan write to, and that none of them makes."""
    making = {step.args["name"] for step in plan.steps if step.kind == "raid-create"}
    found = {one["uuid"]: one for step in plan.steps for one in _targets(step.args)}
    return [one for one in found.values() if one["raid"] not in making]


def _targets(args: dict[str, Any]) -> Iterator[dict[str, Any]]:
    pvs = (args.get("group") or args).get("pvs", ())
    for one in (args.get("target"), *(pv["target"] for pv in pvs)):
        if one and "raid" in one and one.get("members"):
            yield one
