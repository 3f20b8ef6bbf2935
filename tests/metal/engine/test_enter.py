"""The way back into the boot OS: what is sent, how often, to whom never, and what is not believed after."""

from datetime import timedelta

import pytest

from metal.drivers.hardware import read_hardware
from metal.engine.enter import BOOT_S, STEP, Entry, Sight, decide, may_cycle
from metal.engine.observe import observe
from metal.engine.power_steps import BootBootOs
from metal.engine.steps import run_step
from metal.engine.waits import LOOK_S
from metal.errors import JobWaits, Refused, Unreachable
from metal.planning.basis import basis_of
from metal.planning.plan import Plan, Step
from metal.planning.restarts import declared
from specs.facts import Disk, Hardware, Observation
from specs.model import Host
from specs.phases import Phase
from tests.metal.engine.world import World

GIB = 1 << 30
DISK = {"identity": "RF-D0", "size_bytes": 8 * GIB}
LEAVES = ("hardware.disks.RF-D0.found", "hardware.disks.RF-D0.partitions")
WIPE = declared(
    Step(id="wipe", kind="wipe", field="disks", reason="r", destructive=True, leaves=LEAVES,
         args={"target": DISK, "method": "metadata"})
)  # fmt: skip


@pytest.fixture
def world(rig) -> World:
    """One disk that is to be wiped; nobody has begun."""
    rig.machine.disks["RF-D0"]["signature"] = "ext4"
    hardware, _ = read_hardware(rig.machine, None)
    seen = Observation(at=rig.edge.now, seen_from="boot-os", hardware=hardware)
    plan = Plan(
        host="web-01", host_id="h1", specset="s", spec="web-01", observed_at=None, seen_from="boot-os",
        basis=basis_of(seen, "hardware"), steps=(WIPE,),
    )  # fmt: skip
    made = World(rig, plan)
    shown = Hardware(disks=(Disk(device="/dev/sda", serial="RF-D0", size_bytes=8 * GIB, found=("ext4",)),))
    observed = seen.model_copy(update={"hardware": shown})
    rig.edge.record = rig.edge.record.model_copy(update={"phase": Phase.READY, "observation": observed})
    return made


def enter(world: World, **more) -> int:
    claim, around = world.begin()
    return Entry(world.rig.edge, claim, around, world.rig.said.append, **more).ensure()


def rows(world: World, key: str) -> list:
    return [row.detail[key] for row in world.rig.edge.rows if row.step == STEP and key in row.detail]


def has_begun(world: World) -> None:
    world.rig.edge.journal(
        "web-01", epoch=4, job=7, step="wipe", kind="wipe", phase="intent", plan=world.plan.hash, detail={}
    )


@pytest.mark.parametrize(
    ("power", "before", "sent_ago", "quiet", "at_once", "action"),
    [
        ("off", False, None, 0.0, False, "on"),
        ("off", False, 1.0, 1.0, False, "on"),
        ("on", False, None, LOOK_S - 1, False, None),
        ("on", False, None, LOOK_S, False, "cycle"),
        ("on", False, None, 0.0, True, "cycle"),
        ("on", False, 30.0, 600.0, False, None),
        ("on", False, 30.0, 600.0, True, None),
        ("on", True, 30.0, 30.0, True, "cycle"),
        ("on", False, BOOT_S, 600.0, False, "cycle"),
    ],
)
def test_what_is_sent_follows_from_power_and_time(rig, power, before, sent_ago, quiet, at_once, action):
    now = rig.edge.now
    sent_at = None if sent_ago is None else now - timedelta(seconds=sent_ago)
    sight = Sight(now, power, before)
    assert decide(sight, now - timedelta(seconds=quiet), sent_at, at_once=at_once) == action


def test_a_machine_that_may_serve_somebody_is_waited_for_and_never_cycled(world, monkeypatch):
    monkeypatch.setenv("RACKFLOW_HOLD_S", "1000")
    world.hang()
    with pytest.raises(Refused) as caught:
        enter(world)
    assert caught.value.reason == "boot-os-lost"
    assert world.rig.bmc.sent == []
    assert (world.rig.edge.now - world.rig.edge.rows[0].at).total_seconds() >= LOOK_S


def test_one_that_is_off_is_switched_on_and_boots_by_pxe_once(world):
    world.cut_power()
    assert enter(world) == 2
    assert world.rig.bmc.sent == ["boot pxe", "on"]
    assert (rows(world, "sent"), rows(world, "boot")) == (["on"], [2])
    order = [row.detail for row in world.rig.edge.rows]
    assert "sent" in order[-2]  # it stood in the journal before it went out
    assert enter(world) == 0


def test_a_hung_machine_whose_disks_are_given_up_is_cycled_after_a_while(world, monkeypatch):
    monkeypatch.setenv("RACKFLOW_HOLD_S", "1000")
    has_begun(world)
    world.hang()
    assert enter(world) == 2
    assert world.rig.bmc.sent == ["boot pxe", "cycle"]


