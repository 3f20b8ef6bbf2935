"""storcli's text form, and recorded sessions with prompts between the answers.

    CLI Version = 007.1017.0000.0000 May 10, 2019
    Operating system = Linux 5.10.0
    Controller = 0
    Status = Success
    Description = None

    Product Name = …

    PD LIST :
    =======
    (a table, then a legend `EID=Enclosure Device ID|…`)

1.x has no lines before Controller. An answer begins at these lines or at a prompt with a command. What
is cut off is refused: a table without its last ruler, a title without content, a head without Status.
"""

import re
from dataclasses import dataclass, field
from typing import Final

from metal.drivers.raid.storcli.answers import TOOL, Answer, Row, Section, stated
from metal.drivers.raid.storcli.tables import is_header, is_ruler, row_reader
from metal.drivers.tool_text import Line, breaks_off, lines_of, number, shorten, unparsable

_COMMAND = re.compile(
    r"(?:^|[\s/\\])(?:storcli|perccli)(?:2|64)*(?:\.exe)?\s+"
    r"(?P<command>(?:/c|show\b|add\b|help\b|version\b|-|\?).*)$",
    re.IGNORECASE,
)
_BANNER = re.compile(
    r"(?:stor ?cli|perc ?cli|storage|perc).*(?:command line tool|customization utility).*\bver", re.IGNORECASE
)
_SYNTAX = re.compile(r"syntax error|invalid command|unexpected token", re.IGNORECASE)
_BANNER_CHARACTERS: Final = 200
_GLUED = re.compile(
    r"(?P<key>Controller|Product Name|Serial Number|Status|Description|(?:Bus|Device|Function) Number)"
    r"\s*=\s*(?P<value>.*)$"
)
_UNDERLINE = re.compile(r"={2,}")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2} ?){8,}")
_HEAD: Final = ("CLI Version", "Operating system", "Controller", "Status Code", "Status", "Description")
_IDENTITY: Final = frozenset({"Product Name", "Model", "Serial Number", "Bus Number", "PCI Address"})
_STATUSES: Final = frozenset({"success", "failure", "failed"})
_LISTS: Final = (("Physical Drives", "EID:Slt"), ("JBOD Drives", "EID:Slt"), ("Virtual Drives", "DG/VD"))
"""What `show` counts before it lists it, and the column that each list has."""
_ENCLOSURES: Final = "Enclosure Information"
_AFTER_SUPPORTED: Final = frozenset({"Scheduled Tasks", _ENCLOSURES})
"""What ends a controller's own part of `show all`; an HBA's 7.35 has only the second."""
_BEFORE_POLICIES = re.compile(r"Drive /c\d+\S* (?:State|Device attributes)")
_ANNOUNCED = re.compile(r"(?:Drive Groups|Enclosures) = [1-9]\d*")


def text_answers(text: str) -> tuple[tuple[Answer, ...], tuple[str, ...]]:
    """All answers of a text, and what was read past."""
    lines = tuple(line for line in lines_of(TOOL, text) if line.words)
    reader = _Reader(lines)
    reader.read()
    reader.refuse_cut_off(broken=breaks_off(text))
    answers = tuple(draft.answer() for draft in reader.drafts if draft.is_answer)
    if not answers and not any(_BANNER.search(line.words[:_BANNER_CHARACTERS]) for line in lines):
        raise unparsable(TOOL, lines[0], "an answer of storcli (Controller, Status, Description)")
    return answers, shorten(reader.ignored)


@dataclass(slots=True)
class _Draft:
    """An answer while it is read."""

    command: str | None = None
    head: dict[str, str] = field(default_factory=dict)
    sections: list[Section] = field(default_factory=list)
    title: str = ""
    values: dict[str, str] = field(default_factory=dict)
    last: Line | None = None
    in_head: bool = True

    @property
    def is_begun(self) -> bool:
        return bool(self.head or self.sections or self.values)

    @property
    def is_answer(self) -> bool:
        """Whether it is storcli's: a status, a table of its columns, or a controller with its properties."""
        keys = set(self.values).union(*(section.values for section in self.sections))
        return (
            "Status" in self.head
            or any(section.rows for section in self.sections)
            or ("Controller" in self.head and bool(keys & _IDENTITY))
        )

    def flush(self) -> None:
        """Keep the values of the section that ends."""
        if self.values:
            self.sections.append(Section(self.title, self.values))
            self.values = {}

    def answer(self) -> Answer:
        self.flush()
        head = self.head
        return Answer(
            stated(head.get("Controller")),
            head.get("Status"),
            head.get("Description"),
            self.command,
            tuple(self.sections),
        )


