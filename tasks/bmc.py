"""Make the machine's BMC ours."""

from prefect import get_run_logger, task

from metal.edge_client import EdgeClient
from metal.engine.bmc_setup import BmcOutcome, setup_bmc
from metal.engine.claim import Claim
from metal.engine.in_boot_os import in_boot_os
from tasks.retries import RETRY
from tasks.waiting import may_wait


@task(name="initialise BMC", task_run_name="initialise BMC of {claim.host}", **RETRY)
@may_wait
def initialise_bmc(claim: Claim) -> BmcOutcome:
    """Set user, password and LAN address in band, prove them over the LAN, promote the credential."""
    with EdgeClient() as edge:
        outcome = in_boot_os(edge, claim, lambda: setup_bmc(edge, claim), log=get_run_logger().info)
    get_run_logger().info("%s: %s, %d writes", claim.host, outcome.message, outcome.writes)
    return outcome
