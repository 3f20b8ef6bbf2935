"""What new file systems would hide, and so take over: folders that image and job fill before the first boot.

What is preserved takes over nothing: it holds what an earlier system has left there.
"""

from collections.abc import Iterator
from typing import Any, Final

from metal.planning.choice import Chosen, Cut
from metal.planning.encryption import Encryption
from metal.planning.mounting import mounts_of
from metal.planning.plan import Step
from metal.planning.volume_groups import Group
from specs.model import Formatted, Host

FILLED: Final = ("/etc", "/home", "/opt", "/root", "/tmp", "/usr", "/var")  # noqa: S108 - none is written here
"""Folders that are not empty, or not everybody's like any other, in a system that was just installed."""
NO_OWNERS: Final = "vfat"
"""A file system that keeps neither owners nor links: what the image has cannot be taken over into it."""


def fill_steps(spec: Host, chosen: Chosen, encryption: Encryption) -> Iterator[Step]:
    """One step for each new file system that is mounted over something."""
    root = chosen.root.target.args if chosen.root else {}
    for cut in (chosen.root, *chosen.data):
        yield from _of_cut(spec, cut, root, encryption) if cut else ()
    for group in chosen.groups:
        yield from _of_group(spec, group, root, encryption)


def _of_cut(spec: Host, cut: Cut, root: dict[str, Any], encryption: Encryption) -> Iterator[Step]:
    for one in cut.plan.added:
        if not one.part.lvm and not cut.stays(one.part):
            seen = cut.kept.get(one.part.name)
            place = {"target": cut.target.args, "number": seen.number if seen else one.number}
            yield from _fill(spec, one.part, place | encryption.args(one.part), root)


def _of_group(spec: Host, group: Group, root: dict[str, Any], encryption: Encryption) -> Iterator[Step]:
    for one in group.volumes:
        if not one.kept:
            yield from _fill(spec, one.part, {"group": group.args} | encryption.args(one.part), root)


def _fill(spec: Host, part: Formatted, place: dict[str, Any], root: dict[str, Any]) -> Iterator[Step]:
    folders = [
        [mount, options[0] if mount != part.mount else "defaults"] for mount, options in mounts_of(part)
    ]
    folders = [one for one in folders if _is_filled(spec, part, one[0])]
    if part.mount == "/" or part.filesystem == NO_OWNERS or not folders:
        return
    told = ", ".join(folder for folder, _ in folders)
    yield Step(
        id=f"fill:{part.name}",
        kind="fill",
        field="disks",
        new=f"{part.name} holds what the root has in {told}",
        reason="what is mounted there would hide it",
        minutes=0.2,
        args={**place, "name": part.name, "filesystem": part.filesystem, "folders": folders, "root": root},
    )


def _is_filled(spec: Host, part: Formatted, mount: str) -> bool:
    """Whether the root has anything there; files that belong into an encrypted one never lie on it."""
    known = any(mount == one or mount.startswith(f"{one}/") for one in FILLED)
    return known or (part.luks is None and any(file.path.startswith(f"{mount}/") for file in spec.files))
