"""/proc/mdstat: the kernel's own table of arrays.

An array is a line `md0 : active raid1 sda1[0] sdb1[1](F)` and, below it, its size, `[2/1] [U_]` for the
members wanted and present, and a bar for a running task (`Documentation/admin-guide/md.rst`).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from metal.drivers.raid.listing import VolumeState
from metal.drivers.raid.md_array import TOOL, MdArray, MdMember, MemberState, lacking_state, level_of
from metal.drivers.tool_text import Line, unparsable

HEAD = re.compile(r"^Personalities\s*:")
UNUSED = re.compile(r"^unused devices\s*:")
ARRAY = re.compile(
    r"^(?P<name>md\S*)\s*:\s*(?P<activity>active|inactive|broken|clear|readonly|read-auto|clean)\b"
    r"\s*(?P<mode>\([a-z-]+\))?(?P<rest>.*)$"
)
_MEMBER = re.compile(r"^([^\[]+)\[(\d{1,9})\]((?:\([A-Z]\))*)$")
_BLOCKS = re.compile(r"^\s*(\d{1,18}) blocks\b(?:.*?\bsuper (\S+))?")
_PRESENT = re.compile(r"\[(\d{1,5})/(\d{1,5})\]")
_TASK = re.compile(r"\b(recovery|resync|reshape|check|repair)\s*=\s*(\d{1,3}(?:\.\d+)?)\s*%")
_TASK_STATES: Final[dict[str, VolumeState]] = {
    "recovery": "rebuilding",
    "resync": "initialising",
    "reshape": "migrating",
}
"""A check or repair reads an array that is whole: it is no state."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the lines below the array's own line tell."""

    size_bytes: int | None = None
    metadata: str | None = None
    wanted: int | None = None
    present: int | None = None
    task: str | None = None
    progress: float | None = None


def read_mdstat(lines: tuple[Line, ...]) -> Iterator[MdArray]:
    """All arrays; `lines` begin with Personalities or an array.

    Raises Unparsable where the table ends before it has listed an array or said that there are no more.
    """
    starts = [n for n, line in enumerate(lines) if ARRAY.match(line.words)]
    before = lines[: starts[0]] if starts else lines
    if orphan := next((line for line in before if _BLOCKS.match(line.text)), None):
        raise unparsable(TOOL, orphan, "an array before its size in /proc/mdstat")
    if not starts and not any(UNUSED.match(line.words) for line in lines):
        last = [line for line in lines if line.words][-1]
        raise unparsable(TOOL, last, "an array or 'unused devices:' in /proc/mdstat")
    for place, start in enumerate(starts):
        end = starts[place + 1] if place + 1 < len(starts) else len(lines)
        yield _array(lines[start], lines[start + 1 : end])


def _array(first: Line, below: tuple[Line, ...]) -> MdArray:
    match = ARRAY.match(first.words)
    if match is None:
        raise unparsable(TOOL, first, "an array of /proc/mdstat")
    seen = _seen(below)
    if seen.size_bytes is None and match["activity"] == "active":
        place = next((line for line in below if line.words), first)
        raise unparsable(TOOL, place, f"'blocks' of {match['name']}")
    personality = match["rest"].split()[:1]
    level = level_of(personality[0]) if personality and "[" not in personality[0] else None
    if level is None and seen.metadata in ("imsm", "ddf"):
        level = "container"
    return MdArray(
        device=f"/dev/{match['name']}",
        level=level,
        state=_state(match["activity"], level, seen),
        raw_state=" ".join(filter(None, (match["activity"], match["mode"]))),
        size_bytes=seen.size_bytes,
        metadata=seen.metadata,
        raid_devices=seen.wanted,
        active=seen.present,
        progress=seen.progress,
        members=_members(match["rest"], seen),
    )


def _seen(below: tuple[Line, ...]) -> _Seen:
    text = "\n".join(line.text for line in below)
    size = next((match for line in below if (match := _BLOCKS.match(line.text))), None)
    present = _PRESENT.search(text)
    task = _TASK.search(text)
    return _Seen(
        size_bytes=int(size[1]) * 1024 if size else None,
        metadata=_metadata(size[2]) if size else None,
        wanted=int(present[1]) if present else None,
        present=int(present[2]) if present else None,
        task=task[1] if task else None,
        progress=float(task[2]) if task else None,
    )


def _metadata(text: str | None) -> str | None:
    """`external:imsm` is a container's format; `external:/md127/0` says only which container it is in."""
    word = (text or "").removeprefix("external:")
    return word if word and not word.startswith(("/", "-")) else None


def _state(activity: str, level: str | None, seen: _Seen) -> VolumeState | None:
    if level == "container":
        return None  # a container is always "inactive": it holds arrays and is none
    if activity in ("inactive", "clear"):
        return "offline"
    if activity == "broken":
        return "failed"
    lacking = seen.wanted is not None and (seen.present or 0) < seen.wanted
    if seen.task in _TASK_STATES:
        return "rebuilding" if seen.task == "resync" and lacking else _TASK_STATES[seen.task]
    return lacking_state(level, seen.wanted or 0, seen.present or 0)


def _members(text: str, seen: _Seen) -> tuple[MdMember, ...]:
    """Members with their flags: F failed, S spare, R replacement.

    Without a flag a member is active, unless there are more of them than the kernel counts: those with the
    highest numbers are what a recovery fills.
    """
    matches = (_MEMBER.match(word) for word in text.split())
    found = [(match[1], int(match[2]), match[3]) for match in matches if match]
    plain = sorted(number for _, number, flags in found if not set("FSRJ") & set(flags))
    surplus = plain[seen.present :] if seen.present is not None else []
    filled: MemberState = "rebuilding" if seen.task in ("recovery", "reshape") else "spare"
    members = []
    for device, number, flags in found:
        state: MemberState = "active"
        if "F" in flags:
            state = "failed"
        elif "S" in flags:
            state = "spare"
        elif "R" in flags:
            state = "rebuilding" if seen.task == "recovery" else "active"
        elif number in surplus:
            state = filled
        members.append(MdMember(f"/dev/{device}", number, None, state))
    return tuple(members)
