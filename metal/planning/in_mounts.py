"""Accounts and files of the spec that are set in mounted file systems, not in the root below.

A preserved /home hides the homes that were just made, the management user's among them: nobody could log in,
unless an earlier system left the same keys there for the same numbers. So accounts are made with that file
system mounted, before anything else asks for their numbers, and files of the spec are written into it too.
What belongs into an encrypted file system, new or not, never lies on the root, which is not encrypted.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from metal.planning.choice import Chosen
from metal.planning.encryption import Encryption
from metal.planning.file_systems import FileSystem, file_systems, is_apart
from metal.planning.mounting import formatted, mounts_of
from metal.planning.plan import Step
from metal.planning.wish import MANAGEMENT_USER, Wish
from specs.model import Formatted, Host

HIDDEN: Final = "what is mounted there hides what the root has"


def mounted_before(spec: Host, chosen: Chosen, encryption: Encryption, wish: Wish) -> Iterator[Step]:
    """One step for each that stays and is written into, or whose file system no reading shows.

    It must mount as the spec has it before anything is erased: later it would be missing.
    """
    paths = [str(file["path"]) for file in wish.files]
    paths += [_home(str(user["name"])) for user in _accounts(wish)]
    for one in file_systems(chosen):
        if one.stays and (_is_unseen(one) or any(_inside(spec, one.part, path) for path in paths)):
            yield Step(
                id=f"mounts:{one.part.name}",
                kind="in-mount",
                field="disks",
                reason=f"{one.part.name} stays, and must mount as {one.part.filesystem}",
                minutes=0.1,
                args=_args(chosen, one, encryption),
            )


def _is_unseen(one: FileSystem) -> bool:
    """Whether no reading shows the file system, or all that is mounted of it: subvolumes are inside of it."""
    if one.part.filesystem == "swap" or not one.folders:
        return False
    inside = "group" in one.place or one.part.luks is not None
    return inside or any(at != one.part.mount for at, _ in one.folders)


def accounts_in_mounts(spec: Host, chosen: Chosen, encryption: Encryption, wish: Wish) -> Iterator[Step]:
    """One step for each that stays and holds homes of accounts; goes before all that sets accounts."""
    for one in (one for one in file_systems(chosen) if one.stays):
        accounts = [user for user in _accounts(wish) if _inside(spec, one.part, _home(str(user["name"])))]
        if accounts:
            told = ", ".join(str(user["name"]) for user in accounts)
            yield Step(
                id=f"accounts-in:{one.part.name}",
                kind="in-mount",
                field="users",
                new=f"homes of {told} in {one.part.name}",
                reason=HIDDEN,
                minutes=0.1,
                args=_args(chosen, one, encryption) | {"accounts": accounts},
            )


def files_in_mounts(spec: Host, chosen: Chosen, encryption: Encryption, wish: Wish) -> Iterator[Step]:
    """One step for each that stays or is apart, and gets files; after all accounts, which own them."""
    for one in (one for one in file_systems(chosen) if one.stays or is_apart(one.part)):
        files = [dict(file) for file in wish.files if _inside(spec, one.part, str(file["path"]))]
        if files:
            told = ", ".join(str(file["path"]) for file in files)
            yield Step(
                id=f"files-in:{one.part.name}",
                kind="in-mount",
                field="files",
                new=f"{told} in {one.part.name}",
                reason=HIDDEN,
                minutes=0.1,
                args=_args(chosen, one, encryption) | {"files": files},
            )


def _args(chosen: Chosen, one: FileSystem, encryption: Encryption) -> dict[str, Any]:
    return {
        **one.place,
        **encryption.args(one.part),
        "name": one.part.name,
        "filesystem": one.part.filesystem,
        "folders": one.folders,
        "root": chosen.root.target.args if chosen.root else {},
        "accounts": [],
        "files": [],
    }


def of_the_root(spec: Host, wish: Wish) -> Wish:
    """What is written into the root: all but what goes apart from it."""
    apart = [part for part in formatted(spec) if is_apart(part)]
    files = (file for file in wish.files if not any(_inside(spec, one, str(file["path"])) for one in apart))
    return replace(wish, files=tuple(files))


def _accounts(wish: Wish) -> Iterator[dict[str, Any]]:
    for user in wish.users:
        yield {key: user[key] for key in ("name", "shell", "ssh_keys")}
    if wish.management_key:
        key: Mapping[str, Any] = {"shell": "/bin/bash", "ssh_keys": [wish.management_key.strip()]}
        yield {"name": MANAGEMENT_USER, **key}


def _home(name: str) -> str:
    return "/root" if name == "root" else f"/home/{name}"


def _inside(spec: Host, part: Formatted, path: str) -> bool:
    """Whether a path lies in this file system, and in none that is mounted below its mount point."""
    over = [
        (mount, one)
        for one in formatted(spec)
        for mount, _ in mounts_of(one)
        if mount not in ("/", "none") and (path == mount or path.startswith(f"{mount}/"))
    ]
    return bool(over) and max(over, key=lambda held: len(held[0]))[1] is part
