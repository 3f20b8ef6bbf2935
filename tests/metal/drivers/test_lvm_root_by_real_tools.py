"""A root in a logical volume, found by the edge's reader and grown by real lvm and file system tools.

Without a device mapper: where a volume would be opened, a loop device over its extents stands for it.
"""

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from metal.drivers.partitions import Target
from metal.drivers.storage.lvm_root import RootVolume
from metal.drivers.storage.places import Places
from metal.drivers.storage.stack import PLACE
from metal.errors import Refused
from metal.planning.layout import ImageLayout, read_image
from metal.protocols import Command
from pxe_edge.images import contents, lvm
from tests.metal.drivers.conftest import Loop
from tests.metal.drivers.test_made_by_real_tools import groups_of, needs, shown
from tests.metal.drivers.test_made_by_real_tools import lvm as run_lvm
from tests.metal.drivers.test_made_by_real_tools import sent as send

MIB = 1 << 20
FS_UUID = "21111111-2222-4333-8444-555555555555"
LABEL = "root"
START = MIB
PART_MIB = 122
pytestmark = pytest.mark.skipif(
    shutil.which("lvm") is None or shutil.which("sfdisk") is None, reason="no lvm or no sfdisk"
)


def reader(path: Path) -> contents.Reader:
    def read(offset: int, length: int) -> bytes:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(length)

    return read


def sent(argv: tuple[str, ...], device: str) -> None:
    run_lvm(Command(tuple(argv), says="make"), {"{disk0:p1}": device})


def image_of(loop: Loop, path: Path, *, pieces: tuple[str, ...] = ()) -> str:
    """An image of one partition, with a group of a root, a swap and perhaps another piece of the root."""
    device = loop(124)
    rows = f"label: dos\nunit: sectors\n1 : start=2048, size={PART_MIB * 2048}, type=8e\n"
    subprocess.run(["sfdisk", "--quiet", "--no-reread", device], input=rows, text=True, check=True,
                   capture_output=True)  # fmt: skip
    part = loop(124, "--offset", str(START), "--sizelimit", str(PART_MIB * MIB))
    only = ("--yes", "--devices", part)
    off = ("--activate", "n", "--zero", "n", "--wipesignatures", "n")
    sent(("lvm", "pvcreate", *only, part), part)
    sent(("lvm", "vgcreate", *only, "system", part), part)
    sent(("lvm", "lvcreate", *only, *off, "--extents", "2", "--name", "swap", "system"), part)
    sent(("lvm", "lvcreate", *only, *off, "--extents", "20", "--name", "root", "system"), part)
    for name in pieces:
        sent(("lvm", "lvcreate", *only, *off, "--extents", "1", "--name", name, "system"), part)
        sent(("lvm", "lvextend", *only, "--extents", "22", "system/root"), part)
    fs = loop(124, "--offset", str(START + MIB + 8 * MIB), "--sizelimit", str(80 * MIB))
    shown("mkfs.ext4", "-q", "-L", LABEL, "-U", FS_UUID, fs)
    shown("sync", str(path))
    return device


def test_the_reader_finds_group_volume_and_file_system(loop: Loop, tmp_path: Path) -> None:
    image_of(loop, tmp_path / "disk")
    info = contents.describe(reader(tmp_path / "disk"))
    volume = info["root_volume"]
    assert (info["root_partition"], info["root_uuid"], info["root_filesystem"]) == (1, FS_UUID, "ext4")
    assert info["root_start_bytes"] == START + MIB + 8 * MIB
    (group,) = groups_of(loop(124, "--offset", str(START), "--sizelimit", str(PART_MIB * MIB)))
    seen = next(one for one in group.logical_volumes if one.name == "root")
    assert volume == {
        "vg": "system", "vg_uuid": group.uuid, "lv": "root", "lv_uuid": seen.uuid, "filesystem": "ext4",
        "pv_uuid": group.physical_volumes[0].uuid, "extent_bytes": 4 * MIB, "first_extent_bytes": MIB,
        "extents": 20, "other_extents": 2, "problem": None,
    }  # fmt: skip
    assert info["partitions"][0]["filesystem"] == "LVM2_member"


