"""The plan of a wipe: which disks, how, and what is refused or left with its reason; nothing is installed."""

from typing import Any

import pytest

from metal.errors import SpecError
from metal.planning.basis import moved
from metal.planning.plan import Plan
from metal.planning.report import erased_disks
from metal.planning.steps import make_plan
from metal.planning.wiping import make_wipe_plan
from specs.erasure import WipeWish, wipe_args
from specs.facts import (
    Disk,
    Hardware,
    Observation,
    PartitionFact,
    PhysicalDrive,
    PhysicalVolumeFact,
    RaidArray,
    RaidController,
    VolumeGroupFact,
)
from specs.model import Host
from specs.phases import Phase, allowed
from specs.records import WorkOrder
from tests.metal.planning.conftest import NOW

GIB = 1 << 30


def disk(letter: str, serial: str | None, **more: Any) -> Disk:
    facts = {"transport": "sata", "medium": "ssd", "size_bytes": 8 * GIB} | more
    return Disk(device=f"/dev/sd{letter}", serial=serial, **facts)


NTFS = PartitionFact(number=1, device="/dev/sda1", start_bytes=1 << 20, size_bytes=GIB, filesystem="ntfs")
A = disk("a", "AAA1", found=("gpt with 1 partition",), partitions=(NTFS,))
B = disk("b", "BBB2", model="Micron 5300")
NEVER = {
    "removable": disk("c", "STICK", removable=True, transport="usb"),
    "virtual media": disk("d", "CD", vendor="AMI", model="Virtual HDisk0"),
    "on a SAN": disk("e", "LUN", transport="fc"),
    "read-only": disk("f", "RO", read_only=True),
    "without serial and WWN": disk("g", None),
    "on USB, and not named": disk("h", "USB", transport="usb"),
}


def hardware(*disks: Disk, **more: Any) -> Hardware:
    return Hardware(serial="S1", uuid="u1", firmware="uefi", disks=disks, **more)


def bare(make_order: Any, **order: Any) -> WorkOrder:
    """An order of a host without a spec."""
    made: WorkOrder = make_order("web-01", **order).model_copy(update={"spec": None, "specset": None})
    return made


@pytest.fixture
def wiped(make_order, observe):
    """Make a plan of a wipe of `web-01`, which is ready and has no spec unless one is given."""

    def make(seen: Hardware, *, method: Any = None, disks: Any = "all", **order: Any) -> Plan:
        made = make_order("web-01", **order) if "spec" in order else bare(make_order, **order)
        return make_wipe_plan(made, observe(seen), WipeWish(method=method, disks=disks))

    return make


def blocked(plan: Plan) -> list[tuple[str | None, str]]:
    return [(step.blocked_by, step.reason) for step in plan.steps if step.blocked_by]


def methods(plan: Plan) -> dict[str, str]:
    return {
        step.args["target"]["identity"]: step.args["method"] for step in plan.steps if step.kind == "wipe"
    }


def test_every_disk_is_erased_and_told_with_what_is_on_it(wiped) -> None:
    plan = wiped(hardware(B, A))
    assert [step.id for step in plan.steps] == ["wipe:AAA1", "wipe:BBB2"]
    first = plan.step("wipe:AAA1")
    assert (first.old, first.new) == ("gpt with 1 partition", "AAA1 empty (metadata)")
    assert [(one.serial, one.size_bytes, one.found) for one in first.destroys] == [
        ("AAA1", 8 * GIB, "gpt with 1 partition")
    ]
    assert "Micron 5300" in plan.step("wipe:BBB2").reason
    assert erased_disks(plan) == ["AAA1", "BBB2"]
    assert plan.phase is Phase.WIPING


def test_the_plan_does_not_hang_on_the_names_that_the_kernel_gave(wiped) -> None:
    swapped = hardware(
        A.model_copy(update={"device": "/dev/sdb"}), B.model_copy(update={"device": "/dev/sda"})
    )
    assert wiped(hardware(A, B)).hash == wiped(swapped).hash


def test_a_running_system_is_left_for_the_boot_os_first(make_order) -> None:
    seen = Observation(at=NOW, seen_from="running-os", hardware=hardware(A))
    order = bare(make_order, phase=Phase.ACTIVE)
    plan = make_wipe_plan(order, seen, WipeWish())
    assert [step.id for step in plan.steps] == ["boot-os", "wipe:AAA1"]


