"""Devices that a program was killed over before it closed them: found by what is below them, never by name.

The kernel's device mapper keeps an id for each: `CRYPT-LUKS2-HEADER-NAME` of cryptsetup, `LVM-GROUPVOLUME` of
LVM, both without the dashes of the ids themselves.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from metal.protocols import Command

LIST: Final = ("dmsetup", "info", "--columns", "--noheadings", "--separator", " ", "-o", "uuid,name")


def luks_id(uuid: str) -> str:
    """How the id of a device over a LUKS2 header begins."""
    return f"CRYPT-LUKS2-{uuid.replace('-', '')}-"


def volume_id(group_uuid: str, volume_uuid: str) -> str:
    """How the id of an active logical volume begins."""
    return f"LVM-{group_uuid.replace('-', '')}{volume_uuid.replace('-', '')}"


def close_left(text: str, ids: Iterable[str]) -> Iterator[Command]:
    """Close what is open of these, in their order: what lies over another one comes first."""
    pairs = [line.split() for line in text.splitlines()]
    for one in ids:
        for name in (pair[1] for pair in pairs if len(pair) == 2 and pair[0].startswith(one)):
            argv = ("dmsetup", "remove", "--retry", name)
            yield Command(argv, says=f"close {name}, which an earlier start has left open")
