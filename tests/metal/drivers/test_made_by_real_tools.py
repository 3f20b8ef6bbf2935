"""What is sent to make and grow file systems, run by the real tools on loop devices."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from metal.drivers import filesystems, partitions
from metal.drivers.filesystems import FilesystemWish
from metal.drivers.partitions import Device, Extent, Target
from metal.protocols import Command
from pxe_edge.images import contents

MIB = 1 << 20
TARGET = Target(identity="S1", size_bytes=MIB)
UUID = "11111111-2222-4333-8444-555555555555"
KINDS = Path("/proc/filesystems").read_text(encoding="ascii").split()

Loop = Callable[..., str]


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Loop]:
    """Loop devices over sparse files; needs root."""
    if os.geteuid() != 0:
        pytest.skip("loop devices need root")
    made: list[str] = []

    def make(size_mib: int, *options: str, name: str = "disk") -> str:
        with (tmp_path / name).open("ab") as file:
            file.truncate(size_mib * MIB)
        argv = ["losetup", "--find", "--show", *options, str(tmp_path / name)]
        said = subprocess.run(argv, capture_output=True, text=True, check=False)
        if said.returncode:
            pytest.skip(f"no loop device: {said.stderr.strip()}")
        made.append(said.stdout.strip())
        return made[-1]

    yield make
    for device in made:
        subprocess.run(["losetup", "--detach", device], check=True)


def sent(change: Command, device: str) -> None:
    """As rf-exec would: the placeholder becomes the device."""
    argv = [device if re.fullmatch(r"\{disk0(:p\d+)?\}", word) else word for word in change.argv]
    argv = [sys.executable, *argv[1:]] if argv[0] == "python3" else argv
    said = subprocess.run(argv, input=change.stdin or b"", capture_output=True, check=False)
    assert said.returncode in change.ok_statuses, said.stdout + said.stderr


def shown(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def needs(kind: str, program: str) -> None:
    if shutil.which(program) is None or kind not in KINDS:
        pytest.skip(f"no {program}, or the kernel has no {kind}")


def test_btrfs_gets_its_subvolumes_and_a_second_start_makes_it_again(loop: Loop) -> None:
    """mkfs.btrfs refuses an id that is on any device, on the one that it is to be made on too."""
    needs("btrfs", "mkfs.btrfs")
    device = loop(200)
    wish = FilesystemWish(1, "srv", "btrfs", "srv", UUID, ("@home", "@var.log"))
    for _ in range(2):
        sent(filesystems.make(TARGET, wish), device)
        dump = shown(*filesystems.read_subvolumes(device))
        assert filesystems.subvolume_differences(wish, dump) == ()
    more = FilesystemWish(1, "srv", "btrfs", "srv", UUID, ("@home", "@gone"))
    assert filesystems.subvolume_differences(more, dump) == ("srv lacks subvolume @gone",)
    check = filesystems.check(wish, device)
    assert check is not None
    shown(*check)
    assert f'UUID="{UUID}"' in shown("blkid", "--probe", device)
    with Path(device).open("rb") as file:

        def read(offset: int, length: int) -> bytes:
            file.seek(offset)
            return file.read(length)

        assert contents.filesystem(read, 0) == ("btrfs", "srv", UUID)
    assert device not in Path("/proc/mounts").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("kind", "maker"),
    [("xfs", ("mkfs.xfs", "-q")), ("btrfs", ("mkfs.btrfs", "-q")), ("ext4", ("mkfs.ext4", "-q"))],
)
def test_a_root_of_any_kind_is_grown_to_its_partition(
    loop: Loop, tmp_path: Path, kind: str, maker: tuple[str, ...]
) -> None:
    needs(kind, maker[0])
    device = loop(320)
    shown(*maker, device)
    with (tmp_path / "disk").open("ab") as file:
        file.truncate(640 * MIB)
    shown("losetup", "--set-capacity", device)
    for command in filesystems.grow_root(TARGET, 1, kind):
        sent(command, device)
    at = tmp_path / "at"
    at.mkdir()
    shown("mount", "-t", kind, "-o", "ro", device, str(at))
    try:
        size_bytes = os.statvfs(at).f_blocks * os.statvfs(at).f_frsize
    finally:
        shown("umount", str(at))
    assert size_bytes > 500 * MIB


@pytest.mark.parametrize("sector_bytes", [512, 4096])
def test_partitions_stand_where_they_were_planned_on_any_sector_size(
    loop: Loop, tmp_path: Path, sector_bytes: int
) -> None:
    if shutil.which("sgdisk") is None:
        pytest.skip("no sgdisk")
    device = loop(64, "--sector-size", str(sector_bytes))
    linux = "0fc63daf-8483-4772-8e79-3d69d8477de4"
    laid = (
        Extent(1, MIB, 20 * MIB, linux, UUID, "a", present=False),
        Extent(2, 21 * MIB, 42 * MIB, linux, None, "b", present=False),
    )
    whole = Device(device, 64 * MIB, sector_bytes, ())
    sent(partitions.table_command(TARGET, whole, laid, fresh=True), device)
    with (tmp_path / "disk").open("rb") as file:

        def read(offset: int, length: int) -> bytes:
            file.seek(offset)
            return file.read(length)

        seen_sector_bytes, found = contents.partitions(read)
    assert seen_sector_bytes == sector_bytes
    assert [(one.start_bytes, one.size_bytes, one.name) for one in found] == [
        (MIB, 20 * MIB, "a"),
        (21 * MIB, 42 * MIB, "b"),
    ]
