"""`python -m bench [NAME…]`: side-by-side ratios, each subject in a process of its own."""

import json
import subprocess
import sys

from bench.row import Row

SUBJECTS = ("packets", "plans", "files", "turns")


def shown(seconds: float) -> str:
    """A time in the unit that suits it."""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.1f} {unit}"
    return f"{seconds * 1e9:.0f} ns"


def line(row: Row) -> tuple[str, ...]:
    """One row of the table."""
    ours = f"{shown(row.ours_s)} {row.per}"
    if row.peer_s is None:
        return row.what, ours, "", "", ""
    return row.what, ours, row.peer, shown(row.peer_s), f"{row.peer_s / row.ours_s:.1f}x"


def main() -> None:
    """Run the subjects and print one table."""
    lines: list[tuple[str, ...]] = [("what", "ours", "peer", "peer's", "faster by")]
    for subject in sys.argv[1:] or SUBJECTS:
        if subject not in SUBJECTS:
            sys.exit(f"no subject {subject}; there are {', '.join(SUBJECTS)}")
        done = subprocess.run(
            [sys.executable, "-m", f"bench.{subject}"], capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"{subject} failed:\n{done.stderr}")
        lines += [line(Row(**row)) for row in json.loads(done.stdout)]
    widths = [max(len(cells[column]) for cells in lines) for column in range(5)]
    for cells in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())


if __name__ == "__main__":
    main()
