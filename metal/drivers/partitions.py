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
GPT_TAIL_BYTES: Final = 34 * 512
LINUX_ROOT_TYPES: Final = frozenset(
    {
        "4f68bce3-e8cd-4db1-96e7-fbcaf984b709",  # x86-64 root (Discoverable Partitions Specification)
        "b921b045-1df0-41c3-af44-4c6f280d3fae",  # arm64 root
    }
)
ROOT_FILESYSTEMS: Final = frozenset({"ext4", "xfs", "ext3", "btrfs"})
TYPES: Final = {
    "vfat": "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7",
    "swap": "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f",
}
LINUX_DATA: Final = "0fc63daf-8483-4772-8e79-3d69d8477de4"


@dataclass(frozen=True, slots=True)
class Target:
    """The disk or array that a step is about, by what never changes."""

    identity: str | None = None
    size_bytes: int | None = None
    raid_uuid: str | None = None
    raid_name: str | None = None

    @classmethod
    def of(cls, value: dict[str, Any]) -> "Target":
        """Take a step's target."""
        if "raid" in value:
            return cls(raid_uuid=str(value["raid"]["uuid"]), raid_name=value["raid"].get("name"))
        return cls(identity=str(value["disk"]["identity"]), size_bytes=value["disk"].get("size_bytes"))

    @property
    def guard(self) -> DiskGuard:
        """Give what rf-exec checks."""
        if self.raid_uuid:
            return DiskGuard(guard_identity(self.raid_uuid))
        return DiskGuard(self.identity or "", self.size_bytes)

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
                hint="rackflow plan with --refresh shows the disks that are there now",
            )
        return found[0]

    def on(self, target: Target) -> "Device":
        """The device of a target. Raises Refused when it is not there."""
        if target.raid_uuid is None:
            disk = self.disk(target.identity or "")
            return Device(disk.device, disk.size_bytes, disk.logical_block_bytes, disk.partitions)
        array = find_array(self.arrays, target.raid_uuid)
        if array is None:
            raise Refused(
                f"no {target} ({colon_uuid(target.raid_uuid)}) is assembled",
                host=self.host,
                reason="no-matching-disk",
            )
        return Device(device_path(target.raid_uuid), array.size_bytes, 512, array.partitions)


@dataclass(frozen=True, slots=True)
class Device:
    """A target's device as it is now."""

    path: str
    size_bytes: int
    block_bytes: int
    partitions: tuple[PartitionFact, ...]

    def partition(self, part_uuid: str) -> PartitionFact | None:
        """The partition with this UUID."""
        wanted = part_uuid.lower()
        return next((p for p in self.partitions if (p.part_uuid or "").lower() == wanted), None)


def read_block(shell: Shell) -> BlockView:
    """Read disks, arrays and their partitions in one round trip."""
    said = read_bundle(shell, (SETTLE, LSBLK, DISK_SYSFS, MD_DETAIL))
    nodes = parse_lsblk(said["lsblk"].stdout)
    sysfs = parse_disk_sysfs(said["disk-sysfs"].stdout)
    return BlockView(
        host=shell.host,
        disks=build_disks(nodes, sysfs, {}, {}),
        arrays=parse_detail(said["md-detail"].stdout, nodes, sysfs),
    )


@dataclass(frozen=True, slots=True)
class PartitionWish:
    """One partition of a step; size None is the rest of the device."""

    name: str
    size_bytes: int | None
    root: bool = False
    part_uuid: str | None = None
    type_guid: str | None = None
    filesystem: str | None = None

    @classmethod
    def of(cls, value: dict[str, Any]) -> "PartitionWish":
        """Take a step's partition."""
        return cls(
            name=str(value["name"]),
            size_bytes=value.get("size_bytes"),
            root=bool(value.get("root")),
            part_uuid=value.get("part_uuid"),
            type_guid=value.get("type_guid"),
            filesystem=value.get("filesystem"),
        )


@dataclass(frozen=True, slots=True)
class Extent:
    """Where one partition is to stand."""

    number: int
    start_bytes: int
    size_bytes: int
    type_guid: str
    part_uuid: str | None
    name: str | None
    recreated: bool = False


