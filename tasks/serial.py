"""Show the serial logs of an installation's boots."""

from prefect import get_run_logger, task

from metal.edge_client import EdgeClient
from metal.engine.claim import Claim
from metal.engine.serial_log import newest_logs
from metal.errors import RackflowError
from metal.planning.report import artifact_key
from tasks.artifacts import show


@task(name="serial log", task_run_name="serial log of {claim.host}")
def show_serial_log(claim: Claim) -> None:
    """One artifact per boot with the end of its console; a console that nobody read is said, not failed."""
    try:
        with EdgeClient() as edge:
            logs = newest_logs(edge, claim.host)
    except RackflowError as error:
        get_run_logger().warning("%s: no serial log: %s", claim.host, error)
        return
    if not logs:
        get_run_logger().warning("%s: the console broker has recorded no boot", claim.host)
    for number, kind, text in logs:
        shown = text.replace("```", "'''")
        show(
            artifact_key("serial", claim.host),
            f"Serial console of {claim.host}, boot {number} ({kind})\n\n```text\n{shown}\n```\n",
            f"boot {number} ({kind})",
        )
