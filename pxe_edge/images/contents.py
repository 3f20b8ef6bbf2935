"""What lies in a raw disk image: partitions, file systems, what it can be booted by. Pure parsing.

GPT and MBR: UEFI 2.10 sections 5.3 and 5.2.1. ext4: kernel Documentation/filesystems/ext4/super.rst. XFS:
xfs_dsb. btrfs: btrfs_super_block, at 64 KiB.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final
from uuid import UUID

from pxe_edge.images import lvm
from pxe_edge.images.lvm import ImageGroup, ImageVolume

Reader = Callable[[int, int], bytes]
"""Offset and length -> bytes; fewer at the end of the image."""

ESP_TYPE: Final = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
BIOS_BOOT_TYPE: Final = "21686148-6449-6e6f-744e-656564454649"
_EMPTY_TYPE: Final = "00000000-0000-0000-0000-000000000000"
_ENTRIES_MAX: Final = 1024
MBR_ESP_TYPE: Final = "0xef"
_SECTOR_BYTES: Final = 512
_CODE_BYTES: Final = 440
_ACTIVE: Final = 0x80
_PROTECTIVE: Final = 0xEE
_BTRFS_SUPER_BYTES: Final = 64 << 10
_ROOT_FILESYSTEMS: Final = ("ext4", "xfs", "btrfs")


@dataclass(frozen=True, slots=True)
class ImagePartition:
    """One partition of the image, and the file system on it if it is one that we read."""

    number: int
    start_bytes: int
    size_bytes: int
    type_guid: str
    part_uuid: str
    name: str
    filesystem: str | None = None
    label: str | None = None
    fs_uuid: str | None = None


def partitions(read: Reader) -> tuple[int, list[ImagePartition]]:
    """Sector size and partitions of the image's GPT; (512, []) when it has none."""
    for sector_bytes in (512, 4096):
        header = read(sector_bytes, 92)
        if len(header) == 92 and header.startswith(b"EFI PART"):
            return sector_bytes, _entries(read, header, sector_bytes)
    return 512, []


