"""A reinstallation over a mirror that lost a drive or is being filled: it stays, as each tool tells it."""

import pytest

from lab.raid import exposing, model
from tests.metal.engine.raid_machine import RaidMachine
from tests.metal.engine.test_dies_anywhere import HOLD_S
from tests.metal.engine.test_raid_families import MAKERS, ROOT_UUID, controller, kinds_of, planned
from tests.metal.engine.whole_jobs import COMMON, DATA
from tests.metal.engine.world import World

MIRROR = {"name": "system", "level": "raid1", "drives": {"count": 2}}
SPEC = COMMON | {
    "raid": [MIRROR], "rootDevice": {"raid": "system"}, "disks": [{"device": "root", "partitions": [DATA]}],
}  # fmt: skip


def mirrored(family):
    one = controller(family)
    shown = family.endswith("ircu") or family in ("ssacli", "mvcli")
    if not shown:
        for drive in one.drives:
            drive.condition = "good"
    make = exposing.create if shown else model.create
    make(one, "raid1", one.drives[:2], name="" if family == "ssacli" else "system")
    return one


@pytest.mark.parametrize("family", MAKERS)
@pytest.mark.parametrize("wear", ["lost", "filled"])
def test_a_worn_mirror_is_installed_on_as_it_stands(family, wear, make_rig, monkeypatch):
    monkeypatch.setenv("RACKFLOW_HOLD_S", HOLD_S["the run"])
    rig, one = make_rig(), mirrored(family)
    (volume,) = one.volumes
    model.fail(one, one.drives[1])
    if wear == "filled":
        model.replace(one, one.drives[1], "ZC1FRESH")
    rig.machine = RaidMachine(one, root_uuid=ROOT_UUID)
    world = World(rig, planned(rig, SPEC))
    assert kinds_of(world.plan) == ["raid-boot"]
    world.drive()
    assert one.volumes == [volume]
