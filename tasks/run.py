"""What a run did so far, and how it ends: the outcome that `held` reports to the edge."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Literal, TypeVar

from prefect.client.schemas.objects import State
from prefect.states import Cancelled as CancelledState
from prefect.states import Completed

from metal.edge_client import EdgeClient
from metal.engine.claim import Claim, LeaseKeeper
from metal.engine.plans import PLAN_STEP, unjudged
from metal.engine.steps import StepOutcome
from metal.errors import Cancelled, JobWaits, RackflowError, Refused, Unreachable, UnsafeChange, Wait
from metal.planning.attested import wiped_words
from metal.planning.plan import Plan
from metal.planning.report import standing
from metal.planning.safety import written_disks
from specs.facts import Hardware, WipeReport
from specs.phases import Phase
from specs.reasons import next_step
from specs.records import JobRecord, JournalRow, Result

FINISH_DELAYS_S: Final = (2.0, 5.0, 10.0, 20.0, 20.0)
"""An edge that is upgraded meanwhile must not cost a host, installed and verified, its job's outcome."""

T = TypeVar("T")


class Stage:
    """What one stage wrote and changed."""

    def __init__(self) -> None:
        self.writes = 0
        self.changes = 0

    def got(self, given: T | Wait) -> T:
        """Give what a task gave; a wait that it registered ends the run. Raises JobWaits."""
        if isinstance(given, Wait):
            raise JobWaits(given)
        return given

    def wrote(self, writes: int) -> None:
        """Count commands that changed something."""
        self.writes += writes
        self.changes += int(writes > 0)

    def did(self, given: StepOutcome | Wait) -> None:
        """Count a step."""
        outcome = self.got(given)
        self.writes += outcome.writes
        self.changes += int(outcome.changed)


