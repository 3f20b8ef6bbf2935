"""A Smart Array tool's text, cut into one block per controller's name line.

A block holds what was printed between two name lines, or between a prompt and the next, not yet
interpreted: keys of the controller, its arrays, volumes and drives, and what stands beside (banners,
cages). Errors and warnings are paragraphs of their own, wrapped to the terminal or not.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from metal.drivers.raid.ssacli.grammar import (
    BANNER,
    GREETING,
    NAMES,
    TOOL,
    ArrayLine,
    Aside,
    DriveLine,
    Heading,
    SectionLine,
    Structure,
    VolumeLine,
    heading_of,
    structure_of,
)
from metal.drivers.raid.ssacli.words import NOTHING_THERE, REFUSALS, Role
from metal.drivers.tool_text import Line, command_of, key_value, unparsable

_TITLES: Final = re.compile(r"(?:mirror|parity) group|disk partition|license", re.IGNORECASE)
"""Titles within a volume, of which nothing hangs; the drives below them are its members."""
_KEY: Final = re.compile(r"[A-Z][\w/]{1,20}(?: [A-Z(][\w()/]{0,20}){0,5}: +\S")
"""A controller's key, which ends a banner too where the blank line between them got lost."""
_IDENTITY: Final = frozenset(
    {
        "serial number",
        "firmware version",
        "firmware revision",
        "size",
        "model",
        "wwid",
        "unique identifier",
        "disk name",
    }
)


@dataclass(slots=True)
class DriveBlock:
    """A drive as one or several places of a block name it; a spare may stand in several `arrays`."""

    address: str
    role: Role | None = None
    array: str | None = None
    arrays: set[str] = field(default_factory=set)
    said: list[DriveLine] = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class VolumeBlock:
    """A volume, with the drives of its mirror and parity groups where they are shown."""

    id: str
    array: str | None = None
    said: VolumeLine | None = None
    keys: dict[str, str] = field(default_factory=dict)
    members: list[str] = field(default_factory=list)


@dataclass(slots=True)
class ArrayBlock:
    """An array: its status in brackets or as a key."""

    letter: str
    status: str | None = None
    keys: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Block:
    """What one command printed of one controller; `command` as typed, where the text is a session."""

    heading: Heading
    command: str | None
    keys: dict[str, str] = field(default_factory=dict)
    arrays: dict[str, ArrayBlock] = field(default_factory=dict)
    volumes: dict[str, VolumeBlock] = field(default_factory=dict)
    drives: dict[str, DriveBlock] = field(default_factory=dict)
    asides: list[str] = field(default_factory=list)
    banners: list[str] = field(default_factory=list)
    lists_volumes: bool = False
    lists_drives: bool = False


@dataclass(slots=True)
class Text:
    """The whole text: blocks, paragraphs of errors, and the lines that were read past."""

    blocks: list[Block] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    understood: bool = False
    """Whether a line was the tool's although it opened no block: a prompt, a greeting, a warning."""


def read_blocks(lines: Sequence[Line], *, broken: bool) -> Text:
    """Cut the lines. Raises Unparsable for a text that is not the tool's or that is cut off."""
    reader = _Reader(lines)
    place = 0
    while place < len(lines):
        place = reader.take(place)
    reader.refuse_cut()
    if broken:
        reader.refuse_broken_key()
    return reader.text


