"""`reconcile-fleet`: refresh and plan all active hosts, post jobs where work is due."""

from typing import Final

from prefect import flow

from tasks.fleet import active_hosts, post_due, refresh

DEADLINE_S: Final = 25 * 60
"""Ends by itself before the edge would end it (30 min), which would be a line in the site's timeline."""


@flow(name="reconcile-fleet", flow_run_name="reconcile fleet", timeout_seconds=DEADLINE_S)
def reconcile_fleet() -> list[str]:
    """Cost grows with change, not with the fleet: a host in sync costs one short SSH connection."""
    hosts = active_hosts()
    refreshed = refresh(hosts)
    return post_due(refreshed)
