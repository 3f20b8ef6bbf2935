"""`reconcile-fleet`: refresh and plan all active hosts, post jobs where work is due."""

from prefect import flow

from tasks.fleet import active_hosts, post_due, refresh


@flow(name="reconcile-fleet", flow_run_name="reconcile fleet")
def reconcile_fleet() -> list[str]:
    """Cost grows with change, not with the fleet: a host in sync costs one short SSH connection."""
    hosts = active_hosts()
    refreshed = refresh(hosts)
    return post_due(refreshed)
