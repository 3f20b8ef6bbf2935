"""`mdadm --examine`: what a member's superblock tells of its array.

Native superblocks (1.x, 0.90) tell of one array and, but for 0.90, of one member. A DDF or IMSM superblock
tells of a container and of each virtual disk in it. A device with a partition table only is no member.
"""

import re
from typing import Final

from metal.drivers.raid.listing import VolumeState
from metal.drivers.raid.md_array import (
    TOOL,
    MdArray,
    MdMember,
    MemberState,
    array_bytes,
    lacking_state,
    level_of,
    plain_name,
    state_of,
)
from metal.drivers.raid.md_detail import TABLE, fields_of, member_of
from metal.drivers.tool_text import Line, blocks, number, unparsable

_ROW_090 = re.compile(
    r"^\s*(?P<slot>\d{1,9})\s+(?P<number>-?\d{1,9})\s+\d+\s+\d+\s+(?P<role>-?\d{1,9})\s+(?P<rest>\S.*)$"
)
_ROLE = re.compile(r"^(?:Active|Replacement) device (\d{1,9})$", re.IGNORECASE)
_SLOT = re.compile(r"^(\d{1,9}) \(([^)]*)\)")
_DDF_KEY = re.compile(r"^(.*)\[(\d{1,4})\]$")
_DDF_DISK = re.compile(
    r"^\s*(?P<number>\d{1,5})\s+[0-9a-f]{8}\s+\d+K\s+(?:(?P<device>/\S+)\s+)?[\w, -]*/(?P<state>.*)$"
)
_DDF_UNIT = re.compile(r"(\d{1,5}|--)@\d+K")
_DDF_CAPACITIES: Final = frozenset({15, 63, 255, 1023, 4095})
"""How many disks a superblock has room for (SNIA DDF 2.0, Max_PD_Entries)."""
_IMSM_VOLUME = re.compile(r"^\[(.*)\]:$")

_DDF_STATES: Final[dict[str, VolumeState]] = {
    # SNIA DDF 2.0, table of virtual disk states, as super-ddf.c names them.
    "optimal": "optimal",
    "degraded": "degraded",
    "partially optimal": "partially-degraded",
    "deleted": "offline",
    "missing": "offline",
    "failed": "failed",
}
_IMSM_STATES: Final[dict[str, VolumeState]] = {
    # "Map State" of super-intel.c.
    "normal": "optimal",
    "uninitialized": "initialising",
    "degraded": "degraded",
    "failed": "failed",
}
_IMSM_TASKS: Final[dict[str, VolumeState]] = {
    # "Migrate State"; "repair" and "verify" are checks.
    "initialize": "initialising",
    "init": "initialising",
    "rebuild": "rebuilding",
    "general migration": "migrating",
    "migrating": "migrating",
    "state change": "migrating",
}


def read_examine(device: str, lines: tuple[Line, ...]) -> tuple[MdArray, ...]:
    """The arrays that the superblock on `device` tells of; none for a mere partition table."""
    values = fields_of(lines)
    magic = values.get("Magic", "")
    if magic == "a92b4efc":
        read = _read_090 if values.get("Version", "").startswith(("0.", "00.")) else _read_1
        return (read(device, lines, values),)
    if magic.upper() == "DE11DE11":
        return _read_ddf(lines)
    if magic.startswith("Intel Raid ISM"):
        return _read_imsm(device, lines)
    if "MBR Magic" in values:
        return ()
    raise unparsable(TOOL, lines[0], "the magic of an md, DDF or IMSM superblock", magic)


def _read_1(device: str, lines: tuple[Line, ...], values: dict[str, str]) -> MdArray:
    if "Raid Level" not in values or not {"Array State", "Device Role", "Array Slot"} & values.keys():
        raise unparsable(TOOL, lines[-1], f"the 'Device Role' of {device}")
    level = level_of(values["Raid Level"])
    return MdArray(
        device=None,
        level=level,
        state=_state_1(values, level),
        raw_state=values.get("State") or None,
        size_bytes=array_bytes(values.get("Array Size")),
        uuid=plain_name(values.get("Array UUID")),
        name=plain_name(values.get("Name")),
        metadata=values.get("Version") or None,
        raid_devices=number(values.get("Raid Devices")),
        members=(_member_1(device, values),),
    )


