"""What is told of a machine's RAID volumes: which drive to replace, what passes, what is not known."""

from datetime import UTC, datetime

import pytest

from specs.facts import (
    ControllerCondition,
    Disk,
    Hardware,
    InstallRecord,
    Observation,
    PhysicalDrive,
    RaidArray,
    RaidController,
    SystemFacts,
)
from specs.model import RaidVolume
from specs.raid_health import found_for, health_of, is_failing

PCI = "0000:5e:00.0"
MISSING_TOOL = "tool missing: storcli64 (put it in bootos/vendor, see docs/raid.md)"
LACKING = "volume data: is degraded; its controller does not say which drive it lacks"
WISHED = RaidVolume.model_validate({"name": "data", "level": "raid1", "drives": {"count": 2}})


def volume(name="data", *, state="optimal", controller=PCI, **more):
    told = {"driver": "storcli", "uuid": "6001", "level": "raid1", "device": "/dev/sda", "size_bytes": 10**12}
    members = more.pop("members", ("A", "B"))
    return RaidArray(name=name, state=state, controller=controller, members=members, **{**told, **more})


def card(*states, conditions=(), **more):
    drives = tuple(
        PhysicalDrive(address=f"252:{n}", serial="ABCDEF"[n], state=state) for n, state in enumerate(states)
    )
    told = tuple(ControllerCondition(kind="predictive-failure", text=text) for text in conditions)
    return RaidController(
        driver="storcli", pci=PCI, model="PERC H730", drives=drives, conditions=told, **more
    )


def seen(*raids, cards=(), disks=(), unknown=None, where="boot-os", installed=()):
    record = InstallRecord(
        host="h", job=1, image_digest="d", specset="s", layout_hash="l", disks=tuple(installed)
    )  # fmt: skip
    return Observation(
        at=datetime(2026, 11, 26, tzinfo=UTC),
        seen_from=where,
        hardware=Hardware(raids=raids, controllers=tuple(cards), disks=tuple(disks)),
        system=SystemFacts(record=record) if where == "running-os" else None,
        unknown=unknown or {},
    )


@pytest.mark.parametrize("turned", [False, True])
def test_of_two_volumes_of_one_name_the_installed_one_is_the_spec_s(turned):
    """Drives of another machine bring a volume of the same name; which is listed first is chance."""
    pair = [volume(uuid="6001"), volume(uuid="6002", members=("C", "D"))]
    there = seen(*(reversed(pair) if turned else pair)).hardware
    for installed, meant in ((("A", "B"), "6001"), (("C", "D"), "6002")):
        assert found_for(WISHED, there, installed).uuid == meant


@pytest.mark.parametrize("state", ["failed", "missing", "offline"])
def test_a_member_that_is_lost_is_told_by_volume_slot_and_serial(state):
    health = health_of(seen(volume(state="degraded"), cards=[card("online", state)]))
    assert (health.status, health.reason) == ("False", "drive-failed")
    assert health.texts == (
        f"volume data: drive B in slot 252:1 of PERC H730 at {PCI} is {state}; replace it",
        "volume data: is degraded",
    )


def test_a_failed_drive_that_its_volume_lists_no_more_is_the_volumes():
    lost = card("online", "failed")
    drives = (lost.drives[0], lost.drives[1].model_copy(update={"volume": "239"}))
    array = volume(state="degraded", members=("A",), volume="239")
    (told,) = health_of(seen(array, cards=[lost.model_copy(update={"drives": drives})])).replace
    assert (told.volume, "drive B in slot 252:1" in told.text) == ("data", True)


def test_a_slot_without_drive_is_told_and_so_is_a_spare_that_is_lost():
    array = volume(members=("A", "slot 252:7"), spares=("C",))
    told = health_of(seen(array, cards=[card("online", "online", "failed")]))
    assert [one.text.split(" of ")[0] for one in told.replace] == [
        "drive C in slot 252:2", "the drive in slot 252:7"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "failing"),
    [
        ("252:1: failure predicted (3 times)", "B"),
        ("drive 252:1 predicts a failure", "B"),
        ("252:10: failure predicted", None),
        ("1252:1: failure predicted", None),
    ],
)
def test_a_drive_that_is_about_to_fail_is_known_by_its_address(text, failing):
    known = card("online", "online", conditions=[text])
    assert [one.serial for one in known.drives if is_failing(one, known)] == ([failing] if failing else [])
    health = health_of(seen(volume(), cards=[known]))
    assert [one.text.partition(" of ")[0] for one in health.replace] == (
        ["drive B in slot 252:1"] if failing else []
    )


