"""The controllers of lab/racks/raid.yaml through the life that tests/rack/test_raid.py gives them, in memory.

What the rack takes an hour for is walked here in seconds, without kernel and firmware: that its slots and
serials are those that rackflow shows, that a second plan changes nothing, and that a new level has a way.
"""

from collections import Counter

import pytest

from lab.definition import load
from lab.raid import delivered, model
from metal.drivers.hardware import read_hardware
from specs.facts import Observation
from specs.model import RaidVolume
from specs.raid_health import health_of
from tests.metal.engine.raid_machine import KINDS, RaidMachine
from tests.metal.engine.whole_jobs import COMMON, DATA, ROOT_UUID, planned
from tests.metal.engine.world import World
from tests.rack.test_raid import CASES, RACK, Case

LIFECYCLE = {"destroy": "allow", "takeDisks": True}


def spec(case: Case, level: str) -> dict:
    return COMMON | {
        "raid": case.volumes(level),
        "rootDevice": {"raid": "system"},
        "disks": [{"device": "root", "partitions": [DATA]}],
        "lifecycle": LIFECYCLE,
    }


def raid_kinds(plan) -> list[str]:
    return [step.kind for step in plan.steps if step.kind.startswith("raid-")]


def levels(machine: RaidMachine) -> list[tuple[str, int]]:
    one = machine.controller
    return sorted((each.level, len(model.members(one, each.group))) for each in one.volumes)


def seen(rig) -> Observation:
    hardware, _ = read_hardware(rig.machine, None)
    return Observation(at=rig.edge.now, seen_from="boot-os", hardware=hardware)


def fail_a_drive(case: Case, world: World) -> None:
    one = world.machine.controller
    model.fail(one, next(drive for drive in one.drives if drive.serial == case.fault[-1]), gone=False)
    world.machine.known.clear()


@pytest.fixture(params=[name for name, case in CASES.items() if case.tool is not None])
def case(request) -> Case:
    return CASES[request.param]


@pytest.fixture
def mirrored(case, make_rig, monkeypatch) -> World:
    """The machine of the rack, from its dirty drives to the mirror of the spec."""
    monkeypatch.setenv("RACKFLOW_HOLD_S", "30")
    rig = make_rig()
    machine = next(one for one in load(RACK).machines if one.name == case.machine)
    rig.machine = RaidMachine(*delivered.build(machine.controllers), root_uuid=ROOT_UUID)
    world = World(rig, planned(rig, spec(case, "raid1")))
    world.drive()
    return world


def test_the_mirror_is_made_of_the_drives_named_and_stays(case, mirrored):
    assert ("raid1", 2) in levels(mirrored.machine)
    assert raid_kinds(planned(mirrored.rig, spec(case, "raid1"))) in (["raid-boot"], [])


def test_a_step_asks_the_tools_of_the_controllers_that_are_there(case, make_rig, monkeypatch):
    """Each call takes seconds, and a boot OS may have the tools of eight families."""
    monkeypatch.setenv("RACKFLOW_HOLD_S", "30")
    rig = make_rig()
    machine = next(one for one in load(RACK).machines if one.name == case.machine)
    rig.machine = RaidMachine(*delivered.build(machine.controllers), root_uuid=ROOT_UUID)
    rig.machine.equip(*KINDS)
    plan = planned(rig, spec(case, "raid1"))
    rig.machine.listings.clear()
    World(rig, plan).drive()

    read = Counter(rig.machine.listings)
    own = read.pop(rig.machine.controller.family)
    assert own > 2 * len(raid_kinds(plan))
    assert read == dict.fromkeys(KINDS.keys() - {rig.machine.controller.family}, 2)
    """Once before the first step, to see where the machine is, and once in it."""


def test_a_failed_drive_is_told_as_the_rack_expects(case, mirrored):
    fail_a_drive(case, mirrored)

    health = health_of(
        seen(mirrored.rig), [RaidVolume.model_validate(each) for each in case.volumes("raid1")]
    )

    assert health.status == "False"
    assert all(word in health.message for word in case.told), health.message


@pytest.mark.parametrize("worn", [False, True])
def test_raid_10_takes_the_place_of_the_mirror(case, mirrored, worn):
    if case.ten is None:
        return
    if worn:
        fail_a_drive(case, mirrored)
    rig = mirrored.rig
    rig.edge.rows.clear()
    edge, installed = rig.edge, {"installed": rig.edge.put["install"]}
    edge.record = edge.record.model_copy(update=installed)
    edge.order_ = edge.order_.model_copy(update={"host": edge.record})
    world = World(rig, planned(rig, spec(case, "raid10")))
    world.drive()

    assert ("raid10", 4) in levels(world.machine)
    assert "raid1" not in dict(levels(world.machine))
