"""Which block device shows a controller's volume: by its unique id, by the tool's word, else by appearance.

Marvell's tools tell neither id nor device of a volume, and MegaCli's do only where /sys has them. What is
left is what a listing and the system share: the place on the PCI bus (udev's by-path link begins with the
controller's address), the size, and the model by which boot cards show volumes. A disk that the tool lists
as a drive is no volume, nor is one that shows another volume. Two that fit are no answer.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from metal.drivers.raid.listing import Controller, VirtualDrive
from metal.drivers.storage.identity import normalise_wwn
from specs.facts import Disk

_VOLUME_MODEL: Final = re.compile(r"\b(?:VD|RAID|Logical Volume|Virtual Disk)\b", re.IGNORECASE)
"""Models of volumes as seen: `DELLBOSS VD`, `ThinkSystem M.2 VD`, `MARVELL Raid VD`."""
_TOLERANCE: Final = 1000
"""Marvell's tools give sizes in whole MiB, or rounded to GB: within one part in so many they are the same."""


def disks_of(
    volume: VirtualDrive, controller: Controller, controllers: Sequence[Controller], disks: Iterable[Disk]
) -> tuple[Disk, ...]:
    """The disks that may show this volume: one, where it is told or only one fits."""
    known = tuple(disks)
    told = _told(volume, known)
    if told is not None or volume.wwn or volume.device:
        return (told,) if told is not None else ()
    drives = {name for one in controllers for drive in one.drives for name in _names(drive.serial, drive.wwn)}
    others = [
        shown for one in controllers for other in one.volumes if (shown := _told(other, known)) is not None
    ]
    free = [disk for disk in known if disk not in others and not drives & {*_names(disk.serial, disk.wwn)}]
    return tuple(disk for disk in free if _is_there(disk, controller) and _is_as_large(disk, volume))


def only_disk_of(
    volume: VirtualDrive, controller: Controller, controllers: Sequence[Controller], disks: Iterable[Disk]
) -> Disk | None:
    """The disk that shows this volume; None where none does, several may, or it may show another volume."""
    known = tuple(disks)
    found = disks_of(volume, controller, controllers, known)
    if len(found) != 1:
        return None
    rivals = [
        other
        for one in controllers
        for other in one.volumes
        if other is not volume and found[0] in disks_of(other, one, controllers, known)
    ]
    return found[0] if not rivals else None


def _told(volume: VirtualDrive, disks: Sequence[Disk]) -> Disk | None:
    """By the unique id, else by the name that the tool gives."""
    wwn = normalise_wwn(volume.wwn) if volume.wwn else None
    for disk in disks:
        if wwn is not None and wwn in (disk.wwn, normalise_wwn(disk.serial or "")):
            return disk
    return next((disk for disk in disks if volume.device is not None and disk.device == volume.device), None)


def _names(serial: str | None, wwn: str | None) -> tuple[str, ...]:
    return tuple(one for one in (serial, normalise_wwn(wwn) if wwn else None) if one)


def _is_there(disk: Disk, controller: Controller) -> bool:
    """Whether it hangs on this controller, where that can be told; else whether its model is a volume's."""
    if disk.by_path and controller.pci:
        return f"pci-{controller.pci}-" in disk.by_path
    return bool(_VOLUME_MODEL.search(disk.model or "")) and not disk.removable


def _is_as_large(disk: Disk, volume: VirtualDrive) -> bool:
    size_bytes = volume.size_bytes
    return bool(size_bytes) and abs(disk.size_bytes - (size_bytes or 0)) <= disk.size_bytes // _TOLERANCE
