"""What the CLI shows: tables on a terminal, plain lines in a pipe, JSON when asked; errors to stderr."""

import json
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from metal.errors import InvalidSpecs, RackflowError, SpecError, Unreachable

EXIT_DONE, EXIT_FAILED, EXIT_USAGE, EXIT_PENDING, EXIT_CONSENT, EXIT_UNREACHABLE = 0, 1, 2, 3, 4, 5

# Without emoji=False the `:ab:` of a MAC becomes a picture.
_out = Console(highlight=False, soft_wrap=True, emoji=False)
_err = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)


def say(text: str) -> None:
    """One line for a person, on stderr, so that stdout stays parseable."""
    _err.print(text, markup=False)


def line(text: str, *, bold: bool = False) -> None:
    """One line of the result; the one that counts is bold on a terminal."""
    _out.print(text, markup=False, style="bold" if bold else None)


def show_json(value: Any) -> None:
    """The result as JSON."""
    sys.stdout.write(json.dumps(value, indent=2, sort_keys=False, default=str) + "\n")


def show_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str | None = None) -> None:
    """A table on a terminal; tab-separated lines with a header in a pipe."""
    cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
    if not _out.is_terminal:
        for row in ([*columns], *cells):
            sys.stdout.write("\t".join(row) + "\n")
        return
    table = Table(*columns, title=title, title_justify="left", header_style="bold")
    for row in cells:
        table.add_row(*row)
    _out.print(table)


def is_terminal() -> bool:
    """Whether the result goes to a person's terminal."""
    return _out.is_terminal


def console() -> Console:
    """The console for progress displays, on stderr."""
    return _err


def exit_code(error: RackflowError) -> int:
    """The exit code of an error family."""
    if isinstance(error, SpecError):
        return EXIT_USAGE
    if isinstance(error, Unreachable):
        return EXIT_UNREACHABLE
    return EXIT_FAILED


def show_error(error: RackflowError) -> None:
    """An error on stderr: what, on which host, and what to do next; each finding on its line."""
    where = f"{error.host}: " if error.host else ""
    _err.print(f"error: {where}{error.message}", style="bold red", markup=False)
    if isinstance(error, InvalidSpecs):
        for finding in error.findings:
            _err.print(f"  {finding}", markup=False)
    if error.hint:
        _err.print(f"  next: {error.hint}", markup=False)
