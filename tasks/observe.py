"""Read a host."""

from prefect import get_run_logger, task

from metal.edge_client import EdgeClient
from metal.engine.claim import Claim
from metal.engine.observe import observe as engine_observe
from specs.facts import Observation
from tasks.retries import RETRY
from tasks.waiting import may_wait


@task(name="observe", task_run_name="observe {claim.host}", **RETRY)
@may_wait
def observe(claim: Claim) -> Observation:
    """From the boot OS or the running system, whichever is up, and from the BMC; stored at the edge."""
    with EdgeClient() as edge:
        seen = engine_observe(edge, claim.host, claim)
    for path, why in seen.unknown.items():
        get_run_logger().info("%s: %s is not known: %s", claim.host, path, why)
    get_run_logger().info("%s: seen from %s", claim.host, seen.seen_from)
    return seen
