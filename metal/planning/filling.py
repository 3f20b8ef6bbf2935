"""What new file systems would hide, and so take over: folders that image and job fill before the first boot.

What is preserved takes over nothing: it holds what an earlier system has left there.
"""

from collections.abc import Iterator
from typing import Final

from metal.planning.choice import Chosen
from metal.planning.encryption import Encryption
from metal.planning.file_systems import NO_OWNERS, file_systems
from metal.planning.plan import Step
from specs.model import Formatted, Host

FILLED: Final = ("/etc", "/home", "/opt", "/root", "/tmp", "/usr", "/var")  # noqa: S108 - none is written here
"""Folders that are not empty, or not everybody's like any other, in a system that was just installed."""


def fill_steps(spec: Host, chosen: Chosen, encryption: Encryption) -> Iterator[Step]:
    """One step for each new file system that is mounted over something."""
    root = chosen.root.target.args if chosen.root else {}
    for one in file_systems(chosen):
        part, folders = one.part, [held for held in one.folders if _is_filled(spec, one.part, held[0])]
        if one.stays or part.mount == "/" or part.filesystem == NO_OWNERS or not folders:
            continue
        place = one.place | encryption.args(part)
        told = ", ".join(folder for folder, _ in folders)
        yield Step(
            id=f"fill:{part.name}",
            kind="fill",
            field="disks",
            new=f"{part.name} holds what the root has in {told}",
            reason="what is mounted there would hide it",
            minutes=0.2,
            args={
                **place,
                "name": part.name,
                "filesystem": part.filesystem,
                "folders": folders,
                "root": root,
            },
        )


def _is_filled(spec: Host, part: Formatted, mount: str) -> bool:
    """Whether the root has anything there; files that belong into an encrypted one never lie on it."""
    known = any(mount == one or mount.startswith(f"{one}/") for one in FILLED)
    return known or (part.luks is None and any(file.path.startswith(f"{mount}/") for file in spec.files))
