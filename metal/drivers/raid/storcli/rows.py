"""From rows and properties of storcli to drives, volumes and conditions."""

import re
from dataclasses import dataclass, replace
from typing import Final

from metal.drivers.raid.listing import (
    Condition,
    ConditionKind,
    Drive,
    Interface,
    Medium,
    VirtualDrive,
    VolumeState,
    WriteCache,
    wwn_text,
)
from metal.drivers.raid.storcli.answers import Row, stated
from metal.drivers.raid.storcli.states import (
    DRIVE_TASKS,
    VOLUME_TASKS,
    drive_state,
    level_of,
    task_state,
    volume_state,
)
from metal.drivers.tool_text import number, one_line, size_bytes

FOREIGN_GROUP: Final = "F"
_MEDIA: Final[dict[str, Medium]] = {"hdd": "hdd", "ssd": "ssd"}
_INTERFACES: Final[dict[str, Interface]] = {
    "sas": "sas",
    "sata": "sata",
    "nvme": "nvme",
    "pcie": "nvme",
    "scsi": "scsi",
}
_SECTORS: Final = (512, 520, 4096)
_SPUN_DOWN: Final = {"U": False, "D": True}
"""The column Sp; T is a drive that is about to be the one or the other."""
_ABSENT: Final = frozenset({"", "-", "0", "na", "n/a", "none", "unavailable", "unknown", "not available"})
_SECTOR_SIZE = re.compile(r"(?P<text>[^\[]*)\[\s*(?P<sectors>0x[0-9a-fA-F]{1,16})\s+Sectors", re.IGNORECASE)
_DRIVE_PATH = re.compile(r"/c(?P<controller>\d+|x)(?:/e(?P<enclosure>\d+))?/s(?P<slot>\d+)")
_CACHED = re.compile(r"W[BT]")
_WRITES: Final[dict[str, WriteCache]] = {"WB": "back", "WT": "through"}
_TASK = re.compile(r"(?P<task>[A-Za-z][A-Za-z ]*?)\s*\((?P<percent>\d[\d.]*)\s*%")


@dataclass(frozen=True, slots=True)
class DriveEntry:
    """A drive with its drive group, and the volume below which it is listed.

    `exact` is a size of sectors, which a rounded one does not replace.
    """

    drive: Drive
    group: str | None = None
    volume: str | None = None
    exact: bool = False


@dataclass(frozen=True, slots=True)
class VolumeEntry:
    """A volume with its drive group; `exact` is a size of blocks."""

    volume: VirtualDrive
    group: str | None = None
    exact: bool = False


def address_text(text: str | None) -> str | None:
    """`252:0`, and `:0` where there is no enclosure (` :0`, `-:0` or the slot alone)."""
    match = re.fullmatch(r"(?:(\d*|-)\s*:)?\s*(\d+)", (text or "").strip())
    return f"{(match[1] or '').strip('-')}:{match[2]}" if match else None


def path_address(text: str) -> str | None:
    """The address of `/c0/e252/s3`, or `:3` of `/c0/s3`."""
    match = _DRIVE_PATH.search(text)
    return f"{match['enclosure'] or ''}:{match['slot']}" if match else None


def serial(text: str | None) -> str | None:
    """A serial as printed; whether it is a placeholder is told later, with its path."""
    plain = one_line(text)
    return plain if plain and plain.lower() not in ("-", "unavailable") else None


def identity(text: str | None) -> str | None:
    """A serial or model without the words that mean that there is none."""
    plain = one_line(text)
    return plain if plain and plain.lower() not in _ABSENT else None


def plain_size(text: str | None, *, decimal: bool) -> int | None:
    """The size of a cell; a bare GB of an HPE controller counts in thousands."""
    return size_bytes(text, decimal=decimal)


def exact_size(count: int | None, rounded: int | None, sector: int | None = None) -> int | None:
    """Bytes of a sector count: the sector size is the one that fits the rounded size beside it."""
    if not count or count < 0:
        return rounded
    if not rounded:
        return count * sector if sector else None
    return min((count * size for size in _SECTORS), key=lambda size: abs(size - rounded))