def test_nothing_bootable_is_nothing_to_lose(world):
    record = world.rig.edge.record
    assert not may_cycle(record, [])
    blank = Hardware(disks=(Disk(device="/dev/sda", serial="S", size_bytes=GIB),))
    seen = record.observation.model_copy(update={"hardware": blank})
    assert may_cycle(record.model_copy(update={"observation": seen}), [])
    unread = seen.model_copy(update={"unknown": {"hardware.disks": "lsblk is missing"}})
    assert not may_cycle(record.model_copy(update={"observation": unread}), [])


def test_what_a_failed_provisioning_did_not_begin_to_erase_serves_on(world, monkeypatch):
    """A reinstallation whose first power action fails leaves the old system up, in provision-failed."""
    monkeypatch.setenv("RACKFLOW_HOLD_S", "1000")
    edge = world.rig.edge
    edge.record = edge.record.model_copy(update={"phase": Phase.PROVISION_FAILED})
    world.hang()
    with pytest.raises(Refused) as caught:
        enter(world)
    assert (caught.value.reason, world.rig.bmc.sent) == ("boot-os-lost", [])
    wipe = {"epoch": 1, "job": 3, "step": "wipe", "kind": "wipe", "plan": "p"}
    edge.journal("web-01", phase="intent", **wipe, detail={})
    edge.journal("web-01", phase="failed", **wipe, detail={"reason": "plan-moved"})
    with pytest.raises(Refused):
        enter(world)
    edge.journal("web-01", phase="intent", **wipe, detail={})
    assert enter(world) == 2
    assert world.rig.bmc.sent == ["boot pxe", "cycle"]


def test_a_machine_that_never_comes_is_started_three_times_and_no_more(world, monkeypatch):
    monkeypatch.setenv("RACKFLOW_HOLD_S", "100000")
    has_begun(world)
    world.hang()
    shown = world.rig.bmc.set_power

    def dead(action: str) -> None:
        shown(action)
        world.hang()

    world.rig.bmc.set_power = dead
    with pytest.raises(Refused) as caught:
        enter(world)
    assert caught.value.reason == "boot-os-timeout"
    assert world.rig.bmc.sent.count("cycle") == 3
    with pytest.raises(Refused):
        enter(world)
    assert world.rig.bmc.sent.count("cycle") == 3


def test_without_a_bmc_somebody_else_starts_it(world, monkeypatch):
    monkeypatch.setenv("RACKFLOW_HOLD_S", "0")
    world.rig.edge.record = world.rig.edge.record.model_copy(update={"bmc_address": None})
    world.cut_power()
    with pytest.raises(JobWaits) as caught:
        enter(world)
    assert caught.value.wait.event == "boot-os"
    assert world.rig.edge.put["wait"]["since"] > world.rig.edge.record.boot.reported_at
    assert world.rig.bmc.sent == []
    world.running, world.boot = "boot-os", 2
    world._report()
    assert enter(world) == 0


def test_a_network_that_was_away_costs_no_boot(world, monkeypatch):
    monkeypatch.setenv("RACKFLOW_HOLD_S", "1000")
    has_begun(world)
    world.running = None
    plain, started = world.rig.around.sleep, world.rig.clock[0]

    def sleep(seconds: float) -> None:
        plain(seconds)
        if world.rig.clock[0] - started > LOOK_S - 5:
            world.running = "boot-os"

    object.__setattr__(world.rig.around, "sleep", sleep)
    assert enter(world) == 0
    assert world.rig.bmc.sent == []


def test_a_flag_that_no_boot_used_up_is_cleared_when_the_boot_os_is_back(world, monkeypatch):
    """The BMC took the flag and not the power action; a plain start later must not go to the network.

    That it fell silent is no reason to fail: the next look asks again.
    """
    monkeypatch.setenv("RACKFLOW_HOLD_S", "1000")
    has_begun(world)
    world.hang()

    def silent(_action: str) -> None:
        world.running = "boot-os"
        raise Unreachable("no answer from the BMC", host="web-01", reason="unreachable")

    world.rig.bmc.set_power = silent
    assert enter(world) == 1
    assert world.rig.bmc.sent == ["boot pxe", "boot none"]
    assert rows(world, "sent") == ["cycle"]


def test_what_runs_on_behind_a_network_that_was_away_is_outlasted(world, monkeypatch):
    """A step that was fenced before is fenced again: its command may still run in the same boot OS."""
    monkeypatch.setenv("RACKFLOW_HOLD_S", "1000")
    claim, around = world.begin()
    around.memory.of(claim).fenced = True
    plain = around.sleep

    def away() -> None:
        world.running, world.die_at = None, None

    def back(seconds: float) -> None:
        plain(seconds)
        world.running = "boot-os"

    object.__setattr__(around, "sleep", back)
    world.die_at, world.how = 2, away
    run_step(world.rig.edge, claim, world.plan, "wipe", log=world.rig.said.append, around=around)
    assert world.machine.programs[:2] == ["true", "blockdev"]


