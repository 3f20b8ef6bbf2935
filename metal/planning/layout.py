"""Partition arithmetic: where the root ends, where what follows it starts, and what cannot fit.

Sizes are decided here and not by tools on the machine, so that the plan shows them and a second reading
can be compared with them. Everything is aligned to 1 MiB, which every drive and array geometry divides.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from metal.planning.disks import Refusal
from specs.model import Partition
from specs.sizes import human_size

MIB: Final = 1 << 20
MIN_PARTITION_BYTES: Final = 16 * MIB
"""Below that mkfs.ext4 and mkfs.xfs refuse or make something useless."""

_GPT_ENTRIES_BYTES: Final = 128 * 128

TYPE_GUIDS: Final[dict[str, str]] = {
    "linux": "0fc63daf-8483-4772-8e79-3d69d8477de4",
    "swap": "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f",
    "vfat": "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7",
}
"""GPT partition types by what is put on them (UEFI 2.10, 5.3; Discoverable Partitions Specification)."""

_LABEL_LIMIT: Final[dict[str, int]] = {"ext4": 16, "xfs": 12, "vfat": 11, "swap": 15}


@dataclass(frozen=True, slots=True)
class ImageLayout:
    """What an image's own partition table leaves to do."""

    root_number: int
    root_start_bytes: int
    root_size_bytes: int
    taken_numbers: frozenset[int]
    sector_bytes: int


@dataclass(frozen=True, slots=True)
class NewPartition:
    """A partition that the plan adds."""

    number: int
    part: Partition
    start_bytes: int
    size_bytes: int

    @property
    def type_guid(self) -> str:
        """The GPT type that fits its file system."""
        return TYPE_GUIDS.get(self.part.filesystem or "linux", TYPE_GUIDS["linux"])

    @property
    def label(self) -> str:
        """The file system's label: the partition's name, as far as the file system takes it."""
        return self.part.name[: _LABEL_LIMIT.get(self.part.filesystem or "ext4", 11)]


@dataclass(frozen=True, slots=True)
class DiskPlan:
    """How one disk is cut. `root_size_bytes` None lets the root take all that is left."""

    root_number: int | None
    root_size_bytes: int | None
    added: tuple[NewPartition, ...]


def usable_end_bytes(size_bytes: int, sector_bytes: int = 512) -> int:
    """Where partitions must end: before the backup GPT (UEFI 2.10, 5.3.1), rounded down to 1 MiB."""
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
    behind = [one["number"] for one in parts if one["start_bytes"] > root["start_bytes"]]
    if behind:
        told = f"partition {behind[0]} of the image lies behind its root, which therefore cannot grow"
        return Refusal("image-unfit", told)
    return ImageLayout(
        root_number=int(root["number"]),
        root_start_bytes=int(root["start_bytes"]),
        root_size_bytes=int(root["size_bytes"]),
        taken_numbers=frozenset(int(one["number"]) for one in parts),
        sector_bytes=sector_bytes,
    )


def lay_out_root(parts: Sequence[Partition], size_bytes: int, image: ImageLayout) -> DiskPlan | Refusal:
    """Cut the root disk: the image's root is grown, the others follow it in the spec's order."""
    root = next((part for part in parts if part.mount == "/"), None)
    others = [part for part in parts if part is not root]
    end = usable_end_bytes(size_bytes, image.sector_bytes)
    room = end - _up(image.root_start_bytes)
    wished = "rest" if root is None else root.size
    fixed = sum(_up(part.size) for part in others if part.size != "rest")
    if wished == "rest":
        root_bytes = room - fixed
        told_root = "rest"
    else:
        root_bytes = _up(wished)
        told_root = human_size(root_bytes)
    if root_bytes < image.root_size_bytes:
        needs = human_size(image.root_size_bytes)
        told = f"root gets {human_size(max(root_bytes, 0))}, the image's root needs {needs}"
        return Refusal("layout-impossible", told)
    start = _up(image.root_start_bytes) + root_bytes
    added = _follow(others, start, end, image.taken_numbers)
    if isinstance(added, Refusal):
        return Refusal(added.reason, f"{added.message} (root {told_root}, {human_size(size_bytes)} in all)")
    alone = wished == "rest" and not others
    return DiskPlan(image.root_number, None if alone else root_bytes, added)


def lay_out_data(parts: Sequence[Partition], size_bytes: int, sector_bytes: int) -> DiskPlan | Refusal:
    """Cut a disk that carries no image, from its first MiB on."""
    added = _follow(parts, MIB, usable_end_bytes(size_bytes, sector_bytes), frozenset())
    return added if isinstance(added, Refusal) else DiskPlan(None, None, added)


def _follow(
    parts: Sequence[Partition], start: int, end: int, taken: frozenset[int]
) -> tuple[NewPartition, ...] | Refusal:
    fixed = sum(_up(part.size) for part in parts if part.size != "rest")
    rest = (end - start - fixed) // MIB * MIB
    numbers = (number for number in range(1, 129) if number not in taken)
    if fixed > end - start:
        told = f"partitions need {human_size(fixed)}, there are {human_size(max(end - start, 0))}"
        return Refusal("layout-impossible", told)
    added = []
    for part in parts:
        size_bytes = rest if part.size == "rest" else _up(part.size)
        if size_bytes < MIN_PARTITION_BYTES:
            told = f"{part.name} would get {human_size(max(size_bytes, 0))}, the least is 16 MiB"
            return Refusal("layout-impossible", told)
        number = next(numbers, None)
        if number is None:
            return Refusal("layout-impossible", "a GPT holds 128 partitions")
        added.append(NewPartition(number, part, start, size_bytes))
        start += size_bytes
    return tuple(added)


def _up(size_bytes: int) -> int:
    return -(-size_bytes // MIB) * MIB
