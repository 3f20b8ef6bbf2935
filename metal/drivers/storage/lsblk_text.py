"""lsblk's text in any of its forms, as rows: JSON, `-P` pairs, and the tables (tree, list, raw).

Columns are named as in JSON, lower case; a value is a text, None where lsblk has none. util-linux before
2.33 writes numbers and booleans as texts, so that is what all of them are here.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from metal.drivers.storage import lsblk_table
from metal.drivers.storage.lsblk_table import TOOL, Row
from metal.drivers.tool_text import Document, Line, is_prompt, json_documents, lines_of, shorten, unparsable

LIMIT_DEPTH: Final = 50
"""Deeper than any stack of devices; a bound, because rows below rows are walked by recursion."""

_PAIR = re.compile(r'([A-Za-z][A-Za-z0-9:_%-]*)="((?:[^"\\]|\\.)*)"')
_PAIRS = re.compile(r'^(?:(?:[A-Za-z][A-Za-z0-9:_%-]*="(?:[^"\\]|\\.)*"|[A-Z][A-Z0-9:_%-]*)(?:\s+|$))+$')
_PAIRS_BEGIN = re.compile(r'^[A-Z][A-Z0-9:_%-]*="')
_ESCAPED = re.compile(r"(?:\\x[0-9a-fA-F]{2})+")
_SHELL_NAMES: Final = {"maj_min": "maj:min", "fsuse_pct": "fsuse%"}
"""`-y` (util-linux 2.38) writes keys that a shell takes."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows that hang below no other, and the lines that are none."""

    found: tuple[Row, ...]
    ignored: tuple[str, ...] = ()


def read_rows(text: str) -> Rows:
    """Rows of the last listing in a text; Unparsable where there is none, or one that is cut off."""
    lines = lines_of(TOOL, text)
    if any(line.words[:1] == "{" for line in lines):
        return _json_rows(text)
    if any(_PAIRS_BEGIN.match(line.words) for line in lines):
        return _pair_rows(lines)
    table, ignored = lsblk_table.read_table(lines)
    return Rows(_nested(table), shorten(ignored))


def _json_rows(text: str) -> Rows:
    documents = json_documents(TOOL, text)
    listings = [one for one in documents.found if isinstance(one.value, dict) and "blockdevices" in one.value]
    if not listings:
        line = documents.found[0].line if documents.found else 1
        raise unparsable(TOOL, line, "an object with blockdevices", "other JSON")
    last = listings[-1]
    return Rows(_json_list(last.value["blockdevices"], last, 0), documents.ignored)


def _json_list(rows: Any, document: Document, depth: int) -> tuple[Row, ...]:
    if not isinstance(rows, list) or depth > LIMIT_DEPTH:
        raise unparsable(TOOL, document.line, "a list of devices", type(rows).__name__)
    return tuple([_json_row(row, document, depth) for row in rows])


def _json_row(row: Any, document: Document, depth: int) -> Row:
    if not isinstance(row, dict):
        raise unparsable(TOOL, document.line, "a device with its columns", type(row).__name__)
    mounts = row.get("mountpoints") or [row.get("mountpoint")]
    if not isinstance(mounts, list):
        raise unparsable(TOOL, document.line, "a list of mountpoints", type(mounts).__name__)
    values = {
        str(key).lower(): str(value).strip() or None
        for key, value in row.items()
        if value is not None and not isinstance(value, list | dict)
    }
    return Row(
        line=document.line,
        values=values,
        mounts=tuple(str(mount) for mount in mounts if mount),
        children=_json_list(row.get("children") or [], document, depth + 1),
    )


def _pair_rows(lines: tuple[Line, ...]) -> Rows:
    """`NAME="sda" …` lines; PKNAME, where it is asked for, says what hangs below what."""
    flat: list[Row] = []
    ignored: list[str] = []
    for line in lines:
        if is_prompt(line.words):
            flat = []  # what follows is another listing
        if _PAIRS.match(line.words) and _PAIR.search(line.words):
            values = {_column(key): _plain(value) for key, value in _PAIR.findall(line.words)}
            mounts = (values.get("mountpoints") or values.get("mountpoint") or "").split("\n")
            flat.append(Row(line.number, values, tuple(mount for mount in mounts if mount)))
        elif _PAIRS_BEGIN.match(line.words):
            raise unparsable(TOOL, line, 'KEY="value" pairs to the end of the line')
        elif line.words:
            ignored.append(line.words)
    return Rows(_nested([(row, None) for row in flat]), shorten(ignored))


def _column(key: str) -> str:
    name = key.lower()
    return _SHELL_NAMES.get(name, name.replace("_", "-"))


def _plain(value: str) -> str | None:
    r"""A value without the `\x20` escapes that udev and lsblk write."""
    plain = _ESCAPED.sub(
        lambda match: bytes.fromhex(match[0].replace("\\x", "")).decode(errors="replace"), value
    )
    return plain.strip() or None


def _nested(flat: list[tuple[Row, int | None]]) -> tuple[Row, ...]:
    """Rows below their parents: the row that a number names, or else the last one before of PKNAME's name."""
    parents: list[int | None] = []
    depths: list[int] = []
    by_name: dict[str, int] = {}
    for place, (row, parent) in enumerate(flat):
        above = parent if parent is not None else by_name.get(_kernel_name(row.values.get("pkname")) or "")
        depth = depths[above] + 1 if above is not None else 0
        if depth > LIMIT_DEPTH:
            raise unparsable(TOOL, row.line, f"devices at most {LIMIT_DEPTH} deep", "deeper ones")
        parents.append(above)
        depths.append(depth)
        by_name[_kernel_name(row.values.get("kname") or row.values.get("name")) or ""] = place
        by_name.pop("", None)
    children: dict[int | None, list[Row]] = {}
    for place in reversed(range(len(flat))):
        row = replace(flat[place][0], children=tuple(reversed(children.pop(place, []))))
        children.setdefault(parents[place], []).append(row)
    return tuple(reversed(children.pop(None, [])))


def _kernel_name(text: str | None) -> str | None:
    return text.removeprefix("/dev/") if text else None


def flag(values: Mapping[str, str | None], column: str) -> bool | None:
    """A column of 0 and 1, or false and true."""
    return {"1": True, "true": True, "0": False, "false": False}.get(str(values.get(column)).lower())
