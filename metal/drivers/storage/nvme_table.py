"""`nvme list` as a table, and `nvme list -v` as three of them.

A line of dashes below the names shows how wide each column is. A cell that is wider than its column shifts
the ones after it; then the row is read from its end, where usage, format and firmware have a shape of
their own.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from metal.drivers.identity.placeholders import Identities
from metal.drivers.parsed import Parsed
from metal.drivers.tool_text import Line, is_prompt, number, one_line, shorten, unparsable

TOOL: Final = "nvme"
LIMIT_LINE: Final = 4096


@dataclass(frozen=True, slots=True)
class NvmeNamespace:
    """A namespace: a block device, with the identity of its controller."""

    device: str | None
    model: str | None = None
    serial: str | None = None
    firmware: str | None = None
    size_bytes: int | None = None
    lba_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class NvmeNamespaces:
    """All of `nvme list`."""

    devices: tuple[NvmeNamespace, ...] = ()


_DASHES = re.compile(r"^-{3,}(?: +-{3,})+$")
_AMOUNT: Final = r"(\d{1,12}(?:[.,]\d{1,6})?) *([kKMGTPE]?i?)B"
_USAGE = re.compile(rf"(?:{_AMOUNT} */ *)?{_AMOUNT}\s*$")
_FORMAT = re.compile(rf"^{_AMOUNT}")
_SHIFTED = re.compile(
    rf"^(?P<node>/dev/\S+) +(?:(?P<generic>/dev/\S+) +)?(?P<sn>\S+) +(?P<model>\S.*?) +(?:0x)?[0-9a-f]+ +"
    rf"(?P<usage>{_AMOUNT} */ *{_AMOUNT}) +(?P<format>{_AMOUNT} *\+ *\d+ *B)(?: +(?P<firmware>\S+))?$"
)
_NODE = re.compile(r"^(?:/dev/\S+|nvme\d+n\d+)$")
"""2.x leaves /dev/ out where it finds no device node, as in a container."""
_IDENTITY: Final = ("Device", "SN", "MN", "FR")
"""The columns of a controller that stand before its address, which may be wider than its column."""
_POWERS: Final = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}


def parse(lines: tuple[Line, ...]) -> Parsed[NvmeNamespaces]:
    """All namespaces of the tables in the text, those of a later one in place of an earlier one's."""
    tables = [place for place, line in enumerate(lines) if place and _DASHES.match(line.words)]
    heads = {place: _columns(lines[place - 1], lines[place]) for place in tables}
    known = [place for place in tables if {"Node", "Device"} & heads[place].keys()]
    if not known:
        first = next(line for line in lines if line.words)
        raise unparsable(TOOL, first, "'Node … SN … Model' above dashes, 'NVME Identify Controller:' or JSON")
    found: dict[str, NvmeNamespace] = {}
    controllers: dict[str, NvmeNamespace] = {}
    for place in known:
        if "Node" in heads[place]:
            rows = [_node(line, heads[place]) for line in _rows(lines, place)]
            found |= {row.device or "": row for row in rows}
        elif "SN" in heads[place]:
            controllers |= {row.device or "": row for row in _controllers(lines, place, heads[place])}
        else:
            rows = list(_verbose(lines, place, heads[place], controllers))
            found |= {row.device or "": row for row in rows}
    ignored = [line.words for line in lines[: known[0] - 1]]
    return told(list(found.values()), shorten(ignored))


def told(found: list[NvmeNamespace], ignored: tuple[str, ...]) -> Parsed[NvmeNamespaces]:
    """The listing, with makers' placeholders taken out; "(null)" is a text that the driver does not have."""
    known = Identities()
    devices = tuple(
        replace(
            one,
            model=known.name(one.model, f"devices[{place}].model"),
            serial=known.serial(one.serial, f"devices[{place}].serial"),
            firmware=None if one.firmware == "(null)" else one.firmware,
        )
        for place, one in enumerate(found)
    )
    return Parsed(NvmeNamespaces(devices), ignored, tuple(known.paths))


def _columns(head: Line, dashes: Line) -> dict[str, tuple[int, int | None]]:
    """Each column's name, with where it begins and ends; the last goes on to the end of the line."""
    spans = [match.span() for match in re.finditer(r"-+", dashes.text)]
    names = [
        head.text[start : spans[n + 1][0] if n + 1 < len(spans) else None]
        for n, (start, _) in enumerate(spans)
    ]
    ends = [*(start for start, _ in spans[1:]), None]
    return {name.strip(): (start, end) for name, (start, _), end in zip(names, spans, ends, strict=True)}


