"""What is sent to make and grow file systems, run by the real tools on loop devices."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from metal.drivers import filesystems, partitions
from metal.drivers.filesystems import FilesystemWish
from metal.drivers.partitions import Device, Extent, Target
from metal.drivers.storage import luks
from metal.drivers.storage.luks import LuksWish
from metal.drivers.storage.lvm import LVM, GroupWish, PhysicalVolume, VolumeWish, fs_uuid_of, lvm_id, parse
from metal.drivers.storage.places import Places
from metal.drivers.storage.stack import DEVICES, PLACE, Mounted, Stack
from metal.planning.mounting import HEADER_MARK, marked
from metal.protocols import Command
from pxe_edge.images import contents
from specs.facts import VolumeGroupFact
from tests.metal.drivers.conftest import Loop

MIB = 1 << 20
TARGET = Target(identity="S1", size_bytes=MIB)
UUID = "11111111-2222-4333-8444-555555555555"
KINDS = Path("/proc/filesystems").read_text(encoding="ascii").split()


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


def test_a_btrfs_is_looked_at_whole_whichever_subvolume_is_its_default(loop: Loop, tmp_path: Path) -> None:
    """As snapper sets one: what `mount` shows of it is that subvolume, and the others are not in it."""
    needs("btrfs", "mkfs.btrfs")
    device = loop(200)
    sent(filesystems.make(TARGET, FilesystemWish(1, "srv", "btrfs", "srv", UUID, ("@home", "@snap"))), device)
    shown("mount", device, str(tmp_path))
    try:
        shown("btrfs", "subvolume", "set-default", str(tmp_path / "@snap"))
    finally:
        shown("umount", str(tmp_path))
    look = ("btrfs", "subvolume", "show", "{mount}/@home")
    sent(Stack("look", mounted=Mounted("btrfs", (look,))).command(Places.of(((TARGET, 1),))), device)


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


def lvm(change: Command, devices: dict[str, str]) -> None:
    """As rf-exec would, by an LVM that asks no device mapper: this kernel may have none."""
    argv = [devices.get(word, word) for word in change.argv]
    if argv[0] == "lvm":
        argv[2:2] = ["--driverloaded", "n"]
    said = subprocess.run(argv, capture_output=True, text=True, check=False, close_fds=True)
    assert said.returncode == 0, said.stderr


def groups_of(*devices: str) -> tuple[VolumeGroupFact, ...]:
    only = [word for device in devices for word in ("--devices", device)]
    argv = [*LVM.argv[:2], "--driverloaded", "n", *only, *LVM.argv[2:]]
    return parse(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)


def signature(device: str) -> str | None:
    said = subprocess.run(
        ["blkid", "--probe", "-o", "value", "-s", "UUID", device], capture_output=True, text=True, check=False
    )
    return said.stdout.strip() or None


def test_a_group_is_made_once_over_its_own_disks_and_leaves_a_namesake_alone(loop: Loop) -> None:
    if shutil.which("lvm") is None:
        pytest.skip("no lvm")
    first, second, foreign = loop(64, name="a"), loop(96, name="b"), loop(64, name="c")
    targets = (Target(identity="S1", size_bytes=64 * MIB), Target(identity="S2", size_bytes=96 * MIB))
    places = {"{disk0:p1}": first, "{disk1:p1}": second}
    pvs = tuple(PhysicalVolume(target, 1, lvm_id(f"id {n}")) for n, target in enumerate(targets))
    volumes = (VolumeWish("own", 15, 0), VolumeWish("rest", 23, None))
    wish = GroupWish("sys", 4 * MIB, pvs, volumes)
    other = GroupWish("sys", 4 * MIB, (PhysicalVolume(Target("S3", 64 * MIB), 1, lvm_id("x")),), ())
    for command in other.commands(()):
        lvm(command, {"{disk0:p1}": foreign})
    before = shown("sha256sum", foreign)

    # Ended after each command, a new start goes on where it was.
    done: list[Command] = []
    while wish.differences(groups_of(first, second)):
        seen = tuple(
            replace(pv, fs_uuid=signature(place)) for pv, place in zip(pvs, places.values(), strict=True)
        )
        command = next(replace(wish, physical_volumes=seen).commands(groups_of(first, second)))
        lvm(command, places)
        done.append(command)
    assert [command.argv[1] for command in done] == [
        "pvcreate",
        "pvcreate",
        "vgcreate",
        "lvcreate",
        "lvcreate",
    ]
    (group,) = groups_of(first, second)
    assert [pv.uuid for pv in group.physical_volumes] == [pv.uuid for pv in pvs]
    assert [(one.name, one.size_bytes // (4 * MIB)) for one in group.logical_volumes] == [
        ("own", 15),
        ("rest", 23),
    ]
    assert shown("sha256sum", foreign) == before
    assert wish.found(groups_of(first, second, foreign)) == group

    # The mark of a whole file system is read back, and takes an earlier one's place.
    for uuid in (UUID, UUID.replace("1", "2")):
        (volume, _) = groups_of(first, second)[0].logical_volumes
        argv = [word for part in wish.mark(volume, uuid) for word in ([part] if part != DEVICES else [])]
        lvm(Command((*argv[:3], "--devices", first, "--devices", second, *argv[3:]), says="mark"), {})
        (volume, _) = groups_of(first, second)[0].logical_volumes
        assert fs_uuid_of(volume) == uuid


def test_the_tpm_s_slot_comes_after_the_header_and_before_it_is_opened() -> None:
    made = LuksWish("luks-vault", b"key", UUID, tpm2=True).layer
    assert [argv[:2] for argv in made.before] == [("cryptsetup", "luksFormat"), (luks.RF_TPM2, "enrol")]
    kept = LuksWish("luks-vault", b"key", tpm2=True).layer
    assert kept.before == ((luks.RF_TPM2, "enrol", PLACE),)
    assert LuksWish("luks-vault", b"key").layer.before == ()


def test_a_luks_header_gets_its_id_its_key_and_last_its_mark(loop: Loop) -> None:
    """The kernel here may have no device mapper: what opens a device is left out, all else is real."""
    if shutil.which("cryptsetup") is None:
        pytest.skip("no cryptsetup")
    device = loop(64)
    layer = LuksWish("luks-vault", b"secret\nwith a second line", UUID).layer
    (made,) = layer.before
    argv = [device if word == PLACE else word for word in made]
    fast = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"]
    subprocess.run([*argv[:-1], *fast, argv[-1]], input=layer.key, check=True, capture_output=True)
    shown(*(device if word == PLACE else word for word in luks.mark(UUID)))
    said = shown("blkid", "--probe", "--output", "export", device)
    assert f"UUID={UUID}\n" in said
    assert "TYPE=crypto_LUKS\n" in said
    label = re.search(r"^LABEL=(.*)$", said, re.MULTILINE)
    assert label is not None
    assert marked(label[1], HEADER_MARK) == UUID
    opens = [device if word == PLACE else word for word in layer.open[:-1]]
    for key, status in ((layer.key, 0), (b"secret", 2)):
        done = subprocess.run([*opens, "--test-passphrase"], input=key, capture_output=True, check=False)
        assert done.returncode == status, done.stderr
