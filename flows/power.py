"""`power`: one power action through the BMC."""

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.held import held
from tasks.power import set_power


@flow(name="power", flow_run_name="power {action} {host}")
def power(host: str, action: str = "status", job: int = 0, specset: str | None = None) -> State[None]:
    """Read the power state, act under the host's BMC lock, read it again."""
    with held(host, job, "power", {"action": action, "specset": specset}) as run:
        with run.stage(f"power {action}") as stage:
            outcome = set_power(run.claim, action)
            stage.wrote(outcome.writes)
        run.says(
            f"power {outcome.before} -> {outcome.after}" if outcome.changed else f"power {outcome.after}"
        )
    return run.ended()
