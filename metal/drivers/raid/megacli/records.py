"""Lines of one MegaCli command as records: which keys belong to which adapter, volume and drive.

A heading begins each record ("Virtual Drive: 0 (Target Id: 0)", "Enclosure Device ID: 32") and the
`Key : value` lines after it are its fields. Indentation says nothing, and outputs that went through grep
keep only some of the lines: a drive may begin at any of the keys that begin a drive there.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

from metal.drivers.raid.listing import Condition, ConditionKind
from metal.drivers.raid.megacli.commands import COUNT, Command
from metal.drivers.raid.megacli.vocabulary import BATTERY_STATE_KEYS, BATTERY_STATES_GOOD, BATTERY_TROUBLE
from metal.drivers.tool_text import Line

SPAN_VOLUMES: Final = 256
"""More than a drive group can hold (64 in the guide of SAS-3 firmware)."""

Kind = Literal["adapter", "volume", "cachecade", "drive", "member", "task", "battery", "other"]


@dataclass(frozen=True, slots=True)
class Record:
    """One thing with its fields by key in lower case; `owners` are the ids of volumes that a drive is in.

    A `member` is a place in a volume of which nothing but its number is told: the drive is missing.
    """

    kind: Kind
    line: Line
    fields: dict[str, str] = field(default_factory=dict)
    owners: tuple[str, ...] = ()


@dataclass(slots=True)
class Report:
    """What one command says of one adapter; `index` is None where it names none."""

    index: str | None
    records: list[Record] = field(default_factory=list)
    conditions: list[Condition] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)
    lists_volumes: bool = False
    shown: bool = True
    """False for an answer that the model has no place for, such as enclosures."""


@dataclass(slots=True)
class Reading:
    """A command's reports while its lines are read, and the lines that are sentences."""

    reports: list[Report] = field(default_factory=list)
    statements: list[Line] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    recognised: bool = False
    """Whether a line is MegaCli's own, and no other tool's."""
    heading: Line | None = None
    record: Record | None = None
    owners: tuple[str, ...] = ()
    by_span: bool = False
    """In -CfgDsply the volumes of a span come first, then its drives: they are in all of them."""
    arrays: list[str] = field(default_factory=list)
    """The arrays of this disk group so far: each span of it has one, by which spares are kept for it."""
    first: int = 0
    """Where the records of this disk group begin."""

    @property
    def report(self) -> Report:
        """The report of the adapter that was named last."""
        if not self.reports:
            self.reports.append(Report(None))
        return self.reports[-1]

    def adapter(self, index: str, *, shown: bool = True) -> Report:
        """Go on with an adapter; a new report where the last one is of another."""
        self.record, self.owners, self.by_span, self.arrays = None, (), False, []
        if not self.reports or self.reports[-1].index != index or not self.reports[-1].shown:
            self.reports.append(Report(index, shown=shown))
        self.report.shown = self.report.shown or shown
        return self.report

    def begin(
        self,
        kind: Kind,
        line: Line,
        fields: dict[str, str] | None = None,
        owners: tuple[str, ...] = (),
    ) -> None:
        """Begin a record."""
        self.record = Record(kind, line, fields or {}, owners)
        self.report.records.append(self.record)

    def condition(self, kind: ConditionKind, text: str) -> None:
        """Note a condition of the adapter."""
        self.report.conditions.append(Condition(kind, text))


def read(command: Command) -> Reading:
    """All records of a command."""
    reading = Reading()
    for line in command.lines:
        words = " ".join(line.words.split())
        if not words.strip("=-*. "):
            continue
        if not _take_heading(reading, line, words):
            _take_field(reading, line)
    return reading


def _take_heading(reading: Reading, line: Line, words: str) -> bool:
    for pattern, take, own in _HEADINGS:
        match = pattern.match(words)
        if match:
            take(reading, match, line)
            reading.recognised = reading.recognised or own
            return True
    return False


def _adapter(reading: Reading, match: re.Match[str], line: Line) -> None:
    report = reading.adapter(match[1])
    reading.heading = line
    report.lists_volumes = report.lists_volumes or "virtual drive information" in (match[2] or "").lower()


