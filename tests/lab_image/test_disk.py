"""The image's places: partitions that neither overlap nor leave the disk, and GRUB's two patched sectors."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.image import disk


@given(mebibytes=st.integers(min_value=64, max_value=1 << 22))
def test_partitions_are_aligned_disjoint_and_leave_the_backup_table(mebibytes: int) -> None:
    plan = disk.layout(mebibytes * disk.MIB)
    end = disk.ALIGN_SECTORS
    for part in plan.partitions:
        assert part.first_sector >= end
        assert part.first_sector % disk.ALIGN_SECTORS == part.sectors % disk.ALIGN_SECTORS == 0
        end = part.last_sector + 1
    assert plan.partitions[-1] is plan.root, "the root is last, so that it can be grown"
    assert end <= plan.size_bytes // disk.SECTOR_BYTES - disk.BACKUP_SECTORS


def test_the_shipped_size_gives_the_documented_table() -> None:
    plan = disk.layout(1 << 30)
    assert [(p.number, p.first_sector, p.last_sector) for p in plan.partitions] == [
        (14, 2048, 6143),
        (15, 6144, 71679),
        (1, 71680, 2095103),
    ]


@pytest.mark.parametrize("size_bytes", [(1 << 30) + 512, 35 * disk.MIB, 36 * disk.MIB])
def test_a_size_that_cannot_hold_the_image_is_refused(size_bytes: int) -> None:
    with pytest.raises(ValueError, match=str(size_bytes)):
        disk.layout(size_bytes)


def test_sgdisk_is_told_every_place_and_distinct_guids() -> None:
    argv = disk.sgdisk_argv(disk.layout(1 << 30), "00000000-1111-4222-8333-444444444444", "x.raw")
    assert "--new=1:71680:2095103" in argv
    assert len({arg.split(":")[1] for arg in argv if arg.startswith("--partition-guid")}) == 3
    assert argv[-1] == "x.raw"


def test_the_boot_sector_keeps_the_partition_table() -> None:
    existing = bytes(range(256)) * 2
    sector = disk.boot_sector(bytes(512), existing, core_sector=2048)
    assert sector[disk.BOOT_CODE_BYTES :] == existing[disk.BOOT_CODE_BYTES :]
    assert struct.unpack_from("<Q", sector, 0x5C) == (2048,)
    assert (sector[0x64], sector[0x66:0x68]) == (0xFF, b"\x90\x90")


@pytest.mark.parametrize(("size", "rest"), [(1024, 1), (1025, 2), (60_000, 117)])
def test_the_core_knows_where_its_remainder_lies(size: int, rest: int) -> None:
    core = disk.placed_core(bytes(size), disk.layout(1 << 30).bios_boot)
    assert len(core) == size
    assert struct.unpack_from("<QHH", core, 500) == (2049, rest, 0x820)


def test_a_core_larger_than_its_partition_is_refused() -> None:
    with pytest.raises(ValueError, match="bios-boot"):
        disk.placed_core(bytes(3 * disk.MIB), disk.layout(1 << 30).bios_boot)
