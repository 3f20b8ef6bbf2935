"""sas2ircu and sas3ircu: LIST, DISPLAY and STATUS of LSI's Integrated RAID, and the words of its commands.

Theory of operation. Every answer is lines of `Key : value` under titles between rulers, and ends with
lines that begin with the tool's name ("SAS2IRCU: Command DISPLAY Completed Successfully."). The lines
are cut into blocks, each begun by a line that only it has (a title, "IR volume 1", "Device is a Hard
disk"); each block gives one value; blocks are laid over each other per controller, so that a recorded
session reads like its last answers.

Traps, all seen in outputs: "MB" is MiB; the second size is the last sector, not the number of sectors;
Bus and Device are decimal in DISPLAY and hexadecimal in LIST; enclosure services devices may print
"Drive Type : SAS_HDD", so only a "Hard disk" is a drive; a missing member is a hard disk 0:0 without a
size; STATUS without volumes ends with an error line although nothing is wrong.
"""

import re
from dataclasses import dataclass, field, replace
from typing import Final

from metal.drivers.parsed import Parsed
from metal.drivers.raid.ircu.words import (
    DRIVE_STATES,
    INTERFACES,
    LEVELS,
    MEDIA,
    NOTHING_THERE,
    TASKS,
    VOLUME_STATES,
)
from metal.drivers.raid.listing import (
    Condition,
    Controller,
    Drive,
    DriveState,
    Listing,
    Outcome,
    VirtualDrive,
    VolumeState,
    pci_text,
    wwn_text,
)
from metal.drivers.raid.session import merged, without_placeholders
from metal.drivers.tool_text import (
    Line,
    breaks_off,
    command_of,
    key_value,
    lines_of,
    number,
    one_line,
    shorten,
    unparsable,
)

_ROW = re.compile(
    r"^\s*(\d{1,3})\s+(\S+)\s+[0-9A-Fa-f]+h\s+[0-9A-Fa-f]+h\s+"
    r"([0-9A-Fa-f]{1,4})h:([0-9A-Fa-f]{1,2})h:([0-9A-Fa-f]{1,2})h:([0-9A-Fa-f]{1,2})h\s+\S+\s+\S+\s*$"
)
_BEGUN = re.compile(
    r"^(?:Read configuration has been initiated|Background command progress status) for controller (\d{1,3})"
)
_OPENINGS: Final = (
    # What begins a block, and the block's kind.
    (re.compile(r"^Controller information$", re.IGNORECASE), "controller"),
    (re.compile(r"^IR Volume information$", re.IGNORECASE), "volumes"),
    (re.compile(r"^Physical device information$", re.IGNORECASE), "devices"),
    (re.compile(r"^Enclosure information$", re.IGNORECASE), "enclosure"),
    (re.compile(r"^IR Volume \d+$", re.IGNORECASE), "volume"),
    (re.compile(r"^Device is an? (?:hard disk|solid state)", re.IGNORECASE), "drive"),
    (re.compile(r"^Device is an? |^Initiator at ID", re.IGNORECASE), "other"),
)
_SAID = re.compile(r"^SAS\dIRCU:\s*(.*)$", re.IGNORECASE)
_TABLE_HEAD = re.compile(r"^(?:Adapter\s+Vendor|Index\s+Type)\b")
_BANNER = re.compile(r"IR Configuration Utility|^Version \d|^Copyright ", re.IGNORECASE)
_USAGE = re.compile(r"^(?:usage:|SAS\dIRCU\s+<|\s*<controller)", re.IGNORECASE)
_PHY = re.compile(r"^PHY\[\d+\]")
_TAG = re.compile(r"\(([A-Za-z]+)\)\s*$")
_ENDS: Final[dict[str, tuple[str, ...]]] = {
    # The key that a whole block of a kind has at its end, in one of its spellings.
    "controller": ("raid support",),
    "volume": ("physical hard disks", "physical disk i/os"),
    "drive": ("drive type", "device type"),
    "other": ("drive type", "device type"),
    "enclosure": ("startslot",),
}


