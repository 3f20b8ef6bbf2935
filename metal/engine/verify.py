"""After the deployed system is up: read it, plan again, and accept nothing but an empty plan."""

from datetime import datetime, timedelta
from typing import Any, Final, Literal

from metal.edge_client.runs import RunCalls
from metal.engine.around import REAL, Log, Surroundings
from metal.engine.claim import Claim, check
from metal.engine.connect import bmc, running_os
from metal.engine.observe import observe
from metal.engine.power import act
from metal.engine.waits import LOOK_S, OS_DEADLINE_S, Awaited, Pace, wait_until
from metal.errors import Refused, Unreachable
from metal.planning.plan import Plan
from metal.planning.steps import make_plan
from specs.facts import Observation
from specs.phases import Phase
from specs.records import HostRecord, WorkOrder

PATIENCE_S: Final = 120.0
SSH_LOOK_S: Final = 30.0
"""How often a run looks for a system that does not phone home: no event would start the job's next run."""
POWER_AGAIN: Final = "power-again"
"""The journal's step of a machine that was switched on again while it started."""


def await_os(edge: RunCalls, claim: Claim, plan: Plan, *, log: Log, around: Surroundings = REAL) -> str:
    """Wait for the system that the plan's last power step started; give its address.

    A system phones home once, after it was installed; one that was merely switched on answers over SSH.
    One whose power was cut meanwhile is switched on again, at each start of a run and each look.
    Raises JobWaits, Refused (os-timeout).
    """

    def may_go_on() -> None:
        try:
            check(edge, claim)
        except Unreachable as error:
            log(f"the edge does not answer: {error.message}")

    def reach(record: HostRecord) -> str | None:
        try:
            at = running_os(record)
            around.sessions.shell(edge, at).read(("true",))
        except Unreachable:
            return None
        return at.address

    def phoned(record: HostRecord) -> str | None:
        told = record.os.reported_at if record.os else None
        return (record.os.address or claim.host) if record.os and told and told >= since else None

    since, deadline = _started(edge, claim, plan)
    installs = any(step.kind == "phone-home" for step in plan.steps)
    message = f"waits for the {'installed system to phone home' if installs else 'system to answer over SSH'}"
    return wait_until(
        edge,
        claim,
        Awaited("os", since, deadline, message),
        phoned if installs else reach,
        may_go_on=may_go_on,
        look=lambda: _power_again(edge, claim, plan, log, around),
        pace=Pace(around.clock, around.sleep, around.now, look_s=LOOK_S if installs else SSH_LOOK_S),
    )


def _power_again(edge: RunCalls, claim: Claim, plan: Plan, log: Log, around: Surroundings) -> None:
    """Switch a machine on whose power was cut in its first boot; written down before it is sent.

    A BMC that does not answer is no reason to give the machine up: the next look asks it again.
    """
    try:
        if edge.host(claim.host).bmc_address is None:
            return
        owner = f"{claim.run_id}:{POWER_AGAIN}"
        with bmc(edge, claim.host, owner=owner, sessions=around.sessions, epoch=claim.epoch) as session:
            if session.power() == "on":
                return
            _note(edge, claim, plan, "intent", {"sent": "on", "says": "the power was cut while it started"})
            edge.expect_os(claim.host, epoch=claim.epoch)
            outcome = act(session, claim.host, "on", sleep=around.sleep)
    except (Unreachable, Refused) as error:
        log(f"the power could not be looked at: {error.message}")
        return
    around.sessions.drop(claim.host)
    _note(edge, claim, plan, "done", {"writes": outcome.writes, "message": "switched on again"})
    log(f"{claim.host} was off while it started: switched on again")


def _note(
    edge: RunCalls, claim: Claim, plan: Plan, phase: Literal["intent", "done"], detail: dict[str, Any]
) -> None:
    edge.journal(
        claim.host,
        epoch=claim.epoch,
        job=claim.job,
        step=POWER_AGAIN,
        kind="power",
        phase=phase,
        plan=plan.hash,
        detail=detail,
    )


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


def _started(edge: RunCalls, claim: Claim, plan: Plan) -> tuple[datetime, datetime]:
    """When the plan's last power step first went out, and the deadline that its first intent sets.

    By the edge's clock, and the same for every run of the job.
    """
    power = [step.id for step in plan.steps if step.kind in ("power", "restart-os")]
    rows = [row for row in edge.journal_rows(claim.host, job=claim.job) if row.step in power[-1:]]
    if not rows:
        raise Refused("the plan has not started the system", host=claim.host, reason="step-failed")
    sent = [row for row in rows if row.detail.get("sent")]
    return (sent or rows)[0].at, rows[0].at + timedelta(seconds=OS_DEADLINE_S)
