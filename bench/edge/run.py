"""One run of the bench: options, testbed, progress, and rounds that alternate between subjects."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bench.edge import ours
from bench.edge.results import Figure
from bench.edge.testbed import BenchError, Testbed

MIB = 1 << 20
Measured = tuple[float, float, str]
"""One round's value, its processor time per operation, and a note."""


@dataclass(frozen=True)
class Options:
    """What was asked for."""

    quick: bool = False
    rounds: int = 3
    exchanges: int = 1_000_000
    """How many exchanges the memory section makes."""

    @property
    def seconds(self) -> float:
        """Length of one measurement."""
        return 2.0 if self.quick else 4.0

    def __str__(self) -> str:
        return f"{self.rounds} round{'s' if self.rounds > 1 else ''}{', quick' if self.quick else ''}"


@dataclass
class Run:
    """What every section is given."""

    testbed: Testbed
    options: Options
    say: Callable[[str], None]
    """Tell the progress bar what is done now."""
    notes: list[str] = field(default_factory=list)

    def rounds(self, names: Sequence[str], measure: Callable[[str], Measured]) -> dict[str, Figure]:
        """Measure each subject once per round, in turn. A peer that fails is out; if ours fails, all does."""
        taken: dict[str, list[Measured]] = {name: [] for name in names}
        missing: dict[str, str] = {}
        for number in range(self.options.rounds):
            for name in names:
                self.say(f"{name}, round {number + 1}")
                if name in missing:
                    continue
                try:
                    taken[name].append(measure(name))
                except BenchError as error:
                    if name == ours.NAME:
                        raise
                    missing[name] = str(error)
        return {name: figure(taken[name], missing.get(name, "")) for name in names}


def figure(measured: Sequence[Measured], missing: str = "") -> Figure:
    """Rounds as a figure; the note is that of the middle round."""
    if missing or not measured:
        return Figure(missing=missing or "not measured")
    middle = sorted(measured)[len(measured) // 2]
    cpu = tuple(each for _, each, _ in measured)
    # A server that disowns its children leaves no account of them.
    return Figure(tuple(value for value, _, _ in measured), cpu if all(cpu) else (), note=middle[2])


def split(figures: Mapping[str, Figure]) -> tuple[Figure, dict[str, Figure]]:
    """Ours, and the peers'."""
    return figures[ours.NAME], {name: one for name, one in figures.items() if name != ours.NAME}
