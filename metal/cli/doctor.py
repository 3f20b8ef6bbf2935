"""`doctor`: what is wrong with a site, in words, and what to do next."""

from collections import Counter
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from metal.cli.output import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_UNREACHABLE,
    console,
    is_terminal,
    line,
    show_json,
    show_table,
)
from metal.doctor.checkup import checks
from metal.doctor.findings import GROUPS, Check, Reported, Status, run_checks
from metal.doctor.surroundings import Surroundings, gather
from metal.errors import SpecError, Unreachable

LISTEN_S: Final = 5.0
"""dnsmasq pings an address for three seconds before it offers it; OVMF waits 3.3 s, BIOS ROMs longer."""
SIGNS: Final[dict[Status, str]] = {"ok": "ok", "warning": "warning", "failed": "FAILED", "skipped": "skipped"}


def doctor(
    *,
    only: Annotated[
        list[str] | None, typer.Option("--only", help=f"Only this group: {', '.join(GROUPS)}. Repeatable.")
    ] = None,
    specs: Annotated[
        Path | None, typer.Option(help="Spec folder to know the site by while the edge is down.")
    ] = None,
    listen: Annotated[
        float, typer.Option(help="Seconds to collect DHCP offers on each link.", min=1.0, max=120.0)
    ] = LISTEN_S,
    deep: Annotated[bool, typer.Option("--deep", help="Read every chunk of every image.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check the site as a machine sees it: say what is wrong and what to do.

    Most is seen as root on the edge's machine. Elsewhere, checks that need that machine or a raw socket
    are skipped and say so. Exit 1 when a check failed, 5 when the edge does not answer.
    """
    if unknown := sorted(set(only or ()) - set(GROUPS)):
        raise SpecError(f"no such group: {', '.join(unknown)}", hint=f"groups: {', '.join(GROUPS)}")
    around = gather(specs)
    reported = run_with_progress(checks(around, listen_s=listen, deep=deep, only=only or ()))
    if json:
        show_json(as_json(around, reported))
    else:
        show(reported)
    raise typer.Exit(exit_code(around, reported))


def run_with_progress(wanted: list[Check]) -> list[Reported]:
    """Run the checks; a bar on a terminal, nothing in a pipe."""
    if not is_terminal():
        return run_checks(wanted)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console(), transient=True) as progress:
        task = progress.add_task("checking", total=len(wanted))
        return run_checks(wanted, lambda check: progress.update(task, advance=1, description=check.name))


def show(reported: list[Reported]) -> None:
    """The table by group, then what to do, worst first."""
    rows, group = [], ""
    for each in reported:
        found = each.finding
        rows.append(
            (each.group if each.group != group else "", SIGNS[found.status], found.name, found.message)
        )
        group = each.group
    show_table(("group", "result", "what", "found"), rows)
    for status in ("failed", "warning"):
        for each in reported:
            if each.finding.status == status and each.finding.next:
                line(f"{status}: {each.finding.name}: {each.finding.message}", bold=status == "failed")
                line(f"  next: {each.finding.next}")
    count = Counter(each.finding.status for each in reported)
    line(", ".join(f"{count[status]} {status}" for status in SIGNS if count[status]))


def as_json(around: Surroundings, reported: list[Reported]) -> dict[str, object]:
    """The whole answer."""
    count = Counter(each.finding.status for each in reported)
    return {
        "site": around.site.metadata.name if around.site else None,
        "edge": around.address.url,
        "on_edge_host": around.on_edge_host,
        "counts": {status: count[status] for status in SIGNS},
        "checks": [
            {
                "group": each.group,
                "name": each.finding.name,
                "status": each.finding.status,
                "message": each.finding.message,
                "next": each.finding.next or None,
            }
            for each in reported
        ],
    }


def exit_code(around: Surroundings, reported: list[Reported]) -> int:
    """5 beats 1: without the edge most of the rest could not be asked."""
    if isinstance(around.edge_error, Unreachable):
        return EXIT_UNREACHABLE
    return EXIT_FAILED if any(each.finding.status == "failed" for each in reported) else EXIT_DONE
