"""Partitions that a command may use: guards of their disks, and what stands for each in argv."""

from collections.abc import Iterable
from dataclasses import dataclass

from metal.drivers.partitions import Target
from metal.protocols import DiskGuard


@dataclass(frozen=True, slots=True)
class Places:
    """Guarded disks, and one placeholder per partition."""

    guards: tuple[DiskGuard, ...]
    names: tuple[str, ...]

    @classmethod
    def of(cls, places: Iterable[tuple[Target, int]]) -> "Places":
        """Number the disks in the order in which they come; two partitions of one disk share its guard."""
        guards: list[DiskGuard] = []
        names = []
        for target, number in places:
            if target.guard not in guards:
                guards.append(target.guard)
            names.append(f"{{disk{guards.index(target.guard)}:p{number}}}")
        return cls(tuple(guards), tuple(names))
