"""`Key : value` tables of ipmitool, with the lines of other things told apart.

The same text may hold a prompt, warnings of stderr ("Get HPM.x Capabilities request failed") and
several tables; a later table's values hold. A line belongs to a table if its key is one that the
command prints, or if it continues the line above: indented, or without a key.
"""

import csv
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from metal.drivers.tool_text import Line, key_value, lines_of, shorten, unparsable

_PROMPT: Final = re.compile(r"[#$>] ")


@dataclass(frozen=True, slots=True)
class Table:
    """Values by their key in lower case, and the lines that are not of the table."""

    values: dict[str, str]
    ignored: tuple[str, ...]

    def get(self, key: str) -> str | None:
        """A value; None where the line is missing or empty."""
        return self.values.get(key.lower()) or None


def read_table(tool: str, text: str, keys: Collection[str], expected: str) -> Table:
    """Read the lines with some keys (lower case). Raises Unparsable where there is none of them."""
    values: dict[str, str] = {}
    ignored: list[str] = []
    lines = lines_of(tool, text)
    for line in lines:
        pair = key_value(line)
        key = pair[0].lower() if pair else ""
        if pair and key in keys:
            values[key] = pair[1]
        elif line.words and not (line.words.startswith(":") or (values and line.indent)):
            ignored.append(line.words)
    if not values:
        raise unparsable(tool, next(line for line in lines if line.words), expected)
    return Table(values, shorten(ignored))


def refuse_half_row(tool: str, lines: tuple[Line, ...], read: Callable[[Line], object | None]) -> None:
    """Refuse a text whose last line has a row's bars and is no row: it is cut off there.

    A prompt with a pipe at the end of a session is none.
    """
    last = next((line for line in reversed(lines) if line.words), None)
    if last and "|" in last.words and read(last) is None and not _PROMPT.search(last.words.split("|")[0]):
        raise unparsable(tool, last, "a whole row")


def csv_cells(line: Line) -> tuple[str, ...]:
    """The cells of a line of CSV, stripped; none where it is no CSV (a field beyond any size)."""
    if "," not in line.text:
        return ()
    try:
        return tuple(cell.strip() for cell in next(csv.reader([line.text]), []))
    except csv.Error:
        return ()