def test_the_bmc_is_told_to_insist_on_no_disk_any_more(make_order, observe) -> None:
    order = bare(make_order)
    order = order.model_copy(update={"host": order.host.model_copy(update={"bmc_address": "10.77.9.50"})})
    plan = make_wipe_plan(order, observe(hardware(A)), WipeWish())
    assert [step.id for step in plan.steps] == ["wipe:AAA1", "boot-order"]
    assert plan.steps[-1].args == {"order": "firmware"}


@pytest.mark.parametrize("why", NEVER)
def test_what_no_rule_may_mean_is_left_and_told(why: str, wiped) -> None:
    never = NEVER[why]
    plan = wiped(hardware(A, never))
    assert erased_disks(plan) == ["AAA1"]
    told = [note for note in plan.notes if note.startswith("not erased: ")]
    assert len(told) == 1
    assert never.device in told[0]
    assert told[0].endswith(f": {why}")


@pytest.mark.parametrize("why", sorted(NEVER.keys() - {"on USB, and not named", "without serial and WWN"}))
def test_what_no_rule_may_mean_is_not_meant_by_its_name_either(why: str, wiped) -> None:
    plan = wiped(hardware(A, NEVER[why]), disks=(NEVER[why].serial or "",))
    assert [code for code, _ in blocked(plan)] == ["no-matching-disk"]
    assert f"[{why}]" in blocked(plan)[0][1]
    assert erased_disks(plan) == []


def test_a_usb_disk_is_erased_where_it_is_named(wiped) -> None:
    assert erased_disks(wiped(hardware(A, NEVER["on USB, and not named"]), disks=("USB",))) == ["USB"]


def test_a_machine_without_a_disk_that_may_be_erased_is_refused_not_attested(wiped) -> None:
    plan = wiped(hardware(NEVER["removable"]))
    assert [code for code, _ in blocked(plan)] == ["no-matching-disk"]
    assert "STICK 8 GiB usb ssd, blank [removable]" in blocked(plan)[0][1]


@pytest.mark.parametrize("name", ["BBB2", "5000c500bbbb0002", "0x5000C500BBBB0002"])
def test_disks_are_named_by_serial_or_wwn_and_the_others_are_told(name: str, wiped) -> None:
    other = B.model_copy(update={"wwn": "5000c500bbbb0002"})
    plan = wiped(hardware(A, other), disks=(name,))
    assert erased_disks(plan) == ["BBB2"]
    assert [note for note in plan.notes if note.endswith(": not named")] != []


def test_one_name_that_fits_nothing_refuses_all_and_says_what_there_is(wiped) -> None:
    plan = wiped(hardware(A, B), disks=("AAA1", "NOPE"))
    assert [code for code, _ in blocked(plan)] == ["no-matching-disk"]
    assert "{serial NOPE} matches no disk; seen: /dev/sda AAA1" in blocked(plan)[0][1]
    assert erased_disks(plan) == []


# --- how -----------------------------------------------------------------------------------------------


def layout(**wish: Any) -> Host:
    body = {
        "metadata": {"name": "web-01"},
        "rootDevice": {"serial": "AAA1"},
        "disks": [{"device": "root", "wipe": "discard"}, {"device": {"serial": "BBB2"}, "wipe": "overwrite"}],
    }
    return Host.model_validate(body | wish)


def test_each_disk_goes_by_its_spec_and_others_by_metadata(wiped) -> None:
    plan = wiped(hardware(A, B, disk("c", "CCC3")), spec=layout())
    assert methods(plan) == {"AAA1": "discard", "BBB2": "overwrite", "CCC3": "metadata"}
    assert plan.step("wipe:BBB2").minutes == 1.4
    assert (plan.step("wipe:BBB2").restart, plan.step("wipe:CCC3").restart) == ("ask", "observe")


def test_a_method_that_is_given_counts_for_all(wiped) -> None:
    assert set(methods(wiped(hardware(A, B), spec=layout(), method="sanitize")).values()) == {"sanitize"}


def test_the_members_of_a_software_volume_go_by_its_layout(wiped) -> None:
    mirror = layout(
        raid=[{"name": "system", "level": "raid1", "drives": {"count": 2}}],
        rootDevice={"raid": "system"},
        disks=[{"device": "root", "wipe": "overwrite"}],
    )
    assert methods(wiped(hardware(A, B), spec=mirror)) == {"AAA1": "overwrite", "BBB2": "overwrite"}