def _rows(lines: tuple[Line, ...], dashes: int) -> Iterator[Line]:
    """The rows below a line of dashes, up to a blank line, a prompt or the next table's names."""
    for place in range(dashes + 1, len(lines)):
        line = lines[place]
        if not line.words or is_prompt(line.words):
            return
        if place + 1 < len(lines) and _DASHES.match(lines[place + 1].words):
            return
        yield line


def _cells(line: Line, columns: Mapping[str, tuple[int, int | None]]) -> dict[str, str] | None:
    """The cells of a row; None where one reaches into the next column of those given."""
    text = line.text
    for start, _ in columns.values():
        if 0 < start < len(text) and text[start - 1] != " ":
            return None
    return {name: text[start:end].strip() for name, (start, end) in columns.items()}


def _node(line: Line, columns: Mapping[str, tuple[int, int | None]]) -> NvmeNamespace:
    cells = _cells(line, columns)
    if cells and _USAGE.search(cells.get("Usage", "")) and _NODE.match(cells["Node"]):
        return NvmeNamespace(
            device=f"/dev/{cells['Node'].removeprefix('/dev/')}",
            model=one_line(cells.get("Model")),
            serial=one_line(cells.get("SN")),
            firmware=one_line(cells.get("FW Rev")),
            size_bytes=_size(cells["Usage"]),
            lba_bytes=_lba(cells.get("Format", "")),
        )
    match = _SHIFTED.match(line.words)
    if not match:
        raise unparsable(TOOL, line, "a namespace with Node, SN, Model, Usage, Format and FW Rev")
    return NvmeNamespace(
        device=match["node"],
        model=one_line(match["model"]),
        serial=match["sn"],
        firmware=match["firmware"],
        size_bytes=_size(match["usage"]),
        lba_bytes=_lba(match["format"]),
    )


def _controllers(
    lines: tuple[Line, ...], place: int, columns: Mapping[str, tuple[int, int | None]]
) -> Iterator[NvmeNamespace]:
    """`list -v`: the table of controllers, which have the identity; `device` is the controller's name.

    Over fabrics the address is `traddr=…,trsvcid=…` and shifts what follows, so that is not looked at.
    """
    told = {name: span for name, span in columns.items() if name in _IDENTITY}
    for line in _rows(lines, place):
        cells = _cells(line, told)
        if cells is None:
            raise unparsable(TOOL, line, "a controller with its cells below their names")
        yield NvmeNamespace(
            device=cells["Device"],
            model=one_line(cells.get("MN")),
            serial=one_line(cells.get("SN")),
            firmware=one_line(cells.get("FR")),
        )


def _verbose(
    lines: tuple[Line, ...],
    place: int,
    columns: Mapping[str, tuple[int, int | None]],
    controllers: Mapping[str, NvmeNamespace],
) -> Iterator[NvmeNamespace]:
    """`list -v`: the table of namespaces, with the names of their controllers."""
    for line in _rows(lines, place):
        cells = _cells(line, columns)
        if cells is None or not _USAGE.search(cells.get("Usage", "")):
            raise unparsable(TOOL, line, "a namespace with Device, Usage, Format and Controllers")
        first = cells.get("Controllers", "").partition(",")[0].strip()
        identity = controllers.get(first) or NvmeNamespace(None)
        yield replace(
            identity,
            device=f"/dev/{cells['Device'].removeprefix('/dev/')}",
            size_bytes=_size(cells["Usage"]),
            lba_bytes=_lba(cells.get("Format", "")),
        )


def _size(usage: str) -> int | None:
    """The size behind the slash of `500.11  GB / 512.11  GB`: what is before it is used."""
    match = _USAGE.search(usage)
    return _bytes(match[3], match[4]) if match else None


def _lba(text: str) -> int | None:
    """The data size of `512   B +  0 B`; `4 KiB` is 4096."""
    match = _FORMAT.match(text)
    return _bytes(match[1], match[2]) if match else None


def _bytes(count: str, unit: str) -> int | None:
    power = _POWERS.get(unit.removesuffix("i").upper())
    whole = number(count) if count.isdigit() else None
    base = 1024 if unit.endswith("i") else 1000
    if power is None:
        return None
    return (
        whole * int(base**power)
        if whole is not None
        else round(float(count.replace(",", ".")) * float(base**power))
    )
