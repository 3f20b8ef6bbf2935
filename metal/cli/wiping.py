"""`wipe`: erase the disks of a host, have it attested by disk, and leave the host ready."""

from typing import Annotated, Any

import typer

from metal.cli.apply import result_exit, show_results
from metal.cli.asking import confirm
from metal.cli.job_words import result_row
from metal.cli.me import me
from metal.cli.output import EXIT_DONE, line, show_json, show_table
from metal.cli.plans import Disks, Json, Method, plan_one, show_plan, wipe_wish
from metal.cli.waiting import wait_for_job
from metal.edge_client import EdgeClient
from metal.errors import SpecError
from metal.planning.attested import WIPE_HEADER, wipe_row
from metal.planning.plan import Plan
from metal.planning.report import erased_disks
from specs.erasure import WipeWish
from specs.facts import WipeReport


def wipe(
    name: str,
    *,
    method: Method = None,
    disk: Disks = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Post the job and return.")] = False,
    json: Json = False,
) -> None:
    """Erase all disks of a host, or those that are named; it is ready afterwards, and nothing is installed.

    Shows what is on the disks and asks. The host is read anew before anything is erased, and a disk that can
    not be erased as asked refuses all of it. Exit 4 when the plan waits for consent (rackflow approve).
    rackflow plan NAME --wipe shows the same and starts nothing.
    """
    wish = wipe_wish(method, disk)
    with EdgeClient() as edge:
        confirm(_looked(edge, name, wish, json=json), yes=yes)
        job = edge.post_job(name, "wipe", wish.model_dump(mode="json"), by=me())
        if not no_wait:
            job = wait_for_job(edge, job)
        reports = edge.wipes(name, job=job.no)
    result = result_row(job)
    show(result, reports, json=json)
    raise typer.Exit(EXIT_DONE if no_wait else result_exit([result]))


def _looked(edge: EdgeClient, name: str, wish: WipeWish, *, json: bool) -> str:
    """Show what would be erased by the last reading; what to ask.

    A host whose disks no reading knows is not refused for it: its job reads them, in the boot OS if need be.
    """
    try:
        plan = plan_one(edge, name, wipe=wish)
    except SpecError as error:
        if error.reason != "disks-unread":
            raise
        which = "all of them" if wish.disks == "all" else ", ".join(wish.disks)
        return f"{name}: {error.message}. Have them read, and erase {which}?"
    if not json:
        show_plan(plan)
    return _question(plan)


def _question(plan: Plan) -> str:
    disks = erased_disks(plan)
    if not disks:
        return f"Nothing of {plan.host} can be erased as it was last read. Read it anew and try?"
    return f"Erase {len(disks)} disk{'' if len(disks) == 1 else 's'} of {plan.host}: {', '.join(disks)}?"


def show(result: dict[str, Any], reports: list[WipeReport], *, json: bool) -> None:
    """How the job ended, and the report of each disk that it erased."""
    if json:
        show_json({"hosts": [result | {"wipes": [one.model_dump(mode="json") for one in reports]}]})
        return
    if reports:
        show_table(WIPE_HEADER, [wipe_row(one) for one in reports])
    show_results([result])
    if result["result"] == "applied":
        line(f"{result['name']}: {result['message']}")
