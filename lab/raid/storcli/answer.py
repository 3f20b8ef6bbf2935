"""What one controller answers, and how storcli prints it: as tables, or with `J` as JSON.

    CLI Version = 007.2707.0000.0000 Dec 18, 2023          {
    Operating system = Linux 6.1.0-18-amd64                "Controllers":[
    Controller = 0                                         {
    Status = Failure                                           "Command Status" : {
    Description = Set Drive Good Failed.                           "CLI Version" : "007.2707…",
    …                                                              …

Both forms come from the same parts, and their titles and columns are the same, as in the captures. Sizes are
cut off after three digits, never rounded up: 0x558900000 sectors are 10.691 TB.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from lab.raid.model import Effect
from lab.raid.reply import Reply

Cell = str | int
Row = dict[str, Cell]
_RIGHT: Final = frozenset(
    {"DG", "DID", "PID", "Size", "VDSize", "ErrCd", "Ctl", "Ctrl", "VD", "VDID", "Slots", "PD", "PS", "Fans",
     "TSs", "Alms", "SIM"}
)  # fmt: skip
_TOPOLOGY_RIGHT: Final = frozenset({"DG", "Size"})
"""Columns whose cells stand at the right; all others begin at the left."""
_UNITS: Final = ("B", "KB", "MB", "GB", "TB", "PB")


@dataclass(frozen=True)
class Dialect:
    """storcli, or storcli2 with its own names for the same things."""

    second: bool = False

    @property
    def version(self) -> str:
        """The first line of each answer."""
        return "008.0011.0000.0014 Sep 26, 2024" if self.second else "007.2707.0000.0000 Dec 18, 2023"

    @property
    def system(self) -> str:
        """storcli2 has no blank between the words."""
        return "Linux6.1.0-18-amd64" if self.second else "Linux 6.1.0-18-amd64"

    @property
    def device(self) -> str:
        """The column of a drive's number."""
        return "PID" if self.second else "DID"

    def size(self, count: int, *, unit: str | None = None) -> str:
        """`10.691 TB`: binary, cut off; storcli2 says TiB."""
        power = 0
        while power < len(_UNITS) - 1 and count >= 1024 ** (power + 1):
            power += 1
        if unit is not None:
            power = _UNITS.index(unit)
        name = _UNITS[power]
        if self.second and power:
            name = f"{name[0]}iB"
        if power < 2:
            return f"{count // 1024**power} {name if count else ('KiB' if self.second else 'KB')}"
        return f"{count * 1000 // 1024**power / 1000:.3f} {name}"

    def plain(self, count: int) -> str:
        """`256 KB`, `512B`, `4 KB`: sizes of strips and sectors."""
        if count < 1024:
            return f"{count}B"
        return f"{count // 1024} {'KiB' if self.second else 'KB'}" if count < 1 << 20 else "1.0 MB"


@dataclass(frozen=True)
class Values:
    """`key = value` lines under a title; without a title they stand in the answer itself."""

    title: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """Rows under a title. `legend` explains the abbreviations; `count` names the line that counts them."""

    title: str
    rows: Sequence[Row]
    legend: str = ""
    count: str = ""


@dataclass(frozen=True)
class Objects:
    """Objects of objects, as storcli2 lists drives and volumes in JSON; in text their parts in a row."""

    title: str
    objects: Sequence[Mapping[str, Any]]
    parts: Sequence["Part"] = ()


Part = Values | Table | Objects


@dataclass
class Answer:
    """One controller's answer. `controller` is None where the whole system answers.

    `code` is the process status of storcli; storcli2 ends with 0 whatever happened.
    """

    controller: int | None
    description: str = "None"
    ok: bool = True
    code: int = 0
    rows: Sequence[Row] = ()
    parts: Sequence[Part] = ()
    effects: list[Effect] = field(default_factory=list)
    summary: bool = False
    takes_s: float = 0.5


def reply(answers: Sequence[Answer], dialect: Dialect, *, as_json: bool) -> Reply:
    """All answers of a call as it prints them."""
    text = _json(answers, dialect) if as_json else "".join(_text(one, dialect) for one in answers)
    status = 0 if dialect.second else next((one.code for one in answers if not one.ok), 0)
    return Reply(
        text,
        status=status & 0xFF,
        effects=tuple(effect for one in answers for effect in one.effects),
        takes_s=sum(one.takes_s for one in answers),
    )


