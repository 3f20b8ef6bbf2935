"""What only a person lets start again, what a begun step may leave otherwise, a plan asked for by hash."""

from datetime import timedelta
from typing import Any

import pytest

from metal.drivers.hardware import read_hardware
from metal.engine.claim import Claim
from metal.engine.plans import PLAN_STEP, may_run, plan_for_job
from metal.engine.steps import run_step
from metal.errors import Refused, UnsafeChange
from metal.planning.basis import basis_of
from metal.planning.ids import derived_uuid
from metal.planning.plan import Destroyed, Plan, Step
from metal.planning.restarts import declared
from specs.facts import Observation
from specs.phases import Phase
from specs.records import Consent, JobRecord

GIB = 1 << 30
CLAIM = Claim("web-01", 7, "run-1", 4)
DISK = {"identity": "RF-D0", "size_bytes": 8 * GIB}
ERASED = (Destroyed(serial="RF-D0", size_bytes=8 * GIB, found="ext4"),)
MEMBERS = [{"identity": name, "size_bytes": 8 * GIB} for name in ("RF-D0", "RF-D1")]


def step(kind: str, **more: Any) -> Step:
    fields = {"id": kind, "kind": kind, "field": "x", "reason": "r", "destructive": True}
    return declared(Step(**(fields | more)))


def seen(rig) -> Observation:
    hardware, _ = read_hardware(rig.machine, None)
    return Observation(at=rig.edge.now, seen_from="boot-os", hardware=hardware)


def plan_of(rig, *steps: Step, **more: Any) -> Plan:
    fields = {"host": "web-01", "host_id": "h1", "specset": "s", "spec": "web-01", "observed_at": None}
    fields |= {"seen_from": "boot-os", "steps": steps, "basis": basis_of(seen(rig), "hardware")}
    return Plan(**(fields | more))


def run(rig, plan: Plan, step_id: str, claim: Claim = CLAIM):
    rig.around.memory.forget("web-01")
    return run_step(rig.edge, claim, plan, step_id, log=rig.said.append, around=rig.around)


def begun(rig, plan: Plan, step_id: str, phase: str = "intent") -> None:
    rig.edge.journal(
        "web-01", epoch=3, job=7, step=step_id, kind=step_id, phase=phase, plan=plan.hash, detail={}
    )


def consent(rig, plan: Plan, *, later_s: float) -> None:
    at = rig.edge.now + timedelta(seconds=later_s)
    rig.edge.given.append(Consent(host="web-01", plan=plan.hash, by="alice", at=at, expires=at))


def test_an_interrupted_overwriting_wipe_waits_for_a_consent_that_is_newer_than_its_start(rig, monkeypatch):
    plan = plan_of(rig, step("wipe", args={"target": DISK, "method": "overwrite"}, destroys=ERASED))
    consent(rig, plan, later_s=0)
    assert may_run(rig.edge, CLAIM, plan)
    rig.edge.now += timedelta(seconds=5)
    begun(rig, plan, "wipe")
    assert not may_run(rig.edge, CLAIM, plan)
    with pytest.raises(UnsafeChange, match="a person decides"):
        run(rig, plan, "wipe")
    consent(rig, plan, later_s=5)
    assert may_run(rig.edge, CLAIM, plan)
    run(rig, plan, "wipe")  # it is begun again, and rf-wipe goes on from where it came to
    assert rig.machine.sent[-1].change.argv[:3] == ("/usr/lib/rackflow/rf-wipe", "--method", "overwrite")


def test_a_step_for_a_person_that_fell_silent_is_not_begun_again_by_its_tasks_next_try(rig):
    """That the machine did not answer says nothing about how far the wipe came."""
    plan = plan_of(rig, step("wipe", args={"target": DISK, "method": "overwrite"}, destroys=ERASED))
    consent(rig, plan, later_s=0)
    begun(rig, plan, "wipe")
    silent = {"epoch": 3, "job": 7, "step": "wipe", "kind": "wipe", "phase": "failed", "plan": plan.hash}
    rig.edge.journal("web-01", **silent, detail={"reason": "unreachable"})
    with pytest.raises(UnsafeChange, match="a person decides"):
        run(rig, plan, "wipe")


@pytest.mark.parametrize("by", ["publish", "discovery"])
def test_a_job_that_has_installed_its_host_is_not_judged_as_one_that_would_do_it_again(rig, by):
    """A run that dies between the phase active and its outcome leaves the next one the end of the job."""
    plan = plan_of(rig, *(step("mkfs", id=f"mkfs:{name}", args={"target": DISK}) for name in "ab"))
    rig.edge.record = rig.edge.record.model_copy(update={"phase": Phase.ACTIVE})
    rig.edge.job = lambda host, no: JobRecord(
        host=host, host_id="h1", no=no, verb="apply", state="claimed", by=by, created_at=rig.edge.now
    )

    def may() -> bool:
        try:
            return may_run(rig.edge, CLAIM, plan)
        except UnsafeChange:
            return False

    begun(rig, plan, "mkfs:a", "done")
    begun(rig, plan, "mkfs:b")
    assert not may()
    begun(rig, plan, "mkfs:b", "done")
    assert may()