@dataclass(slots=True)
class Block:
    """Some lines under one opening: `keys` in lower case, `members` of a volume."""

    kind: str
    line: Line
    keys: dict[str, str] = field(default_factory=dict)
    members: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Answer:
    """What one command printed: its controller's index, its blocks, and the rows of LIST."""

    index: str | None = None
    blocks: list[Block] = field(default_factory=list)
    rows: list[Controller] = field(default_factory=list)
    begun: Line | None = None
    closed: bool = False


@dataclass(slots=True)
class Reading:
    """All answers of a text, with what the tool said of success, and what was read past."""

    answers: list[Answer] = field(default_factory=lambda: [Answer()])
    said: list[Line] = field(default_factory=list)
    usage: bool = False
    ignored: list[str] = field(default_factory=list)


def parse_sas2ircu(text: str) -> Parsed[Listing]:
    """What `sas2ircu` printed. Raises Unparsable for other texts and for one that is cut off."""
    return _parse("sas2ircu", text)


def parse_sas3ircu(text: str) -> Parsed[Listing]:
    """What `sas3ircu` printed. Raises Unparsable for other texts and for one that is cut off."""
    return _parse("sas3ircu", text)


def _parse(tool: str, text: str) -> Parsed[Listing]:
    lines = lines_of(tool, text)
    reading = Reading()
    for line in lines:
        _take(reading, line)
    answers = [answer for answer in reading.answers if answer.blocks or answer.rows or answer.begun]
    if not (answers or reading.said or reading.usage):
        first = next(line for line in lines if line.words)
        raise unparsable(tool, first, "an answer of LIST, DISPLAY or STATUS")
    end = next(line for line in reversed(lines) if line.words)
    for answer in answers:
        _refuse_cut(tool, answer, end)
    if breaks_off(text) and answers and not answers[-1].closed and (answers[-1].begun or answers[-1].rows):
        raise unparsable(tool, end, "'Utility Completed Successfully.' at the end")
    controllers: dict[str | None, Controller] = {}
    for answer in answers:
        _lay(controllers, answer)
    found, placeholders = without_placeholders(tuple(controllers.values()))
    return Parsed(Listing(tool, _outcome(reading.said), found), shorten(reading.ignored), placeholders)


def _take(reading: Reading, line: Line) -> None:
    """Give a line its place: a prompt, a row, an opening, a key, a word of the tool, or none."""
    words = line.words
    answer = reading.answers[-1]
    command = command_of(line, ("sas2ircu", "sas3ircu"))
    if command is not None:
        match = re.match(r"\S+\s+(\d{1,3})\s", command.removeprefix("sudo ") + " ")
        reading.answers.append(Answer(match[1] if match else None))
        reading.ignored.append(words)
    elif _BANNER.search(words):
        if answer.closed or answer.blocks or answer.rows:
            reading.answers.append(Answer())
        reading.ignored.append(words)
    elif match := _SAID.match(words):
        reading.said.append(line)
        answer.closed = True
    elif match := _BEGUN.match(words):
        if answer.blocks or answer.rows:
            reading.answers.append(answer := Answer())
        answer.index, answer.begun = match[1], line
    elif match := _ROW.match(line.text):
        answer.rows.append(_adapter(match))
    else:
        _take_in_block(reading, answer, line)


def _take_in_block(reading: Reading, answer: Answer, line: Line) -> None:
    words = line.words
    kind = next((kind for opening, kind in _OPENINGS if opening.match(words)), None)
    if kind:
        answer.blocks.append(Block(kind, line))
        return
    pair = key_value(line)
    if pair and answer.blocks:
        block, (key, value) = answer.blocks[-1], pair
        if _PHY.match(key):
            block.members.append("".join(value.split()))
        else:
            block.keys[" ".join(key.lower().split())] = value
    elif _USAGE.match(words):
        reading.usage = True
        reading.ignored.append(words)
    elif words.strip("-* ") and not _TABLE_HEAD.match(words):
        reading.ignored.append(words)


def _refuse_cut(tool: str, answer: Answer, last: Line) -> None:
    """An answer without its closing words may be an excerpt, but its last block must be whole."""
    if answer.closed or answer.rows:
        return
    if not answer.blocks:
        raise unparsable(tool, last, "the blocks of the controller", "the end of the text")
    block = answer.blocks[-1]
    if "" in block.members:
        raise unparsable(tool, last, "enclosure and slot of a volume's disk", "the end of the text")
    ends = _ENDS.get(block.kind, ())
    if not any(end in block.keys for end in ends):
        raise unparsable(
            tool, last, f"the rest of the block from line {block.line.number}", "the end of the text"
        )
    if not last.words.strip("-"):
        raise unparsable(tool, last, "what the ruler is drawn for", "the end of the text")


