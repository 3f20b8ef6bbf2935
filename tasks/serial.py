"""Show the serial log of a boot."""

from prefect import get_run_logger, task
from prefect.artifacts import create_markdown_artifact

from metal.edge_client import EdgeClient
from metal.engine.claim import Claim
from metal.engine.serial_log import newest_log
from metal.errors import RackflowError


@task(name="serial log", task_run_name="serial log of {claim.host}")
def show_serial_log(claim: Claim) -> None:
    """An artifact with the end of the newest boot's console; a console that nobody read is only said."""
    try:
        with EdgeClient() as edge:
            found = newest_log(edge, claim.host)
    except RackflowError as error:
        get_run_logger().warning("%s: no serial log: %s", claim.host, error)
        return
    if found is None:
        get_run_logger().warning("%s: the console broker has recorded nothing of this boot", claim.host)
        return
    number, text = found
    shown = text.replace("```", "'''")
    create_markdown_artifact(
        key=f"serial-{claim.host}".lower(),
        markdown=f"Serial console of {claim.host}, boot {number}\n\n```text\n{shown}\n```\n",
    )
