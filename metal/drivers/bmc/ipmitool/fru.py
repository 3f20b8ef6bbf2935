"""`fru print`: what the FRU chips of board, power supplies, memory and cards say of themselves."""

import re
from dataclasses import dataclass
from typing import Final

from metal.drivers.identity.placeholders import Identities
from metal.drivers.parsed import Parsed
from metal.drivers.tool_text import Line, blocks, key_value, lines_of, one_line, shorten, unparsable

TOOL: Final = "ipmitool-fru"

_DEVICE = re.compile(r"FRU Device Description\s*:")
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
    ignored = []
    for line in lines:
        if _DEVICE.match(line.words):
            break
        ignored.append(line.words)
    for place, block in enumerate(blocks(lines, _DEVICE)):
        number, description = _device(block[0])
        fields, noise = _fields(block[1:])
        ignored += noise
        key = place if number is None else (number, description)
        found[key] = (number, description, fields)
    if not found:
        first = next(line for line in lines if line.words)
        raise unparsable(TOOL, first, "a line 'FRU Device Description'")
    ids = Identities()
    frus = tuple(_fru(*device, ids, f"frus[{place}]") for place, device in enumerate(found.values()))
    return Parsed(Frus(frus), shorten(ignored), tuple(ids.paths))


def _device(line: Line) -> tuple[int | None, str | None]:
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
        elif line.words and not line.text[:1].isspace():
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
