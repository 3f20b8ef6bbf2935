"""RAID levels as arithmetic: how many drives, in how many spans, and how much of them holds data.

Least counts are those that firmware of the common families accepts (Broadcom StorCLI user guide, HPE
Smart Storage Administrator guide, Microchip ARCCONF guide, mdadm(8)); where families differ the
difference stands in `families`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final


@dataclass(frozen=True, slots=True)
class LevelRule:
    """One level: the least number of drives, of what it must be a multiple, and what it costs.

    `parity` drives of each span hold parity, and `copies` of all data are kept; `mirrored` levels hold one
    drive's worth, however many drives there are.
    """

    least: int
    multiple: int = 1
    parity: int = 0
    copies: int = 1
    mirrored: bool = False
    span_least: int = 0
    """Least drives in a span; 0 for a level that has none."""

    def data(self, count: int, spans: int) -> Fraction:
        """How many drives' worth of data lies on so many drives in so many spans."""
        return Fraction(1) if self.mirrored else Fraction(count - self.parity * spans, self.copies)


LEVELS: Final[Mapping[str, LevelRule]] = {
    "raid0": LevelRule(1),
    "raid1": LevelRule(2, mirrored=True),
    "raid1e": LevelRule(3, copies=2),
    "raid1adm": LevelRule(3, multiple=3, mirrored=True),
    "raid5": LevelRule(3, parity=1),
    "raid6": LevelRule(4, parity=2),
    "raid10": LevelRule(4, multiple=2, copies=2),
    "raid10adm": LevelRule(6, multiple=3, copies=3),
    "raid50": LevelRule(6, parity=1, span_least=3),
    "raid60": LevelRule(8, parity=2, span_least=4),
    "jbod": LevelRule(1),
}


def spans_of(level: str, count: int, wished: int | None = None) -> int | None:
    """How many spans a level has on so many drives; None where it can't be laid out so.

    Levels without spans have one. The fewest spans are taken, which waste the least; each must hold
    equally many drives, which controllers insist on.
    """
    rule = LEVELS[level]
    if not rule.span_least:
        return 1 if wished in (None, 1) else None
    possible = [n for n in range(2, count // rule.span_least + 1) if count % n == 0]
    if wished is not None:
        return wished if wished in possible else None
    return possible[0] if possible else None


def why_impossible(level: str, count: int, spans: int | None = None) -> str | None:
    """Why a level can't be made of so many drives, in words; None where it can."""
    rule = LEVELS[level]
    if count < rule.least:
        return f"{level} needs at least {rule.least} drives, got {count}"
    if count % rule.multiple:
        return f"{level} needs a multiple of {rule.multiple} drives, got {count}"
    if spans_of(level, count, spans) is None:
        how = f"{spans} spans" if spans else "equal spans"
        least = f" of at least {rule.span_least}" if rule.span_least else ""
        return f"{level} can't divide {count} drives into {how}{least}"
    return None


def data_bytes(level: str, count: int, usable_bytes: int, spans: int = 1) -> int:
    """How much a volume over whole drives holds, when each gives `usable_bytes`."""
    return int(LEVELS[level].data(count, spans) * usable_bytes)