def test_a_difference_is_the_plans_own_only_under_a_path_that_a_begun_step_leaves(rig):
    found = "hardware.disks.RF-D0.found"
    wipe = step("wipe", args={"target": DISK, "method": "metadata"}, leaves=(found,))
    other = step("mkfs", id="mkfs:data", args={"target": DISK}, leaves=("hardware.disks.RF-D0.partitions",))
    plan = plan_of(rig, wipe, other)
    rig.machine.disks["RF-D0"]["signature"] = "ext4"
    with pytest.raises(Refused, match="not as it was"):
        run(rig, plan, "wipe")  # its own intent, written just now, excuses nothing
    rig.edge.rows.clear()
    begun(rig, plan, "mkfs:data")
    with pytest.raises(Refused, match=found.replace(".", r"\.")):
        run(rig, plan, "wipe")
    rig.edge.rows.clear()
    begun(rig, plan, "wipe")
    rig.machine.disks["RF-D0"]["parts"] = {1: {"size": GIB, "start": 2048}}
    with pytest.raises(Refused, match=r"hardware\.disks\.RF-D0\.partitions") as caught:
        run(rig, plan, "wipe")
    assert found not in caught.value.message
    begun(rig, plan, "mkfs:data", "done")
    assert run(rig, plan, "wipe").changed


def test_steps_of_another_plan_excuse_nothing(rig):
    wipe = step("wipe", args={"target": DISK, "method": "metadata"}, leaves=("hardware.disks.RF-D0.found",))
    plan = plan_of(rig, wipe)
    begun(rig, plan.model_copy(update={"specset": "older"}), "wipe")
    rig.machine.disks["RF-D0"]["signature"] = "ext4"
    with pytest.raises(Refused) as caught:
        run(rig, plan, "wipe")
    assert caught.value.reason == "plan-moved"


def test_the_array_of_this_job_is_the_plans_own_and_no_other(rig):
    leaves = ("hardware.raids.{raid:system}", *(f"hardware.disks.RF-D{n}.found" for n in (0, 1)))
    args = {"name": "system", "level": "raid1", "metadata": "1.0", "members": MEMBERS, "spares": []}
    create = step("raid-create", id="raid-create:system", args=args, leaves=leaves)
    after = step("wipe", args={"target": DISK, "method": "metadata"}, leaves=leaves)
    plan = plan_of(rig, create, after)
    run(rig, plan, "raid-create:system")
    rig.machine.disks["RF-D0"]["member"] = None
    rig.machine.disks["RF-D0"]["signature"] = "ext4"
    assert rig.machine.array["uuid"].replace(":", "") == derived_uuid("h1", 7, "raid:system").replace("-", "")
    assert run(rig, plan, "wipe").changed
    rig.edge.rows.pop()
    rig.machine.disks["RF-D0"]["signature"] = "ext4"
    rig.machine.array["uuid"] = "0" * 8 + ":11111111:22222222:33333333"
    with pytest.raises(Refused, match=r"hardware\.raids\.00000000-"):
        run(rig, plan, "wipe")


def asked(rig, wanted: Plan, **more: Any) -> None:
    rig.edge.plan = {wanted.hash: wanted.model_dump(mode="json")}.__getitem__
    rig.edge.put_plan = lambda *_: None
    rig.edge.job = lambda host, no: JobRecord(
        host=host, host_id="h1", no=no, verb="apply", args={"plan": wanted.hash}, state="claimed", by="alice",
        created_at=rig.edge.now, **more,
    )  # fmt: skip


def test_a_plan_that_was_asked_for_runs_as_it_is_and_later_runs_go_on_with_it(rig):
    plan = plan_of(rig, step("wipe", args={"target": DISK, "method": "metadata"}))
    asked(rig, plan)
    assert plan_for_job(rig.edge, CLAIM, seen(rig)) == plan
    assert [(row.step, row.plan) for row in rig.edge.rows] == [(PLAN_STEP, plan.hash)]
    rig.machine.disks["RF-D0"]["signature"] = "what the plan itself has done meanwhile"
    assert plan_for_job(rig.edge, CLAIM, seen(rig)) == plan
    assert len(rig.edge.rows) == 1


@pytest.mark.parametrize("known", [None, "job"])
def test_a_plan_that_was_asked_for_is_refused_on_a_machine_that_moved(rig, known):
    plan = plan_of(rig, step("wipe", args={"target": DISK, "method": "metadata"}))
    asked(rig, plan, **({"plan": plan.hash} if known else {}))
    rig.machine.disks["RF-D1"]["signature"] = "ext4"
    with pytest.raises(UnsafeChange, match=r"hardware\.disks\.RF-D1\.found: was .* is \['ext4'\]") as caught:
        plan_for_job(rig.edge, CLAIM, seen(rig))
    assert caught.value.reason == "plan-moved"
    assert rig.edge.rows == []


def test_a_plan_for_another_host_or_beside_another_plan_is_refused(rig):
    plan = plan_of(rig, step("wipe", args={"target": DISK, "method": "metadata"}), host_id="h2", host="db-01")
    asked(rig, plan)
    with pytest.raises(UnsafeChange, match="it is for db-01"):
        plan_for_job(rig.edge, CLAIM, seen(rig))
    asked(rig, plan, plan="f" * 64)
    with pytest.raises(UnsafeChange, match="has begun plan ffffffffffff"):
        plan_for_job(rig.edge, CLAIM, seen(rig))


def test_a_plan_from_a_file_that_hides_what_it_erases_is_refused(rig):
    """Without the mark it would need no consent, no basis and no proof."""
    hidden = step("write-image", args={"target": DISK}).model_copy(update={"destructive": False})
    asked(rig, plan_of(rig, hidden))
    with pytest.raises(UnsafeChange, match="write-image erases, and is not marked") as caught:
        plan_for_job(rig.edge, CLAIM, seen(rig))
    assert caught.value.reason == "plan-moved"
    assert rig.edge.rows == []
