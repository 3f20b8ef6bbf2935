"""Running steps: once, fenced, observed before and after; and what a new start makes of an old one."""

from dataclasses import replace
from typing import get_args

import pytest

from metal.drivers.guest.fstab import PATIENCE
from metal.drivers.hardware import read_hardware
from metal.drivers.storage.disks import PROBE_AGAIN
from metal.engine.claim import Claim
from metal.engine.steps import HANDLERS, run_step
from metal.errors import Cancelled, LeaseLost, Refused, Unreachable, UnsafeChange
from metal.planning.basis import basis_of
from metal.planning.ids import derived_uuid
from metal.planning.plan import Plan, Step, StepKind
from metal.planning.restarts import declared
from specs.facts import Observation

CLAIM = Claim("web-01", 7, "run-1", 4)
GIB, MIB = 1 << 30, 1 << 20
ROOT_UUID = "8d1f2c5e-6a0b-4c7d-9e3f-d3b1a212f001"
RAID = {"raid": "system"}
DISK = {"identity": "RF-D0", "size_bytes": 8 * GIB}
DATA_START = 71680 * 512 + 4 * GIB
FILES = {"/etc/systemd/network/10-rackflow-nic0.network": "[Match]\n"}


def step(kind: str, args: dict | None = None, **more) -> Step:
    fields = {"id": kind, "kind": kind, "field": "x", "reason": "as the spec asks", "args": args or {}}
    return declared(Step(**(fields | more)))


def plan_of(*steps: Step, **more) -> Plan:
    fields = {"host": "web-01", "host_id": "h1", "specset": "set-1", "spec": "web-01", "observed_at": None}
    return Plan(**(fields | {"seen_from": "boot-os", "steps": steps, "basis": {"reads": "system"}} | more))


def storage(target: dict) -> tuple[Step, ...]:
    """Write, cut, make: as the planner orders it for either kind of target."""
    image = {
        "image_digest": "sha256:1",
        "manifest_sha256": "ab",
        "manifest_url": "http://e/m",
        "size_bytes": GIB,
    }
    data = {"number": 2, "name": "data", "start_bytes": DATA_START, "size_bytes": GIB, "type_guid": "0fc6"}
    cut = {"root": {"number": 1, "size_bytes": 4 * GIB}, "add": [data], "root_uuid": ROOT_UUID}
    made = {"number": 2, "name": "data", "filesystem": "ext4", "label": "data"}
    return (
        step("write-image", {"target": target, **image}, destructive=True),
        step("partition", {"target": target, **cut}, id="partition:x", destructive=True),
        step("mkfs", {"target": target, **made}, id="mkfs:data", destructive=True),
    )


def system(target: dict) -> tuple[Step, ...]:
    mounts = [{"name": "data", "filesystem": "ext4", "mount": "/data", "options": ["noatime"]}]
    user = {"name": "ops", "ssh_keys": ["ssh-ed25519 AAAAops"], "sudo": True, "shell": "/bin/bash"}
    file = {"path": "/etc/motd", "mode": "0644", "owner": "root", "group": "root", "content_b64": "aGk="}
    return (
        step("bootloader", {"target": target, "root_partition": 1, "root_uuid": ROOT_UUID}),
        step("hostname", {"hostname": "web-01"}),
        step("fstab", {"target": target, "root_uuid": ROOT_UUID, "mounts": mounts}),
        step("network", {"files": FILES, "addresses": {"nic0": ["10.77.1.21/24"]}}),
        step("users", {"users": [user | {"password": "secret:ops@1"}]}),
        step("files", {"files": [file]}),
        step("management", {"public_key": "ssh-ed25519 AAAAsite"}),
        step("host-key"),
        step("phone-home", {"url": "x"}),
        step(
            "install-record",
            {"image_digest": "sha256:1", "layout_hash": "l", "specset": "s", "disks": ["RF-D0"]},
        ),
        step("boot-order", {"order": "disk-first", "efi": True}),
        step("power", {"action": "cycle"}, where="bmc", reboot=True),
    )


def raid() -> Step:
    members = [{"identity": name, "size_bytes": 8 * GIB} for name in ("RF-D0", "RF-D1")]
    args = {
        "name": "system",
        "level": "raid1",
        "metadata": "1.0",
        "members": members,
        "spares": [],
        "chunk_bytes": None,
    }
    return step("raid-create", args, id="raid-create:system", destructive=True)


