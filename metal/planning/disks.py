"""Device rules to exactly one disk, and RAID volumes to their drives; or a refusal that lists the disks seen.

A wrong disk is the one mistake that nothing repairs. So a rule that fits none or two is refused, and
disks that are never meant do not take part: removable and read-only ones, the virtual media of a BMC,
LUNs of a SAN (another machine may be using them), and disks that cannot be told apart. A USB disk takes
part where a rule names it, or asks for USB: sticks that call themselves fixed are common.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from specs.facts import Disk, RaidArray
from specs.model import DeviceRule
from specs.sizes import human_size

SAN_TRANSPORTS: Final = frozenset(
    {"fc", "iscsi", "fcoe", "srp", "nvme-tcp", "nvme-rdma", "nvme-fc", "nvme-loop"}
)
BY_PATH: Final = "/dev/disk/by-path/"
SECTOR_4KN_BYTES: Final = 4096

VIRTUAL_MEDIA: Final[tuple[str, ...]] = (
    "virtual cd",  # AMI MegaRAC "Virtual CDROM", Dell "Virtual CD"
    "virtual floppy",
    "virtual hdisk",  # AMI MegaRAC
    "virtual media",
    "virtual usb",
    "lcdrive",  # Dell lifecycle controller
    "idsdm",  # Dell internal SD module
)
"""Parts of vendor and model, lower case, under which BMCs show their media."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing was chosen: a reason code, and what was seen in words."""

    reason: str
    message: str


def unfit(disk: Disk, disks: Iterable[Disk]) -> str | None:
    """Why a disk takes no part by default; None when it does."""
    shown = f"{disk.vendor or ''} {disk.model or ''}".lower()
    reasons = (
        ("read-only", disk.read_only),
        ("empty", disk.size_bytes <= 0),
        ("without serial and WWN", disk.identity is None),
        ("virtual media", any(name in shown for name in VIRTUAL_MEDIA)),
        ("removable", disk.removable),
        ("on a SAN", (disk.transport or "") in SAN_TRANSPORTS),
    )
    return next((why for why, holds in reasons if holds), None) or _twins(disk, disks)


def _twins(disk: Disk, disks: Iterable[Disk]) -> str | None:
    """Why a disk's identity names no one disk: two paths lead to it, or another bears it too.

    A path may show the serial and another one not. Drives with serials of their own are not one drive,
    whatever WWN their maker gave all of them.
    """
    same = [one for one in disks if one.identity == disk.identity or _same_name(one, disk)]
    if len(same) < 2:
        return None
    if disk.wwn and all(one.wwn == disk.wwn and one.size_bytes == disk.size_bytes for one in same):
        return f"one disk seen {len(same)} times, as {', '.join(one.device for one in same)}: leave one path"
    return "its identity is not unique"


def _same_name(one: Disk, other: Disk) -> bool:
    return one.wwn is not None and one.wwn == other.wwn and None in (one.serial, other.serial)


def asked_for(rule: DeviceRule, disk: Disk) -> str | None:
    """Why a rule does not mean a disk that may be used else; None where it may."""
    if disk.transport != "usb" or rule.transport == "usb" or rule.serial or rule.wwn or rule.by_path:
        return None
    return "on USB, which the rule does not ask for"


def fitting(rule: DeviceRule, disks: Sequence[Disk]) -> list[Disk]:
    """The disks that a rule fits, smallest identity first. A rule with `raid` fits no physical disk."""
    if rule.raid is not None:
        return []
    found = [disk for disk in disks if _fits(rule, disk) and _why_not(rule, disk, disks) is None]
    return sorted(found, key=lambda disk: disk.identity or "")


def _why_not(rule: DeviceRule, disk: Disk, disks: Sequence[Disk]) -> str | None:
    return unfit(disk, disks) or asked_for(rule, disk)


def find_disk(rule: DeviceRule, disks: Sequence[Disk], used: Iterable[str] = ()) -> Disk | Refusal:
    """Exactly one disk, not counting those used otherwise; else why not."""
    taken = set(used)
    found = [disk for disk in fitting(rule, disks) if disk.identity not in taken]
    if len(found) == 1:
        return found[0]
    asked = ", ".join(f"{key} {value}" for key, value in _said(rule).items())
    if not found:
        never = any(_fits(rule, disk) and _why_not(rule, disk, disks) for disk in disks)
        what = "matches no disk that may be used" if never else "matches no disk"
        return Refusal("no-matching-disk", f"{{{asked}}} {what}; seen: {listing(disks, taken, rule)}")
    told = "; ".join(describe(disk) for disk in found)
    return Refusal("ambiguous-disk", f"{{{asked}}} matches {len(found)} disks: {told}")


