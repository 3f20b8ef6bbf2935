"""Drives and volumes out of MegaCli's fields."""

import re
from typing import Final

from metal.drivers.raid.listing import Drive, DriveState, Level, VirtualDrive, VolumeState, wwn_text
from metal.drivers.raid.megacli.records import Record
from metal.drivers.raid.megacli.vocabulary import (
    DRIVE_STATES,
    DRIVE_TASKS,
    INTERFACES,
    LEVEL_WORDS,
    LEVELS,
    MEDIA,
    SPANNED_LEVELS,
    TASKS,
    VOLUME_STATES,
    WRITES,
)
from metal.drivers.tool_text import number, one_line, size_bytes

_SECTORS = re.compile(r"^(.*?)\s*\[\s*(0x[0-9a-f]{1,16})\s+Sectors\s*\]", re.IGNORECASE)
_LEVEL = re.compile(r"Primary-(\d{1,3})\s*,\s*Secondary-(\d{1,3})", re.IGNORECASE)
_COMPLETED = re.compile(r"(?:Completed\s+)?(\d{1,3})\s*%", re.IGNORECASE)
_PASSED_THROUGH = re.compile(r"NonRAID Disk\b", re.IGNORECASE)
_SECTOR_SIZES: Final = (512, 4096, 520, 4160)
_ROUNDING: Final = 0.02
INQUIRY_CHARACTERS: Final = 200
"""More than any drive has; the rest of a longer line is of something else."""
_ATA_INQUIRY: Final = 52
"""ATA inquiry data is 20 of serial, 40 of model and 8 of firmware; SCSI's 8, 16, 4 and 20."""
_ATA_WORDS: Final = 4
"""`ATA`, model, firmware and serial, of a disk behind a SAS bridge, where none has a blank in it."""
_ATA_SERIAL: Final = 20
_ATA_WIDTH: Final = 8
_ATA_FIRMWARE: Final = 60
"""Where the firmware begins: a text that ends before was cut off, or has lost blanks."""


def drive_of(record: Record) -> Drive | None:
    """A drive; None for a record without anything of one, and for an enclosure, which is listed with 0 KB."""
    fields = record.fields
    raw = one_line(fields.get("firmware state") or fields.get("state"))
    size = _size_of(fields.get("raw size") or fields.get("capacity"))
    state = _drive_state(fields, raw)
    model, serial, firmware = _inquiry(fields)
    if (size == 0 and state in {"unconfigured", None}) or "enclosure" in fields.get("media type", "").lower():
        return None
    address = _address(fields)
    if address is None and raw is None and model is None and size is None:
        return None
    kind, _, medium = fields.get("disk type", "").partition(",")
    return Drive(
        address=address,
        state=state,
        raw_state=raw,
        media=MEDIA.get((fields.get("media type") or medium).strip().lower()),
        interface=INTERFACES.get((fields.get("pd type") or kind).strip().lower()),
        size_bytes=size,
        sector_size=number(fields.get("logical sector size")) or number(fields.get("sector size")) or None,
        model=model or one_line(fields.get("product id")),
        serial=serial,
        wwn=wwn_text(fields.get("wwn")),
        firmware=one_line(fields.get("device firmware level")) or firmware,
        progress=_percent(fields.get("percent")) if "percent" in fields else _ongoing_drive(fields)[1],
        usable_bytes=_size_of(fields.get("coerced size")) or None,
        groups=numbers(fields.get("array #")),
    )


def missing_drive(record: Record) -> Drive:
    """The drive of a place that has none: neither its slot nor its model is known."""
    return Drive(None, state="missing", size_bytes=size_bytes(record.fields.get("size")))


def _address(fields: dict[str, str]) -> str | None:
    slot = fields.get("slot number", "").strip()
    enclosure = fields.get("enclosure device id", "").strip()
    if not slot.isdigit():
        return None
    return f"{enclosure if enclosure.isdigit() else ''}:{slot}"


def _drive_state(fields: dict[str, str], raw: str | None) -> DriveState | None:
    if fields.get("foreign state", "").strip().lower() == "foreign":
        return "foreign"
    task = DRIVE_TASKS.get(fields.get("task", ""))
    if task or _ongoing_drive(fields)[0]:
        return task or _ongoing_drive(fields)[0]
    return DRIVE_STATES.get((raw or "").split(",")[0].strip().lower())


def _ongoing_drive(fields: dict[str, str]) -> tuple[DriveState | None, float | None]:
    for task, state in DRIVE_TASKS.items():
        done = _COMPLETED.match(fields.get(task, ""))
        if done:
            return state, float(done[1])
    return None, None


def numbers(text: str | None) -> tuple[str, ...]:
    """The numbers of arrays, as `Array #: 0, 1` lists them."""
    return tuple(dict.fromkeys(re.findall(r"\d{1,4}", text or "")))