def drive_entry(row: Row, *, decimal: bool, passed: bool, volume: str | None) -> DriveEntry | None:
    """A row of PD LIST, JBOD LIST, Drive Information or PDs for VD n."""
    address = address_text(row.get("EID:Slt"))
    if address is None and not stated(row.get("State")):
        return None
    group = stated(row.get("DG"))
    status = stated(row.get("Status"))
    word = stated(row.get("State"))
    passed = passed or row.get("Type", "").upper() == "JBOD"
    drive = Drive(
        address=address,
        state=drive_state(word, status, foreign=group == FOREIGN_GROUP, passed=passed),
        raw_state=" ".join(filter(None, (word, status))) or None,
        media=_MEDIA.get(row.get("Med", "").lower()),
        interface=_INTERFACES.get(row.get("Intf", "").lower()),
        size_bytes=plain_size(row.get("Size"), decimal=decimal),
        sector_size=size_bytes(row.get("SeSz")),
        model=identity(row.get("Model")),
        spun_down=_SPUN_DOWN.get(row.get("Sp", "")),
    )
    return DriveEntry(drive, group, volume)


def drive_details(address: str, values: Row, *, decimal: bool) -> DriveEntry:
    """The attributes of one drive (`Drive /c0/e252/s0 Device attributes`)."""
    sector = size_bytes(values.get("Logical Sector Size") or values.get("Sector Size"))
    raw, usable = values.get("Raw size", ""), values.get("Coerced size", "")
    drive = Drive(
        address=address,
        size_bytes=_sector_size(raw, sector, decimal=decimal),
        sector_size=sector,
        model=identity(values.get("Model Number") or values.get("Model")),
        serial=serial(values.get("SN") or values.get("Serial Number")),
        wwn=wwn_text(values.get("WWN")),
        firmware=identity(values.get("Firmware Revision") or values.get("Firmware Revision Level")),
        usable_bytes=_sector_size(usable, sector, decimal=decimal),
    )
    return DriveEntry(drive, exact=bool(_SECTOR_SIZE.match(raw)))


def _sector_size(text: str, sector: int | None, *, decimal: bool) -> int | None:
    """Bytes of `10.692 TB [0x558a00000 Sectors]`, by the sectors where they are there."""
    match = _SECTOR_SIZE.match(text)
    if not match:
        return plain_size(text, decimal=decimal)
    return exact_size(number(match["sectors"]), plain_size(match["text"], decimal=decimal), sector)


def drive_progress(row: Row, task: str) -> DriveEntry | None:
    """A row of `show rebuild` and its like; a drive whose task does not run has no state here.

    storcli2 writes EID:Slt in place of Drive-ID.
    """
    address = path_address(row.get("Drive-ID", "")) or address_text(row.get("EID:Slt"))
    if address is None:
        return None
    percent = _running(row)
    state = task_state(DRIVE_TASKS, task) if percent is not None else None
    return DriveEntry(Drive(address, state, progress=percent))


def placed_drive(row: Row, *, decimal: bool) -> DriveEntry:
    """A DRIVE row of TOPOLOGY; one that is gone (`Msng`) has no address."""
    word, status = stated(row.get("State")), stated(row.get("Status"))
    raw_state = " ".join(filter(None, (word, status))) or None
    size = plain_size(row.get("Size"), decimal=decimal)
    drive = Drive(address_text(row.get("EID:Slot")), drive_state(word, status), raw_state, size_bytes=size)
    return DriveEntry(drive, stated(row.get("DG")))


def volume_entry(row: Row) -> VolumeEntry | None:
    """A row of VD LIST or `/c0/v0`; CacheCade volumes (TYPE Cac0) hold no data of their own."""
    group, vd = map(str.strip, row.get("DG/VD", "").rpartition("/")[::2])
    kind = row.get("TYPE") or row.get("Type") or ""
    if not vd.isdigit() or kind.lower().startswith("cac"):
        return None
    name = one_line(row.get("Name"))
    passed = bool(name and re.match(r"non-?raid disk\b", name, re.IGNORECASE))
    word = stated(row.get("State"))
    volume = VirtualDrive(
        id=vd,
        name=name,
        level="jbod" if passed else level_of(kind),
        state=volume_state(word),
        raw_state=word,
        size_bytes=size_bytes(row.get("Size")),
        write_cache=_write_cache(row.get("Cache") or row.get("CurrentCache") or ""),
    )
    return VolumeEntry(volume, stated(group))


def _write_cache(letters: str) -> WriteCache | None:
    """`NRWBD`, `RAWBC` (always), storcli2's `NR,WB`: what the volume does now."""
    found = _CACHED.search(letters)
    return _WRITES[found[0]] if found else None


