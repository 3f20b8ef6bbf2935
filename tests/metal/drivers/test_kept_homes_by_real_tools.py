"""Accounts of a new root whose /home stays: made by the real program, with useradd, on loop devices."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from metal.drivers.guest.document import Account, Document, GuestFile
from metal.drivers.partitions import Target
from metal.drivers.storage.places import Places
from metal.drivers.storage.stack import Fill, Stack
from tests.metal.drivers.conftest import MIB, Loop

PLACES = Places.of(((Target("S1", 64 * MIB), 1), (Target("S2", 64 * MIB), 1)))
TOOLS = ("useradd", "groupadd", "chpasswd", "chown")
PASSWD = "root:x:0:0::/root:/bin/sh\ndebian:x:1000:1000::/home/debian:/bin/sh\n"
ELSEWHERE = "+::::::\n"
"""A line for accounts of NIS (nsswitch.conf(5), "compat"), which has no number."""


def ran(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, check=True, text=True).stdout


def put(path: Path, text: str, owner: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.chown(path, owner, owner)


def little_system(at: Path) -> None:
    """A root with the tools that make accounts, and one account of its own."""
    found = [shutil.which(tool) for tool in TOOLS]
    if None in found:
        pytest.skip("no useradd")
    libraries = {word for tool in found for word in ran("ldd", str(tool)).split() if word.startswith("/")}
    for path in (*found, *libraries):
        there = at / str(path).lstrip("/").rstrip(":")
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(str(path).rstrip(":"), there)
    put(at / "etc/passwd", PASSWD + ELSEWHERE)
    put(at / "etc/group", "root:x:0:\ndebian:x:1000:\n")
    put(at / "etc/shadow", "root:*:1::::::\ndebian:*:1::::::\n")
    put(
        at / "etc/login.defs",
        "UID_MIN 1000\nUID_MAX 60000\nGID_MIN 1000\nGID_MAX 60000\nUSERGROUPS_ENAB yes\n",
    )
    (at / "home").mkdir()


def old_homes(at: Path) -> None:
    """Homes of an earlier system, whose numbers are not those that the new one would give."""
    for name, number in (("ops", 1007), ("rackflow", 1000), ("gone", 1001)):
        put(at / name / "own" / "notes", name, number)
        put(at / name / ".ssh" / "authorized_keys", "ssh-ed25519 AAAAold", number)
        for folder in (at / name, at / name / "own", at / name / ".ssh"):
            os.chown(folder, number, number)
            folder.chmod(0o700)
    put(at / "rackflow" / "of-ops", "kept", 1007)
    put(at / "rackflow" / "shared", "kept", 1000)
    os.chown(at / "rackflow" / "shared", 1000, 50)
    os.chown(at / "ops", 1007, 1003)
    shutil.move(at / "ops" / ".ssh", at / "ops" / "dotfiles")
    (at / "ops" / ".ssh").symlink_to("dotfiles")


@pytest.fixture
def tree(loop: Loop, tmp_path: Path) -> tuple[str, str, Path]:
    root, home, at = loop(64, name="root"), loop(32, name="home"), tmp_path / "at"
    at.mkdir()
    for device, fill in ((root, little_system), (home, old_homes)):
        ran("mkfs.ext4", "-q", device)
        ran("mount", device, str(at))
        try:
            fill(at)
        finally:
            ran("umount", str(at))
    return root, home, at


def test_who_comes_back_finds_a_home_and_a_key_and_nobody_gets_what_another_has_left(tree) -> None:
    root, home, at = tree
    new = ("ssh-ed25519 AAAAnew",)
    accounts = [Account(name, keys=new, home_stays=True) for name in ("newcomer", "ops", "rackflow")]
    note = GuestFile("/home/ops/motd", b"hello", owner="ops", group="ops")
    inside = Document("set", accounts=tuple(accounts), files=(note,)).command("/")
    fill = Fill("ext4", (("/home", "defaults"),), "ext4", inside=inside)
    change = Stack("set", fill=fill).command(PLACES, root=1)
    argv = [{"{disk0:p1}": home, "{disk1:p1}": root}.get(word, word) for word in change.argv]
    for _ in range(2):
        said = subprocess.run(
            [sys.executable, *argv[1:]], input=change.stdin, capture_output=True, check=False
        )
        assert said.returncode == 0, said.stderr
    ran("mount", "-o", "ro", root, str(at))
    try:
        rows = [line.split(":") for line in (at / "etc/passwd").read_text().splitlines()]
        rows = [row for row in rows if row[2]]
        assert list((at / "home").iterdir()) == []
    finally:
        ran("umount", str(at))
    numbers = {row[0]: int(row[2]) for row in rows}
    groups = {row[0]: int(row[3]) for row in rows}
    # 1000 is the image's debian; 1001 has left a home, 1003 is a group of ops's.
    assert numbers == {"root": 0, "debian": 1000, "ops": 1007, "rackflow": 1002, "newcomer": 1004}
    assert groups == {"root": 0, "debian": 1000, "ops": 1003, "rackflow": 1002, "newcomer": 1004}
    ran("mount", "-o", "ro", home, str(at))
    try:
        for name in ("newcomer", "ops", "rackflow"):
            key = at / name / ".ssh" / "authorized_keys"
            assert key.read_text() == "ssh-ed25519 AAAAnew\n"
            assert {path.stat().st_uid for path in (key, key.parent, at / name)} == {numbers[name]}
        told = [(at / "rackflow" / name).stat() for name in ("own/notes", "shared", "own", ".")]
        assert {(one.st_uid, one.st_gid) for one in told} == {(1002, 1002), (1002, 50)}
        assert (at / "ops/.ssh.before-1").readlink() == Path("dotfiles")
        assert (at / "ops/dotfiles/authorized_keys").read_text() == "ssh-ed25519 AAAAold"
        assert (at / "rackflow/of-ops").stat().st_uid == 1007
        assert (at / "gone/.ssh/authorized_keys").read_text() == "ssh-ed25519 AAAAold"
        assert (at / "gone/own/notes").stat().st_uid == 1001
        assert ((at / "ops/motd").read_text(), (at / "ops/motd").stat().st_uid) == ("hello", 1007)
    finally:
        ran("umount", str(at))
