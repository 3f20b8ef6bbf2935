"""After the deployed system is up: read it, plan again, and accept nothing but an empty plan."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from metal.drivers.guest.fstab import QUEUED, mounts_queued
from metal.edge_client.runs import RunCalls
from metal.engine.around import REAL, Log, Surroundings
from metal.engine.claim import Claim, check
from metal.engine.connect import bmc, running_os
from metal.engine.observe import observe
from metal.engine.power import act
from metal.engine.waits import LOOK_S, OS_DEADLINE_S, Awaited, Pace, wait_until
from metal.errors import Refused, Unreachable
from metal.planning.diff import drives_to_replace
from metal.planning.plan import Plan
from metal.planning.steps import make_plan
from specs.facts import Observation
from specs.phases import Phase
from specs.records import HostRecord, JournalRow, WorkOrder

LOGGER: Final = logging.getLogger(__name__)
STARTS: Final = frozenset({"power", "restart-os"})
"""Kinds of steps that start the deployed system."""
SSH_LOOK_S: Final = 30.0
"""How often a run looks for a system that does not phone home: no event would start the job's next run."""
AWAIT_SSH: Final = "await-ssh"
"""The journal's step of a system that went away before it was verified."""
POWER_AGAIN: Final = "power-again"
"""The journal's step of a machine that was switched on again while it started."""


def await_os(edge: RunCalls, claim: Claim, plan: Plan, *, log: Log, around: Surroundings = REAL) -> str:
    """Wait for the system that the plan's last power step started; give its address.

    A system phones home once, after it was installed; one that was merely switched on answers over SSH.
    One whose power was cut meanwhile is switched on again, at each start of a run and each look.
    Raises JobWaits, Refused (os-timeout).
    """
    start = _start(edge, claim, plan)
    boot = FirstBoot(edge, claim, log, around)
    if any(step.kind == "phone-home" for step in plan.steps):
        return boot.phones(start)
    return boot.answers(start)


@dataclass(frozen=True, slots=True)
class Start:
    """From when on a system may have been up, and until when it may take, by the edge's clock."""

    at: datetime
    deadline: datetime


@dataclass(frozen=True, slots=True)
class FirstBoot:
    """A system that this job has started and that is waited for."""

    edge: RunCalls
    claim: Claim
    log: Log
    around: Surroundings

    def phones(self, start: Start) -> str:
        """Wait until it has phoned home since it was started."""

        def phoned(record: HostRecord) -> str | None:
            told = record.os.reported_at if record.os else None
            return (record.os.address or record.name) if record.os and told and told >= start.at else None

        return self._until(phoned, start, "waits for the installed system to phone home", LOOK_S)

    def answers(self, start: Start) -> str:
        """Wait until it answers over SSH: no event tells of that, so it is looked for more often."""
        message = "waits for the system to answer over SSH and to have mounted what it mounts"
        return self._until(self.reach, start, message, SSH_LOOK_S)

    def reach(self, record: HostRecord) -> str | None:
        """Where it answers over SSH now, with no mount that is still to come.

        With `nofail` no part of a start waits for a mount: read half way, a system is not what it will be.
        One without systemd tells of none.
        """
        try:
            at = running_os(record)
            queued = self.around.sessions.shell(self.edge, at).read(QUEUED)
        except Unreachable:
            return None
        coming = mounts_queued(queued.stdout) if queued.ok else ()
        if coming:
            self.log(f"{record.name} is up and still mounts: {', '.join(coming)}")
        return None if coming else at.address

    def stands(self) -> None:
        """Have it answering still, or again: its power may be cut also after it has phoned home."""
        if self.reach(self.edge.host(self.claim.host)) is not None:
            return
        rows = [
            row
            for row in self.edge.journal_rows(self.claim.host, job=self.claim.job)
            if row.step == AWAIT_SSH
        ]
        ended = max((row.no for row in rows if row.phase == "done"), default=-1)
        lost = [row for row in rows if row.no > ended]
        first = lost[0] if lost else self._note(AWAIT_SSH, "intent", {"says": "it does not answer any more"})
        self.answers(Start(first.at, first.at + timedelta(seconds=OS_DEADLINE_S)))
        self._note(AWAIT_SSH, "done", {"writes": 0, "message": "the system answers again"})

    def _until(
        self, found: Callable[[HostRecord], str | None], start: Start, message: str, look_s: float
    ) -> str:
        return wait_until(
            self.edge,
            self.claim,
            Awaited("os", start.at, start.deadline, message),
            found,
            may_go_on=self._may_go_on,
            look=self._power_again,
            pace=Pace(self.around.clock, self.around.sleep, self.around.now, look_s=look_s),
        )

    def _may_go_on(self) -> None:
        try:
            check(self.edge, self.claim)
        except Unreachable as error:
            self.log(f"the edge does not answer: {error.message}")

    def _power_again(self) -> None:
        """Switch it on if its power was cut; written down before it is sent.

        A BMC that does not answer is no reason to give the machine up: the next look asks it again.
        """
        claim = self.claim
        owner = f"{claim.run_id}:{POWER_AGAIN}"
        sessions = self.around.sessions
        try:
            if self.edge.host(claim.host).bmc_address is None:
                return
            with bmc(self.edge, claim.host, owner=owner, sessions=sessions, epoch=claim.epoch) as session:
                if session.power() == "on":
                    return
                self._note(POWER_AGAIN, "intent", {"sent": "on", "says": "its power was cut"})
                self.edge.expect_os(claim.host, epoch=claim.epoch)
                outcome = act(session, claim.host, "on", sleep=self.around.sleep)
        except (Unreachable, Refused) as error:
            self.log(f"the power could not be looked at: {error.message}")
            return
        sessions.drop(claim.host)
        self._note(POWER_AGAIN, "done", {"writes": outcome.writes, "message": "switched on again"})
        self.log(f"{claim.host} was off while it started: switched on again")

    def _note(self, step: str, phase: Literal["intent", "done"], detail: dict[str, Any]) -> JournalRow:
        return self.edge.journal(
            self.claim.host,
            epoch=self.claim.epoch,
            job=self.claim.job,
            step=step,
            kind="power" if step == POWER_AGAIN else "wait",
            phase=phase,
            detail=detail,
        )


