"""One step of a plan."""

from prefect import get_run_logger, task

from metal.edge_client import EdgeClient
from metal.engine.claim import Claim
from metal.engine.steps import StepOutcome, run_step
from metal.planning.attested import wipe_markdown
from metal.planning.plan import Plan
from metal.planning.report import artifact_key
from specs.facts import WipeReport
from tasks.artifacts import show
from tasks.retries import RETRY
from tasks.waiting import may_wait


@task(name="step", task_run_name="{step_id}", **RETRY)
@may_wait
def execute(claim: Claim, plan: Plan, step_id: str) -> StepOutcome:
    """Journal, fence, observe, act, observe again; a retry finds what the last try did."""
    with EdgeClient() as edge:
        outcome = run_step(edge, claim, plan, step_id, log=get_run_logger().info)
    if "wipe" in outcome.reported:
        report = WipeReport.model_validate(outcome.reported["wipe"])
        show(artifact_key(f"wipe-{report.identity}", claim.host), wipe_markdown(report), report.identity)
    return outcome
