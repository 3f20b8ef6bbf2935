"""storcli's text tables: rows under a header between rulers.

    --------------------------------------------------------------
    EID:Slt DID State DG     Size Intf Med SED PI SeSz Model    Sp
    --------------------------------------------------------------
    252:0    14 Onln   0 2.728 TB SATA HDD N   N  4 KB WDC WD30 U
    --------------------------------------------------------------

Columns come and go with the version (1.03 has no Cac and no Type, 007 has both, storcli2 names them
anew), cells are aligned left or right, some hold blanks, and publishers squeeze the blanks. So a row is
not cut at columns of characters: each column of the header has a pattern, and the row is matched by
them in the header's order. Only tables that somebody needs are read; the rest is skipped.
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Final

from metal.drivers.raid.storcli.answers import TOOL, Row
from metal.drivers.tool_text import Line, unparsable

COLUMNS: Final = 40
ROW_CHARACTERS: Final = 400
"""The widest tables have about 160; a longer line is no row."""

RowReader = Callable[[Line], Row | None]

_COMPOUND: Final = (
    "Estimated Time Left",
    "LU/NS Count",
    "Product Name",
    "PCI Address",
    "SAS address",
    "Next Learn",
)
"""Column names with blanks, of the tables that are read."""
_SIZE: Final = r"(?:\d[\d.,]*\s*[KMGTPE]?i?B|-|N/A)"
_WORD: Final = r"\S+"
_FREE: Final = r".*?"
_PATTERNS: Final[Mapping[str, str]] = {
    "EID:Slt": r"(?:\d+|-)?\s*:\s*\d+",
    "EID:Slot": r"(?:(?:\d+|-)?\s*:\s*\d+|-)",
    "DG/VD": r"(?:\d+|-|F)/\d+",
    "Size": _SIZE,
    "SeSz": r"(?:\d[\d.]*\s*[KM]?i?B|512[en]?|4Kn|-|N/A)",
    "Status": r"(?:Not in progress|In progress|Not started|Not supported|Needs? Attention|\S+)",
    "Progress%": r"(?:\d[\d.]*\s?%?|-)",
    "Drive-ID": r"/c\d+(?:/e\d+)?/s\d+",
    "Port": r"(?:\S+ x\d+|\S+)",
    "VD": r"(?:\d[\d.]*\s*[KMGTP]i?B|\S+)",
    "Description": _FREE,
    "Model": _FREE,
    "Name": _FREE,
    "Product Name": _FREE,
    "ErrMsg": _FREE,
    "Property": _FREE,
    "Value": _FREE,
    "Estimated Time Left": _FREE,
}
_READ: Final = (
    {"EID:Slt", "State"},
    {"DG/VD", "State"},
    {"EID:Slot", "Type", "State"},
    {"Drive-ID", "Progress%"},
    {"EID:Slt", "Progress%"},
    {"VD", "Progress%"},
    {"Ctl", "Model"},
    {"Ctrl", "Product Name"},
    {"VD", "State"},
    {"ErrCd"},
)
"""A table whose header holds one of these is read row by row."""
_PAIRS: Final = ({"Ctrl_Prop", "Value"}, {"Property", "Value"})
_PACKS: Final = {"Model", "State", "Temp"}
_PACK_ROW = re.compile(r"(?P<Model>\S+)\s+(?P<State>\S.*?)(?:\s{2,}|\s+(?=[\d-])|$)")
_ENCLOSURES: Final = {"EID", "Slots", "PD"}
_ENCLOSURE_ROW = re.compile(r"(?P<EID>\d+)\s+\S+\s+(?P<Slots>\d+)\s+(?P<PD>\d+)\s")
_RULER = re.compile(r"-{8,}")


def is_ruler(line: Line) -> bool:
    """A line of dashes only."""
    return bool(_RULER.fullmatch(line.words))


def columns_of(header: Line) -> tuple[str, ...]:
    """The names in a header, in order; names with blanks are one."""
    text = " ".join(header.words.split())
    for name in _COMPOUND:
        text = text.replace(name, name.replace(" ", "\0"))
    return tuple(name.replace("\0", " ") for name in text.split())


def is_header(line: Line) -> bool:
    """A header that is known without rulers around it, as in excerpts."""
    columns = columns_of(line)[:2]
    return columns in (
        ("EID:Slt", "DID"),
        ("EID:Slt", "PID"),
        ("DG/VD", "TYPE"),
        ("DG", "Arr"),
        ("DG", "Span"),
    )


def row_reader(header: Line) -> RowReader:
    """How the rows under a header are read: a row, or None in a table that nobody needs.

    The reader raises Unparsable where a needed row does not have the header's columns.
    """
    columns = columns_of(header)
    names = set(columns)
    if any(pair == names for pair in _PAIRS):
        return partial(_pair, header, columns)
    if names >= _PACKS:
        return partial(_beginning, _PACK_ROW)
    if names >= _ENCLOSURES:
        return partial(_beginning, _ENCLOSURE_ROW)
    if len(columns) <= COLUMNS and any(wanted <= names for wanted in _READ):
        return partial(_matched, columns)
    return _skipped


def _matched(columns: tuple[str, ...], line: Line) -> Row | None:
    match = _row_pattern(columns).fullmatch(line.words) if len(line.words) <= ROW_CHARACTERS else None
    if match is None:
        raise unparsable(TOOL, line, f"a row of the table {' '.join(columns)}")
    return {name: (cell or "").strip() for name, cell in zip(columns, match.groups(), strict=True)}


def _beginning(pattern: re.Pattern[str], line: Line) -> Row | None:
    """The first columns of a row whose other columns nobody needs."""
    match = pattern.match(line.words[:ROW_CHARACTERS])
    return match.groupdict() if match else None


def _skipped(_: Line) -> Row | None:
    return None


@lru_cache(maxsize=64)
def _row_pattern(columns: tuple[str, ...]) -> re.Pattern[str]:
    """One group per column. The last may be empty, and free text may be in the middle."""
    cells = [
        # As few blanks as will do before a model: a drive that tells none leaves the cell blank.
        (r"\s+?" if name == "Model" else r"\s+") + f"({_PATTERNS.get(name, _WORD)})"
        for name in columns
    ]
    first, *rest = cells
    first = first.removeprefix(r"\s+")
    if not rest:
        return re.compile(first)
    *middle, last = rest
    if last.endswith(f"({_FREE})"):
        last = r"\s+(.*)"
    return re.compile(f"{first}{''.join(middle)}(?:{last})?")


def _pair(header: Line, columns: tuple[str, ...], line: Line) -> Row | None:
    """Name and value; cut where the second column begins, or at the last gap of a squeezed row."""
    place = header.text.index(columns[1], len(columns[0]))
    left, right = line.text[:place], line.text[place:]
    if not right.strip() or (left and not left[-1].isspace()):
        left, _, right = line.words.rpartition("  " if "  " in line.words else " ")
    return {columns[0]: left.strip(), columns[1]: right.strip()} if left.strip() else None
