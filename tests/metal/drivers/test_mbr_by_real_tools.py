"""MBR tables as sfdisk writes them, on an empty disk and over an image, read back by the edge's reader."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from metal.drivers import filesystems, mbr
from metal.drivers.mbr import Table
from metal.drivers.partitions import Device, Extent, NewPartition, RootWish, Target, differences, extents
from metal.planning.layout import DiskPlan, ImageLayout, lay_out_data, lay_out_root, read_image
from pxe_edge.images import contents
from specs.facts import PartitionFact
from specs.model import Partition
from tests.metal.drivers.conftest import Loop
from tests.metal.drivers.test_made_by_real_tools import sent, shown

MIB = 1 << 20
TARGET = Target(identity="S1", size_bytes=MIB)
FS_UUID = "31111111-2222-4333-8444-555555555555"
CODE = bytes(range(1, 221)) * 2
pytestmark = pytest.mark.skipif(shutil.which("sfdisk") is None, reason="no sfdisk")


def reader(path: Path) -> contents.Reader:
    def read(offset: int, length: int) -> bytes:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(length)

    return read


def described(path: Path) -> dict[str, Any]:
    return contents.describe(reader(path))


def seen_on(device: str, path: Path, size_mib: int) -> Device:
    """As lsblk would show it, were the kernel told to read the table."""
    parts = tuple(
        PartitionFact(
            device=f"{device}p{one['number']}",
            **{key: one[key] for key in ("number", "start_bytes", "size_bytes", "type_guid", "fs_uuid")},
            filesystem=one["filesystem"],
            part_uuid=one["part_uuid"],
        )
        for one in described(path)["partitions"]
    )
    return Device(device, size_mib * MIB, 512, parts)


def test_an_empty_disk_gets_a_signed_table_with_types(loop: Loop, tmp_path: Path) -> None:
    device = loop(96)
    wished = [
        Partition.model_validate({"name": n, "size": s} | more)
        for n, s, more in (
            ("boot", "16MiB", {"filesystem": "vfat"}),
            ("swap", "16MiB", {"filesystem": "swap"}),
            ("pv", "16MiB", {"lvm": {"vg": "sys"}}),
            ("data", "rest", {"filesystem": "ext4"}),
        )
    ]
    plan = lay_out_data(wished, 96 * MIB, 512, "mbr")
    assert isinstance(plan, DiskPlan)
    added = [
        NewPartition(
            one.number,
            one.part.name,
            one.start_bytes,
            one.size_bytes,
            one.type_guid,
            mbr.part_uuid("a1b2c3d4", one.number),
        )
        for one in plan.added
    ]
    laid = extents(Device(device, 96 * MIB, 512, ()), None, added)
    sent(Table("a1b2c3d4", laid).command(TARGET, 512), device)

    assert differences(seen_on(device, tmp_path / "disk", 96), laid) == ()
    info = described(tmp_path / "disk")
    assert [one["type_guid"] for one in info["partitions"]] == ["0xc", "0x82", "0x8e", "0x83"]
    assert (info["partition_table"], info["active_partition"], info["has_bios_boot"]) == ("mbr", None, False)
    assert "PTUUID=a1b2c3d4\n" in shown("blkid", "--probe", "--output", "export", device)
    other = replace(laid[0], part_uuid="00000001-01")
    assert differences(seen_on(device, tmp_path / "disk", 96), (other,)) == (
        "partition 1 has UUID a1b2c3d4-01, wanted 00000001-01",
    )


def test_sectors_of_4_kib_are_counted_as_such(loop: Loop) -> None:
    device = loop(64, "--sector-size", "4096")
    laid = (Extent(1, MIB, 20 * MIB, "0x83", "a1b2c3d4-01", "a", present=False),)
    sent(Table("a1b2c3d4", laid).command(TARGET, 4096), device)
    assert f"start={MIB // 4096:12}, size={20 * MIB // 4096:12}, type=83" in shown("sfdisk", "--dump", device)


def image_with_boot(path: Path) -> ImageLayout:
    """An image as vendors make it: boot code, an active /boot, and the root behind it."""
    with path.open("wb") as file:
        file.truncate(64 * MIB)
    script = path.with_suffix(".sfdisk")
    rows = "1 : start=2048, size=32768, type=83, bootable\n2 : start=34816, size=96256, type=83\n"
    script.write_text(f"label: dos\nlabel-id: 0x0badcafe\nunit: sectors\n{rows}")
    shown("sh", "-c", 'sfdisk --quiet "$1" < "$2"', "sh", str(path), str(script))
    shown("mkfs.ext4", "-q", "-L", "root", "-U", FS_UUID, "-E", f"offset={17 * MIB}", str(path), "46m")
    with path.open("r+b") as file:
        file.write(CODE)
    info = described(path)
    assert (info["root_partition"], info["root_uuid"], info["has_bios_boot"]) == (2, FS_UUID, True)
    found = read_image(info, 512)
    assert isinstance(found, ImageLayout)
    return found


def test_an_image_is_grown_and_added_to_and_keeps_its_code_signature_and_mark(
    loop: Loop, tmp_path: Path
) -> None:
    image = image_with_boot(tmp_path / "disk")
    device = loop(192)
    wished = [
        Partition.model_validate({"name": "root", "size": "96MiB", "mount": "/"}),
        Partition.model_validate({"name": "data", "size": "rest", "filesystem": "ext4"}),
    ]
    plan = lay_out_root(wished, 192 * MIB, image)
    assert isinstance(plan, DiskPlan)
    seen = seen_on(device, tmp_path / "disk", 192)
    signature = mbr.signature_of(seen)
    assert signature == "0badcafe"
    (data,) = plan.added
    new = NewPartition(
        3, "data", data.start_bytes, data.size_bytes, data.type_guid, mbr.part_uuid(signature, 3)
    )
    laid = extents(seen, RootWish(2, plan.root_size_bytes, FS_UUID), [new])
    command = Table(signature, laid, seen.partitions, plan.active_number, fresh=False).command(TARGET, 512)
    for _ in range(2):  # as after a kill between the table and the root's growth
        sent(command, device)
        grown = seen_on(device, tmp_path / "disk", 192)
        assert differences(grown, laid) == ()
    info = described(tmp_path / "disk")
    assert info["active_partition"] == 1
    assert [(one["number"], one["start_bytes"], one["size_bytes"]) for one in info["partitions"]] == [
        (1, MIB, 16 * MIB),
        (2, 17 * MIB, 96 * MIB),
        (3, 113 * MIB, 78 * MIB),
    ]
    assert reader(tmp_path / "disk")(0, 440) == CODE

    part = loop(192, "--offset", str(17 * MIB), "--sizelimit", str(96 * MIB))
    for grow in filesystems.grow_root(TARGET, 2, "ext4"):
        sent(grow, part)
    blocks = shown("dumpe2fs", "-h", part).split("Block count:")[1].split()[0]
    size = shown("dumpe2fs", "-h", part).split("Block size:")[1].split()[0]
    assert int(blocks) * int(size) == 96 * MIB
