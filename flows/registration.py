"""Registers a site's work pool and deployments with Prefect: `python -m flows.registration --site S`.

`prefect.yaml` is the committed definition for site `default`; this does the same for any site from an
installed wheel, where no YAML file lies around. A test holds both against each other.
"""

import argparse
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
from prefect.client.schemas.objects import ConcurrencyLimitStrategy, ConcurrencyOptions
from prefect.client.schemas.schedules import CronSchedule
from prefect.utilities.callables import parameter_schema
from prefect.workers.process import ProcessWorker

from flows.deployments import DEPLOYMENTS, pool_name
from flows.zombies import register_automation


def flow_at(entrypoint: str) -> Flow[..., Any]:
    """The flow object behind a dotted entrypoint."""
    module, _, name = entrypoint.rpartition(".")
    found = getattr(import_module(module), name)
    assert isinstance(found, Flow)
    return found


def pool(site: str) -> WorkPoolCreate:
    """The site's process pool; its template starts one interpreter per run, not two (2.0 s CPU, not 2.9)."""
    template = ProcessWorker.get_default_base_job_template()
    template["variables"]["properties"]["command"]["default"] = f"{sys.executable} -m prefect.engine"
    return WorkPoolCreate(name=pool_name(site), type="process", base_job_template=template)


def register(client: SyncPrefectClient, site: str, data: Path) -> list[str]:
    """Create or update the pool and every deployment; returns their names."""
    client.create_work_pool(pool(site), overwrite=True)
    return [register_one(client, row, site, data) for row in DEPLOYMENTS]


def register_one(client: SyncPrefectClient, row: dict[str, Any], site: str, data: Path) -> str:
    """One deployment, named after its flow and site."""
    limit = row.get("concurrency_limit")
    strategy = ConcurrencyLimitStrategy(limit["collision_strategy"]) if limit else None
    cron = row.get("cron")
    client.create_deployment(
        flow_id=client.create_flow_from_name(row["flow"]),
        name=site,
        entrypoint=row["entrypoint"],
        description=row["description"],
        work_pool_name=pool_name(site),
        tags=["rackflow", f"site:{site}"],
        parameter_openapi_schema=parameter_schema(flow_at(row["entrypoint"])).model_dump(exclude_unset=True),
        pull_steps=[{"prefect.deployments.steps.set_working_directory": {"directory": str(data)}}],
        concurrency_limit=limit["limit"] if limit else None,
        concurrency_options=ConcurrencyOptions(collision_strategy=strategy) if strategy else None,
        schedules=[DeploymentScheduleCreate(schedule=CronSchedule(cron=cron, timezone="UTC"), slug="tick")]
        if cron
        else None,
    )
    return f"{row['flow']}/{site}"


def main() -> None:
    """Parse arguments, register, say what was registered."""
    parser = argparse.ArgumentParser(prog="python -m flows.registration", description=__doc__.splitlines()[0])
    parser.add_argument("--site", default="default")
    parser.add_argument("--data", type=Path, default=Path.cwd(), help="working directory of flow runs")
    given = parser.parse_args()
    with get_client(sync_client=True) as client:
        names = register(client, given.site, given.data.absolute())
        zombies = register_automation(client)
    sys.stdout.write(f"deployments: {', '.join(names)}; work pool {pool_name(given.site)}\n")
    sys.stdout.write(f"automation for runs without a heartbeat: {zombies}\n")


if __name__ == "__main__":
    main()
