"""mdadm: its words to arrays, a volume to its commands."""

import pytest

from metal.drivers.partitions import BlockView, Target, find_root, read_block
from metal.drivers.raid import DRIVERS, MD
from metal.drivers.raid.md import MD_DETAIL, colon_uuid, device_path
from metal.drivers.raid.volume import Member, Volume, best, find_array, uuid_key
from metal.drivers.storage.disks import LSBLK, SETTLE
from metal.drivers.storage.identity import DISK_SYSFS
from metal.errors import Refused
from metal.protocols import DiskGuard
from metal.testing.fake_shell import FakeShell
from specs.facts import Disk, Hardware, PartitionFact, RaidArray

UUID = "5b0d0c1e-7a51-5f7e-8a4c-0123456789ab"
ROOT = "8d1f2c5e-6a0b-4c7d-9e3f-d3b1a212f001"
DETAIL = """array md127
STATE=clean
ACTION=resync
DEGRADED=0
MD_LEVEL=raid1
MD_DEVICES=2
MD_METADATA=1.0
MD_UUID=5b0d0c1e:7a515f7e:8a4c0123:456789ab
MD_DEVNAME=system
MD_NAME=any:system
MD_DEVICE_dev_sdb_ROLE=1
MD_DEVICE_dev_sdb_DEV=/dev/sdb
MD_DEVICE_dev_sda_ROLE=0
MD_DEVICE_dev_sda_DEV=/dev/sda
MD_DEVICE_dev_sdc_ROLE=spare
"""
NODE = """{"name":"md127","kname":"md127","type":"raid1","size":8588886016,"pttype":"gpt","children":[
{"name":"md127p1","kname":"md127p1","type":"part","size":4294967296,"fstype":"ext4","uuid":"%s","start":71680}]}"""
LSBLK_TEXT = """{"blockdevices":[
{"name":"sda","kname":"sda","type":"disk","size":8589934592,"fstype":"linux_raid_member","children":[%s]},
{"name":"sdb","kname":"sdb","type":"disk","size":8589934592,"fstype":"linux_raid_member","children":[%s]},
{"name":"sdc","kname":"sdc","type":"disk","size":8589934592}]}""" % ((NODE % ROOT,) * 2)
SYSFS_TEXT = """disk md127
part md127p1 1
disk sda
serial RF-M2-D0
holder md127
disk sdb
serial RF-M2-D1
holder md127
disk sdc
serial RF-M2-D2
"""
SCRIPT = {
    SETTLE.argv: "",
    LSBLK.argv: LSBLK_TEXT,
    DISK_SYSFS.argv: SYSFS_TEXT,
    MD_DETAIL.argv: DETAIL,
}
VOLUME = Volume("system", "raid1", UUID, (Member("RF-M2-D0", 8589934592), Member("RF-M2-D1", 8589934592)))


def test_an_array_is_read_with_members_by_serial_in_the_order_of_their_roles():
    (array,) = MD.read(FakeShell(SCRIPT))
    assert (array.name, array.uuid, array.level, array.metadata) == ("system", UUID, "raid1", "1.0")
    assert array.members == ("RF-M2-D0", "RF-M2-D1")
    assert array.spares == ("RF-M2-D2",)
    assert array.state == "resync"
    assert array.size_bytes == 8588886016
    assert [(p.number, p.fs_uuid) for p in array.partitions] == [(1, ROOT)]


def test_a_machine_without_arrays_has_none():
    assert MD.read(FakeShell(SCRIPT | {MD_DETAIL.argv: ""})) == ()


def test_uuids_are_compared_without_their_separators():
    assert colon_uuid(UUID) == "5b0d0c1e:7a515f7e:8a4c0123:456789ab"
    assert uuid_key(colon_uuid(UUID)) == uuid_key(UUID)
    array = RaidArray(
        name="x", driver="md", uuid=colon_uuid(UUID), level="raid1", device=None, size_bytes=1, members=()
    )
    assert find_array((array,), UUID) is array


def test_create_names_no_device_and_guards_every_member():
    command, slow = MD.create(VOLUME)
    assert slow.argv[-1] == "/dev/md/system"
    assert command.argv[:4] == ("mdadm", "--create", "/dev/md/system", "--run")
    assert "--uuid=5b0d0c1e:7a515f7e:8a4c0123:456789ab" in command.argv
    assert "--metadata=1.0" in command.argv
    assert command.argv[-2:] == ("{disk0}", "{disk1}")
    assert command.disks == (DiskGuard("RF-M2-D0", 8589934592), DiskGuard("RF-M2-D1", 8589934592))
    assert not any(word.startswith("/dev/sd") for word in command.argv)


