"""Whether a plan may run."""

from prefect import get_run_logger, task

from metal.edge_client import EdgeClient
from metal.engine.claim import Claim
from metal.engine.plans import may_run
from metal.planning.plan import Plan
from tasks.retries import RETRY


@task(name="consent", task_run_name="consent for {claim.host}", **RETRY)
def consented(claim: Claim, plan: Plan) -> bool:
    """True when spec or person allow it; False when it waits; raises when it never may run."""
    with EdgeClient() as edge:
        allowed = may_run(edge, claim, plan)
    get_run_logger().info(
        "%s: plan %s %s", claim.host, plan.hash[:12], "may run" if allowed else "waits for consent"
    )
    return allowed
