"""A whole installation on a controller of each family, from whatever another owner left on it.

MegaRAID by storcli dies at every moment; the others around each command to the controller, and in the long
run (`pytest -m long`) at every moment too. The rest of an installation is the same everywhere, and is walked
in `test_dies_anywhere`.
"""

import pytest

from lab.raid import arcconf, exposing, ircu, megacli, model, mvcli, ssacli, storcli
from lab.raid.model import Controller, Drive
from lab.raid.ssacli.arrays import settle
from metal.drivers.hardware import read_hardware
from metal.drivers.raid import FAMILIES
from metal.errors import RackflowError
from tests.metal.engine.raid_machine import KINDS, RaidMachine
from tests.metal.engine.test_dies_anywhere import DEATHS, HOLD_S, differing, moments
from tests.metal.engine.whole_jobs import COMMON, DATA, ROOT_UUID, planned
from tests.metal.engine.world import World

GIB = 1 << 30
ENCLOSURES = {"storcli": 252, "storcli2": 322, "megacli": 32, "sas2ircu": 2, "sas3ircu": 2, "mvcli": None}
MAKERS = {
    "storcli": lambda drives: storcli.controller(drives, jbod=True),
    "storcli2": lambda drives: storcli.controller(drives, second=True),
    "megacli": megacli.controller,
    "ssacli": lambda drives: ssacli.controller(drives, mode="mixed"),
    "sas2ircu": lambda drives: ircu.controller(drives, family="sas2ircu", model="SAS2008"),
    "sas3ircu": ircu.controller,
    "mvcli": mvcli.controller,
    "arcconf": arcconf.controller,
}
FIVE = {"name": "system", "level": "raid10", "drives": {"count": 4}, "spares": 1}
TWO = {"name": "system", "level": "raid1", "drives": {"count": 2}}


def controller(family: str) -> Controller:
    card = family == "mvcli"
    more = {"medium": "ssd", "interface": "sata"} if card else {}
    drives = [
        Drive(
            ENCLOSURES.get(family, 1), n, f"ZC1{n:05}", "" if card else f"5000c500{n:08x}", "ST600MM0069",
            size_bytes=8 * GIB, **more,
        )
        for n in range(2 if card else 5)
    ]  # fmt: skip
    return MAKERS[family](drives)


def dirty(family: str) -> Controller:
    """Foreign drives, an old volume with data, a drive passed through, a spare, preserved cache."""
    one = controller(family)
    if family == "mvcli":
        exposing.create(one, "raid1", one.drives, name="old")
        return one
    make = exposing.create if family.endswith("ircu") or family == "ssacli" else model.create
    volume, _ = make(one, "raid1", one.drives[1:3], name="" if family == "ssacli" else "old")
    volume.has_data = True
    exposing.hide(one.drives[4])
    model.set_spare(one.drives[4], volume.group if family == "ssacli" else None)
    if family == "ssacli":
        settle(one, [])
        return one
    exposing.hide(one.drives[0])
    one.drives[0].foreign = "other"
    one.drives[3].condition = "jbod"
    if family in ("storcli", "storcli2", "megacli"):
        one.pinned.append(5)
    return one


def spec(family: str) -> dict:
    wished = TWO if family == "mvcli" else FIVE
    return COMMON | {
        "raid": [wished],
        "rootDevice": {"raid": "system"},
        "disks": [{"device": "root", "partitions": [DATA]}],
    }


def world_of(rig, family: str) -> World:
    rig.machine = RaidMachine(dirty(family), root_uuid=ROOT_UUID)
    return World(rig, planned(rig, spec(family)))


def kinds_of(plan) -> list[str]:
    return [step.kind for step in plan.steps if step.kind.startswith("raid-")]


def test_every_family_is_here():
    assert set(KINDS) == set(MAKERS) == {family.name for family in FAMILIES}


