"""Hardware RAID at the moment of a step: the controller, drives and volumes as its tool lists them now.

A plan names a controller by where it is, drives by serial and volumes by unique id. Every address that a
command carries comes from the listing made here, right before it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from metal.drivers.partitions import read_block
from metal.drivers.raid import FAMILIES
from metal.drivers.raid.appearance import disks_of
from metal.drivers.raid.controller_facts import arrays_of, controller_id, volume_uuid
from metal.drivers.raid.detection import Detection, detect
from metal.drivers.raid.family import RaidFamily
from metal.drivers.raid.listing import Controller, Drive, VirtualDrive
from metal.errors import Refused, Unparsable
from metal.planning.raid.families import SOFTWARE
from metal.protocols import Command, Shell
from specs.facts import Disk, RaidArray

LOOK_FOR_DISKS: Final = Command(
    argv=(
        "sh",
        "-c",
        'for h in /sys/class/scsi_host/host*/scan; do echo "- - -" >"$h"; done; udevadm settle --timeout=20',
    ),
    says="look for disks that came or went",
    ok_statuses=tuple(range(256)),
)
"""A volume that was made shows after 2 to 30 s, with some controllers only when the bus is asked anew."""


def is_hardware(args: Mapping[str, Any]) -> bool:
    """Whether a step is about a controller's volume."""
    return args.get("driver") not in (None, SOFTWARE)


@dataclass(frozen=True, slots=True)
class Listed:
    """One controller as its tool has just listed it."""

    family: RaidFamily
    tool: str
    controller: Controller
    arrays: tuple[RaidArray, ...]
    """Its volumes as facts, each with the block device that shows it."""
    disks: tuple[Disk, ...]
    host: str
    beside: tuple[Controller, ...] = ()
    """All controllers of the machine."""
    answering: frozenset[str] = frozenset()
    """The families that listed a controller, one that no other lists."""

    def drives(self, members: Sequence[Mapping[str, Any]]) -> tuple[Drive, ...]:
        """The drives of these identities. Raises Refused for one not there once, or of another size."""
        return tuple(self._drive(str(one["identity"]), one.get("size_bytes")) for one in members)

    def _drive(self, identity: str, size_bytes: int | None) -> Drive:
        found = [one for one in self.controller.drives if identity in (one.serial, one.wwn)]
        seen = ", ".join(f"{one.address} {one.serial or one.wwn or '?'}" for one in self.controller.drives)
        if len(found) != 1:
            raise Refused(
                f"{len(found)} drives of controller {self.controller.model} are {identity}; seen: {seen}",
                host=self.host,
                reason="ambiguous-disk" if found else "no-matching-disk",
                hint=f"rackflow plan {self.host} --refresh shows what is there now",
            )
        if size_bytes is not None and found[0].size_bytes != size_bytes:
            raise Refused(
                f"drive {identity} has {found[0].size_bytes} bytes, the plan is for {size_bytes}",
                host=self.host,
                reason="no-matching-disk",
                hint=f"rackflow plan {self.host} --refresh shows what is there now",
            )
        return found[0]

    def by_uuid(self, uuid: str) -> VirtualDrive | None:
        """The volume with this unique id."""
        for volume in self.controller.volumes:
            if volume_uuid(self.controller, self.family.name, volume) == uuid:
                return volume
        return None

    def made(self, args: Mapping[str, Any]) -> VirtualDrive | None:
        """The volume that a step makes: by its drives, and among several on those by name or size."""
        wanted = {one.address for one in self.drives(args["members"])}
        same = [one for one in self.controller.volumes if set(one.members) == wanted]
        same = [one for one in same if one.level == args["level"]]
        named = [one for one in same if one.name == args["name"]]
        if named:
            return named[0]
        if args.get("sharing") or len(same) != 1:
            least = int(args.get("least_bytes") or 0)
            same = [
                one for one in same if not one.name and abs((one.size_bytes or 0) - least) <= least // 100
            ]
        return same[0] if len(same) == 1 else None

    def meant(self, args: Mapping[str, Any]) -> VirtualDrive | None:
        """The volume that a step is about: that of an id, else that which its arguments make."""
        return self.by_uuid(str(args["uuid"])) if args.get("uuid") else self.made(args)

    def array(self, volume: VirtualDrive) -> RaidArray:
        """The volume as a fact."""
        uuid = volume_uuid(self.controller, self.family.name, volume)
        return next(one for one in self.arrays if one.uuid == uuid)

    def disk_of(self, args: Mapping[str, Any]) -> Disk:
        """The disk by which a volume is seen: that of an id, else that which the arguments make.

        Raises Refused when there is no such volume, or no disk shows it.
        """
        volume = self.meant(args)
        array = self.array(volume) if volume else None
        shown = [one for one in self.disks if array is not None and one.device == array.device]
        if len(shown) == 1:
            return shown[0]
        told = "is not there" if volume is None else self.unseen(volume)
        raise Refused(
            f"volume {args.get('raid') or args.get('name')} of controller {self.controller.model} {told}",
            host=self.host,
            reason="no-matching-disk",
            hint=f"rackflow plan {self.host} --refresh shows what is there now",
        )

    def unseen(self, volume: VirtualDrive) -> str:
        """How a volume is told that no disk shows, or that several may show."""
        found = disks_of(volume, self.controller, self.beside, self.disks)
        if not found:
            return "is not seen as a disk"
        seen = ", ".join(f"{one.device} {one.serial or one.wwn or 'without serial'}" for one in found)
        return f"may be any of {seen}, or one of these may show another volume"

    def holders(self, drive: Drive) -> tuple[VirtualDrive, ...]:
        """The volumes that a drive is a member of."""
        return tuple(one for one in self.controller.volumes if drive.address in one.members)


