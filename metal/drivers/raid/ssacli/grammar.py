"""The lines of Smart Array tools: which kind each is, and what it holds.

One dialect per generation: "array A" and "Array A", "Array: A" in details; `logicaldrive 1 (…)` in
lists, "Logical Drive: 1" in details; drives as port:box:bay, on parallel SCSI as port:id; in status
lists the status stands behind the brackets. Indentation differs between versions and gets lost in
recordings, so that no decision hangs on it.
"""

import re
from dataclasses import dataclass
from typing import Final

from metal.drivers.raid.ssacli.words import Role, interface_of, is_drive_status
from metal.drivers.tool_text import Line, unparsable

TOOL: Final = "ssacli"
NAMES: Final = ("ssacli", "hpssacli", "hpacucli", "ctrl", "controller")

_HEADING = re.compile(
    r"^(?P<model>[A-Z0-9][^:]{0,80}?) in Slot (?P<slot>\w{1,32})(?P<rest>(?:\s*\([^()]*\))*)\s*$",
)
_CHASSIS = re.compile(
    r"^(?P<model>(?:MSA|Modular|StorageWorks|RAID Array)[^:()]{0,60}?) in (?P<name>(?!Slot )[^:()]{1,60}?)"
    r"(?P<rest>(?:\s*\([^()]*\))*)\s*$"
)
_BROKEN_HEADING = re.compile(r"^[^:]{1,80} in Slot \w{1,32}\s.{0,40}\([^()]*$")
_ARRAY = re.compile(
    r"^array:?\s+(?P<letter>[A-Z]{1,3})(?:\s*(?P<notes>\(.*\)))?(?:\s*:\s*(?P<status>.*))?$", re.IGNORECASE
)
_VOLUME = re.compile(r"^logical ?drive:?\s+(?P<id>\d{1,4})\b(?P<rest>.*)$", re.IGNORECASE)
_DRIVE = re.compile(
    r"^physical ?drive:?\s+(?P<address>[0-9A-Za-z]{1,8}(?::[0-9A-Za-z]{1,8}){1,3})(?!\w|:\w)(?P<rest>.*)$",
    re.IGNORECASE,
)
_SECTIONS: Final[tuple[tuple[re.Pattern[str], Role | None], ...]] = (
    (re.compile(r"^unassigned(?: (?:physical )?drives?)?:?$", re.IGNORECASE), "unassigned"),
    (re.compile(r"^HBA (?:mode )?drives?:?$", re.IGNORECASE), "hba"),
    (re.compile(r"^(?:raw )?physical drives?:?$", re.IGNORECASE), None),
)
_ASIDE = re.compile(
    r"^(?:SEP \(|Expander \d|Enclosure |Port Name:|Sensor ID:)|\bDrive Cage\b|\bat Port \w+, Box \d+\b",
    re.IGNORECASE,
)
BANNER: Final = re.compile(r"^[A-Z][A-Z0-9 /()-]{7,60}: \S")
"""FIRMWARE UPGRADE REQUIRED: …, CACHE STATUS PROBLEM DETECTED: …; wrapped until a blank line."""
GREETING: Final = re.compile(
    r"^(?:(?:SSACLI|HPSSACLI|HPACUCLI|SOULAPI|ACUXE|Library) Version:|Detecting Controllers|Type \"|"
    r"(?:HPE? )?(?:Array Configuration Utility|Smart Storage Administrator) CLI|Available options are)",
    re.IGNORECASE,
)
"""The interactive shell's first lines, versions, and the answer to `size=?`: nothing of them is listed."""
_SIZE = re.compile(r"^(?:[0-9][0-9,.]*|-+|\?+)\s*[KMGTP]?i?B$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Heading:
    """`Smart Array P440ar in Slot 0 (Embedded) (RAID Mode)  (sn: …)`."""

    index: str | None
    model: str
    serial: str | None = None
    mode: str | None = None


@dataclass(frozen=True, slots=True)
class ArrayLine:
    """`array A (SAS, Unused Space: 0 MB)`, `array A (Failed)`, `Array: A`, `array A: OK`."""

    letter: str
    status: str | None = None
    bare: bool = False


@dataclass(frozen=True, slots=True)
class VolumeLine:
    """`logicaldrive 1 (136.7 GB, RAID 5, OK)`; `listed` is False for the title of details."""

    id: str
    listed: bool
    size: str | None = None
    level: str | None = None
    status: str | None = None


@dataclass(frozen=True, slots=True)
class DriveLine:
    """`physicaldrive 1I:1:1 (port 1I:box 1:bay 1, SAS, 146 GB, OK, spare)`."""

    address: str
    listed: bool
    interface: str | None = None
    size: str | None = None
    status: str | None = None
    spare: bool = False


@dataclass(frozen=True, slots=True)
class SectionLine:
    """`unassigned`, `HBA Drives`, `Physical Drives`: the role of the drives below."""

    role: Role | None


@dataclass(frozen=True, slots=True)
class Aside:
    """A cage, port, expander or sensor, whose keys are not the controller's."""

    text: str


Structure = Heading | ArrayLine | VolumeLine | DriveLine | SectionLine | Aside


def structure_of(line: Line) -> Structure | None:
    """What a line opens; None for keys and prose. Raises Unparsable for one that is cut off."""
    words = line.words
    found = heading_of(line)
    if found:
        return found
    if match := _DRIVE.match(words):
        return _drive(line, match)
    if match := _VOLUME.match(words):
        return _volume(line, match)
    if match := _ARRAY.match(words):
        return _array(match)
    for section, role in _SECTIONS:
        if section.match(words):
            return SectionLine(role)
    return Aside(words) if _ASIDE.search(words) else None


def heading_of(line: Line) -> Heading | None:
    """A controller's name line. Raises Unparsable for one that is cut off."""
    words = line.words
    match = _HEADING.match(words) or _CHASSIS.match(words)
    if not match:
        if _BROKEN_HEADING.match(words):
            raise unparsable(TOOL, line, "a controller's name line with its closing bracket")
        return None
    notes = re.findall(r"\(([^()]*)\)", match["rest"])
    serials = [note.partition(":")[2].strip() for note in notes if note.lower().startswith("sn:")]
    modes = [note for note in notes if note.lower().endswith("mode")]
    slot = match.groupdict().get("slot")
    slot = (
        None if slot and slot.upper().endswith("_UNKNOWN") else slot
    )  # hpacucli, where it finds no slot number
    model = " ".join(match["model"].split())
    return Heading(slot, model, serials[0] or None if serials else None, modes[0] if modes else None)


def _array(match: re.Match[str]) -> ArrayLine:
    """Among an array's notes only a status counts: not the interface, not the space and its percentage."""
    notes = re.findall(r"\(([^()]*)\)", match["notes"] or "")
    words = [part.strip() for note in notes for part in note.split(",")]
    stated = [word for word in words if word and ":" not in word and not interface_of(word)]
    stated = [
        word for word in stated if not re.match(r"solid state|hdd|ssd|mixed|[\d.]+ ?%", word, re.IGNORECASE)
    ]
    status = match["status"] or (stated[0] if stated else None)
    return ArrayLine(match["letter"].upper(), status, bare=not match["notes"] and match["status"] is None)


def _volume(line: Line, match: re.Match[str]) -> VolumeLine | None:
    rest = match["rest"].strip()
    if not rest:
        return VolumeLine(match["id"], listed=False)
    told = _told(line, rest)
    if told is None:
        return None
    fields, status = told
    size = next((field for field in fields if _SIZE.match(field)), None)
    level = next((field for field in fields if re.match(r"RAID\b|[0-9]\+?[0-9]?(?: ?\(.*\))?$", field)), None)
    words = [field for field in fields if field not in (size, level)]
    return VolumeLine(match["id"], True, size, level, status or ", ".join(words) or None)


def _drive(line: Line, match: re.Match[str]) -> DriveLine | None:
    rest = match["rest"].strip()
    if not rest:
        return DriveLine(match["address"], listed=False)
    told = _told(line, rest)
    if told is None:
        return None
    fields, status = told
    fields = [field for field in fields if not field.lower().startswith("port ")]
    size = next((field for field in fields if _SIZE.match(field)), None)
    interface = next((field for field in fields if interface_of(field)), None)
    spare = any("spare" in field.lower() for field in fields)
    words = [field for field in fields if field not in (size, interface) and "spare" not in field.lower()]
    words = [word for word in words if word.strip("?-") and word.lower() != "unknown"] or words
    active = any("active spare" in field.lower() for field in fields)
    return DriveLine(
        match["address"],
        True,
        interface,
        size,
        status or next(filter(is_drive_status, words), words[-1] if words else None),
        spare and not active,
    )


def _told(line: Line, rest: str) -> tuple[list[str], str | None] | None:
    """The fields within the brackets, and the status behind them; None for prose that begins alike."""
    if rest == ":":
        raise unparsable(TOOL, line, "a drive or volume with its status, or a whole address")
    if rest.startswith(":"):
        return [], rest[1:].strip() or None
    if not rest.startswith("("):
        return None
    inner, closed, behind = rest[1:].rpartition(")")
    if not closed or (behind.strip() and not behind.strip().startswith(":")):
        raise unparsable(TOOL, line, "a drive's line with its closing bracket")
    return _split(inner), behind.strip(" :") or None


def _split(inner: str) -> list[str]:
    """The fields between commas outside of brackets."""
    fields, depth, begun = [], 0, 0
    for place, character in enumerate(inner):
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            fields.append(inner[begun:place].strip())
            begun = place + 1
    fields.append(inner[begun:].strip())
    return [field for field in fields if field]
