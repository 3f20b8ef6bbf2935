"""What a step destroys, told at the first step that touches a disk; and which disk can be erased how."""

from collections.abc import Iterable
from typing import Any, Final

from metal.planning.disks import Refusal, describe
from metal.planning.plan import Destroyed
from specs.facts import Disk

BLANK: Final = "blank"
LOCKED: Final = "locked by a password"
"""How rf-wipe begins to say that a drive takes neither reads nor writes."""
ASKED: Final = frozenset({"discard", "sanitize"})
"""Methods that a disk must know, and tells the boot OS alone."""
VOLUME_METHODS: Final = ("metadata", "discard", "overwrite")
"""What may be done to a RAID volume: only a drive can erase itself."""
WRITE_BYTES_PER_MINUTE: Final = 60 * 100_000_000


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


def erase_minutes(method: str, size_bytes: int) -> float:
    """How long an erasing takes, by guess: only an overwrite goes by the size."""
    return round(size_bytes / WRITE_BYTES_PER_MINUTE if method == "overwrite" else 0.1, 1)


def unwipeable(disk: Disk, method: str) -> Refusal | None:
    """Why a disk can't be erased by a method; None where it can, or where only the boot OS will know."""
    if LOCKED in (disk.erase_problem or ""):
        told = (
            f"{describe(disk)}: wipe {method} is not possible: {disk.erase_problem}; nothing else reaches it"
        )
        return Refusal("wipe-impossible", told)
    if method not in ASKED or (disk.erases is None and disk.erase_problem is None):
        return None
    ways = [way for way in disk.erases or () if (way == "discard") == (method == "discard")]
    if ways and not (method == "sanitize" and disk.erase_problem):
        return None
    why = disk.erase_problem if method == "sanitize" and disk.erase_problem else "the disk knows no way to"
    told = f"{describe(disk)}: wipe {method} is not possible: {why}; wipe: overwrite is for every disk"
    return Refusal("wipe-impossible", told)
