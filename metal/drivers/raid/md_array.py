"""A Linux software array as mdadm and the kernel tell it: one model for all their texts.

mdadm has four ways to describe an array (`--detail`, `--examine`, `--export`, `ARRAY` lines), the kernel
has /proc/mdstat. They share words for levels, states and members; those tables are here.
"""

import re
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Literal

from metal.drivers.raid.listing import VolumeState

TOOL: Final = "mdadm"

MemberState = Literal["active", "spare", "rebuilding", "failed", "removed"]


@dataclass(frozen=True, slots=True)
class MdMember:
    """A device of an array: `number` is its descriptor, `role` its place in the array."""

    device: str | None
    number: int | None = None
    role: int | None = None
    state: MemberState | None = None


@dataclass(frozen=True, slots=True)
class MdArray:
    """An array; `device` is None where only a member's superblock tells of it."""

    device: str | None
    level: str | None = None
    state: VolumeState | None = None
    raw_state: str | None = None
    size_bytes: int | None = None
    uuid: str | None = None
    name: str | None = None
    metadata: str | None = None
    raid_devices: int | None = None
    active: int | None = None
    working: int | None = None
    failed: int | None = None
    spare: int | None = None
    progress: float | None = None
    members: tuple[MdMember, ...] = ()


@dataclass(frozen=True, slots=True)
class MdListing:
    """All arrays of one text."""

    arrays: tuple[MdArray, ...] = ()


_LEVELS: Final = {"linear": "concat", "concat": "concat", "jbod": "jbod", "container": "container"}

_STATES: Final[tuple[tuple[str, VolumeState], ...]] = (
    # In the order of what wins. The words are those of Detail.c and of the kernel's array_state (md.rst).
    ("failed", "failed"),
    ("broken", "failed"),
    ("not started", "offline"),
    ("inactive", "offline"),
    ("clear", "offline"),
    ("reshaping", "migrating"),
    ("recovering", "rebuilding"),
    ("resyncing", "initialising"),
    ("degraded", "degraded"),
    ("clean", "optimal"),
    ("active", "optimal"),
    ("active-idle", "optimal"),
    ("write-pending", "optimal"),
    ("readonly", "optimal"),
    ("read-auto", "optimal"),
    ("dirty", "optimal"),
)
_QUEUED = re.compile(r"^\w+ \((?:DELAYED|PENDING)\)$", re.IGNORECASE)
_REMARK = re.compile(r"\s*\([^)]*\)")
_MEMBER_STATES: Final[tuple[tuple[str, MemberState], ...]] = (
    # "faulty removed" is an empty slot of metadata 0.90, "spare rebuilding" a spare in use.
    ("removed", "removed"),
    ("faulty", "failed"),
    ("rebuilding", "rebuilding"),
    ("spare", "spare"),
    ("active", "active"),
    ("sync", "active"),
    ("journal", "active"),
)
_SPARE_MEMBERS: Final = {"raid0": 0, "concat": 0, "raid4": 1, "raid5": 1, "raid6": 2}
"""How many members an array may lack and still hold its data, where the level alone tells."""
_SIZE = re.compile(r"^(\d{1,18})\s*(KiB|sectors)?\s*(?:\((\d+(?:\.\d+)?) ([KMGTPE])iB\b.*)?", re.IGNORECASE)
_POWERS: Final = {"K": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}


def level_of(text: str | None) -> str | None:
    """The level's name; `1` (IMSM) and `RAID1` (DDF) are raid1, linear is concat, -unknown- is None."""
    word = (text or "").strip().lower()
    if re.fullmatch(r"\d{1,2}", word):
        return f"raid{word}"
    return _LEVELS.get(word) or (word if re.fullmatch(r"[a-z]+\d*[a-z]*", word) else None)


def state_of(raw: str | None) -> VolumeState | None:
    """The state of `clean, degraded, recovering`: a running task wins, a queued one counts for nothing.

    A resync of an array that lacks a member is a rebuild; a check changes nothing.
    """
    words = [word.strip() for word in (raw or "")[:200].lower().split(",")]
    running = {_REMARK.sub("", word) for word in words if not _QUEUED.match(word)}
    found = next((state for word, state in _STATES if word in running), None)
    return "rebuilding" if found == "initialising" and "degraded" in running else found


def lacking_state(level: str | None, wanted: int, present: int) -> VolumeState:
    """The state of an array that has `present` of its `wanted` members, and no task."""
    if present >= wanted:
        return "optimal"
    lost = wanted - present
    return "failed" if not present or lost > _SPARE_MEMBERS.get(level or "", wanted) else "degraded"


def member_state(text: str) -> MemberState | None:
    """The state of `active sync writemostly`, `faulty spare` and their like."""
    words = set(text.lower().split())
    return next((state for word, state in _MEMBER_STATES if word in words), None)


def array_bytes(text: str | None) -> int | None:
    """Bytes of `101376 (99.00 MiB 103.81 MB)`.

    The bare number is KiB, but `--examine` counted 512-byte sectors up to mdadm 3.2; the size in brackets,
    where there is one, tells which.
    """
    match = _SIZE.match(text or "")
    if not match:
        return None
    count, unit, human, power = match.groups()
    if unit or human is None:
        return int(count) * (512 if (unit or "").lower() == "sectors" else 1024)
    shown = float(human) * 1024 ** _POWERS[power.upper()]
    return min((int(count) * 1024, int(count) * 512), key=lambda size: abs(size - shown))


def plain_name(text: str | None) -> str | None:
    """A name or UUID without `(local to host …)`."""
    return (text or "").partition("(local to host ")[0].strip() or None


def merged(arrays: list[MdArray]) -> tuple[MdArray, ...]:
    """Arrays of the same device, or the same UUID, as one: what is said later wins, members are united.

    `--examine` of all members tells of one array as often as it has members.
    """
    found: list[MdArray] = []
    places: dict[str, int] = {}
    for array in arrays:
        keys = [key for key in (array.device, array.uuid) if key]
        place = next((places[key] for key in keys if key in places), len(found))
        if place == len(found):
            found.append(array)
        else:
            found[place] = _united(found[place], array)
        places.update(dict.fromkeys(keys, place))
    return tuple(found)


def _united(old: MdArray, new: MdArray) -> MdArray:
    told: dict[str, Any] = {
        field.name: getattr(new, field.name)
        for field in fields(new)
        if field.name != "members" and getattr(new, field.name) is not None
    }
    if "raw_state" in told:  # a later reading: its state and progress are the whole truth
        told |= {"state": new.state, "progress": new.progress}
    if new.device is not None and new.members:  # a whole list of members, not one member's own word
        return replace(old, **told, members=new.members)
    members = {member.device: member for member in old.members if member.device}
    members |= {member.device: member for member in new.members if member.device}
    nameless = [member for member in old.members if not member.device]
    return replace(old, **told, members=(*members.values(), *nameless))
