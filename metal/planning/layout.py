"""Partition arithmetic: where the root ends, where what follows it starts, and what cannot fit.

Sizes are decided here and not by tools on the machine, so that the plan shows them and a second reading
can be compared with them. Everything is aligned to 1 MiB, which every drive and array geometry divides,
sectors of 4 KiB among them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from metal.planning.disks import Refusal
from specs.lint_disks import LABEL_LIMIT, MBR_PARTITIONS
from specs.model import Formatted, Partition
from specs.sizes import Percent, human_size

MIB: Final = 1 << 20
MIN_PARTITION_BYTES: Final = 16 * MIB
"""Below that mkfs.ext4 refuses or makes something useless."""
LUKS_HEADER_BYTES: Final = 16 * MIB
"""What LUKS2 keeps in front of the data (cryptsetup-luksFormat(8))."""
LEAST_BYTES: Final[dict[str, int]] = {"xfs": 300 * MIB, "btrfs": 128 * MIB}
"""What mkfs.xfs 5.19 and later (mkfs.xfs(8), "minimum supported size") and mkfs.btrfs with its defaults (109
MiB with metadata twice; a message of mkfs.btrfs) ask for at least."""

_GPT_ENTRIES_BYTES: Final = 128 * 128
_GPT_PARTITIONS: Final = 128
_MBR_SECTORS: Final = 1 << 32
"""Start and length of an MBR's partition have 32 bits (UEFI 2.10, 5.2.1): 2 TiB of 512-byte sectors."""
MBR_EXTENDED: Final = frozenset({"0x5", "0xf", "0x85"})
"""Types of a partition that holds others, as lsblk spells them."""

TYPE_GUIDS: Final[dict[str, str]] = {
    "linux": "0fc63daf-8483-4772-8e79-3d69d8477de4",
    "swap": "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f",
    "vfat": "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7",
    "lvm": "e6d6d379-f507-44c2-a23c-238f2a3df928",
    "luks": "ca7d7ccb-63ed-4c53-861c-1742536059cc",
}
"""GPT partition types by what is put on them (UEFI 2.10, 5.3; Discoverable Partitions Specification)."""

MBR_TYPES: Final[dict[str, str]] = {"linux": "0x83", "swap": "0x82", "vfat": "0xc", "lvm": "0x8e"}
"""MBR partition types by what is put on them, as lsblk spells them (util-linux, pt-mbr-partnames.h)."""

TABLE_NAMES: Final[dict[str, str]] = {"dos": "mbr"}
"""How a spec calls the partition tables that blkid calls otherwise."""

ROOT_VOLUME: Final = ("vg", "lv", "vg_uuid", "lv_uuid", "pv_uuid", "filesystem")
"""What steps and the install record carry of a root that is a logical volume."""

Table = Literal["gpt", "mbr"]

Size = int | Percent | str
"""Bytes, a share, or `rest`."""


@dataclass(frozen=True, slots=True)
class ImageLayout:
    """What an image's own partition table leaves to do."""

    root_number: int
    root_start_bytes: int
    root_size_bytes: int
    taken_numbers: frozenset[int]
    sector_bytes: int
    table: Table = "gpt"
    active_number: int | None = None
    """The partition that an MBR marks as active; writing the table anew keeps the mark."""
    volume: Mapping[str, Any] | None = None
    """The logical volume that the root is in, as the image's inspection tells it."""

    def grown_volume(self, partition_bytes: int) -> dict[str, Any] | None:
        """The root's volume when its partition has this size: it takes all that the group's others leave."""
        if self.volume is None:
            return None
        room = partition_bytes - int(self.volume["first_extent_bytes"])
        extents = room // int(self.volume["extent_bytes"]) - int(self.volume["other_extents"])
        return {key: self.volume[key] for key in ROOT_VOLUME} | {"extents": extents}


@dataclass(frozen=True, slots=True)
class NewPartition:
    """A partition that the plan adds."""

    number: int
    part: Partition
    start_bytes: int
    size_bytes: int
    table: Table = "gpt"

    @property
    def type_guid(self) -> str:
        """The type that fits its file system, as the table has it."""
        types = TYPE_GUIDS if self.table == "gpt" else MBR_TYPES
        kind = "lvm" if self.part.lvm else "luks" if self.part.luks else self.part.filesystem or "linux"
        return types.get(kind, types["linux"])

    @property
    def label(self) -> str:
        """The file system's label: the one asked for, else the name, as far as the file system takes it."""
        return label_of(self.part)


@dataclass(frozen=True, slots=True)
class DiskPlan:
    """How one disk is cut. `root_size_bytes` None lets the root take all that is left."""

    root_number: int | None
    root_size_bytes: int | None
    added: tuple[NewPartition, ...]
    table: Table = "gpt"
    active_number: int | None = None
    root_volume: dict[str, Any] | None = None


