"""`approve`: show what a waiting plan erases, and consent to exactly that plan."""

from typing import Annotated, Any, Final

import typer
from pydantic import ValidationError

from metal.cli.apply import result_exit, show_differences
from metal.cli.asking import confirm
from metal.cli.job_words import HASH_CHARS, result_row
from metal.cli.me import me
from metal.cli.output import is_terminal, say, show_json, show_table
from metal.cli.plan_file import compare
from metal.cli.plans import Json
from metal.cli.waiting import wait_for_job
from metal.edge_client import EdgeClient
from metal.edge_client.wire import NotKnown
from metal.errors import UnsafeChange
from metal.planning.plan import Plan
from specs.records import Consent, JobRecord
from specs.sizes import human_size

SHORTEST: Final = 8
"""Characters of a hash that are enough to name a plan among a host's."""


def approve(
    host: str,
    *,
    plan_hash: Annotated[
        str | None, typer.Option("--plan", help="Hash, or its first 8 characters; default: the waiting plan.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask at a terminal.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the job's end.")] = False,
    json: Json = False,
) -> None:
    """Consent to what a waiting plan destroys; its job goes on.

    Shows the disks that are erased and what was found on them. Another plan's hash is refused with the
    difference between both.
    """
    with EdgeClient() as edge:
        waiting = waiting_job(edge, host)
        named = chosen_hash(edge, host, waiting, plan_hash)
        body = stored(edge, named) if named else None
        if body is not None and not json:
            show_erased(body)
        if is_terminal() and not json and plan_hash is None:
            confirm(f"Consent to plan {(named or '')[:HASH_CHARS]} of {host}?", yes=yes)
        consent = edge.consent(host, plan=named, by=me())
        job = wait_for_job(edge, edge.job(host, waiting.no)) if wait and waiting else None
    show(consent, job, json=json)
    if job is not None:
        raise typer.Exit(result_exit([result_row(job)]))


def show(consent: Consent, job: JobRecord | None, *, json: bool) -> None:
    """The consent, and how its job ended."""
    if json:
        ended = job.model_dump(mode="json") if job else None
        show_json({"consent": consent.model_dump(mode="json"), "job": ended})
        return
    until = f"{consent.expires:%Y-%m-%d %H:%M} UTC"
    say(f"{consent.host}: plan {consent.plan[:HASH_CHARS]} is approved by {consent.by} until {until}")


def waiting_job(edge: EdgeClient, host: str) -> JobRecord | None:
    """The job that waits for consent."""
    return next((job for job in edge.jobs(host) if job.state == "waiting-consent"), None)


def chosen_hash(edge: EdgeClient, host: str, waiting: JobRecord | None, given: str | None) -> str | None:
    """The whole hash of the plan that is consented to. Raises UnsafeChange when another one waits."""
    if waiting is None or waiting.plan is None:
        return given
    if given is None or (len(given) >= SHORTEST and waiting.plan.startswith(given)):
        return waiting.plan
    now, was = stored_plan(edge, waiting.plan), stored_plan(edge, given)
    if now is not None and was is not None:
        show_differences(host, compare(was, now))
    raise UnsafeChange(
        f"plan {waiting.plan[:HASH_CHARS]} waits for consent, not {given[:HASH_CHARS]}; nothing was approved",
        host=host,
        reason="plan-moved",
        hint=f"look at it, then: rackflow approve {host} --plan {waiting.plan[:HASH_CHARS]}",
    )


def stored(edge: EdgeClient, plan_hash: str) -> dict[str, Any] | None:
    """A plan as the edge has it."""
    try:
        return edge.plan(plan_hash)
    except NotKnown:
        return None


def stored_plan(edge: EdgeClient, plan_hash: str) -> Plan | None:
    """A plan that the edge has, if this version can read it."""
    try:
        return Plan.model_validate(stored(edge, plan_hash))
    except ValidationError:
        return None


def show_erased(body: dict[str, Any]) -> None:
    """What consent is asked for; a plan of another version is read as far as it can be."""
    rows = {}
    for step in _dicts(body.get("steps")):
        for disk in _dicts(step.get("destroys")):
            size = disk.get("size_bytes")
            shown = human_size(size) if isinstance(size, int) and size > 0 else "unknown"
            rows[disk.get("serial")] = (
                disk.get("serial"),
                shown,
                disk.get("found") or "blank",
                step.get("id"),
            )
    if body.get("wipe"):
        say("a wipe: nothing is installed afterwards")
    if rows:
        show_table(("erased disk", "size", "found on it", "by step"), list(rows.values()))
    else:
        say("the plan names no disk that is erased; rackflow plan shows its steps")


def _dicts(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
