"""File systems: growing the image's root, making new ones under derived ids."""

import re
from dataclasses import dataclass
from typing import Any, Final

from metal.drivers.partitions import Device, Target
from metal.drivers.storage.places import Places
from metal.drivers.storage.stack import PLACE, Layer, Mounted, Stack
from metal.errors import Refused
from metal.protocols import Command

FSCK_CORRECTED: Final = (0, 1)
"""e2fsck(8): 1 is "errors corrected", which an image that was not cleanly unmounted gives."""


@dataclass(frozen=True, slots=True)
class FilesystemWish:
    """The file system of a step, with its derived UUID; `number` is 0 for one that lies in no partition."""

    number: int
    name: str
    filesystem: str
    label: str
    fs_uuid: str
    subvolumes: tuple[str, ...] = ()

    @classmethod
    def of(cls, args: dict[str, Any], fs_uuid: str) -> "FilesystemWish":
        """Take a step's arguments."""
        return cls(
            number=int(args.get("number") or 0),
            name=str(args["name"]),
            filesystem=str(args["filesystem"]),
            label=str(args.get("label") or args["name"]),
            fs_uuid=fs_uuid,
            subvolumes=tuple(args.get("subvolumes") or ()),
        )


def placeholder(number: int) -> str:
    """Give what rf-exec replaces by the path of the guarded disk's partition."""
    return f"{{disk0:p{number}}}"


GROWERS: Final[dict[str, tuple[str, ...]]] = {
    "xfs": ("xfs_growfs", "{mount}"),
    "btrfs": ("btrfs", "filesystem", "resize", "max", "{mount}"),
}
"""What grows a file system that grows only while it is mounted: xfs_growfs(8), btrfs-filesystem(8)."""


def grow_root(target: Target, number: int, filesystem: str) -> tuple[Command, ...]:
    """Grow the root to its partition. Raises Refused for a file system that nothing here grows."""
    if filesystem in GROWERS:
        mounted = Mounted(filesystem, (GROWERS[filesystem],))
        places = Places.of(((target, number),))
        return (Stack(f"grow the root on {target}", mounted=mounted).command(places),)
    if filesystem not in ("ext3", "ext4"):
        raise Refused(f"no way to grow a root of {filesystem or 'an unknown kind'}", reason="image-unfit")
    part = placeholder(number)
    return (
        Command(
            argv=("e2fsck", "-f", "-y", part),
            says=f"check the root on {target}",
            disks=(target.guard,),
            timeout_s=600,
            ok_statuses=FSCK_CORRECTED,
        ),
        Command(
            argv=("resize2fs", part),
            says=f"grow the root on {target}",
            disks=(target.guard,),
            timeout_s=600,
        ),
    )


def make(target: Target, wish: FilesystemWish) -> Command:
    """Make the file system with its derived UUID and label, and what it is to hold from the start."""
    says = f"make {wish.filesystem} {wish.label} on {target} partition {wish.number}"
    if wish.filesystem == "btrfs":
        return stack(says, wish).command(Places.of(((target, wish.number),)))
    return Command(
        argv=(*_maker(wish), placeholder(wish.number)),
        says=says,
        disks=(target.guard,),
        timeout_s=600,
    )


def stack(
    says: str, wish: FilesystemWish, layers: tuple[Layer, ...] = (), mark: tuple[tuple[str, ...], ...] = ()
) -> Stack:
    """Give what makes the file system over layers, with a mark that says when it is whole."""
    # mkfs.btrfs takes no UUID that it finds anywhere, on the very device neither: a second start is refused.
    make = (("wipefs", "--all", "--force", PLACE), (*_maker(wish), PLACE))
    made = tuple(("btrfs", "subvolume", "create", f"{{mount}}/{name}") for name in wish.subvolumes)
    return Stack(says, make, Mounted(wish.filesystem, made) if made else None, layers, mark)


def differences(device: Device, wish: FilesystemWish) -> tuple[str, ...]:
    """Say whether the file system is there under its id."""
    part = device.partition(wish.number)
    if part is None:
        return (f"partition {wish.number} ({wish.name}) is missing on {device.path}",)
    if part.filesystem == wish.filesystem and same_uuid(part.fs_uuid, wish.fs_uuid):
        return ()
    seen = f"{part.filesystem or 'nothing'} {part.fs_uuid or ''}".strip()
    return (f"{wish.name} holds {seen}, wanted {wish.filesystem} {wish.fs_uuid}",)


_SUBVOLUME = re.compile(r"^\s*root ref key dirid 256 sequence \d+ name (.+)$", re.MULTILINE)
"""A subvolume at the top, whose folder has number 256 (BTRFS_FIRST_FREE_OBJECTID)."""


def read_subvolumes(device: str) -> tuple[str, ...]:
    """Give what prints the subvolumes of a file system that is not mounted (btrfs-inspect-internal(8))."""
    return ("btrfs", "inspect-internal", "dump-tree", "-t", "root", device)


def subvolume_differences(wish: FilesystemWish, dump: str) -> tuple[str, ...]:
    """Say which subvolumes are missing from a printed root tree."""
    found = set(_SUBVOLUME.findall(dump))
    return tuple(f"{wish.name} lacks subvolume {name}" for name in wish.subvolumes if name not in found)


CHECKS: Final[dict[str, tuple[str, ...]]] = {
    "ext4": ("e2fsck", "-f", "-n"),
    "xfs": ("xfs_repair", "-n"),
    "btrfs": ("btrfs", "check", "--readonly"),
    "vfat": ("fsck.vfat", "-n"),
}
"""Programs that read a file system and say by their status whether it is whole; swap is one block."""


def check(wish: FilesystemWish, device: str) -> tuple[str, ...] | None:
    """Give what reads a new file system whole: a power cut may have left its first block and no other."""
    program = CHECKS.get(wish.filesystem)
    return (*program, device) if program else None


def same_uuid(seen: str | None, wished: str) -> bool:
    """Whether two file system ids are one; a FAT volume has the first eight digits only."""
    plain, wanted = (text.replace("-", "").lower() for text in (seen or "", wished))
    return plain == wanted or (len(plain) == 8 and wanted.startswith(plain))


def _maker(wish: FilesystemWish) -> tuple[str, ...]:
    if wish.filesystem == "ext4":
        # nodiscard: the device was zeroed or is the array's; a discard of it only costs time here.
        return (
            *("mkfs.ext4", "-q", "-F", "-E", "nodiscard,lazy_itable_init=1"),
            *("-U", wish.fs_uuid, "-L", wish.label[:16]),
        )
    if wish.filesystem == "xfs":
        return ("mkfs.xfs", "-q", "-f", "-K", "-m", f"uuid={wish.fs_uuid}", "-L", wish.label[:12])
    if wish.filesystem == "btrfs":
        return ("mkfs.btrfs", "-q", "-f", "-K", "-U", wish.fs_uuid, "-L", wish.label)
    if wish.filesystem == "vfat":
        return (*("mkfs.vfat", "-i", wish.fs_uuid.replace("-", "")[:8], "-n", wish.label[:11].upper()),)
    if wish.filesystem == "swap":
        return ("mkswap", "--uuid", wish.fs_uuid, "--label", wish.label[:15])
    raise Refused(f"no way to make a file system {wish.filesystem!r}", reason="step-failed")