def label_of(part: Formatted) -> str:
    """The file system's label: the one asked for, else the name, as far as the file system takes it."""
    return part.label or part.name[: LABEL_LIMIT.get(part.filesystem or "ext4", 11)]


def usable_end_bytes(size_bytes: int, sector_bytes: int = 512) -> int:
    """Where partitions must end: before the backup GPT (UEFI 2.10, 5.3.1), rounded down to 1 MiB.

    With an MBR too: what an erasing or a writing notes about itself lies in the last MiB.
    """
    backup = _GPT_ENTRIES_BYTES + sector_bytes
    return (size_bytes - backup) // MIB * MIB


def array_size_bytes(level: str, member_sizes: Sequence[int], metadata: str) -> int:
    """A size that an md array of these members has at least, in whole MiB.

    Superblock, bitmap and bad-block log of metadata 1.0 lie in the last 256 KiB of a member; 1.2 puts
    data behind at most 128 MiB (device/1024 on small ones) plus its bitmap. mdadm rounds on its own, so
    this stays below by up to 2 MiB; the surplus is left unused.
    """
    smallest = min(member_sizes)
    reserve = MIB if metadata == "1.0" else min(256 * MIB, smallest // 256) + 2 * MIB
    usable = (smallest - reserve) // MIB * MIB
    count = len(member_sizes)
    data_members = {"raid0": count, "raid1": 1, "raid5": count - 1, "raid6": count - 2, "raid10": count // 2}
    return usable * data_members[level]


def read_image(info: Mapping[str, Any], disk_sector_bytes: int) -> ImageLayout | Refusal:
    """What the image's inspection says, as far as a layout needs it; a refusal when it cannot be grown."""
    sector_bytes = int(info.get("sector_bytes", 512))
    if sector_bytes != disk_sector_bytes:
        told = f"the image is cut in sectors of {sector_bytes} bytes, the disk has {disk_sector_bytes}"
        return Refusal("image-unfit", told)
    parts = list(info.get("partitions", ()))
    root = next((one for one in parts if one["number"] == info.get("root_partition")), None)
    if root is None:
        return Refusal("image-unfit", "the image's root partition was not found when it was inspected")
    holding = next((one["number"] for one in parts if one.get("type_guid") in MBR_EXTENDED), None)
    if holding is not None:
        told = f"partition {holding} of the image is an extended one, and these are not supported"
        return Refusal("image-unfit", told)
    behind = [one["number"] for one in parts if one["start_bytes"] > root["start_bytes"]]
    if behind:
        told = f"partition {behind[0]} of the image lies behind its root, which therefore cannot grow"
        return Refusal("image-unfit", told)
    volume: Mapping[str, Any] | None = info.get("root_volume")
    if volume is not None and volume["problem"]:
        told = f"the image's root is in volume group {volume['vg']}, which cannot be grown"
        return Refusal("image-unfit", f"{told}: {volume['problem']}")
    return ImageLayout(
        root_number=int(root["number"]),
        root_start_bytes=int(root["start_bytes"]),
        root_size_bytes=int(root["size_bytes"]),
        taken_numbers=frozenset(int(one["number"]) for one in parts),
        sector_bytes=sector_bytes,
        table="mbr" if info.get("partition_table") == "mbr" else "gpt",
        active_number=info.get("active_partition"),
        volume=volume,
    )


def shares(sizes: Sequence[Size], room_bytes: int, unit_bytes: int = MIB) -> tuple[int, ...]:
    """Bytes of each size: absolute ones rounded up, shares of what those leave, and `rest` what then remains.

    So `50%` twice always fits, whatever stands beside it. What does not fit comes out below zero.
    """
    fixed = sum(_up(size, unit_bytes) for size in sizes if isinstance(size, int))
    shared = max(room_bytes - fixed, 0)
    given = [
        _up(size, unit_bytes)
        if isinstance(size, int)
        else size.of(shared) // unit_bytes * unit_bytes
        if isinstance(size, Percent)
        else None
        for size in sizes
    ]
    left = (room_bytes - sum(one or 0 for one in given)) // unit_bytes * unit_bytes
    return tuple(left if one is None else one for one in given)


def lay_out_root(parts: Sequence[Partition], size_bytes: int, image: ImageLayout) -> DiskPlan | Refusal:
    """Cut the root disk: the image's root is grown, the others follow it in the spec's order."""
    root = next((part for part in parts if part.mount == "/"), None)
    others = [part for part in parts if part is not root]
    end = usable_end_bytes(size_bytes, image.sector_bytes)
    start = _up(image.root_start_bytes)
    wished: Size = "rest" if root is None else root.size
    root_bytes, *sizes = shares([wished, *(part.size for part in others)], end - start)
    told_root = "rest" if wished == "rest" else human_size(max(root_bytes, 0))
    if root_bytes < image.root_size_bytes:
        needs = human_size(image.root_size_bytes)
        told = f"root gets {human_size(max(root_bytes, 0))}, the image's root needs {needs}"
        return Refusal("layout-impossible", told)
    added = _beyond("root", start + root_bytes, image.table, image.sector_bytes) or _follow(
        others, sizes, _Room(start + root_bytes, end, image.table, image.sector_bytes, image.taken_numbers)
    )
    if isinstance(added, Refusal):
        return Refusal(added.reason, f"{added.message} (root {told_root}, {human_size(size_bytes)} in all)")
    alone = wished == "rest" and not others
    grown = None if alone else root_bytes
    volume = image.grown_volume(root_bytes)
    return DiskPlan(image.root_number, grown, added, image.table, image.active_number, volume)


def lay_out_data(
    parts: Sequence[Partition], size_bytes: int, sector_bytes: int, table: Table = "gpt"
) -> DiskPlan | Refusal:
    """Cut a disk that carries no image, from its first MiB on."""
    end = usable_end_bytes(size_bytes, sector_bytes)
    sizes = shares([part.size for part in parts], end - MIB)
    added = _follow(parts, sizes, _Room(MIB, end, table, sector_bytes))
    return added if isinstance(added, Refusal) else DiskPlan(None, None, added, table)


def too_small(part: Formatted, size_bytes: int, *, bare: bool = False, inside: str = "") -> Refusal | None:
    """Refuse what its file system cannot be made in; `bare` is for one whose file system lies elsewhere."""
    filesystem = None if bare else part.filesystem
    least = LEAST_BYTES.get(filesystem or "", MIN_PARTITION_BYTES)
    least += LUKS_HEADER_BYTES if part.luks and not bare else 0
    if size_bytes >= least:
        return None
    kind = f" of {filesystem}" if filesystem in LEAST_BYTES else ""
    got = human_size(max(size_bytes, 0))
    told = f"{inside}{part.name} would get {got}, the least{kind} is {human_size(least)}"
    return Refusal("layout-impossible", told)


@dataclass(frozen=True, slots=True)
class _Room:
    """Where new partitions may stand, and what their table takes."""

    start: int
    end: int
    table: Table
    sector_bytes: int
    taken: frozenset[int] = frozenset()

    @property
    def numbers(self) -> Iterator[int]:
        most = _GPT_PARTITIONS if self.table == "gpt" else MBR_PARTITIONS
        return (number for number in range(1, most + 1) if number not in self.taken)

    @property
    def full(self) -> Refusal:
        if self.table == "gpt":
            return Refusal("layout-impossible", f"a GPT holds {_GPT_PARTITIONS} partitions")
        held = f", the image has {len(self.taken)}" if self.taken else ""
        told = f"an MBR holds {MBR_PARTITIONS} partitions{held}; extended partitions are not supported"
        return Refusal("layout-impossible", told)


def _follow(
    parts: Sequence[Partition], sizes: Sequence[int], room: _Room
) -> tuple[NewPartition, ...] | Refusal:
    numbers, start = room.numbers, room.start
    needed = sum(size for part, size in zip(parts, sizes, strict=True) if part.size != "rest")
    if start >= room.end and parts:
        return Refusal("layout-impossible", f"no room is left for {', '.join(part.name for part in parts)}")
    if needed > room.end - start:
        told = f"partitions need {human_size(needed)}, there are {human_size(room.end - start)}"
        return Refusal("layout-impossible", told)
    added = []
    for part, size_bytes in zip(parts, sizes, strict=True):
        wrong = too_small(part, size_bytes, bare=part.lvm is not None)
        wrong = wrong or _beyond(part.name, start + size_bytes, room.table, room.sector_bytes)
        if wrong:
            return wrong
        number = next(numbers, None)
        if number is None:
            return room.full
        added.append(NewPartition(number, part, start, size_bytes, room.table))
        start += size_bytes
    return tuple(added)


def _beyond(name: str, end: int, table: Table, sector_bytes: int) -> Refusal | None:
    """Refuse what an MBR cannot address."""
    reach = _MBR_SECTORS * sector_bytes
    if table == "gpt" or end <= reach:
        return None
    told = f"{name} would end at {human_size(end)}, an MBR reaches {human_size(reach)}"
    told += f" on sectors of {sector_bytes} bytes: make it smaller, or use a GPT"
    return Refusal("layout-impossible", told)


def _up(size_bytes: int, unit_bytes: int = MIB) -> int:
    return -(-size_bytes // unit_bytes) * unit_bytes
