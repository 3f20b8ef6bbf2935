"""Several answers of a Smart Array tool on one controller, laid over each other.

The last answer wins. An answer that lists all volumes or all drives also drops those that it no longer
names; whether it does is told by the command at the prompt, and without one by the shape of the answer.
"""

import re
from dataclasses import replace

from metal.drivers.raid.listing import Controller
from metal.drivers.raid.session import merged
from metal.drivers.raid.ssacli.blocks import Block

_ONE_ARRAY = re.compile(r"\barray [a-z]{1,2}\b(?! all)", re.IGNORECASE)
_ALL_VOLUMES = re.compile(r"\b(?:ld|logicaldrive) all\b", re.IGNORECASE)
_ALL_DRIVES = re.compile(r"\b(?:pd|physicaldrive) all\b", re.IGNORECASE)
_FREE = frozenset({"unconfigured", "jbod", "spare"})


def later(older: Controller, newer: Controller, block: Block) -> Controller:
    """The older entry with what the newer answer says; `block` is what that was read from."""
    config, all_volumes, all_drives = _wholeness(block)
    known_drives = {drive.address: drive for drive in older.drives}
    drives = {} if all_drives else dict(known_drives)
    for drive in newer.drives:
        before = known_drives.get(drive.address)
        after = merged(before, drive) if before else drive
        # A drive that has become free, or that a configuration shows elsewhere, left its volume.
        moved = config or drive.state in _FREE
        after = replace(after, volume=drive.volume) if moved else after
        # A list without roles says of a changed status only that the state is not what it was.
        changed = before and drive.state is None and drive.raw_state not in (None, before.raw_state)
        drives[drive.address] = replace(after, state=None, progress=None) if changed else after
    known_volumes = {volume.id: volume for volume in older.volumes}
    volumes = {} if all_volumes else dict(known_volumes)
    for volume in newer.volumes:
        earlier = known_volumes.get(volume.id)
        volumes[volume.id] = merged(earlier, volume) if earlier else volume
    told_anew = (
        *(("logicaldrive ",) if all_volumes else ()),
        *(("physicaldrive ",) if all_drives else ()),
        *(("array ",) if config else ()),
        *(("cache ", "battery", "capacitor ") if newer.raw_state else ()),
    )
    kept = (one for one in older.conditions if not one.text.startswith(told_anew))
    conditions = tuple(dict.fromkeys((*kept, *newer.conditions)))
    return replace(
        merged(older, newer),
        drives=tuple(drives.values()),
        volumes=tuple(volumes.values()),
        conditions=conditions,
    )


def _wholeness(block: Block) -> tuple[bool, bool, bool]:
    """Whether an answer is a configuration, lists all volumes, lists all drives."""
    typed = block.command
    if typed is None:
        config = block.lists_volumes and block.lists_drives
        return config, block.lists_volumes, block.lists_drives
    config = "config" in typed
    partial = _ONE_ARRAY.search(typed) is not None
    return (
        config,
        config or (_ALL_VOLUMES.search(typed) is not None and not partial),
        config or (_ALL_DRIVES.search(typed) is not None and not partial),
    )
