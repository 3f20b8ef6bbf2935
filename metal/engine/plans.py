"""The plan of a job: stored before its first step, continued by its later runs, judged before it runs."""

from collections.abc import Sequence
from typing import Final, get_args

from metal.edge_client.runs import RunCalls
from metal.engine.claim import Claim
from metal.errors import SpecError, UnsafeChange
from metal.planning.basis import moved
from metal.planning.plan import Plan, StepKind
from metal.planning.report import asked_again
from metal.planning.restarts import DESTROYING, restart_of
from metal.planning.safety import Forbidden, NeedsConsent, PostedBy, Verdict, consent_needed
from metal.planning.steps import make_plan
from metal.planning.wiping import make_wipe_plan
from specs.erasure import wipe_args
from specs.facts import Observation
from specs.model import Lifecycle
from specs.reasons import REASONS, next_step
from specs.records import HostRecord, JobRecord, JournalRow, WorkOrder

PLAN_STEP: Final = "plan"
"""The journal row that ties a plan to its job."""
OF_WIPE: Final[frozenset[StepKind]] = frozenset({"boot-os", "wipe", "boot-order"})
"""The steps of a wipe."""


def plan_for_job(edge: RunCalls, claim: Claim, seen: Observation) -> Plan:
    """Give the job's stored plan, never a new one; the first run makes and stores it.

    A job that was posted for one plan (`args.plan`, a hash) runs that plan and no other, and begins it only
    on a machine that is as its basis says. A job that only observes stores nothing: its plan is for reading.
    """
    job = edge.job(claim.host, claim.job)
    stored = stored_hash(edge, job)
    asked = job.args.get("plan")
    if asked and stored not in (None, asked):
        raise UnsafeChange(
            f"the job was posted for plan {str(asked)[:12]} and has begun plan {str(stored)[:12]}",
            host=claim.host,
            reason="plan-moved",
            hint=f"rackflow apply {claim.host} makes a new plan",
        )
    if stored is not None and (not asked or _is_begun(edge, job)):
        return _stored(edge, claim, stored)
    if asked:
        plan = _stored(edge, claim, str(asked))
        _of_its_verb(job, plan)
        _holds(edge, claim, plan, seen)
    else:
        plan = _made(edge.order(claim.host), job, seen)
    if job.verb != "observe" and plan.steps:
        edge.put_plan(plan.hash, plan.model_dump(mode="json"))
        edge.journal(
            claim.host,
            epoch=claim.epoch,
            job=claim.job,
            step=PLAN_STEP,
            kind=PLAN_STEP,
            phase="done",
            plan=plan.hash,
            detail={"steps": len(plan.steps)},
        )
    return plan


def _made(order: WorkOrder, job: JobRecord, seen: Observation) -> Plan:
    """Make the plan that the job's verb asks for. Raises SpecError where there is nothing to plan with."""
    if job.verb != "wipe":
        return make_plan(order, seen, reinstall=job.verb == "reinstall")
    try:
        wish = wipe_args(job.args).wish
    except ValueError as error:
        raise SpecError(
            f"the wipe's arguments are wrong: {error}", host=job.host, reason="refused"
        ) from error
    return make_wipe_plan(order, seen, wish)


def _of_its_verb(job: JobRecord, plan: Plan) -> None:
    """Refuse to carry out a wipe as an installation, or an installation as a wipe: each ends otherwise."""
    if (plan.wipe is not None) == (job.verb == "wipe"):
        strange = [step.id for step in plan.steps if step.kind not in OF_WIPE] if plan.wipe else []
        if not strange:
            return
        told = f"plan {plan.hash[:12]} was edited: {', '.join(strange)} is no step of a wipe"
    else:
        what = "no wipe" if plan.wipe is None else "a wipe"
        told = f"plan {plan.hash[:12]} is {what}, and the job's verb is {job.verb}"
    hint = f"rackflow plan {job.host} shows what an apply does, with --wipe what a wipe does"
    raise UnsafeChange(told, host=job.host, reason="plan-moved", hint=hint)


def _holds(edge: RunCalls, claim: Claim, plan: Plan, seen: Observation) -> None:
    """Refuse a plan that was made for another host, or on a reading that no longer holds.

    It may come out of a file: what its steps say of themselves is no evidence. One that erases and does not
    say so would need no consent.
    """
    hidden = [step.id for step in plan.steps if step.kind in DESTROYING and not step.destructive]
    if hidden:
        raise UnsafeChange(
            f"plan {plan.hash[:12]} was edited: {', '.join(hidden)} erases, and is not marked as destructive",
            host=claim.host,
            reason="plan-moved",
            hint=f"rackflow plan {claim.host} {asked_again(plan)}",
        )
    host = edge.order(claim.host).host
    found = [str(one) for one in moved(plan, seen)]
    if plan.host_id != host.id:
        found.insert(0, f"it is for {plan.host} ({plan.host_id}), not for {host.name} ({host.id})")
    if found:
        raise UnsafeChange(
            f"plan {plan.hash[:12]} does not fit the machine any more: {'; '.join(found)}",
            host=claim.host,
            reason="plan-moved",
            hint=f"rackflow plan {claim.host} {asked_again(plan)}",
        )


