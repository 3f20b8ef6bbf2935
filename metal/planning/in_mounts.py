"""Accounts and files of the spec that are set in mounted file systems, not in the root below.

A preserved /home hides the homes that were just made, the management user's among them: nobody could log in,
unless an earlier system left the same keys there for the same numbers. So accounts are made with that file
system mounted, before anything else asks for their numbers, and files of the spec are written into it too.
What belongs into an encrypted file system, new or not, never lies on the root, which is not encrypted.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from metal.planning.choice import Chosen
from metal.planning.encryption import Encryption
from metal.planning.filling import NO_OWNERS
from metal.planning.mounting import formatted, mounts_of
from metal.planning.plan import Step
from metal.planning.wish import MANAGEMENT_USER, Wish
from specs.model import Formatted, Host


@dataclass(frozen=True, slots=True)
class _Mounted:
    """A file system, and where it is."""

    part: Formatted
    place: dict[str, Any]

    @property
    def folders(self) -> list[list[str]]:
        """Where it is mounted, each with what makes the mount this one."""
        own = self.part.mount
        return [
            [mount, "defaults" if mount == own else options[0]] for mount, options in mounts_of(self.part)
        ]


def mounted_before(spec: Host, chosen: Chosen, encryption: Encryption, wish: Wish) -> Iterator[Step]:
    """One step for each that stays and will be gone into: it must mount before anything is erased."""
    paths = [str(file["path"]) for file in wish.files]
    paths += [_home(str(user["name"])) for user in _accounts(wish)]
    for one in _staying(chosen, encryption):
        if any(_inside(spec, one.part, path) for path in paths):
            yield Step(
                id=f"mounts:{one.part.name}",
                kind="in-mount",
                field="disks",
                reason=f"{one.part.name} stays, and must mount as {one.part.filesystem}",
                minutes=0.1,
                args=_args(chosen, one),
            )


def accounts_in_mounts(spec: Host, chosen: Chosen, encryption: Encryption, wish: Wish) -> Iterator[Step]:
    """One step for each that stays and holds homes of accounts; goes before all that sets accounts."""
    for one in _staying(chosen, encryption):
        accounts = [user for user in _accounts(wish) if _inside(spec, one.part, _home(str(user["name"])))]
        if accounts:
            told = ", ".join(str(user["name"]) for user in accounts)
            yield _step(f"accounts-in:{one.part.name}", chosen, one, f"homes of {told}", accounts=accounts)


def files_in_mounts(spec: Host, chosen: Chosen, encryption: Encryption, wish: Wish) -> Iterator[Step]:
    """One step for each that stays or is apart, and gets files; after all accounts, which own them."""
    for one in (*_staying(chosen, encryption), *_apart(chosen, encryption)):
        files = [dict(file) for file in wish.files if _inside(spec, one.part, str(file["path"]))]
        if files:
            told = ", ".join(str(file["path"]) for file in files)
            yield _step(f"files-in:{one.part.name}", chosen, one, told, files=files)


def _step(
    step_id: str,
    chosen: Chosen,
    inside: _Mounted,
    told: str,
    *,
    accounts: list[dict[str, Any]] | None = None,
    files: list[dict[str, Any]] | None = None,
) -> Step:
    return Step(
        id=step_id,
        kind="in-mount",
        field="files" if files else "users",
        new=f"{told} in {inside.part.name}",
        reason="what is mounted there hides what the root has",
        minutes=0.1,
        args=_args(chosen, inside) | {"accounts": accounts or [], "files": files or []},
    )


def _args(chosen: Chosen, inside: _Mounted) -> dict[str, Any]:
    return {
        **inside.place,
        "name": inside.part.name,
        "filesystem": inside.part.filesystem,
        "folders": inside.folders,
        "root": chosen.root.target.args if chosen.root else {},
        "accounts": [],
        "files": [],
    }


def _staying(chosen: Chosen, encryption: Encryption) -> Iterator[_Mounted]:
    for cut in chosen.data:
        for one in cut.plan.added:
            seen = None if one.part.lvm else cut.stays(one.part)
            if seen is not None:
                place = {"target": cut.target.args, "number": seen.number}
                yield _Mounted(one.part, place | encryption.args(one.part))
    for group in chosen.groups:
        for volume in group.volumes:
            if volume.kept:
                yield _Mounted(volume.part, {"group": group.args} | encryption.args(volume.part))


def _is_apart(part: Formatted) -> bool:
    """Whether files go into it alone: it is encrypted, or could not take them over from the root."""
    return part.luks is not None or part.filesystem == NO_OWNERS


def _apart(chosen: Chosen, encryption: Encryption) -> Iterator[_Mounted]:
    """What is new, and gets its files apart from the root."""
    for cut in (chosen.root, *chosen.data):
        for one in cut.plan.added if cut else ():
            if cut and _is_apart(one.part) and not one.part.lvm and not cut.stays(one.part):
                seen = cut.kept.get(one.part.name)
                place = {"target": cut.target.args, "number": seen.number if seen else one.number}
                yield _Mounted(one.part, place | encryption.args(one.part))
    for group in chosen.groups:
        for volume in group.volumes:
            if _is_apart(volume.part) and not volume.kept:
                yield _Mounted(volume.part, {"group": group.args} | encryption.args(volume.part))


def of_the_root(spec: Host, wish: Wish) -> Wish:
    """What is written into the root: all but what goes apart from it."""
    apart = [part for part in formatted(spec) if _is_apart(part)]
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
