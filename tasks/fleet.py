"""Refresh and plan the fleet."""

from prefect import get_run_logger, task
from prefect.runtime import flow_run

from metal.edge_client import EdgeClient
from metal.engine.fleet import due_hosts, post_jobs, refresh_hosts
from tasks.retries import RETRY


@task(name="active hosts", **RETRY)
def active_hosts() -> list[str]:
    """Names of hosts that should be in sync."""
    with EdgeClient() as edge:
        return due_hosts(edge)


@task(name="refresh", **RETRY)
def refresh(hosts: list[str]) -> list[str]:
    """Read them, bounded and read-only; those that answered."""
    with EdgeClient() as edge:
        answered, silent = refresh_hosts(edge, hosts)
    for name, why in silent.items():
        get_run_logger().warning("%s: not read: %s", name, why)
    return answered


@task(name="post due jobs", **RETRY)
def post_due(hosts: list[str]) -> list[str]:
    """Plan all in this process, post a job where something is to be done; names of those."""
    with EdgeClient() as edge:
        posted = post_jobs(edge, hosts)
        edge.report_fleet(run_id=str(flow_run.id), planned=len(hosts), posted=posted)
    get_run_logger().info("%d hosts planned, jobs posted: %s", len(hosts), ", ".join(posted) or "none")
    return posted
