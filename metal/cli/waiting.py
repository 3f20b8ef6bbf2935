"""Waiting for jobs: a live table on a terminal, one line per change in a pipe, always with a deadline.

The edge may be restarted meanwhile, and jobs go on over that: a silence of a minute is waited out.
"""

import time
from collections.abc import Callable, Collection, Iterable
from typing import Final

from rich.live import Live
from rich.table import Table

from metal.cli.job_words import ENDED, job_name, progress, state_words
from metal.cli.output import console, say
from metal.edge_client import EdgeClient
from metal.errors import Unreachable
from specs.records import JobRecord

POLL_S: Final = 1.0
DEADLINE_S: Final = 120 * 60
"""Longer than the edge lets a provisioning take, so that the edge's verdict is what is shown."""
WIPE_DEADLINE_S: Final = 25 * 60 * 60
"""The same for a wipe, which may write every block of every disk."""
SILENCE_S: Final = 60.0
Jobs = dict[tuple[str, int], JobRecord]


def wait_for_job(edge: EdgeClient, job: JobRecord, *, ended: Collection[str] = ENDED) -> JobRecord:
    """One job to its end."""
    deadline_s = WIPE_DEADLINE_S if job.verb == "wipe" else DEADLINE_S
    return wait_for_jobs(edge, [job], ended=ended, deadline_s=deadline_s)[0]


def wait_for_jobs(
    edge: EdgeClient,
    jobs: Iterable[JobRecord],
    *,
    ended: Collection[str] = ENDED,
    deadline_s: float = DEADLINE_S,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> list[JobRecord]:
    """Jobs to their ends, showing what each does or waits for. Raises Unreachable at the deadline."""
    current: Jobs = {(job.host_id, job.no): job for job in jobs}
    ends_at = clock() + deadline_s
    lines: dict[tuple[str, int], str] = {}
    heard_at, silent = clock(), False
    with Live(console=console(), refresh_per_second=4, transient=True) as live:
        while True:
            try:
                _look(edge, current, lines, ended)
                heard_at = clock()
                silent = False
            except Unreachable as error:
                if clock() - heard_at > SILENCE_S:
                    raise
                if not silent:
                    say(f"{error.message}; asking on")
                silent = True
            live.update(job_table(current.values(), lines))
            if all(job.state in ended for job in current.values()):
                return list(current.values())
            if clock() > ends_at:
                raise _too_long(current, ended, deadline_s)
            sleep(POLL_S)


def _look(edge: EdgeClient, current: Jobs, lines: dict[tuple[str, int], str], ended: Collection[str]) -> None:
    for key in [key for key, job in current.items() if job.state not in ended]:
        job = current[key] = edge.job(current[key].host, current[key].no)
        text = progress(job, edge.journal_rows(job.host, job=job.no))
        if lines.get(key) != text:
            lines[key] = text
            if not console().is_terminal:
                say(f"{job.host}: {text}")


def _too_long(current: Jobs, ended: Collection[str], deadline_s: float) -> Unreachable:
    stuck = [job for job in current.values() if job.state not in ended]
    told = ", ".join(f"{job.host} ({state_words(job)})" for job in stuck)
    return Unreachable(f"not finished after {deadline_s:.0f} s: {told}", hint=f"rackflow why {stuck[0].host}")


def job_table(jobs: Iterable[JobRecord], lines: dict[tuple[str, int], str]) -> Table:
    """The live table."""
    table = Table("host", "job", "state", "now", header_style="bold")
    for job in jobs:
        table.add_row(job.host, job_name(job), job.state, lines.get((job.host_id, job.no), ""))
    return table
