"""A job in a few words, the same in `hosts`, `host NAME`, `apply` and `cancel`. Pure."""

import os
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from metal.cli.up.parts import PREFECT_PORT
from specs.records import HostRecord, JobRecord, JournalRow, LeaseRecord

FINAL: Final = frozenset({"done", "failed", "cancelled"})
ENDED: Final = FINAL | {"waiting-consent"}
"""States in which nothing more happens without a person."""
EVENTS: Final = {"boot-os": "the boot OS", "os": "the installed system", "bmc": "the BMC"}
DEFAULT_TTL_S: Final = 90
HASH_CHARS: Final = 12


def job_name(job: JobRecord) -> str:
    """Verb and number."""
    return f"{job.verb} #{job.no}"


def state_words(job: JobRecord) -> str:
    """Where a job stands: what it waits for, until when, and how many runs were lost on the way."""
    words: str = job.state
    if job.state == "waiting" and job.wait is not None:
        words = f"waits for {EVENTS[job.wait.event]}, looks again at {moment(job.wait.deadline)}"
    elif job.state == "waiting-consent":
        words = f"waits for consent to plan {(job.plan or '?')[:HASH_CHARS]}"
    elif job.state == "cancelling":
        words = "is being cancelled"
    elif job.state == "wanted" and job.lost_runs:
        words = "waits for its next attempt"
    if job.lost_runs and job.state not in FINAL:
        words += f" ({job.lost_runs} run{'s' if job.lost_runs > 1 else ''} lost)"
    return words


def progress(job: JobRecord, journal: list[JournalRow]) -> str:
    """What a job does now, in one line."""
    if job.state in ENDED:
        return job.message or state_words(job)
    if job.state == "waiting" and job.wait is not None:
        return f"{job.wait.message}; looks again at {moment(job.wait.deadline)}"
    if job.state == "wanted" or not journal:
        return state_words(job)
    newest = journal[-1]
    if job.state == "cancelling":
        begun = f": step {newest.step} ends first, if its run lives" if newest.phase == "intent" else ""
        return f"{state_words(job)}{begun}"
    word = {"intent": "doing", "done": "done", "failed": "failed"}[newest.phase]
    lost = f", {job.lost_runs} lost before" if job.lost_runs else ""
    return f"{word} {newest.step} ({steps_done(journal)} steps done, run {job.run_no}{lost})"


def steps_done(journal: list[JournalRow]) -> int:
    """How many steps are done."""
    return len({row.step for row in journal if row.phase == "done"})


def left(journal: list[JournalRow]) -> list[str]:
    """What an ended job left behind: finished steps, and those begun without an outcome."""
    done = list(dict.fromkeys(row.step for row in journal if row.phase == "done"))
    newest = {row.step: row for row in journal}
    told = [f"finished: {', '.join(done)}" if done else "no step was finished"]
    told += [
        f"step {row.step} was begun at {moment(row.at)} and has no outcome"
        for row in newest.values()
        if row.phase == "intent"
    ]
    return told


def holder_words(lease: LeaseRecord, *, now: datetime) -> str:
    """Who holds the host, until when."""
    state = "until" if lease.expires > now else "expired at"
    return (
        f"job {lease.job}, flow run {lease.run_id[:8]}, epoch {lease.epoch}, {state} {moment(lease.expires)}"
    )


def renewed_ago_s(lease: LeaseRecord, *, now: datetime) -> float:
    """Seconds since the holder renewed: a lease expires a fixed time after each renewal."""
    ttl_s = int(os.environ.get("RACKFLOW_LEASE_TTL_S", DEFAULT_TTL_S))
    return (now - (lease.expires - timedelta(seconds=ttl_s))).total_seconds()


def moment(at: datetime) -> str:
    """A time, as `why` writes it: without the date today."""
    utc = at.astimezone(UTC)
    return f"{utc:%H:%M:%S} UTC" if utc.date() == datetime.now(UTC).date() else f"{utc:%Y-%m-%d %H:%M} UTC"


def busy(host: HostRecord) -> bool:
    """Whether a host is likely to have an open job: only then it is worth a question of its own."""
    at_work = host.phase.value in ("registered", "inspecting", "provisioning", "wiping")
    asked = host.reason in ("waiting-consent", "foreign-content")
    return host.last_job is not None and (at_work or asked or host.lease is not None)


def result_row(job: JobRecord) -> dict[str, Any]:
    """A job as `apply --json` prints it."""
    result = job.result or ("failed" if job.state in ("failed", "cancelled") else job.state)
    return {
        "name": job.host,
        "result": result,
        "changes": job.outcome.get("changes", 0),
        "writes": job.outcome.get("writes", 0),
        "run_url": run_url(job.run_id),
        "stages": job.outcome.get("stages", []),
        "reason": job.reason,
        "message": job.message,
        "next": job.next_step and job.next_step.replace("NAME", job.host),
        "plan": job.plan,
    }


def run_url(run_id: str | None) -> str | None:
    """The run's page in the Prefect UI."""
    return f"http://127.0.0.1:{PREFECT_PORT}/runs/flow-run/{run_id}" if run_id else None
