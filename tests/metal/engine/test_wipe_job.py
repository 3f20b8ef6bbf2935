"""A job that wipes a host: which plan it makes, from where it reads, and what counts as wiped at its end."""

from typing import Any

import pytest

from metal.drivers.hardware import read_hardware
from metal.engine.claim import Claim
from metal.engine.enter import may_cycle
from metal.engine.observe import observe
from metal.engine.plans import judge, may_run, plan_for_job
from metal.engine.steps import run_step
from metal.engine.wiped import attest
from metal.errors import Refused, SpecError, UnsafeChange
from metal.planning.plan import Plan, Step
from metal.planning.safety import ALLOWED, Forbidden, NeedsConsent
from metal.planning.steps import make_plan
from metal.planning.wiping import make_wipe_plan
from specs.erasure import WipeWish
from specs.facts import Disk, Hardware, Observation
from specs.model import Host
from specs.phases import Phase
from specs.records import Condition, Consent, JobRecord
from tests.metal.engine.world import World

GIB = 1 << 30
CLAIM = Claim("web-01", 7, "run-1", 4)


@pytest.fixture
def bare(rig):
    """A host without a spec, one of whose disks holds a file system."""
    rig.edge.order_ = rig.edge.order_.model_copy(update={"spec": None})
    rig.machine.disks["RF-D0"]["signature"] = "ext4"
    rig.edge.verb = "wipe"
    rig.plans = {}
    rig.edge.put_plan = rig.plans.__setitem__
    rig.edge.plan = rig.plans.__getitem__
    asks(rig)
    return rig


def asks(rig, verb: str = "wipe", by: str = "alice", **args: Any) -> JobRecord:
    """The job that the run is of."""
    job = JobRecord(
        host="web-01",
        host_id="h1",
        no=7,
        verb=verb,
        args=args,
        state="claimed",
        by=by,
        created_at=rig.edge.now,
    )
    rig.edge.job = lambda _host, _no: job
    return job


def seen(rig, seen_from: Any = "boot-os") -> Observation:
    hardware, _ = read_hardware(rig.machine, None)
    return Observation(at=rig.edge.now, seen_from=seen_from, hardware=hardware)


def carried_out(rig, plan: Plan) -> None:
    for step in plan.steps:
        run_step(rig.edge, CLAIM, plan, step.id, log=rig.said.append, around=rig.around)


def allow(rig, plan: Plan) -> None:
    rig.edge.given.append(
        Consent(host="web-01", plan=plan.hash, by="alice", at=rig.edge.now, expires=rig.edge.now)
    )


# --- which plan ------------------------------------------------------------------------------------------


def test_a_host_without_a_spec_is_wiped_from_its_observation_to_its_reports(bare):
    plan = plan_for_job(bare.edge, CLAIM, seen(bare))
    assert [step.id for step in plan.steps] == ["wipe:RF-D0", "wipe:RF-D1", "boot-order"]
    assert not may_run(bare.edge, CLAIM, plan), "no spec allows it, so a person is asked"
    allow(bare, plan)
    assert may_run(bare.edge, CLAIM, plan)
    carried_out(bare, plan)
    reports = attest(bare.edge, CLAIM, plan, around=bare.around)
    assert [(one.identity, one.method, one.proven) for one in reports] == [
        ("RF-D0", "metadata", True), ("RF-D1", "metadata", True),
    ]  # fmt: skip
    stored, epoch = bare.edge.put["observation"]
    assert [disk.found for disk in stored.hardware.disks] == [("content not read",)] * 2
    assert epoch == 4


def test_a_job_goes_on_with_the_plan_that_it_began(bare):
    plan = plan_for_job(bare.edge, CLAIM, seen(bare))
    bare.machine.disks["RF-D0"]["signature"] = None  # it has erased this one since
    assert plan_for_job(bare.edge, CLAIM, seen(bare)) == plan


def test_the_jobs_arguments_say_which_disks_and_how(bare):
    asks(bare, method="discard", disks=["RF-D1"])
    plan = plan_for_job(bare.edge, CLAIM, seen(bare))
    assert [(step.id, step.args.get("method")) for step in plan.steps] == [
        ("wipe:RF-D1", "discard"), ("boot-order", None),
    ]  # fmt: skip