def syntax_error(dialect: Dialect, words: str) -> Reply:
    """Refuse a line that the grammar has not: as text, with J too."""
    head = f"CLI Version = {dialect.version}\nOperating system = {dialect.system}\n"
    return Reply(f"{head}Status = Failure\nDescription = {words}\n\n", status=255)


def _json(answers: Sequence[Answer], dialect: Dialect) -> str:
    told = (json.dumps(_object(one, dialect), indent="\t", separators=(",", " : ")) for one in answers)
    return '{\n"Controllers":[\n' + ",\n".join(told) + "\n]\n}\n\n"


def _object(answer: Answer, dialect: Dialect) -> dict[str, Any]:
    status: dict[str, Any] = {"CLI Version": dialect.version, "Operating system": dialect.system}
    if answer.controller is None:
        status["Status Code"] = answer.code
    else:
        status["Controller"] = str(answer.controller) if dialect.second else answer.controller
    status |= {"Status": _status(answer), "Description": answer.description}
    if answer.rows:
        status["Detailed Status"] = list(answer.rows)
    data: dict[str, Any] = {}
    for part in answer.parts:
        data |= _data(part)
    return {"Command Status": status} | ({"Response Data": data} if data else {})


def _data(part: Part) -> dict[str, Any]:
    if isinstance(part, Table):
        counted = {part.count: len(part.rows)} if part.count else {}
        return counted | {part.title: list(part.rows)}
    if isinstance(part, Objects):
        return {part.title: list(part.objects)}
    return {part.title: dict(part.values)} if part.title else dict(part.values)


def _status(answer: Answer) -> str:
    return "Success" if answer.ok else "Failure"


def _text(answer: Answer, dialect: Dialect) -> str:
    lines = ["Generating detailed summary of the adapter, it may take a while to complete.", ""]
    lines = lines if answer.summary else []
    lines += [f"CLI Version = {dialect.version}", f"Operating system = {dialect.system}"]
    lines.append(f"Controller = {answer.controller}" if answer.controller is not None else "Status Code = 0")
    lines += [f"Status = {_status(answer)}", f"Description = {answer.description}", ""]
    for part in answer.parts:
        lines += _lines(part)
    if answer.rows:
        lines += _lines(Table("Detailed Status", answer.rows))
    return "\n".join(lines) + "\n"


def _lines(part: Part) -> list[str]:
    if isinstance(part, Table):
        return _table(part)
    if isinstance(part, Objects):
        return [line for one in part.parts for line in _lines(one)]
    lines = ["", *_title(part.title)] if part.title else []
    below: list[str] = []
    for key, value in part.values.items():
        if isinstance(value, Mapping):
            below += _lines(Values(str(key), value))
        else:
            hexadecimal = isinstance(value, int) and str(key).endswith(" Id")
            lines.append(f"{key} = {f'{value:#X}'.replace('X', 'x') if hexadecimal else value}")
    return [*lines, *([""] if part.title else []), *below]


def _title(title: str) -> list[str]:
    return [f"{title} :", "=" * len(title)] if title else []


def _table(table: Table) -> list[str]:
    counted = [f"{table.count} = {len(table.rows)}", ""] if table.count else [""]
    if not table.rows:
        return counted
    columns = list(table.rows[0])
    widths = {name: max(len(name), *(len(str(row[name])) for row in table.rows)) for name in columns}
    right = _TOPOLOGY_RIGHT if "EID:Slot" in columns else _RIGHT
    header: Row = {name: name for name in columns}
    drawn = [
        " ".join(_cell(row[name], widths[name], right=name in right) for name in columns).rstrip()
        for row in (header, *table.rows)
    ]
    ruler = "-" * (sum(widths.values()) + len(columns) - 1)
    legend = ["", *table.legend.splitlines()] if table.legend else []
    return [*counted, *_title(table.title), "", ruler, drawn[0], ruler, *drawn[1:], ruler, *legend, ""]


def _cell(value: Cell, width: int, *, right: bool) -> str:
    return str(value).rjust(width) if right else str(value).ljust(width)
