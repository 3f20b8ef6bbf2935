"""Which disk shows a volume whose tool tells neither its id nor its device."""

from dataclasses import replace

from metal.drivers.raid.appearance import disks_of, only_disk_of
from metal.drivers.raid.listing import Controller, Drive, VirtualDrive
from specs.facts import Disk

MIB = 1 << 20
SIZE = 228872 * MIB
CARD = Controller(
    "0", "1b4b-9230", pci="0000:01:00.0", drives=(Drive("0", serial="M1"), Drive("1", serial="M2")),
    volumes=(VirtualDrive("0", "system", "raid1", size_bytes=SIZE, members=("0", "1")),),
)  # fmt: skip
VOLUME = CARD.volumes[0]


def disk(name, serial="e1f2a3", size=SIZE, **more):
    return Disk(device=f"/dev/{name}", serial=serial, size_bytes=size, **{"model": "DELLBOSS VD", **more})


def test_by_model_and_size_where_nothing_says_on_which_controller_a_disk_is():
    plain = disk("sdb", "S1", model="MTFDDAV240TCB")
    other = disk("sdc", "S2", size=SIZE * 2)
    assert only_disk_of(VOLUME, CARD, (CARD,), [plain, other, disk("sda")]) == disk("sda")
    assert only_disk_of(VOLUME, CARD, (CARD,), [plain, other]) is None


def test_by_the_place_on_the_bus_whatever_the_model_says():
    here = disk("sda", model="VIRTUAL-DISK", by_path="pci-0000:01:00.0-ata-1")
    away = disk("sdb", "S1", by_path="pci-0000:00:17.0-ata-1")
    assert only_disk_of(VOLUME, CARD, (CARD,), [away, here]) == here
    assert only_disk_of(VOLUME, CARD, (CARD,), [away]) is None


def test_a_drive_that_the_tool_lists_is_no_volume():
    drive = disk("sda", "M1", by_path="pci-0000:01:00.0-ata-1")
    assert only_disk_of(VOLUME, CARD, (CARD,), [drive]) is None


def test_two_disks_that_fit_are_no_answer_and_both_are_told():
    both = [disk("sda"), disk("sdb", "e9")]
    assert only_disk_of(VOLUME, CARD, (CARD,), both) is None
    assert disks_of(VOLUME, CARD, (CARD,), both) == tuple(both)


def test_a_disk_that_may_show_either_of_two_volumes_shows_neither():
    second = replace(CARD, index="1", pci=None, volumes=(replace(VOLUME, id="1"),))
    assert only_disk_of(VOLUME, CARD, (CARD, second), [disk("sda")]) is None


def test_a_disk_that_shows_a_volume_by_its_id_shows_no_other():
    known = VirtualDrive("5", "data", "raid5", size_bytes=SIZE, wwn="600605b0000000000000000000000001")
    mega = Controller("0", "MegaRAID", pci="0000:5e:00.0", volumes=(known,))
    shown = disk("sda", "600605b0000000000000000000000001")
    assert only_disk_of(known, mega, (CARD, mega), [shown]) == shown
    assert only_disk_of(VOLUME, CARD, (CARD, mega), [shown]) is None


def test_an_id_that_no_disk_has_is_not_replaced_by_a_guess():
    told = replace(VOLUME, wwn="600605b0000000000000000000000009")
    assert only_disk_of(told, replace(CARD, volumes=(told,)), (CARD,), [disk("sda")]) is None
