"""The text of dmidecode as blocks, one per SMBIOS structure, with handles or without them (`-q`).

dmidecode prints a banner, then per structure a `Handle` line, a title and indented `Key: value` lines.
Before version 2.8 the type stood in a line of its own below the handle, and all below it was indented
once more. `-q` leaves banner and handles out; people paste single blocks without either. Warnings of
stderr stand anywhere between ("Invalid entry length (0). DMI table is broken! Stop.").
"""

import re
from dataclasses import dataclass, field
from typing import Final

from metal.drivers.tool_text import Line, lines_of, shorten, unparsable

TOOL: Final = "dmidecode"
OTHER: Final = -1
"""The type of a block whose title is none that we read."""

_HANDLE = re.compile(r"Handle 0x([0-9A-Fa-f]{1,8}),? +DMI type (\d{1,3})")
_OLD_HANDLE = re.compile(r"Handle 0x([0-9A-Fa-f]{1,8})$")
_OLD_TYPE = re.compile(r"DMI type (\d{1,3}), \d{1,5} bytes\.?$")
_TITLES: Final = {
    "BIOS Information": 0,
    "System Information": 1,
    "Base Board Information": 2,
    "Chassis Information": 3,
    "System Enclosure or Chassis": 3,
    "Processor Information": 4,
    "Physical Memory Array": 16,
    "Memory Device": 17,
    "IPMI Device Information": 38,
}
"""Titles of the structures that we read, by their type in DSP0134."""
_FIELD_NAMES: Final = frozenset(
    {
        "asset tag",
        "bank locator",
        "core count",
        "family",
        "interface type",
        "locator",
        "manufacturer",
        "part number",
        "product name",
        "release date",
        "serial number",
        "size",
        "sku number",
        "socket designation",
        "specification version",
        "speed",
        "status",
        "thread count",
        "type",
        "uuid",
        "vendor",
        "version",
    }
)
"""Fields are taken without their indentation too, as they come through a wiki; then only these."""
_OLD_NAMES: Final = {
    "Chassis Type": "Type",
    "Processor Type": "Type",
    "Processor Version": "Version",
    "Product": "Product Name",
    "Release": "Release Date",
}
"""Fields as versions before 2.0 named them; they said Vendor for Manufacturer too."""
_BANNER = re.compile(r"# dmidecode \d")
_COUNT = re.compile(r"(\d{1,5}) structures occupying \d+ bytes")
_END_OF_TABLE: Final = 127


@dataclass(frozen=True, slots=True)
class DmiBlock:
    """One SMBIOS structure as dmidecode prints it: type, handle, and its `Key: value` lines."""

    type: int
    handle: int | None = None
    fields: dict[str, str] = field(default_factory=dict)

    def get(self, name: str) -> str | None:
        """A field's text; None where there is no such line."""
        return self.fields.get(name)


@dataclass(frozen=True, slots=True)
class DmiText:
    """All blocks of a text in order, and the lines that belong to none."""

    blocks: tuple[DmiBlock, ...]
    ignored: tuple[str, ...]


def read_blocks(text: str) -> DmiText:
    """Take a text apart. Raises Unparsable where there is no structure, or one is cut off at its handle."""
    reader = _Reader()
    lines = lines_of(TOOL, text)
    for line in lines:
        reader.take(line)
    if reader.headless is not None:
        raise unparsable(TOOL, reader.headless, "a structure after its handle", "the end of the text")
    reader.check_whole(lines[-1])
    if not any(block.type != OTHER for block in reader.blocks):
        first = next(line for line in lines if line.words)
        raise unparsable(TOOL, first, "SMBIOS structures")
    return DmiText(_without_repeats(reader.blocks, reader.documents), shorten(reader.ignored))


class _Reader:
    """The state between two lines: which block is open, and whether its title is still to come."""

    def __init__(self) -> None:
        self.blocks: list[DmiBlock] = []
        self.documents: list[int] = []
        self.ignored: list[str] = []
        self.headless: Line | None = None
        self._document = 0
        self._closed = True
        self._handle: int | None = None
        self._announced = self._before = 0

    def take(self, line: Line) -> None:
        if match := _HANDLE.match(line.words):
            self._open(DmiBlock(int(match[2]), int(match[1], 16)))
            self.headless = line
        elif match := _OLD_HANDLE.match(line.words):
            self._handle, self.headless = int(match[1], 16), line
        elif self._handle is not None and (match := _OLD_TYPE.match(line.words)):
            self._open(DmiBlock(int(match[1]), self._handle))
            self._handle = None
        elif not line.words:
            self._closed = self._closed or self.headless is None
        elif self.headless is not None:
            self.headless = None  # the structure's title
        elif line.words in _TITLES:
            self._open(DmiBlock(_TITLES[line.words]))
        elif line.text[0].isspace():
            self._field(line)
        else:
            self._at_the_margin(line)

    def check_whole(self, last: Line) -> None:
        """A table announces how many structures it has; less of them, and no end, is a text cut off.

        A table that is broken itself is told as such by a warning of dmidecode.
        """
        shown = self.blocks[self._before :]
        ended = any(block.type == _END_OF_TABLE for block in shown)
        broken = any("announced" in words or "DMI table is broken" in words for words in self.ignored)
        if len(shown) < self._announced and not ended and not broken:
            expected = f"{self._announced} structures, as announced"
            raise unparsable(TOOL, last.number, expected, f"the end of the text after {len(shown)}")

    def _open(self, block: DmiBlock) -> None:
        self.blocks.append(block)
        self.documents.append(self._document)
        self._closed = False

    def _field(self, line: Line) -> None:
        key, colon, value = line.words.partition(":")
        if not colon or not self.blocks:
            return
        name = _OLD_NAMES.get(key.strip(), key.strip())
        if name == "Vendor" and self.blocks[-1].type != 0:
            name = "Manufacturer"
        self.blocks[-1].fields.setdefault(name, value.strip())

    def _at_the_margin(self, line: Line) -> None:
        key, colon, _ = line.words.partition(":")
        if colon and not self._closed and key.strip().lower() in _FIELD_NAMES:
            self._field(line)
            return
        self._document += bool(_BANNER.match(line.words))
        if match := _COUNT.match(line.words):
            self._announced = int(match[1])
            self._before = len(self.blocks)
        titled = self._closed and self.blocks and self.blocks[-1].handle is None
        if titled:  # `-q`: the title of a structure that we do not read
            self._open(DmiBlock(OTHER))
        else:
            self.ignored.append(line.words)


def _without_repeats(blocks: list[DmiBlock], documents: list[int]) -> tuple[DmiBlock, ...]:
    """In a recorded session the same structure comes again after a second banner: the last one holds."""
    last: dict[tuple[int | None, int], int] = {
        (block.handle, block.type): document
        for block, document in zip(blocks, documents, strict=True)
        if block.handle is not None
    }
    return tuple(
        block
        for block, document in zip(blocks, documents, strict=True)
        if block.type != OTHER and document == last.get((block.handle, block.type), document)
    )
