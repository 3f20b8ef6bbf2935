"""Sizes with a unit, as operators write them and as disks report them.

A bare number is refused: `40` is 40 of something, and guessing which destroys a disk layout. GiB
and GB are both exact (2**30 and 10**9), because drive makers sell GB and partition tools cut GiB.
"""

import re
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import BeforeValidator, PlainSerializer, PlainValidator

UNITS: Final[dict[str, int]] = {
    "B": 1,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
}

_PERCENT = re.compile(r"^\s*(\d{1,3})\s*%\s*$")
_SIZE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*$")


def parse_size(text: object) -> int:
    """Turn `40GiB` into bytes; refuse a bare number, an unknown unit and a fraction of a byte.

    Raises ValueError, also for another type: pydantic turns it into a finding.
    """
    found = _SIZE.match(text) if isinstance(text, str) else None
    if found is None and str(text).strip().isdigit():
        raise ValueError(f"a size needs a unit: write {text}GiB or {text}GB, not {text}")
    if found is None or found[2] not in UNITS:
        raise ValueError(f"expected a size such as 40GiB, 500GB or 4TiB, got {text!r}")
    whole, _, fraction = found[1].partition(".")
    scaled = int(whole + fraction) * UNITS[found[2]]
    divisor: int = 10 ** len(fraction)
    if scaled % divisor:
        raise ValueError(f"{text!r} is not a whole number of bytes")
    return scaled // divisor


def format_size(size_bytes: int) -> str:
    """Write bytes with the largest binary or decimal unit that is exact, else a rounded GiB for reading."""
    if size_bytes == 0:
        return "0B"
    for unit in ("TiB", "TB", "GiB", "GB", "MiB", "MB", "KiB", "KB"):
        if size_bytes % UNITS[unit] == 0:
            return f"{size_bytes // UNITS[unit]}{unit}"
    return f"{size_bytes}B"


def human_size(size_bytes: int) -> str:
    """Write bytes for a table: three significant digits, binary units."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if size_bytes >= UNITS[unit]:
            count = size_bytes / UNITS[unit]
            # Three digits are not enough for 1000 to 1023 of a binary unit: they would become 1e+03.
            return f"{count:.3g} {unit}" if count < 999.5 else f"{count:.0f} {unit}"
    return f"{size_bytes} B"


def _from_spec(value: object) -> int:
    # A model that was dumped to JSON carries exact text again, see the serializer.
    return parse_size(value)


SizeBytes = Annotated[
    int,
    BeforeValidator(_from_spec, json_schema_input_type=str),
    PlainSerializer(format_size, return_type=str),
]
"""A size in a spec: text with a unit outside, bytes inside."""


@dataclass(frozen=True, slots=True)
class Percent:
    """A share of what is left to be shared out, in whole percent."""

    value: int

    def of(self, size_bytes: int) -> int:
        """That share of a size, rounded down to bytes."""
        return size_bytes * self.value // 100

    def __str__(self) -> str:
        """As it is written in a spec."""
        return f"{self.value}%"


def parse_percent(value: object) -> Percent:
    """Turn `25%` into a share. Raises ValueError, also for another type."""
    if isinstance(value, Percent):
        return value
    found = _PERCENT.match(value) if isinstance(value, str) else None
    if found is None or not 1 <= int(found[1]) <= 100:
        raise ValueError(f"expected a share from 1% to 100%, got {value!r}")
    return Percent(int(found[1]))


Share = Annotated[
    Percent,
    PlainValidator(parse_percent, json_schema_input_type=str),
    PlainSerializer(str, return_type=str),
]
"""A share in a spec: text with a percent sign outside, a number inside."""
