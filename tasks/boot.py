"""Wait for a machine that boots, each wait with a deadline and a reason."""

from datetime import UTC, datetime
from typing import Final

from prefect import get_run_logger, task

from metal.edge_client import EdgeClient
from metal.engine.claim import Claim, check
from metal.engine.verify import await_os
from metal.engine.waits import BOOT_OS_DEADLINE_S
from metal.engine.waits import wait_boot_os as until_boot_os
from metal.planning.plan import Plan
from specs.records import BootRecord

ANY_TIME: Final = datetime.min.replace(tzinfo=UTC)


@task(name="wait for boot OS", task_run_name="wait for boot OS on {claim.host}")
def wait_boot_os(claim: Claim) -> BootRecord:
    """Until a boot OS has reported in; the report that made the job counts."""
    with EdgeClient() as edge:
        found = until_boot_os(edge, claim.host, since=ANY_TIME, may_go_on=lambda: check(edge, claim))
    told = "%s: boot OS at %s (at most %d s waited)"
    get_run_logger().info(told, claim.host, found.address, BOOT_OS_DEADLINE_S)
    return found


@task(name="wait for OS", task_run_name="wait for OS on {claim.host}")
def wait_os(claim: Claim, plan: Plan) -> None:
    """Until the deployed system has phoned home, or answers, after the plan's power step."""
    with EdgeClient() as edge:
        address = await_os(edge, claim, plan, log=get_run_logger().info)
    get_run_logger().info("%s: the deployed system is up at %s", claim.host, address)
