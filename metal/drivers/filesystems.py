"""File systems: growing the image's root, making new ones under derived ids."""

from dataclasses import dataclass
from typing import Any, Final

from metal.drivers.partitions import Device, Target
from metal.errors import Refused
from metal.protocols import Command

FSCK_CORRECTED: Final = (0, 1)
"""e2fsck(8): 1 is "errors corrected", which an image that was not cleanly unmounted gives."""


@dataclass(frozen=True, slots=True)
class FilesystemWish:
    """One file system of a step."""

    name: str
    part_uuid: str
    filesystem: str
    fs_uuid: str
    label: str

    @classmethod
    def of(cls, value: dict[str, Any]) -> "FilesystemWish":
        """Take a step's file system."""
        return cls(
            name=str(value["name"]),
            part_uuid=str(value["part_uuid"]),
            filesystem=str(value["filesystem"]),
            fs_uuid=str(value["fs_uuid"]),
            label=str(value.get("label") or value["name"]),
        )


def placeholder(number: int) -> str:
    """Give what rf-exec replaces by the path of the guarded disk's partition."""
    return f"{{disk0:p{number}}}"


def grow_root(target: Target, number: int, filesystem: str) -> tuple[Command, ...]:
    """Grow an unmounted root to its partition; an XFS root is grown when it is mounted."""
    if filesystem not in ("ext3", "ext4"):
        return ()
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


def make(target: Target, number: int, wish: FilesystemWish) -> Command:
    """Make one file system with its derived UUID and label."""
    return Command(
        argv=(*_maker(wish), placeholder(number)),
        says=f"make {wish.filesystem} {wish.label} on {target} partition {number}",
        disks=(target.guard,),
        timeout_s=600,
    )


def differences(device: Device, wishes: tuple[FilesystemWish, ...]) -> tuple[str, ...]:
    """Say which file systems are not there under their ids."""
    found = []
    for wish in wishes:
        part = device.partition(wish.part_uuid)
        if part is None:
            found.append(f"partition {wish.name} ({wish.part_uuid}) is missing")
        elif part.filesystem != wish.filesystem or not same_uuid(part.fs_uuid, wish.fs_uuid):
            seen = f"{part.filesystem or 'nothing'} {part.fs_uuid or ''}".strip()
            found.append(f"{wish.name} holds {seen}, wanted {wish.filesystem} {wish.fs_uuid}")
    return tuple(found)


def missing(
    device: Device, wishes: tuple[FilesystemWish, ...], host: str | None = None
) -> tuple[tuple[int, FilesystemWish], ...]:
    """Give partition number and wish of each file system to make. Raises Refused without its partition."""
    todo = []
    for wish in wishes:
        part = device.partition(wish.part_uuid)
        if part is None:
            raise Refused(
                f"partition {wish.name} ({wish.part_uuid}) is not on {device.path}",
                host=host,
                reason="step-failed",
                hint="the partition step has to run first",
            )
        if part.filesystem != wish.filesystem or not same_uuid(part.fs_uuid, wish.fs_uuid):
            todo.append((part.number, wish))
    return tuple(todo)


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
    if wish.filesystem == "vfat":
        return (*("mkfs.vfat", "-i", wish.fs_uuid.replace("-", "")[:8], "-n", wish.label[:11].upper()),)
    if wish.filesystem == "swap":
        return ("mkswap", "--uuid", wish.fs_uuid, "--label", wish.label[:15])
    raise Refused(f"no way to make a file system {wish.filesystem!r}", reason="step-failed")