def _adapter(row: re.Match[str]) -> Controller:
    """A row of LIST; its address is hexadecimal, `00h:5eh:00h:00h`."""
    pci = pci_text(*(int(row[place], 16) for place in (3, 4, 5, 6)))
    return Controller(row[1], model=row[2], pci=pci)


def _lay(controllers: dict[str | None, Controller], answer: Answer) -> None:
    """Lay an answer over what earlier ones said: DISPLAY replaces drives and volumes, STATUS adds to them."""
    for row in answer.rows:
        known = controllers.get(row.index)
        controllers[row.index] = merged(known, row) if known else row
    if not answer.blocks and not answer.begun:
        return
    seen = _controller(answer)
    known = controllers.get(answer.index)
    if known and any(block.kind in {"controller", "devices"} for block in answer.blocks):
        known = replace(known, drives=(), volumes=(), conditions=())
    elif known:
        seen = replace(seen, volumes=_laid(known.volumes, seen.volumes))
    controllers[answer.index] = merged(known, seen) if known else seen


def _laid(older: tuple[VirtualDrive, ...], newer: tuple[VirtualDrive, ...]) -> tuple[VirtualDrive, ...]:
    volumes = {volume.id: volume for volume in older}
    for volume in newer:
        known = volumes.get(volume.id)
        volumes[volume.id] = merged(known, volume) if known else volume
    return tuple(volumes.values())


def _controller(answer: Answer) -> Controller:
    keys = next((block.keys for block in answer.blocks if block.kind == "controller"), {})
    integrated = {"yes": True, "no": False}.get(keys.get("raid support", "").lower())
    drives = [_drive(block, it=integrated is False) for block in answer.blocks if block.kind == "drive"]
    states = {drive.address: drive.state for drive in drives}
    volumes = [_volume(block, states) for block in answer.blocks if block.kind == "volume"]
    owners = {member: volume.id for volume in volumes for member in volume.members}
    named = [Drive(member, volume=owner) for member, owner in owners.items() if member not in states]
    return Controller(
        answer.index,
        model=keys.get("controller type") or None,
        firmware=keys.get("firmware version") or None,
        pci=_pci(keys),
        jbod=True if integrated is False else None,
        drives=(*(replace(drive, volume=owners.get(drive.address or "")) for drive in drives), *named),
        volumes=tuple(volumes),
        conditions=tuple(_conditions(drives, volumes)),
    )


def _pci(keys: dict[str, str]) -> str | None:
    """The address from Segment, Bus, Device and Function, which DISPLAY prints in decimal."""
    parts = [number(keys.get(key)) for key in ("segment", "bus", "device", "function")]
    known = [part for part in parts if part is not None and 0 <= part < 1 << 16]
    return pci_text(known[0], known[1], known[2], known[3]) if len(known) == len(parts) else None


def _volume(block: Block, drives: dict[str | None, DriveState | None]) -> VirtualDrive:
    keys = block.keys
    raw = keys.get("status of volume") or keys.get("volume state") or None
    task = TASKS.get(keys.get("current operation", "").lower())
    if task is None and any(drives.get(member) == "rebuilding" for member in block.members):
        task = "rebuilding"
    size = number(keys.get("size (in mb)"))
    percent = re.match(r"(\d{1,3}(?:\.\d{1,6})?)\s*%", keys.get("percentage complete", "")) if task else None
    return VirtualDrive(
        keys.get("volume id") or None,
        name=one_line(keys.get("volume name")),
        level=LEVELS.get(keys.get("raid level", "").upper().replace(" ", "")),
        state=task or _volume_state(raw),
        raw_state=raw,
        size_bytes=size << 20 if size is not None and size >= 0 else None,
        members=tuple(one for one in block.members if one),
        progress=float(percent[1]) if percent else None,
        wwn=_unique_id(keys.get("volume wwid")),
    )


