"""Groups of the model as MegaRAID numbers them: disk groups, and in them one array for each span."""

from lab.raid import model
from lab.raid.model import Controller, Drive, Volume


def volumes_in(controller: Controller, group: int) -> list[Volume]:
    """The volumes of a group, the oldest first."""
    return [one for one in controller.volumes if one.group == group]


def numbers(controller: Controller) -> list[int]:
    """The groups in use, in the order of their numbers here."""
    return sorted({one.group for one in controller.volumes})


def spans(controller: Controller, group: int) -> list[list[Drive]]:
    """The drives of a group by span; the last span takes what a lost drive has left."""
    drives = model.members(controller, group)
    count = max(1, volumes_in(controller, group)[0].spans)
    size = max(1, len(drives) // count)
    parts = [drives[place * size : (place + 1) * size] for place in range(count)]
    parts[-1] += drives[count * size :]
    return parts


def arrays(controller: Controller) -> dict[int, list[int]]:
    """Group -> the numbers of its arrays.

    Firmware gives the lowest free numbers and never renumbers; here they follow the order of the groups.
    """
    found: dict[int, list[int]] = {}
    number = 0
    for group in numbers(controller):
        count = len(spans(controller, group))
        found[group] = list(range(number, number + count))
        number += count
    return found


def place_of(controller: Controller, drive: Drive) -> tuple[int, int, int] | None:
    """Disk group, span and arm of a member."""
    for number, group in enumerate(numbers(controller)):
        for span, drives in enumerate(spans(controller, group)):
            for arm, one in enumerate(drives):
                if one is drive:
                    return number, span, arm
    return None
