"""Processors from /proc/cpuinfo and from lscpu, as text, as JSON (`-J`) and as a list (`-p`).

/proc/cpuinfo differs by architecture: x86 names sockets (`physical id`) and cores, POWER the model as
`cpu`, ARM often no model at all, IBM Z counts in one line. Counts are totals of the machine.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from metal.drivers.identity.lscpu_words import english, in_english
from metal.drivers.parsed import Parsed
from metal.drivers.tool_text import (
    Line,
    json_documents,
    key_value,
    lines_of,
    number,
    one_line,
    shorten,
    unparsable,
)

TOOL: Final = "cpuinfo"

_MOST: Final = 1 << 20
"""More processors than any machine has; a larger number is no count."""
_MODEL_KEYS: Final = ("model name", "cpu model", "cpu")
"""x86 and ARM; MIPS; POWER and SPARC."""
_LSCPU_KEYS: Final = frozenset({"architecture", "cpu(s)", "socket(s)", "core(s) per socket", "model name"})
_UNKNOWN: Final = ("", "-", "unknown")
_LIST_HEADER = re.compile(r"#\s*CPU,", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class CpuInfo:
    """The machine's processors; each model is named once, the architecture as printed."""

    sockets: int | None
    cores: int | None
    threads: int | None
    models: tuple[str, ...]
    architecture: str | None


def parse(text: str) -> Parsed[CpuInfo]:
    """Tell the forms apart by their first line of data."""
    lines = lines_of(TOOL, text)
    if any(line.words.startswith("{") for line in lines):
        return _parse_json(text)
    lines = in_english(lines)
    keys = {pair[0].lower() for line in lines if (pair := key_value(line))}
    if "cpu(s)" in keys or "architecture" in keys:
        return _parse_lscpu(lines)
    header = next((place for place, line in enumerate(lines) if _LIST_HEADER.match(line.words)), None)
    if header is not None:
        return _parse_list(lines, header)
    return _parse_proc(lines)


def _parse_json(text: str) -> Parsed[CpuInfo]:
    """`{"lscpu": [{"field": "Socket(s):", "data": "2"}, …]}`, nested since util-linux 2.37."""
    read = json_documents(TOOL, text, opening="{")
    tables = [(one.line, one.value["lscpu"]) for one in read.found if "lscpu" in one.value]
    if not tables:
        raise unparsable(TOOL, 1, "an object 'lscpu'", "other JSON")
    line, rows = tables[-1]
    fields = list(_fields(rows, line))
    if not fields:
        raise unparsable(TOOL, line, "a list of fields", "an empty one")
    return Parsed(_from_lscpu(fields), read.ignored)


def _fields(rows: Any, line: int) -> Iterator[tuple[str, str]]:
    """All fields, those of children too."""
    waiting = [rows]
    while waiting:
        rows = waiting.pop()
        if not isinstance(rows, list):
            raise unparsable(TOOL, line, "a list of fields", str(type(rows).__name__))
        for row in rows:
            if not isinstance(row, dict) or not isinstance(row.get("field"), str):
                raise unparsable(TOOL, line, "an object with 'field' and 'data'", str(row)[:80])
            data = row.get("data")
            yield english(row["field"]), "" if data is None else str(data).strip()
            if row.get("children"):
                waiting.append(row["children"])


def _parse_lscpu(lines: tuple[Line, ...]) -> Parsed[CpuInfo]:
    pairs = [(pair[0].lower(), pair[1]) for line in lines if (pair := key_value(line))]
    if not _LSCPU_KEYS & {key for key, value in pairs if value}:
        raise unparsable(TOOL, lines[0], "lscpu's 'Architecture' or 'CPU(s)' with a value")
    ignored = [line.words for line in lines if not key_value(line)]
    return Parsed(_from_lscpu(pairs), shorten(ignored))


def _from_lscpu(pairs: Iterable[tuple[str, str]]) -> CpuInfo:
    """Counts per level multiplied: a mainframe has books and drawers above its sockets, ARM clusters."""
    pairs = tuple(pairs)
    fields = {key: value for key, value in pairs if value not in _UNKNOWN}
    sockets = _product(
        fields,
        ("socket(s)",),
        ("cpu socket(s)",),
        ("socket(s) per book", "book(s) per drawer", "drawer(s)"),
        ("socket(s) per book", "book(s)"),
    )
    per_socket = _count(fields.get("core(s) per socket"))
    cores = sockets * per_socket if sockets and per_socket else None
    return CpuInfo(
        sockets=sockets,
        cores=cores or _product(fields, ("core(s) per cluster", "cluster(s)")),
        threads=_count(fields.get("cpu(s)")),
        models=_named(pairs, "model name") or _named(pairs, "bios model name"),
        architecture=fields.get("architecture"),
    )