class _Reader:
    """Where the reading stands: the open block, and the open thing that takes keys."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self.lines = lines
        self.text = Text()
        self.command: str | None = None
        self.block: Block | None = None
        self.open: Block | ArrayBlock | VolumeBlock | DriveBlock | None = None
        self.array: str | None = None
        self.role: Role | None = None
        self.waiting: list[str] = []
        """Banners that stand before the name of their controller."""
        self.last: Structure | None = None
        self.strange: Line | None = None
        self.options = False

    def take(self, place: int) -> int:
        """Read the line at `place`, and a paragraph whole; gives the place after it."""
        line = self.lines[place]
        if not line.words:
            self.options = False
            return place + 1
        self.strange = None
        if (command := command_of(line, NAMES)) is not None:
            self._begin_command(line, command)
        elif re.match(r"(?:error|warning)\s*:|reason\s*:", line.words, re.IGNORECASE) or REFUSALS.match(
            line.words
        ):
            return self._paragraph(place)
        elif BANNER.match(line.words):
            return self._banner(place)
        elif GREETING.match(line.words):
            self.text.understood = True
            self.options = True
            self.text.ignored.append(line.words)
        elif (structure := structure_of(line)) is not None:
            self._open(structure)
        else:
            self._key(line)
        return place + 1

    def _begin_command(self, line: Line, command: str) -> None:
        self.text.understood = True
        self.text.ignored.append(line.words)
        self.command = command or None
        self.block = self.open = self.array = self.role = self.last = None

    def _paragraph(self, place: int) -> int:
        """An error, a warning or a reason, unwrapped: the lines until a blank one or another structure."""
        words = [self.lines[place].words]
        after = place + 1
        while after < len(self.lines) and self._continues(self.lines[after]):
            words.append(self.lines[after].words)
            after += 1
        told = " ".join(" ".join(words).split())
        kind = told.lower()
        self.text.understood = True
        if kind.startswith("warning") or (kind.startswith("reason") and not self.text.errors):
            self.text.ignored.append(told)
        elif kind.startswith("reason"):
            self.text.errors[-1] += " " + told
        else:
            reason = re.sub(r"^error\s*:\s*", "", told, flags=re.IGNORECASE)
            if not reason:
                raise unparsable(TOOL, self.lines[place], "an error's text behind 'Error:'")
            self.text.errors.append(reason)
            if NOTHING_THERE.search(reason) and self._slot() is not None:
                self._new_block(Heading(self._slot(), ""))
        return after

    def _continues(self, line: Line) -> bool:
        words = line.words
        if (
            not words
            or command_of(line, NAMES) is not None
            or re.match(r"(?:error|warning)\s*:", words, re.IGNORECASE)
        ):
            return False
        return not (BANNER.match(words) or GREETING.match(words)) and structure_of(line) is None

    def _banner(self, place: int) -> int:
        """A banner belongs to the controller that is named next below it, else to the open one."""
        words = [self.lines[place].words]
        after = place + 1
        while (
            after < len(self.lines)
            and self._continues(self.lines[after])
            and not _KEY.match(self.lines[after].words)
        ):
            words.append(self.lines[after].words)
            after += 1
        told = " ".join(" ".join(words).split())
        below = next((line for line in self.lines[after : after + 50] if line.words), None)
        if below is None or (heading_of(below) is None and not BANNER.match(below.words) and self.block):
            if self.block:
                self.block.banners.append(told)
            else:
                self.text.ignored.append(told)
        else:
            self.waiting.append(told)
        self.text.understood = True
        return after

    def _open(self, structure: Structure) -> None:
        self.last = structure
        if isinstance(structure, Heading):
            self._new_block(structure)
            return
        block = self.block or self._new_block(Heading(self._slot(), ""))
        if isinstance(structure, ArrayLine):
            self.array, self.role = structure.letter, "data"
            self.open = block.arrays.setdefault(structure.letter, ArrayBlock(structure.letter))
            self.open.status = structure.status or self.open.status
        elif isinstance(structure, SectionLine):
            self.array, self.role, self.open = None, structure.role, None
        elif isinstance(structure, VolumeLine):
            self._open_volume(block, structure)
        elif isinstance(structure, DriveLine):
            self._open_drive(block, structure)
        else:
            block.asides.append(structure.text)
            self.open = None

    def _slot(self) -> str | None:
        """The slot that the command names; status lists of one controller print no name line."""
        match = re.search(r"\bslot=(\w{1,8})", self.command or "", re.IGNORECASE)
        return match[1] if match else None

    def _new_block(self, heading: Heading) -> Block:
        self.block = Block(heading, self.command, banners=self.waiting)
        self.text.blocks.append(self.block)
        self.open, self.waiting, self.array, self.role = self.block, [], None, None
        return self.block

    def _open_volume(self, block: Block, line: VolumeLine) -> None:
        volume = block.volumes.setdefault(line.id, VolumeBlock(line.id))
        volume.array = self.array or volume.array
        if line.listed:
            volume.said, self.open = line, None
            block.lists_volumes = True
        else:
            self.open = volume

    def _open_drive(self, block: Block, line: DriveLine) -> None:
        drive = block.drives.setdefault(line.address, DriveBlock(line.address))
        if isinstance(self.open, VolumeBlock) and line.listed:
            if not line.spare:
                self.open.members.append(line.address)
            drive.role = drive.role or "data"
        else:
            block.lists_drives |= self.array is not None and line.listed
            drive.role = self.role or drive.role
        drive.array = self.array or drive.array
        drive.arrays |= {self.array} if self.array else set()
        drive.role = "spare" if line.spare else drive.role
        drive.said.append(line)
        if not line.listed:
            self.open = drive

    def _key(self, line: Line) -> None:
        pair = key_value(line, ": ") or (key_value(line) if line.words.endswith(":") else None)
        if pair and self.open is not None:
            self.open.keys.setdefault(" ".join(pair[0].lower().split()), pair[1])
            return
        if pair and isinstance(self.last, Aside) and self.block:
            return
        if line.words.lower() == "none attached":
            self.last = None  # the whole list of an empty cage
            return
        if self.options or _TITLES.match(line.words):
            return
        self.strange = line
        self.text.ignored.append(line.words)

    def refuse_cut(self) -> None:
        """Refuse a text that ends within a line, in front of a list, or early in the keys of a thing."""
        ends = self.lines[-1]
        shown = ends.words or "the end of the text"
        if not (self.text.blocks or self.text.errors or self.text.understood):
            first = next(line for line in self.lines if line.words)
            raise unparsable(TOOL, first, "a controller's name line, or an error")
        if self.strange is ends and self.block:
            raise unparsable(TOOL, ends, "a whole line")
        if isinstance(self.last, SectionLine) or (
            isinstance(self.last, ArrayLine) and self.last.bare and not _told(self.open)
        ):
            raise unparsable(TOOL, ends, "the drives or volumes under the last title", shown)
        if isinstance(self.last, Heading) and self.last.serial is None and self.block and not self.block.keys:
            raise unparsable(TOOL, ends, "what the controller holds", shown)
        if isinstance(self.open, DriveBlock) and not self.open.keys.keys() & {
            "status",
            "size",
            "interface type",
        }:
            raise unparsable(TOOL, ends, f"the keys of drive {self.open.address}", shown)
        if isinstance(self.open, VolumeBlock) and not self.open.keys.keys() & {"status", "size"}:
            raise unparsable(TOOL, ends, f"the keys of volume {self.open.id}", shown)

    def refuse_broken_key(self) -> None:
        """Refuse a text that breaks off in a value that names or measures something: half a serial is wrong.

        It also breaks off where the last drive lacks the key with which the one before it ends.
        """
        ends = self.lines[-1]
        pair = key_value(ends, ": ")
        if self.open is None or pair is None:
            return
        if " ".join(pair[0].lower().split()) in _IDENTITY:
            raise unparsable(TOOL, ends, "the end of the line")
        drives = [one.keys for one in self.block.drives.values() if one.keys] if self.block else []
        if (
            isinstance(self.open, DriveBlock)
            and len(drives) > 1
            and next(reversed(drives[-2])) not in drives[-1]
        ):
            raise unparsable(TOOL, ends, f"the other keys of drive {self.open.address}")


def _told(opened: Block | ArrayBlock | VolumeBlock | DriveBlock | None) -> bool:
    return bool(opened and opened.keys)
