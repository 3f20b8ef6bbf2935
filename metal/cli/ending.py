"""`cancel` and `release`: end a host's job in an orderly way, or take the host from a run that is dead."""

from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from metal.cli.asking import confirm
from metal.cli.job_words import (
    FINAL,
    holder_words,
    job_name,
    left,
    renewed_ago_s,
    run_url,
    state_words,
)
from metal.cli.me import me
from metal.cli.output import EXIT_DONE, EXIT_FAILED, line, say, show_json
from metal.cli.waiting import wait_for_job
from metal.edge_client import EdgeClient
from metal.errors import Refused
from specs.records import HostRecord, JobRecord

ALIVE_S: Final = 30.0
"""A run renews every 20 s: one that did within this time lives."""
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def open_job(edge: EdgeClient, name: str) -> JobRecord | None:
    """The newest job that has not ended."""
    return next((job for job in edge.jobs(name) if job.state not in FINAL), None)


def cancel(
    name: str,
    *,
    yes: Yes = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Ask for it and return.")] = False,
    json: Json = False,
) -> None:
    """Cancel a host's job: it stops before its next step and leaves the machine in a known state.

    Waits for that, and says what was finished and what was left. A step that must not be cut ends first.
    """
    with EdgeClient() as edge:
        job = open_job(edge, name)
        if job is None:
            nothing_open(name, json=json)
            return
        if job.state != "cancelling":
            confirm(f"Cancel {job_name(job)} of {name} ({state_words(job)})?", yes=yes)
            job = edge.cancel_job(name, job.no)
        if not no_wait:
            job = wait_for_job(edge, job, ended=FINAL)
        told = left(edge.journal_rows(name, job=job.no))
    cancelled = job.state == "cancelled" or job.reason == "cancelled"
    if json:
        show_json({"job": job.model_dump(mode="json"), "left": told, "run_url": run_url(job.run_id)})
    else:
        show_cancelled(job, told, cancelled=cancelled)
    raise typer.Exit(EXIT_DONE if cancelled or no_wait else EXIT_FAILED)


def nothing_open(name: str, *, json: bool) -> None:
    """Say that there is nothing to cancel; that is no failure, so that a repeated command is harmless."""
    if json:
        show_json({"job": None, "left": [], "run_url": None})
    else:
        say(f"{name} has no open job: nothing to cancel")


def show_cancelled(job: JobRecord, told: list[str], *, cancelled: bool) -> None:
    """How the job ended, and what it left."""
    if job.state not in FINAL:
        line(f"{job.host}: {job_name(job)} {state_words(job)}; rackflow cancel {job.host} waits for its end")
        return
    if not cancelled:
        line(f"{job.host}: {job_name(job)} ended before it could be cancelled: {job.message or job.result}")
        return
    line(f"{job.host}: {job_name(job)} is cancelled" + (f": {job.message}" if job.message else ""))
    for text in told:
        line(f"  {text}")
    line(f"next: rackflow why {job.host} says how to go on")


def release(
    name: str,
    *,
    yes: Yes = False,
    force: Annotated[bool, typer.Option("--force", help="Also from a run that renewed just now.")] = False,
    json: Json = False,
) -> None:
    """Take a host from a run that is known to be dead: its lease is freed, its job fails as released.

    Nothing is sent to the machine. A run that lives on is refused at its next write, and what it started on
    the machine is ended by the next run. Usually rackflow cancel is better: it winds down first.
    """
    with EdgeClient() as edge:
        host = edge.host(name)
        job = open_job(edge, name)
        if host.lease is None and job is None:
            say(f"{name} is free: no run holds it and no job is open")
            return
        refuse_alive(host, force=force)
        confirm(f"Release {name} from {_whom(host, job)}?", yes=yes)
        host = edge.release_host(name, by=me())
    if json:
        show_json(host.model_dump(mode="json"))
        return
    line(f"{name}: released; it is {host.phase.value}" + (f" ({host.reason})" if host.reason else ""))
    line(f"next: rackflow why {name} says how to go on")


def _whom(host: HostRecord, job: JobRecord | None) -> str:
    if host.lease is not None:
        return holder_words(host.lease, now=datetime.now(UTC))
    return f"{job_name(job)} ({state_words(job)})" if job else "nobody"


def refuse_alive(host: HostRecord, *, force: bool) -> None:
    """Refuse while the holder shows that it lives."""
    if host.lease is None or force:
        return
    now = datetime.now(UTC)
    ago_s = renewed_ago_s(host.lease, now=now)
    if ago_s < ALIVE_S:
        raise Refused(
            f"{holder_words(host.lease, now=now)}, renewed its lease {max(0.0, ago_s):.0f} s ago: it lives",
            host=host.name,
            reason="lease",
            hint=f"rackflow cancel {host.name}; --force releases it all the same",
        )
