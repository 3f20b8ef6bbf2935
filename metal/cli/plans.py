"""`plan`, `apply`, `approve`: what would be done, doing it, and the consent to destroy."""

import getpass
import socket
from pathlib import Path
from typing import Annotated, Any

import typer

from metal.cli.output import (
    EXIT_CONSENT,
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_PENDING,
    exit_code,
    line,
    say,
    show_error,
    show_json,
    show_table,
)
from metal.cli.publishing import publish_for_apply
from metal.cli.up.parts import PREFECT_PORT
from metal.cli.waiting import wait_for_job, wait_for_jobs
from metal.edge_client import EdgeClient
from metal.errors import SpecError
from metal.planning.plan import Plan
from metal.planning.report import HEADER, as_json, summary, table_rows
from metal.planning.steps import make_plan
from specs.records import HostRecord, JobRecord

Names = Annotated[list[str] | None, typer.Argument(help="Host names.")]
All = Annotated[bool, typer.Option("--all", help="All hosts that have a spec.")]
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
    out: Annotated[Path | None, typer.Option(help="Write the plans as JSON to this file.")] = None,
    json: Json = False,
) -> None:
    """Show what apply would do: steps, what is erased, reboots, minutes. Exit 3 when changes are pending."""
    with EdgeClient() as edge:
        hosts = chosen(edge, names, all_=all_)
        if refresh:
            wait_for_jobs(edge, [edge.post_job(host.name, "observe") for host in hosts])
        plans, refused = plan_each(edge, [host.name for host in hosts], reinstall=reinstall)
    if refused and not plans:
        raise refused[0]
    answer = {"hosts": [as_json(p) for p in plans]}
    if out is not None:
        out.write_text(typer_json(answer))
    if json:
        show_json(answer)
    else:
        for one in plans:
            show_plan(one)
    for error in refused:
        show_error(error)
    if refused:
        raise typer.Exit(exit_code(refused[0]))
    raise typer.Exit(EXIT_DONE if all(p.in_sync for p in plans) else EXIT_PENDING)


def plan_each(edge: EdgeClient, names: list[str], *, reinstall: bool) -> tuple[list[Plan], list[SpecError]]:
    """Plans, and why some hosts have none: one that was never read does not hide the others' plans."""
    plans, refused = [], []
    for name in names:
        try:
            plans.append(plan_one(edge, name, reinstall=reinstall))
        except SpecError as error:
            refused.append(error)
    return plans, refused


def plan_one(edge: EdgeClient, name: str, *, reinstall: bool = False) -> Plan:
    """Plan one host on its last reading, in this process."""
    order = edge.order(name)
    return make_plan(order, order.host.observation, reinstall=reinstall)


def typer_json(answer: dict[str, Any]) -> str:
    """JSON for a file."""
    import json as json_module  # noqa: PLC0415 - the option of the same name shadows it above

    return json_module.dumps(answer, indent=2) + "\n"


def show_plan(one: Plan) -> None:
    """One plan as a table, with the age of the reading and the hash that a consent names."""
    line(f"{summary(one)}; seen {one.observed_at or 'never'}")
    if one.steps:
        show_table(HEADER, table_rows(one), title=f"plan {one.hash[:12]}")
    for text in (*one.drift, *one.notes):
        line(f"{one.host}: {text}")
    if one.blocked:
        line(f"{one.host}: refused before anything is touched: {one.blocked}")


def apply(
    names: Names = None,
    *,
    all_: All = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Post the jobs and return.")] = False,
    publish: Annotated[bool, typer.Option(help="Publish a clean clone's newer commit first.")] = True,
    json: Json = False,
) -> None:
    """Make hosts what their specs say; waits and shows progress."""
    with EdgeClient() as edge:
        if publish:
            publish_for_apply(edge, Path("specs"), set(names or ()), all_=all_)
        jobs = [edge.post_job(host.name, "apply", by=me()) for host in chosen(edge, names, all_=all_)]
        if not no_wait:
            jobs = wait_for_jobs(edge, jobs)
    results = [result_row(job) for job in jobs]
    if json:
        show_json({"hosts": results})
    else:
        show_results(results)
    raise typer.Exit(result_exit(results) if not no_wait else EXIT_DONE)


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
        "next": job.next_step,
        "plan": job.plan,
    }


def run_url(run_id: str | None) -> str | None:
    """The run's page in the Prefect UI."""
    return f"http://127.0.0.1:{PREFECT_PORT}/runs/flow-run/{run_id}" if run_id else None


def show_results(results: list[dict[str, Any]]) -> None:
    """Results as a table, then what to do about what is not done."""
    columns = ("host", "result", "changes", "writes", "run")
    cells = [[row[key] for key in ("name", "result", "changes", "writes", "run_url")] for row in results]
    show_table(columns, cells)
    for row in results:
        if row["result"] not in ("in-sync", "applied"):
            line(f"{row['name']}: {row['message'] or row['reason'] or row['result']}")
            if row["next"]:
                line(f"next: {row['next']}")


def result_exit(results: list[dict[str, Any]]) -> int:
    """The exit code of several results: a failure counts more than a wait."""
    ends = {row["result"] for row in results}
    if ends - {"in-sync", "applied", "waiting-consent"}:
        return EXIT_FAILED
    return EXIT_CONSENT if "waiting-consent" in ends else EXIT_DONE


def approve(
    host: str,
    *,
    plan_hash: Annotated[str | None, typer.Option("--plan", help="Hash; default: the waiting plan.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the job's end.")] = False,
    json: Json = False,
) -> None:
    """Consent to what a waiting plan destroys; its job goes on."""
    with EdgeClient() as edge:
        consent = edge.consent(host, plan=plan_hash, by=me())
        job = None
        if wait:
            known = edge.host(host)
            assert known.last_job is not None
            job = wait_for_job(edge, edge.job(host, known.last_job))
    if json:
        show_json(
            {"consent": consent.model_dump(mode="json"), "job": job.model_dump(mode="json") if job else None}
        )
    else:
        until = f"{consent.expires:%Y-%m-%d %H:%M}"
        say(f"{host}: plan {consent.plan[:12]} is approved by {consent.by} until {until}")
    if job is not None:
        raise typer.Exit(result_exit([result_row(job)]))


def me() -> str:
    """Who consents: login and machine, for the record."""
    return f"{getpass.getuser()}@{socket.gethostname()}"
