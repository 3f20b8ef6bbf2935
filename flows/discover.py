"""`discover`: a machine in the boot OS becomes a known host with a working BMC."""

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.bmc import initialise_bmc
from tasks.boot import wait_boot_os
from tasks.hardware import read_hardware
from tasks.held import held


@flow(name="discover", flow_run_name="discover {host}")
def discover(host: str, job: int = 0, specset: str | None = None) -> State[None]:
    """Boot OS up, BMC set in band and verified over the LAN (unless only inspected), hardware read, ready."""
    with held(host, job, "discover", {"specset": specset}) as run:
        with run.stage("boot OS") as stage:
            run.inspects()
            stage.got(wait_boot_os(run.claim))
        with run.stage("BMC") as stage:
            stage.wrote(stage.got(initialise_bmc(run.claim)).writes)
        with run.stage("hardware") as stage:
            hardware = stage.got(read_hardware(run.claim))
        run.ready(hardware)
    return run.ended()
