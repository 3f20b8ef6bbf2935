"""The report of an erasing for people: a row for a terminal, markdown for a Prefect artifact."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from metal.planning.report import safe, safe_table
from specs.facts import WipeReport
from specs.sizes import human_size

WIPE_HEADER: Final = ("erased", "size", "method", "how", "began", "ended", "samples", "proof")


NOT_ERASED: Final = "not erased: "
"""How a wipe's plan begins to tell of a disk or drive that keeps what it holds."""


def wipe_row(report: WipeReport) -> tuple[str, ...]:
    """One report under WIPE_HEADER. Times are the machine's own."""
    return (
        report.identity,
        human_size(report.size_bytes),
        report.method,
        report.how,
        _moment(report.began),
        _moment(report.ended),
        f"{report.samples} read, {report.zero_samples} zero",
        "by reading" if report.proven else "the drive's word alone",
    )


def wipe_markdown(report: WipeReport) -> str:
    """The report of one disk."""
    return safe_table(("what", "value"), list(zip(WIPE_HEADER, wipe_row(report), strict=True))) + "\n"


def erased_markdown(reports: Sequence[WipeReport], notes: Sequence[str]) -> str:
    """A wipe as a whole: a row for each disk, and what was not erased."""
    table = safe_table(WIPE_HEADER, [wipe_row(one) for one in reports])
    return "\n\n".join((table, *(f"- {safe(note)}" for note in notes))) + "\n"


def wiped_words(reports: Sequence[WipeReport], notes: Sequence[str]) -> str:
    """What a wipe came to, in one sentence: how many disks, how proven, and what keeps what it holds."""
    told = [f"{one.identity} ({one.method})" for one in reports]
    parts = [f"{len(reports)} disk{'' if len(reports) == 1 else 's'} erased: {', '.join(told)}"]
    unproven = [one.identity for one in reports if not one.proven]
    parts += [f"by the drive's word alone: {', '.join(unproven)}"] if unproven else []
    left = [note for note in notes if note.startswith(NOT_ERASED)]
    parts += [f"{len(left)} not erased, see the plan"] if left else []
    return "; ".join(parts)


def _moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%F %T} UTC"
