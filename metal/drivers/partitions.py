"""Partition tables: what stands on the target, what is wished, and the sgdisk call between them.

The image brings a table of its own for a small disk. The root partition is deleted and made again at
the same start with the same type, UUID and name, so that nothing in the image notices; new partitions
follow behind it. sgdisk writes the table once, at its end, so there is no half-made one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from metal.drivers.bundle import read_bundle
from metal.drivers.raid.md import MD_DETAIL, colon_uuid, device_path, guard_identity, parse_detail
from metal.drivers.raid.volume import find_array
from metal.drivers.storage.disks import LSBLK, SETTLE, build_disks, parse_lsblk
from metal.drivers.storage.identity import DISK_SYSFS, normalise_wwn, parse_disk_sysfs
from metal.errors import Refused
from metal.protocols import Command, DiskGuard, Shell
from specs.facts import Disk, PartitionFact, RaidArray

ALIGN_BYTES: Final = 1 << 20
GPT_ENTRIES_BYTES: Final = 128 * 128
"""The table's entries, which stand before the backup header in the last block (UEFI 2.10, 5.3.1)."""
LINUX_DATA: Final = "0fc63daf-8483-4772-8e79-3d69d8477de4"
MEMBER_SIGNATURE: Final = "linux_raid_member"


@dataclass(frozen=True, slots=True)
class Target:
    """The disk or array that a step is about, by what never changes."""

    identity: str | None = None
    size_bytes: int | None = None
    raid_uuid: str | None = None
    raid_name: str | None = None

    @property
    def guard(self) -> DiskGuard:
        """Give what rf-exec checks."""
        identity = guard_identity(self.raid_uuid) if self.raid_uuid else self.identity or ""
        return DiskGuard(identity, self.size_bytes)

    def __str__(self) -> str:
        """Name it for messages."""
        return f"array {self.raid_name or self.raid_uuid}" if self.raid_uuid else f"disk {self.identity}"


@dataclass(frozen=True, slots=True)
class BlockView:
    """Disks and arrays as one reading saw them."""

    host: str
    disks: tuple[Disk, ...]
    arrays: tuple[RaidArray, ...]

    def disk(self, identity: str) -> Disk:
        """The one disk with this serial or WWN. Raises Refused when none or several have it."""
        wwn = normalise_wwn(identity)
        found = [d for d in self.disks if d.serial == identity or (d.wwn is not None and d.wwn == wwn)]
        if len(found) != 1:
            seen = ", ".join(d.identity or f"{d.device} without identity" for d in self.disks) or "none"
            raise Refused(
                f"{len(found)} disks are {identity}; seen: {seen}",
                host=self.host,
                reason="ambiguous-disk" if found else "no-matching-disk",
                hint=f"rackflow plan {self.host} --refresh shows the disks that are there now",
            )
        return found[0]

    def on(self, target: Target) -> "Device":
        """The device of a target. Raises Refused when it is not there."""
        if target.raid_uuid is None:
            device = _disk_device(self.disk(target.identity or ""))
        else:
            array = find_array(self.arrays, target.raid_uuid)
            if array is None:
                raise Refused(
                    f"no {target} ({colon_uuid(target.raid_uuid)}) is assembled",
                    host=self.host,
                    reason="no-matching-disk",
                )
            device = self._array(array)
        if target.size_bytes not in (None, device.size_bytes):
            raise Refused(
                f"{target} has {device.size_bytes} bytes, the plan is for {target.size_bytes}",
                host=self.host,
                reason="no-matching-disk",
                hint=f"rackflow plan {self.host} --refresh shows the disks that are there now",
            )
        return device

    def devices(self) -> "list[Device]":
        """All disks and arrays."""
        return [*(self._array(array) for array in self.arrays), *(_disk_device(d) for d in self.disks)]

    def _array(self, array: RaidArray) -> "Device":
        members = [d for d in self.disks if {d.serial, d.wwn} & {*array.members, *array.spares}]
        block_bytes = max((disk.logical_block_bytes for disk in members), default=512)
        path = device_path(array.uuid)
        return Device(path, array.size_bytes, block_bytes, array.partitions, array.found, raid=True)


@dataclass(frozen=True, slots=True)
class Device:
    """A target's device as it is now."""

    path: str
    size_bytes: int
    block_bytes: int
    partitions: tuple[PartitionFact, ...]
    found: tuple[str, ...] = ()
    raid: bool = False
    holders: tuple[str, ...] = ()
    """What the kernel has built on it: arrays, volumes, containers."""

    def partition(self, number: int) -> PartitionFact | None:
        """The partition with this number."""
        return next((part for part in self.partitions if part.number == number), None)


def _disk_device(disk: Disk) -> Device:
    size_bytes, block_bytes = disk.size_bytes, disk.logical_block_bytes
    return Device(disk.device, size_bytes, block_bytes, disk.partitions, disk.found, holders=disk.holders)


def read_block(shell: Shell) -> BlockView:
    """Read disks, arrays and their partitions in one round trip."""
    said = read_bundle(shell, (SETTLE, LSBLK, DISK_SYSFS, MD_DETAIL))
    nodes = parse_lsblk(said["lsblk"].stdout)
    sysfs = parse_disk_sysfs(said["disk-sysfs"].stdout)
    return BlockView(
        host=shell.host,
        disks=build_disks(nodes, sysfs, {}, None),
        arrays=parse_detail(said["md-detail"].stdout, nodes, sysfs),
    )


