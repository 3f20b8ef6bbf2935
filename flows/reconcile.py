"""`reconcile-host`: observe, plan, consent, steps, observe again."""

from prefect import flow
from tasks.boot import wait_os
from tasks.consent import consented
from tasks.execute import execute
from tasks.held import held
from tasks.observe import observe
from tasks.plan import make_plan
from tasks.verify import verify


@flow(name="reconcile-host", flow_run_name="reconcile {host}")
def reconcile_host(host: str, job: int = 0, specset: str | None = None) -> None:
    """Make one host what its spec says; a converged host is a run with zero writes."""
    with held(host, job, "apply", specset) as run:
        seen = observe(run)
        plan = make_plan(run, seen)
        if run.only_observes or not plan.steps:
            run.in_sync(plan)
            return
        if not consented(run, plan):
            run.waits_for_consent(plan)
            return
        run.begin(plan)
        for step in plan.steps:
            execute(run, plan, step.id)
        if plan.reboots:
            wait_os(run, plan)
        verify(run, plan)
        run.applied(plan)
