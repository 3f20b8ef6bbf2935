"""Figures, the aims they are held against, and what comes of it. Pure.

A row compares one figure of ours with one of a peer, or has no peer. Its values are those of several rounds
that alternate between both; a ratio is the median of the rounds' ratios, because both halves of a round
met the same neighbours on the machine.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Literal

Of = Literal["ratio", "cpu", "value"]
"""What an aim is about: ours against the peer's, the same of processor time, or our own figure."""


@dataclass(frozen=True)
class Aim:
    """A bound: what is aimed at, and the least that will do (the aim itself when there is no other)."""

    of: Of
    sense: Literal[">=", "<="]
    aim: float
    least: float | None = None

    def verdict(self, figure: float | None) -> str:
        """`met`, `met in the least`, `not met`, or `not measured`."""
        if figure is None:
            return "not measured"
        if self._holds(figure, self.aim):
            return "met"
        if self.least is not None and self._holds(figure, self.least):
            return "met in the least"
        return "not met"

    def _holds(self, figure: float, bound: float) -> bool:
        return figure >= bound if self.sense == ">=" else figure <= bound

    def __str__(self) -> str:
        sign = "≥" if self.sense == ">=" else "≤"
        name = {"ratio": "", "cpu": "CPU ", "value": ""}[self.of]
        times = " x" if self.of != "value" else ""
        least = f" (least {self.least:g}{times})" if self.least is not None else ""
        return f"{name}{sign} {self.aim:g}{times}{least}"


@dataclass(frozen=True)
class Figure:
    """One subject's values, a round each, with the processor time per operation beside them."""

    values: tuple[float, ...] = ()
    cpu: tuple[float, ...] = ()
    missing: str = ""
    """Why there are none."""
    note: str = ""
    """What else a reader has to know: losses, percentiles."""

    @property
    def value(self) -> float | None:
        """The median of the rounds."""
        return median(self.values) if self.values else None

    @property
    def cpu_each(self) -> float | None:
        """The same of processor time."""
        return median(self.cpu) if self.cpu else None


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    unit: str
    ours: Figure
    peer: str = ""
    theirs: Figure | None = None
    cpu_unit: str = ""
    aims: tuple[Aim, ...] = ()

    def of(self, of: Of) -> float | None:
        """The figure that an aim is about."""
        if of == "value":
            return self.ours.value
        theirs = self.theirs or Figure()
        pair = (self.ours.values, theirs.values) if of == "ratio" else (self.ours.cpu, theirs.cpu)
        return ratio(*pair)

    def verdicts(self) -> list[tuple[Aim, str]]:
        """Each aim and whether it is met."""
        return [(aim, aim.verdict(self.of(aim.of))) for aim in self.aims]


@dataclass(frozen=True)
class Section:
    """All rows of one section, with what they were measured on."""

    name: str
    rows: tuple[Row, ...]
    commit: str
    at: str
    machine: str
    options: str = ""
    notes: tuple[str, ...] = field(default=())


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float | None:
    """Median of the rounds' ratios; rounds that only one side has do not count."""
    pairs = [a / b for a, b in zip(ours, theirs, strict=False) if b]
    return median(pairs) if pairs else None


def encode(section: Section) -> dict[str, Any]:
    """A section as JSON, its ratios and verdicts written out."""
    told = asdict(section)
    for row, said in zip(section.rows, told["rows"], strict=True):
        said["ratio"], said["cpu_ratio"] = row.of("ratio"), row.of("cpu")
        said["verdicts"] = [{"aim": str(aim), "verdict": verdict} for aim, verdict in row.verdicts()]
    return told


def decode(told: dict[str, Any]) -> Section:
    """A section from JSON; ratios and verdicts are made anew."""
    rows = tuple(
        Row(
            what=row["what"],
            unit=row["unit"],
            ours=_figure(row["ours"]),
            peer=row["peer"],
            theirs=_figure(row["theirs"]) if row["theirs"] else None,
            cpu_unit=row["cpu_unit"],
            aims=tuple(Aim(**aim) for aim in row["aims"]),
        )
        for row in told["rows"]
    )
    names = ("name", "commit", "at", "machine", "options")
    return Section(rows=rows, notes=tuple(told["notes"]), **{name: told[name] for name in names})


def _figure(told: dict[str, Any]) -> Figure:
    return Figure(tuple(told["values"]), tuple(told["cpu"]), told["missing"], told["note"])
