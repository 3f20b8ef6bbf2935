"""Running one step: journal, fence, observe, act, observe again (DESIGN 4 "Journal", 5.2).

A start is always the same, whether it is the first, a retry or one after a crash: a step whose `done`
stands in the journal is not run again; an intent without outcome is observed first, so that what the
last start did counts. Only the second reading says "done"; where the machine cannot say (an image that
was written), the journal does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from metal.drivers.storage.disks import PROBE_AGAIN
from metal.edge_client.runs import RunCalls
from metal.engine import (
    fill_step,
    guest_steps,
    luks_open,
    luks_steps,
    lvm_steps,
    power_steps,
    proof,
    raid_steps,
    storage_steps,
)
from metal.engine.around import REAL, Log, Memory, Surroundings
from metal.engine.arrays import assemble_own
from metal.engine.basis import hold_basis
from metal.engine.claim import Claim, check
from metal.engine.enter import Entry
from metal.engine.plans import consented_since
from metal.engine.work import Handler, Work
from metal.errors import LeaseLost, RackflowError, Refused, Unreachable, UnsafeChange
from metal.planning.plan import Plan, Step, StepKind
from metal.planning.restarts import restart_of
from specs.records import JournalRow

__all__ = ["HANDLERS", "REAL", "Memory", "StepOutcome", "Surroundings", "run_step"]

MOST_LOSSES: Final = 4
"""How often one start of a step survives the loss of its boot OS; what is sent is bounded per job besides."""

SHOWS_S: Final = 15.0
"""How long a change may take to show."""
SHOWS_EVERY_S: Final = 1.0

HANDLERS: Final[Mapping[StepKind, Handler]] = {
    **raid_steps.HANDLERS,
    **storage_steps.HANDLERS,
    **lvm_steps.HANDLERS,
    **luks_steps.HANDLERS,
    **luks_open.HANDLERS,
    **fill_step.HANDLERS,
    **guest_steps.HANDLERS,
    **power_steps.HANDLERS,
}


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """How one step ended."""

    step: str
    changed: bool
    writes: int
    seconds: float
    message: str
    reported: dict[str, Any] = field(default_factory=dict)
    """What the journal tells beside the message: `wipe`, the report of an erasing."""


def run_step(
    edge: RunCalls, claim: Claim, plan: Plan, step_id: str, *, log: Log, around: Surroundings = REAL
) -> StepOutcome:
    """Run one step of a plan to its end, once.

    Raises LeaseLost, Cancelled before anything is touched; JobWaits while its machine boots, the step being
    begun or not; Refused, Unreachable, UnsafeChange when it failed, after the failure stands in the journal.
    """
    began = around.clock()
    step = plan.step(step_id)
    check(edge, claim)
    plan_hash = plan.hash
    rows = [row for row in edge.journal_rows(claim.host, job=claim.job) if row.plan == plan_hash]
    mine = [row for row in rows if row.step == step_id]
    if any(row.phase == "done" for row in mine):
        return StepOutcome(step_id, changed=False, writes=0, seconds=0.0, message="done before")
    open_intents = _open(mine)
    _may_run(edge, claim, plan, step, open_intents)
    begun = frozenset(row.step for row in rows)
    work = Work(edge, claim, plan, step, around, log, begun=begun)
    work.writes += _enter(work)
    earlier = (row for row in mine if row.phase == "intent")
    work.intents = (*earlier, _write(work, "intent", {"says": step.reason}))
    try:
        needed, message = _persist(work)
    except LeaseLost:
        raise
    except RackflowError as error:
        if isinstance(error, UnsafeChange) and error.reason == "waiting-consent":
            raise  # the intent stays open: only a person closes it
        around.memory.forget(claim.host)
        _write(work, "failed", {"reason": error.reason, "message": error.message, "writes": work.writes})
        raise
    seconds = around.clock() - began
    told = {"message": message, "writes": work.writes, "seconds": round(seconds, 1)}
    _write(work, "done", told | work.reported)
    log(f"{step_id}: {message} ({work.writes} writes, {seconds:.1f} s)")
    changed = needed and work.writes > 0
    return StepOutcome(step_id, changed, work.writes, seconds, message, work.reported)


def _enter(work: Work, *, trusted: bool = True) -> int:
    """Have the boot OS up for a step that works there. Raises JobWaits. Gives how much was sent."""
    if work.step.where != "boot-os":
        return 0
    sent = _entry(work).ensure(trusted=trusted)
    work.record(fresh=True)
    return sent


def _needs_boot_os(step: Step) -> bool:
    """Whether a boot OS that goes away takes the step with it; the step that starts one is one too."""
    return step.where == "boot-os" or step.kind == "boot-os"


def _entry(work: Work) -> Entry:
    return Entry(work.edge, work.claim, work.around, work.log, plan=work.plan.hash)


def _persist(work: Work) -> tuple[bool, str]:
    """Carry the step out; where its boot OS goes away meanwhile, go on in a newer one.

    The step's intent stays open then, as after any crash: in a newer boot OS it starts anew, by what its kind
    declares for that.
    """
    for _ in range(MOST_LOSSES):
        try:
            return _carry_out(work)
        except (Unreachable, Refused) as error:
            if not _needs_boot_os(work.step) or not _entry(work).is_lost():
                raise
            work.log(f"{work.step.id}: the boot OS went away: {error.message}")
        # It may be the same boot OS, after the network was away: then what was sent runs on in it.
        work.kept.fenced = False
        work.writes += _enter(work, trusted=False)
        work.again, work.acted = True, False
        if restart_of(work.step.kind, work.args) == "ask":
            raise _asks(work.step, work.intents, work.host)
    return _carry_out(work)


def _carry_out(work: Work) -> tuple[bool, str]:
    """Observe, act if need be, observe again. Give whether it was needed, and what was done."""
    handler = HANDLERS[work.step.kind]
    if work.step.where != "bmc" and work.interrupted:
        work.fence()
    if work.step.where == "boot-os":
        assemble_own(work)
    before = () if handler.blind else handler.differences(work)
    if not handler.blind and not before:
        return False, "not needed"
    proof.guard(work)
    if work.step.destructive:
        hold_basis(work)
    handler.act(work)
    work.acted = True
    after = _read_again(work, handler)
    if after:
        raise Refused(
            f"step {work.step.id} ran, and still: {'; '.join(after)}",
            host=work.host,
            reason="step-failed",
            hint=f"rackflow plan {work.host} --refresh shows what is there; then rackflow apply {work.host}",
        )
    return True, "; ".join(before) or work.step.reason


def _read_again(work: Work, handler: Handler) -> tuple[str, ...]:
    """What is not as wished after the change, read until it is so for a while.

    udev, which tells what lies on a disk, hears of a change after the command that made it has ended, and
    of one to a partition that has just appeared perhaps never (both seen on a loaded machine, after
    mkfs.ext4): it is asked to probe anew.
    """
    deadline = work.around.clock() + SHOWS_S
    while (after := handler.differences(work)) and work.around.clock() < deadline:
        if work.step.where == "boot-os":
            work.shell().read(PROBE_AGAIN)
        work.around.sleep(SHOWS_EVERY_S)
    return after


def _may_run(
    edge: RunCalls, claim: Claim, plan: Plan, step: Step, open_intents: tuple[JournalRow, ...]
) -> None:
    """Refuse a blocked step, and one whose interrupted start only a person can judge."""
    if step.blocked_by is not None or plan.blocked is not None:
        raise UnsafeChange(
            f"step {step.id} may not run: {step.blocked_by or plan.blocked}",
            host=claim.host,
            reason=step.blocked_by or plan.blocked or "refused",
        )
    if restart_of(step.kind, step.args) == "ask" and not consented_since(edge, claim, plan, open_intents):
        raise _asks(step, open_intents, claim.host)


def _asks(step: Step, intents: tuple[JournalRow, ...], host: str) -> UnsafeChange:
    return UnsafeChange(
        f"step {step.id} was started at {intents[-1].at:%F %T} and has no outcome; a person decides",
        host=host,
        reason="waiting-consent",
        hint=f"rackflow approve {host}",
    )


def _open(rows: list[JournalRow]) -> tuple[JournalRow, ...]:
    """Give the intents after the last outcome; that nothing answered any more is none."""
    known = (row.no for row in rows if row.phase == "done" or (row.phase == "failed" and not _silent(row)))
    last = max(known, default=-1)
    return tuple(row for row in rows if row.phase == "intent" and row.no > last)


def _silent(row: JournalRow) -> bool:
    return row.detail.get("reason") == "unreachable"


def _write(work: Work, phase: Any, detail: dict[str, Any]) -> JournalRow:
    return work.edge.journal(
        work.host,
        epoch=work.claim.epoch,
        job=work.claim.job,
        step=work.step.id,
        kind=work.step.kind,
        phase=phase,
        plan=work.plan.hash,
        detail=detail,
    )
