"""A line of the table, and how a time is taken: best of several rounds, for shared machines stall."""

import json
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

ROUNDS = 5


@dataclass(frozen=True)
class Row:
    """Ours against a peer, in seconds for the same work; without a peer, against nothing."""

    what: str
    ours_s: float
    per: str
    peer: str = ""
    peer_s: float | None = None


def best_s(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Seconds of the fastest round: everything slower is somebody else's doing."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


def tell(rows: Iterable[Row]) -> None:
    """Hand rows to the process that prints the table."""
    json.dump([asdict(row) for row in rows], sys.stdout)
