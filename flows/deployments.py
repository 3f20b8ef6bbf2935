"""The table of deployments: one row per flow, the same as in `prefect.yaml`; `registration` sends it."""

from typing import Any, Final

FLEET_EVERY_MINUTES: Final = 15

DEPLOYMENTS: Final[tuple[dict[str, Any], ...]] = (
    {
        "flow": "discover",
        "entrypoint": "flows.discover.discover",
        "description": "Boot OS up -> BMC initialised and verified -> hardware facts -> ready.",
    },
    {
        "flow": "reconcile-host",
        "entrypoint": "flows.reconcile.reconcile_host",
        "description": "Observe, plan, consent, steps, observe again: one host becomes what its spec says.",
    },
    {
        "flow": "wipe-host",
        "entrypoint": "flows.wipe.wipe_host",
        "description": "Observe, plan, consent, erase disk by disk, attest: the host is ready, as if blank.",
    },
    {
        "flow": "power",
        "entrypoint": "flows.power.power",
        "description": "One power action through the BMC, read before and after.",
    },
    {
        "flow": "reconcile-fleet",
        "entrypoint": "flows.fleet.reconcile_fleet",
        "description": "Reads active hosts, plans all, posts a job only where work is due.",
        "concurrency_limit": {"limit": 1, "collision_strategy": "CANCEL_NEW"},
        "cron": f"*/{FLEET_EVERY_MINUTES} * * * *",
    },
)


def pool_name(site: str) -> str:
    """The work pool of a site."""
    return f"rackflow-{site}"