def test_arguments_that_could_mean_every_disk_by_mistake_are_refused(bare):
    asks(bare, disk=["RF-D1"])
    with pytest.raises(SpecError, match="disk: Extra inputs"):
        plan_for_job(bare.edge, CLAIM, seen(bare))
    assert bare.plans == {}


def from_file(rig, plan: Plan, verb: str) -> Plan:
    rig.plans[plan.hash] = plan.model_dump(mode="json")
    asks(rig, verb, plan=plan.hash)
    return plan_for_job(rig.edge, CLAIM, seen(rig))


def test_a_wipe_that_was_reviewed_is_carried_out_as_it_was_or_not_at_all(bare):
    plan = make_wipe_plan(bare.edge.order("web-01"), seen(bare), WipeWish(disks=("RF-D0",)))
    assert from_file(bare, plan, "wipe") == plan
    bare.edge.rows.clear()
    bare.machine.disks["RF-D0"]["signature"] = "xfs"
    with pytest.raises(UnsafeChange, match=r"hardware\.disks\.RF-D0\.found"):
        from_file(bare, plan, "wipe")


def test_a_wipe_does_not_run_as_an_apply_nor_an_apply_as_a_wipe(bare):
    """Each ends otherwise: one would be verified as an installation, the other called blank."""
    wipe = make_wipe_plan(bare.edge.order("web-01"), seen(bare), WipeWish())
    with pytest.raises(UnsafeChange, match="is a wipe, and the job's verb is apply"):
        from_file(bare, wipe, "apply")
    apply = wipe.model_copy(update={"wipe": None})
    with pytest.raises(UnsafeChange, match="is no wipe, and the job's verb is wipe"):
        from_file(bare, apply, "wipe")


def test_a_wipe_that_was_edited_to_do_something_else_is_refused(bare):
    plan = make_wipe_plan(bare.edge.order("web-01"), seen(bare), WipeWish())
    users = Step(id="users", kind="users", field="users", reason="r")
    with pytest.raises(UnsafeChange, match="was edited: users is no step of a wipe"):
        from_file(bare, plan.model_copy(update={"steps": (*plan.steps, users)}), "wipe")


def test_what_cannot_be_done_ends_the_job_before_anything_is_sent(bare):
    bare.machine.disks["RF-D1"]["erases"] = {"can": [], "problem": "its security is frozen"}
    asks(bare, method="sanitize")
    plan = plan_for_job(bare.edge, CLAIM, seen(bare))
    with pytest.raises(UnsafeChange, match=r"RF-D1 8 GiB, .*: wipe sanitize is not possible: its") as raised:
        may_run(bare.edge, CLAIM, plan)
    assert raised.value.reason == "wipe-impossible"
    assert "rackflow host NAME lists its disks" in (raised.value.hint or "")
    assert bare.machine.sent == []


# --- who may --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("phase", "destroy", "by", "verdict"),
    [
        (Phase.READY, None, "alice", NeedsConsent("waiting-consent", ("RF-D0", "RF-D1"))),
        (Phase.READY, "ask", "alice", NeedsConsent("waiting-consent", ("RF-D0", "RF-D1"))),
        (Phase.READY, "allow", "alice", ALLOWED),
        (Phase.READY, "never", "alice", Forbidden("destroy-never")),
        (Phase.ACTIVE, "allow", "alice", ALLOWED),
        (Phase.ACTIVE, "allow", "prefect-ui", NeedsConsent("waiting-consent", ("RF-D0", "RF-D1"))),
        (Phase.ACTIVE, "allow", "fleet", Forbidden("person-needed")),
        (Phase.ADOPTED, "allow", "webhook", Forbidden("person-needed")),
        (Phase.WIPE_FAILED, "allow", "alice", ALLOWED),
        (Phase.RESCUE, "allow", "alice", Forbidden("no-work-due")),
    ],
)
def test_who_may_have_a_host_wiped(phase, destroy, by, verdict, bare):
    spec = {"metadata": {"name": "web-01"}, "lifecycle": {"destroy": destroy, "takeDisks": True}}
    order = bare.edge.order("web-01")
    plan = make_wipe_plan(order, seen(bare), WipeWish())
    changed = {"spec": Host.model_validate(spec) if destroy else None}
    changed["host"] = order.host.model_copy(update={"phase": phase})
    assert judge(order.model_copy(update=changed), asks(bare, by=by), plan) == verdict


