"""`sel list`, `sel elist`, their CSV and long forms, and `sel info`: what happened to the machine.

Record ids are hexadecimal in every form (ipmitool prints them by `%x`). A date is in the tool's own
order, month first; since 1.8.19 it is in the locale's. "Pre-Init", and since then "S+", is the clock before
the BMC knew the time: no time.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from metal.drivers.bmc.ipmitool.table import csv_cells, refuse_half_row
from metal.drivers.parsed import Parsed
from metal.drivers.tool_text import Line, blocks, key_value, lines_of, number, one_line, shorten, unparsable

TOOL: Final = "ipmitool-sel"

_ID = re.compile(r"[0-9a-fA-F]{1,4}")
_OEM = re.compile(r"(?:OEM record [0-9a-fA-F]{2}|Linux kernel panic)\b")
_DATE = re.compile(r"(?P<month>\d{1,2})[/-](?P<day>\d{1,2})[/-](?P<year>\d{4}|\d{2})$")
_DOTTED_DATE = re.compile(r"(?P<day>\d{1,2})\.(?P<month>\d{1,2})\.(?P<year>\d{4}|\d{2})$")
_ISO_DATE = re.compile(r"(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})$")
_EASTERN_DATE = re.compile(r"(?P<year>\d{4})[年년] ?(?P<month>\d{1,2})[月월] ?(?P<day>\d{1,2})[日일]$")
_CLOCK = re.compile(
    r"(?P<hour>\d{1,2})[:时時시] ?(?P<minute>\d{2})[:分분] ?(?P<second>\d{2})"
    r"(?:[秒초]|(?:\s*(?P<half>AM|PM))?\b)"
)
"""The colons of most locales, and the words of the Chinese, Japanese and Korean ones."""
_RECORD = re.compile(r"SEL Record ID\s*:")
_COUNT = re.compile(r"Entries\s*:")
_EMPTY = re.compile(r"SEL has no entries", re.IGNORECASE)
_DIRECTIONS: Final = {
    "asserted": "asserted",
    "deasserted": "deasserted",
    "assertion event": "asserted",
    "deassertion event": "deasserted",
}


@dataclass(frozen=True, slots=True)
class SelEntry:
    """One record; of an OEM's own, sensor is the kind of record and event its bytes."""

    id: int
    time: str | None
    sensor: str | None
    event: str | None
    direction: str | None


@dataclass(frozen=True, slots=True)
class EventLog:
    """The records; `count` only where the text counts them (`sel info`)."""

    entries: tuple[SelEntry, ...]
    count: int | None = None


def parse(text: str) -> Parsed[EventLog]:
    """All records, the last of an id holds; an empty log is understood, a text of errors is not."""
    lines = lines_of(TOOL, text)
    refuse_half_row(TOOL, lines, _row)
    found: dict[int, SelEntry] = {}
    ignored: list[str] = []
    count: int | None = None
    empty = False
    for line in lines:
        entry = _row(line)
        if entry is not None:
            found[entry.id] = entry
        elif _COUNT.match(line.words):
            count = number(line.words.partition(":")[2])
        elif _EMPTY.search(line.words):
            empty = True
        elif line.words and not key_value(line) and line.words != "SEL Information":
            ignored.append(line.words)
    found |= {entry.id: entry for entry in _blocks(lines)}
    if not found and count is None and not empty:
        first = next(line for line in lines if line.words)
        raise unparsable(TOOL, first, "a record of the event log, or its 'Entries'")
    return Parsed(EventLog(tuple(found.values()), count), shorten(ignored))


def _row(line: Line) -> SelEntry | None:
    cells = [cell.strip() for cell in line.text.split("|")]
    if len(cells) < 3:
        cells = list(csv_cells(line))
    if len(cells) < 3 or not _ID.fullmatch(cells[0]):
        return None
    record, rest = int(cells[0], 16), cells[1:]
    oem = next((place for place, cell in enumerate(rest[:3]) if _OEM.match(cell)), None)
    if oem is not None:
        when = _time(rest[0], rest[1]) if oem == 2 else None
        return SelEntry(record, when, rest[oem], one_line(" ".join(rest[oem + 1 :])), None)
    if not _stamps(rest[0]) or len(rest) < 3:
        return None
    if rest[0].lower().startswith("pre-init time") and rest[1]:
        rest = [rest[0], "", *rest[1:]]  # old versions print one column for date and time
    sensor, event, direction = [*rest[2:5], "", ""][:3]
    return SelEntry(
        record,
        _time(rest[0], rest[1]),
        one_line(sensor),
        one_line(event),
        _DIRECTIONS.get(direction.lower()),
    )


def _stamps(cell: str) -> bool:
    return bool(_date(cell) or cell.lower().startswith(("pre-init", "unspec", "s+ ")))


def _date(cell: str) -> re.Match[str] | None:
    """A date as ipmitool or, since 1.8.19, the locale writes it."""
    forms = (_ISO_DATE, _DATE, _DOTTED_DATE, _EASTERN_DATE)
    return next((match for form in forms if (match := form.match(cell))), None)


def _time(date: str, clock: str) -> str | None:
    """ISO 8601 without a zone; a first number above 12 is a day."""
    day = _date(date)
    hour = _CLOCK.match(clock)
    if day is None or hour is None:
        return None
    year, month, of_month = (int(day[part]) for part in ("year", "month", "day"))
    if month > 12:
        month, of_month = of_month, month
    hours = int(hour["hour"])
    if hour["half"]:
        hours = hours % 12 + (12 if hour["half"] == "PM" else 0)
    try:
        when = datetime(  # noqa: DTZ001 - the BMC's clock has no zone
            year + 2000 if year < 100 else year,
            month,
            of_month,
            hours,
            int(hour["minute"]),
            int(hour["second"]),
        )
    except ValueError:
        return None
    return when.isoformat()


def _blocks(lines: tuple[Line, ...]) -> Iterator[SelEntry]:
    """The long form: a block per record."""
    for block in blocks(lines, _RECORD):
        values: dict[str, str] = {}
        for line in block:
            if pair := key_value(line):
                values.setdefault(*pair)
        record = values.get("SEL Record ID", "")
        if not _ID.fullmatch(record):
            raise unparsable(TOOL, block[0], "a record's number in hexadecimal")
        date, _, clock = values.get("Timestamp", "").partition(" ")
        kind, sensor_number = values.get("Sensor Type"), values.get("Sensor Number")
        yield SelEntry(
            id=int(record, 16),
            time=_time(date, clock),
            sensor=f"{kind} #0x{sensor_number}"
            if kind and sensor_number
            else kind or values.get("Record Type"),
            event=values.get("Description")
            or values.get("OEM Defined")
            or values.get("Panic string")
            or None,
            direction=_DIRECTIONS.get(values.get("Event Direction", "").lower()),
        )
