"""The report of an erasing for people: a row for a terminal, markdown for a Prefect artifact."""

from datetime import UTC, datetime
from typing import Final

from metal.planning.report import safe_table
from specs.facts import WipeReport
from specs.sizes import human_size

WIPE_HEADER: Final = ("erased", "size", "method", "how", "began", "ended", "samples", "proof")


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


def _moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%F %T} UTC"
