"""What a tool printed, as numbered lines or JSON documents, and how a parser refuses it.

Outputs of vendor tools come with banners, prompts, warnings, carriage returns and log lines around
the data. A parser for one of them should deal with the data only, and when it refuses a text it should
say at which line, what it expected there and what it found. All of that is here, and nothing about any
tool.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Final

from metal.errors import Unparsable

LIMIT_CHARACTERS: Final = 16 << 20
"""Longer than any tool's output; what is longer is no output but an accident."""
FOUND_CHARACTERS: Final = 120
IGNORED_CHARACTERS: Final = 200
IGNORED_TEXTS: Final = 50
QUOTED_LINES: Final = 3
"""Fewer lines with `>` in front may be prompts of a session, and say nothing of blanks before all of them."""

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_PROMPT = re.compile(r"\[[^\]\s]+@[^\]]+\] ?[#$]|[\w.-]+@[\w.-]+:\S* ?[#$](?: |$)|[#$] ")
_BLANKS = re.compile(r"[ \t]*")
_SEPARATORS = re.compile(r"[ \t,]*")
_COMMA_AT_END = re.compile(r'"(?:[^"\\]|\\.)*"|,(?=\s*[}\]])')
_POWERS: Final = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5, "e": 6}
_SIZE = re.compile(r"^([0-9][0-9,]{0,30}(?:\.[0-9]{1,20})?)\s*([kmgtpe]?)(i?)b(?:ytes?)?$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Line:
    """One line without its end: `number` counts from 1 in the text as it was given."""

    number: int
    text: str

    @property
    def words(self) -> str:
        """The line without blanks around it."""
        return self.text.strip()

    @property
    def indent(self) -> int:
        """How far it is indented, a tab up to the next multiple of eight."""
        opened = self.text.expandtabs(8)
        return len(opened) - len(opened.lstrip())


def lines_of(tool: str, text: str, *, longest: int | None = None) -> tuple[Line, ...]:
    """All lines, numbered, without terminal escapes and control characters.

    Raises Unparsable for a text without any word, for one that is longer than any output, and for a line
    of more than `longest` characters, which a tool that prints tables for people does not print.
    """
    if len(text) > LIMIT_CHARACTERS:
        raise unparsable(tool, None, f"at most {LIMIT_CHARACTERS} characters", f"{len(text)}")
    plain = _unquoted(_ESCAPES.sub("", text.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff")))
    if not plain.strip():
        raise unparsable(tool, 1, f"the output of {tool}", "nothing")
    plain = _outdented(plain)
    lines = tuple(Line(number, line.rstrip()) for number, line in enumerate(plain.split("\n"), start=1))
    long = next((line for line in lines if longest is not None and len(line.text) > longest), None)
    if long is not None:
        raise unparsable(tool, long, f"lines of at most {longest} characters")
    return lines


def breaks_off(text: str) -> bool:
    """Whether the last line has no end. Every tool ends it: here a transfer broke off, or a page lost it.

    So it proves a cut only where the words are missing, too, with which the tool ends what it has begun.
    """
    return not text.endswith(("\n", "\r"))


def _unquoted(plain: str) -> str:
    """The text of an answered mail, whose lines all begin with `>`; any other text as it is."""
    lines = plain.split("\n")
    told = [line for line in lines if line.strip()]
    if len(told) < QUOTED_LINES or not all(line.startswith(">") for line in told):
        return plain
    return "\n".join(line.removeprefix(">").removeprefix(" ") for line in lines)


def _outdented(plain: str) -> str:
    """The text of a page that shows it indented: without the blanks with which all of its lines begin."""
    lines = plain.split("\n")
    told = [line for line in lines if line.strip()]
    if len(told) < QUOTED_LINES or not all(line[0].isspace() for line in told):
        return plain
    # What the first and the last by their octets share, all between them share.
    shared = takewhile(
        lambda pair: pair[0] == pair[1] and pair[0].isspace(), zip(min(told), max(told), strict=False)
    )
    blanks = "".join(one for one, _ in shared)
    return "\n".join(line.removeprefix(blanks) for line in lines)


def unparsable(tool: str, line: Line | int | None, expected: str, found: str | None = None) -> Unparsable:
    """An error that says where: `storcli: line 12: expected …, found …`.

    `line` is None where the whole text is meant; `found` may be left out where a Line is given.
    """
    number = line.number if isinstance(line, Line) else line
    seen = line.words if found is None and isinstance(line, Line) else (found or "nothing")
    where = f"line {number}: " if number is not None else ""
    shown = seen if len(seen) <= FOUND_CHARACTERS else seen[:FOUND_CHARACTERS] + "…"
    return Unparsable(
        f"{tool}: {where}expected {expected}, found {shown!r}",
        reason="unparsable",
        hint="`rackflow parse` reads the same text again; send it with a report if it is whole",
    )


@dataclass(frozen=True, slots=True)
class Document:
    """One JSON value in a text, with the line that it begins at."""

    line: int
    value: Any


@dataclass(frozen=True, slots=True)
class Documents:
    """All JSON values of a text in order, and the lines around them that are none."""

    found: tuple[Document, ...]
    ignored: tuple[str, ...]


def json_documents(tool: str, text: str, *, opening: str = "{[") -> Documents:
    """Take every JSON object or array that begins a line, or follows another one; ignore other lines.

    Tools print warnings before, between and after their JSON, and some print several documents.
    Raises Unparsable with the line where a document that has begun cannot be read, as when it is cut off.
    """
    lines = lines_of(tool, text)
    plain = "\n".join(line.text for line in lines)
    decoder = json.JSONDecoder(strict=False)  # tools print tabs and line breaks inside texts
    found: list[Document] = []
    ignored: list[str] = []
    place, number = 0, 1
    while place < len(plain):
        start = _end_of(_BLANKS, plain, place)
        if plain[start : start + 1] and plain[start] in opening and not _is_prose(plain[start : start + 200]):
            value, stop = _decode(decoder, tool, plain, start)
            found.append(Document(number, value))
            number += plain.count("\n", place, stop)
            place = _end_of(_SEPARATORS, plain, stop)
            if plain[place : place + 1] == "\n":
                place, number = place + 1, number + 1
            continue
        end = plain.find("\n", place)
        end = len(plain) if end < 0 else end
        if plain[place:end].strip():
            ignored.append(plain[place:end])
        place, number = end + 1, number + 1
    return Documents(tuple(found), shorten(ignored))


def _end_of(pattern: re.Pattern[str], plain: str, place: int) -> int:
    match = pattern.match(plain, place)
    return match.end() if match else place


def _is_prose(words: str) -> bool:
    """Tell a prompt or log stamp (`[root@host ~]# …`, `[  12.5] …`) from the start of an array."""
    return bool(re.match(r"\[\s*[A-Za-z0-9_.:-]+[@ \]]", words)) and not re.match(
        r"\[\s*(-?\d+(\.\d+)?|true|false|null)\s*[,\]]", words
    )


def _decode(decoder: json.JSONDecoder, tool: str, plain: str, start: int) -> tuple[Any, int]:
    try:
        return _raw_decode(decoder, plain, start)
    except json.JSONDecodeError as error:
        number = plain.count("\n", 0, error.pos) + 1
        seen = plain[error.pos : error.pos + 40].split("\n", 1)[0].strip() or "the end of the text"
        raise unparsable(tool, number, f"JSON ({error.msg})", seen) from None
    except RecursionError:
        number = plain.count("\n", 0, start) + 1
        raise unparsable(tool, number, "JSON of a sane depth", "one that is nested too deep") from None
    except ValueError as error:  # an integer of thousands of digits
        number = plain.count("\n", 0, start) + 1
        raise unparsable(tool, number, "JSON numbers of a sane size", str(error)) from None


def _raw_decode(decoder: json.JSONDecoder, plain: str, start: int) -> tuple[Any, int]:
    """A document and where it ends; some firmware's last entry of a list is followed by a comma."""
    try:
        return decoder.raw_decode(plain, start)
    except json.JSONDecodeError:
        mended = _COMMA_AT_END.sub(_blank_or_text, plain[start:])
    return decoder.raw_decode(plain[:start] + mended, start)


def _blank_or_text(found: re.Match[str]) -> str:
    """A blank for a comma, so that places stay what they are; texts in quotes are left alone."""
    return " " if found[0] == "," else found[0]


def shorten(texts: list[str] | tuple[str, ...]) -> tuple[str, ...]:
    """Ignored lines as they are told: stripped, bounded in length and number."""
    told = [" ".join(text.split())[:IGNORED_CHARACTERS] for text in texts if text.strip()]
    if len(told) > IGNORED_TEXTS:
        told = [*told[:IGNORED_TEXTS], f"and {len(told) - IGNORED_TEXTS} more lines"]
    return tuple(told)


def size_bytes(text: str | None, *, decimal: bool = False) -> int | None:
    """Bytes of `446.625 GB`, `4 KB`, `931.0 GiB` or `512B`; None where the text is no size.

    Most RAID tools print GB and mean GiB, so a plain unit is binary unless the tool counts in
    thousands (`decimal`); an `i` always makes it binary.
    """
    match = _SIZE.match((text or "").strip())
    if not match:
        return None
    count, unit, binary = match.groups()
    base: int = 1000 if decimal and not binary else 1024
    power = _POWERS[unit.lower()]
    return round(float(count.replace(",", "")) * float(base**power))


def is_prompt(words: str) -> bool:
    """Whether a line is a shell's prompt with a command: `[root@host ~]# …`, `root@host:~# …`, `$ …`."""
    return bool(_PROMPT.match(words))


def key_value(line: Line, separator: str = ":") -> tuple[str, str] | None:
    """Key and value of `Key : value`, both stripped; None for a line without the separator or a key."""
    key, found, value = line.text.partition(separator)
    return (key.strip(), value.strip()) if found and key.strip() else None


def blocks(lines: tuple[Line, ...], first: re.Pattern[str]) -> Iterator[tuple[Line, ...]]:
    """Cut the lines into blocks that begin where the words match `first`; what is before is left out."""
    current: list[Line] = []
    for line in lines:
        if first.match(line.words):
            if current:
                yield tuple(current)
            current = [line]
        elif current:
            current.append(line)
    if current:
        yield tuple(current)


def number(text: str | None) -> int | None:
    """The integer that a text begins with; None where it begins with none. `0x` makes it hexadecimal."""
    match = re.match(r"\s*(0[xX][0-9a-fA-F]{1,16}|-?\d{1,18})(?![\d.])", text or "")
    return int(match[1], 0 if match[1][:2].lower() == "0x" else 10) if match else None


def one_line(text: str | None) -> str | None:
    """A text with runs of blanks as one; None where nothing is left."""
    return " ".join((text or "").split()) or None


_USER_PROMPT = re.compile(
    r"^(?:#\s*)?\[?(?:[\w.-]{1,64}@[^#$>]{1,200}|[\w.-]{1,64}:[~/][^#$>]{0,200}|[A-Za-z]:\\[^>]{0,200}|=)[#$>]\s*(.*)$"
)
_BARE_PROMPT = re.compile(r"^[#$>%]\s*(.*)$")
_PATH = re.compile(r"^((?:sudo\s+|/)\S.*)$")


def command_of(line: Line, names: tuple[str, ...]) -> str | None:
    """What was typed at a prompt in a recorded session, "" for an empty prompt; None for other lines.

    `root@host:~# …`, `[root@host ~]# …` and `=> …` are prompts before any command; a bare `#`, `$` or `>`,
    or none at all before a path, only with a first word whose file name begins with one of `names`,
    because tools begin lines so too ("# of ports: 3").
    """
    if match := _USER_PROMPT.match(line.words):
        return match[1].strip()
    match = _BARE_PROMPT.match(line.words) or _PATH.match(line.words)
    if match and not match[1]:
        return ""
    words = match[1].split() if match else []
    words = words[1:] if words[:1] == ["sudo"] else words
    if words and words[0].rpartition("/")[2].lower().startswith(names):
        return " ".join(words)
    return None