def run(rig, plan: Plan, *ids: str, claim: Claim = CLAIM):
    return [
        run_step(rig.edge, claim, plan, each, log=rig.said.append, around=rig.around)
        for each in ids or [one.id for one in plan.steps]
    ]


def test_every_kind_of_step_has_a_handler():
    assert set(HANDLERS) == set(get_args(StepKind))


@pytest.mark.parametrize("target", [DISK, RAID], ids=["disk", "array"])
def test_a_whole_installation_and_that_a_second_run_of_the_job_writes_nothing(rig, target):
    before = (raid(),) if target is RAID else ()
    plan = plan_of(*before, *storage(target), *system(target))
    outcomes = run(rig, plan)
    assert all(outcome.changed for outcome in outcomes if outcome.step != "bootloader")
    assert sum(outcome.writes for outcome in outcomes) == len(rig.machine.sent) + len(rig.bmc.sent)
    place = rig.machine.array or rig.machine.disks["RF-D0"]
    assert place["parts"][1]["size"] == 4 * GIB
    assert place["parts"][2]["uuid"] == derived_uuid("h1", 7, "fs:data")
    line = f"UUID={derived_uuid('h1', 7, 'fs:data')} /data ext4 noatime,nofail,{PATIENCE} 0 2"
    assert line in rig.machine.guest["fstab"]
    assert rig.edge.put["install"]["ssh_host_key"].startswith("ssh-ed25519 ")
    assert rig.edge.put["install"]["address"] == "10.77.1.21"
    assert rig.edge.put["install"]["root_uuid"] == ROOT_UUID
    assert rig.bmc.sent == ["boot disk", "cycle"]
    again = run(rig, plan)
    assert [outcome.writes for outcome in again] == [0] * len(plan.steps)
    assert rig.bmc.sent == ["boot disk", "cycle"]


def test_every_destructive_command_carries_the_disk_that_it_may_touch(rig):
    plan = plan_of(raid(), *storage(RAID))
    run(rig, plan)
    uuid = rig.machine.array["uuid"]
    guards = {sent.change.argv[0]: [disk.identity for disk in sent.change.disks] for sent in rig.machine.sent}
    assert guards.pop("mdadm") == ["RF-D0", "RF-D1"]
    assert guards.pop("sh") == []  # the array's speed; it writes nothing to a disk
    assert set(map(tuple, guards.values())) == {(f"md-uuid:{uuid}",)}
    assert all(disk.size_bytes for sent in rig.machine.sent for disk in sent.change.disks)
    write = next(s.change for s in rig.machine.sent if s.change.argv[0].endswith("rf-write"))
    assert [(disk.mode, disk.size_bytes) for disk in write.disks] == [("hold", 8 * GIB - MIB)]
    assert {sent.epoch for sent in rig.machine.sent} == {4}


def test_members_that_zero_at_once_are_zeroed_and_need_no_resync(rig):
    rig.machine.fast_zero = True
    run(rig, plan_of(raid()))
    assert rig.machine.programs == ["blkdiscard", "blkdiscard", "mdadm"]
    assert "--assume-clean" in rig.machine.sent[-1].change.argv


def test_no_secret_is_in_an_argument_a_log_line_or_the_journal(rig):
    plan = plan_of(*storage(DISK), *system(DISK))
    run(rig, plan)
    seen = repr([sent.change for sent in rig.machine.sent]) + repr(rig.said) + repr(rig.edge.rows)
    assert "hunter2" not in seen
    assert "t0ken" not in seen
    assert "PRIVATE KEY" not in seen
    assert "$6$" not in seen


def test_intent_stands_before_the_act_and_outcome_after_it(rig):
    plan = plan_of(*storage(DISK), step("hostname", {"hostname": "web-01"}))
    run(rig, plan, "write-image", "hostname")
    assert [c for c in rig.edge.calls if c.startswith("journal")] == [
        "journal write-image intent",
        "journal write-image done",
        "journal hostname intent",
        "journal hostname done",
    ]
    assert all(row.epoch == 4 and row.plan for row in rig.edge.rows)


def test_a_lower_epoch_stops_before_anything_is_written(rig):
    rig.edge.epoch = 5
    with pytest.raises(LeaseLost):
        run(rig, plan_of(*storage(DISK)), "write-image")
    assert rig.machine.sent == []
    assert rig.edge.rows == []