def listed(shell: Shell, args: Mapping[str, Any], answering: Collection[str] | None = None) -> Listed:
    """The controller of a step's arguments, as it is now.

    `answering` are the families that listed controllers before on this machine: no other's tool is asked, as
    each takes seconds. Where the controller is not found so, all are. Raises Refused when it is not there,
    Unparsable when its tool was not understood, Unreachable.
    """
    if answering is not None:
        found = _listed(shell, args, detect(shell, FAMILIES, {args["driver"], *answering}))
        if found is not None:
            return found
    detection = detect(shell, FAMILIES)
    found = _listed(shell, args, detection)
    if found is not None:
        return found
    raise Refused(
        f"controller {args['controller']} is not listed; seen: {_seen(detection)}",
        host=shell.host,
        reason="no-matching-disk",
        hint=f"rackflow plan {shell.host} --refresh shows what is there now",
    )


def _listed(shell: Shell, args: Mapping[str, Any], detection: Detection) -> Listed | None:
    name = args["driver"]
    unread = detection.unknown.get(f"controllers.{name}")
    if unread is not None:
        raise Unparsable(unread, host=shell.host, reason="unparsable", hint=f"rackflow inspect {shell.host}")
    disks = read_block(shell).disks
    for one in detection.found:
        for controller in one.controllers:
            if one.family.name == name and controller_id(controller, name) == args["controller"]:
                own = tuple(a for a in arrays_of(detection, disks) if a.controller == args["controller"])
                beside = tuple(each for found in detection.found for each in found.controllers)
                answering = frozenset(found.family.name for found in detection.found)
                return Listed(one.family, one.tool, controller, own, disks, shell.host, beside, answering)
    return None


def _seen(detection: Detection) -> str:
    told = [
        f"{controller.model} at {controller_id(controller, one.family.name)}"
        for one in detection.found
        for controller in one.controllers
    ]
    told += [f"PCI {one.device.ids} at {one.device.address} ({one.problem})" for one in detection.blind]
    return "; ".join(told) or "none"
