"""Any text of mdadm or /proc/mdstat: cut into its parts, each read by its own grammar.

A recorded session holds several of them; what is between is ignored.
"""

import re
from collections.abc import Callable, Iterator
from typing import Final, Literal

from metal.drivers.parsed import Parsed
from metal.drivers.raid import md_export, md_stat
from metal.drivers.raid.md_array import TOOL, MdArray, MdListing, merged
from metal.drivers.raid.md_detail import read_detail
from metal.drivers.raid.md_examine import read_examine
from metal.drivers.tool_text import Line, breaks_off, is_prompt, lines_of, shorten, unparsable

Form = Literal["block", "mdstat", "export", "array"]

LIMIT_LINE: Final = 4096
"""Longer than any line of them, also with hundreds of members."""

_BLOCK = re.compile(r"^(/\S+):$")
_MESSAGE = re.compile(r"^mdadm:\s")
_NOTHING = re.compile(
    r"^mdadm: (?:No md superblock detected on |.* does not appear to be (?:an md device|active))"
)
"""What `--examine` says of a device that is in no array, and `--detail` of what is no running one."""
_MAGIC = re.compile(r"^\s*(?:MBR )?Magic\s*:", re.MULTILINE)
_STARTS: Final[tuple[tuple[Form, re.Pattern[str]], ...]] = (
    ("block", _BLOCK),
    ("mdstat", md_stat.HEAD),
    ("mdstat", md_stat.ARRAY),
    ("export", md_export.PAIR),
    ("array", md_export.ARRAY),
)


def parse(text: str) -> Parsed[MdListing]:
    """All arrays of `--detail`, `--examine`, `--export`, ARRAY lines and /proc/mdstat."""
    lines = lines_of(TOOL, text, longest=LIMIT_LINE)
    parts, ignored, nothing = _parts(lines)
    if not parts and not nothing:
        first = next(line for line in lines if line.words)
        raise unparsable(TOOL, first, "'/dev/…:', 'Personalities :', MD_… or ARRAY")
    if parts and breaks_off(text):
        _refuse_broken_table(*parts[-1])
    arrays = [array for form, part in parts for array in _READERS[form](part)]
    return Parsed(MdListing(merged(arrays)), ignored=shorten(ignored))


def _refuse_broken_table(form: Form, part: tuple[Line, ...]) -> None:
    """Refuse a table of the kernel's that begins with its first line and not ends with its last."""
    if form == "mdstat" and md_stat.HEAD.match(part[0].words) and not md_stat.UNUSED.match(part[-1].words):
        raise unparsable(TOOL, part[-1], "'unused devices:' at the end")


def _parts(lines: tuple[Line, ...]) -> tuple[list[tuple[Form, tuple[Line, ...]]], list[str], bool]:
    parts: list[tuple[Form, list[Line]]] = []
    ignored: list[str] = []
    nothing = within = False
    for line in lines:
        if is_prompt(line.words) or _MESSAGE.match(line.words):
            ignored.append(line.words)
            nothing |= bool(_NOTHING.match(line.words))
            within = within and not is_prompt(line.words)
            continue
        form = next((form for form, pattern in _STARTS if pattern.match(line.words)), None)
        if within and _belongs(parts[-1][0], form, line):
            parts[-1][1].append(line)
        elif form:
            parts.append((form, [line]))
            within = True
        elif line.words:
            ignored.append(line.words)
        if within and md_stat.UNUSED.match(line.words):
            within = False
    return [(form, tuple(part)) for form, part in parts], ignored, nothing


def _belongs(current: Form, form: Form | None, line: Line) -> bool:
    """Whether a line is of the current part; `form` is what it could start.

    An ARRAY goes on where it is indented, an export as long as there are MD_ lines.
    """
    if form is not None:
        return current == form == "export" or (current == form and bool(md_stat.ARRAY.match(line.words)))
    return not line.words or current in ("block", "mdstat") or (current == "array" and line.indent > 0)


def _block(lines: tuple[Line, ...]) -> Iterator[MdArray]:
    match = _BLOCK.match(lines[0].words)
    below = tuple(line for line in lines[1:] if line.words)
    if match is None or not below:
        raise unparsable(TOOL, lines[0], "the fields of an array below its device")
    if any(_MAGIC.match(line.text) for line in below):
        yield from read_examine(match[1], below)
    else:
        yield read_detail(match[1], below)


def _exports(lines: tuple[Line, ...]) -> Iterator[MdArray]:
    return md_export.read_exports(tuple(line for line in lines if line.words))


def _array_line(lines: tuple[Line, ...]) -> Iterator[MdArray]:
    words = tuple(line for line in lines if line.words)
    yield md_export.read_array_line(words)


_READERS: Final[dict[Form, Callable[[tuple[Line, ...]], Iterator[MdArray]]]] = {
    "block": _block,
    "mdstat": md_stat.read_mdstat,
    "export": _exports,
    "array": _array_line,
}
