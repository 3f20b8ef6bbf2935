"""What mounting says on a machine in memory: whether what stands is the file system that is asked for."""

from typing import Any

from metal.protocols import Output

Place = dict[str, Any]


def refusal(held: str | None, subvolumes: tuple[str, ...], document: dict[str, Any]) -> Output | None:
    """Why a file system that stands does not mount, or lacks a subvolume; None where all is well."""
    mounted = document["mounted"]
    if not mounted or document["make"]:
        return None
    if held is not None and held != mounted["filesystem"]:
        return Output(("mount",), 32, "", "wrong fs type, bad option, bad superblock")
    for argv in mounted["run"]:
        if "show" in argv and argv[-1].removeprefix("{mount}/") not in subvolumes:
            return Output(
                tuple(argv), 1, "", f"ERROR: Could not access {argv[-1]}: No such file or directory"
            )
    return None


def changes(document: dict[str, Any]) -> list[list[str]]:
    """What is run on the mounted file system and is more than a look."""
    return [argv for argv in (document["mounted"] or {}).get("run", ()) if "show" not in argv]
