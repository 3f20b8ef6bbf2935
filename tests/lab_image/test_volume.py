"""The disk with a root on LVM: read by the edge, and by LVM's own tools."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from lab.image import disk, overlay, volume
from lab.image.recipe import IMAGES, Recipe
from pxe_edge.images import contents, lvm
from tests.metal.drivers.conftest import Loop, loop  # noqa: F401 -- a fixture
from tests.metal.drivers.test_made_by_real_tools import groups_of

MIB = 1 << 20
PLAN = volume.layout(64 * MIB)
SIGNATURE = 0x5B7E90A4
UUID = Recipe().root_uuid


def laid(path: Path) -> Path:
    """A disk without loader, its root an empty file system."""
    with path.open("wb") as file:
        file.truncate(PLAN.size_bytes)
        file.write(volume.table(PLAN.partition, SIGNATURE))
        for place, content in volume.metadata(PLAN, "system", 1_764_028_800).items():
            file.seek(place)
            file.write(content)
    place = f"offset={PLAN.root.offset_bytes}"
    argv = ["mke2fs", "-q", "-F", "-t", "ext4", "-L", "root", "-U", UUID, "-E", place, str(path)]
    subprocess.run([*argv, f"{PLAN.root.size_bytes // 1024}k"], check=True)
    return path


def reader(path: Path) -> contents.Reader:
    def read(offset: int, length: int) -> bytes:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(length)

    return read


def test_the_edge_finds_the_root_in_its_volume(tmp_path: Path) -> None:
    read = reader(laid(tmp_path / "disk"))
    told = contents.describe(read)
    group = lvm.group(read, PLAN.partition.offset_bytes)

    assert (told["partition_table"], told["active_partition"], told["root_partition"]) == ("mbr", 1, 1)
    assert (told["root_uuid"], told["root_start_bytes"]) == (UUID, PLAN.root.offset_bytes)
    assert told["root_volume"] | {"vg": "system", "lv": "root", "problem": None} == told["root_volume"]
    assert group is not None
    assert group.pv_uuid == volume.dashed("system", "pv")
    assert [(one.extents, one.linear) for one in group.volumes] == [(PLAN.extents, True)]


def test_lvm_itself_reads_checks_and_extends_it(loop: Loop, tmp_path: Path) -> None:  # noqa: F811
    if shutil.which("lvm") is None:
        pytest.skip("no lvm")
    path = laid(tmp_path / "disk")
    part = loop(128, "--offset", str(PLAN.partition.offset_bytes))

    def ran(verb: str, *words: str) -> None:
        argv = ["lvm", verb, "--driverloaded", "n", "--devices", part, *words]
        said = subprocess.run(argv, capture_output=True, text=True, check=False)
        warned = [line for line in said.stderr.splitlines() if "Activation disabled" not in line]
        assert (said.returncode, warned) == (0, []), said.stderr

    (group,) = groups_of(part)
    (root,) = group.logical_volumes
    assert (group.name, group.uuid) == ("system", volume.dashed("system", "vg"))
    assert (root.name, root.uuid) == ("root", volume.dashed("system", "lv"))
    assert root.size_bytes == PLAN.extents * volume.EXTENT_BYTES == PLAN.root.size_bytes
    ran("vgck", "system")
    ran("pvresize", "--yes", part)
    ran("lvextend", "--yes", "--extents", "+8", "system/root")
    grown = lvm.group(reader(path), PLAN.partition.offset_bytes)
    assert grown is not None
    assert [(one.extents, one.start_bytes) for one in grown.volumes] == [
        (PLAN.extents + 8, PLAN.root.offset_bytes)
    ]


def test_grubs_core_lies_between_the_table_and_the_partition() -> None:
    core = disk.placed_core(bytes(200_000), PLAN.core)
    assert PLAN.core.first_sector == 1
    assert PLAN.core.last_sector + 1 == PLAN.partition.first_sector
    with pytest.raises(ValueError, match="gap"):
        disk.placed_core(bytes(MIB), PLAN.core)
    sector = disk.boot_sector(bytes(512), volume.table(PLAN.partition, SIGNATURE), PLAN.core.first_sector)
    assert sector[440:444] == SIGNATURE.to_bytes(4, "little")
    assert len(core) == 200_000


@pytest.mark.parametrize("size_bytes", [(1 << 30) + 512, 2 * MIB, 5 * MIB])
def test_a_size_that_cannot_hold_the_root_is_refused(size_bytes: int) -> None:
    with pytest.raises(ValueError, match=str(size_bytes)):
        volume.layout(size_bytes)


def test_images_differ_in_their_disk_alone_and_are_made_of_one_tree() -> None:
    first, second = IMAGES.values()
    assert (first.name, first.volume_group) == ("demo-debian-12", None)
    assert first.tree.key(b"") == second.tree.key(b"")
    assert first.key(b"") != second.key(b"")
    assert replace(first, packages=()).tree.key(b"") != second.tree.key(b"")
    assert overlay.files(first.tree) == overlay.files(second.tree)


def test_only_a_disk_that_firmware_numbers_is_hinted_at() -> None:
    first, second = IMAGES.values()
    assert "root hd0,gpt1" in overlay.embedded_grub_cfg(first, prefix="/boot/grub")
    assert "hd0" not in overlay.embedded_grub_cfg(second, prefix="/boot/grub")