def _named(pairs: Iterable[tuple[str, str]], name: str) -> tuple[str, ...]:
    """The models that a field names; the firmware's own name is all that there is of some ARM processors."""
    return _once(value for key, value in pairs if key == name and value not in _UNKNOWN)


def _product(fields: Mapping[str, str], *ways: tuple[str, ...]) -> int | None:
    """The product of the first way whose fields are all known."""
    for way in ways:
        counts = [_count(fields.get(key)) for key in way]
        if all(counts):
            product = 1
            for count in counts:
                product *= count or 1
            return product
    return None


def _parse_list(lines: tuple[Line, ...], header: int) -> Parsed[CpuInfo]:
    """`lscpu -p`: a row per thread, `CPU,Core,Socket,Node,…`; cores are numbered through the machine."""
    names = [name.strip().lower() for name in lines[header].words.lstrip("# ").split(",")]
    rows = [
        dict(zip(names, line.words.split(","), strict=False))
        for line in lines[header + 1 :]
        if re.match(r"\d+,", line.words)
    ]
    if not rows:
        raise unparsable(TOOL, lines[header].number + 1, "a row of numbers", "the end of the list")
    counts = {name: len({row[name] for row in rows if row.get(name)}) or None for name in ("core", "socket")}
    ignored = [line.words for line in lines[:header] if not line.words.startswith("#")]
    return Parsed(CpuInfo(counts["socket"], counts["core"], len(rows), (), None), shorten(ignored))


def _parse_proc(lines: tuple[Line, ...]) -> Parsed[CpuInfo]:
    """A block per thread, begun by `processor : N`; of two with one number, in a session, the last holds."""
    numbered: dict[str, dict[str, str]] = {}
    around: dict[str, str] = {}
    ignored: list[str] = []
    for line in lines:
        pair = key_value(line)
        if pair is None:
            ignored.append(line.words)
        elif (pair[0].lower() == "processor" and pair[1].isdecimal()) or _IBM_Z.match(pair[0]):
            thread = pair[1] if pair[0].lower() == "processor" else pair[0]
            numbered.pop(thread, None)
            numbered[thread] = {}
        else:
            (next(reversed(numbered.values())) if numbered else around).setdefault(pair[0].lower(), pair[1])
    threads = list(numbered.values())
    counted = next((count for key in _COUNT_KEYS if (count := number(around.get(key)))), None)
    if not threads and not counted and not around.keys() >= _ALONE:
        raise unparsable(
            TOOL, next(line for line in lines if line.words), "a line 'processor : 0' or lscpu's"
        )
    named = [
        next((thread[key] for key in (*_MODEL_KEYS, "processor") if thread.get(key)), None)
        for thread in (around, *threads)
    ]
    sockets, cores = _cores(threads)
    value = CpuInfo(sockets, cores, len(threads) or counted, _once(name for name in named if name), None)
    return Parsed(value, shorten(ignored))


_COUNT_KEYS: Final = ("# processors", "ncpus active", "cpus active", "cpus detected")
"""How many threads there are, of IBM Z, SPARC and Alpha, which have no block per thread."""
_ALONE: Final = frozenset({"processor", "bogomips", "features"})
"""An ARM kernel for one processor names it and counts nothing (`Processor : Feroceon … rev 1 (v5l)`)."""
_IBM_Z = re.compile(r"processor \d+$")
"""`processor 0: version = FF, …` of IBM Z."""


def _cores(threads: list[dict[str, str]]) -> tuple[int | None, int | None]:
    """Sockets and cores; the kernel's count per socket holds over the listed ones, if a text is short."""
    sockets: dict[str, set[str]] = {}
    told: dict[str, int] = {}
    for thread in threads:
        socket = thread.get("physical id")
        if socket is None:
            continue
        sockets.setdefault(socket, set()).update({thread["core id"]} if "core id" in thread else ())
        if count := _count(thread.get("cpu cores")):
            told[socket] = count
    counts = [told.get(socket) or len(cores) for socket, cores in sockets.items()]
    return len(sockets) or None, sum(counts) if counts and all(counts) else None


def _count(text: str | None) -> int | None:
    count = number(text)
    return count if count is not None and 0 < count <= _MOST else None


def _once(names: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words for name in names if (words := one_line(name))))
