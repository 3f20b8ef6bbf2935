"""`apply`: make hosts what their specs say, or what a plan file says, and show how that goes."""

from pathlib import Path
from typing import Annotated, Any

import typer

from metal.cli import plan_file
from metal.cli.job_words import result_row
from metal.cli.me import me
from metal.cli.output import (
    EXIT_CONSENT,
    EXIT_DONE,
    EXIT_FAILED,
    line,
    say,
    show_json,
    show_table,
)
from metal.cli.plan_file import Difference
from metal.cli.plans import All, Json, chosen, plan_one
from metal.cli.publishing import publish_for_apply
from metal.cli.waiting import DEADLINE_S, WIPE_DEADLINE_S, wait_for_jobs
from metal.edge_client import EdgeClient
from metal.errors import Refused, SpecError, UnsafeChange
from metal.planning.plan import Plan
from metal.planning.report import asked_again
from specs.reasons import REASONS, next_step
from specs.records import JobRecord

_DIFFERENCES_SHOWN = 30
What = Annotated[list[str] | None, typer.Argument(help="Host names, or one file of plan --out.")]


def apply(
    names: What = None,
    *,
    all_: All = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Post the jobs and return.")] = False,
    publish: Annotated[bool, typer.Option(help="Publish a clean clone's newer commit first.")] = True,
    json: Json = False,
) -> None:
    """Make hosts what their specs say; waits and shows progress. Exit 4 when a plan waits for consent.

    Given a file of plan --out, exactly those plans are carried out; if a machine or its spec is not as it was
    then, nothing is started and the differences are shown (exit 1).
    """
    path = plan_path(names)
    with EdgeClient() as edge:
        if path is not None:
            jobs = post_plans(edge, path, json=json)
        else:
            if publish:
                publish_for_apply(edge, Path("specs"), set(names or ()), all_=all_)
            jobs = [edge.post_job(host.name, "apply", by=me()) for host in chosen(edge, names, all_=all_)]
        if not no_wait:
            deadline_s = WIPE_DEADLINE_S if any(job.verb == "wipe" for job in jobs) else DEADLINE_S
            jobs = wait_for_jobs(edge, jobs, deadline_s=deadline_s)
    results = [result_row(job) for job in jobs]
    if json:
        show_json({"hosts": results})
    else:
        show_results(results)
    raise typer.Exit(result_exit(results) if not no_wait else EXIT_DONE)


def plan_path(names: list[str] | None) -> Path | None:
    """The plan file, if the one argument is a path and no host's name."""
    if names is None or not any("/" in name or name.endswith(".json") for name in names):
        return None
    if len(names) > 1:
        raise SpecError("a plan file stands alone", hint="name hosts, or give one file of plan --out")
    return Path(names[0])


def post_plans(edge: EdgeClient, path: Path, *, json: bool) -> list[JobRecord]:
    """Post a job for each plan of a file, once every one of them still holds. Raises UnsafeChange else."""
    plans = plan_file.read(path)
    moved = {plan.host: found for plan in plans if (found := moved_since(edge, plan))}
    if moved:
        refuse(moved, path, asked_again(plans[0]), json=json)
    blocked = next((plan for plan in plans if plan.blocked), None)
    if blocked is not None:
        known = REASONS.get(blocked.blocked or "")
        step = next_step(blocked.blocked, "wipe" if blocked.wipe else "apply")
        raise UnsafeChange(
            f"{path}: the plan may not run: {blocked.blocked}" + (f": {known.sentence}" if known else ""),
            host=blocked.host,
            reason=blocked.blocked or "refused",
            hint=step.replace("NAME", blocked.host) if step else None,
        )
    idle = [plan.host for plan in plans if not plan.steps]
    if idle:
        say(f"nothing to do on {', '.join(idle)}")
    return [_post(edge, plan) for plan in plans if plan.steps]


def moved_since(edge: EdgeClient, plan: Plan) -> list[Difference]:
    """What is not as it was when a plan was made; the newest reading counts.

    The set's id does not: it changes with every other host's spec, and this host's is compared whole.
    """
    try:
        now = plan_one(edge, plan.host, reinstall=plan.reinstall, wipe=plan.wipe, specset=plan.specset)
    except SpecError as error:
        return [Difference("plan", "could be made", f"cannot be made: {error.message}")]
    return [] if plan.hash == now.hash else plan_file.compare(plan, now)


def refuse(moved: dict[str, list[Difference]], path: Path, again: str, *, json: bool) -> None:
    """Show what moved, and end with exit code 1; nothing was posted. `again` are the options of the plan."""
    if json:
        rows = [
            {
                "name": host,
                "result": "failed",
                "reason": "plan-moved",
                "differences": [{"field": d.field, "was": d.was, "is": d.is_} for d in found],
                "next": f"rackflow plan {host} {again} --out {path}",
            }
            for host, found in moved.items()
        ]
        show_json({"hosts": rows})
    else:
        for host, found in moved.items():
            show_differences(host, found)
    hosts = sorted(moved)
    raise UnsafeChange(
        f"{path}: not as it was when the plan was made: {', '.join(hosts)}; nothing was started",
        reason="plan-moved",
        hint=f"look at the differences, then: rackflow plan {' '.join(hosts)} {again} --out {path}",
    )


def show_differences(host: str, found: list[Difference]) -> None:
    """What was, what is, per field."""
    line(f"{host}: {len(found)} field{'s' if len(found) > 1 else ''} moved")
    rows = [(one.field, one.was, one.is_) for one in found[:_DIFFERENCES_SHOWN]]
    show_table(("field", "was", "is"), rows)
    if len(found) > _DIFFERENCES_SHOWN:
        line(f"… and {len(found) - _DIFFERENCES_SHOWN} more")


def _post(edge: EdgeClient, plan: Plan) -> JobRecord:
    edge.put_plan(plan.hash, plan.model_dump(mode="json"))
    args = {"plan": plan.hash} | (plan.wipe.model_dump(mode="json") if plan.wipe else {})
    job = edge.post_job(plan.host, "wipe" if plan.wipe else "apply", args, by=me())
    if job.args.get("plan") != plan.hash:
        raise Refused(
            f"job {job.no} ({job.verb}) is open and was not given this plan",
            host=plan.host,
            reason="job",
            hint=f"wait for it, or: rackflow cancel {plan.host}",
        )
    return job


def show_results(results: list[dict[str, Any]]) -> None:
    """Results as a table, then what to do about what is not done."""
    columns = ("host", "result", "changes", "writes", "run")
    cells = [[row[key] for key in ("name", "result", "changes", "writes", "run_url")] for row in results]
    show_table(columns, cells)
    for row in results:
        told = row["message"] or row["reason"]
        if row["result"] in ("in-sync", "applied") or not (told or row["next"]):
            continue
        line(f"{row['name']}: {told or row['result']}")
        if row["next"]:
            line(f"next: {row['next']}")


def result_exit(results: list[dict[str, Any]]) -> int:
    """The exit code of several results: a failure counts more than a wait."""
    ends = {row["result"] for row in results}
    if ends - {"in-sync", "applied", "waiting-consent"}:
        return EXIT_FAILED
    return EXIT_CONSENT if "waiting-consent" in ends else EXIT_DONE
