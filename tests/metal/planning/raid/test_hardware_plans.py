"""Whole plans on machines with RAID controllers: the steps, their order, and what they say they destroy."""

import pytest

from metal.planning.basis import moved
from metal.planning.safety import Allowed, NeedsConsent, consent_needed, written_disks
from metal.planning.steps import make_plan
from specs.facts import ControllerCondition, Hardware, Nic, PartitionFact, RaidController
from specs.model import Host
from specs.phases import Phase
from tests.metal.planning.conftest import GIB, IMAGE
from tests.metal.planning.raid.conftest import array, controller, disk, drives

SPEC = {
    "metadata": {"name": "db-07"},
    "raid": [{"name": "system", "level": "raid1", "drives": {"count": 2}, "stripe": "256KiB"}],
    "rootDevice": {"raid": "system"},
    "image": "debian-12",
}


def machine(*controllers, raids=(), disks=()):
    return Hardware(
        serial="S",
        firmware="uefi",
        nics=(Nic(name="eth0", mac="52:54:00:00:00:01"),),
        controllers=controllers,
        raids=tuple(raids),
        disks=tuple(disks),
    )


@pytest.fixture
def plan(make_order, observe):
    def planned(hardware, **changes):
        spec = Host.model_validate(SPEC | changes)
        order = make_order("db-01", spec=spec).model_copy(update={"image": IMAGE})
        return make_plan(order, observe(hardware))

    return planned


def ids(made):
    return [step.id for step in made.steps if step.kind.startswith("raid") or step.kind == "wipe"]


def test_free_drives_become_a_volume_and_the_controller_starts_from_it(plan):
    made = plan(machine(controller(drives("H", 4))))
    assert made.blocked is None
    assert ids(made) == ["raid-create:system", "raid-boot:system", "wipe:system"]
    create = made.step("raid-create:system")
    assert create.new == "system raid1 of 252:0 H0, 252:1 H1 on MegaRAID 9460-16i at 0000:5e:00.0"
    assert [(one.serial, one.found) for one in create.destroys] == [("H0", "blank"), ("H1", "blank")]
    assert create.args["controller"] == "0000:5e:00.0"
    assert (create.args["driver"], create.args["strip_bytes"]) == ("storcli", 256 * 1024)
    assert "hardware.disks.{raid-disk:system}" in create.leaves
    assert made.step("write-image").args["target"] == {"raid": "system"}
    assert written_disks(made) == {"H0": "blank", "H1": "blank"}


def test_a_volume_as_asked_stays_and_only_its_content_goes(plan):
    shown = disk("600605b01", gib=998, wwn="600605b01", transport="raid", found=("gpt with 3 partitions",))
    stands = array("system", "raid1", ["H0", "H1"], uuid="600605b01", found=shown.found, device=shown.device)
    made = plan(machine(controller(drives("H", 4, state="online")), raids=[stands], disks=[shown]))
    assert made.blocked is None
    assert ids(made) == ["raid-boot:system", "wipe:system"]
    wipe = made.step("wipe:system")
    where = {"driver": "storcli", "controller": "0000:5e:00.0"}
    assert wipe.args["target"] == {"raid": "system", "uuid": "600605b01", **where}
    assert made.step("raid-boot:system").args["uuid"] == "600605b01"
    assert {one.serial: one.found for one in wipe.destroys} == {
        "H0": "member of raid1 system of 0000:5e:00.0; gpt with 3 partitions",
        "H1": "member of raid1 system of 0000:5e:00.0; gpt with 3 partitions",
    }
    assert set(written_disks(made)) == {"H0", "H1"}


def test_another_volume_on_the_drives_is_deleted_by_its_id(plan):
    shown = disk("600605b09", gib=998, wwn="600605b09", transport="raid", found=("xfs",))
    stands = array("old", "raid0", ["H0", "H1"], uuid="600605b09", found=("xfs",), device=shown.device)
    made = plan(machine(controller(drives("H", 2, state="online")), raids=[stands], disks=[shown]))
    assert ids(made) == ["raid-delete:old", "raid-create:system", "raid-boot:system", "wipe:system"]
    delete = made.step("raid-delete:old")
    assert delete.args["uuid"] == "600605b09"
    assert delete.args["controller"] == "0000:5e:00.0"
    assert {one.found for one in delete.destroys} == {"member of raid0 old of 0000:5e:00.0; xfs"}
    assert {"hardware.raids.600605b09", "hardware.disks.600605b09"} <= set(delete.leaves)


@pytest.mark.parametrize(
    ("name", "level", "free", "blocked"),
    [
        ("system", "raid1", 0, None),  # stays, with another content
        ("old", "raid0", 0, None),  # is deleted
        ("old", "raid0", 2, "foreign-content"),  # stays beside a new one
    ],
)
def test_a_root_of_the_same_image_on_a_volume_matters_only_where_that_stays(name, level, free, blocked, plan):
    root = {"device": "/dev/sda1", "fs_uuid": IMAGE.info["root_uuid"]}
    part = PartitionFact(number=1, start_bytes=0, size_bytes=1, **root)
    shown = disk("600605b09", gib=998, wwn="600605b09", transport="raid", partitions=(part,))
    stands = array(name, level, ["H0", "H1"], uuid="600605b09", device=shown.device, partitions=(part,))
    held = [*drives("H", 2, state="online"), *drives("N", free, first=2)]
    assert plan(machine(controller(held), raids=[stands], disks=[shown])).blocked == blocked