def image_root(device: Device, own: Sequence[str], host: str | None = None) -> PartitionFact:
    """Give the image's root: the Linux file system that is not ours; type or label decide between several.

    Raises Refused when it cannot be told, before anything is resized.
    """
    mine = {uuid.lower() for uuid in own}
    found = [
        p
        for p in device.partitions
        if p.filesystem in ROOT_FILESYSTEMS and (p.part_uuid or "").lower() not in mine
    ]
    if len(found) > 1:
        typed = [p for p in found if p.type_guid in LINUX_ROOT_TYPES]
        labelled = [p for p in found if p.label == "root"]
        found = next((few for few in (typed, labelled) if len(few) == 1), found)
    if len(found) != 1:
        seen = ", ".join(f"{p.number}:{p.filesystem or 'nothing'}" for p in device.partitions) or "none"
        raise Refused(
            f"{len(found)} partitions of {device.path} could be the image's root; seen: {seen}",
            host=host,
            reason="image-unfit",
            hint="give the Image's os.rootFilesystem a label that only its root has",
        )
    return found[0]


def extents(device: Device, wishes: Sequence[PartitionWish], host: str | None = None) -> tuple[Extent, ...]:
    """Lay the wished partitions out behind the root's start. Raises Refused when they do not fit."""
    root_wish = next((wish for wish in wishes if wish.root), None)
    own = [wish.part_uuid for wish in wishes if wish.part_uuid and not wish.root]
    root = image_root(device, own, host)
    kept = [p for p in device.partitions if p.number != root.number and p.part_uuid not in own]
    behind = [p for p in kept if p.start_bytes > root.start_bytes]
    if behind:
        raise Refused(
            f"partition {behind[0].number} of the image lies behind its root, which cannot be grown",
            host=host,
            reason="layout-impossible",
        )
    end = (device.size_bytes - GPT_TAIL_BYTES) // ALIGN_BYTES * ALIGN_BYTES
    numbers = iter(n for n in range(1, 129) if n not in {p.number for p in kept} | {root.number})
    others = [wish for wish in wishes if not wish.root]
    root_size = root.size_bytes if root_wish is None else root_wish.size_bytes
    sizes = _sizes([root_size, *(wish.size_bytes for wish in others)], end - root.start_bytes, host)
    if sizes[0] < root.size_bytes and not any(device.partition(uuid) for uuid in own):
        raise Refused(
            f"the image's root takes {root.size_bytes} bytes, the spec gives it {sizes[0]}",
            host=host,
            reason="layout-impossible",
            hint="make the partition mounted at / larger",
        )
    laid = [
        Extent(
            root.number,
            root.start_bytes,
            sizes[0],
            root.type_guid or LINUX_DATA,
            root.part_uuid,
            root.name,
            recreated=True,
        )
    ]
    start = root.start_bytes + sizes[0]
    for wish, size in zip(others, sizes[1:], strict=True):
        present = device.partition(wish.part_uuid) if wish.part_uuid else None
        number = present.number if present else next(numbers)
        kind = wish.type_guid or TYPES.get(wish.filesystem or "", LINUX_DATA)
        laid.append(
            Extent(number, start, size, kind, wish.part_uuid, wish.name, recreated=present is not None)
        )
        start += size
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


def table_command(target: Target, device: Device, laid: Sequence[Extent]) -> Command:
    """Write the table in one sgdisk call: backup header to the end, root made again, new ones added."""
    argv = ["sgdisk", "--move-second-header"]
    argv += [f"--delete={extent.number}" for extent in laid if extent.recreated]
    for extent in laid:
        first = extent.start_bytes // device.block_bytes
        last = (extent.start_bytes + extent.size_bytes) // device.block_bytes - 1
        argv += [
            "--set-alignment=1",
            f"--new={extent.number}:{first}:{last}",
            f"--typecode={extent.number}:{extent.type_guid}",
        ]
        if extent.part_uuid:
            argv.append(f"--partition-guid={extent.number}:{extent.part_uuid}")
        if extent.name:
            argv.append(f"--change-name={extent.number}:{extent.name}")
    return Command(argv=(*argv, "{disk0}"), says=f"partition {target}", disks=(target.guard,))


def _sizes(wished: Sequence[int | None], room_bytes: int, host: str | None) -> list[int]:
    """Give whole MiB to each; the one without a size takes the rest."""
    fixed = [None if size is None else -(-size // ALIGN_BYTES) * ALIGN_BYTES for size in wished]
    rest = room_bytes - sum(size for size in fixed if size is not None)
    open_ended = fixed.count(None)
    if open_ended > 1 or rest < (ALIGN_BYTES if open_ended else 0):
        raise Refused(
            f"the partitions ask for {sum(size or 0 for size in fixed)} bytes and "
            f"{open_ended} times the rest; there are {room_bytes}",
            host=host,
            reason="layout-impossible",
            hint="make them smaller or choose another disk",
        )
    return [rest // ALIGN_BYTES * ALIGN_BYTES if size is None else size for size in fixed]
