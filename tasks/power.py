"""One power action."""

from typing import Any, cast

from prefect import get_run_logger, task

from metal.edge_client import EdgeClient
from metal.engine.claim import Claim
from metal.engine.power import PowerOutcome, power_once
from tasks.retries import RETRY


@task(name="power", task_run_name="power {action} {claim.host}", **RETRY)
def set_power(claim: Claim, action: str) -> PowerOutcome:
    """Read the power, act under the BMC lock, read it again."""
    with EdgeClient() as edge:
        outcome = power_once(edge, claim, cast("Any", action))
    get_run_logger().info("%s: power %s -> %s (%s)", claim.host, outcome.before, outcome.after, action)
    return outcome
