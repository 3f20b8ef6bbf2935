"""The program that changes a deployed system: sent whole, run once, told what to do by a document.

It is never imported by the worker's code but read as text and run by the machine's own python3 (see
`document.py`), so it uses the standard library alone and what Python 3.9 has. In the boot OS it
enters the mounted root first, so that no symbolic link of the image leads out of it.
"""

# pathlib's import costs time under emulation; the answer goes to stdout.
# ruff: noqa: PTH102, PTH103, PTH108, PTH114, PTH115, PTH118, PTH120, PTH123, PTH208, PTH211, T201

from __future__ import annotations

import base64
import contextlib
import json
import os
import stat
import subprocess

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HOMES = "/home"
NUMBERS = range(1000, 60000)
"""What useradd gives to people (login.defs(5), UID_MIN and UID_MAX)."""


def lookup(name: str, database: str) -> int:
    """Give the number of a user or group by the root's own files, without its NSS modules."""
    if str(name).isdigit():
        return int(name)
    with open(database, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            fields = line.rstrip("\n").split(":")
            if fields[0] == name:
                return int(fields[2])
    raise SystemExit(f"no {name} in {database}")


def account(name: str) -> list[str] | None:
    """Give the fields of a passwd line, or None."""
    with open("/etc/passwd", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            fields = line.rstrip("\n").split(":")
            if fields[0] == name:
                return fields
    return None


def folder(path: str) -> None:
    """Make a folder and its parents; one that exists keeps its mode."""
    os.makedirs(path, mode=0o755, exist_ok=True)


def sync_folder(path: str) -> None:
    """Make a rename in this folder last."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(handle)
    os.close(handle)


def place(path: str, data: bytes, mode: int, uid: int, gid: int, at: int | None = None) -> None:
    """Write a file beside its place, sync it, and rename it there: a reader sees old or new, never half."""
    beside = path + ".rackflow-new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(beside, dir_fd=at)
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=at)
    with os.fdopen(handle, "wb") as target:
        target.write(data)
        target.flush()
        os.fchown(target.fileno(), uid, gid)
        os.fchmod(target.fileno(), mode)
        os.fsync(target.fileno())
    os.rename(beside, path, src_dir_fd=at, dst_dir_fd=at)


def run(argv: list[str], data: bytes | None = None) -> None:
    """Run a tool of this system; its words become the error."""
    done = subprocess.run(argv, input=data, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        said = done.stdout.decode("utf-8", "replace").strip()
        raise SystemExit(f"{argv[0]} ended with {done.returncode}: {said}")


def free_databases() -> None:
    """Remove locks that a killed useradd left in a root that nobody runs: their process may be any by now."""
    for name in ("passwd", "shadow", "group", "gshadow"):
        remove("/etc/" + name + ".lock")


def ensure_home(path: str, uid: int, gid: int) -> None:
    """Make a home that useradd did not come to make, or give it to its user: it writes the account first."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    if os.fstat(handle).st_uid == 0:
        os.fchown(handle, uid, gid)
    os.close(handle)


def owner_of(home: str) -> tuple[int, int] | None:
    """Give the numbers of who owns a home, user and group; None where there is none."""
    try:
        found = os.lstat(home)
    except FileNotFoundError:
        return None
    return found.st_uid, found.st_gid


def numbers_in(database: str) -> set[int]:
    """Give the numbers that a database of users or groups has taken."""
    with open(database, encoding="utf-8", errors="replace") as lines:
        rows = [line.split(":") for line in lines]
    return {int(row[2]) for row in rows if len(row) > 2 and row[2].isdigit()}


def comes_home(wish: dict[str, Any]) -> bool:
    """Whether an account has a home from an earlier system."""
    return bool(wish.get("home_stays")) and owner_of(HOMES + "/" + wish["name"]) is not None


def number_for(home: str) -> int:
    """Give the number of who owns a home that stays, if nobody has it here; else one that owns no home there.

    Who takes the number that another one had would own what that one has left.
    """
    taken, own = numbers_in("/etc/passwd"), owner_of(home)
    if own is not None and own[0] not in taken:
        return own[0]
    for one in os.listdir(HOMES):
        taken.update(owner_of(os.path.join(HOMES, one)) or ())
    return next(number for number in NUMBERS if number not in taken)


def group_for(name: str, home: str) -> list[str]:
    """Make the account's group with the number of the home that stays, if nobody has it."""
    own = owner_of(home)
    try:
        lookup(name, "/etc/group")
    except SystemExit:
        if own is None or own[1] in numbers_in("/etc/group"):
            return []
        run(["groupadd", "--gid", str(own[1]), name])
    return ["--gid", name]


def numbers_for(wish: dict[str, Any]) -> list[str]:
    """Give what useradd is told of numbers; nothing where no home stays."""
    home = HOMES + "/" + wish["name"]
    if not wish.get("home_stays"):
        return []
    return ["--uid", str(number_for(home)), *group_for(wish["name"], home)]


def take_home(home: str, uid: int, gid: int) -> None:
    """Give a home that stays, and all that its owner has in it, to the account; the folder itself comes last.

    No link is followed, and what somebody else owns in it stays theirs. Elsewhere than among homes an image's
    account may live in a folder that is another one's.
    """
    own = owner_of(home)
    if own is None or own[0] in (0, uid) or not home.startswith(HOMES + "/"):
        return
    # The group first: that the home has another owner says that something is left to do.
    run(["chown", "-R", "-h", f"--from={own[0]}:{own[1]}", f":{gid}", home])
    run(["chown", "-R", "-h", f"--from={own[0]}", str(uid), home])


def set_aside(name: str, at: int, uid: int) -> None:
    """Rename what an earlier system has left where an account needs a folder of its own."""
    with contextlib.suppress(FileNotFoundError):
        info = os.lstat(name, dir_fd=at)
        if not stat.S_ISDIR(info.st_mode) or info.st_uid not in (0, uid):
            there = set(os.listdir(at))
            free = next(one for n in range(1, 1000) if (one := f"{name}.before-{n}") not in there)
            os.rename(name, free, src_dir_fd=at, dst_dir_fd=at)


def ensure_account(wish: dict[str, Any]) -> None:
    """Make or adjust one account. Its home is its own ground: no link in it is followed by root."""
    name = wish["name"]
    found = account(name)
    if found is None:
        run(["useradd", "--create-home", *numbers_for(wish), "--shell", wish["login_shell"], name])
        run(["chpasswd", "-e"], (name + ":" + (wish.get("password_hash") or "*") + "\n").encode())
    else:
        if found[6] != wish["login_shell"]:
            run(["usermod", "--shell", wish["login_shell"], name])
        if wish.get("password_hash"):
            run(["chpasswd", "-e"], (name + ":" + wish["password_hash"] + "\n").encode())
    if wish.get("keys") is None:
        return
    fields = found or account(name)
    if fields is None:
        raise SystemExit(f"useradd made no account {name}")
    uid, gid, home = int(fields[2]), int(fields[3]), fields[5]
    if wish.get("home_stays"):
        take_home(home, uid, gid)
    ensure_home(home, uid, gid)
    handle = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
    if wish.get("home_stays"):
        set_aside(".ssh", handle, uid)
    with contextlib.suppress(FileExistsError):
        os.mkdir(".ssh", 0o700, dir_fd=handle)
        os.chown(".ssh", uid, gid, dir_fd=handle, follow_symlinks=False)
    inner = os.open(".ssh", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=handle)
    if os.fstat(inner).st_uid not in (0, uid):
        raise SystemExit(f"{home}/.ssh belongs to neither root nor {name}")
    lines = "".join(key + "\n" for key in wish["keys"])
    place("authorized_keys", lines.encode(), 0o600, uid, gid, at=inner)
    os.fsync(inner)


def remove(path: str) -> None:
    """Remove a file or link; absent is as good as removed, a folder is left alone."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            os.unlink(path)


def link(wish: dict[str, str]) -> None:
    """Make a symbolic link, replacing one that points elsewhere."""
    folder(os.path.dirname(wish["path"]))
    if os.path.lexists(wish["path"]):
        if os.path.islink(wish["path"]) and os.readlink(wish["path"]) == wish["target"]:
            return
        remove(wish["path"])
    os.symlink(wish["target"], wish["path"])
    sync_folder(os.path.dirname(wish["path"]))


def carry_out(document: dict[str, Any]) -> None:
    """Do all that the document says: accounts first, because files may belong to them."""
    copies = []
    for wish in document.get("copies", ()):
        with open(wish["source"], "rb") as source:
            copies.append({**wish, "data": base64.b64encode(source.read()).decode()})
    if document["root"] != "/":
        os.chroot(document["root"])
    os.chdir("/")
    os.environ["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin"
    os.umask(0o022)
    if document.get("accounts") and document["root"] != "/":
        free_databases()
    accounts = document.get("accounts", ())
    # First who has a home that stays: no other account may get their number.
    for wish in sorted(accounts, key=lambda one: not comes_home(one)):
        ensure_account(wish)
    for path in document.get("folders", ()):
        folder(path)
    for wish in [*document.get("files", ()), *copies]:
        folder(os.path.dirname(wish["path"]))
        uid, gid = lookup(wish["owner"], "/etc/passwd"), lookup(wish["group"], "/etc/group")
        place(wish["path"], base64.b64decode(wish["data"]), int(wish["mode"], 8), uid, gid)
        sync_folder(os.path.dirname(wish["path"]))
    for wish in document.get("links", ()):
        link(wish)
    for path in document.get("remove", ()):
        remove(path)
    for argv in document.get("run", ()):
        run(argv)
    print(json.dumps({"ok": True}))


if "document" in globals():
    carry_out(globals()["document"])