def _battery(reading: Reading, match: re.Match[str], line: Line) -> None:
    reading.adapter(match[1])
    reading.begin("battery", line)


def _pci(reading: Reading, match: re.Match[str], _line: Line) -> None:
    reading.adapter(match[1])


def _enclosures(reading: Reading, match: re.Match[str], line: Line) -> None:
    reading.adapter(match[1], shown=False)
    reading.record = Record("other", line)


def _no_volume(reading: Reading, match: re.Match[str], line: Line) -> None:
    reading.adapter(match[1]).lists_volumes = True
    reading.statements.append(line)


def _volume(reading: Reading, match: re.Match[str], line: Line) -> None:
    identity = match[3] if match[3] is not None else match[2]
    if match[1]:
        reading.begin("cachecade", line)
        reading.owners = ()
        return
    arrays = {"arrays": ",".join(reading.arrays)} if reading.by_span and reading.arrays else {}
    reading.begin("volume", line, {"id": identity} | arrays)
    shared = reading.owners[:SPAN_VOLUMES] if reading.by_span else ()
    reading.owners = (*shared, identity)


def _summary_volume(reading: Reading, match: re.Match[str], line: Line) -> None:
    reading.begin("volume", line, {"id": match[1], "name": match[2].strip()})


def _group(reading: Reading, match: re.Match[str], _line: Line) -> None:
    reading.record, reading.owners, reading.by_span = None, (), True
    if match[1].lower() != "span":
        reading.arrays, reading.first = [], len(reading.report.records)


def _array(reading: Reading, match: re.Match[str], _line: Line) -> None:
    """Note an array; volumes that were listed under the group's first span lie on this one, too."""
    reading.arrays.append(str(int(match[1], 16)))
    for record in reading.report.records[reading.first :]:
        if record.kind == "volume":
            record.fields["arrays"] = ",".join(reading.arrays)
    reading.record = None


def _span(reading: Reading, _match: re.Match[str], _line: Line) -> None:
    reading.record = None


def _member(reading: Reading, _match: re.Match[str], line: Line) -> None:
    reading.begin("member", line, owners=reading.owners)


def _enclosure_id(reading: Reading, match: re.Match[str], line: Line) -> None:
    """Begin a drive, or fill the place of a volume whose number was the line before."""
    _begin_drive(reading, line)
    if reading.record is not None:
        reading.record.fields["enclosure device id"] = match[1].strip()


def _begin_drive(reading: Reading, line: Line) -> None:
    owners = reading.owners
    last = reading.record
    if last is not None and last.kind == "member" and not last.fields:
        reading.report.records.pop()
    reading.begin("drive", line, owners=owners)


def _summary_drive(reading: Reading, match: re.Match[str], line: Line) -> None:
    reading.begin("drive", line, {"slot number": match[1]})


def _summary_section(reading: Reading, match: re.Match[str], line: Line) -> None:
    section = match[1].lower()
    reading.record = Record("other", line) if section == "enclosure" else None
    if section == "controller":
        reading.reports.append(Report(None))
    elif section == "bbu":
        reading.begin("battery", line)


def _volume_task(reading: Reading, match: re.Match[str], line: Line) -> None:
    identity = match[3] if match[3] is not None else match[2]
    reading.begin("task", line, {"id": identity, "task": match[1].lower(), "percent": match[4] or ""})
    reading.record = None


def _drive_task(reading: Reading, match: re.Match[str], line: Line) -> None:
    fields = {"enclosure device id": match[2], "slot number": match[3], "percent": match[4]}
    reading.begin("drive", line, fields | {"task": match[1].lower()})
    reading.record = None


def _no_drive_task(reading: Reading, match: re.Match[str], line: Line) -> None:
    reading.begin("drive", line, {"enclosure device id": match[1], "slot number": match[2]})
    reading.record = None


def _progress_heading(reading: Reading, match: re.Match[str], line: Line) -> None:
    reading.record = Record("other", line, {"progress of": (match[1] or "").strip().lower()})


