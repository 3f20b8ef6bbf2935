"""lsblk's tables: a line of column names, then a row for each device, as tree, list or raw (`-r`).

Cells are found by the place of their column's name: a left-aligned one begins where the name begins, a
right-aligned one ends where it ends. In the raw form cells stand one blank apart.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from metal.drivers.tool_text import Line, is_prompt, unparsable

TOOL: Final = "lsblk"

_RIGHT = re.compile(
    r"(?:fs)?size|r[aom]|rev|hotplug|rota|rand|alignment|(?:min|opt)-io|(?:phy|log)-sec|rq-size|disc-(?:aln|gran|max|zero)"
    r"|wsame|fsavail|fsused|fsuse%|start|dax|zone-(?:sz|wgran|app|nr|omax|amax)|disk-seq|mq"
)
"""Columns of numbers, aligned to the right: SCOLS_FL_RIGHT in util-linux's lsblk.c."""
_LEFT = re.compile(
    r"p?k?name|path|maj(?::min)?|min|fstype|fsver|fsroots|label|(?:part|pt)?uuid|pttype|part(?:type|typename|label|flags|n)"
    r"|mountpoints?|model|serial|state|owner|group|mode|sched|type|wwn|hctl|tran|subsystems|vendor|zoned|id|id-link"
)
"""All other columns of lsblk."""
_NAMES: Final = ("name", "kname", "path")
_TREE = re.compile(r"^[\s│├└─┌┬┐┘┴┤┼┈▶◀>|`+-]*")
_OLD_MAPPER = re.compile(r"^(.+) \((dm-\d+)\)$")
_CELLS: Final[Mapping[str, re.Pattern[str]]] = {
    "type": re.compile(r"^[a-z][a-z0-9_+-]*$"),
    "size": re.compile(r"^\d+(?:[.,]\d+)?[BKMGTPE]?$"),
    "maj:min": re.compile(r"^\d+:\d+$"),
    "rm": re.compile(r"^[01]$"),
    "ro": re.compile(r"^[01]$"),
    "rota": re.compile(r"^[01]$"),
}
"""What a cell looks like, where that tells a row from a line that is none."""


@dataclass(frozen=True, slots=True)
class Row:
    """A device as it is printed: the line it is at, columns by name, where it is mounted, what is below."""

    line: int
    values: Mapping[str, str | None]
    mounts: tuple[str, ...] = ()
    children: tuple["Row", ...] = field(default=())


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    start: int
    end: int
    right: bool


def read_table(lines: tuple[Line, ...]) -> tuple[list[tuple[Row, int | None]], list[str]]:
    """Rows of the last table, each with the place of its parent, and the lines that are not of it."""
    heads = [place for place, line in enumerate(lines) if _columns(line)]
    if not heads:
        first = next(line for line in lines if line.words)
        raise unparsable(TOOL, first, 'column names (NAME …), KEY="value" pairs or JSON')
    columns = _columns(lines[heads[-1]])
    body = lines[heads[-1] + 1 :]
    rows = [line for line in body if _is_row(line)]
    if not rows:
        raise unparsable(TOOL, lines[heads[-1]], "devices below the names of their columns", "none")
    kept = {line.number for line in rows}
    ignored = [line.words for line in lines[: heads[0]]]
    ignored += [line.words for line in body if line.words and line.number not in kept]
    if _is_raw(lines[heads[-1]], columns, rows):
        return [(_row(line, _raw_cells(line, columns)), None) for line in rows], ignored
    return _tree(rows, columns), ignored


def _is_row(line: Line) -> bool:
    noise = is_prompt(line.words) or line.words in ("exit", "logout") or line.words.startswith("lsblk: ")
    return bool(line.words) and not noise


