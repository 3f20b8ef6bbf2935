"""Disks: identity, media, and above all what counts as blank."""

import json
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metal.drivers.erasing import parse_erasers
from metal.drivers.storage.disks import DISK_HEADS, build_disks, parse_heads, parse_lsblk
from metal.drivers.storage.identity import normalise_wwn, parse_by_path, parse_disk_sysfs
from metal.errors import Unparsable

GIB = 1 << 30
SYSFS = """\
disk vda
serial RF0001
disk sda
device/wwid naa.5000C500A1B2C3D4
vpd  ZC1A2B3C
holder md127
part sda1 1
part sda2 2
disk sdb
vpd 00000000
disk nvme0n1
wwid eui.0025385B71B2F1AA
device/serial S4EVNX0N\x20\x20
host 0 ahci
host 2 megaraid_sas
"""
BY_PATH = """\
total 0
lrwxrwxrwx 1 root root  9 Nov 25 10:00 pci-0000:00:1f.2-ata-1.0 -> ../../sda
lrwxrwxrwx 1 root root  9 Nov 25 10:00 pci-0000:00:1f.2-ata-1 -> ../../sda
lrwxrwxrwx 1 root root 10 Nov 25 10:00 pci-0000:00:1f.2-ata-1-part1 -> ../../sda1
"""


def row(kname, **more):
    return {"name": kname, "kname": kname, "type": "disk", "size": 8 * GIB, **more}


def disks(*rows, heads=None, sysfs=SYSFS, by_path=BY_PATH):
    nodes = parse_lsblk(json.dumps({"blockdevices": list(rows)}))
    built = build_disks(
        nodes,
        parse_disk_sysfs(sysfs),
        parse_by_path(by_path),
        parse_heads(heads) if heads is not None else None,
    )
    return {disk.device: disk for disk in built}


PARTED = row(
    "sda",
    model="ST4000_NM",
    vendor="ATA     ",
    rota=True,
    tran="sata",
    pttype="gpt",
    children=[
        row("sda2", type="part", start=4096, size=GIB, fstype="linux_raid_member", label="rf:system"),
        row(
            "sda1",
            type="part",
            start=2048,
            size=1 << 20,
            partuuid="p-1",
            partlabel="esp",
            parttype="C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
            fstype="vfat",
            mountpoints=[None, "/boot/efi"],
        ),
    ],
)


def test_a_disk_is_named_by_what_rf_exec_will_read():
    disk = disks(PARTED)["/dev/sda"]
    assert (disk.serial, disk.wwn) == ("ZC1A2B3C", "5000c500a1b2c3d4")
    assert disk.by_path == "/dev/disk/by-path/pci-0000:00:1f.2-ata-1"
    assert (disk.medium, disk.transport, disk.model, disk.vendor) == ("hdd", "sata", "ST4000 NM", "ATA")


def test_partitions_come_in_order_with_bytes():
    first, second = disks(PARTED)["/dev/sda"].partitions
    assert (first.number, first.start_bytes, first.mount) == (1, 1 << 20, "/boot/efi")
    assert (first.name, first.part_uuid, first.filesystem) == ("esp", "p-1", "vfat")
    assert first.type_guid == "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
    assert (second.number, second.start_bytes) == (2, 2 << 20)


def test_what_lies_on_a_disk_is_said_in_words():
    assert disks(PARTED)["/dev/sda"].found == (
        "gpt with 2 partitions",
        "linux_raid_member of rf:system on sda2",
        "held by md127",
        "mounted at /boot/efi",
    )
    member = row("vda", fstype="linux_raid_member", label="rf:system")
    assert disks(member)["/dev/vda"].found == ("linux_raid_member of rf:system",)


@pytest.mark.parametrize(
    ("heads", "found"),
    [
        ("vda zero", ()),
        ("vda data", ("data without a known signature",)),
        ("vdb zero", ("content not read",)),  # the look timed out, or the disk does not read
        (None, ()),
    ],
)
def test_blank_is_a_disk_without_signature_and_without_data(heads, found):
    assert disks(row("vda"), heads=heads)["/dev/vda"].found == found


def test_a_mounted_part_deep_below_is_seen():
    lvm = row("dm-0", type="lvm", mountpoints=["/srv"])
    nested = row("vda", children=[row("vda1", type="part", start=1, children=[lvm])])
    assert "mounted at /srv" in disks(nested)["/dev/vda"].found


def test_what_is_no_disk_is_left_out():
    rows = [row("zram0"), row("loop0", type="loop"), row("sr0", type="rom"), row("sdz", size=0)]
    assert disks(*rows, row("mmcblk0boot0"), row("vda")).keys() == {"/dev/vda"}


def test_media_and_transports_are_not_guessed():
    found = disks(
        row("nvme0n1", rota=False, tran="nvme"),
        row("sdc", rota=False, tran="sata", hctl="0:0:0:0"),
        row("sdd", rota=True, hctl="2:2:0:0", model="PERC H730P"),
        row("sde", rota=True, hctl="2:0:5:0", model="ST1200MM0009"),
        row("vda", rota=True),
        row("sdf", rm=False, model="Virtual_Floppy", vendor="AMI"),
    )
    seen = {name[5:]: (disk.medium, disk.transport) for name, disk in found.items()}
    assert seen == {
        "nvme0n1": ("nvme", "nvme"),
        "sdc": ("ssd", "sata"),
        "sdd": ("hdd", "raid"),
        "sde": ("hdd", None),
        "vda": ("unknown", "virtio"),
        "sdf": ("unknown", None),
    }
    assert found["/dev/sdf"].removable
    assert found["/dev/nvme0n1"].wwn == "eui.0025385b71b2f1aa"
    assert found["/dev/nvme0n1"].serial == "S4EVNX0N"