# --- from where it reads --------------------------------------------------------------------------------


def last_seen(*found: str) -> Observation:
    disks = (Disk(device="/dev/sda", serial="RF-D0", size_bytes=8 * GIB, found=found),)
    return Observation(at="2026-11-25T12:00:00Z", seen_from="boot-os", hardware=Hardware(disks=disks))


def world_of(rig, phase: Phase, **more: Any) -> World:
    plan = Plan(host="web-01", host_id="h1", specset=None, spec=None, observed_at=None, seen_from="boot-os")
    world = World(rig, plan, phase=phase, **more)
    rig.edge.record = rig.edge.record.model_copy(update={"observation": last_seen("ext4")})
    return world


@pytest.mark.parametrize("phase", [Phase.READY, Phase.PROVISION_FAILED, Phase.WIPE_FAILED, Phase.ACTIVE])
def test_a_machine_that_is_off_is_started_into_the_boot_os_and_read_there(phase, bare):
    world = world_of(bare, phase)
    world.cut_power()
    claim, around = world.begin()
    assert observe(bare.edge, "web-01", claim, around=around, patience_s=1).seen_from == "boot-os"
    assert bare.bmc.sent == ["boot pxe", "on"]


@pytest.mark.parametrize("phase", [Phase.PROVISION_FAILED, Phase.WIPE_FAILED, Phase.ACTIVE])
def test_a_system_that_still_answers_is_read_and_not_cycled_before_anybody_consented(phase, bare):
    world = world_of(bare, phase, running="os")
    bare.machine.guest["live"] = {"hostname": "debian", "kernel": "6.1", "boot_id": "b", "bonds": {}}
    claim, around = world.begin()
    read = observe(bare.edge, "web-01", claim, around=around, patience_s=1)
    assert (read.seen_from, bare.bmc.sent) == ("running-os", [])
    plan = make_wipe_plan(bare.edge.order("web-01"), read, WipeWish())
    assert [step.id for step in plan.steps] == ["boot-os", "wipe:RF-D0", "wipe:RF-D1", "boot-order"]


def test_a_wipe_that_waits_for_its_boot_is_not_started_anew_by_the_next_runs_reading(bare, monkeypatch):
    """Its machine may test its memory for longer than a boot OS that went away is waited for."""
    world = world_of(bare, Phase.WIPING, running="os")
    running = seen(bare, "running-os")
    plan = make_wipe_plan(bare.edge.order("web-01"), running, WipeWish())
    bare.edge.journal(
        "web-01", epoch=4, job=7, step="boot-os", kind="boot-os", phase="intent", plan=plan.hash,
        detail={"sent": "cycle", "boot_id": "boot-1"},
    )  # fmt: skip
    world.hang()
    monkeypatch.setenv("RACKFLOW_HOLD_S", "1000")
    claim, around = world.begin()
    monkeypatch.setattr("metal.engine.waits.POLL_S", 30.0)
    sent = []

    def report_in(seconds: float) -> None:
        bare.around.sleep(seconds)
        sent.extend(bare.bmc.sent)
        if around.clock() - began >= 400:
            world.running = "boot-os"
            world._report()

    began = around.clock()
    slow = type(around)(around.sessions, around.memory, around.clock, report_in, around.now)
    assert observe(bare.edge, "web-01", claim, around=slow, patience_s=1).seen_from == "boot-os"
    assert sent == []


@pytest.mark.parametrize(
    ("phase", "may"), [(Phase.WIPING, True), (Phase.PROVISIONING, True), (Phase.WIPE_FAILED, False)]
)
def test_a_machine_may_be_cycled_once_a_wipe_was_let_in(phase, may, bare):
    world_of(bare, phase)
    assert may_cycle(bare.edge.record, []) is may


# --- what the boot OS alone can know --------------------------------------------------------------------


