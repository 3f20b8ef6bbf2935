"""`plan`: what would be done to hosts, shown, and written to a file that `apply` takes."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from metal.cli import plan_file
from metal.cli.job_words import moment
from metal.cli.output import EXIT_DONE, EXIT_PENDING, exit_code, line, say, show_error, show_json, show_table
from metal.cli.waiting import wait_for_jobs
from metal.edge_client import EdgeClient
from metal.errors import SpecError
from metal.planning.plan import Plan
from metal.planning.report import HEADER, as_json, summary, table_rows
from metal.planning.steps import make_plan
from metal.planning.wiping import make_wipe_plan
from specs.erasure import METHODS, WipeWish, wipe_args
from specs.records import HostRecord

Names = Annotated[list[str] | None, typer.Argument(help="Host names.")]
All = Annotated[bool, typer.Option("--all", help="All hosts that have a spec.")]
Method = Annotated[
    str | None,
    typer.Option(help=f"How to erase: {', '.join(METHODS)}; default: the spec's, else metadata."),
]
Disks = Annotated[
    list[str] | None, typer.Option("--disk", help="Serial or WWN of a disk; may be repeated; default: all.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def chosen(edge: EdgeClient, names: list[str] | None, *, all_: bool) -> list[HostRecord]:
    """The hosts that a command is about."""
    if all_:
        return [host for host in edge.hosts() if host.spec]
    if not names:
        raise SpecError("no host given", hint="name hosts, or give --all")
    return [edge.host(name) for name in names]


def plan(
    names: Names = None,
    *,
    all_: All = False,
    refresh: Annotated[bool, typer.Option("--refresh", help="Read the hosts first.")] = False,
    reinstall: Annotated[bool, typer.Option("--reinstall", help="Plan a reinstallation.")] = False,
    wipe: Annotated[bool, typer.Option("--wipe", help="Plan what rackflow wipe would erase.")] = False,
    method: Method = None,
    disk: Disks = None,
    out: Annotated[Path | None, typer.Option(help="Write the plans to this file, for apply FILE.")] = None,
    json: Json = False,
) -> None:
    """Show what apply would do: steps, what is erased, reboots, minutes. Exit 3 when changes are pending.

    With --out the plans are also written to a file: rackflow apply FILE does exactly that, or refuses.
    """
    if not wipe and (method or disk):
        raise SpecError("--method and --disk are of a wipe", hint="rackflow plan NAME --wipe")
    if wipe and reinstall:
        raise SpecError("--wipe installs nothing", hint="choose --wipe or --reinstall")
    wish = wipe_wish(method, disk) if wipe else None
    with EdgeClient() as edge:
        hosts = chosen(edge, names, all_=all_)
        if refresh:
            wait_for_jobs(edge, [edge.post_job(host.name, "observe") for host in hosts])
        plans, refused = plan_each(edge, [host.name for host in hosts], reinstall=reinstall, wipe=wish)
    if refused and not plans:
        raise refused[0]
    if json:
        show_json({"hosts": [as_json(p) for p in plans]})
    else:
        for one in plans:
            show_plan(one)
    if out is not None:
        _write(out, plans)
    for error in refused:
        show_error(error)
    if refused:
        raise typer.Exit(exit_code(refused[0]))
    raise typer.Exit(EXIT_DONE if all(p.in_sync for p in plans) else EXIT_PENDING)


def _write(out: Path, plans: list[Plan]) -> None:
    try:
        plan_file.write(out, plans)
    except OSError as error:
        raise SpecError(f"{out}: cannot be written: {error.strerror}", hint="choose another --out") from error
    said = ", ".join(f"{one.host} {one.hash[:12]}" for one in plans)
    say(f"{out}: {said}; rackflow apply {out} does exactly that, or refuses")


def wipe_wish(method: str | None, disks: list[str] | None) -> WipeWish:
    """What the options of a wipe ask for. Raises SpecError for a method or a name that is none."""
    named = [one for one in disks or () if one != "all"]
    if named and len(named) < len(disks or ()):
        raise SpecError("--disk all names every disk already", hint="give serials, or all")
    try:
        return wipe_args({"method": method, "disks": named or "all"}).wish
    except ValueError as error:
        raise SpecError(str(error), hint=f"methods: {', '.join(METHODS)}") from error


def plan_each(
    edge: EdgeClient, names: list[str], *, reinstall: bool, wipe: WipeWish | None = None
) -> tuple[list[Plan], list[SpecError]]:
    """Plans, and why some hosts have none: one that was never read does not hide the others' plans."""
    plans, refused = [], []
    for name in names:
        try:
            plans.append(plan_one(edge, name, reinstall=reinstall, wipe=wipe))
        except SpecError as error:
            refused.append(error)
    return plans, refused


def plan_one(
    edge: EdgeClient,
    name: str,
    *,
    reinstall: bool = False,
    wipe: WipeWish | None = None,
    specset: str | None = None,
) -> Plan:
    """Plan one host on its last reading, in this process; `specset` is another id for the same spec."""
    order = edge.order(name)
    if specset is not None:
        order = order.model_copy(update={"specset": specset})
    if wipe is not None:
        return make_wipe_plan(order, order.host.observation, wipe)
    return make_plan(order, order.host.observation, reinstall=reinstall)


def show_plan(one: Plan) -> None:
    """One plan as a table, with the age of the reading and the hash that a consent names."""
    seen = moment(datetime.fromisoformat(one.observed_at)) if one.observed_at else "never"
    line(f"{summary(one)}; seen {seen}")
    if one.steps:
        show_table(HEADER, table_rows(one), title=f"plan {one.hash[:12]}")
    for text in (*one.drift, *one.notes):
        line(f"{one.host}: {text}")
    if one.blocked:
        line(f"{one.host}: refused before anything is touched: {one.blocked}")
