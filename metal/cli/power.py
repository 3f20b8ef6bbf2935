"""`power on|off|soft|cycle|reset|status NAME` and `inspect NAME`: jobs like any other, waited for."""

from typing import Annotated, get_args

import typer

from metal.cli.groups import new_group
from metal.cli.job_words import state_words
from metal.cli.me import me
from metal.cli.output import EXIT_DONE, EXIT_FAILED, line, show_json
from metal.cli.waiting import wait_for_job
from metal.edge_client import EdgeClient
from metal.protocols import PowerAction

group = new_group("Power of a host, through its BMC.")
NoWait = Annotated[bool, typer.Option("--no-wait", help="Post the job and return.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def power_job(name: str, action: str, *, no_wait: bool, json: bool) -> None:
    """Post a power job and show its end."""
    run_job(name, "power", {"action": action}, no_wait=no_wait, json=json)


def inspect(name: str, *, no_wait: NoWait = False, json: Json = False) -> None:
    """Read a host anew in the boot OS, and set its BMC up if its account fails; not while its system runs."""
    run_job(name, "inspect", {}, no_wait=no_wait, json=json)


def run_job(name: str, verb: str, args: dict[str, str], *, no_wait: bool, json: bool) -> None:
    """Post a job, wait for its end, and say it."""
    with EdgeClient() as edge:
        job = edge.post_job(name, verb, args, by=me())
        if not no_wait:
            job = wait_for_job(edge, job)
    if json:
        show_json(job.model_dump(mode="json"))
    else:
        line(f"{name}: {job.message or state_words(job)}")
        if job.state == "failed":
            line(f"next: rackflow why {name}")
    raise typer.Exit(EXIT_FAILED if job.state == "failed" else EXIT_DONE)


def _add(action: str, text: str) -> None:
    def command(name: str, *, no_wait: NoWait = False, json: Json = False) -> None:
        power_job(name, action, no_wait=no_wait, json=json)

    command.__doc__ = text
    group.command(action)(command)


TEXTS = {
    "on": "Switch on.",
    "off": "Switch off hard.",
    "soft": "Ask the system to shut down (ACPI).",
    "cycle": "Off and on again.",
    "reset": "Reset without power off.",
    "status": "Read the power state.",
}
for _action in (*get_args(PowerAction), "status"):
    _add(_action, TEXTS[_action])