def _columns(line: Line) -> tuple[_Column, ...]:
    found = tuple(
        _Column(match[0].lower(), match.start(), match.end(), bool(_RIGHT.fullmatch(match[0].lower())))
        for match in re.finditer(r"\S+", line.text)
    )
    names = {column.name for column in found}
    known = all(column.right or _LEFT.fullmatch(column.name) for column in found)
    return found if known and names & set(_NAMES) else ()


def _is_raw(head: Line, columns: tuple[_Column, ...], rows: list[Line]) -> bool:
    """One blank between all cells, in the head and in each row; a table is padded somewhere."""
    return "  " not in head.text and all(
        len(line.text.split(" ")) <= len(columns) and line.text[:1].isalnum() for line in rows
    )


def _raw_cells(line: Line, columns: tuple[_Column, ...]) -> dict[str, str | None]:
    cells = line.text.split(" ")
    cells += [""] * (len(columns) - len(cells))
    return {
        column.name: cell.replace("\\x20", " ").strip() or None
        for column, cell in zip(columns, cells, strict=True)
    }


def _tree(rows: list[Line], columns: tuple[_Column, ...]) -> list[tuple[Row, int | None]]:
    """Rows by the depth of the lines drawn before the name, two characters for each level."""
    found: list[tuple[Row, int | None]] = []
    above: list[int] = []
    named = next(column.name for name in _NAMES for column in columns if column.name == name)
    for line in rows:
        cells = _cells(line, columns)
        drawn = cells[named] or ""
        prefix = _TREE.match(drawn)
        depth = len(prefix[0]) // 2 if prefix else 0
        cells[named] = drawn[len(prefix[0]) :].strip() if prefix else drawn.strip()
        if not cells[named]:  # a further mountpoint of the device above
            if not found:
                raise unparsable(TOOL, line, "a device's name")
            row, parent = found[-1]
            mounts = [cell for key, cell in cells.items() if key.startswith("mountpoint") and cell]
            found[-1] = (replace(row, mounts=(*row.mounts, *mounts)), parent)
            continue
        del above[depth:]
        parent = above[-1] if above else None
        above.append(len(found))
        found.append((_row(line, cells), parent))
    return found


def _cells(line: Line, columns: tuple[_Column, ...]) -> dict[str, str | None]:
    """The cells of a row by the alignment of their columns, taken from the right."""
    text = line.text
    cells: dict[str, str | None] = {}
    limit = len(text)
    for column in reversed(columns):
        if column.right:
            cell = _right_cell(text[: min(column.end, limit)], column)
            cells[column.name] = cell.strip() or cells.get(column.name)
            limit = min(limit, column.end - len(cell) if cell else column.start)
        else:
            if 0 < column.start < limit and not text[column.start - 1].isspace():
                raise unparsable(TOOL, line, "cells below the names of their columns")
            cell = text[column.start : limit] if column.start < limit else ""
            found = cell.rstrip() if column.name in _NAMES else cell.strip()
            cells[column.name] = found or cells.get(column.name)
            limit = min(limit, column.start)
    return cells


def _right_cell(text: str, column: _Column) -> str:
    """The cell that ends where its column's name does; a revision is padded to four characters."""
    told = text.rstrip()
    padding = column.end - len(told)
    if not told or padding < 0 or padding > (3 if column.name == "rev" else 0):
        return ""
    start = len(told)
    while start > 0 and not told[start - 1].isspace():
        start -= 1
    return told[start:] + " " * padding


def _row(line: Line, cells: dict[str, str | None]) -> Row:
    for name, pattern in _CELLS.items():
        cell = cells.get(name)
        if (cell is None and name == "type" and name in cells) or (cell and not pattern.match(cell)):
            raise unparsable(TOOL, line, f"a device with its {name.upper()}")
    if match := _OLD_MAPPER.match(cells.get("name") or ""):  # util-linux 2.17: `vg-root (dm-0)`
        cells = {**cells, "name": match[1], "kname": cells.get("kname") or match[2]}
    mount = cells.get("mountpoints") or cells.get("mountpoint")
    return Row(line.number, cells, (mount,) if mount else ())