def _unique_id(wwid: str | None) -> str | None:
    """The NAA id by which the system shows a volume: LSI's prefix, then the WWID's octets in reverse.

    Seen with a SAS3008: wwid 0825cbe1673b777f is /dev/disk/by-id/wwn-0x600508e0000000007f773b67e1cb2508.
    """
    plain = wwn_text(wwid)
    if plain is None or len(plain) != 16:
        return None
    return "600508e000000000" + bytes.fromhex(plain)[::-1].hex()


def _volume_state(raw: str | None) -> VolumeState | None:
    """By the tag, "Okay (OKY)"; one that is "Inactive, Okay (OKY)", as a foreign volume is, is not in use."""
    return (
        "offline" if (raw or "").lstrip("[").lower().startswith("inactive") else VOLUME_STATES.get(_tag(raw))
    )


def _tag(raw: str | None) -> str:
    """The tag of "Okay (OKY)"; the whole word of "Optimal"."""
    match = _TAG.search(raw or "")
    return (match[1] if match else raw or "").upper()


def _drive(block: Block, *, it: bool) -> Drive:
    """A hard disk. On IT firmware (`it`) a Ready one goes straight to the system."""
    keys = block.keys
    raw = keys.get("state") or None
    state = DRIVE_STATES.get(_tag(raw))
    kind = keys.get("drive type", "").upper().partition("_")
    enclosure, slot = keys.get("enclosure #"), keys.get("slot #")
    vpd = keys.get("unit serial no(vpd)")
    return Drive(
        f"{enclosure}:{slot}" if enclosure and slot else None,
        state="jbod" if it and _tag(raw) == "RDY" else state,
        raw_state=raw,
        media=MEDIA.get(kind[2]),
        interface=INTERFACES.get(keys.get("protocol", "").upper()) or INTERFACES.get(kind[0]),
        size_bytes=_size(keys),
        model=one_line(keys.get("model number")),
        serial=_stated(vpd) or _stated(keys.get("serial no")),
        wwn=wwn_text(keys.get("guid")),
        firmware=_stated(keys.get("firmware revision")),
    )


def _stated(text: str | None) -> str | None:
    return None if (text or "").upper() in {"", "N/A", "UNKNOWN"} else one_line(text)


def _size(keys: dict[str, str]) -> int | None:
    """Bytes from `152627/312581807`: MiB, and the last sector of 512 bytes (of 4096 where MiB say so)."""
    mib, _, last = keys.get("size (in mb)/(in sectors)", keys.get("size (in mb)", "")).partition("/")
    megabytes, sector = number(mib), number(last)
    if sector is not None and sector > 0:
        large = megabytes is not None and abs(((sector + 1) >> 8) - megabytes) <= megabytes // 100
        return (sector + 1) * (4096 if large else 512)
    return megabytes << 20 if megabytes is not None and megabytes >= 0 else None


def _conditions(drives: list[Drive], volumes: list[VirtualDrive]) -> list[Condition]:
    """What the states leave out: lost redundancy under a running task, members that are not in sync."""
    found = [
        Condition("rebuild", f"volume {volume.id}: {volume.raw_state}")
        for volume in volumes
        if volume.state in {"rebuilding", "initialising"}
        and VOLUME_STATES.get(_tag(volume.raw_state)) == "degraded"
    ]
    found += [
        Condition("other", f"drive {drive.address}: {drive.raw_state}")
        for drive in drives
        if _tag(drive.raw_state) in {"DGD", "OSY"}
    ]
    return found


def _outcome(said: list[Line]) -> Outcome | None:
    """Success or the first failure; None where the tool only said that there is nothing."""
    succeeded, nothing = False, False
    for line in said:
        match = _SAID.match(line.words)
        text = match[1].strip() if match else ""
        if re.search(r"success", text, re.IGNORECASE) and not re.search(
            r"unsuccess|not success", text, re.IGNORECASE
        ):
            succeeded, nothing = True, False
        elif NOTHING_THERE.search(text):
            nothing = True
        elif nothing and text.lower().startswith("error executing command"):
            nothing = False
        elif text and not text.lower().startswith("warning"):
            code = re.match(r"MPTLib2 Error (\d{1,9})", text)
            return Outcome(ok=False, code=int(code[1]) if code else None, message=one_line(text))
    return Outcome(ok=True) if succeeded else None