def _is_begun(edge: RunCalls, job: JobRecord) -> bool:
    """Whether a run of this job has tied its plan to it."""
    return any(row.step == PLAN_STEP for row in edge.journal_rows(job.host, job=job.no))


def _stored(edge: RunCalls, claim: Claim, stored: str) -> Plan:
    """Give the plan under a hash. Raises UnsafeChange when it has another: what was shown is what runs."""
    plan = Plan.model_validate(edge.plan(stored))
    if plan.hash != stored:
        raise UnsafeChange(
            f"the plan stored under {stored[:12]} has the hash {plan.hash[:12]}: another version made it",
            host=claim.host,
            reason="plan-moved",
            hint=f"rackflow apply {claim.host} makes a new plan",
        )
    return plan


def stored_hash(edge: RunCalls, job: JobRecord) -> str | None:
    """The hash of the plan that this job runs: said at a wait for consent, else by its journal."""
    if job.plan:
        return job.plan
    rows = edge.journal_rows(job.host, job=job.no)
    return next((row.plan for row in reversed(rows) if row.step == PLAN_STEP and row.plan), None)


def may_run(edge: RunCalls, claim: Claim, plan: Plan) -> bool:
    """Whether the plan may run now; False when it waits for a consent. Raises UnsafeChange when it never may.

    A consent that is found is spent by this job, and good for it to its end; but a step that only a person
    can judge after a crash asks for one that is newer than its start. A plan that has destroyed all that it
    would destroy is not judged again: by then its host may be active, where other rules hold.
    """
    if _has_destroyed(edge, claim, plan):
        return True
    job = edge.job(claim.host, claim.job)
    verdict = judge(edge.order(claim.host), job, plan)
    if isinstance(verdict, Forbidden):
        told = REASONS.get(verdict.reason)
        blocked = "; ".join(step.reason for step in plan.steps if step.blocked_by)
        raise UnsafeChange(
            blocked or (told.sentence if told else f"the plan may not run: {verdict.reason}"),
            host=claim.host,
            reason=verdict.reason,
            hint=next_step(verdict.reason, job.verb),
        )
    if isinstance(verdict, NeedsConsent) and not edge.consents(claim.host, plan.hash, job=claim.job):
        return False
    return consented_since(edge, claim, plan, unjudged(plan, edge.journal_rows(claim.host, job=claim.job)))


def _has_destroyed(edge: RunCalls, claim: Claim, plan: Plan) -> bool:
    """Whether all destructive steps are done: an earlier run died between the last one and its outcome."""
    rows = edge.journal_rows(claim.host, job=claim.job)
    done = {row.step for row in rows if row.phase == "done" and row.plan == plan.hash}
    destroying = {step.id for step in plan.steps if step.destructive}
    return bool(destroying) and destroying <= done


def consented_since(edge: RunCalls, claim: Claim, plan: Plan, intents: Sequence[JournalRow]) -> bool:
    """Whether a person consented after the newest of these intents; True when there are none."""
    if not intents:
        return True
    newest = max(row.at for row in intents)
    return any(one.at > newest for one in edge.consents(claim.host, plan.hash, job=claim.job))


def unjudged(plan: Plan, rows: Sequence[JournalRow]) -> list[JournalRow]:
    """Intents without an outcome, among a job's rows, of steps that only a person lets start again."""
    asking = {step.id for step in plan.steps if restart_of(step.kind, step.args) == "ask"}
    last = {row.step: row for row in rows if row.step in asking and row.plan == plan.hash}
    return [row for row in last.values() if row.phase == "intent"]


def judge(order: WorkOrder, job: JobRecord, plan: Plan) -> Verdict:
    """Apply the safety rules to one job's plan; a host without a spec goes by what a spec says by default."""
    lifecycle = order.spec.lifecycle if order.spec else Lifecycle()
    return consent_needed(
        plan,
        phase=order.host.phase,
        destroy=lifecycle.destroy,
        take_disks=lifecycle.take_disks,
        installed=installed_disks(order.host),
        posted_by=posted_by(job),
    )


def posted_by(job: JobRecord) -> PostedBy:
    """Who wants the job: a program by its name, else a person."""
    for name in get_args(PostedBy):
        if job.by == name:
            known: PostedBy = name
            return known
    return "person"


def installed_disks(host: HostRecord) -> frozenset[str]:
    """Identities of the disks under this host's install record."""
    return frozenset(str(serial) for serial in (host.installed or {}).get("disk_serials", ()))