def volume_details(known: VirtualDrive, values: Row) -> VirtualDrive:
    """The properties of one volume (`VD0 Properties`) over its row."""
    state, percent = _active(values.get("Active Operations", ""))
    level = known.level
    if level and level.startswith("raid"):
        level = level_of(level, number(values.get("Span Depth")))
    return replace(
        known,
        level=level,
        state=state or known.state,
        size_bytes=exact_size(
            number(values.get("Number of Blocks")), known.size_bytes, number(values.get("Block Size"))
        ),
        stripe_bytes=size_bytes(values.get("Strip Size")) or known.stripe_bytes,
        progress=percent if percent is not None else known.progress,
        wwn=wwn_text(values.get("SCSI NAA Id")),
        device=identity(values.get("OS Drive Name")),
    )


def volume_progress(row: Row) -> VolumeEntry | None:
    """A row of `show init`, `show bgi`, `show migrate`, `show cc`."""
    vd = row.get("VD", "")
    vd = vd.rpartition("/v")[2] if "/" in vd else vd
    if not vd.isdigit():
        return None
    percent = _running(row)
    state = task_state(VOLUME_TASKS, row.get("Operation", "")) if percent is not None else None
    return VolumeEntry(VirtualDrive(vd, state=state, progress=percent if state else None))


def _running(row: Row) -> float | None:
    """The percentage of a task that runs; a queued, paused or ended one has none."""
    if row.get("Status", "").lower() != "in progress":
        return None
    return percentage(row.get("Progress%"))


def percentage(text: str | None) -> float | None:
    """`9`, `9%` or `4.5 %` as a number."""
    match = re.fullmatch(r"(\d{1,3}(?:\.\d{1,6})?)\s*%?", (text or "").strip())
    return float(match[1]) if match else None


def _active(text: str) -> tuple[VolumeState | None, float | None]:
    """State and percentage of `Background Initialization (4%)`; a consistency check gives neither."""
    for match in _TASK.finditer(text[:400]):
        if state := task_state(VOLUME_TASKS, match["task"]):
            return state, percentage(match["percent"])
    return None, None


_COUNTS: Final[tuple[tuple[str, ConditionKind], ...]] = (
    ("Media Error Count", "media-errors"),
    ("Predictive Failure Count", "predictive-failure"),
    ("Memory Correctable Errors", "memory-errors"),
    ("Memory Uncorrectable Errors", "memory-errors"),
    ("Total foreign Drive Groups", "foreign-config"),
    ("Total Foreign PDs", "foreign-config"),
    ("Critical Predictive Failure PD Drive Count", "predictive-failure"),
)
_FLAGS: Final[tuple[tuple[str, ConditionKind], ...]] = (
    ("S.M.A.R.T alert flagged by drive", "predictive-failure"),
    ("Any Offline VD Cache Preserved", "preserved-cache"),
    ("Preserved Cache Present", "preserved-cache"),
    ("Cache Preserved", "preserved-cache"),
    ("Controller has booted into safe mode", "advisory"),
    ("Controller shutdown required", "advisory"),
    ("Controller must be rebooted to complete security operation", "advisory"),
    ("System Reboot Required", "advisory"),
    ("System Shutdown Required", "advisory"),
    ("Controller Reset Required", "advisory"),
)
_PACK_FINE: Final = frozenset({"optimal", "opt", "ok", "good", "learning", "charging", "unkwn", "unknown"})
"""States of a battery or capacitor that need nobody's attention, or are no statement."""


def conditions_of(values: Row, where: str = "") -> tuple[Condition, ...]:
    """What counters and flags of a section tell; `where` is the drive or volume that they are of."""
    found = [
        Condition(kind, f"{where}{key} = {values[key]}")
        for key, kind in _COUNTS
        if key in values and (number(values[key]) or 0) > 0
    ]
    found += [
        Condition(kind, f"{where}{key} = {values[key]}")
        for key, kind in _FLAGS
        if values.get(key, "").lower() == "yes"
    ]
    battery = number(values.get("BBU Status"))
    if battery:
        found.append(Condition("battery", f"{where}BBU Status = {battery}"))
    return tuple(found)


def pack_condition(name: str, state: str | None) -> tuple[Condition, ...]:
    """A battery, CacheVault or energy pack that is not well."""
    word = stated(state)
    if word is None or word.lower() in _PACK_FINE:
        return ()
    return (Condition("battery", f"{name}: {word}"),)
