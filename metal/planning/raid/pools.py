"""Which drives a machine has for RAID, by controller, and why a drive takes no part.

A pool is one controller's drives, or the plain disks for software RAID. Drives behind a controller that
shows them to the system as well (JBOD, HBA mode) are in both; the block device of a controller's volume
is in none, because RAID over RAID is never meant.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from metal.planning.disks import plain_wwn, unfit
from metal.planning.raid.families import FAMILIES, SOFTWARE, Family
from specs.facts import Disk, Hardware, PhysicalDrive, RaidArray, RaidController
from specs.raid_health import LOST

UNFIT_STATES: Final[Mapping[str, str]] = {
    "failed": "failed",
    "missing": "missing",
    "offline": "offline",
    "rebuilding": "rebuilding",
    "copyback": "copying back",
    "erasing": "being erased",
    "unknown": "in a state that is not known",
}
"""States in which a drive can't become a member, and how that is told."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A drive that may become a member. `why_not` says why it may not.

    `disk` is the block device where there is one, else one made from what the controller says, so that
    everything after the choice names, guards and shows drives in one way.
    """

    address: str
    disk: Disk
    usable_bytes: int
    state: str = "unconfigured"
    volume: str | None = None
    """The uuid of the volume that it is in."""
    spare: bool = False
    why_not: str | None = None

    @property
    def identity(self) -> str:
        """What commands and plans name it by."""
        return self.disk.identity or ""

    @property
    def kind(self) -> tuple[str, str | None, int]:
        """What must be equal within a volume of a hardware controller."""
        return (self.disk.medium, self.disk.transport, self.disk.logical_block_bytes)


@dataclass(frozen=True, slots=True)
class Pool:
    """The drives of one controller (None for software RAID) and what their family can do."""

    family: Family
    controller: RaidController | None
    candidates: tuple[Candidate, ...]
    volumes: tuple[RaidArray, ...]

    @property
    def name(self) -> str:
        """The pool in a message."""
        if self.controller is None:
            return "software RAID"
        told = f"{self.controller.model or self.family.name} at {self.controller.id}"
        return " ".join(told.split())

    @property
    def levels(self) -> tuple[str, ...]:
        """What the controller says it can, else what its family can."""
        if self.controller is None or not self.controller.levels:
            return (*self.family.levels, *(self.family.newer_levels if self._is_newer else ()))
        extra = ("jbod",) if self.controller.jbod or self.family.jbod else ()
        return (*self.controller.levels, *extra)

    @property
    def reads_ahead(self) -> bool:
        """Whether how it reads can be chosen apart from how it writes."""
        return self.family.read_cache and not self._is_newer

    @property
    def _is_newer(self) -> bool:
        model = (self.controller.model if self.controller else None) or ""
        return bool(self.family.newer and re.search(self.family.newer, model, re.IGNORECASE))


def pools_of(hardware: Hardware) -> tuple[Pool, ...]:
    """All pools: hardware controllers in the order of their ids, software RAID last."""
    controllers = sorted(
        (one for one in hardware.controllers if one.driver in FAMILIES and one.problem is None),
        key=lambda one: one.id,
    )
    behind = [_of_controller(controller, hardware) for controller in controllers]
    return (*behind, _software(hardware))


def gone_from(controllers: Iterable[RaidController]) -> set[str]:
    """The drives, by identity, that volumes have lost: they lie on their other members alone."""
    drives = (drive for one in controllers for drive in one.drives if drive.state in LOST)
    return {drive.identity for drive in drives if drive.identity}


def drives_of(hardware: Hardware) -> tuple[Disk, ...]:
    """Every drive that the machine shows, behind controllers or not, once each."""
    behind = [one.disk for pool in pools_of(hardware) if pool.controller for one in pool.candidates]
    seen = {disk.identity for disk in hardware.disks}
    return (*hardware.disks, *(disk for disk in behind if disk.identity not in seen))


def is_volume(disk: Disk, raids: Iterable[RaidArray]) -> bool:
    """Whether a disk is what a hardware controller shows of a volume."""
    return any(array.controller and _shows(array, disk) for array in raids)


def _shows(array: RaidArray, disk: Disk) -> bool:
    if disk.wwn and plain_wwn(disk.wwn) == plain_wwn(array.uuid):
        return True
    return array.device is not None and array.device == disk.device


def _software(hardware: Hardware) -> Pool:
    owned = {drive.serial for one in hardware.controllers for drive in one.drives if drive.state != "jbod"}
    arrays = tuple(one for one in hardware.raids if one.driver == SOFTWARE)
    found = []
    for disk in hardware.disks:
        if is_volume(disk, hardware.raids):
            continue
        why_not = unfit(disk, hardware.disks)
        if why_not is None and disk.serial is not None and disk.serial in owned:
            why_not = "owned by a RAID controller"
        array = next((one for one in arrays if _is_member(disk, one)), None)
        found.append(
            Candidate(
                address=disk.device,
                disk=disk,
                usable_bytes=disk.size_bytes,
                volume=array.uuid if array else None,
                why_not=why_not,
            )
        )
    return Pool(FAMILIES[SOFTWARE], None, tuple(found), arrays)


def _is_member(disk: Disk, array: RaidArray) -> bool:
    return bool({disk.serial, disk.wwn, disk.device} - {None} & {*array.members, *array.spares})


def _of_controller(controller: RaidController, hardware: Hardware) -> Pool:
    family = FAMILIES[controller.driver or ""]
    volumes = tuple(one for one in hardware.raids if one.controller == controller.id)
    serials = Counter(drive.identity for one in hardware.controllers for drive in one.drives)
    found = [
        _candidate(drive, controller, volumes, hardware.disks, serials[drive.identity])
        for drive in controller.drives
    ]
    return Pool(family, controller, tuple(found), volumes)


def _candidate(
    drive: PhysicalDrive,
    controller: RaidController,
    volumes: tuple[RaidArray, ...],
    disks: Iterable[Disk],
    times: int,
) -> Candidate:
    volume = next((one for one in volumes if drive.identity in (*one.members, *one.spares)), None)
    return Candidate(
        address=drive.address,
        disk=_disk(drive, controller, volume, disks),
        usable_bytes=usable_bytes(drive),
        state=drive.state,
        volume=volume.uuid if volume else None,
        spare=drive.state == "spare",
        why_not=_why_not(drive, times),
    )


def _why_not(drive: PhysicalDrive, times: int) -> str | None:
    if drive.identity is None:
        return "without serial and WWN"
    if times > 1:
        return "its identity is not unique"
    if not drive.size_bytes:
        return "of unknown size"
    return UNFIT_STATES.get(drive.state)


def usable_bytes(drive: PhysicalDrive) -> int:
    """What a drive gives to a volume at least, in whole MiB.

    Controllers shrink members to a common size (coercion): 931.512 GiB become 931.0, 465.761 become
    465.25, 149.05 become 148.5. Where the controller does not say, a hundredth of the drive, at most
    1 GiB, is taken off, which is more than any of those.
    """
    if drive.usable_bytes:
        return drive.usable_bytes
    size_bytes = drive.size_bytes or 0
    return (size_bytes - min(size_bytes // 100, 1 << 30)) >> 20 << 20


def _disk(
    drive: PhysicalDrive, controller: RaidController, volume: RaidArray | None, disks: Iterable[Disk]
) -> Disk:
    seen = next((disk for disk in disks if disk.serial is not None and disk.serial == drive.serial), None)
    if seen is not None:
        # Behind a controller the system may say another medium or transport, or none: its own word counts.
        # So does its size, which some tools round: a step finds the drive again by what the tool says.
        own = {
            "size_bytes": drive.size_bytes or seen.size_bytes,
            "medium": drive.medium if drive.medium != "unknown" else seen.medium,
            "transport": drive.transport or seen.transport,
            "logical_block_bytes": drive.sector_bytes or seen.logical_block_bytes,
        }
        return seen.model_copy(update=own)
    found: tuple[str, ...] = ()
    if drive.state == "foreign":
        found = ("configuration of another controller",)
    elif volume is not None:
        found = (f"member of {volume.level} {volume.name or volume.volume} of {controller.id}",)
    elif drive.state not in ("unconfigured", "spare"):
        found = (f"{drive.state} on {controller.id}",)
    return Disk(
        device=f"{controller.id} {drive.address}",
        serial=drive.serial,
        wwn=drive.wwn,
        size_bytes=drive.size_bytes or 0,
        logical_block_bytes=drive.sector_bytes or 512,
        model=drive.model,
        medium=drive.medium,
        transport=drive.transport,
        found=found,
    )
