"""Plan a host on what was just read; the plan is stored and shown before its first step."""

from prefect import get_run_logger, task

from metal.edge_client import EdgeClient
from metal.engine.claim import Claim
from metal.engine.plans import plan_for_job
from metal.planning.plan import Plan
from metal.planning.report import artifact_key, markdown
from specs.facts import Observation
from tasks.artifacts import show
from tasks.retries import RETRY


@task(name="plan", task_run_name="plan {claim.host}", **RETRY)
def make_plan(claim: Claim, seen: Observation) -> Plan:
    """Continue the job's stored plan, else make one; shown as an artifact with steps, what is erased, why."""
    with EdgeClient() as edge:
        plan = plan_for_job(edge, claim, seen)
    show(artifact_key("plan", claim.host), markdown(plan), plan.hash)
    get_run_logger().info("%s: %d steps, plan %s", claim.host, len(plan.steps), plan.hash[:12])
    return plan