@pytest.mark.parametrize("family", MAKERS)
def test_a_dirty_controller_becomes_what_the_spec_asks_and_stays_so(family, make_rig, monkeypatch):
    monkeypatch.setenv("RACKFLOW_HOLD_S", HOLD_S["the run"])
    world = world_of(make_rig(), family)
    cleared = [] if family == "mvcli" else ["raid-prepare"]
    assert [kind for kind in kinds_of(world.plan) if kind != "raid-delete"] == [
        *cleared, "raid-create", "raid-boot"
    ]  # fmt: skip
    assert "raid-delete" in kinds_of(world.plan)
    world.drive()
    one = world.machine.controller
    (volume,) = one.volumes
    wished = spec(family)["raid"][0]
    assert volume.level == wished["level"]
    assert volume.name == "system" or family == "ssacli"  # which makes a label of its own
    spares = [drive.condition for drive in one.drives].count("spare")
    assert spares == wished.get("spares", 0)
    assert all(drive.condition in ("online", "spare") and not drive.foreign for drive in one.drives)
    assert one.pinned == []
    assert volume.boot == (family != "mvcli")
    again = planned(world.rig, spec(family))
    assert kinds_of(again) == ["raid-boot"]


def every_moment(_event, _tool) -> bool:
    return True


def of_the_controllers_steps(event, _tool) -> bool:
    return event.step.startswith("raid-")


def around_a_command(event, tool) -> bool:
    return event.what in (f"in {tool}", f"after {tool}")


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("death", "where"),
    [
        ("both", every_moment),
        ("the run", of_the_controllers_steps),
        ("the machine", of_the_controllers_steps),
    ],
)
def test_megaraid_converges_whatever_dies_when(death, where, make_rig, monkeypatch):
    assert walked("storcli", death, make_rig, monkeypatch, where) == []


@pytest.mark.parametrize("family", [one for one in MAKERS if one != "storcli"])
def test_a_run_that_dies_at_a_controllers_command_converges(family, make_rig, monkeypatch):
    assert walked(family, "the run", make_rig, monkeypatch, around_a_command) == []


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("death", DEATHS)
@pytest.mark.parametrize("family", MAKERS)
def test_every_family_converges_whatever_dies_when(family, death, make_rig, monkeypatch):
    assert walked(family, death, make_rig, monkeypatch, every_moment) == []


def walked(family, death, make_rig, monkeypatch, where) -> list[str]:
    """Whatever went otherwise when something died at the moments chosen by `where`."""
    monkeypatch.setenv("RACKFLOW_HOLD_S", HOLD_S[death])
    whole = world_of(make_rig(), family)
    whole.drive()
    wrong = []
    for moment in moments("hardware", whole):
        event = whole.events[moment]
        if not where(event, KINDS[family].tool):
            continue
        world = world_of(make_rig(), family)
        world.die_at, world.how = moment, DEATHS[death](world)
        told = f"{death} died {event.what} of {event.step}"
        try:
            world.drive()
        except (RackflowError, AssertionError) as error:
            wrong.append(f"{told}: {error!r}")
            continue
        if world.state() != whole.state():
            wrong.append(f"{told}: {differing(world.state(), whole.state())}")
        wrong += [f"{told}: sent again: {line}" for line in world.late]
    return wrong


def test_controllers_of_several_families_stand_in_one_machine(make_rig, monkeypatch):
    """The usual server: a mirror of boot disks on a card, data drives on a RAID controller."""
    monkeypatch.setenv("RACKFLOW_HOLD_S", HOLD_S["the run"])
    rig = make_rig()
    card, large = dirty("mvcli"), dirty("storcli")
    for drive in card.drives:
        drive.serial = drive.serial.replace("ZC1", "BC2")
    rig.machine = RaidMachine(large, card, root_uuid=ROOT_UUID)
    both = COMMON | {
        "raid": [
            TWO | {"controller": card.pci},
            FIVE | {"name": "data", "controller": large.pci},
        ],
        "rootDevice": {"raid": "system"},
    }
    hardware, _ = read_hardware(rig.machine, None)
    assert [one.driver for one in hardware.controllers] == ["storcli", "mvcli"]
    world = World(rig, planned(rig, both))
    world.drive()
    assert [[(one.name, one.level) for one in each.volumes] for each in (card, large)] == [
        [("system", "raid1")], [("data", "raid10")]
    ]  # fmt: skip