def test_a_serial_of_zeros_names_no_disk():
    assert disks(row("sdb"))["/dev/sdb"].identity is None


@pytest.mark.parametrize(
    ("text", "wwn"),
    [
        ("0x5000C500", "5000c500"),
        ("naa.5000c500", "5000c500"),
        ("t10.ATA  X", None),
        ("0x0", None),
        (None, None),
    ],
)
def test_one_spelling_for_a_wwn(text, wwn):
    assert normalise_wwn(text) == wwn


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda s: (
            st.lists(s)
            | st.dictionaries(
                st.sampled_from(
                    ["blockdevices", "name", "kname", "type", "size", "children", "mountpoints", "start"]
                ),
                s,
            )
        ),
    )
)
def test_any_json_is_a_forest_or_unparsable(value):
    for text in (json.dumps(value), json.dumps({"blockdevices": value})):
        try:
            nodes = parse_lsblk(text)
        except Unparsable:
            continue
        build_disks(nodes, parse_disk_sysfs(""), {}, {})


def test_old_util_linux_writes_numbers_as_texts():
    old = {
        "name": "sda",
        "type": "disk",
        "size": "1024",
        "rota": "1",
        "ro": "0",
        "rm": "1",
        "mountpoint": "/x",
    }
    (node,) = parse_lsblk(json.dumps({"blockdevices": [old]}))
    assert (node.size_bytes, node.flags["rota"], node.flags["ro"], node.mounts) == (
        1024,
        True,
        False,
        ("/x",),
    )


def test_the_look_at_a_disk_that_does_not_read_is_no_zero(tmp_path):
    """As the shell runs it: a disk of zeros, one of data, and one whose reads fail."""
    for name, content in (("sda", bytes(1 << 16)), ("sdb", bytes(100) + b"x" * (1 << 16)), ("sdc", b"")):
        (tmp_path / "sys" / name).mkdir(parents=True)
        (tmp_path / name).write_bytes(content)
    script = (
        DISK_HEADS.argv[2].replace("/sys/block/", f"{tmp_path}/sys/").replace("/dev/$n", f"{tmp_path}/$n")
    )
    said = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True, timeout=20)
    assert parse_heads(said.stdout) == {"sda": False, "sdb": True}


def test_namespaces_that_share_a_serial_are_known_by_their_wwns():
    sysfs = "".join(
        f"disk nvme0n{n}\nwwid eui.000000000000010{n}\ndevice/serial NVM6\ndevice/transport pcie\n"
        for n in (1, 2)
    )
    seen = disks(row("nvme0n1", **{"log-sec": 4096}), row("nvme0n2"), sysfs=sysfs)
    first, second = seen["/dev/nvme0n1"], seen["/dev/nvme0n2"]
    assert (first.serial, first.identity, first.drive_serial) == (None, "eui.0000000000000101", "NVM6")
    assert (second.identity, first.logical_block_bytes) == ("eui.0000000000000102", 4096)


@pytest.mark.parametrize(
    "wwns", [("eui.01", "eui.01"), ("eui.01", None)], ids=["two paths", "one without a WWN"]
)
def test_devices_that_their_wwns_do_not_tell_apart_keep_the_serial_they_share(wwns):
    lines = [f"wwid {wwn}\n" if wwn else "" for wwn in wwns]
    sysfs = "".join(f"disk nvme{n}n1\n{line}device/serial NVM6\n" for n, line in enumerate(lines))
    seen = disks(row("nvme0n1"), row("nvme1n1"), sysfs=sysfs)
    assert [one.identity for one in seen.values()] == ["NVM6", "NVM6"]


def test_what_lies_behind_a_network_is_told_as_such():
    sysfs = (
        "disk nvme0n1\ndevice/serial NVM6\nfabric tcp\ndisk nvme1n1\ndevice/serial NVM7\nfabric pcie\n"
        "disk sda\nvpd LUN8\nhost 4 ib_srp\n"
    )
    seen = disks(
        row("nvme0n1", tran="nvme"), row("nvme1n1", tran="nvme"), row("sda", hctl="4:0:0:0"), sysfs=sysfs
    )
    assert [one.transport for one in seen.values()] == ["srp", "nvme-tcp", "nvme"]


def test_every_name_of_a_path_is_kept_the_shortest_first():
    seen = disks(PARTED)["/dev/sda"]
    assert seen.by_path == "/dev/disk/by-path/pci-0000:00:1f.2-ata-1"
    assert seen.other_paths == ("/dev/disk/by-path/pci-0000:00:1f.2-ata-1.0",)


@pytest.mark.parametrize(
    "text", ["", "[]", "nonsense", '{"sda": []}', '{"sda": {"can": "all"}}', '{"sda": null}']
)
def test_what_is_no_answer_of_rf_wipe_leaves_it_unknown_how_a_disk_can_be_erased(text):
    assert parse_erasers(text) == {}


def test_how_a_disk_can_be_erased_is_told_bounded():
    told = parse_erasers(
        json.dumps({"sda": {"can": ["x" * 99] * 99, "problem": "y" * 999}, "sdb": {"can": []}})
    )
    assert (len(told["sda"].can), len(told["sda"].can[0]), len(told["sda"].problem or "")) == (16, 40, 300)
    assert (told["sdb"].can, told["sdb"].problem) == ((), None)
    nodes = parse_lsblk(json.dumps({"blockdevices": [row("sda"), row("sdc")]}))
    first, second = build_disks(nodes, parse_disk_sysfs(""), {}, None, told)
    assert (len(first.erases), second.erases) == (16, None)
