"""`wipe-host`: observe, plan, consent, erase disk by disk, attest."""

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.consent import consented
from tasks.execute import execute
from tasks.held import held
from tasks.observe import observe
from tasks.plan import make_plan
from tasks.wiped import attest


@flow(name="wipe-host", flow_run_name="wipe {host}")
def wipe_host(
    host: str, method: str | None = None, disks: str = "all", job: int = 0, specset: str | None = None
) -> State[None]:
    """Erase a host's disks; `disks` are serials or WWNs with commas between, for a run started by hand."""
    asked = {"method": method, "disks": disks if disks == "all" else disks.split(","), "specset": specset}
    with held(host, job, "wipe", asked) as run:
        with run.stage("observe") as stage:
            seen = stage.got(observe(run.claim))
        with run.stage("plan"):
            plan = make_plan(run.claim, seen)
        if not consented(run.claim, plan):
            run.waits_for_consent(plan)
            return run.ended()
        run.begin(plan)
        for step in plan.steps:
            with run.stage(step.id) as stage:
                stage.did(execute(run.claim, plan, step.id))
        with run.stage("attest") as stage:
            reports = stage.got(attest(run.claim, plan))
        run.wiped(plan, reports)
    return run.ended()
