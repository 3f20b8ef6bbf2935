"""Ranges of addresses as numbers: what is left of a pool when some are taken out."""

from collections.abc import Iterable

Range = tuple[int, int]
"""First and last, both included."""


def without(pool: Iterable[Range], barred: Iterable[Range]) -> list[Range]:
    """The pool without the barred ranges: sorted, not overlapping, however large either of them is."""
    closed = sorted(barred)
    left: list[Range] = []
    reached = -1
    for first, last in sorted(pool):
        start = max(first, reached + 1)
        reached = max(reached, last)
        for low, high in closed:
            if high < start or low > last:
                continue
            if low > start:
                left.append((start, low - 1))
            start = high + 1
        if start <= last:
            left.append((start, last))
    return left
