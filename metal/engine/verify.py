"""After the deployed system is up: read it, plan again, and accept nothing but an empty plan."""

from datetime import datetime
from typing import Final

from metal.edge_client.runs import RunCalls
from metal.engine.claim import Claim, check
from metal.engine.connect import running_os
from metal.engine.observe import observe
from metal.engine.steps import REAL, Surroundings
from metal.engine.waits import OS_DEADLINE_S, MayGoOn, until_reached, wait_os
from metal.engine.work import Log
from metal.errors import Refused, Unreachable
from metal.planning.plan import Plan
from metal.planning.steps import make_plan
from specs.facts import Observation
from specs.phases import Phase
from specs.records import WorkOrder

PATIENCE_S: Final = 120.0


def await_os(edge: RunCalls, claim: Claim, plan: Plan, *, log: Log, around: Surroundings = REAL) -> str:
    """Wait for the system that the plan's last power step started; give its address.

    A system phones home once, after it was installed; one that was merely switched on answers over SSH.
    Raises Refused (os-timeout).
    """

    def may_go_on() -> None:
        try:
            check(edge, claim)
        except Unreachable as error:
            log(f"the edge does not answer: {error.message}")

    if all(step.kind != "phone-home" for step in plan.steps):
        return _await_ssh(edge, claim, may_go_on, around)
    found = wait_os(
        edge,
        claim.host,
        since=_started(edge, claim, plan),
        may_go_on=may_go_on,
        clock=around.clock,
        sleep=around.sleep,
    )
    return found.address or claim.host


def _await_ssh(edge: RunCalls, claim: Claim, may_go_on: MayGoOn, around: Surroundings) -> str:
    def reach() -> str:
        may_go_on()
        at = running_os(edge.host(claim.host))
        around.sessions.shell(edge, at).read(("true",))
        return at.address

    try:
        return until_reached(reach, deadline_s=OS_DEADLINE_S, clock=around.clock, sleep=around.sleep)
    except Unreachable as error:
        raise Refused(
            f"the system was started and does not answer within {OS_DEADLINE_S:.0f} s: {error.message}",
            host=claim.host,
            reason="os-timeout",
            hint=f"rackflow console {claim.host}",
        ) from error


def verify(edge: RunCalls, claim: Claim, *, around: Surroundings = REAL) -> tuple[Plan, Observation]:
    """Observe the running system and plan again. Raises Refused (verify-failed) naming what differs."""
    check(edge, claim)
    observation = observe(edge, claim.host, claim, around=around, patience_s=PATIENCE_S)
    plan = make_plan(as_installed(edge.order(claim.host)), observation)
    if not plan.in_sync:
        told = [*plan.drift, *(f"{step.field}: {step.old} -> {step.new}" for step in plan.steps)]
        raise Refused(
            f"the deployed system is not what the spec asks for: {'; '.join(told)}",
            host=claim.host,
            reason="verify-failed",
            hint=f"rackflow plan {claim.host} --refresh",
        )
    return plan, observation


def as_installed(order: WorkOrder) -> WorkOrder:
    """Give the order as it is for an installed host: while provisioning, a plan would install once more."""
    host = order.host.model_copy(update={"phase": Phase.ACTIVE})
    return order.model_copy(update={"host": host})


def _started(edge: RunCalls, claim: Claim, plan: Plan) -> datetime:
    """When the plan's last power step went out, by the edge's clock."""
    power = [step.id for step in plan.steps if step.kind in ("power", "restart-os")]
    rows = [row for row in edge.journal_rows(claim.host, job=claim.job) if row.step in power[-1:]]
    if not rows:
        raise Refused("the plan has not started the system", host=claim.host, reason="step-failed")
    sent = [row for row in rows if row.detail.get("sent")]
    return sent[-1].at if sent else rows[0].at
