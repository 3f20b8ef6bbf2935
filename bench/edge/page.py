"""The table of docs/performance.md, between two markers; what is around them is written by hand."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.edge.results import Row, Section
from bench.edge.table import cells, notes_of
from bench.edge.testbed import CLONE, BenchError

PAGE = CLONE / "docs" / "performance.md"
BEGIN, END = "<!-- bench-edge begins -->", "<!-- bench-edge ends -->"
HEADS = ("what", "ours", "peer", "peer's", "ratio", "CPU", "peer's CPU", "CPU ratio", "aims")


def write(sections: Sequence[Section], path: Path = PAGE) -> None:
    """Put the sections in the place of what stands between the markers."""
    path.write_text(replaced(path.read_text(), sections))


def replaced(text: str, sections: Iterable[Section]) -> str:
    """The page with the new tables."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise BenchError(f"the page lacks {BEGIN} or {END}")
    return f"{before}{BEGIN}\n\n" + "\n".join(markdown(section) for section in sections) + f"{END}{after}"


def markdown(section: Section) -> str:
    """One section as a heading, its circumstances, and a table."""
    lines = [f"### {section.name}", ""]
    lines += [f"{section.at} UTC, commit `{section.commit}`, {section.options}; {section.machine}.", ""]
    lines += [_line(HEADS), _line(["---"] * len(HEADS))]
    lines += [_line((*cells(row), _aims(row))) for row in section.rows]
    notes = [f"- {row.what}, {row.peer or 'ours'}: {said}" for row in section.rows if (said := notes_of(row))]
    notes += [f"- {note}" for note in section.notes]
    return "\n".join([*lines, "", *notes, ""] if notes else [*lines, ""])


def _aims(row: Row) -> str:
    return "; ".join(f"{aim}: **{verdict}**" for aim, verdict in row.verdicts())


def _line(row: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
