"""`sdr`, `sdr elist`, `sensor`, their CSV (`-c`) and their long form (`-v`, `sensor get`): the readings.

| command       | columns                                                            |
| sdr           | name, reading with unit, state                                     |
| sdr elist     | name, number (`E6h`), state, entity, reading with unit or event    |
| sensor        | name, reading, unit, state, six thresholds                         |
| -c sdr        | name, reading, unit, state[, more with -v]; discrete as in elist   |

A discrete sensor has no number as its reading; its column holds bits (0x00) or the event.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from metal.drivers.bmc.ipmitool.table import csv_cells, refuse_half_row
from metal.drivers.parsed import Parsed
from metal.drivers.tool_text import Line, blocks, key_value, lines_of, one_line, shorten, unparsable

TOOL: Final = "ipmitool-sdr"

_STATES: Final = frozenset(
    {"ok", "ns", "na", "nc", "cr", "nr", "us", "lnc", "lcr", "lnr", "unc", "ucr", "unr", "n/a"}
)
_STATE_BITS = re.compile(r"0x[0-9a-fA-F]{2,4}")
_NUMBER_COLUMN = re.compile(r"[0-9A-Fa-f]{2}h")
_READING = re.compile(
    r"(?P<value>-?\d{1,12}(?:\.\d{1,6})?)(?:\s*\(\+/- *[\d.]+\))?"
    r"(?:\s+%?\s*(?P<unit>[A-Za-z/%][^,|]*))?(?:,.*)?"
)
"""`24 degrees C`, `0.76 (+/- 0.01) Volts`, and HP's `95 Watts, Presence detected`."""
_SENSOR = re.compile(r"Sensor ID\s*:")
_SENSOR_NUMBER = re.compile(r"[0-9a-fA-F]{1,4}\)$")
_NO_UNITS: Final = ("", "discrete", "na", "unspecified")
"""Besides none: base unit 0 of the SDR (IPMI 2.0, table 43-15) says nothing of what is counted."""
_NO_READING: Final = ("na", "no reading", "disabled")
"""In place of a number; the column of the unit still says in what it would be."""
_NO_SENSORS = re.compile(r"(?:SDR Version|Record Count)\s*:")


@dataclass(frozen=True, slots=True)
class Sensor:
    """One sensor; `value` is None where it has no reading, or one that is no number."""

    name: str
    value: int | float | None
    unit: str | None
    state: str | None


@dataclass(frozen=True, slots=True)
class Sensors:
    """All sensors of a text; of one name there may be several (HP: two of "Temp 1")."""

    sensors: tuple[Sensor, ...]


def parse(text: str) -> Parsed[Sensors]:
    """Read the rows or blocks of a text. `sdr info` tells of no sensor, and is understood."""
    lines = lines_of(TOOL, text)
    refuse_half_row(TOOL, lines, _row)
    sensors: list[Sensor] = []
    ignored: list[str] = []
    long_form = tuple(_blocks(lines))
    for line in lines:
        sensor = _row(line)
        if sensor is not None:
            sensors.append(sensor)
        elif line.words and not (long_form and key_value(line)):
            ignored.append(line.words)
    sensors += long_form
    if not sensors and not any(_NO_SENSORS.match(line.words) for line in lines):
        raise unparsable(
            TOOL, next(line for line in lines if line.words), "a sensor's name, reading and state"
        )
    return Parsed(Sensors(tuple(sensors)), shorten(ignored))


def _row(line: Line) -> Sensor | None:
    cells = [cell.strip() for cell in line.text.split("|")]
    if len(cells) < 3:
        cells = list(csv_cells(line))
        if len(cells) < 4:
            return None
    name = one_line(cells[0])
    if name is None:
        return None
    if _NUMBER_COLUMN.fullmatch(cells[1]) and cells[2].lower() in _STATES:
        rest = cells[4:]
        told, unit = (rest[0] if rest else ""), (rest[1] if len(rest) > 1 else "")
        return _sensor(name, told, unit, cells[2])
    if len(cells) >= 4 and (cells[3].lower() in _STATES or _STATE_BITS.fullmatch(cells[3])):
        return _sensor(name, cells[1], cells[2], cells[3])
    if cells[2].lower() in _STATES:
        return _sensor(name, cells[1], "", cells[2])
    return None


def _sensor(name: str, told: str, unit: str, state: str | None) -> Sensor:
    match = _READING.fullmatch(told)
    unit = unit.removeprefix("% ").strip()
    if match is None or unit == "discrete":
        silent = told.lower() in _NO_READING and unit.lower() not in _NO_UNITS
        return Sensor(name, None, unit if silent else None, state)
    number = float(match["value"]) if "." in match["value"] else int(match["value"])
    named = (unit if unit.lower() not in _NO_UNITS else (match["unit"] or "")).strip()
    return Sensor(name, number, named if named.lower() not in _NO_UNITS else None, state)


def _blocks(lines: tuple[Line, ...]) -> Iterator[Sensor]:
    for block in blocks(lines, _SENSOR):
        values = dict(pair for line in block if (pair := key_value(line)))
        told = values.get("Sensor ID", "")
        before, numbered, number = told.rpartition("(0x")
        name = one_line(before if numbered and _SENSOR_NUMBER.match(number) else told)
        if name is None:
            raise unparsable(TOOL, block[0], "a sensor's name")
        yield _sensor(name, values.get("Sensor Reading", ""), "", values.get("Status") or None)