def test_a_layout_whose_rule_means_no_one_disk_weakens_nothing_in_silence(wiped) -> None:
    spec = layout(disks=[{"device": {"media": "hdd"}, "wipe": "overwrite"}])
    plan = wiped(hardware(A), spec=spec)
    assert methods(plan) == {"AAA1": "metadata"}
    told = "disks[0] of the spec means no one disk, so none is erased by its wipe: overwrite"
    assert told in plan.notes
    assert told not in wiped(hardware(A), spec=spec, method="discard").notes


@pytest.mark.parametrize(
    ("method", "facts", "says"),
    [
        (
            "sanitize",
            {"erases": ("ata-crypto", "discard"), "erase_problem": "its security is frozen"},
            "its security is frozen; wipe: overwrite is for every disk; possible on it: metadata, discard, ",
        ),
        ("sanitize", {"erases": ()}, "the disk knows no way to; wipe: overwrite is for every disk; possible"),
        ("discard", {"erases": ()}, "possible on it: metadata, overwrite"),
        (
            "metadata",
            {"erases": (), "erase_problem": "it is locked by a password: unlock it"},
            "unlock it; nothing else reaches it; no method is possible on it",
        ),
    ],
)
def test_what_a_disk_cannot_do_refuses_the_whole_wipe_with_what_it_can(
    method: str, facts: dict[str, Any], says: str, wiped
) -> None:
    able = A.model_copy(update={"erases": ("discard", "ata-crypto")})
    plan = wiped(hardware(able, disk("b", "BBB2", **facts)), method=method)
    assert [code for code, _ in blocked(plan)] == ["wipe-impossible"]
    assert says in blocked(plan)[0][1]
    assert "/dev/sdb BBB2 8 GiB sata ssd, blank" in blocked(plan)[0][1]
    assert erased_disks(plan) == []


def test_what_only_the_boot_os_can_ask_is_told(wiped) -> None:
    plan = wiped(hardware(A), method="sanitize")
    assert blocked(plan) == []
    assert any("asks it whether it can sanitize" in note for note in plan.notes)


def test_more_than_a_day_of_writing_is_told_beforehand(wiped) -> None:
    large = [disk(letter, f"L{letter}", size_bytes=8 << 40) for letter in "ab"]
    assert any("name fewer" in note for note in wiped(hardware(*large), method="overwrite").notes)
    assert wiped(hardware(A), method="overwrite").notes == ()


# --- controllers, arrays, groups -----------------------------------------------------------------------


VOLUME = disk("a", "600508b1001c", wwn="600508b1001c", transport=None)
DRIVES = (
    PhysicalDrive(address="1I:1:1", serial="D1", size_bytes=8 * GIB, state="online"),
    PhysicalDrive(address="1I:1:2", serial="D2", size_bytes=8 * GIB, state="unconfigured"),
)
CONTROLLER = RaidController(driver="ssacli", pci="0000:03:00.0", drives=DRIVES)
ARRAY = RaidArray(
    name="system", driver="ssacli", uuid="600508b1001c", level="raid0", device="/dev/sda",
    size_bytes=8 * GIB, members=("D1",), controller="0000:03:00.0",
)  # fmt: skip
BEHIND = hardware(VOLUME, controllers=(CONTROLLER,), raids=(ARRAY,))


def test_drives_of_a_controller_are_erased_as_the_volume_that_it_shows(wiped) -> None:
    plan = wiped(BEHIND)
    assert methods(plan) == {"600508b1001c": "metadata"}
    assert any("a RAID volume, erased as one" in note for note in plan.notes)
    assert any(note.startswith("not erased: drive 1I:1:2 D2 of 0000:03:00.0") for note in plan.notes)
    assert not any("1I:1:1" in note for note in plan.notes)


def test_a_volume_cannot_erase_itself(wiped) -> None:
    plan = wiped(BEHIND, method="sanitize")
    assert [code for code, _ in blocked(plan)] == ["wipe-impossible"]
    assert "it is a RAID volume, and only a drive can; possible on it: metadata" in blocked(plan)[0][1]


def test_who_names_a_drive_behind_a_controller_is_told_of_the_volume(wiped) -> None:
    ((code, told),) = blocked(wiped(BEHIND, disks=("D1",)))
    assert code == "no-matching-disk"
    assert "D1 is a drive of controller 0000:03:00.0; name the volume" in told
    assert "600508b1001c" in told


