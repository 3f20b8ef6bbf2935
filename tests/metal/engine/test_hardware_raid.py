"""What a step finds of a controller's volume once its tool has answered; and the spare that it lacks."""

from types import SimpleNamespace

import pytest

from lab.raid import model
from metal.engine.controllers import listed
from metal.engine.hardware_raid import create, create_differences
from tests.metal.engine.raid_machine import RaidMachine
from tests.metal.engine.test_dies_anywhere import HOLD_S
from tests.metal.engine.test_raid_families import ROOT_UUID, controller, kinds_of, planned, spec
from tests.metal.engine.world import World

KIB, GIB = 1 << 10, 1 << 30


def work_of(machine, family, **args):
    one = machine.controller
    told = {
        "name": "system", "level": "raid1", "driver": family, "controller": one.pci, "how": "volume",
        "members": [{"identity": drive.serial} for drive in one.drives[:2]], **args,
    }  # fmt: skip
    return SimpleNamespace(listed=lambda: listed(machine, told), args=told, host="web-01")


@pytest.mark.parametrize("family", ["storcli", "megacli", "ssacli", "arcconf"])
def test_a_volume_that_is_not_as_it_was_told_to_be_is_no_success(family):
    """The emulated tool takes a strip and a size that the step did not ask for, and says nothing of it."""
    one = controller(family)
    for drive in one.drives:
        drive.condition = "good"
    name = "" if family == "ssacli" else "system"
    model.create(one, "raid1", one.drives[:2], name=name, size_bytes=2 * GIB, strip_bytes=64 * KIB)
    machine = RaidMachine(one, root_uuid=ROOT_UUID)
    asked = {"strip_bytes": 64 * KIB, "size_bytes": 2 * GIB, "least_bytes": 2 * GIB}
    assert create_differences(work_of(machine, family, **asked)) == ()
    told = create_differences(work_of(machine, family, **asked | {"size_bytes": 4 * GIB}))
    assert told == ("volume system holds 2 GiB, not 4 GiB",)
    told = create_differences(work_of(machine, family, **asked | {"size_bytes": GIB}))
    assert told == ("volume system holds 2 GiB, not 1 GiB",)
    told = create_differences(work_of(machine, family, least_bytes=4 * GIB))
    assert told == ("volume system holds 2 GiB, not 4 GiB",)
    if family != "arcconf":  # which tells of no strip of a mirror
        told = create_differences(work_of(machine, family, **asked | {"strip_bytes": 256 * KIB}))
        assert told == ("volume system has strips of 64 KiB, not 256 KiB",)


class Standing:
    """A step's work on a machine in memory, with what it logs."""

    def __init__(self, machine, family, **args):
        self.machine, self.args, self.host = machine, work_of(machine, family, **args).args, "web-01"
        self.logged, self.said, self.kept = [], None, SimpleNamespace(volume_disks={})
        self.clock, self.log = iter(range(0, 10_000, 10)).__next__, self.logged.append

    def listed(self):
        return listed(self.machine, self.args)

    def sleep(self, _seconds):
        pass

    def send(self, commands):
        for command in commands:
            self.said = self.machine.changed(command)


@pytest.mark.parametrize(
    ("family", "battery", "told"),
    [
        ("storcli", "optimal", None),
        ("storcli", "failed", "writes through its cache, though write back was asked for"),
        ("megacli", "optimal", None),
    ],
)
def test_a_controller_that_does_not_write_as_it_was_told_is_told_of(family, battery, told):
    one = controller(family)
    one.battery = battery
    for drive in one.drives:
        drive.condition = "good"
    work = Standing(RaidMachine(one, root_uuid=ROOT_UUID), family, write_cache="back")
    create(work)
    assert [volume.name for volume in one.volumes] == ["system"]
    found = [line for line in work.logged if "cache" in line]
    assert len(found) == (1 if told else 0)
    assert all((told or "") in line for line in found)


@pytest.mark.parametrize("family", ["storcli", "megacli", "sas3ircu", "arcconf"])
def test_a_standing_volume_gets_the_spare_that_it_lacks_and_stays(family, make_rig, monkeypatch):
    monkeypatch.setenv("RACKFLOW_HOLD_S", HOLD_S["the run"])
    rig, one = make_rig(), controller(family)
    for drive in one.drives:
        drive.condition = "good"
    volume, _ = model.create(one, "raid10", one.drives[:4], name="system")
    rig.machine = RaidMachine(one, root_uuid=ROOT_UUID)
    world = World(rig, planned(rig, spec(family)))
    assert kinds_of(world.plan) == ["raid-create", "raid-boot"]
    assert [lost.serial for lost in world.plan.step("raid-create:system").destroys] == [one.drives[4].serial]
    world.drive()
    assert one.volumes == [volume]
    assert [drive.condition for drive in one.drives] == ["online"] * 4 + ["spare"]
    assert kinds_of(planned(rig, spec(family))) == ["raid-boot"]