def arrays_of(disk: Disk, arrays: Iterable[RaidArray]) -> list[RaidArray]:
    """The arrays that a disk is a member or spare of; controllers put several on one group of drives."""
    names = {name for name in (disk.serial, disk.wwn, disk.device) if name}
    return [one for one in arrays if names & {*one.members, *one.spares}]


def members_of(array: RaidArray, disks: Iterable[Disk]) -> list[Disk]:
    """The disks seen that belong to an array."""
    return [disk for disk in disks if arrays_of(disk, (array,))]


def volume_name(array: RaidArray) -> str:
    """The array's name without the host that md puts in front (`rf:system`)."""
    return (array.name or "").rpartition(":")[2]


def describe(disk: Disk) -> str:
    """One disk in a sentence: `vda RF-M1-D0 8 GiB virtio, blank`."""
    told = [disk.device, disk.identity or "no identity", human_size(disk.size_bytes)]
    told += [part for part in (disk.transport, disk.medium if disk.medium != "unknown" else None) if part]
    told += ["4Kn"] if disk.logical_block_bytes == SECTOR_4KN_BYTES else []
    told += [f"namespace of {disk.drive_serial}"] if disk.drive_serial else []
    return f"{' '.join(told)}, {'; '.join(disk.found) or 'blank'}"


def listing(disks: Sequence[Disk], used: Iterable[str] = (), rule: DeviceRule | None = None) -> str:
    """All disks seen, each with the reason why it takes no part."""
    taken = set(used)
    told = []
    for disk in disks:
        why = unfit(disk, disks) or ("used by another rule" if disk.identity in taken else None)
        why = why or (asked_for(rule, disk) if rule else None)
        told.append(describe(disk) + (f" [{why}]" if why else ""))
    return "; ".join(told) or "no disk"


def _said(rule: DeviceRule) -> dict[str, object]:
    said = rule.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"count"})
    sizes = {"minSize": rule.min_size, "maxSize": rule.max_size}
    said |= {key: human_size(size) for key, size in sizes.items() if size is not None}
    return {key: value for key, value in said.items() if value not in ([], ())}


def _fits(rule: DeviceRule, disk: Disk) -> bool:
    return all(
        (
            rule.serial is None or rule.serial.strip() in (disk.serial, disk.drive_serial),
            rule.wwn is None or (disk.wwn is not None and plain_wwn(rule.wwn) == plain_wwn(disk.wwn)),
            rule.by_path is None or _plain_path(rule.by_path) in _paths(disk),
            _sized(disk, rule.min_size, rule.max_size),
            rule.media is None or rule.media == disk.medium,
            rule.transport is None or rule.transport == disk.transport,
            model_fits(rule.model, disk),
        )
    )


def _sized(disk: Disk, low: int | None, high: int | None) -> bool:
    return (low is None or disk.size_bytes >= low) and (high is None or disk.size_bytes <= high)


def model_fits(wished: str | None, disk: Disk) -> bool:
    """Compare without case; `*` in the rule stands for anything, and udev writes blanks as `_`."""
    if wished is None:
        return True
    plain = " ".join(wished.replace("_", " ").split()).lower()
    return fnmatchcase(" ".join((disk.model or "").replace("_", " ").split()).lower(), plain)


def plain_wwn(text: str) -> str:
    """A WWN without its spelling: `0x5000C5…`, `naa.5000c5…`, `wwn-0x5000c5…` and `5000c5…` are one."""
    plain = text.strip().lower().removeprefix("/dev/disk/by-id/")
    for prefix in ("wwn-", "nvme-", "naa.", "eui.", "uuid.", "0x"):
        plain = plain.removeprefix(prefix)
    return plain


def _plain_path(text: str) -> str:
    return text.strip().removeprefix(BY_PATH)


def _paths(disk: Disk) -> set[str]:
    return {_plain_path(one) for one in (disk.by_path, *disk.other_paths) if one}
