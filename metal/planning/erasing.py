"""What a step destroys, told at the first step that touches a disk."""

from collections.abc import Iterable
from typing import Any, Final

from metal.planning.plan import Destroyed
from specs.facts import Disk

BLANK: Final = "blank"


class Erased:
    """The disks that the steps of one plan have erased so far, by identity."""

    def __init__(self) -> None:
        self._names: set[str] = set()

    def first(self, disks: Iterable[Disk], beside: str = "") -> tuple[Destroyed, ...]:
        """The disks that a step is the first to erase, with what was seen on each, and `beside` that."""
        found = []
        for disk in disks:
            if disk.identity and disk.identity not in self._names:
                self._names.add(disk.identity)
                told = "; ".join(one for one in (*disk.found, beside) if one) or BLANK
                found.append(Destroyed(serial=disk.identity, size_bytes=disk.size_bytes, found=told))
        return tuple(found)


def named(disk: Disk) -> dict[str, Any]:
    """A disk as a step's arguments name it."""
    return {"identity": disk.identity, "size_bytes": disk.size_bytes}
