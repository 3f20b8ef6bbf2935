"""Drives, volumes and segments out of arcconf's fields. Its MB are MiB."""

import re
from dataclasses import dataclass
from typing import Final

from metal.drivers.raid.arcconf.records import Record, Row
from metal.drivers.raid.arcconf.vocabulary import (
    DRIVE_STATES,
    DRIVE_TASKS,
    INTERFACES,
    LEVELS,
    RUNNING,
    SEGMENT_STATES,
    VOLUME_STATES,
    VOLUME_TASKS,
)
from metal.drivers.raid.listing import (
    Drive,
    DriveState,
    Interface,
    Level,
    Medium,
    VirtualDrive,
    VolumeState,
    WriteCache,
    wwn_text,
)
from metal.drivers.tool_text import number, one_line, size_bytes
from specs.identity import serial_identity

Location = tuple[tuple[str, str], ...]
"""Where a drive sits, as far as it is told: (("enclosure", "0"), ("slot", "3"))."""

_ADDRESS = re.compile(r"^\(?(\d{1,4}) ?, ?(\d{1,4})(?![\d.])")
_CHANNEL = re.compile(r"\bchannel[ :#]*(\d{1,4}) ?, ?device[ :#]*(\d{1,4})\b", re.IGNORECASE)
_PAIR = re.compile(r"\d{1,4},\d{1,4}")
_MEMBER_KEYS: Final = ("drive(s) (channel,device)", "stripe order (channel,device)")
_PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,4})?) ?%")
_PLACE = re.compile(r"\b(enclosure|backplane|connector|device|slot)[ :#]*(\w{1,40})", re.IGNORECASE)
_SEGMENT = re.compile(r"^([A-Za-z][A-Za-z -]{0,40}?) ?(?:\(([^)]{0,200})\) ?(.{0,100}))?$")
_LOGICAL = re.compile(
    r"^([A-Za-z][A-Za-z, ]{0,60}?) ?\(([^,)]{1,20}),[^)]{0,60}?([\d.]{1,20} ?[KMGT]B)\) ?(.*)$"
)
_DEVICE = re.compile(r"^(/dev/\w{1,32})\b")
_KEPT_FOR = re.compile(r"\b(array|logical)(?: device| drive)? ?#?(\d{1,4})\b")
_WWN_DIGITS: Final = 16
"""Fewer are an id of the controller's own: series 6 to 8 print eight, which the system never shows."""
_MISSING: Final = "*missing*"
_UNSAID: Final = frozenset({"unknown", "not applicable", "not available", "none", "n/a"})


@dataclass(frozen=True, slots=True)
class Segment:
    """A place in a volume: the drive's state there, and what is told of the drive."""

    state: DriveState | None
    raw_state: str
    address: str | None
    location: Location
    device: str | None
    drive: Drive
    spare: bool


def told(text: str | None) -> str | None:
    """A text on one line; None where it says that it says nothing."""
    words = one_line(text)
    return words if words and words.lower() not in _UNSAID else None


def is_drive(record: Record) -> bool:
    """Whether a device is a disk: enclosures, expanders and controllers of backplanes are devices, too."""
    kind = next((words.lower() for words in record.words if words.lower().startswith("device is a")), None)
    if kind is None:
        return "state" in record.fields
    return any(
        word in kind for word in ("hard drive", "hard disk", "solid state", "ssd", "disk drive", "nvme")
    )


def drive_of(record: Record) -> Drive:
    """A physical device of GETCONFIG."""
    fields = record.fields
    raw = one_line(fields.get("state"))
    state = _drive_state(raw)
    if _MISSING in (fields.get("vendor", "") + fields.get("model", "")).lower():
        state = "missing"
    size = fields.get("total size") or fields.get("size")
    return Drive(
        address=address_of(fields),
        state=state,
        raw_state=raw,
        media=_medium(fields),
        interface=interface_of(fields.get("transfer speed") or fields.get("interface")),
        size_bytes=size_bytes(size) or None,
        sector_size=_sector_size(fields.get("block size")),
        model=_without_missing(fields.get("model")),
        serial=serial_identity(one_line(fields.get("serial number"))),
        wwn=wwn_text(fields.get("world-wide name")),
        firmware=told(fields.get("firmware")),
        progress=_percent(raw or "") if state in {"rebuilding", "copyback", "erasing"} else None,
        usable_bytes=_usable_bytes(size_bytes(size), size_bytes(fields.get("reserved size"))),
        groups=tuple(number for word, number in kept_for(fields) if word == "array"),
    )