def test_a_frozen_drive_behind_a_running_system_is_found_before_any_disk_is_erased(bare):
    asks(bare, method="sanitize")
    plan = make_wipe_plan(bare.edge.order("web-01"), seen(bare, "running-os"), WipeWish(method="sanitize"))
    bare.machine.disks["RF-D0"]["erases"] = {"can": ["ata-crypto"], "problem": None}
    bare.machine.disks["RF-D1"]["erases"] = {"can": ["ata-enhanced"], "problem": "its security is frozen"}
    with pytest.raises(Refused, match=r"RF-D1.*is frozen") as raised:
        run_step(bare.edge, CLAIM, plan, "wipe:RF-D0", log=bare.said.append, around=bare.around)
    assert raised.value.reason == "wipe-impossible"
    assert bare.machine.sent == []


def test_a_disk_that_this_job_began_to_erase_is_not_asked_again_whether_it_can(bare):
    """A security erase that was cut leaves its drive locked, and the next start opens it."""
    plan = make_wipe_plan(bare.edge.order("web-01"), seen(bare, "running-os"), WipeWish(method="sanitize"))
    for disk in bare.machine.disks.values():
        disk["erases"] = {"can": ["ata-enhanced"], "problem": None}
    bare.machine.disks["RF-D0"]["erases"] = {"can": [], "problem": "it is locked by a password"}
    allow(bare, plan)
    bare.edge.journal(
        "web-01", epoch=3, job=7, step="wipe:RF-D0", kind="wipe", phase="intent", plan=plan.hash
    )
    bare.edge.now = bare.edge.now.replace(hour=13)
    allow(bare, plan)
    run_step(bare.edge, CLAIM, plan, "wipe:RF-D0", log=bare.said.append, around=bare.around)
    assert bare.machine.sent[-1].change.argv[:3] == ("/usr/lib/rackflow/rf-wipe", "--method", "sanitize")


# --- its end --------------------------------------------------------------------------------------------


@pytest.fixture
def erased(bare) -> Plan:
    """A wipe whose steps are done."""
    plan = plan_for_job(bare.edge, CLAIM, seen(bare))
    allow(bare, plan)
    carried_out(bare, plan)
    return plan


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda rig: rig.machine.disks["RF-D0"].update(signature="ext4"), "RF-D0: ext4"),
        (
            lambda rig: rig.machine.disks["RF-D1"].update(parts={1: {"size": GIB, "start": 2048}}),
            "partition 1",
        ),
        (lambda rig: rig.machine.disks.pop("RF-D1"), "RF-D1 is not seen any more"),
        (lambda rig: rig.edge.rows.clear(), "RF-D0 has no report; RF-D1 has no report"),
    ],
)
def test_what_is_not_blank_or_not_reported_is_not_wiped(change, says, erased, bare):
    change(bare)
    with pytest.raises(Refused, match=says) as raised:
        attest(bare.edge, CLAIM, erased, around=bare.around)
    assert raised.value.reason == "verify-failed"
    assert "rackflow wipe web-01" in (raised.value.hint or "")


def test_reports_of_another_job_count_for_nothing(erased, bare):
    other = [row.model_copy(update={"job": 6}) for row in bare.edge.rows if "wipe" in row.detail]
    bare.edge.rows[:] = other
    with pytest.raises(Refused, match="RF-D0 has no report"):
        attest(bare.edge, CLAIM, erased, around=bare.around)


@pytest.mark.parametrize("status", ["False", "Unknown", "True"])
def test_a_verdict_on_volumes_goes_with_them(status, erased, bare):
    told = Condition(type="Healthy", status=status, reason="r", message="m", since=bare.edge.now)
    bare.edge.record = bare.edge.record.model_copy(update={"conditions": (told,)})
    attest(bare.edge, CLAIM, erased, around=bare.around)
    said = {"status": "True", "reason": "ok", "message": "no RAID volume is there"}
    assert bare.edge.put.pop("Healthy") == said
    told = Condition(type="Healthy", since=bare.edge.now, **said)
    bare.edge.record = bare.edge.record.model_copy(update={"conditions": (told,)})
    attest(bare.edge, CLAIM, erased, around=bare.around)
    assert "Healthy" not in bare.edge.put, "it is said once"


def test_a_wiped_host_is_planned_as_a_blank_machine(erased, bare):
    spec = {"metadata": {"name": "web-01"}, "rootDevice": {"serial": "RF-D0"}, "image": "debian-12"}
    order = bare.edge.order("web-01").model_copy(update={"spec": Host.model_validate(spec)})
    plan = make_plan(order, seen(bare))
    assert plan.blocked == "image-missing", "only that is in the way here"
