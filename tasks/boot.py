"""Wait for a machine that boots, each wait with a deadline and a reason."""

from prefect import get_run_logger, task

from metal.edge_client import EdgeClient
from metal.engine.claim import Claim
from metal.engine.in_boot_os import in_boot_os
from metal.engine.verify import await_os
from metal.planning.plan import Plan
from specs.records import BootRecord
from tasks.retries import RETRY
from tasks.waiting import may_wait


@task(name="wait for boot OS", task_run_name="wait for boot OS on {claim.host}", **RETRY)
@may_wait
def wait_boot_os(claim: Claim) -> BootRecord:
    """Until a boot OS has reported in; the report that made the job counts."""
    with EdgeClient() as edge:
        found = in_boot_os(edge, claim, lambda: edge.host(claim.host).boot, log=get_run_logger().info)
    assert found is not None, "it has just answered"
    get_run_logger().info("%s: boot OS at %s", claim.host, found.address)
    return found


@task(name="wait for OS", task_run_name="wait for OS on {claim.host}", **RETRY)
@may_wait
def wait_os(claim: Claim, plan: Plan) -> str:
    """Until the deployed system has phoned home, or answers, after the plan's power step; its address."""
    with EdgeClient() as edge:
        address = await_os(edge, claim, plan, log=get_run_logger().info)
    get_run_logger().info("%s: the deployed system is up at %s", claim.host, address)
    return address