def test_a_root_in_two_pieces_is_read_as_such(loop: Loop, tmp_path: Path) -> None:
    image_of(loop, tmp_path / "disk", pieces=("between",))
    group = lvm.group(reader(tmp_path / "disk"), START)
    assert group is not None
    assert [(one.name, one.extents, one.linear, one.start_bytes is None) for one in group.volumes] == [
        ("swap", 2, True, False),
        ("root", 22, True, True),
        ("between", 1, True, False),
    ]


def test_it_is_grown_from_the_partition_up_and_twice_does_no_harm(loop: Loop, tmp_path: Path) -> None:
    image_of(loop, tmp_path / "disk")
    image = read_image(contents.describe(reader(tmp_path / "disk")), 512)
    assert isinstance(image, ImageLayout)
    with (tmp_path / "disk").open("ab") as file:
        file.truncate(303 * MIB)
    grown = image.grown_volume(301 * MIB)
    assert grown is not None
    wish = RootVolume.of(grown)
    assert wish.extents == 75 - 2
    part = loop(303, "--offset", str(START), "--sizelimit", str(301 * MIB))
    target = Target(identity="S1", size_bytes=303 * MIB)
    assert wish.differences(groups_of(part)) != ()
    for turn in (1, 2):
        commands = list(wish.grow(target, 1, groups_of(part)))
        verbs = [one.argv[1] for one in commands if one.argv[0] == "lvm"]
        assert verbs == ["pvresize", "lvextend"][: 3 - turn]
        for command in commands[:-1]:
            run_lvm(command, {"{disk0:p1}": part})
        assert wish.differences(groups_of(part)) == ()
    seen = lvm.group(reader(tmp_path / "disk"), START)
    assert seen is not None
    root = next(one for one in seen.volumes if one.name == "root")
    assert (root.extents, root.start_bytes) == (73, START + 9 * MIB)
    fs = loop(303, "--offset", str(START + 9 * MIB), "--sizelimit", str(73 * 4 * MIB))
    for argv in wish.growth(target).make:
        words = [fs if word == PLACE else word for word in argv]
        done = subprocess.run(words, capture_output=True, check=False)
        assert done.returncode in (0, 1), done.stderr
    told = dict(line.split(":", 1) for line in shown("dumpe2fs", "-h", fs).splitlines() if ":" in line)
    assert int(told["Block count"]) * int(told["Block size"]) == 73 * 4 * MIB


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
def test_each_file_system_is_grown_in_its_opened_volume(loop: Loop, tmp_path: Path, kind: str) -> None:
    """By the very program that the boot OS runs; that it opens a volume is all that is left out."""
    needs(kind, f"mkfs.{kind}")
    device = loop(320)
    shown(f"mkfs.{kind}", "-q", device)
    with (tmp_path / "disk").open("ab") as file:
        file.truncate(640 * MIB)
    shown("losetup", "--set-capacity", device)
    target = Target(identity="S1", size_bytes=640 * MIB)
    stack = RootVolume("system", "root", "G", "V", "P", kind).growth(target)
    opened = replace(stack.layers[0], device=device, open=("true",), close=("true",))
    send(replace(stack, layers=(opened,)).command(Places.of(((target, 1),))), device)
    at = tmp_path / "at"
    at.mkdir()
    shown("mount", "-t", kind, "-o", "ro", device, str(at))
    try:
        size_bytes = os.statvfs(at).f_blocks * os.statvfs(at).f_frsize
    finally:
        shown("umount", str(at))
    assert size_bytes > 500 * MIB


def test_another_group_in_its_place_is_never_grown(loop: Loop, tmp_path: Path) -> None:
    image_of(loop, tmp_path / "disk")
    told = contents.describe(reader(tmp_path / "disk"))["root_volume"]
    groups = groups_of(loop(124, "--offset", str(START), "--sizelimit", str(PART_MIB * MIB)))
    for change in ({"pv_uuid": "another"}, {"lv_uuid": "another"}, {"vg": "other"}):
        with pytest.raises(Refused, match="is not there"):
            RootVolume.of(told | change).differences(groups)