def kept_for(fields: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """What a dedicated spare is kept for: ("array", "0"), or ("logical", "1") before SmartRAID."""
    return tuple(_KEPT_FOR.findall(fields.get("dedicated spare for", "").lower()))


def _usable_bytes(whole: int | None, reserved: int | None) -> int | None:
    """What a volume gets of a drive: all but the part that SmartRAID keeps for itself."""
    return whole - reserved if whole and reserved is not None and reserved < whole else None


def _drive_state(raw: str | None) -> DriveState | None:
    """The state of a word, with or without brackets after it; there are many kinds of spare."""
    words = (raw or "").lower()
    state = DRIVE_STATES.get(words) or DRIVE_STATES.get(words.partition("(")[0].strip())
    return state or ("spare" if re.search(r"\bhot[- ]?spare\b", words) else None)


def address_of(fields: dict[str, str]) -> str | None:
    """The channel and device that commands are written with."""
    for key in ("reported channel,device(t:l)", "reported channel,device"):
        match = _ADDRESS.match(fields.get(key, ""))
        if match:
            return f"{match[1]},{match[2]}"
    return None


def location_of(text: str | None) -> Location:
    """Enclosure (or connector) and slot (or device) of a text; the connector beside a slot is left out."""
    found = {word.lower(): place for word, place in _PLACE.findall(text or "")}
    for holder, place in (("enclosure", "slot"), ("backplane", "slot"), ("connector", "device")):
        if holder in found and place in found:
            return (holder, found[holder].lower()), (place, found[place].lower())
    return ()


def reported_location(record: Record) -> Location:
    """Where a device says that it sits; ServeRAID 8k of 2006 has a key of its own for it."""
    match = _ADDRESS.match(record.fields.get("reported enclosure,slot", ""))
    if match:
        return ("enclosure", match[1]), ("slot", match[2])
    return location_of(record.fields.get("reported location"))


def interface_of(text: str | None) -> Interface | None:
    """The interface that a text names."""
    lowered = (text or "").lower()
    return next((interface for word, interface in INTERFACES if word in lowered), None)


def _medium(fields: dict[str, str]) -> Medium | None:
    ssd = fields.get("ssd", "").strip().lower()
    if ssd in {"yes", "no"}:
        return "ssd" if ssd == "yes" else "hdd"
    return None


def _sector_size(text: str | None) -> int | None:
    words = (text or "").lower().replace("bytes", "").strip()
    if words.endswith("k") and words[:-1].strip().isdigit():
        return int(words[:-1].strip()[:6]) * 1024
    return number(words)


def _without_missing(text: str | None) -> str | None:
    words = told(text)
    return None if words and _MISSING in words.lower() else words


def segment_of(row: Row) -> Segment | None:
    """A row of a volume's or an array's table of drives."""
    match = _SEGMENT.match(row.text)
    if match is None:
        return None
    raw, inside, serial = match[1].strip(), match[2] or "", match[3] or ""
    parts = [part.strip() for part in inside.split(",")]
    size = next((size_bytes(part) for part in parts if size_bytes(part) is not None), None)
    media: dict[str, Medium] = {"hdd": "hdd", "ssd": "ssd"}
    address = _ADDRESS.match(inside) or _CHANNEL.search(inside)
    spare = "spare" in raw.lower()
    state = "spare" if spare else SEGMENT_STATES.get(raw.lower())
    drive = Drive(
        address=None,
        state=state,
        raw_state=raw,
        media=next((media[part.lower()] for part in parts if part.lower() in media), None),
        interface=interface_of(inside),
        size_bytes=size,
        serial=serial_identity(one_line(serial)),
    )
    return Segment(
        state=state,
        raw_state=raw,
        address=f"{address[1]},{address[2]}" if address else None,
        location=location_of(inside),
        device=row.number if row.name == "device" else None,
        drive=drive,
        spare=spare,
    )


def volume_of(record: Record) -> VirtualDrive:
    """A logical device; its members are found with the drives at hand."""
    fields = record.fields
    raw = _first(fields, "status of logical device", "status of logical drive")
    task, percent = _task_in(raw)
    parity = (fields.get("parity initialization status") or "").lower()
    if task is None and parity.startswith("in progress"):
        task, percent = "initialising", _percent(parity)
    unique = wwn_text(_first(fields, "volume unique identifier", "unique identifier"))
    device = _DEVICE.match(fields.get("disk name", ""))
    array = one_line(fields.get("array"))
    return VirtualDrive(
        id=record.number,
        name=told(_first(fields, "logical device name", "logical drive name")),
        level=level_of(fields.get("raid level")),
        state=task or _state(raw),
        raw_state=raw,
        size_bytes=size_bytes(fields.get("size")),
        stripe_bytes=size_bytes(_first(fields, "stripe-unit size", "stripe size", "strip size")),
        progress=percent if task else None,
        wwn=unique if len(unique or "") >= _WWN_DIGITS else None,
        device=device[1] if device else None,
        groups=(array,) if array and array.isdigit() else (),
        write_cache=_write_cache(fields),
    )


def _write_cache(fields: dict[str, str]) -> WriteCache | None:
    """By the status, which is what it does now; else by the mode, and by SmartRAID's one cache."""
    told = _first(fields, "write-cache status", "write-cache mode", "caching")
    word = (told or "").lower().partition(" ")[0]
    return "back" if word in ("on", "enabled") else "through" if word in ("off", "disabled") else None


def named_members(record: Record) -> tuple[str, ...]:
    """Members as ServeRAID 8k names them: `Stripe order (Channel,Device) : 0,0 0,1`, on several lines."""
    lines = [record.fields.get(key, "") for key in _MEMBER_KEYS]
    lines += [words for words in record.words if words[:1].isdigit()]
    return tuple(word for line in lines for word in line.split() if _PAIR.fullmatch(word))


def volume_in_array(row: Row) -> VirtualDrive | None:
    """`Logical 0 : Optimal (1, Data, 1000 MB) NAME` of an array."""
    match = _LOGICAL.match(row.text)
    if match is None:
        return None
    return VirtualDrive(
        row.number,
        name=told(match[4]),
        level=level_of(match[2]),
        state=_state(match[1]),
        raw_state=match[1],
        size_bytes=size_bytes(match[3]),
    )


def level_of(text: str | None) -> Level | None:
    """The level of "6 Reed-Solomon", "Simple_volume" or "10"."""
    words = (one_line(text) or "").lower().removeprefix("raid").strip()
    return LEVELS.get(words) or LEVELS.get(words.split(" ")[0].split("(")[0])


def _state(raw: str | None) -> VolumeState | None:
    """The state of a status; of several words between commas, "Degraded, Rebuilding", a task wins."""
    words = (raw or "").lower()
    whole = VOLUME_STATES.get(words) or VOLUME_STATES.get(words.split("(")[0].strip(" ,"))
    parts = [state for part in words.split(",") if (state := VOLUME_STATES.get(part.strip()))]
    task = next((state for state in parts if state in {"rebuilding", "initialising", "migrating"}), None)
    return whole or task or next(iter(parts), None)


def _task_in(raw: str | None) -> tuple[VolumeState | None, float | None]:
    """The task that runs on a volume, from `Impacted ( Build/Verify with fix : 90 % )`."""
    percent = _percent(raw or "")
    inside = (raw or "").lower().partition("(")[2] or (raw or "").lower()
    if percent is None:
        return None, None
    return volume_task(inside), percent


def volume_task(text: str) -> VolumeState | None:
    """The state that a task is."""
    return next((state for word, state in VOLUME_TASKS if word in text.lower()), None)


def _percent(text: str) -> float | None:
    match = _PERCENT.search(text)
    return float(match[1]) if match else None


def _first(fields: dict[str, str], *keys: str) -> str | None:
    return next((one_line(fields[key]) for key in keys if fields.get(key)), None)


def volume_in_task(record: Record) -> VirtualDrive | None:
    """What GETSTATUS says of a logical device; a task that waits is not running."""
    fields = record.fields
    identity = number(_first(fields, "logical device", "logical drive"))
    if identity is None:
        return None
    running = (one_line(fields.get("status")) or "in progress").lower() in RUNNING
    state = volume_task(fields.get("current operation", "")) if running else None
    progress = fields.get("percentage complete", "").rstrip("% ")
    return VirtualDrive(str(identity), state=state, progress=_number(progress) if state else None)


def drive_in_task(record: Record) -> Drive | None:
    """What GETSTATUS says of a physical device."""
    fields = record.fields
    keys = ("physical device", "physical drive", "device", "channel,device")
    match = _ADDRESS.match(_first(fields, *keys) or "")
    if match is None:
        return None
    running = (one_line(fields.get("status")) or "in progress").lower() in RUNNING
    task = fields.get("current operation", "").lower()
    state = next((state for word, state in DRIVE_TASKS if word in task), None) if running else None
    progress = _number(fields.get("percentage complete", "").rstrip("% ")) if state else None
    return Drive(f"{match[1]},{match[2]}", state=state, progress=progress)


def _number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"\d{1,3}(?:\.\d{1,4})?", text) else None