def test_clean_is_assumed_only_of_members_that_were_zeroed():
    assert "--assume-clean" not in MD.create(VOLUME)[0].argv
    zeroed = Volume(VOLUME.name, VOLUME.level, VOLUME.uuid, VOLUME.members, zeroed=True)
    (create,) = MD.create(zeroed)
    assert "--assume-clean" in create.argv
    assert [command.disks[0].identity for command in MD.zero(VOLUME)] == ["RF-M2-D0", "RF-M2-D1"]


def test_delete_stops_one_array_by_id_and_only_if_it_is_assembled():
    (array,) = MD.read(FakeShell(SCRIPT))
    stop, *clear = MD.delete(VOLUME, array)
    assert stop.argv == ("mdadm", "--stop", device_path(UUID))
    assert [c.argv for c in clear] == [("mdadm", "--zero-superblock", "{disk0}")] * 2
    assert [c.argv[1] for c in MD.delete(VOLUME, None)] == ["--zero-superblock"] * 2


def test_the_best_driver_is_the_one_that_claims_the_machine():
    disk = Disk(device="/dev/sda", size_bytes=1)
    assert best(DRIVERS, Hardware(disks=(disk,))) is MD
    with pytest.raises(Refused, match="no RAID driver"):
        best(DRIVERS, Hardware())


def test_a_root_that_shows_on_members_too_is_the_arrays():
    view = read_block(FakeShell(SCRIPT))
    part = PartitionFact(number=1, device="/dev/sda1", start_bytes=1, size_bytes=1, fs_uuid=ROOT)
    twins = tuple(disk.model_copy(update={"partitions": (part,)}) for disk in view.disks[:2])
    device, root = find_root(BlockView("h", twins, view.arrays), ROOT)
    assert (device.path, root.device) == (device_path(UUID), "/dev/md127p1")
    for left in (twins, twins[:1]):  # one side of a mirror that nobody assembled is no root to write to
        with pytest.raises(Refused, match=r"0 file systems .* not assembled: /dev/sda"):
            find_root(BlockView("h", left, ()), ROOT)


def test_an_array_has_the_blocks_of_its_members_and_a_target_the_size_that_was_planned():
    view = read_block(FakeShell(SCRIPT, host="web-01"))
    large = tuple(disk.model_copy(update={"logical_block_bytes": 4096}) for disk in view.disks)
    assert BlockView("h", large, view.arrays).on(Target(raid_uuid=UUID)).block_bytes == 4096
    with pytest.raises(Refused, match="disk RF-M2-D2 has 8589934592 bytes, the plan is for 1"):
        view.on(Target(identity="RF-M2-D2", size_bytes=1))


def test_a_target_is_found_by_serial_and_a_missing_one_is_refused_with_what_was_seen():
    view = read_block(FakeShell(SCRIPT, host="web-01"))
    assert view.on(Target(identity="RF-M2-D2")).path == "/dev/sdc"
    with pytest.raises(Refused, match=r"0 disks are RF-X; seen: RF-M2-D0, RF-M2-D1, RF-M2-D2") as caught:
        view.on(Target(identity="RF-X"))
    assert (caught.value.reason, caught.value.host) == ("no-matching-disk", "web-01")
    with pytest.raises(Refused, match="assembled"):
        view.on(Target(raid_uuid="00" * 16, raid_name="data"))


@pytest.mark.parametrize(("level", "anew"), [("raid1", True), ("raid0", False), ("raid5", False)])
def test_a_mirror_that_is_assembled_again_is_believed_from_its_first_member_alone(level, anew):
    """A machine may have started from one member, past the array: both say that they are synchronous."""
    assemble = MD.assemble(Volume("system", level, UUID, VOLUME.members))[0]
    assert ("--update=resync" in assemble.argv) is anew
    assert assemble.argv[-2:] == ("{disk0}", "{disk1}")
    assert "--uuid=5b0d0c1e:7a515f7e:8a4c0123:456789ab" in assemble.argv


def test_a_member_that_failed_is_no_spare_and_a_rebuild_is_told_with_its_progress():
    worn = DETAIL.replace("ACTION=resync\nDEGRADED=0", "ACTION=recover\nDEGRADED=1\nSYNCED=1024 / 4096")
    worn = worn.replace(
        "MD_LEVEL", "MEMBER_sda=in_sync\nMEMBER_sdb=spare\nMEMBER_sdc=faulty,write_error\nMD_LEVEL"
    )
    (array,) = MD.read(FakeShell(SCRIPT | {MD_DETAIL.argv: worn}))
    assert (array.failed, array.spares) == (("RF-M2-D2",), ())
    assert (array.state, array.progress) == ("rebuilding", 25.0)
    halted = worn.replace("ACTION=recover", "ACTION=idle").replace("1024 / 4096", "none")
    (array,) = MD.read(FakeShell(SCRIPT | {MD_DETAIL.argv: halted}))
    assert (array.state, array.progress) == ("degraded", None)
