"""What a new file system takes over from the root, copied by the real program on loop devices."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from metal.drivers.partitions import Target
from metal.drivers.storage.places import Places
from metal.drivers.storage.stack import Fill, Stack
from tests.metal.drivers.conftest import MIB, Loop

KINDS = Path("/proc/filesystems").read_text(encoding="ascii").split()
PLACES = Places.of(((Target("S1", 64 * MIB), 1), (Target("S2", 64 * MIB), 1)))


def ran(*argv: str) -> None:
    subprocess.run(argv, capture_output=True, check=True)


def filled(devices: dict[str, str], fill: Fill) -> subprocess.CompletedProcess[bytes]:
    """As rf-exec would run it: the placeholders become devices."""
    change = Stack("take over", fill=fill).command(PLACES, root=1)
    argv = [devices.get(word, word) for word in change.argv]
    return subprocess.run([sys.executable, *argv[1:]], input=change.stdin, capture_output=True, check=False)


def mounted(device: str, at: Path, *options: str) -> Path:
    at.mkdir(exist_ok=True)
    ran("mount", *options, device, str(at))
    return at


@pytest.mark.parametrize("kind", ["ext4", "btrfs"])
def test_folders_are_taken_over_with_owners_and_links_and_a_second_time(
    loop: Loop, tmp_path: Path, kind: str
) -> None:
    if kind not in KINDS or shutil.which(f"mkfs.{kind}") is None:
        pytest.skip(f"no {kind}")
    root, device = loop(64, name="root"), loop(160, name="new")
    ran("mkfs.ext4", "-q", root)
    ran(f"mkfs.{kind}", "-q", device)
    at = mounted(root, tmp_path / "at")
    try:
        (at / "all").mkdir()
        (at / "all").chmod(0o1777)
        key = at / "home" / "rackflow" / ".ssh" / "authorized_keys"
        key.parent.mkdir(parents=True)
        key.write_text("ssh-ed25519 AAAA")
        os.chown(key, 1007, 1008)
        (at / "home" / "link").symlink_to("rackflow")
    finally:
        ran("umount", str(at))
    devices = {"{disk0:p1}": device, "{disk1:p1}": root}
    fill = Fill(kind, (("/home", "defaults"), ("/all", "defaults")), "ext4")
    for _ in range(2):
        said = filled(devices, fill)
        assert said.returncode == 0, said.stderr
    at = mounted(device, tmp_path / "at", "-o", "ro")
    try:
        copied = at / "rackflow" / ".ssh" / "authorized_keys"
        assert copied.read_text() == "ssh-ed25519 AAAA"
        assert (copied.stat().st_uid, copied.stat().st_gid) == (1007, 1008)
        assert (at / "link").readlink() == Path("rackflow")
        assert at.stat().st_mode & 0o7777 == 0o1777  # the last folder's own
    finally:
        ran("umount", str(at))


ACL = bytes.fromhex(
    "0200000001000700ffffffff02000500e903000004000500ffffffff10000500ffffffff20000000ffffffff"
)
CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")
"""As setcap and setfacl write them: one user more may read; net_bind_service."""


def test_attributes_and_subvolumes_of_an_images_btrfs_are_taken_over(loop: Loop, tmp_path: Path) -> None:
    """An image may keep a folder in a subvolume: its files are another file system's, as stat says."""
    if "btrfs" not in KINDS or shutil.which("mkfs.btrfs") is None:
        pytest.skip("no btrfs")
    root, device = loop(160, name="root"), loop(32, name="new")
    ran("mkfs.btrfs", "-q", root)
    ran("mkfs.ext4", "-q", device)
    at = mounted(root, tmp_path / "at")
    attributes = {
        "user.note": b"x",
        "security.capability": CAPABILITY,
        "security.selinux": b"system_u:object_r:var_t:s0\0",
        "system.posix_acl_access": ACL,
    }
    try:
        (at / "var").mkdir()
        ran("btrfs", "subvolume", "create", str(at / "var" / "lib"))
        (at / "var" / "lib" / "state").write_text("kept")
        (at / "var" / "tool").write_text("#!")
        for name, value in attributes.items():
            os.setxattr(at / "var" / "tool", name, value)
        os.setxattr(at / "var", "security.selinux", attributes["security.selinux"])
    finally:
        ran("umount", str(at))
    said = filled({"{disk0:p1}": device, "{disk1:p1}": root}, Fill("ext4", (("/var", "defaults"),), "btrfs"))
    assert said.returncode == 0, said.stderr
    at = mounted(device, tmp_path / "at", "-o", "ro")
    try:
        assert (at / "lib" / "state").read_text() == "kept"
        assert {name: os.getxattr(at / "tool", name) for name in attributes} == attributes
        assert os.getxattr(at, "security.selinux") == attributes["security.selinux"]
    finally:
        ran("umount", str(at))


@pytest.mark.parametrize("folder", ["/missing", "/linked"])
def test_what_is_no_folder_of_the_root_is_told_and_nothing_of_the_boot_os_is_copied(
    loop: Loop, tmp_path: Path, folder: str
) -> None:
    root, device = loop(32, name="root"), loop(32, name="new")
    ran("mkfs.ext4", "-q", root)
    ran("mkfs.ext4", "-q", device)
    at = mounted(root, tmp_path / "at")
    try:
        (at / "linked").symlink_to("/etc")
    finally:
        ran("umount", str(at))
    said = filled({"{disk0:p1}": device, "{disk1:p1}": root}, Fill("ext4", ((folder, "defaults"),), "ext4"))
    assert said.returncode == 1
    assert f"{folder} is no folder of the root".encode() in said.stderr
    assert device not in Path("/proc/mounts").read_text(encoding="utf-8")