def _drive_bar(reading: Reading, match: re.Match[str], line: Line) -> None:
    table = reading.record
    task = table.fields.get("progress of", "") if table else ""
    fields = {"enclosure device id": str(int(match[1])), "slot number": str(int(match[2]))}
    reading.begin("drive", line, fields | {"task": task, "percent": match[3]})
    reading.record = table


def _volume_bar(reading: Reading, match: re.Match[str], line: Line) -> None:
    table = reading.record
    task = table.fields.get("progress of", "") if table else ""
    reading.begin("task", line, {"id": match[1], "task": task, "percent": match[2]})
    reading.record = table


def _missing_row(reading: Reading, match: re.Match[str], line: Line) -> None:
    reading.begin("member", line, {"size": match[3]})
    reading.record = None


def _foreign(reading: Reading, match: re.Match[str], line: Line) -> None:
    reading.adapter(match[2])
    reading.statements.append(line)
    if match[1].lower() not in {"no", "0"}:
        reading.condition("foreign-config", " ".join(line.words.split()))


def _preserved(reading: Reading, match: re.Match[str], line: Line) -> None:
    if "cleared" in match[2].lower():
        reading.statements.append(line)
        return
    reading.condition("preserved-cache", f"virtual drive {int(match[1])}: {match[2].rstrip('.')}")


def _jbod(reading: Reading, match: re.Match[str], _line: Line) -> None:
    reading.adapter(match[1]).facts["enable jbod"] = match[2]
    reading.record = None


def _statement(reading: Reading, _match: re.Match[str], line: Line) -> None:
    reading.record = None
    reading.statements.append(line)


def _other(reading: Reading, _match: re.Match[str], line: Line) -> None:
    reading.record = Record("other", line)


def _count(reading: Reading, _match: re.Match[str], _line: Line) -> None:
    reading.record = None


def _banner(reading: Reading, _match: re.Match[str], line: Line) -> None:
    reading.ignored.append(line.words)


_VOLUME: Final = (
    r"(CacheCade )?Virtual (?:Drive|Disk)\s*:\s*(\d{1,6})\s*(?:\(Target Id\s*:\s*(\d{1,6})\s*\))?$"
)
_VOLUME_TASK: Final = (
    r"([A-Za-z ]{4,40}?) on VD #(\d{1,6})\s*(?:\(target id #(\d{1,6})\)\s*)?"
    r"(?:is not in progress|completed?\s+(\d{1,3})\s*%)"
)
_DRIVE_TASK: Final = (
    r"([A-Za-z ]{4,40}?) Progress on Device at Enclosure (\S{1,10}), Slot (\d{1,4})"
    r" Completed\s+(\d{1,3})\s*%"
)
_Take = Callable[[Reading, re.Match[str], Line], None]
_HEADINGS: Final[tuple[tuple[re.Pattern[str], _Take, bool], ...]] = tuple(
    (re.compile(pattern, re.IGNORECASE), take, own)
    for pattern, take, own in (
        (r"Adapter\s*[:#]?\s*(\d{1,4})\s*(--?\s.*|:)?$", _adapter, True),
        (r"Adapter\s*:?\s*(\d{1,4})\s*:\s*No Virtual (?:Drive|Disk)s? Configured", _no_volume, True),
        (r"Adapter\s*:?\s*(\d{1,4})\s*:\s*(?:Enable\s*)?JBOD\s*:\s*(\w+)", _jbod, True),
        (r"Adapter\s*:?\s*\d{1,4}\s*:\s*\S", _statement, True),
        (r"Adapter \d{1,4} ?- ?VD \d{1,6} ?\(", _count, True),
        (r"BBU [A-Za-z ]{1,40} for Adapter\s*:\s*(\d{1,4})$", _battery, True),
        (r"PCI information for Controller (\d{1,4})", _pci, True),
        (r"Number of enclosures on adapter (\d{1,4})", _enclosures, True),
        (COUNT, _count, True),
        (_VOLUME, _volume, True),
        (r"Virtual drive\s*:\s*Target Id (\d{1,6})\s*,\s*VD name\s*(.*)$", _summary_volume, True),
        (r"Virtual Drive\s*\(Target ID (\d{1,6})\)\s*:\s*(\S.*)$", _preserved, True),
        (r"(DISK GROUP|SPAN)\s*:\s*\d{1,4}$", _group, False),
        (r"Span Reference\s*:\s*0x([0-9a-f]{1,4})$", _array, True),
        (r"Span\s*:\s*\d{1,4}\s*-\s*Number of PDs", _span, True),
        (r"(?:PD\s*:\s*\d{1,4} Information|Physical Disk\s*:\s*\d{1,4})$", _member, False),
        (r"Enclosure Device ID\s*:\s*(.*)$", _enclosure_id, True),
        (r"Connector\s*:.*\bSlot (\d{1,4})$", _summary_drive, True),
        (r"(Controller|BBU|Enclosure|PD|Storage|Hardware|System)$", _summary_section, False),
        (_VOLUME_TASK, _volume_task, True),
        (_DRIVE_TASK, _drive_task, True),
        (r"Device\s*\(Encl-(\S{1,10}) Slot-(\d{1,4})\) is not in ", _no_drive_task, True),
        (r"([A-Za-z ]{0,40}?)\s*progress of (?:physical|virtual) drives", _progress_heading, True),
        (r"(\d{1,5})\s*:\s*(\d{1,4})\s+[#*]*\s*(\d{1,3})\s*%", _drive_bar, False),
        (r"(\d{1,5})\s+[#*]+\s*(\d{1,3})\s*%", _volume_bar, False),
        (r"(\d{1,4})\s+(\d{1,4})\s+\d{1,4}\s+(\d{1,12}\s*[KMGT]B)$", _missing_row, False),
        (r"There (?:is|are) (no|\d{1,4}) foreign configuration\S* on controller (\d{1,4})", _foreign, True),
        (r"Foreign configuration \d{1,4} is \w+ on controller \d{1,4}", _statement, True),
        (r"MegaCLI SAS RAID Management Tool", _banner, True),
        (r"(?:Firmware Term Log Information on controller|seqNum\s*:|.*\s-aN\|-a0,1,2\|)", _other, True),
    )
)
"""Lines that begin something, the first that matches, and whether no other tool prints them."""

