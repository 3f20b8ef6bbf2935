"""Controllers that show to the system every drive that no volume has.

For them a free drive of the model is always `jbod`: it is taken away from the system when a volume or a
spare needs it, and given back when it is free again. What another controller left on a drive is nothing
to such a controller, unless its family's file says so.
"""

from collections.abc import Sequence
from typing import Any

from lab.raid import model
from lab.raid.model import Controller, Drive, Effect, Plug, Refusal, Unplug, Volume


def expose(controller: Controller, effects: Sequence[Effect] = ()) -> list[Effect]:
    """Show free drives, after what `effects` did; a drive that was hidden and is shown again stays."""
    shown = list(effects)
    for drive in controller.drives:
        if drive.condition == "good" and not drive.foreign:
            drive.condition = "jbod"
            shown.append(next(one for one in model.plugged(controller) if one.key == f"d{drive.serial}"))
    gone = {one.key for one in shown if isinstance(one, Unplug)}
    back = {one.key for one in shown if isinstance(one, Plug)}
    return [one for one in shown if not (one.key in gone & back and one.key.startswith("d"))]


def hide(drive: Drive) -> list[Effect]:
    """Take a free drive from the system, so that it can be used."""
    effects: list[Effect] = [Unplug(f"d{drive.serial}")] if drive.condition == "jbod" else []
    if drive.condition == "jbod":
        drive.condition = "good"
    drive.foreign, drive.spun_down = None, False
    return effects


def create(
    controller: Controller, level: str, drives: Sequence[Drive], **options: Any
) -> tuple[Volume, list[Effect]]:
    """Make a volume of drives that may be shown. Raises Refusal with nothing changed."""
    before = [(one, one.condition, one.foreign, one.spun_down) for one in drives]
    hidden = [effect for one in drives for effect in hide(one)]
    try:
        volume, effects = model.create(controller, level, drives, **options)
    except Refusal:
        for one, condition, foreign, spun_down in before:
            one.condition, one.foreign, one.spun_down = condition, foreign, spun_down
        raise
    return volume, [*hidden, *effects]