@dataclass(frozen=True, slots=True)
class NewPartition:
    """A partition of a step, as the planner laid it out, with its derived UUID."""

    number: int
    name: str
    start_bytes: int
    size_bytes: int
    type_guid: str
    part_uuid: str

    @classmethod
    def of(cls, value: dict[str, Any], part_uuid: str) -> "NewPartition":
        """Take a step's partition."""
        return cls(
            number=int(value["number"]),
            name=str(value["name"]),
            start_bytes=int(value["start_bytes"]),
            size_bytes=int(value["size_bytes"]),
            type_guid=str(value["type_guid"]),
            part_uuid=part_uuid,
        )


@dataclass(frozen=True, slots=True)
class RootWish:
    """The image's root, by number and file system; size None is all that is left behind its start."""

    number: int
    size_bytes: int | None
    fs_uuid: str | None = None


@dataclass(frozen=True, slots=True)
class Extent:
    """Where one partition is to stand."""

    number: int
    start_bytes: int
    size_bytes: int
    type_guid: str
    part_uuid: str | None
    name: str | None
    present: bool


def find_root(view: BlockView, fs_uuid: str, target: Target | None = None) -> tuple[Device, PartitionFact]:
    """Find the root by its file system; an array's members show the same partition, the array's is the one.

    Raises Refused when it is not there, or on two disks.
    """
    devices = [view.on(target)] if target else view.devices()
    # A member of an array that is not assembled shows the root too: mounted, it would part from its mirror.
    members = [d for d in devices if any(said.startswith(MEMBER_SIGNATURE) for said in d.found)]
    devices = [d for d in devices if d not in members]
    found = [(d, p) for d in devices for p in d.partitions if (p.fs_uuid or "").lower() == fs_uuid.lower()]
    on_arrays = [one for one in found if one[0].raid]
    found = on_arrays or found
    if len(found) != 1:
        where = str(target) if target else "the machine's disks"
        raise Refused(
            f"{len(found)} file systems {fs_uuid} are on {where}, expected the deployed root"
            + (
                f"; of an array that is not assembled: {', '.join(d.path for d in members)}"
                if members
                else ""
            ),
            host=view.host,
            reason="image-mismatch",
            hint=f"rackflow plan {view.host} --refresh shows what is there now",
        )
    return found[0]


def extents(
    device: Device, root: RootWish | None, added: Sequence[NewPartition], host: str | None = None
) -> tuple[Extent, ...]:
    """Say where the root and the new partitions stand. Raises Refused when the table is not the image's."""
    present = {part.number: part for part in device.partitions}
    laid = []
    if root is not None:
        part = present.get(root.number)
        if part is None or (root.fs_uuid and (part.fs_uuid or "").lower() != root.fs_uuid.lower()):
            seen = ", ".join(f"{p.number}:{p.fs_uuid or p.filesystem}" for p in device.partitions) or "none"
            raise Refused(
                f"partition {root.number} of {device.path} is not the root {root.fs_uuid}; seen: {seen}",
                host=host,
                reason="image-mismatch",
            )
        tail = GPT_ENTRIES_BYTES + device.block_bytes
        end = (device.size_bytes - tail) // ALIGN_BYTES * ALIGN_BYTES
        size_bytes = root.size_bytes or end - part.start_bytes
        kind = part.type_guid or LINUX_DATA
        laid.append(
            Extent(root.number, part.start_bytes, size_bytes, kind, part.part_uuid, part.name, present=True)
        )
    for new in added:
        laid.append(  # noqa: PERF401 - one kind after the other reads better than a sum of lists
            Extent(
                new.number,
                new.start_bytes,
                new.size_bytes,
                new.type_guid,
                new.part_uuid,
                new.name,
                present=new.number in present,
            )
        )
    return tuple(laid)


def differences(device: Device, laid: Sequence[Extent]) -> tuple[str, ...]:
    """Say where the table is not as laid out."""
    by_number = {p.number: p for p in device.partitions}
    found = []
    for extent in laid:
        part = by_number.get(extent.number)
        if part is None:
            found.append(f"partition {extent.number} is missing")
        elif (part.start_bytes, part.size_bytes) != (extent.start_bytes, extent.size_bytes):
            found.append(
                f"partition {extent.number}: {part.start_bytes}+{part.size_bytes}, "
                f"wanted {extent.start_bytes}+{extent.size_bytes}"
            )
        elif extent.part_uuid and (part.part_uuid or "").lower() != extent.part_uuid.lower():
            found.append(f"partition {extent.number} has UUID {part.part_uuid}, wanted {extent.part_uuid}")
    return tuple(found)


def table_command(target: Target, device: Device, laid: Sequence[Extent], *, fresh: bool) -> Command:
    """Write the table in one sgdisk call: backup header to the end, root made again, new ones added.

    `fresh` starts an empty table: the disk carries no image.
    """
    argv = ["sgdisk", "--clear"] if fresh else ["sgdisk", "--move-second-header"]
    if not fresh:
        argv += [f"--delete={extent.number}" for extent in laid if extent.present]
    argv.append("--set-alignment=1")
    for extent in laid:
        first = extent.start_bytes // device.block_bytes
        last = (extent.start_bytes + extent.size_bytes) // device.block_bytes - 1
        argv += [
            f"--new={extent.number}:{first}:{last}",
            f"--typecode={extent.number}:{extent.type_guid}",
        ]
        if extent.part_uuid:
            argv.append(f"--partition-guid={extent.number}:{extent.part_uuid}")
        if extent.name:
            argv.append(f"--change-name={extent.number}:{extent.name}")
    return Command(argv=(*argv, "{disk0}"), says=f"partition {target}", disks=(target.guard,))