def test_a_cancelled_job_stops_between_steps(rig):
    plan = plan_of(*storage(DISK))
    run(rig, plan, "write-image")
    rig.edge.cancelling = True
    with pytest.raises(Cancelled):
        run(rig, plan, "partition:x")
    assert "sgdisk" not in rig.machine.programs


def test_a_silent_edge_starts_no_step(rig):
    rig.edge.silent = True
    with pytest.raises(Unreachable):
        run(rig, plan_of(*storage(DISK)), "write-image")
    assert rig.machine.sent == []


def test_a_disk_that_is_not_there_is_refused_and_the_failure_is_journalled(rig):
    with pytest.raises(Refused, match="seen: RF-D0, RF-D1") as caught:
        run(rig, plan_of(*storage({"identity": "RF-X", "size_bytes": 1})), "write-image")
    assert caught.value.reason == "no-matching-disk"
    assert rig.machine.sent == []
    assert (rig.edge.rows[-1].phase, rig.edge.rows[-1].detail["reason"]) == ("failed", "no-matching-disk")


def test_an_interrupted_step_that_took_effect_counts_and_is_not_done_twice(rig):
    plan = plan_of(*storage(DISK))
    run(rig, plan)
    del rig.edge.rows[-1]  # the outcome of mkfs never reached the edge
    sent = len(rig.machine.sent)
    (outcome,) = run(rig, plan, "mkfs:data", claim=Claim("web-01", 7, "run-2", 5))
    assert (outcome.changed, outcome.message, outcome.writes) == (False, "not needed", 0)
    # Before it reads it ends what the dead run may have left running.
    assert [(one.change.argv, one.epoch) for one in rig.machine.sent[sent:]] == [(("true",), 5)]


def test_a_command_of_this_very_run_that_still_runs_is_outlasted(rig):
    plan = plan_of(*storage(DISK))
    rig.edge.journal("web-01", epoch=4, job=7, step="write-image", kind="x", phase="failed", plan=plan.hash)
    busy, obeys = iter(range(2)), rig.machine.change

    def change(change, **more):
        if change.argv == ("true",) and next(busy, None) is not None:
            raise Refused("rf-exec: /run/rackflow/machine was not free within 120 s", reason="refused")
        return obeys(change, **more)

    rig.machine.change = change
    assert run(rig, plan, "write-image")[0].changed
    assert rig.machine.programs == ["true", "/usr/lib/rackflow/rf-write"]


def test_an_interrupted_file_system_that_is_not_whole_is_made_again(rig):
    plan = plan_of(*storage(DISK))
    run(rig, plan)
    del rig.edge.rows[-1]
    rig.machine.torn.add("sda2")
    assert run(rig, plan, "mkfs:data", claim=Claim("web-01", 7, "run-2", 5))[0].changed
    assert rig.machine.programs.count("mkfs.ext4") == 2


def test_an_interrupted_image_write_is_repeated_under_the_same_name(rig):
    plan = plan_of(*storage(DISK))
    run(rig, plan, "write-image")
    del rig.edge.rows[-1]
    run(rig, plan, "write-image", claim=Claim("web-01", 7, "run-2", 5))
    first, second = (s.change.argv for s in rig.machine.sent if s.change.argv[0].endswith("rf-write"))
    assert first == second
    assert "--resume" in first


def test_an_interrupted_step_that_only_a_person_can_judge_waits(rig):
    plan = plan_of(step("wipe", {"target": DISK, "method": "overwrite"}, destructive=True))
    rig.edge.journal("web-01", epoch=3, job=7, step="wipe", kind="wipe", phase="intent", plan=plan.hash)
    with pytest.raises(UnsafeChange, match="a person decides"):
        run(rig, plan)
    assert rig.machine.sent == []


def test_a_failed_step_may_be_tried_again(rig):
    plan = plan_of(*storage(DISK))
    rig.machine.deaf.add("/usr/lib/rackflow/rf-write")
    with pytest.raises(Refused, match="not seen"):
        run(rig, plan, "write-image")
    rig.machine.deaf.clear()
    assert run(rig, plan, "write-image")[0].changed


