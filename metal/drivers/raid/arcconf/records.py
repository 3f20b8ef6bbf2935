"""Lines of arcconf as records: controllers, arrays, logical devices, physical devices, tasks.

Headings begin records ("Logical Device number 0", "Device #3"), titles between rules begin sections, and
indentation says nothing: it differs between versions and is lost in some copies. A key ends at the first
colon that a blank follows, for keys hold colons ("Reported Channel,Device(T:L)").
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from metal.drivers.raid.arcconf.vocabulary import COMPLETED, FAILED
from metal.drivers.tool_text import Line

Kind = Literal[
    "controller", "listed", "version", "array", "volume", "drive", "volume-task", "drive-task", "other"
]


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table in a record: `Segment 0 : Present (0,0) SERIAL`."""

    name: str
    number: str
    text: str


@dataclass(frozen=True, slots=True)
class Record:
    """One thing; `fields` by key in lower case, the first that is printed; `rows` are of its tables."""

    kind: Kind
    line: Line
    number: str | None = None
    fields: dict[str, str] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    """Lines without a colon: "Device is a Hard drive"."""


@dataclass(slots=True)
class Output:
    """What one command printed; `ended` is whether it says how it ended."""

    line: Line
    prompt: str | None
    controllers_found: int | None = None
    records: list[Record] = field(default_factory=list)
    sentences: list[Line] = field(default_factory=list)
    lists_volumes: bool = False
    lists_drives: bool = False
    completed: bool = False
    failed: bool = False
    section: str = ""
    columns: str = "Status, Slot, Mode, Name, SerialNumber, WWN"
    """Of LIST, as its head names them."""

    @property
    def ended(self) -> bool:
        """Whether the text of the command is whole."""
        return self.completed or self.failed


@dataclass(slots=True)
class Reading:
    """The outputs of a session while its lines are read."""

    outputs: list[Output] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    recognised: bool = False
    record: Record | None = None
    prompt: str | None = None
    after_rule: bool = False

    def output(self, line: Line, *, new: bool = False) -> Output:
        """The output that is being read; a new one where the last one has ended."""
        if new or not self.outputs or self.outputs[-1].ended:
            self.outputs.append(Output(line, self.prompt))
            self.record = None
        return self.outputs[-1]

    def begin(self, kind: Kind, line: Line, number: str | None = None) -> Record:
        """Begin a record."""
        output = self.output(line)
        self.record = Record(kind, line, number)
        output.records.append(self.record)
        return self.record


_Take = Callable[[Reading, re.Match[str], Line], None]
_PROMPT_CHARACTERS: Final = 400
_BROKEN_CHARACTERS: Final = 400
"""Longer than the longest row; what is open then is no row."""
_PROMPT = re.compile(
    r"^(?:(?:\[[^\]]{1,100}\]|\S{0,100})\s?[#$>]\s?|#\s*\*{0,2}Output of )?`?(?:sudo )?"
    r"\S{0,200}arcconf(?:\.exe)?`?\s+\w",
    re.IGNORECASE,
)
_SHELL = re.compile(r"^(?:\[[^\]]{1,100}\]|\S{1,60}@\S{1,60}?[:~]\S{0,60})\s?[#$](?:\s|$)|^[#$>]\s+\S")
_ROW = re.compile(r"^(?:Group (\d{1,3}), )?(Segment|Device|Logical) (\d{1,4})$", re.IGNORECASE)


def read(lines: tuple[Line, ...]) -> Reading:
    """All outputs of a text."""
    reading = Reading()
    for line in _whole(lines):
        words = " ".join(line.words.split())
        if not words:
            continue
        if not words.strip("-=") and len(words) >= 3:
            reading.after_rule = True
            continue
        _take(reading, line, words)
        reading.after_rule = False
    return reading


def _whole(lines: tuple[Line, ...]) -> Iterator[Line]:
    """The lines; one that a terminal broke within brackets with what follows of it."""
    broken: Line | None = None
    for line in lines:
        if broken is not None and line.words and " : " not in line.text and line.words.strip("-="):
            line = Line(broken.number, f"{broken.text} {line.words}")  # noqa: PLW2901
        elif broken is not None:
            yield broken
        broken = line if is_open(line) and len(line.text) <= _BROKEN_CHARACTERS else None
        if broken is None:
            yield line
    if broken is not None:
        yield broken


def is_open(line: Line) -> bool:
    """Whether a line has a bracket that it does not close."""
    return line.words.count("(") > line.words.count(")")


def _take(reading: Reading, line: Line, words: str) -> None:
    if is_prompt(words):
        reading.ignored.append(words)
        reading.prompt = words
        if reading.outputs and not reading.outputs[-1].ended and reading.outputs[-1].prompt != words:
            reading.output(line, new=True)
        return
    for pattern, take in _HEADINGS:
        match = pattern.match(words)
        if match:
            take(reading, match, line)
            return
    if reading.after_rule and not words.endswith(":") and ": " not in words:
        _section(reading, words, line)
        return
    _take_field(reading, line, words)


def is_prompt(words: str) -> bool:
    """Whether somebody typed it: arcconf with a command, or anything after a prompt."""
    if len(words) > _PROMPT_CHARACTERS:
        return False
    return bool(_PROMPT.match(words) or _SHELL.match(words))


