"""Wait for a machine that boots, each wait with a deadline and a reason."""

import time
from datetime import datetime

from prefect import get_run_logger, task

from metal.edge_client import EdgeClient
from metal.engine.claim import Claim, check
from metal.engine.waits import BOOT_OS_DEADLINE_S, OS_DEADLINE_S
from metal.engine.waits import wait_boot_os as until_boot_os
from metal.engine.waits import wait_os as until_os
from specs.records import BootRecord


@task(name="wait for boot OS", task_run_name="wait for boot OS on {claim.host}")
def wait_boot_os(claim: Claim, since: datetime) -> BootRecord:
    """Until a boot OS has reported in."""
    with EdgeClient() as edge:
        found = until_boot_os(edge, claim.host, since=since, may_go_on=lambda: check(edge, claim))
    get_run_logger().info(
        "%s: boot OS at %s (at most %d s waited)", claim.host, found.address, BOOT_OS_DEADLINE_S
    )
    return found


@task(name="wait for OS", task_run_name="wait for OS on {claim.host}")
def wait_os(claim: Claim, since: datetime) -> float:
    """Until the deployed system has phoned home after `since`; returns the seconds waited."""
    started = time.monotonic()
    with EdgeClient() as edge:
        found = until_os(edge, claim.host, since=since, may_go_on=lambda: check(edge, claim))
    seconds = time.monotonic() - started
    get_run_logger().info(
        "%s: OS up at %s after %.0f s (limit %d s)", claim.host, found.address, seconds, OS_DEADLINE_S
    )
    return seconds
