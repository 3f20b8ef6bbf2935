"""Read the hardware of a machine in the boot OS."""

from prefect import get_run_logger, task

from metal.edge_client import EdgeClient
from metal.engine.claim import Claim
from metal.engine.in_boot_os import in_boot_os
from metal.engine.observe import observe
from metal.errors import Unreachable
from metal.planning.report import artifact_key, hardware_markdown
from specs.facts import Hardware, Observation
from tasks.artifacts import show
from tasks.retries import RETRY
from tasks.waiting import may_wait


@task(name="read hardware", task_run_name="read hardware of {claim.host}", **RETRY)
@may_wait
def read_hardware(claim: Claim) -> Hardware:
    """CPU, memory, NICs, disks, RAID, BMC; stored at the edge and shown as an artifact."""
    with EdgeClient() as edge:
        seen, hardware = in_boot_os(edge, claim, lambda: _read(edge, claim), log=get_run_logger().info)
    show(artifact_key("hardware", claim.host), hardware_markdown(hardware, seen.unknown))
    for path, why in seen.unknown.items():
        get_run_logger().warning("%s: %s is not known: %s", claim.host, path, why)
    return hardware


def _read(edge: EdgeClient, claim: Claim) -> tuple[Observation, Hardware]:
    seen = observe(edge, claim.host, claim)
    if seen.hardware is None:
        raise Unreachable(seen.unknown["hardware"], host=claim.host, reason="unreachable")
    return seen, seen.hardware
