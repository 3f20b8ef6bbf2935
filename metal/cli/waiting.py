"""Waiting for jobs: a live table on a terminal, one line per change in a pipe, always with a deadline."""

import time
from collections.abc import Callable, Iterable
from typing import Final

from rich.live import Live
from rich.table import Table

from metal.cli.output import console, say
from metal.edge_client import EdgeClient
from metal.errors import Unreachable
from specs.records import JobRecord, JournalRow

POLL_S: Final = 1.0
DEADLINE_S: Final = 90 * 60
ENDED: Final = frozenset({"done", "failed", "cancelled", "waiting-consent"})


def wait_for_job(edge: EdgeClient, job: JobRecord) -> JobRecord:
    """One job to its end."""
    return wait_for_jobs(edge, [job])[0]


def wait_for_jobs(
    edge: EdgeClient,
    jobs: Iterable[JobRecord],
    *,
    deadline_s: float = DEADLINE_S,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> list[JobRecord]:
    """Jobs to their ends, showing each one's newest step. Raises Unreachable at the deadline."""
    current = {(job.host_id, job.no): job for job in jobs}
    ends_at = clock() + deadline_s
    last_lines: dict[tuple[str, int], str] = {}
    with Live(console=console(), refresh_per_second=4, transient=True) as live:
        while True:
            for key in [key for key, job in current.items() if job.state not in ENDED]:
                job = current[key] = edge.job(current[key].host, current[key].no)
                text = describe(job, edge.journal_rows(job.host, job=job.no))
                if last_lines.get(key) != text:
                    last_lines[key] = text
                    if not console().is_terminal:
                        say(f"{job.host}: {text}")
            live.update(job_table(current.values(), last_lines))
            if all(job.state in ENDED for job in current.values()):
                return list(current.values())
            if clock() > ends_at:
                stuck = ", ".join(f"{j.host} ({j.state})" for j in current.values() if j.state not in ENDED)
                raise Unreachable(f"not finished after {deadline_s:.0f} s: {stuck}", hint="rackflow why NAME")
            sleep(POLL_S)


def describe(job: JobRecord, journal: list[JournalRow]) -> str:
    """The state of a job in a few words."""
    if job.state in ENDED or not journal:
        return job.message or job.state
    newest = journal[-1]
    done = sum(1 for row in journal if row.phase == "done")
    word = {"intent": "doing", "done": "done", "failed": "failed"}[newest.phase]
    return f"{word} {newest.step} ({done} steps done)"


def job_table(jobs: Iterable[JobRecord], lines: dict[tuple[str, int], str]) -> Table:
    """The live table."""
    table = Table("host", "job", "state", "step", header_style="bold")
    for job in jobs:
        table.add_row(job.host, f"{job.verb} #{job.no}", job.state, lines.get((job.host_id, job.no), ""))
    return table
