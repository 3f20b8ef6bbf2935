"""`reconcile-host`: observe, plan, consent, steps, observe again."""

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.boot import wait_os
from tasks.consent import consented
from tasks.execute import execute
from tasks.held import held
from tasks.observe import observe
from tasks.plan import make_plan
from tasks.serial import show_serial_log
from tasks.verify import verify


@flow(name="reconcile-host", flow_run_name="reconcile {host}")
def reconcile_host(host: str, job: int = 0, specset: str | None = None) -> State[None]:
    """Make one host what its spec says; a converged host is a run with zero writes."""
    with held(host, job, "apply", {"specset": specset}) as run:
        with run.stage("observe") as stage:
            seen = stage.got(observe(run.claim))
        with run.stage("plan"):
            plan = make_plan(run.claim, seen)
        if run.only_observes:
            run.observed(plan)
            return run.ended()
        if not plan.steps:
            run.in_sync(plan)
            return run.ended()
        if not consented(run.claim, plan):
            run.waits_for_consent(plan)
            return run.ended()
        run.begin(plan)
        for step in plan.steps:
            with run.stage(step.id) as stage:
                stage.did(execute(run.claim, plan, step.id))
        if run.rebooted(plan):
            with run.stage("OS up") as stage:
                stage.got(wait_os(run.claim, plan))
            show_serial_log(run.claim)
        with run.stage("verify") as stage:
            stage.got(verify(run.claim))
        run.applied(plan)
    return run.ended()
