"""`mdadm --detail`: a block of `Key : value` lines per array, then the table of its members."""

import re
from typing import Final

from metal.drivers.raid.md_array import (
    TOOL,
    MdArray,
    MdMember,
    array_bytes,
    level_of,
    member_state,
    plain_name,
    state_of,
)
from metal.drivers.tool_text import Line, key_value, number, unparsable

TABLE = re.compile(r"^\s*Number\s+Major\s+Minor\s+RaidDevice\b")
_ROW = re.compile(
    r"^\s*(?P<number>-|\d{1,9})\s+(?:-|\d+)\s+(?:-|\d+)\s+(?P<role>-|\d{1,9})(?:\s+(?P<rest>.*))?$"
)
_PERCENT = re.compile(r"(\d{1,3}(?:\.\d+)?)\s*%")
_TASKS: Final = ("Rebuild Status", "Resync Status", "Reshape Status", "Check Status", "Recovery Status")


def read_detail(device: str, lines: tuple[Line, ...]) -> MdArray:
    """One array. `lines` are those after `/dev/md0:`.

    Raises Unparsable where the block ends before its members: mdadm prints a row for each place in the
    array, `removed` for an empty one.
    """
    values = fields_of(lines)
    if not {"Raid Level", "Raid Devices", "Total Devices"} & values.keys():
        raise unparsable(TOOL, lines[0] if lines else None, f"'Raid Level' of {device}")
    members, last = members_of(lines)
    level = level_of(values.get("Raid Level"))
    raw = values.get("State")
    state = state_of(raw)
    wanted = number(values.get("Raid Devices"))
    if last is None or (level != "container" and state != "offline" and len(members) < (wanted or 0)):
        place = last or lines[-1]
        raise unparsable(TOOL, place, f"the table of the {wanted or 'listed'} members of {device}")
    return MdArray(
        device=device,
        level=level,
        state=state,
        raw_state=raw or None,
        size_bytes=array_bytes(values.get("Array Size")),
        uuid=plain_name(
            values.get("UUID") or (values.get("Container GUID") if level == "container" else None)
        ),
        name=plain_name(values.get("Name")),
        metadata=values.get("Version") or None,
        raid_devices=wanted,
        active=number(values.get("Active Devices")),
        working=number(values.get("Working Devices")),
        failed=number(values.get("Failed Devices")),
        spare=number(values.get("Spare Devices")),
        progress=next((percent(values[task]) for task in _TASKS if task in values), None),
        members=members,
    )


def fields_of(lines: tuple[Line, ...]) -> dict[str, str]:
    """`Key : value` lines; the first of a key wins."""
    found: dict[str, str] = {}
    for line in lines:
        if pair := key_value(line):
            found.setdefault(*pair)
    return found


def members_of(lines: tuple[Line, ...]) -> tuple[tuple[MdMember, ...], Line | None]:
    """The rows of the table, and the last line that belongs to it; None where there is no table."""
    members = []
    last = None
    for line in lines:
        if last is None:
            last = line if TABLE.match(line.text) else None
        elif match := _ROW.match(line.text):
            members.append(member_of(match["number"], match["role"], match["rest"] or ""))
            last = line
    return tuple(members), last


def member_of(place: str, role: str, rest: str) -> MdMember:
    """A member by the cells of its row; `rest` is the state's words and the device."""
    words, slash, path = rest.partition("/")
    state = member_state(words)
    return MdMember(
        device=f"/{path.strip()}" if slash else None,
        number=int(place) if place.isdigit() else None,
        # Older versions print a place for a spare, which it does not have.
        role=int(role) if role.isdigit() and state != "spare" else None,
        state=state,
    )


def percent(text: str) -> float | None:
    """The number of `24% complete`."""
    match = _PERCENT.search(text)
    return float(match[1]) if match else None