def test_a_volume_that_also_lies_on_other_drives_is_refused(plan):
    stands = array("old", "raid5", ["H0", "H1", "H2"], uuid="600605b09")
    made = plan(
        machine(controller(drives("H", 3, state="online")), raids=[stands]),
        raid=[{"name": "system", "level": "raid1", "drives": {"count": 2, "serials": ["H0", "H1"]}}],
    )
    assert made.blocked == "foreign-content"


@pytest.mark.parametrize(
    ("state", "pinned"), [("foreign", False), ("jbod", False), ("unconfigured", True), ("foreign", True)]
)
def test_what_keeps_a_controller_from_making_volumes_is_cleared_first(plan, state, pinned):
    told = (ControllerCondition(kind="preserved-cache", text="Virtual Drive 2: Missing"),) if pinned else ()
    made = plan(machine(controller(drives("H", 2, state=state), conditions=told)))
    assert ids(made)[:2] == ["raid-prepare:0000:5e:00.0", "raid-create:system"]
    prepare = made.step("raid-prepare:0000:5e:00.0")
    assert prepare.args["pinned"] is pinned
    assert [one["identity"] for one in prepare.args["members"]] == (
        [] if state == "unconfigured" else ["H0", "H1"]
    )
    assert prepare.restart == "observe"


def test_foreign_drives_need_a_consent_and_free_ones_do_not(plan):
    def verdict(state):
        return consent_needed(
            plan(machine(controller(drives("H", 2, state=state)))),
            phase=Phase.READY,
            destroy="allow",
            take_disks=False,
            installed=frozenset(),
            posted_by="discovery",
        )

    assert isinstance(verdict("unconfigured"), Allowed)
    assert verdict("foreign") == NeedsConsent("foreign-content", ("H0", "H1"))


def test_a_controller_without_its_tool_blocks_before_anything_is_erased(plan):
    problem = "tool missing: storcli64 (put it in bootos/vendor, see docs/raid.md)"
    blind = RaidController(driver="storcli", pci="0000:5e:00.0", model="PCI 1000:0016", problem=problem)
    made = plan(machine(blind, disks=[disk("N0"), disk("N1")]))
    assert made.blocked == "tool-missing"
    assert problem in made.steps[0].reason
    assert {step.kind for step in made.steps if step.destructive} == {"raid-create"}


def test_a_volume_of_passed_through_drives_is_no_root(plan):
    made = plan(
        machine(controller(drives("H", 2), jbod=True)),
        raid=[{"name": "system", "level": "jbod", "drives": {"count": 2}}],
    )
    assert made.blocked == "layout-impossible"


def test_the_basis_holds_what_drives_are_used_for_and_forgives_a_rebuild(plan, observe):
    before = machine(controller(drives("H", 2, state="rebuilding"), drives("G", 2)))
    made = plan(before)
    after = machine(controller(drives("H", 2, state="online"), drives("G", 2)))
    assert moved(made, observe(after)) == []
    swapped = machine(controller(drives("H", 2, state="online"), drives("X", 2)))
    assert [one.path for one in moved(made, observe(swapped))] == [
        f"hardware.controllers.0000:5e:00.0.drives.{name}" for name in ("G0", "G1", "X0", "X1")
    ]
    taken = machine(controller(drives("H", 2, state="online"), drives("G", 2, state="foreign")))
    assert str(moved(made, observe(taken))[0]).endswith("drives.G0.use: was free, is foreign")


def test_machines_without_controllers_have_the_basis_they_had(plan):
    made = plan(machine(disks=[disk("N0", gib=8), disk("N1", gib=8)]))
    assert "controllers" not in made.basis["hardware"]
    assert GIB


SHOWN = disk("600605b09", gib=998, wwn="600605b09", transport="raid", found=("xfs",))
LAID = {"partitions": [{"name": "d", "size": "rest", "filesystem": "xfs", "mount": "/d"}]}


@pytest.mark.parametrize(
    ("name", "changes", "field"),
    [
        # It goes for the volume that is made of its drives.
        ("old", {"rootDevice": {"minSize": "500GiB"}}, "rootDevice"),
        ("old", {"rootDevice": {"wwn": "600605b09"}}, "rootDevice"),
        ("old", {"disks": [{"device": {"minSize": "500GiB"}, **LAID}]}, "disks[0].device"),
        # It is the volume that the root is on: both would be written to one place.
        ("system", {"disks": [{"device": {"minSize": "500GiB"}, **LAID}]}, "disks[0].device"),
        ("system", {"disks": [{"device": {"wwn": "600605b09"}, **LAID}]}, "disks[0].device"),
    ],
)
def test_a_disk_that_a_volume_is_shown_by_is_no_disk_of_its_own(plan, name, changes, field):
    stands = array(name, "raid1", ["H0", "H1"], uuid="600605b09", found=("xfs",), device=SHOWN.device)
    made = plan(machine(controller(drives("H", 2, state="online")), raids=[stands], disks=[SHOWN]), **changes)
    assert [(step.field, step.blocked_by) for step in made.steps if step.blocked_by] == [
        (field, "no-matching-disk")
    ]


def test_a_wide_rule_does_not_mean_a_volume_of_the_spec_and_one_that_names_it_does(plan):
    stands = array("system", "raid1", ["H0", "H1"], uuid="600605b09", found=("xfs",), device=SHOWN.device)
    seen = machine(
        controller(drives("H", 2, state="online")), raids=[stands], disks=[SHOWN, disk("N0", gib=600)]
    )
    beside = plan(seen, disks=[{"device": {"minSize": "500GiB"}, **LAID}])
    assert beside.blocked is None
    assert ids(beside) == ["raid-boot:system", "wipe:system", "wipe:N0"]
    by_name = plan(seen, rootDevice={"wwn": "600605b09"})
    assert by_name.blocked is None
    assert ids(by_name) == ["wipe:600605b09"]
