"""From what a controller's tool listed to facts: identities in place of addresses, block devices found.

A plan must never hold an address that moves. So members are told by their drives' serials, and a volume
by its unique id, or where the tool tells none, by an id made of controller and members.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Literal

from metal.drivers.raid.appearance import only_disk_of
from metal.drivers.raid.detection import Blind, Detected, Detection
from metal.drivers.raid.listing import Controller, Drive, VirtualDrive
from specs.facts import (
    ControllerCondition,
    Disk,
    PhysicalDrive,
    RaidArray,
    RaidController,
)


def controllers_of(detection: Detection) -> tuple[RaidController, ...]:
    """All controllers, those without their tool too."""
    seen = [_controller(one, controller) for one in detection.found for controller in one.controllers]
    return (*seen, *(_blind(one) for one in detection.blind))


def arrays_of(detection: Detection, disks: Iterable[Disk]) -> tuple[RaidArray, ...]:
    """All volumes of hardware controllers, each with the block device that shows it."""
    known = tuple(disks)
    all_of_them = tuple(controller for one in detection.found for controller in one.controllers)
    return tuple(
        _array(one, controller, volume, only_disk_of(volume, controller, all_of_them, known))
        for one in detection.found
        for controller in one.controllers
        for volume in controller.volumes
        if volume.level != "jbod"
    )


def _controller(found: Detected, controller: Controller) -> RaidController:
    return RaidController(
        driver=found.family.name,
        index=controller.index,
        pci=controller.pci,
        model=controller.model,
        serial=controller.serial,
        firmware=controller.firmware,
        state=controller.state,
        levels=controller.levels,
        jbod=controller.jbod,
        drives=tuple(_drive(drive) for drive in controller.drives if drive.address is not None),
        conditions=tuple(ControllerCondition(kind=one.kind, text=one.text) for one in controller.conditions),
    )


def _blind(one: Blind) -> RaidController:
    return RaidController(
        driver=one.family.name, pci=one.device.address, model=f"PCI {one.device.ids}", problem=one.problem
    )


def _drive(drive: Drive) -> PhysicalDrive:
    medium: Literal["ssd", "hdd", "nvme", "unknown"] = "unknown"
    if drive.interface == "nvme":
        medium = "nvme"
    elif drive.media is not None:
        medium = drive.media
    return PhysicalDrive(
        address=drive.address or "",
        serial=drive.serial,
        wwn=drive.wwn,
        model=drive.model,
        firmware=drive.firmware,
        size_bytes=drive.size_bytes,
        usable_bytes=drive.usable_bytes,
        sector_bytes=drive.sector_size,
        medium=medium,
        transport=drive.interface,
        state=drive.state or "unknown",
        raw_state=drive.raw_state,
        volume=drive.volume,
        progress=drive.progress,
    )


def controller_id(controller: Controller, family: str) -> str:
    """What never changes of a controller; the same as `RaidController.id`."""
    return controller.pci or controller.serial or f"{family}:{controller.index}"


def member_names(controller: Controller, addresses: Sequence[str]) -> tuple[str, ...]:
    """Identities of drives by their addresses; one that is not listed is named by its address."""
    by_address = {drive.address: drive.serial or drive.wwn for drive in controller.drives}
    return tuple(by_address.get(address) or f"slot {address}" for address in addresses)


def volume_uuid(controller: Controller, family: str, volume: VirtualDrive) -> str:
    """The volume's unique id, or one made of where it is, its level and its members."""
    if volume.wwn:
        return volume.wwn
    members = sorted(member_names(controller, volume.members))
    told = "\n".join((controller_id(controller, family), volume.level or "", volume.name or "", *members))
    return "members-" + hashlib.sha256(told.encode()).hexdigest()[:24]


def _array(found: Detected, controller: Controller, volume: VirtualDrive, shown: Disk | None) -> RaidArray:
    family = found.family.name
    return RaidArray(
        name=volume.name,
        driver=family,
        uuid=volume_uuid(controller, family, volume),
        level=volume.level or "unknown",
        device=shown.device if shown else None,
        size_bytes=volume.size_bytes or (shown.size_bytes if shown else 0),
        members=member_names(controller, volume.members),
        spares=member_names(controller, volume.spares),
        state=volume.state or "unknown",
        progress=volume.progress,
        stripe_bytes=volume.stripe_bytes,
        write_cache=volume.write_cache,
        controller=controller_id(controller, family),
        volume=volume.id,
        partition_table=shown.partition_table if shown else None,
        partitions=shown.partitions if shown else (),
        found=shown.found if shown else (),
    )
