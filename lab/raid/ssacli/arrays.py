"""Arrays of a Smart Array controller: letters for the model's groups, and which drives are free.

Letters follow the lowest volume number in each array, so that making or deleting one renames others, as
the tool warns. A spare without a group of its own serves every array that has redundancy.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from string import ascii_uppercase

from lab.raid.exposing import expose
from lab.raid.model import (
    Controller,
    Drive,
    Effect,
    Volume,
    free_bytes,
    members,
)


@dataclass(frozen=True)
class Array:
    """An array with what lies on it."""

    letter: str
    group: int
    volumes: tuple[Volume, ...]
    drives: tuple[Drive, ...]
    spares: tuple[Drive, ...]

    @property
    def redundant(self) -> bool:
        """Whether it can have spares: none for RAID 0."""
        return all(one.level != "raid0" for one in self.volumes)


def arrays_of(controller: Controller) -> list[Array]:
    """All arrays in the order of their letters."""
    groups = dict.fromkeys(one.group for one in sorted(controller.volumes, key=lambda one: one.id))
    return [_array(controller, group, letter) for group, letter in zip(groups, _letters(), strict=False)]


def _letters() -> Iterator[str]:
    yield from ascii_uppercase
    yield from (first + second for first in ascii_uppercase for second in ascii_uppercase)


def _array(controller: Controller, group: int, letter: str) -> Array:
    volumes = tuple(one for one in controller.volumes if one.group == group)
    bare = Array(letter, group, volumes, tuple(members(controller, group)), ())
    kept = (group, None) if bare.redundant else (group,)
    spares = tuple(one for one in controller.drives if one.condition == "spare" and one.group in kept)
    return Array(letter, group, volumes, bare.drives, spares)


def unassigned(controller: Controller) -> list[Drive]:
    """Drives that no array has, those that failed too; what is gone from a slot is not listed."""
    used = {id(one) for array in arrays_of(controller) for one in (*array.drives, *array.spares)}
    return [one for one in controller.drives if id(one) not in used and one.condition != "missing"]


def free(controller: Controller) -> list[Drive]:
    """Drives that an array can take."""
    return [one for one in unassigned(controller) if one.condition in ("good", "jbod")]


def unused_mib(controller: Controller, array: Array) -> int:
    """Space over all drives of an array that no volume has."""
    return free_bytes(controller, array.group) >> 20


def mode_of(controller: Controller) -> str | None:
    """HBA, Mixed or RAID; None where the controller is of a generation without modes."""
    if controller.jbod_mode:
        return "Mixed" if controller.limits.levels else "HBA"
    return "RAID" if controller.limits.jbod else None


def settle(controller: Controller, effects: list[Effect]) -> list[Effect]:
    """What follows from a change: spares without arrays are free, free drives of mixed ports are shown."""
    arrays = arrays_of(controller)
    served = {id(one) for array in arrays for one in array.spares}
    for drive in controller.drives:
        if drive.condition == "spare" and id(drive) not in served:
            drive.condition, drive.group = "good", None
    return expose(controller, effects) if controller.jbod_mode else effects
