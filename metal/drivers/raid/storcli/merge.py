"""Several answers about one controller, put together as one reading.

Entries with the same address or id are merged and the last state wins; an answer that lists all drives
or all volumes takes away those that it does not name. Which volume a drive belongs to is known from the
list below the volume, or from the drive group where the group has one volume.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from metal.drivers.raid.listing import Condition, Controller, Drive
from metal.drivers.raid.session import merged
from metal.drivers.raid.storcli.answers import Answer
from metal.drivers.raid.storcli.reading import Found, found_in, is_decimal
from metal.drivers.raid.storcli.rows import DriveEntry, VolumeEntry

VOLUMES_PER_GROUP: Final = 64
"""Firmware allows 16; a group with more is no group, and its members are not told for each of them."""
_NO_MEMBERS: Final = ("spare", "foreign", "unconfigured", "jbod")
"""Drives in such a state are no members, also where the tool prints a drive group beside them."""
_ROUNDED: Final = 0.05
"""A rounded size, or that of a coerced drive, is nearer than this to the exact one."""


@dataclass(slots=True)
class _Known:
    """What is known of a controller so far; `below` are the addresses listed below each volume."""

    controller: Controller
    listed: bool = False
    drives: dict[str, DriveEntry] = field(default_factory=dict)
    missing: list[DriveEntry] = field(default_factory=list)
    volumes: dict[str, VolumeEntry] = field(default_factory=dict)
    below: dict[str, list[str]] = field(default_factory=dict)
    arrays: dict[str, list[str]] = field(default_factory=dict)
    conditions: dict[Condition, None] = field(default_factory=dict)


def controllers(answers: Sequence[Answer]) -> tuple[Controller, ...]:
    """The controllers of all answers, in the order in which they are first named."""
    decimal = any(map(is_decimal, answers))
    known: dict[str | None, _Known] = {}
    last: str | None = None
    for answer in answers:
        for found in found_in(answer, decimal=decimal):
            index = found.controller.index if found.controller.index is not None else last
            last = index
            _add(known.setdefault(index, _Known(Controller(index))), found)
    return tuple(_controller(one) for one in known.values() if one.listed)


def _add(known: _Known, found: Found) -> None:
    known.listed = known.listed or found.listed
    known.controller = merged(known.controller, found.controller)
    known.conditions |= dict.fromkeys(found.conditions)
    if found.lists_drives:
        named = {entry.drive.address for entry in found.drives}
        known.drives = {address: one for address, one in known.drives.items() if address in named}
        known.missing, known.arrays = [], {}
    if found.lists_volumes:
        ids = {entry.volume.id for entry in found.volumes}
        known.volumes = {vd: one for vd, one in known.volumes.items() if vd in ids}
    if found.arrays:
        known.arrays = found.arrays
    _add_drives(known, found.drives)
    for entry in found.volumes:
        _add_volume(known, entry)


def _add_volume(known: _Known, entry: VolumeEntry) -> None:
    vd = entry.volume.id or ""
    old = known.volumes.get(vd)
    if old is None:
        known.volumes[vd] = entry
        return
    volume = merged(old.volume, entry.volume)
    keeps = old.exact and not entry.exact and _is_near(old.volume.size_bytes, entry.volume.size_bytes)
    if keeps:
        volume = replace(volume, size_bytes=old.volume.size_bytes)
    known.volumes[vd] = VolumeEntry(volume, entry.group or old.group, exact=keeps or entry.exact)


def _add_drives(known: _Known, entries: Iterable[DriveEntry]) -> None:
    below: dict[str, list[str]] = {}
    for entry in entries:
        address = entry.drive.address
        if address is None:
            known.missing.append(entry)
            continue
        if entry.volume is not None:
            below.setdefault(entry.volume, []).append(address)
        old = known.drives.get(address)
        known.drives[address] = _merged_drive(old, entry) if old else entry
    known.below.update(below)


def _merged_drive(old: DriveEntry, new: DriveEntry) -> DriveEntry:
    """The later entry over the earlier one.

    An exact size stays, and a model that the later table cuts off; the group is that of the last row, as
    neither details nor a progress table have one.
    """
    drive = merged(old.drive, new.drive)
    keeps = old.exact and not new.exact and _is_near(old.drive.size_bytes, new.drive.size_bytes)
    if keeps:
        drive = replace(drive, size_bytes=old.drive.size_bytes)
    if old.drive.model and new.drive.model and old.drive.model.startswith(new.drive.model):
        drive = replace(drive, model=old.drive.model)
    is_row = new.drive.state is not None and new.drive.progress is None
    return DriveEntry(drive, new.group if is_row else old.group, exact=keeps or new.exact)


def _is_near(exact: int | None, rounded: int | None) -> bool:
    return bool(exact) and (rounded is None or abs(rounded - (exact or 0)) <= (exact or 0) * _ROUNDED)


def _controller(known: _Known) -> Controller:
    groups: dict[str, list[str]] = {}
    for vd, volume in known.volumes.items():
        if volume.group is not None:
            groups.setdefault(volume.group, []).append(vd)
    grouped: dict[str, list[str]] = {}
    for address, drive in known.drives.items():
        if drive.group is not None and drive.drive.state not in _NO_MEMBERS:
            grouped.setdefault(drive.group, []).append(address)
    members: dict[str, tuple[str, ...]] = {}
    for vd, volume in known.volumes.items():
        many = len(groups.get(volume.group or "", ())) > VOLUMES_PER_GROUP
        listed = known.below.get(vd) or ([] if many else _of_group(volume.group, known, grouped))
        members[vd] = tuple(dict.fromkeys(listed))
    kept = _kept_spares(known, groups)
    below: dict[str, set[str]] = {}
    for vd, addresses in members.items():
        for address in addresses:
            below.setdefault(address, set()).add(vd)
    drives = [_linked(entry, groups, below) for entry in (*known.drives.values(), *known.missing)]
    volumes = [
        replace(
            one.volume,
            members=members[vd],
            spares=kept.get(vd, ()),
            groups=(one.group,) if one.group is not None else (),
        )
        for vd, one in known.volumes.items()
    ]
    return replace(
        known.controller, drives=tuple(drives), volumes=tuple(volumes), conditions=tuple(known.conditions)
    )


def _of_group(group: str | None, known: _Known, grouped: dict[str, list[str]]) -> list[str]:
    """As in TOPOLOGY, which has them in the order of the array; else all drives of the group."""
    return (known.arrays.get(group) or grouped.get(group) or []) if group is not None else []


def _kept_spares(known: _Known, groups: dict[str, list[str]]) -> dict[str, tuple[str, ...]]:
    """Dedicated spares (DHS, with a drive group) of volumes that have their group alone."""
    kept: dict[str, tuple[str, ...]] = {}
    for address, drive in known.drives.items():
        alone = groups.get(drive.group or "", [])
        if drive.drive.state == "spare" and len(alone) == 1:
            kept[alone[0]] = (*kept.get(alone[0], ()), address)
    return kept


def _linked(entry: DriveEntry, groups: dict[str, list[str]], below: dict[str, set[str]]) -> Drive:
    """The drive with its volume: none where its group has several, and none of a spare."""
    own = groups.get(entry.group or "", []) if entry.drive.state not in _NO_MEMBERS else []
    ids = {*below.get(entry.drive.address or "", ()), *own[:2]}
    kept_for = (entry.group,) if entry.group is not None and entry.drive.state == "spare" else ()
    return replace(entry.drive, volume=next(iter(ids)) if len(ids) == 1 else None, groups=kept_for)