def key_and_value(words: str) -> tuple[str, str] | None:
    """Key and value of a line, apart at the first colon before a blank, else at the first one."""
    place = words.find(": ")
    if place < 0:
        place = len(words) - 1 if words.endswith(":") else words.find(":")
    key = words[: max(place, 0)].strip()
    return (key, words[place + 1 :].strip()) if key else None


def _found(reading: Reading, match: re.Match[str], line: Line) -> None:
    reading.output(line, new=True).controllers_found = int(match[1])
    reading.recognised = True


def _completed(reading: Reading, _match: re.Match[str], line: Line) -> None:
    reading.output(line).completed = True
    reading.record, reading.recognised = None, True


def _failed(reading: Reading, _match: re.Match[str], line: Line) -> None:
    output = reading.output(line)
    output.failed = True
    output.sentences.append(line)
    reading.record, reading.recognised = None, True


def _volume(reading: Reading, match: re.Match[str], line: Line) -> None:
    reading.begin("volume", line, match[1])
    reading.output(line).lists_volumes = reading.recognised = True


def _array(reading: Reading, match: re.Match[str], line: Line) -> None:
    reading.begin("array", line, match[1])
    reading.recognised = True


def _drive(reading: Reading, match: re.Match[str], line: Line) -> None:
    reading.begin("drive", line, match[1])


def _listed(reading: Reading, match: re.Match[str], line: Line) -> None:
    record = reading.begin("listed", line, match[1])
    record.fields.update({"columns": reading.output(line).columns, "row": match[2]})
    reading.record, reading.recognised = None, True


def _version(reading: Reading, match: re.Match[str], line: Line) -> None:
    reading.begin("version", line, match[1])


def _task(reading: Reading, match: re.Match[str], line: Line) -> None:
    kinds: dict[str, Kind] = {"logical": "volume-task", "physical": "drive-task"}
    reading.begin(kinds.get(match[1].lower(), "other"), line)
    reading.recognised = True


def _other(reading: Reading, _match: re.Match[str], line: Line) -> None:
    reading.record = Record("other", line)


def _banner(reading: Reading, _match: re.Match[str], line: Line) -> None:
    reading.ignored.append(line.words)
    reading.recognised = True


_HEADINGS: Final[tuple[tuple[re.Pattern[str], _Take], ...]] = tuple(
    (re.compile(pattern, re.IGNORECASE), take)
    for pattern, take in (
        (r"Controllers found ?: ?(\d{1,4})$", _found),
        (COMPLETED.pattern, _completed),
        (FAILED.pattern, _failed),
        (r"Logical (?:device|drive) number (\d{1,6})$", _volume),
        (r"Array Number (\d{1,6})$", _array),
        (r"Device #(\d{1,6})$", _drive),
        (r"Controller (\d{1,4}): ?: ?(\S.*)$", _listed),
        (r"Controller #(\d{1,4})$", _version),
        (r"(Logical|Physical|Controller|maxCache) ?(?:device|drive)? Task:?$", _task),
        (r"(?:maxCache \w+ number \d|(?:Connector|Channel|Expander|Enclosure) #\d|Backplane:)", _other),
        (r"\| (?:ARCCONF|UCLI) \|", _banner),
    )
)
"""Lines that begin or end something, of arcconf 4 (ServeRAID) to 4.2x (SmartRAID)."""

_SECTIONS: Final[tuple[tuple[str, Kind | None], ...]] = (
    # Titles of their own; any other title between rules stays with the record that it stands in.
    ("controller information", "controller"),
    ("logical device information", None),
    ("logical drive information", None),
    ("physical device information", None),
    ("array information", None),
    ("connector information", "other"),
    ("maxcache", "other"),
)


def _section(reading: Reading, words: str, line: Line) -> None:
    title = words.lower()
    output = reading.output(line)
    output.section = title
    for beginning, kind in _SECTIONS:
        if not title.startswith(beginning) or (kind == "other" and "propert" in title):
            continue
        output.lists_volumes = output.lists_volumes or title.startswith("logical d")
        output.lists_drives = output.lists_drives or title.startswith("physical d")
        reading.record = None
        if kind == "other":
            reading.record = Record("other", line)
        elif kind is not None:
            reading.begin(kind, line)
        return


def _take_field(reading: Reading, line: Line, words: str) -> None:
    parts = key_and_value(words)
    record = reading.record
    if record is None:
        _loose_field(reading, line, parts)
    elif parts is None:
        record.words.append(words)
    elif (row := _ROW.match(parts[0])) is not None and record.kind in {"volume", "array"}:
        record.rows.append(Row(row[2].lower(), row[3], parts[1]))
    else:
        key = parts[0].lower()
        if key == "controller id":
            reading.output(line).columns = parts[1]
        if key == "status" and record.kind == "controller":
            key = f"{reading.output(line).section} status"
        record.fields.setdefault(key, parts[1])


def _loose_field(reading: Reading, line: Line, parts: tuple[str, str] | None) -> None:
    """A line outside any record: what GETSTATUS says of nothing, a controller without a title, a sentence."""
    output = reading.output(line)
    key = parts[0].lower() if parts else ""
    if key == "current operation":
        reading.recognised = True
        output.lists_volumes = False
        output.records.append(Record("volume-task", line))
    elif key in {"controller status", "controller mode"} and parts:
        reading.begin("controller", line).fields[key] = parts[1]
        reading.recognised = True
    else:
        output.sentences.append(line)
