"""See whether all that was to be erased is, and show it."""

from prefect import get_run_logger, task

from metal.edge_client import EdgeClient
from metal.engine.claim import Claim
from metal.engine.wiped import attest as engine_attest
from metal.planning.attested import erased_markdown
from metal.planning.plan import Plan
from metal.planning.report import artifact_key
from specs.facts import WipeReport
from tasks.artifacts import show
from tasks.retries import RETRY
from tasks.waiting import may_wait


@task(name="attest", task_run_name="attest {claim.host}", **RETRY)
@may_wait
def attest(claim: Claim, plan: Plan) -> tuple[WipeReport, ...]:
    """Read every disk once more; raises Refused (verify-failed) where one is not blank or has no report."""
    with EdgeClient() as edge:
        reports = engine_attest(edge, claim, plan, log=get_run_logger().info)
    show(artifact_key("wiped", claim.host), erased_markdown(reports, plan.notes))
    return reports
