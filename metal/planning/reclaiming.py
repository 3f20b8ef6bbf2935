"""Accounts and files of the spec in file systems that stay, and would hide what the root has of them.

A preserved /home hides the homes that were just made, the management user's among them: nobody could log in,
unless an earlier system left the same keys there for the same numbers. So accounts are made with that file
system mounted, before anything else asks for their numbers, and files of the spec are written into it too.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from metal.planning.choice import Chosen
from metal.planning.encryption import Encryption
from metal.planning.mounting import formatted, mounts_of
from metal.planning.plan import Step
from metal.planning.wish import MANAGEMENT_USER, Wish
from specs.model import Formatted, Host


@dataclass(frozen=True, slots=True)
class _Stays:
    """A file system whose content stays, and where it is."""

    part: Formatted
    place: dict[str, Any]

    @property
    def folders(self) -> list[list[str]]:
        """Where it is mounted, each with what makes the mount this one."""
        own = self.part.mount
        return [
            [mount, "defaults" if mount == own else options[0]] for mount, options in mounts_of(self.part)
        ]


def preserved_accounts(spec: Host, chosen: Chosen, encryption: Encryption, wish: Wish) -> Iterator[Step]:
    """One step for each that stays and holds homes of accounts; goes before all that sets accounts."""
    for one in _staying(chosen, encryption):
        accounts = [user for user in _accounts(wish) if _inside(spec, one.part, _home(str(user["name"])))]
        if accounts:
            told = ", ".join(str(user["name"]) for user in accounts)
            yield _step(f"preserved:{one.part.name}", chosen, one, f"homes of {told}", accounts=accounts)


def preserved_files(spec: Host, chosen: Chosen, encryption: Encryption, wish: Wish) -> Iterator[Step]:
    """One step for each that files of the spec go into; after all accounts, for a file has an owner."""
    for one in _staying(chosen, encryption):
        files = [dict(file) for file in wish.files if _inside(spec, one.part, str(file["path"]))]
        if files:
            told = ", ".join(str(file["path"]) for file in files)
            yield _step(f"preserved-files:{one.part.name}", chosen, one, told, files=files)


def _step(
    step_id: str,
    chosen: Chosen,
    stays: _Stays,
    told: str,
    *,
    accounts: list[dict[str, Any]] | None = None,
    files: list[dict[str, Any]] | None = None,
) -> Step:
    return Step(
        id=step_id,
        kind="preserved",
        field="files" if files else "users",
        new=f"{told} in {stays.part.name}",
        reason="what stays is mounted over what the root has of them",
        minutes=0.1,
        args={
            **stays.place,
            "name": stays.part.name,
            "filesystem": stays.part.filesystem,
            "folders": stays.folders,
            "root": chosen.root.target.args if chosen.root else {},
            "accounts": accounts or [],
            "files": files or [],
        },
    )


def _staying(chosen: Chosen, encryption: Encryption) -> Iterator[_Stays]:
    for cut in chosen.data:
        for one in cut.plan.added:
            seen = None if one.part.lvm else cut.stays(one.part)
            if seen is not None:
                place = {"target": cut.target.args, "number": seen.number}
                yield _Stays(one.part, place | encryption.args(one.part))
    for group in chosen.groups:
        for volume in group.volumes:
            if volume.kept:
                yield _Stays(volume.part, {"group": group.args} | encryption.args(volume.part))


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
