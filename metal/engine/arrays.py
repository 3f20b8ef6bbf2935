"""Arrays of this job, assembled again after the boot OS was booted anew: it assembles none by itself."""

from metal.drivers.raid import MD
from metal.drivers.raid.volume import Volume, find_array
from metal.engine.controllers import is_hardware
from metal.engine.work import Work


def assemble_own(work: Work) -> None:
    """Assemble the arrays that this job made, by the id it gave them; arrays of others never.

    Asked once per boot and process. Whether it worked is seen by the step that needs the array: one that was
    half made when the machine died cannot be assembled, and is made anew.
    """
    if work.kept.assembled_in == work.kept.boot_no:
        return
    made = [
        step
        for step in work.plan.steps
        if step.kind == "raid-create" and not is_hardware(step.args) and work.has_begun(step.id)
    ]
    if made:
        arrays = work.block().arrays
        for step in made:
            volume = Volume.of(step.args, uuid=work.made(f"raid:{step.args['name']}"))
            if find_array(arrays, volume.uuid) is None:
                work.send(MD.assemble(volume))
    work.kept.assembled_in = work.kept.boot_no
