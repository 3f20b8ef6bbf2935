"""The table for a terminal, from sections."""

from collections.abc import Iterable, Sequence

from rich.markup import escape
from rich.table import Table

from bench.edge.results import Figure, Row, Section

STYLES = {"met": "green", "met in the least": "yellow", "not met": "red", "not measured": "dim"}
HEADS = ("what", "ours", "peer", "peer's", "ratio", "CPU", "peer's CPU", "CPU ratio", "aim")


def shown(value: float | None, unit: str = "") -> str:
    """A number with as many digits as mean something."""
    if value is None:
        return ""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    text = f"{value:,.{digits}f}" if value else "0"
    return f"{text} {unit}".strip() if not unit.startswith("/") else f"{text}{unit}"


def spread(figure: Figure, unit: str) -> str:
    """The median, and between which values the rounds lay."""
    if figure.value is None:
        return figure.missing
    text = shown(figure.value, unit)
    if len(figure.values) > 1:
        text += f" ({shown(min(figure.values))}-{shown(max(figure.values))})"
    return text


def cells(row: Row) -> tuple[str, ...]:
    """One row as plain text, without its aims."""
    theirs = row.theirs or Figure()
    return (
        row.what,
        spread(row.ours, row.unit),
        row.peer,
        spread(theirs, row.unit) if row.theirs else "",
        shown(row.of("ratio")) if row.theirs else "",
        shown(row.ours.cpu_each, row.cpu_unit) if row.cpu_unit else "",
        shown(theirs.cpu_each, row.cpu_unit) if row.cpu_unit else "",
        shown(row.of("cpu")) if row.cpu_unit else "",
    )


def rich_table(sections: Sequence[Section]) -> Table:
    """All rows; a missing peer has its reason in the place of its figure, notes stand below figures."""
    made = Table(*HEADS, pad_edge=False)
    for section in sections:
        made.add_row(f"[bold]{section.name}[/bold]")
        for row in section.rows:
            plain = [escape(cell) for cell in cells(row)]
            plain[1] += _below(row.ours.note)
            plain[3] += _below(row.theirs.note if row.theirs else "")
            said = "\n".join(f"{aim}: [{STYLES[v]}]{v}[/]" for aim, v in row.verdicts())
            made.add_row(*plain, said)
        made.add_section()
    return made


def _below(note: str) -> str:
    return f"\n[dim]{escape(note)}[/dim]" if note else ""


def circumstances(sections: Iterable[Section]) -> list[str]:
    """What a reader has to know of each section: when, of what, where, and its notes."""
    lines = []
    for section in sections:
        head = (
            f"{section.name}: {section.at} UTC, commit {section.commit}, {section.options}; {section.machine}"
        )
        lines += [head, *(f"  {note}" for note in section.notes)]
    return lines


def notes_of(row: Row) -> str:
    """The notes of both sides in one line."""
    sides = (("ours", row.ours), (row.peer, row.theirs or Figure()))
    return "; ".join(f"{name}: {side.note}" for name, side in sides if side.note)