def test_only_the_second_reading_says_done(rig):
    plan = plan_of(*storage(DISK))
    run(rig, plan, "write-image", "partition:x")
    rig.machine.deaf.add("mkfs.ext4")
    with pytest.raises(Refused, match="ran, and still: data holds nothing") as caught:
        run(rig, plan, "mkfs:data")
    assert caught.value.reason == "step-failed"


def test_a_change_that_shows_late_is_waited_for(rig):
    """Udev of a loaded machine hears of a file system after mkfs has ended."""
    plan = plan_of(*storage(DISK))
    run(rig, plan, "write-image", "partition:x")
    rig.machine.deaf.add("mkfs.ext4")
    sleep = rig.around.sleep

    def until_udev_has_heard(seconds):
        sleep(seconds)
        assert PROBE_AGAIN in rig.machine.asked, "it would never hear of a partition that had just appeared"
        rig.machine.deaf.clear()
        rig.machine.changed(rig.machine.sent[-1].change)

    rig.around = replace(rig.around, sleep=until_udev_has_heard)
    assert run(rig, plan, "mkfs:data")[0].changed
    assert [sent.change.argv[0] for sent in rig.machine.sent].count("mkfs.ext4") == 1


def test_a_step_of_another_job_counts_for_nothing(rig):
    plan = plan_of(*storage(DISK))
    rig.edge.journal(
        "web-01", epoch=1, job=6, step="write-image", kind="write-image", phase="done", plan=plan.hash
    )
    assert run(rig, plan, "write-image")[0].writes == 1


def test_a_blocked_plan_runs_no_step(rig):
    blocked = step("mkfs", blocked_by="layout-impossible")
    plan = plan_of(*storage(DISK)[:1], blocked)
    with pytest.raises(UnsafeChange) as caught:
        run(rig, plan, "write-image")
    assert caught.value.reason == "layout-impossible"
    assert rig.machine.sent == []


def planned_on(rig) -> Plan:
    hardware, _ = read_hardware(rig.machine, None)
    seen = Observation(at=rig.edge.now, seen_from="boot-os", hardware=hardware)
    return plan_of(*storage(DISK), basis=basis_of(seen, "hardware"))


def test_a_machine_that_moved_since_the_plan_is_not_touched(rig):
    plan = planned_on(rig)
    rig.machine.disks["RF-D1"]["size"] = 4 * GIB
    with pytest.raises(Refused, match=r"hardware\.disks\.RF-D1\.size_bytes") as caught:
        run(rig, plan, "write-image")
    assert caught.value.reason == "plan-moved"
    assert rig.machine.sent == []


def test_after_the_first_destructive_step_the_plans_own_changes_are_no_movement(rig):
    assert [outcome.changed for outcome in run(rig, planned_on(rig))] == [True, True, True]


def power_takes_the_boot_os_away(rig):
    shown = rig.bmc.set_power

    def gone(*_args: object, **_more: object) -> None:
        raise Unreachable("no answer", host="web-01", reason="unreachable")

    def set_power(action: str) -> None:
        shown(action)
        rig.machine.read = gone

    rig.bmc.set_power = set_power


def test_a_power_cycle_that_may_have_been_sent_is_not_sent_again(rig):
    power_takes_the_boot_os_away(rig)
    plan = plan_of(step("power", {"action": "cycle"}, where="bmc"))
    run(rig, plan)
    del rig.edge.rows[-1]
    (outcome,) = run(rig, plan, claim=Claim("web-01", 7, "run-2", 5))
    assert rig.bmc.sent == ["cycle"]
    assert outcome.writes == 0


def test_a_power_cycle_that_the_bmc_never_took_is_sent_again(rig):
    """Noted, and then no session: the boot OS that still answers under its key says that nothing happened."""
    plan = plan_of(step("power", {"action": "cycle"}, where="bmc"))
    shown = rig.bmc.set_power

    def silent(_action: str) -> None:
        raise Unreachable("no IPMI session", host="web-01", reason="unreachable")

    rig.bmc.set_power = silent
    with pytest.raises(Unreachable):
        run(rig, plan)
    rig.bmc.set_power = shown
    run(rig, plan, claim=Claim("web-01", 7, "run-2", 5))
    assert rig.bmc.sent == ["cycle"]


