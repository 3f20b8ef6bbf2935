"""The program that reads a deployed system in one go; read as text, run by the machine's python3.

It prints JSON and changes nothing. A mounted root is entered first, so that an image's links lead
nowhere else. Shadow fields leave the machine inside the SSH session only and are dropped after a
comparison on the worker (see `facts.py`).
"""

# pathlib's import costs time under emulation; the answer goes to stdout.
# ruff: noqa: PTH113, PTH123, PTH207, T201

from __future__ import annotations

import glob
import hashlib
import json
import os
import socket
import stat
import subprocess

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def text(path: str) -> str | None:
    """Give a file's text, None when it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as source:
            return source.read()
    except OSError:
        return None


def table(path: str) -> dict[str, list[str]]:
    """Give a colon-separated table by its first field."""
    rows = [line.split(":") for line in (text(path) or "").splitlines() if ":" in line]
    return {row[0]: row for row in rows}


def sha256(path: str) -> str:
    """Give a file's digest."""
    digest = hashlib.sha256()
    with open(path, "rb") as source:
        while True:
            block = source.read(1 << 20)
            if not block:
                return digest.hexdigest()
            digest.update(block)


def file_facts(path: str, users: dict[str, str], groups: dict[str, str]) -> dict[str, Any] | None:
    """Give a regular file's digest, mode and owner; None when nothing is there."""
    try:
        info = os.lstat(path)
        if not stat.S_ISREG(info.st_mode):
            return {"sha256": None, "mode": None, "owner": None, "group": None}
        return {
            "sha256": sha256(path),
            "mode": f"{stat.S_IMODE(info.st_mode):04o}",
            "owner": users.get(str(info.st_uid), str(info.st_uid)),
            "group": groups.get(str(info.st_gid), str(info.st_gid)),
        }
    except OSError:
        return None


def user_facts(
    name: str, passwd: dict[str, list[str]], shadow: dict[str, list[str]]
) -> dict[str, Any] | None:
    """Give an account's shell, keys, sudo rule and shadow field; None when there is no such account."""
    row = passwd.get(name)
    if row is None or len(row) < 7:
        return None
    keys = text(row[5] + "/.ssh/authorized_keys") or ""
    return {
        "shell": row[6],
        "keys": [key for key in keys.splitlines() if key and not key.startswith("#")],
        "sudo": text("/etc/sudoers.d/rackflow-" + name),
        "shadow": shadow.get(name, ["", ""])[1],
    }


def said(argv: list[str]) -> Any:
    """Give the JSON that a tool prints, None when it fails or is absent."""
    try:
        done = subprocess.run(
            argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=20, check=False
        )
        return json.loads(done.stdout.decode("utf-8", "replace")) if done.returncode == 0 else None
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def bonds() -> dict[str, Any]:
    """Give each bond's mode and members."""
    found = {}
    for folder in glob.glob("/sys/class/net/*/bonding"):
        mode, members = text(folder + "/mode") or "", text(folder + "/slaves") or ""
        found[folder.split("/")[-2]] = {"mode": (mode.split() or [""])[0], "members": members.split()}
    return found


def live_facts() -> dict[str, Any]:
    """Give what only a running system can say."""
    columns = "TARGET,SOURCE,FSTYPE,UUID,SIZE"
    return {
        "kernel": os.uname().release,
        "boot_id": (text("/proc/sys/kernel/random/boot_id") or "").strip(),
        "hostname": socket.gethostname(),
        "addresses": said(["ip", "-j", "addr"]),
        "bonds": bonds(),
        "mounts": said(["findmnt", "-J", "-b", "--real", "-l", "-o", columns]),
    }


def read(question: dict[str, Any]) -> None:
    """Answer the question."""
    if question["root"] != "/":
        os.chroot(question["root"])
    os.chdir("/")
    passwd, shadow, group = table("/etc/passwd"), table("/etc/shadow"), table("/etc/group")
    users = {row[2]: row[0] for row in passwd.values() if len(row) > 2}
    groups = {row[2]: row[0] for row in group.values() if len(row) > 2}
    network = [path for path in glob.glob(question["network_glob"]) if os.path.isfile(path)]
    answer = {
        "hostname": text("/etc/hostname"),
        "os_release": text("/etc/os-release"),
        "install": text("/etc/rackflow/install.json"),
        "users": {name: user_facts(name, passwd, shadow) for name in question["users"]},
        "files": {path: file_facts(path, users, groups) for path in question["files"]},
        "network": {path: sha256(path) for path in network},
        "fstab": text("/etc/fstab"),
        "host_key": text("/etc/ssh/ssh_host_ed25519_key.pub"),
        "texts": {path: text(path) for path in question["texts"]},
        "present": {path: os.path.lexists(path) for path in question["present"]},
        "live": live_facts() if question["root"] == "/" else None,
    }
    print(json.dumps(answer))


if "document" in globals():
    read(globals()["document"])