@pytest.mark.parametrize(
    ("state", "progress", "status", "told"),
    [
        ("rebuilding", 45.5, "False", "volume data: is rebuilding (45.5 %)"),
        ("degraded", None, "False", LACKING),
        ("initialising", 7, "True", "volume data: is initialising (7 %)"),
        ("optimal", None, "True", "1 RAID volume in order"),
    ],
)  # fmt: skip
def test_a_state_that_passes_is_told_with_how_far_it_is(state, progress, status, told):
    health = health_of(seen(volume(state=state, progress=progress), cards=[card("online", "online")]))
    assert (health.status, health.message, health.replace) == (status, told, ())


def test_a_volume_that_is_gone_is_never_in_order():
    assert health_of(seen(volume(state="failed"), cards=[card("online")])).reason == "drive-failed"


def md(**more):
    return volume(controller=None, driver="md", device="/dev/md127", **more)


def test_a_member_that_md_gave_up_is_told_with_its_place():
    disk = Disk(device="/dev/sdb", serial="B", by_path="pci-0000:00:17.0-ata-2", size_bytes=1)
    health = health_of(seen(md(members=("A",), failed=("B",), state="degraded"), disks=[disk]))
    assert health.texts == (
        "volume data: drive B at pci-0000:00:17.0-ata-2 has failed; replace it",
        "volume data: is degraded",
    )


def test_a_member_that_md_misses_is_told_as_far_as_the_install_record_knows_it():
    here = Disk(device="/dev/sda", serial="A", size_bytes=1)
    lacking = md(members=("A",), state="degraded")
    known = health_of(seen(lacking, disks=[here], where="running-os", installed=("A", "B")))
    assert known.texts == ("volume data: is degraded; of the disks that it was installed on B is not seen",)
    assert health_of(seen(lacking, disks=[here])).texts == ("volume data: is degraded; a member is missing",)


def test_without_the_vendors_tool_a_volume_is_unknown_and_neither_in_order_nor_lost():
    blind = RaidController(driver="storcli", pci=PCI, model="PCI 1000:005d", problem=MISSING_TOOL)
    health = health_of(seen(cards=[blind], where="running-os"), [WISHED])
    assert (health.status, health.reason) == ("Unknown", "raid-unknown")
    assert health.texts == (
        f"volume data: not known: PCI 1000:005d at {PCI} of the running system: {MISSING_TOOL}",
    )
    broken = health_of(seen(unknown={"hardware.controllers.storcli": "line 3"}), [WISHED])
    assert broken.texts == ("volume data: not known: line 3",)


def test_a_volume_of_software_is_known_whatever_tool_is_missing():
    blind = RaidController(driver="storcli", pci=PCI, problem=MISSING_TOOL)
    software = WISHED.model_copy(update={"controller": "software"})
    assert health_of(seen(cards=[blind], where="running-os"), [software]).status is None


def test_a_volume_whose_family_labels_it_is_found_by_level_and_size():
    labelled = volume("3E7AB6F2", driver="ssacli")
    assert health_of(seen(labelled, unknown={"hardware.controllers.mvcli": "x"}), [WISHED]).unknown == ()
    other = labelled.model_copy(update={"level": "raid5"})
    assert len(health_of(seen(other, unknown={"hardware.controllers.mvcli": "x"}), [WISHED]).unknown) == 1


def test_a_machine_without_raid_has_nothing_to_tell():
    assert health_of(seen()).status is None
    assert health_of(seen().model_copy(update={"hardware": None}), [WISHED]).status is None


def old_array(**more):
    told = {"driver": "md", "level": "raid1", "members": (), "spares": ("SN-7",), "controller": None}
    return volume("any:old", state="inactive", **{**told, **more})


def test_an_old_superblock_on_a_disk_of_nobody_is_told_and_no_fault():
    health = health_of(seen(volume(), old_array()), [WISHED])
    assert (health.status, health.reason) == ("True", "ok")
    assert health.texts == ("volume old: does not run: an earlier life left it on SN-7",)


def test_an_array_that_does_not_run_is_a_fault_where_the_spec_or_the_installed_system_has_it():
    wished = RaidVolume.model_validate({"name": "old", "level": "raid1", "drives": {"count": 2}})
    for health in (
        health_of(seen(old_array()), [wished]),
        health_of(seen(old_array(), where="running-os", installed=["SN-7"]), []),
    ):
        assert (health.status, health.reason) == ("False", "drive-failed")
        assert health.texts == ("volume old: is inactive: its data can't be read",)