def test_a_controller_without_its_tool_is_told(wiped) -> None:
    silent = RaidController(driver="storcli", pci="0000:04:00.0", problem="tool missing: storcli64")
    notes = wiped(hardware(A, controllers=(silent,))).notes
    assert (
        "not erased: drives of controller 0000:04:00.0 outside of its volumes: tool missing: storcli64"
        in notes
    )


MIRROR = RaidArray(
    name="rf:data", driver="md", uuid="m1", level="raid1", device=None, size_bytes=8 * GIB,
    members=("AAA1", "BBB2"),
)  # fmt: skip
PARTS = tuple(
    one.model_copy(
        update={
            "partitions": (
                PartitionFact(number=1, device=f"{one.device}1", start_bytes=1 << 20, size_bytes=GIB),
            )
        }
    )
    for one in (A, B)
)
GROUP = VolumeGroupFact(
    name="sys", uuid="g1", extent_bytes=4 << 20,
    physical_volumes=tuple(PhysicalVolumeFact(uuid=f"p{n}", device=f"/dev/sd{n}1") for n in "ab"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("seen", "says"),
    [
        (hardware(A, B, raids=(MIRROR,)), "array rf:data also lies on disks that stay: /dev/sdb BBB2"),
        (hardware(*PARTS, volume_groups=(GROUP,)), "volume group sys also lies on disks that stay: /dev/sdb"),
    ],
)
def test_half_of_an_array_or_a_group_is_not_erased(seen: Hardware, says: str, wiped) -> None:
    plan = wiped(seen, disks=("AAA1",))
    assert [code for code, _ in blocked(plan)] == ["foreign-content"]
    assert says in blocked(plan)[0][1]
    assert erased_disks(wiped(seen)) == ["AAA1", "BBB2"]


@pytest.mark.parametrize("kind", ["btrfs", "zfs_member"])
def test_half_of_a_file_system_over_two_disks_is_told(kind: str, wiped) -> None:
    def on(one: Disk, fs_uuid: str) -> Disk:
        (part,) = one.partitions
        return one.model_copy(
            update={"partitions": (part.model_copy(update={"filesystem": kind, "fs_uuid": fs_uuid}),)}
        )

    a, b = PARTS
    plan = wiped(hardware(on(a, "77"), on(b, "77")), disks=("AAA1",))
    (told,) = [note for note in plan.notes if "all of it may be lost" in note]
    assert told.startswith(f"/dev/sda1: {kind} 77 is on /dev/sdb BBB2")
    for other in (
        wiped(hardware(on(a, "77"), on(b, "77"))),
        wiped(hardware(on(a, "77"), on(b, "78")), disks=("AAA1",)),
    ):
        assert not any("all of it may be lost" in note for note in other.notes)


def test_what_was_not_read_of_arrays_is_told_where_a_part_is_erased(make_order) -> None:
    unknown = {"hardware.volume_groups": "lvm is missing"}
    read = Observation(at=NOW, seen_from="boot-os", hardware=hardware(A, B), unknown=unknown)
    told = "volume groups could not be read (lvm is missing): a disk may be a part of one"
    assert told in make_wipe_plan(bare(make_order), read, WipeWish(disks=("AAA1",))).notes
    assert told not in make_wipe_plan(bare(make_order), read, WipeWish()).notes


def test_a_system_that_stays_is_told_and_no_system_any_more(make_order, observe) -> None:
    order = bare(make_order)
    record = {"job": 3, "root_disks": ["AAA1"], "disk_serials": ["AAA1", "BBB2"]}
    order = order.model_copy(update={"host": order.host.model_copy(update={"installed": record})})
    plan = make_wipe_plan(order, observe(hardware(A, B)), WipeWish(disks=("BBB2",)))
    assert "the system installed on AAA1 stays there, and the host counts as not installed" in plan.notes
    assert not any(
        "stays there" in note for note in make_wipe_plan(order, observe(hardware(A)), WipeWish()).notes
    )


# --- whether at all --------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", Phase)
def test_a_wipe_is_planned_where_the_phases_allow_one(phase: Phase, wiped) -> None:
    if allowed(phase, Phase.WIPING):
        assert erased_disks(wiped(hardware(A), phase=phase)) == ["AAA1"]
    else:
        with pytest.raises(SpecError, match=f"a host that is {phase.value} is not wiped"):
            wiped(hardware(A), phase=phase)


def test_the_phases_that_lead_to_a_wipe() -> None:
    assert {one for one in Phase if allowed(one, Phase.WIPING)} == {
        Phase.READY, Phase.ACTIVE, Phase.ADOPTED, Phase.PROVISION_FAILED, Phase.WIPE_FAILED, Phase.WIPING,
    }  # fmt: skip


def test_disks_that_were_not_read_are_not_guessed(make_order) -> None:
    order = bare(make_order, phase=Phase.ACTIVE)
    unread = Observation(at=NOW, seen_from="bmc", unknown={"hardware": "no answer"})
    partly = Observation(
        at=NOW, seen_from="boot-os", hardware=hardware(A), unknown={"hardware.disks": "lsblk is missing"}
    )
    for seen, why in ((None, "nothing was read"), (unread, "no answer"), (partly, "lsblk is missing")):
        with pytest.raises(SpecError, match=why) as raised:
            make_wipe_plan(order, seen, WipeWish())
        assert "rackflow power off web-01" in (raised.value.hint or "")


# --- what it rests on ------------------------------------------------------------------------------------


def seen_as(made: Hardware, seen_from: Any) -> Observation:
    return Observation(at=NOW, seen_from=seen_from, hardware=made)


def test_another_reading_of_the_same_disks_moves_nothing(make_order) -> None:
    """A running system has no controller's tool, and a BMC's media come and go."""
    running = hardware(A.model_copy(update={"found": ("mounted at /",)}), B, raids=(MIRROR,))
    plan = make_wipe_plan(bare(make_order), seen_as(running, "running-os"), WipeWish())
    in_boot_os = hardware(A, B, NEVER["virtual media"], controllers=(CONTROLLER,))
    assert moved(plan, seen_as(in_boot_os, "boot-os")) == []


@pytest.mark.parametrize(
    ("now", "path"),
    [
        (hardware(A), "hardware.disks.BBB2"),
        (hardware(A, B, disk("c", "NEW3")), "hardware.disks.NEW3"),
        (hardware(A, B.model_copy(update={"found": ("ext4",)})), "hardware.disks.BBB2.found"),
        (hardware(A, B.model_copy(update={"size_bytes": 9 * GIB})), "hardware.disks.BBB2.size_bytes"),
        (hardware(A, B).model_copy(update={"serial": "S2"}), "hardware.serial"),
    ],
)
def test_another_disk_or_content_moves_the_plan(now: Hardware, path: str, wiped) -> None:
    plan = wiped(hardware(A, B))
    assert [one.path for one in moved(plan, seen_as(now, "boot-os"))] == [path]
    left = {leaf for step in plan.steps for leaf in step.leaves}
    assert (path in left) == path.endswith(".found")


def test_a_host_that_was_wiped_is_installed_as_a_blank_machine_and_one_that_failed_is_wiped_first(
    make_order, observe
) -> None:
    blank = Hardware.model_validate({"firmware": "bios", "disks": [disk("a", "RF-M1-D0")]})
    nics = [{"name": "eth0", "mac": f"52:54:00:77:01:0{n}"} for n in range(2)]
    seen = observe(Hardware.model_validate(blank.model_dump() | {"nics": nics}))
    plan = make_plan(make_order("db-01", phase=Phase.READY), seen)
    assert (plan.blocked, erased_disks(plan)) == (None, ["RF-M1-D0"])
    with pytest.raises(SpecError, match="while the host is wipe-failed") as raised:
        make_plan(make_order("db-01", phase=Phase.WIPE_FAILED), seen)
    assert raised.value.hint == "rackflow wipe db-01 makes it ready again"


# --- what is asked for -----------------------------------------------------------------------------------


def test_nothing_said_is_every_disk() -> None:
    assert wipe_args({}).wish == WipeWish(method=None, disks="all")
    assert wipe_args({"method": "discard", "disks": [" AAA1 "], "plan": "h"}).wish.disks == ("AAA1",)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"disk": ["AAA1"]}, "disk: Extra inputs"),
        ({"disks": []}, "disks: "),
        ({"disks": [""]}, "disks: "),
        ({"disks": "AAA1"}, "disks: "),
        ({"method": "shred"}, "method: "),
    ],
)
def test_what_is_misread_could_mean_every_disk_and_is_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        wipe_args(given)