def test_a_step_whose_boot_os_dies_waits_with_its_intent_open_and_no_failure(world, monkeypatch):
    monkeypatch.setenv("RACKFLOW_HOLD_S", "0")
    claim, around = world.begin()
    world.die_at, world.how = 1, world.cut_power
    with pytest.raises(JobWaits):
        run_step(world.rig.edge, claim, world.plan, "wipe", log=world.rig.said.append, around=around)
    assert [row.phase for row in world.rig.edge.rows if row.step == "wipe"] == ["intent"]
    world.die_at = None
    world.drive()
    assert world.rig.edge.rows[-1].phase == "done"


def test_a_disk_that_was_swapped_while_the_machine_was_off_is_not_written(world):
    world.die_at, world.how = 1, world.cut_power
    shown = world.rig.bmc.set_power

    def swap(action: str) -> None:
        shown(action)
        world.machine.disks["RF-NEW"] = world.machine.disks.pop("RF-D1")

    world.rig.bmc.set_power = swap
    with pytest.raises(Refused, match=r"hardware\.disks\.RF-NEW: is new") as caught:
        world.drive()
    assert caught.value.reason == "plan-moved"
    assert world.machine.programs == ["true"]


def test_a_host_that_is_to_be_installed_is_brought_back_before_it_is_planned(world):
    edge = world.rig.edge
    edge.order_ = edge.order_.model_copy(
        update={"spec": Host.model_validate({"metadata": {"name": "web-01"}, "image": "debian-12"})}
    )
    world.cut_power()
    edge.verb = "observe"
    claim, around = world.begin()
    assert observe(edge, "web-01", claim, around=around, patience_s=1).seen_from == "bmc"
    assert world.rig.bmc.sent == []
    edge.verb = "apply"
    assert observe(edge, "web-01", claim, around=around).seen_from == "boot-os"
    assert world.rig.bmc.sent == ["boot pxe", "on"]


@pytest.mark.parametrize(
    ("verb", "power", "sent"),
    [("reinstall", "off", ["boot pxe", "on"]), ("reinstall", "on", []), ("apply", "off", [])],
)
def test_a_system_that_is_to_be_replaced_and_is_off_is_read_from_the_boot_os(world, verb, power, sent):
    """One that is on and silent may serve somebody; one that nobody gave up is not touched."""
    edge = world.rig.edge
    installed = {"phase": Phase.ACTIVE, "installed": {"job": 3}}
    edge.record = edge.record.model_copy(update={**installed, "os": edge.record.boot, "boot": None})
    world.cut_power()
    world.rig.bmc.state = power
    edge.verb = verb
    claim, around = world.begin()
    seen = observe(edge, "web-01", claim, around=around, patience_s=1)
    assert world.rig.bmc.sent == sent
    assert seen.seen_from == ("boot-os" if sent else "bmc")


def test_a_start_for_a_reinstallation_is_waited_for_by_the_next_run_too(world, monkeypatch):
    edge = world.rig.edge
    installed = {"phase": Phase.ACTIVE, "installed": {"job": 3}}
    edge.record = edge.record.model_copy(update={**installed, "os": edge.record.boot, "boot": None})
    world.cut_power()
    edge.verb = "reinstall"
    with monkeypatch.context() as patched:
        patched.setenv("RACKFLOW_HOLD_S", "0")
        claim, around = world.begin()
        with pytest.raises(JobWaits):
            observe(edge, "web-01", claim, around=around, patience_s=1)
    claim, around = world.begin()
    assert observe(edge, "web-01", claim, around=around, patience_s=1).seen_from == "boot-os"
    assert world.rig.bmc.sent == ["boot pxe", "on"]


def test_a_machine_that_dies_right_after_its_boot_os_came_up_is_started_again(world, monkeypatch):
    monkeypatch.setenv("RACKFLOW_HOLD_S", "1000")
    start = Step(id="boot-os", kind="boot-os", field="power", reason="r", where="bmc", reboot=True)
    plan = world.plan.model_copy(update={"steps": (start, *world.plan.steps)})
    world.plan = plan
    world.cut_power()
    plain, died = BootBootOs.act, []

    def act(self, work) -> None:
        plain(self, work)
        if not died:
            died.append(work.kept.boot_no)
            world.cut_power()

    monkeypatch.setattr(BootBootOs, "act", act)
    world.drive()
    phases = [row.phase for row in world.rig.edge.rows if row.step == "boot-os"]
    assert (phases[-1], phases.count("done"), phases.count("failed")) == ("done", 1, 0)
    assert world.boot == died[0] + 1
