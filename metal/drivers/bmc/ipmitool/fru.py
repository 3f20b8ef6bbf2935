"""`fru print`: what the FRU chips of board, power supplies, memory and cards say of themselves.

`fru print 0` prints the fields of that device alone, without the line that names it; its id is known
only where a recorded session shows the command.
"""

import re
from dataclasses import dataclass
from typing import Final

from metal.drivers.identity.placeholders import Identities
from metal.drivers.parsed import Parsed
from metal.drivers.tool_text import Line, blocks, key_value, lines_of, one_line, shorten, unparsable

TOOL: Final = "ipmitool-fru"

_DEVICE = re.compile(r"FRU Device Description\s*:")
_ASKED = re.compile(
    r"(?=.{8,300}$)(?:.*[#$>%] *)?(?:sudo +)?[\w./-]*ipmitool\b.*\bfru +(?:(?:print|list) +)?"
    r"(?P<id>0x[0-9a-fA-F]{1,2}|\d{1,3})$"
)
"""A command as it was typed, at most a line long: longer ones would be searched again and again."""
_FIRST = re.compile(f"{_DEVICE.pattern}|{_ASKED.pattern}")
_FIELD = re.compile(
    r"(?:Board (?:Mfg(?: Date)?|Product|Serial|Part Number|FRU ID|Extra)"
    r"|Chassis (?:Type|Part Number|Serial|Extra)"
    r"|Product (?:Manufacturer|Name|Part Number|Version|Serial|Asset Tag|FRU ID|Extra))\s*:"
)
"""The fields of the three areas, by which a device without its line is known."""
_AREAS: Final = ("board ", "chassis ", "product ")
"""How keys of the three areas begin: they are known without their indentation too."""
_ID = re.compile(r"(\d{1,5})\)$")


@dataclass(frozen=True, slots=True)
class FruBoard:
    """The board information area."""

    manufacturer: str | None
    product: str | None
    serial: str | None
    part: str | None


@dataclass(frozen=True, slots=True)
class FruProduct:
    """The product information area."""

    manufacturer: str | None
    name: str | None
    serial: str | None
    part: str | None
    asset_tag: str | None


@dataclass(frozen=True, slots=True)
class FruChassis:
    """The chassis information area."""

    type: str | None
    serial: str | None
    part: str | None


@dataclass(frozen=True, slots=True)
class Fru:
    """One device; `id` is None where it has none (a controller's own), present if it shows any field."""

    id: int | None
    description: str | None
    present: bool
    board: FruBoard
    product: FruProduct
    chassis: FruChassis


@dataclass(frozen=True, slots=True)
class Frus:
    """All devices of a text."""

    frus: tuple[Fru, ...]


def parse(text: str) -> Parsed[Frus]:
    """A block per device. Of two blocks with one id and description, as in a session, the last holds."""
    lines = lines_of(TOOL, text)
    found: dict[object, tuple[int | None, str | None, dict[str, str]]] = {}
    devices = _devices(lines)
    start = devices[0][0].number if devices else len(lines)
    ignored = [line.words for line in lines if line.number < start]
    for place, block in enumerate(devices):
        number, description = _device(block[0])
        fields, noise = _fields(block)
        ignored += noise
        key = place if number is None else (number, description)
        found[key] = (number, description, fields)
    if not found:
        first = next(line for line in lines if line.words)
        raise unparsable(TOOL, first, "a line 'FRU Device Description', or fields of one device")
    ids = Identities()
    frus = tuple(_fru(*device, ids, f"frus[{place}]") for place, device in enumerate(found.values()))
    return Parsed(Frus(frus), shorten(ignored), tuple(ids.paths))


def _devices(lines: tuple[Line, ...]) -> tuple[tuple[Line, ...], ...]:
    """A block for each device; one where the fields of a device stand without the line that names it."""
    named = tuple(blocks(lines, _FIRST))
    if any(
        _DEVICE.match(block[0].words) or any(_FIELD.match(line.words) for line in block) for block in named
    ):
        return named
    first = next((place for place, line in enumerate(lines) if _FIELD.match(line.words)), None)
    return (lines[first:],) if first is not None else ()


def _device(line: Line) -> tuple[int | None, str | None]:
    """Id and description of the device that begins with this line."""
    if asked := _ASKED.match(line.words):
        return int(asked["id"], 0), None
    if not _DEVICE.match(line.words):
        return None, None
    told = line.words.partition(":")[2].strip()
    name, named, rest = told.rpartition("(ID ")
    match = _ID.match(rest) if named else None
    return (int(match[1]), one_line(name)) if match else (None, one_line(told))


def _fields(block: tuple[Line, ...]) -> tuple[dict[str, str], list[str]]:
    """The lines with a key, indented or of an area; the first of a key holds (`Board Extra` repeats)."""
    fields: dict[str, str] = {}
    noise: list[str] = []
    for line in block:
        pair = key_value(line)
        if pair and (line.text[:1].isspace() or pair[0].lower().startswith(_AREAS)):
            fields.setdefault(pair[0].lower(), pair[1])
        elif line.words and not line.text[:1].isspace() and not _DEVICE.match(line.words):
            noise.append(line.words)
    return fields, noise


def _fru(
    number: int | None, description: str | None, fields: dict[str, str], ids: Identities, path: str
) -> Fru:
    def name(key: str, place: str) -> str | None:
        return ids.name(fields.get(key), f"{path}.{place}")

    def serial(key: str, place: str) -> str | None:
        return ids.serial(fields.get(key), f"{path}.{place}")

    kind = one_line(fields.get("chassis type"))
    return Fru(
        id=number,
        description=description,
        present=bool(fields),
        board=FruBoard(
            name("board mfg", "board.manufacturer"),
            name("board product", "board.product"),
            serial("board serial", "board.serial"),
            name("board part number", "board.part"),
        ),
        product=FruProduct(
            name("product manufacturer", "product.manufacturer"),
            name("product name", "product.name"),
            serial("product serial", "product.serial"),
            name("product part number", "product.part"),
            name("product asset tag", "product.asset_tag"),
        ),
        chassis=FruChassis(
            kind if kind == "Other" else name("chassis type", "chassis.type"),
            serial("chassis serial", "chassis.serial"),
            name("chassis part number", "chassis.part"),
        ),
    )