class Run:
    """What this run did so far, and how it ends. Tasks get `claim`, which is plain data."""

    def __init__(
        self, edge: EdgeClient, claim: Claim, job: JobRecord, *, keeper: LeaseKeeper | None = None
    ) -> None:
        self.edge, self.claim, self.job, self.keeper = edge, claim, job, keeper
        self.changes = 0
        self.writes = 0
        self.stages: list[dict[str, Any]] = []
        self.rows: tuple[JournalRow, ...] = ()
        """The job's journal, as this run found it."""
        self.result: Result = "applied"
        self.reason: str | None = "ok"
        self.message: str | None = None
        self.plan_hash: str | None = job.plan
        self.plan: Plan | None = None
        """The plan that is being carried out."""
        self.asks: Plan | None = None
        """The plan that waits for a consent."""
        self.stopped: RackflowError | None = None
        """Why this run may do nothing at all."""

    @property
    def only_observes(self) -> bool:
        """Whether the job asked for a reading and nothing else."""
        return self.job.verb == "observe"

    @contextmanager
    def stage(self, name: str) -> Iterator[Stage]:
        """Time one stage; what it wrote and changed is added to the run's sums, also when it fails.

        Raises LeaseLost or Cancelled where this run may not start another one.
        """
        if self.stopped is not None:
            raise self.stopped
        if self.keeper is not None:
            self.keeper.must_stop()
        stage = Stage()
        began = time.monotonic()
        try:
            yield stage
        finally:
            self.stages.append({"name": name, "seconds": round(time.monotonic() - began, 1)})
            self.writes += stage.writes
            self.changes += stage.changes

    def recall(self, rows: list[JournalRow]) -> None:
        """Count what the job's earlier runs finished: the outcome is the job's, not the last run's."""
        self.rows = tuple(rows)
        for row in rows:
            if row.phase != "done" or row.epoch >= self.claim.epoch or row.step == PLAN_STEP:
                continue
            writes = int(row.detail.get("writes") or 0)
            self.stages.append({"name": row.step, "seconds": row.detail.get("seconds") or 0.0})
            self.writes += writes
            self.changes += int(writes > 0)

    def rebooted(self, plan: Plan) -> bool:
        """Whether the plan started the deployed system anew."""
        return any(step.reboot and step.kind != "boot-os" for step in plan.steps)

    def begin(self, plan: Plan) -> None:
        """Enter the phase of a plan that installs or wipes; an adjustment keeps the phase."""
        self.plan = plan
        if plan.destructive:
            self.edge.phase(self.claim.host, plan.phase, epoch=self.claim.epoch)

    def inspects(self) -> None:
        """Enter the inspecting phase, whose clock the edge watches."""
        self.edge.phase(self.claim.host, Phase.INSPECTING, epoch=self.claim.epoch)

    def ready(self, hardware: Hardware) -> None:
        """End as ready for a spec; a system that no spec claims is said with the disks that carry it."""
        foreign = foreign_systems(hardware) if self.edge.order(self.claim.host).spec is None else ()
        reason = "foreign-system" if foreign else "ok"
        told = (
            f"no spec claims what lies on {', '.join(foreign)}" if foreign else "BMC and hardware are known"
        )
        self.edge.phase(self.claim.host, Phase.READY, epoch=self.claim.epoch, reason=reason, message=told)
        self._end("applied", reason, told)

    def in_sync(self, plan: Plan) -> None:
        """End without a change. Raises Refused (drift) for differences that an apply does not repair."""
        told = standing(plan)
        self._synced(plan, told)
        if plan.drift:
            raise Refused(told, host=self.claim.host, reason="drift", hint=f"rackflow plan {self.claim.host}")
        self._end("in-sync", "ok", told, plan)

    def observed(self, plan: Plan) -> None:
        """End after a reading alone; a host that differs was observed, and is not in sync."""
        told = standing(plan)
        self._synced(plan, told)
        self._end("in-sync" if plan.in_sync else "observed", "ok", f"observed: {told}", plan)

    def waits_for_consent(self, plan: Plan) -> None:
        """End as waiting; a consent, by `rackflow approve` or by the form, starts the job's next run."""
        told = consent_words(plan, self.rows)
        self._end("waiting-consent", "waiting-consent", told, plan)
        self.asks = plan

    def asks_again(self, error: UnsafeChange) -> bool:
        """End as waiting if only a person can judge a step that was cut short; else False."""
        if error.reason != "waiting-consent" or self.plan is None:
            return False
        self._end("waiting-consent", error.reason, error.message, self.plan)
        self.asks = self.plan
        return True

    def applied(self, plan: Plan) -> None:
        """End as applied and verified."""
        if plan.destructive:
            self.edge.phase(self.claim.host, Phase.ACTIVE, epoch=self.claim.epoch, reason="ok")
        told = f"{self.changes} changes, {self.writes} writes, verified"
        self.edge.put_condition(self.claim.host, "InSync", status="True", reason="ok", message=told)
        self._end("applied", "ok", told, plan)

    def wiped(self, plan: Plan, reports: Sequence[WipeReport]) -> None:
        """End as wiped: ready for a spec, as a blank machine is, with what was erased in the host's message.

        With the phase the edge forgets what was installed. What the conditions said was said of that.
        """
        told = wiped_words(reports, plan.notes)
        blank = "its disks were erased: nothing is installed"
        self.edge.phase(self.claim.host, Phase.READY, epoch=self.claim.epoch, reason="ok", message=told)
        self.edge.put_condition(
            self.claim.host, "InSync", status="Unknown", reason="no-work-due", message=blank
        )
        self.edge.put_condition(
            self.claim.host, "Reachable", status="True", reason="ok", message="the boot OS answers"
        )
        self._end("applied", "ok", told, plan)

    def says(self, message: str) -> None:
        """End with a message."""
        self._end("applied", "ok", message)

    def _synced(self, plan: Plan, message: str) -> None:
        status: Literal["True", "False"] = "True" if plan.in_sync else "False"
        reason = "ok" if plan.in_sync else "drift"
        self.edge.put_condition(self.claim.host, "InSync", status=status, reason=reason, message=message)

    def _end(self, result: Result, reason: str, message: str, plan: Plan | None = None) -> None:
        self.result, self.reason, self.message = result, reason, message
        if plan is not None:
            self.plan_hash = plan.hash

    def waits(self, wait: Wait) -> None:
        """End for a wait that stands at the edge; the job has no outcome yet."""
        self.message = wait.message

    def failed(self, error: Exception, left: str | None = None) -> None:
        """End as failed, with the error's reason and next step, and what a cancelled job left."""
        self.result = "failed"
        self.reason = error.reason if isinstance(error, RackflowError) else "step-failed"
        told = error.message if isinstance(error, RackflowError) else f"{type(error).__name__}: {error}"
        self.message = f"{told}; {left}" if left else told

    def ended(self) -> State[None]:
        """The flow run's own end, with what it says. A cancelled job shows as cancelled, not as failed."""
        stopped = self.reason == "cancelled" or isinstance(self.stopped, Cancelled)
        return CancelledState(message=self.message) if stopped else Completed(message=self.message)

    def finish(self) -> None:
        """Tell the edge; while it does not answer again, as long as the lease lives."""
        for delay_s in FINISH_DELAYS_S:
            try:
                return self._tell()
            except Unreachable:
                time.sleep(delay_s)
        return self._tell()

    def _tell(self) -> None:
        step = next_step(self.reason, self.job.verb)
        job = self.edge.finish(
            self.claim.host,
            self.claim.job,
            epoch=self.claim.epoch,
            run_id=self.claim.run_id,
            result=self.result,
            reason=self.reason,
            message=self.message,
            next_step=step if self.result != "applied" else None,
            outcome={"changes": self.changes, "writes": self.writes, "stages": self.stages},
            plan=self.plan_hash,
        )
        if job.state != "waiting-consent":
            self.asks = None  # the job was cancelled meanwhile: a form would ask about nothing


def consent_words(plan: Plan, rows: Sequence[JournalRow]) -> str:
    """What a person is asked: which disks are still to be erased, and which erasing was cut, if one was."""
    done = {row.step for row in rows if row.phase == "done" and row.plan == plan.hash and plan.wipe}
    gone = {one.serial for step in plan.steps if step.id in done for one in step.destroys}
    disks = sorted(name or "a disk without a name" for name in written_disks(plan) if name not in gone)
    cut = [f"{row.step} was begun at {row.at:%F %T} UTC and cut" for row in unjudged(plan, rows)]
    return "; ".join((*cut, f"waits for consent to erase {', '.join(disks) or 'nothing'}"))


def foreign_systems(hardware: Hardware) -> tuple[str, ...]:
    """Disks that carry a partitioned system, by identity."""
    fixed = (disk for disk in hardware.disks if not disk.removable)
    return tuple(disk.identity or disk.device for disk in fixed if any(p.filesystem for p in disk.partitions))
