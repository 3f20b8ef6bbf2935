"""A host held by this flow run: lease claimed at the first line, outcome reported at the last.

Every run of a job takes this path: first start, retry, next segment and crash are one. Whatever
leaves the block becomes the job's outcome at the edge, which releases the lease with it.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Literal

from prefect.runtime import flow_run

from metal.edge_client import EdgeClient
from metal.engine.claim import Claim, LeaseKeeper, claim_host
from metal.engine.steps import StepOutcome
from metal.errors import LeaseLost, RackflowError, Refused, Unreachable
from metal.planning.plan import Plan
from specs.facts import Hardware
from specs.phases import Phase
from specs.reasons import REASONS
from specs.records import JobRecord, Result, Verb

ENDED: Final = frozenset({"done", "failed", "cancelled"})
FINISH_DELAYS_S: Final = (2.0, 5.0, 10.0, 20.0, 20.0)
"""An edge that is upgraded meanwhile must not cost a host, installed and verified, its job's outcome."""


class Stage:
    """What one stage wrote and changed."""

    def __init__(self) -> None:
        self.writes = 0
        self.changes = 0

    def wrote(self, writes: int) -> None:
        """Count commands that changed something."""
        self.writes += writes
        self.changes += int(writes > 0)

    def did(self, outcome: StepOutcome) -> None:
        """Count a step."""
        self.writes += outcome.writes
        self.changes += int(outcome.changed)


class Run:
    """What this run did so far, and how it ends. Tasks get `claim`, which is plain data."""

    def __init__(self, edge: EdgeClient, claim: Claim, job: JobRecord, keeper: LeaseKeeper) -> None:
        self._keeper = keeper
        self.edge, self.claim, self.job = edge, claim, job
        self.changes = 0
        self.writes = 0
        self.stages: list[dict[str, Any]] = []
        self.result: Result = "applied"
        self.reason: str | None = "ok"
        self.message: str | None = None
        self.plan_hash: str | None = job.plan

    @property
    def only_observes(self) -> bool:
        """Whether the job asked for a reading and nothing else."""
        return self.job.verb == "observe"

    @contextmanager
    def stage(self, name: str) -> Iterator["Stage"]:
        """Time one stage; what it wrote and changed is added to the run's sums, also when it fails.

        Raises LeaseLost or Cancelled where this run may not start another one.
        """
        self._keeper.must_stop()
        stage = Stage()
        began = time.monotonic()
        try:
            yield stage
        finally:
            self.stages.append({"name": name, "seconds": round(time.monotonic() - began, 1)})
            self.writes += stage.writes
            self.changes += stage.changes

    def rebooted(self, plan: Plan) -> bool:
        """Whether the plan started the deployed system anew."""
        return any(step.reboot and step.kind != "boot-os" for step in plan.steps)

    def begin(self, plan: Plan) -> None:
        """Enter the provisioning phase if this plan installs; an adjustment keeps the phase."""
        if plan.destructive:
            self.edge.phase(self.claim.host, Phase.PROVISIONING, epoch=self.claim.epoch)

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
        told = "; ".join(plan.drift) or "in sync (0 changes)"
        self._synced(plan, told)
        if plan.drift:
            raise Refused(told, host=self.claim.host, reason="drift", hint=f"rackflow plan {self.claim.host}")
        self._end("in-sync", "ok", told, plan)

    def observed(self, plan: Plan) -> None:
        """End after a reading alone."""
        told = f"{len(plan.steps)} steps pending" if plan.steps else "in sync"
        self._synced(plan, told)
        self._end("in-sync", "ok", f"observed: {told}", plan)

    def waits_for_consent(self, plan: Plan) -> None:
        """End as waiting; `rackflow approve` posts the job's next run."""
        erased = ", ".join(sorted({d.serial for step in plan.steps for d in step.destroys})) or "nothing"
        self._end("waiting-consent", "waiting-consent", f"waits for consent to erase {erased}", plan)

    def applied(self, plan: Plan) -> None:
        """End as applied and verified."""
        if plan.destructive:
            self.edge.phase(self.claim.host, Phase.ACTIVE, epoch=self.claim.epoch, reason="ok")
        told = f"{self.changes} changes, {self.writes} writes, verified"
        self.edge.put_condition(self.claim.host, "InSync", status="True", reason="ok", message=told)
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

    def failed(self, error: BaseException) -> None:
        """End as failed, with the error's reason and next step."""
        self.result = "failed"
        self.reason = error.reason if isinstance(error, RackflowError) else "step-failed"
        told = f"{type(error).__name__}: {error}"
        self.message = error.message if isinstance(error, RackflowError) else told

    def finish(self) -> None:
        """Tell the edge; while it does not answer again, as long as the lease lives."""
        for delay_s in FINISH_DELAYS_S:
            try:
                return self._tell()
            except Unreachable:
                time.sleep(delay_s)
        return self._tell()

    def _tell(self) -> None:
        known = REASONS.get(self.reason or "")
        self.edge.finish(
            self.claim.host,
            self.claim.job,
            epoch=self.claim.epoch,
            run_id=self.claim.run_id,
            result=self.result,
            reason=self.reason,
            message=self.message,
            next_step=known.next_step if known and self.result != "applied" else None,
            outcome={"changes": self.changes, "writes": self.writes, "stages": self.stages},
            plan=self.plan_hash,
        )


def foreign_systems(hardware: Hardware) -> tuple[str, ...]:
    """Disks that carry a partitioned system, by identity."""
    fixed = (disk for disk in hardware.disks if not disk.removable)
    return tuple(disk.identity or disk.device for disk in fixed if any(p.filesystem for p in disk.partitions))


@contextmanager
def held(host: str, job: int, verb: Verb, args: dict[str, Any] | None = None) -> Iterator[Run]:
    """Hold the host for the block. A run that a person started by hand (no job) claims one first."""
    run_id = str(flow_run.id)
    with EdgeClient() as edge:
        record = (
            edge.job(host, job) if job else edge.claim_job(host, run_id=run_id, verb=verb, args=args or {})
        )
        if record.state in ENDED:
            return_early(record)
        claim = claim_host(edge, record.host, job=record.no, run_id=run_id)
        keeper = LeaseKeeper(edge, claim, clock=time.monotonic)
        run = Run(edge, claim, record, keeper)
        with keeper:
            try:
                yield run
            except LeaseLost:
                raise
            except BaseException as error:
                run.failed(error)
                run.finish()
                raise
            run.finish()


def return_early(record: JobRecord) -> None:
    """Refuse to run a job that has ended: an orphan of Prefect's must do nothing."""
    raise LeaseLost(
        f"job {record.no} has already ended as {record.state}",
        host=record.host,
        reason="lease-lost",
        hint=f"rackflow apply {record.host} makes a new one",
    )