def _size_of(text: str | None) -> int | None:
    """A size by its sectors; their size is the one that gives about the size that is printed.

    "Sector Size" is 0 or absent in most versions, and what went through a script may have lost digits of
    the sector count.
    """
    match = _SECTORS.match(one_line(text) or "")
    printed = size_bytes((text or "").partition("[")[0])
    if not match:
        return printed
    sectors = int(match[2], 16)
    for each in _SECTOR_SIZES:
        if printed is None or abs(sectors * each - printed) <= printed * _ROUNDING:
            return sectors * each
    return printed


def _inquiry(fields: dict[str, str]) -> tuple[str | None, str | None, str | None]:
    """Model, serial and firmware; the text has columns, and which ones depends on the kind of drive.

    Blanks that were lost on the way move the columns. Then the firmware, which stands in a key of its own
    too, tells where a SCSI drive's serial begins; an ATA drive's serial and model can't be told apart.
    """
    text = fields.get("inquiry data", "")[:INQUIRY_CHARACTERS]
    kind = fields.get("pd type", "").strip().upper()
    is_ata = kind == "SATA" or (not kind and len(text) > _ATA_INQUIRY)
    level = fields.get("device firmware level", "").strip()
    if text.startswith("ATA ") and text[3:8].strip():
        words = text.split()
        return (words[1], words[3], words[2]) if len(words) == _ATA_WORDS else (None, None, None)
    if is_ata and not text.startswith("ATA  "):
        text = _with_blanks(text.rstrip())
        if len(text) <= _ATA_FIRMWARE:
            return None, None, None
        return one_line(text[_ATA_SERIAL:_ATA_FIRMWARE]), one_line(text[:_ATA_SERIAL]), one_line(text[60:68])
    if level and text[24:28].strip() != level[:4] and level in text:
        found = re.fullmatch(rf"(\S+) +(\S.*?) +{re.escape(level)} ?(\S+)", text.strip())
        return (one_line(found[2]), found[3], level) if found else (None, None, None)
    return one_line(text[8:24]), one_line(text[28:]), one_line(text[24:28])


def _with_blanks(text: str) -> str:
    """ATA inquiry data with the blanks in front of its serial, which a page may have lost.

    The last word is the firmware, which has its column and at most 8 characters.
    """
    firmware = text.rsplit(" ", maxsplit=1)[-1]
    lost = _ATA_FIRMWARE - (len(text) - len(firmware))
    return text.rjust(len(text) + lost) if 0 < lost < _ATA_SERIAL and len(firmware) <= _ATA_WIDTH else text


def volume_of(record: Record) -> VirtualDrive:
    """A volume as LDInfo, LdPdInfo, CfgDsply and ShowSummary tell of it; its members are found elsewhere."""
    fields = record.fields
    raw = one_line(fields.get("state"))
    name = one_line(fields.get("name"))
    task, progress = _ongoing_volume(fields)
    return VirtualDrive(
        id=fields.get("id"),
        name=name,
        level="jbod" if name and _PASSED_THROUGH.match(name) else _level(fields),
        state=task or VOLUME_STATES.get((raw or "").lower()),
        raw_state=raw,
        size_bytes=size_bytes(fields.get("size")),
        stripe_bytes=size_bytes(fields.get("strip size") or fields.get("stripe size")),
        progress=progress,
        groups=numbers(fields.get("arrays")),
        write_cache=WRITES.get(fields.get("current cache policy", "").partition(",")[0].strip().lower()),
    )


def task_of(record: Record) -> VirtualDrive:
    """A volume as a progress report tells of it."""
    state = TASKS.get(record.fields.get("task", ""))
    percent = _percent(record.fields.get("percent"))
    known = record.fields.get("task", "") in TASKS
    if percent is None:
        return VirtualDrive(record.fields.get("id"))
    return VirtualDrive(
        record.fields.get("id"), state=state, progress=percent if state is not None or not known else None
    )


def _ongoing_volume(fields: dict[str, str]) -> tuple[VolumeState | None, float | None]:
    for task, state in TASKS.items():
        done = _COMPLETED.match(fields.get(task, ""))
        if done and state is not None:
            return state, float(done[1])
    return None, None


def _percent(text: str | None) -> float | None:
    return float(text) if text and text.isdigit() else None


def _level(fields: dict[str, str]) -> Level | None:
    """The level; several spans, or a mirror of more than two drives, make it the spanned one.

    PERC H710 prints Primary-1, Secondary-0 for a RAID 10 of two spans, and newer firmware for ten
    drives in one span.
    """
    text = fields.get("raid level", "")
    match = _LEVEL.search(text)
    if not match:
        return LEVEL_WORDS.get(text.strip().lower().removeprefix("raid").strip())
    primary = int(match[1])
    depth = number(fields.get("span depth"))
    many = (number(fields.get("number of drives")) or 0) > 2
    if (depth or 1) > 1 or (match[2] == "3" and depth is None) or (match[2] == "3" and primary == 1):
        return SPANNED_LEVELS.get(primary)
    return "raid10" if primary == 1 and many else LEVELS.get(primary)
