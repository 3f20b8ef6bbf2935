"""The file systems of a plan, in one order: where each is, and whether it stays as it was left."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from metal.planning.choice import Chosen, Cut
from metal.planning.mounting import mounts_of
from metal.planning.volume_groups import Group
from specs.model import Formatted

NO_OWNERS: Final = "vfat"
"""A file system that keeps neither owners nor links: what the image has cannot be taken over into it."""


@dataclass(frozen=True, slots=True)
class FileSystem:
    """A partition or a logical volume that the spec names; a physical volume is none."""

    part: Formatted
    place: dict[str, Any]
    """Where it is, as steps are told: a number on a target, or a group in which it has its own name."""
    stays: bool
    """Whether what it holds is preserved; else it is made, also in a partition that stood before."""
    old: str | None
    """What stood in its place."""
    leaves: tuple[str, ...]
    """Paths of the basis that a step which makes it leaves otherwise."""

    @property
    def folders(self) -> list[list[str]]:
        """Where it is mounted, each with what makes the mount this one."""
        own = self.part.mount
        return [[at, "defaults" if at == own else options[0]] for at, options in mounts_of(self.part)]


def is_apart(part: Formatted) -> bool:
    """Whether files go into it alone: it is encrypted, or could not take them over from the root."""
    return part.luks is not None or part.filesystem == NO_OWNERS


def file_systems(chosen: Chosen) -> Iterator[FileSystem]:
    """All of them: on the root's disk, on others, then in groups. The image's own are not among them."""
    for cut in (chosen.root, *chosen.data):
        yield from _on(cut) if cut else ()
    for group in chosen.groups:
        yield from _in(group)


def _on(cut: Cut) -> Iterator[FileSystem]:
    for one in cut.plan.added:
        if one.part.lvm:
            continue
        seen = cut.kept.get(one.part.name)
        place = {"target": cut.target.args, "number": seen.number if seen else one.number}
        old = (seen.filesystem or "no file system") if seen else None
        yield FileSystem(one.part, place, cut.stays(one.part) is not None, old, cut.target.leaves)


def _in(group: Group) -> Iterator[FileSystem]:
    for one in group.volumes:
        old = f"logical volume {group.name}/{one.part.name}" if one.seen else None
        yield FileSystem(one.part, {"group": group.args}, one.kept, old, group.leaves)