def _key_value(line: Line) -> tuple[str, str] | None:
    """Key and value of `Key = value`; the legends below tables have no blanks around the sign."""
    key, found, value = line.words.partition(" =")
    if not found or (value and not value[0].isspace()):
        glued = _GLUED.match(line.words)
        return (glued["key"], glued["value"].strip()) if glued else None
    return (" ".join(key.split()), value.strip()) if key.strip() and "|" not in key else None


class _Reader:
    """Goes through the lines once; each kind of line moves `place` past what belongs to it."""

    def __init__(self, lines: tuple[Line, ...]) -> None:
        self.lines = lines
        self.place = 0
        self.drafts = [_Draft()]
        self.ignored: list[str] = []

    @property
    def draft(self) -> _Draft:
        return self.drafts[-1]

    def read(self) -> None:
        while self.place < len(self.lines):
            line = self.lines[self.place]
            if is_ruler(line) or is_header(line):
                self._table(line)
            elif not (self._command(line) or self._title(line) or self._value(line)):
                self._other(line)
                self.place += 1

    def _peek(self, ahead: int = 1) -> Line | None:
        place = self.place + ahead
        return self.lines[place] if place < len(self.lines) else None

    def _start(self, command: str | None = None) -> None:
        """Begin an answer; one that has nothing yet is used, so that a prompt and its head are one."""
        self._refuse_headless(self.lines[self.place])
        if self.draft.is_begun or command is not None:
            self.drafts.append(_Draft(command))

    def _command(self, line: Line) -> bool:
        found = _COMMAND.search(line.words)
        if not found or " = " in line.words:
            return False
        self._start(found["command"])
        self.ignored.append(line.words)
        self.place += 1
        return True

    def _title(self, line: Line) -> bool:
        after = self._peek()
        if not line.words.endswith(":") or after is None or not _UNDERLINE.fullmatch(after.words):
            return False
        self.draft.flush()
        self.draft.in_head = False
        self.draft.title = line.words[:-1].strip()
        self.place += 2
        return True

    def _value(self, line: Line) -> bool:
        found = _key_value(line)
        if not found:
            return False
        key, value = found
        self.place += 1
        while value.endswith(",") and (more := self._peek(0)) and self._continues(more):
            value = f"{value} {more.words}"
            self.place += 1
        if not self._head_value(key, value):
            self.draft.in_head = self.draft.in_head and not self.draft.head
            self.draft.values.setdefault(key, value)
        return True

    def _continues(self, line: Line) -> bool:
        """Whether a line goes on with a list (`RAID Level Supported = RAID0, …,` has up to three lines)."""
        return not (is_ruler(line) or _key_value(line) or line.words.endswith(":"))

    def _head_value(self, key: str, value: str) -> bool:
        """Take a line of the status block; it begins an answer where one is complete already."""
        if key not in _HEAD or (key == "Status" and value.lower() not in _STATUSES):
            return False
        draft = self.draft
        if draft.in_head and key not in draft.head:
            draft.head[key] = value
            return True
        if key == "Controller" and not self._status_follows():
            return False  # the first line of Basics
        if key in ("Description", "Operating system"):
            return False
        self.place -= 1
        self._start()
        self.place += 1
        self.draft.head[key] = value
        return True

    def _status_follows(self) -> bool:
        after = self._peek(0)
        return after is not None and bool(re.match(r"Status(?: Code)?\s*=", after.words))

    def _table(self, first: Line) -> None:
        """Read a table up to its last ruler; one without rulers ends with the first line that is no row."""
        ruled = is_ruler(first)
        header = self._peek() if ruled else first
        second = self._peek(2 if ruled else 1)
        if ruled and (header is None or second is None or not is_ruler(second)):
            if header is None or second is None:
                raise unparsable(TOOL, first, "a table with its rows", "the end of the text")
            self.place += 1
            return
        if header is None or second is None:
            raise unparsable(TOOL, first, "rows of the table", "the end of the text")
        closed = is_ruler(second)
        self.place += 1 + ruled + closed
        rows = self._rows(header, closed=closed)
        self.draft.flush()
        self.draft.in_head = False
        self.draft.sections.append(Section(self.draft.title, {}, tuple(rows)))

    def _rows(self, header: Line, *, closed: bool) -> list[Row]:
        rows: list[Row] = []
        read = row_reader(header)
        while (line := self._peek(0)) is not None:
            if closed and is_ruler(line):
                self.place += 1
                return rows
            if closed and self._ends_early():
                break
            if not closed and not re.match(r"(?:\d*\s*:\s*\d|[\d-]+(?:/| +(?:\d|-)))", line.words):
                return rows
            self.place += 1
            row = None if line.words.startswith("...") else read(line)
            if row:
                rows.append(row)
        if closed:
            found = line.words if line else "the end of the text"
            raise unparsable(TOOL, line or self.lines[-1], "the ruler that ends the table", found)
        return rows

    def _ends_early(self) -> bool:
        """Whether another part begins where a table should go on."""
        line, after = self._peek(0), self._peek()
        if line is None:
            return True
        titled = line.words.endswith(":") and after is not None and _UNDERLINE.fullmatch(after.words)
        return bool(titled) or bool(re.match(r"(?:CLI Version|Controller|Status) =", line.words))

    def _other(self, line: Line) -> None:
        words = line.words
        if _SYNTAX.search(words) and not self.draft.head:
            self.draft.head.update({"Status": "Failure", "Description": words})
        legend = "|" in words or re.search(r"\S[=-]\S", words) or _HEX.fullmatch(words)
        if not legend and not _UNDERLINE.fullmatch(words):
            self.ignored.append(words)

    def _refuse_headless(self, line: Line) -> None:
        head = self.draft.head
        if ("CLI Version" in head or "Operating system" in head) and "Status" not in head:
            raise unparsable(TOOL, line, "Status = … of the answer")

    def refuse_cut_off(self, *, broken: bool) -> None:
        """Refuse a text that ends where something has just begun, or before a list that it announces."""
        last, head = self.lines[-1], self.draft.head
        begun = last.words.endswith(" :") or bool(_UNDERLINE.fullmatch(last.words))
        if begun or _ANNOUNCED.fullmatch(" ".join(last.words.split())):
            raise unparsable(TOOL, last, "what the title announces", "the end of the text")
        self._refuse_headless(last)
        self._refuse_unfinished(last, broken=broken)
        empty = not (self.draft.sections or self.draft.values)
        if empty and head and (("Status" in head) != ("Description" in head)):
            raise unparsable(TOOL, last, "Status and Description of the answer", "the end of the text")
        if empty and head and number(head.get("Controller")) is not None and "Status" not in head:
            raise unparsable(TOOL, last, "Status = … of the answer", "the end of the text")

    def _refuse_unfinished(self, last: Line, *, broken: bool) -> None:
        """Refuse a listing that ends before its lists: it would be read as a controller without drives.

        `show` counts what it lists; TOPOLOGY comes before the volumes and drives, and `show all` prints
        Scheduled Tasks after all that the controller supports.
        """
        draft = self.draft
        draft.flush()
        titles = {section.title for section in draft.sections}
        keys = {key: value for section in draft.sections for key, value in section.values.items()}
        columns = {name for section in draft.sections for row in section.rows for name in row}
        for key, column in _LISTS:
            if (number(keys.get(key)) or 0) > 0 and column not in columns:
                raise unparsable(TOOL, last, f"the list of {key} = {keys[key]}", "the end of the text")
        if "TOPOLOGY" in titles and keys.keys() & _IDENTITY and not columns & {"EID:Slt", "DG/VD"}:
            raise unparsable(TOOL, last, "volumes and drives after TOPOLOGY", "the end of the text")
        if broken and "Basics" in titles and not titles & {"Supported Adapter Operations"}:
            raise unparsable(TOOL, last, "the sections after Basics")
        if broken and _BEFORE_POLICIES.fullmatch(draft.sections[-1].title if draft.sections else ""):
            raise unparsable(TOOL, last, "the sections of the drive up to Policies/Settings")
        if "Supported Adapter Operations" in titles and not (titles | keys.keys()) & _AFTER_SUPPORTED:
            raise unparsable(TOOL, last, "the sections up to Scheduled Tasks", "the end of the text")
        self._refuse_missing_drives(last)

    def _refuse_missing_drives(self, last: Line) -> None:
        """Refuse an HBA's `show all` that breaks off between the sections of its drives.

        Only its enclosures tell how many drives there are. The fullest one counts, not their sum: the two
        modules of one shelf count the same drives.
        """
        sections = self.draft.sections
        enclosures = [row for section in sections if section.title == _ENCLOSURES for row in section.rows]
        fullest = max((number(row.get("PD")) or 0 for row in enclosures), default=0)
        drives = {row["EID:Slt"] for section in sections for row in section.rows if "EID:Slt" in row}
        if len(drives) < fullest:
            raise unparsable(TOOL, last, f"{fullest} drives, as the enclosure tells", str(len(drives)))
