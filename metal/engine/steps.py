"""Running one step: journal, fence, observe, act, observe again (DESIGN 4 "Journal", 5.2).

A start is always the same, whether it is the first, a retry or one after a crash: a step whose `done`
stands in the journal is not run again; an intent without outcome is observed first, so that what the
last start did counts. Only the second reading says "done"; where the machine cannot say (an image that
was written), the journal does.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from metal.edge_client.runs import RunCalls
from metal.engine import guest_steps, power_steps, storage_steps
from metal.engine.basis import hold_basis
from metal.engine.claim import Claim, check
from metal.engine.connect import SESSIONS, Sessions
from metal.engine.work import Handler, Kept, Log, Work
from metal.errors import LeaseLost, RackflowError, Refused, UnsafeChange
from metal.planning.plan import Plan, Step, StepKind
from specs.records import JournalRow

HANDLERS: Final[Mapping[StepKind, Handler]] = {
    **storage_steps.HANDLERS,
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


@dataclass(slots=True)
class Memory:
    """What this process remembers of hosts between the steps of one run."""

    by_run: dict[tuple[str, str], Kept] = field(default_factory=dict)

    def of(self, claim: Claim) -> Kept:
        """What is remembered for a claim; another run's memory of the host is forgotten."""
        key = (claim.host, claim.run_id)
        if key not in self.by_run:
            self.by_run = {k: v for k, v in self.by_run.items() if k[0] != claim.host}
            self.by_run[key] = Kept()
        return self.by_run[key]

    def forget(self, host: str) -> None:
        """Drop what is remembered of a host."""
        self.by_run = {k: v for k, v in self.by_run.items() if k[0] != host}


MEMORY: Final = Memory()
"""The process's own, as the open connections are (see `connect.SESSIONS`)."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Clock, connections and memory of a run; tests give their own."""

    sessions: Sessions = SESSIONS
    memory: Memory = field(default_factory=lambda: MEMORY)
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


REAL: Final = Surroundings()


def run_step(
    edge: RunCalls, claim: Claim, plan: Plan, step_id: str, *, log: Log, around: Surroundings = REAL
) -> StepOutcome:
    """Run one step of a plan to its end, once.

    Raises LeaseLost, Cancelled before anything is touched; Refused, Unreachable, UnsafeChange when it failed,
    after the failure stands in the journal.
    """
    began = around.clock()
    step = plan.step(step_id)
    check(edge, claim)
    rows = [row for row in edge.journal_rows(claim.host, job=claim.job) if row.step == step_id]
    if any(row.phase == "done" and row.plan == plan.hash for row in rows):
        return StepOutcome(step_id, changed=False, writes=0, seconds=0.0, message="done before")
    open_intents = _open(rows)
    _may_run(plan, step, open_intents, claim.host)
    work = Work(
        edge=edge,
        claim=claim,
        plan=plan,
        step=step,
        sessions=around.sessions,
        kept=around.memory.of(claim),
        log=log,
        clock=around.clock,
        sleep=around.sleep,
    )
    intent = _write(work, "intent", {"says": step.reason})
    work.intents = (*open_intents, intent)
    try:
        needed, message = _carry_out(work)
    except LeaseLost:
        raise
    except RackflowError as error:
        around.memory.forget(claim.host)
        _write(work, "failed", {"reason": error.reason, "message": error.message, "writes": work.writes})
        raise
    seconds = around.clock() - began
    _write(work, "done", {"message": message, "writes": work.writes, "seconds": round(seconds, 1)})
    log(f"{step_id}: {message} ({work.writes} writes, {seconds:.1f} s)")
    return StepOutcome(step_id, needed and work.writes > 0, work.writes, seconds, message)


def _carry_out(work: Work) -> tuple[bool, str]:
    """Observe, act if need be, observe again. Give whether it was needed, and what was done."""
    handler = HANDLERS[work.step.kind]
    before = () if handler.blind else handler.differences(work)
    if not handler.blind and not before:
        return False, "not needed"
    if work.step.destructive:
        hold_basis(work)
    handler.act(work)
    after = handler.differences(work)
    if after:
        raise Refused(
            f"step {work.step.id} ran, and still: {'; '.join(after)}",
            host=work.host,
            reason="step-failed",
            hint="rackflow plan with --refresh shows what is there now",
        )
    return True, "; ".join(before) or work.step.reason


def _may_run(plan: Plan, step: Step, open_intents: tuple[JournalRow, ...], host: str) -> None:
    """Refuse a blocked step, and one whose interrupted start only a person can judge."""
    if step.blocked_by is not None or plan.blocked is not None:
        raise UnsafeChange(
            f"step {step.id} may not run: {step.blocked_by or plan.blocked}",
            host=host,
            reason=step.blocked_by or plan.blocked or "refused",
        )
    if open_intents and step.restart == "ask":
        raise UnsafeChange(
            f"step {step.id} was started at {open_intents[-1].at:%F %T} and has no outcome; a person decides",
            host=host,
            reason="waiting-consent",
        )


def _open(rows: list[JournalRow]) -> tuple[JournalRow, ...]:
    """Give the intents after the last outcome."""
    last = max((row.no for row in rows if row.phase != "intent"), default=-1)
    return tuple(row for row in rows if row.phase == "intent" and row.no > last)


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