def _start(edge: RunCalls, claim: Claim, plan: Plan) -> Start:
    """From when on it may have been up, and the deadline that the first intent of the power step sets.

    The word of a system that was installed counts from the moment on at which it could be given: a machine
    that was reset after that may have started it before the power step went out.
    """
    power = [step.id for step in plan.steps if step.kind in STARTS]
    journal = edge.journal_rows(claim.host, job=claim.job)
    rows = [row for row in journal if row.step in power[-1:]]
    if not rows:
        raise Refused("the plan has not started the system", host=claim.host, reason="step-failed")
    sent = [row for row in rows if row.detail.get("sent")]
    able = [row.at for row in journal if row.kind == "phone-home" and row.phase == "done"]
    return Start(max(able, default=(sent or rows)[0].at), rows[0].at + timedelta(seconds=OS_DEADLINE_S))


def verify(
    edge: RunCalls, claim: Claim, *, log: Log = LOGGER.info, around: Surroundings = REAL
) -> tuple[Plan, Observation]:
    """Observe the running system and plan again. Raises Refused (verify-failed) naming what differs.

    A system that this job has started is waited for once more where it went away: JobWaits, os-timeout.
    """
    check(edge, claim)
    rows = edge.journal_rows(claim.host, job=claim.job)
    if any(row.kind in STARTS and row.detail.get("sent") not in (None, "off", "soft") for row in rows):
        FirstBoot(edge, claim, log, around).stands()
    observation = observe(edge, claim.host, claim, around=around)
    order = as_installed(edge.order(claim.host))
    plan = make_plan(order, observation)
    # A drive that is to be replaced is told by the plan, and no fault of what was installed.
    worn = {str(one) for one in drives_to_replace(order.spec, observation)} if order.spec else set()
    drift = [one for one in plan.drift if one not in worn]
    if plan.steps or drift:
        told = [*drift, *(f"{step.field}: {step.old} -> {step.new}" for step in plan.steps)]
        raise Refused(
            f"the deployed system is not what the spec asks for: {'; '.join(told)}",
            host=claim.host,
            reason="verify-failed",
            hint=f"rackflow plan {claim.host} --refresh shows what differs, then rackflow apply {claim.host}",
        )
    return plan, observation


def as_installed(order: WorkOrder) -> WorkOrder:
    """Give the order as it is for an installed host: while provisioning, a plan would install once more."""
    host = order.host.model_copy(update={"phase": Phase.ACTIVE})
    return order.model_copy(update={"host": host})