def test_a_power_cycle_whose_answer_is_lost_is_not_sent_again_by_the_tasks_next_try(rig):
    """The BMC did it and fell silent: another one would cut the first boot."""
    power_takes_the_boot_os_away(rig)
    plan = plan_of(step("power", {"action": "cycle"}, where="bmc"))
    shown = rig.bmc.set_power

    def silent(action: str) -> None:
        shown(action)
        rig.bmc.set_power = shown
        raise Unreachable("no answer from the BMC", host="web-01", reason="unreachable")

    rig.bmc.set_power = silent
    with pytest.raises(Unreachable):
        run(rig, plan)
    run(rig, plan)
    assert rig.bmc.sent == ["cycle"]
    assert [row.phase for row in rig.edge.rows] == ["intent", "intent", "failed", "intent", "done"]


def test_the_deployed_root_is_left_before_the_power_goes(rig):
    plan = plan_of(*storage(DISK), *system(DISK))
    run(rig, plan)
    leave = rig.machine.sent[-1].change
    assert leave.argv[:2] == ("sh", "-c")
    assert leave.argv[-1] == "/mnt/rackflow"


def test_booting_the_boot_os_wishes_it_at_the_edge_before_the_power(rig):
    boot, rig.edge.record = rig.edge.record.boot, rig.edge.record.model_copy(update={"boot": None})
    plan = plan_of(step("boot-os", where="bmc", reboot=True))
    shown = rig.bmc.set_power

    def power_on(action: str) -> None:
        shown(action)
        assert "boot-wish boot-os" in rig.edge.calls
        up = boot.model_copy(update={"boot_no": 2, "reported_at": rig.edge.now})
        rig.edge.record = rig.edge.record.model_copy(update={"boot": up})

    rig.bmc.set_power = power_on
    (outcome,) = run(rig, plan)
    assert rig.bmc.sent == ["boot pxe", "cycle"]
    assert outcome.writes == 2


def test_a_boot_os_that_is_up_is_not_booted_again(rig):
    assert run(rig, plan_of(step("boot-os", where="bmc")))[0].message == "not needed"
    assert rig.bmc.sent == []


def test_in_place_repair_writes_to_the_running_root_and_mounts_nothing(rig):
    plan = plan_of(step("hostname", {"hostname": "new"}, where="running-os"))
    up = rig.edge.record.boot.model_copy(update={"kind": "os"})
    rig.edge.record = rig.edge.record.model_copy(update={"boot": None, "os": up})
    assert run(rig, plan)[0].writes == 1
    assert rig.machine.programs == ["python3"]
    assert b'"root": "/"' in rig.machine.sent[0].change.stdin


def test_a_step_that_was_not_needed_does_not_spare_the_next_one_the_basis(rig):
    plan = planned_on(rig)
    delete = step("raid-delete", {"name": "old", "uuid": "00" * 16, "members": ["RF-D0"]}, destructive=True)
    plan = plan.model_copy(update={"steps": (delete, *plan.steps)})
    assert run(rig, plan, "raid-delete")[0].changed is False
    rig.machine.disks["RF-D1"]["size"] = 4 * GIB
    with pytest.raises(Refused) as caught:
        run(rig, plan, "write-image")
    assert caught.value.reason == "plan-moved"


def test_a_plan_made_in_the_running_system_holds_in_the_boot_os_but_not_on_other_disks(rig):
    plan = planned_on(rig).model_copy(update={"seen_from": "running-os"})
    rig.machine.disks["RF-D0"]["parts"] = {1: {"size": GIB, "start": 2048, "fstype": "ext4"}}
    assert run(rig, plan, "write-image")[0].changed
    rig.edge.rows.clear()
    rig.around.memory.forget("web-01")
    rig.machine.disks["RF-D1"]["size"] = 4 * GIB
    with pytest.raises(Refused) as caught:
        run(rig, plan, "write-image")
    assert caught.value.reason == "plan-moved"


def test_members_of_an_array_that_nobody_assembled_lose_their_superblock(rig):
    rig.machine.disks["RF-D0"]["signature"] = "linux_raid_member"
    args = {"name": "old", "uuid": "00" * 16, "members": ["RF-D0", "RF-D1"]}
    plan = plan_of(step("raid-delete", args, destructive=True))
    rig.machine.deaf.add("mdadm")
    with pytest.raises(Refused, match="RF-D0 is still a member"):
        run(rig, plan)
    assert {sent.change.argv[1] for sent in rig.machine.sent} == {"--zero-superblock"}
    rig.machine.deaf.clear()
    assert run(rig, plan)[0].writes == 1