def _entries(read: Reader, header: bytes, sector_bytes: int) -> list[ImagePartition]:
    lba, count, size = struct.unpack_from("<QII", header, 72)
    if not 128 <= size <= 4096 or not 0 < count <= _ENTRIES_MAX:
        return []
    table = read(lba * sector_bytes, count * size)
    found = []
    for number in range(1, len(table) // size + 1):
        entry = table[(number - 1) * size : number * size]
        type_guid = str(UUID(bytes_le=entry[:16]))
        first, last = struct.unpack_from("<QQ", entry, 32)
        if type_guid == _EMPTY_TYPE or last < first:
            continue
        start = first * sector_bytes
        kind, label, fs_uuid = filesystem(read, start)
        found.append(
            ImagePartition(
                number=number,
                start_bytes=start,
                size_bytes=(last - first + 1) * sector_bytes,
                type_guid=type_guid,
                part_uuid=str(UUID(bytes_le=entry[16:32])),
                name=entry[56:128].decode("utf-16-le", "replace").split("\0")[0],
                filesystem=kind,
                label=label,
                fs_uuid=fs_uuid,
            )
        )
    return found


@dataclass(frozen=True, slots=True)
class Mbr:
    """The partition table in an image's first sector."""

    partitions: tuple[ImagePartition, ...]
    active: int | None
    has_code: bool


def mbr(read: Reader) -> Mbr | None:
    """The MBR of an image that has no GPT; None where the first sector is none, but a file system's."""
    sector = read(0, _SECTOR_BYTES)
    if len(sector) < _SECTOR_BYTES or sector[510:] != b"\x55\xaa":
        return None
    signature = struct.unpack_from("<I", sector, 440)[0]
    found, active = [], None
    for number in range(1, 5):
        status, kind, first, count = struct.unpack_from("<B3xB3xII", sector, 430 + 16 * number)
        if status not in (0, _ACTIVE) or kind == _PROTECTIVE:
            return None
        if not kind or not first or not count:
            continue
        active = number if status else active
        start = first * _SECTOR_BYTES
        inside = filesystem(read, start)
        uuid = f"{signature:08x}-{number:02x}" if signature else ""
        size_bytes = count * _SECTOR_BYTES
        found.append(ImagePartition(number, start, size_bytes, f"0x{kind:x}", uuid, "", *inside))
    return Mbr(tuple(found), active, any(sector[:_CODE_BYTES])) if found else None


def filesystem(read: Reader, start: int) -> tuple[str | None, str | None, str | None]:
    """Kind, label and UUID of the file system that starts here; None where nothing is known."""
    head = read(start, 2048)
    if head[:4] == b"XFSB" and len(head) >= 120:
        return "xfs", _text(head[108:120]), str(UUID(bytes=head[32:48]))
    block = head[1024:]
    if len(block) >= 136 and block[56:58] == b"\x53\xef":
        return "ext4", _text(block[120:136]), str(UUID(bytes=block[104:120]))
    if head[82:87] == b"FAT32":
        return "vfat", _text(head[71:82]), None
    if head[54:59] in (b"FAT16", b"FAT12"):
        return "vfat", _text(head[43:54]), None
    super_block = read(start + _BTRFS_SUPER_BYTES, 555)
    if super_block[64:72] == b"_BHRfS_M" and len(super_block) == 555:
        return "btrfs", _text(super_block[299:]), str(UUID(bytes=super_block[32:48]))
    header = lvm.header(read, start)
    return (lvm.SIGNATURE, None, header.uuid) if header else (None, None, None)


def _text(raw: bytes) -> str | None:
    return raw.split(b"\0")[0].decode("utf-8", "replace").strip() or None


@dataclass(frozen=True, slots=True)
class Root:
    """A file system of the image that may be its root: in a partition, or in a logical volume on it."""

    partition: ImagePartition
    filesystem: str | None
    label: str | None
    fs_uuid: str | None
    group: ImageGroup | None = None
    volume: ImageVolume | None = None

    @property
    def start_bytes(self) -> int | None:
        """Where it begins in the image; None where it is not in one piece."""
        return self.volume.start_bytes if self.volume else self.partition.start_bytes


def roots(read: Reader, found: Sequence[ImagePartition]) -> list[Root]:
    """All file systems, those in logical volumes among them."""
    inside = []
    for part in found:
        group = lvm.group(read, part.start_bytes) if part.filesystem == lvm.SIGNATURE else None
        for volume in group.volumes if group else ():
            if volume.start_bytes is not None:
                held = filesystem(read, volume.start_bytes)
                inside.append(Root(part, *held, group, volume))
    return [*(Root(part, part.filesystem, part.label, part.fs_uuid) for part in found), *inside]


def root_of(found: Sequence[Root], *, label: str | None, uuid: str | None, number: int | None) -> Root | None:
    """The root by partition, file system UUID or label; else the only Linux file system that is there."""
    linux = [one for one in found if one.filesystem in _ROOT_FILESYSTEMS]
    if number is not None:
        there = [one for one in found if one.partition.number == number]
        inside = [one for one in linux if one in there and one.volume is not None]
        whole = [one for one in there if one.volume is None]
        return next(iter(inside if len(inside) == 1 else whole), None)
    if uuid is not None:
        return next((one for one in linux if one.fs_uuid == uuid.lower()), None)
    labelled = [one for one in found if label is not None and one.label == label]
    for candidates in (labelled, linux):
        if len(candidates) == 1:
            return candidates[0]
    return None


def describe(
    read: Reader, *, label: str | None = "root", uuid: str | None = None, number: int | None = None
) -> dict[str, Any]:
    """The image's info as plans read it."""
    sector_bytes, found = partitions(read)
    old = None if found else mbr(read)
    found = list(old.partitions) if old else found
    root = root_of(roots(read, found), label=label, uuid=uuid, number=number)
    types = {partition.type_guid for partition in found}
    return {
        "partition_table": "mbr" if old else "gpt" if found else None,
        **({"active_partition": old.active} if old else {}),
        "sector_bytes": sector_bytes,
        "partitions": [asdict(partition) for partition in found],
        "has_esp": bool(types & {ESP_TYPE, MBR_ESP_TYPE}),
        "has_bios_boot": old.has_code if old else BIOS_BOOT_TYPE in types,
        "root_partition": root.partition.number if root else None,
        "root_start_bytes": root.start_bytes if root else None,
        "root_filesystem": root.filesystem if root else None,
        "root_label": root.label if root else None,
        "root_uuid": root.fs_uuid if root else None,
        **(
            {"root_volume": _told(root.group, root.volume, root.filesystem)}
            if root and root.group and root.volume
            else {}
        ),
    }


def _told(group: ImageGroup, volume: ImageVolume, filesystem: str | None) -> dict[str, Any]:
    """The logical volume that the root is in, and why it cannot be grown if it cannot."""
    other = next((one.name for one in group.volumes if not one.linear), None)
    problem = f"logical volume {other} is not linear" if other else None
    problem = "its metadata stands twice" if group.areas > 1 else problem
    problem = f"it lies on {group.partitions} partitions" if group.partitions > 1 else problem
    problem = group.closed or problem
    return {
        "vg": group.name,
        "vg_uuid": group.uuid,
        "lv": volume.name,
        "lv_uuid": volume.uuid,
        "filesystem": filesystem,
        "pv_uuid": group.pv_uuid,
        "extent_bytes": group.extent_bytes,
        "first_extent_bytes": group.first_extent_bytes,
        "extents": volume.extents,
        "other_extents": sum(one.extents for one in group.volumes) - volume.extents,
        "problem": problem,
    }
