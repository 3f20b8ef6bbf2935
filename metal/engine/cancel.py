"""The end of a job that does not go to its end: what it left running, what it left set, what it left undone.

Nothing is undone and nothing is erased here (DESIGN 5.8). The machine is fenced, so that no command of
an earlier run goes on; a one-time PXE flag that this job set is read and cleared, so that the machine's
next start is its own. Each is tried once and briefly: a machine that does not answer must not keep a
job from ending, and why it was not done is said.
"""

from typing import Final

from metal.edge_client.runs import RunCalls
from metal.engine.around import REAL, Log, Surroundings
from metal.engine.claim import Claim
from metal.engine.connect import Address, bmc, boot_os, running_os
from metal.engine.plans import PLAN_STEP, stored_hash
from metal.engine.power import set_boot
from metal.errors import LeaseLost, RackflowError, Unreachable
from metal.planning.plan import Plan
from metal.protocols import BootFlags, Command
from specs.records import HostRecord, JournalRow

BOOTS_BY_PXE: Final = frozenset({"boot-os", "enter-boot-os"})
"""Steps, by kind or id, that set PXE once at the BMC."""
FENCE_S: Final = 30


def wind_down(edge: RunCalls, claim: Claim, *, log: Log, around: Surroundings = REAL) -> str:
    """Fence the machine and clear what was set for one boot. Gives what is done, begun and left."""
    rows = edge.journal_rows(claim.host, job=claim.job)
    fence(edge, claim, rows, log=log, around=around)
    clear_boot_flag(edge, claim, rows, log=log, around=around)
    return left(rows, _plan(edge, claim))


def fence(
    edge: RunCalls, claim: Claim, rows: list[JournalRow], *, log: Log, around: Surroundings = REAL
) -> None:
    """End what earlier runs started on the machine: a command of this epoch waits until they are gone."""
    if not any(row.phase == "intent" for row in rows):
        return  # no step was begun, so nothing runs
    try:
        shell = around.sessions.shell(edge, _where(edge.host(claim.host)))
        command = Command(("true",), says="fence the machine", timeout_s=FENCE_S)
        said = shell.change(command, step=f"{claim.job}-fence", epoch=claim.epoch)
    except LeaseLost:
        raise
    except RackflowError as error:
        log(f"{claim.host} was not fenced: {error.message}")
        return
    told = "was fenced" if said.ok else f"was not fenced: {said.stderr.strip()[-200:]}"
    log(f"{claim.host} {told} (epoch {claim.epoch})")


def clear_boot_flag(
    edge: RunCalls,
    claim: Claim,
    rows: list[JournalRow] | None = None,
    *,
    log: Log,
    around: Surroundings = REAL,
) -> None:
    """Clear a one-time PXE flag that this job set and no boot has used up."""
    try:
        known = rows if rows is not None else edge.journal_rows(claim.host, job=claim.job)
        if not any(BOOTS_BY_PXE & {row.step, row.kind} for row in known):
            return
        owner = f"{claim.run_id}:clear-boot-flag"
        with bmc(edge, claim.host, owner=owner, sessions=around.sessions, epoch=claim.epoch) as session:
            seen = session.boot_flags()
            if seen.target != "pxe" or seen.persistent:
                return
            set_boot(session, claim.host, BootFlags("none", persistent=False, efi=False))
    except LeaseLost:
        raise
    except RackflowError as error:
        log(f"a one-time boot flag of {claim.host} may be set still: {error.message}")
        return
    log(f"the one-time PXE flag of {claim.host} was cleared")


def left(rows: list[JournalRow], plan: Plan | None) -> str:
    """Say which steps are done, which was begun and has no outcome, and which were not begun."""
    last: dict[str, str] = {}
    for row in rows:
        if row.step != PLAN_STEP and last.get(row.step) != "done":
            last[row.step] = row.phase
    steps = dict.fromkeys([*(step.id for step in plan.steps), *last]) if plan else last
    told = {"done": "finished", "failed": "failed", "intent": "begun without an outcome", None: "not begun"}
    parts = []
    for phase, what in told.items():
        which = [step for step in steps if last.get(step) == phase]
        parts += [f"{what}: {', '.join(which)}"] if which else []
    return "; ".join(parts) or "no step was begun"


def _plan(edge: RunCalls, claim: Claim) -> Plan | None:
    stored = stored_hash(edge, edge.job(claim.host, claim.job))
    return Plan.model_validate(edge.plan(stored)) if stored else None


def _where(record: HostRecord) -> Address:
    """Where the machine may be reached. Raises Unreachable where nothing is known to run."""
    if record.boot is not None:
        return boot_os(record)
    if record.os is None and not record.installed:
        raise Unreachable("nothing is known to run on it", host=record.name, reason="unreachable")
    return running_os(record)