def _state_1(values: dict[str, str], level: str | None) -> VolumeState | None:
    """The state word's, unless the array reshapes or `Array State : A.` shows that a member is missing."""
    state = state_of(values.get("State"))
    places = values.get("Array State", "").partition(" ")[0]
    if state != "optimal" or not re.fullmatch(r"[AR.]+", places):
        return state
    if "Reshape pos'n" in values:
        return "migrating"
    return lacking_state(level, len(places), len(places) - places.count("."))


def _member_1(device: str, values: dict[str, str]) -> MdMember:
    role = _ROLE.match(values.get("Device Role", ""))
    if role:
        # A recovery that has not reached the end of the device yet.
        state: MemberState = "rebuilding" if "Recovery Offset" in values else "active"
        return MdMember(device, role=int(role[1]), state=state)
    if values.get("Device Role", "").lower() in ("spare", "journal"):
        return MdMember(device, state="spare" if values["Device Role"].lower() == "spare" else "active")
    # mdadm before 3.1: `Array Slot : 1 (0, failed, 1)` lists the role of each descriptor.
    slot = _SLOT.match(values.get("Array Slot", ""))
    if not slot:
        return MdMember(device)
    place, roles = int(slot[1]), [word.strip() for word in slot[2].split(",")]
    own = roles[place] if place < len(roles) else ""
    states: dict[str, MemberState] = {"failed": "failed", "empty": "spare"}
    return MdMember(
        device, place, int(own) if own.isdigit() else None, "active" if own.isdigit() else states.get(own)
    )


def _read_090(device: str, lines: tuple[Line, ...], values: dict[str, str]) -> MdArray:
    """All members are in the superblock; `this` repeats the row of the device looked at."""
    rows = _after(lines, TABLE)
    members = tuple(
        member_of(match["number"], match["role"], match["rest"])
        for line in rows
        if (match := _ROW_090.match(line.text))
    )
    wanted = number(values.get("Raid Devices"))
    if "Raid Level" not in values or len(members) < (wanted or 1):
        raise unparsable(TOOL, lines[-1], f"the members in the superblock of {device}")
    level, state = level_of(values["Raid Level"]), state_of(values.get("State"))
    active = number(values.get("Active Devices"))
    if state == "optimal" and wanted is not None and active is not None:
        state = lacking_state(level, wanted, active)
    return MdArray(
        device=None,
        level=level,
        state=state,
        raw_state=values.get("State") or None,
        size_bytes=array_bytes(values.get("Array Size")),
        uuid=plain_name(values.get("UUID")),
        metadata=values.get("Version") or None,
        raid_devices=wanted,
        active=active,
        working=number(values.get("Working Devices")),
        failed=number(values.get("Failed Devices")),
        spare=number(values.get("Spare Devices")),
        members=members,
    )


def _after(lines: tuple[Line, ...], first: re.Pattern[str]) -> tuple[Line, ...]:
    place = next((n for n, line in enumerate(lines) if first.match(line.text)), len(lines))
    return lines[place + 1 :]


def _read_ddf(lines: tuple[Line, ...]) -> tuple[MdArray, ...]:
    """One array per virtual disk; the physical disks' table names the members."""
    members = {match["number"]: match for line in lines if (match := _DDF_DISK.match(line.text))}
    values = fields_of(lines)
    if not _has_ddf_disks(values, set(members)):
        raise unparsable(TOOL, lines[-1], "the table of physical disks")
    by_disk: dict[str, dict[str, str]] = {}
    for key, value in values.items():
        if match := _DDF_KEY.match(key):
            by_disk.setdefault(match[2], {})[match[1].strip()] = value
    return tuple(_ddf_array(found, members) for found in by_disk.values())


