"""See whether what was asked for is there."""

from prefect import get_run_logger, task

from metal.edge_client import EdgeClient
from metal.engine.claim import Claim
from metal.engine.verify import verify as engine_verify
from tasks.retries import RETRY
from tasks.waiting import may_wait


@task(name="verify", task_run_name="verify {claim.host}", **RETRY)
@may_wait
def verify(claim: Claim) -> None:
    """Observe the running system and plan again; raises Refused (verify-failed) with what differs."""
    with EdgeClient() as edge:
        engine_verify(edge, claim, log=get_run_logger().info)
    get_run_logger().info("%s: the running system is what the spec asks for", claim.host)
