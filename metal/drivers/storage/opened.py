"""Devices that a program was killed over before it closed them: found by what is below them, never by name.

The kernel's device mapper keeps an id for each: `CRYPT-LUKS2-HEADER-NAME` of cryptsetup, `LVM-GROUPVOLUME` of
LVM, both without the dashes of the ids themselves.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from metal.protocols import Command

LIST: Final = ("dmsetup", "info", "--columns", "--noheadings", "--separator", " ", "-o", "uuid,name")

NO_UDEV: Final = ("--config", "activation { udev_sync=0 udev_rules=0 }")
"""No udev rule of the boot OS makes device nodes of volumes: LVM must, and wait for nobody (lvm.conf(5))."""


def luks_id(uuid: str) -> str:
    """How the id of a device over a LUKS2 header begins."""
    return f"CRYPT-LUKS2-{uuid.replace('-', '')}-"


def volume_id(group_uuid: str, volume_uuid: str) -> str:
    """How the id of an active logical volume begins."""
    return f"LVM-{group_uuid.replace('-', '')}{volume_uuid.replace('-', '')}"


def group_id(group_uuid: str) -> str:
    """How the ids of all devices of a group begin."""
    return f"LVM-{group_uuid.replace('-', '')}"


_CLEAR: Final = r"""for link in "$1"/*; do to=$(readlink "$link") || continue
case $to in /dev/mapper/*) dmsetup info "${to##*/}" >/dev/null 2>&1 || rm -f "$link" "$to" ;; esac; done
rmdir "$1" 2>/dev/null; :"""


def links_of(group: str) -> tuple[str, ...]:
    """Give what tells whether a group has a folder in /dev."""
    return ("ls", "-d", f"/dev/{group}")


def clear_links(group: str) -> Command:
    """Remove the links of volumes that were closed without LVM, and their folder.

    LVM makes no group of a name that is in /dev ("already exists in filesystem"). A link to a volume that is
    open is left, and so is its folder: then LVM says who is in the way. Links of udev's go with their device.
    """
    argv = ("sh", "-c", _CLEAR, "sh", f"/dev/{group}")
    return Command(argv, says=f"remove what closed volumes of {group} have left in /dev")


LAYERS: Final = (("-pool",), ("-tpool",), ("-tdata", "-tmeta"))
"""How ids of a thin pool's devices end, each kind over those behind it; what has no such end is over all."""


def close_group(text: str, group_uuid: str) -> Iterator[Command]:
    """Close all that is open of a group, volumes first and what a thin pool stands on last."""

    def depth(uuid: str) -> int:
        return next((place for place, ends in enumerate(LAYERS, 1) if uuid.endswith(ends)), 0)

    pairs = [line.split() for line in text.splitlines()]
    own = [pair for pair in pairs if len(pair) == 2 and pair[0].startswith(group_id(group_uuid))]
    yield from close_left(text, [uuid for uuid, _ in sorted(own, key=lambda pair: depth(pair[0]))])


def close_left(text: str, ids: Iterable[str]) -> Iterator[Command]:
    """Close what is open of these, in their order: what lies over another one comes first."""
    pairs = [line.split() for line in text.splitlines()]
    for one in ids:
        for name in (pair[1] for pair in pairs if len(pair) == 2 and pair[0].startswith(one)):
            argv = ("dmsetup", "remove", "--retry", name)
            yield Command(argv, says=f"close {name}, which an earlier start has left open")