def _has_ddf_disks(values: dict[str, str], numbers: set[str]) -> bool:
    """Whether the table of physical disks is whole.

    mdadm up to 3.2 prints how many disks there is room for, as if there were so many: then those that the
    virtual disks lie on are all that can be asked for.
    """
    wanted = number(values.get("Physical Disks"))
    if wanted in _DDF_CAPACITIES:
        units = (_DDF_UNIT.findall(value) for key, value in values.items() if key.startswith("Raid Devices["))
        return bool(numbers) and {unit for found in units for unit in found} - {"--"} <= numbers
    return wanted is not None and len(numbers) >= wanted


def _ddf_array(values: dict[str, str], disks: dict[str, re.Match[str]]) -> MdArray:
    words = [word.strip().lower() for word in values.get("state", "").split(",")]
    state = _DDF_STATES.get(words[0])
    if "morphing" in words and state == "optimal":
        state = "migrating"
    elif "in progress" in values.get("init state", "").lower() and state == "optimal":
        state = "initialising"
    units = _DDF_UNIT.findall(values.get("Raid Devices", ""))
    size = number(values.get("Array Size"))
    return MdArray(
        device=None,
        level=level_of(values.get("Raid Level")),
        state=state,
        raw_state=values.get("state") or None,
        size_bytes=size * 1024 if size is not None else None,
        uuid=values.get("VD GUID") or None,
        name=plain_name(values.get("Name")),
        metadata="ddf",
        raid_devices=number(values.get("Raid Devices")),
        members=tuple(_ddf_member(role, disks.get(unit)) for role, unit in enumerate(units)),
    )


def _ddf_member(role: int, disk: re.Match[str] | None) -> MdMember:
    if disk is None:
        return MdMember(None, role=role, state="removed")
    told = disk["state"].lower()
    state: MemberState | None = None
    if "missing" in told:
        state = "removed"
    elif "failed" in told:
        state = "failed"
    elif "rebuilding" in told:
        state = "rebuilding"
    elif "online" in told:
        state = "active"
    return MdMember(disk["device"], int(disk["number"]), role, state)


def _read_imsm(device: str, lines: tuple[Line, ...]) -> tuple[MdArray, ...]:
    """One array per `[Volume]:`; `This Slot` is the place of the device looked at."""
    volumes = tuple(blocks(lines, _IMSM_VOLUME))
    wanted = number(fields_of(lines).get("RAID Devices"))
    if wanted is None or len(volumes) < wanted:
        raise unparsable(TOOL, lines[-1], f"the volumes in the superblock of {device}")
    return tuple(_imsm_array(device, volume) for volume in volumes)


def _imsm_array(device: str, lines: tuple[Line, ...]) -> MdArray:
    values = fields_of(lines[1:])
    title = _IMSM_VOLUME.match(lines[0].words)
    if "Map State" not in values:
        raise unparsable(TOOL, lines[-1], f"the 'Map State' of {lines[0].words}")
    task = re.split(r":| \(", values.get("Migrate State", ""))[0].strip().lower()
    word = values["Map State"].partition("<--")[0].strip().lower()
    state = _IMSM_TASKS.get(task) or _IMSM_STATES.get(word)
    sectors = number(values.get("Array Size"))
    slot = number(values.get("This Slot"))
    return MdArray(
        device=None,
        level=level_of(values.get("RAID Level", "").partition("<--")[0]),
        state=state,
        raw_state=values["Map State"] or None,
        size_bytes=sectors * 512 if sectors is not None else None,
        uuid=plain_name(values.get("UUID")),
        name=(title[1] if title else "") or None,
        metadata="imsm",
        raid_devices=number(values.get("Members", "").partition("<--")[0]),
        members=(MdMember(device, role=slot, state="active"),) if slot is not None else (),
    )