_GLUED: Final = "Hotspare Information"
"""A title that MegaCli 8 prints behind the line before it, without an end of line between them."""
_BEGINS_A_DRIVE: Final = frozenset({"slot number", "firmware state", "inquiry data"})


def _take_field(reading: Reading, line: Line) -> None:
    name, colon, value = line.text.partition(":")
    value = value.partition(_GLUED)[0]
    key = " ".join(name.lower().split())
    if not colon or not key:
        _take_words(reading, line)
    elif key in _BEGINS_A_DRIVE:
        _drive_field(reading, line, key, value)
    elif reading.record is None:
        _adapter_field(reading, line, key, value.strip())
    elif reading.record.kind == "battery":
        _battery_field(reading, " ".join(name.split()), value.strip())
    else:
        reading.record.fields.setdefault(key, value.strip())


def _drive_field(reading: Reading, line: Line, key: str, value: str) -> None:
    record = reading.record
    if record is not None and record.kind == "other":
        return
    if record is None or record.kind != "drive" or key in record.fields:
        _begin_drive(reading, line)
        reading.recognised = reading.recognised or key != "slot number"
    if reading.record is not None:
        # Inquiry data has columns: its blanks count.
        reading.record.fields[key] = value.removeprefix(" ") if key == "inquiry data" else value.strip()


def _adapter_field(reading: Reading, line: Line, key: str, value: str) -> None:
    if not reading.reports:
        # No adapter was named: this is a sentence with a colon in it, or of another tool.
        reading.statements.append(line)
        return
    reading.report.facts.setdefault(key, value)


def _battery_field(reading: Reading, key: str, value: str) -> None:
    good = value.lower() in BATTERY_STATES_GOOD or not value[:1].isalpha()
    if BATTERY_TROUBLE.get(key.lower()) == value.lower() or (key.lower() in BATTERY_STATE_KEYS and not good):
        reading.condition("battery", f"{key}: {value}")
    elif key.lower() == "status" and not good:
        reading.condition("battery", f"BBU status: {value}")


def _take_words(reading: Reading, line: Line) -> None:
    if reading.record is None:
        reading.statements.append(line)
