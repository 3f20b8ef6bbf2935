"""Several answers about one controller, put together as one reading.

Entries with the same address or id are merged and the last state wins; an answer that lists all drives
or all volumes takes away those that it does not name. Which volume a drive belongs to is known from the
list below the volume, or from the drive group where the group has one volume.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TypeVar

from metal.drivers.raid.listing import Controller, Drive, VirtualDrive
from metal.drivers.raid.storcli.answers import Answer
from metal.drivers.raid.storcli.reading import Found, found_in, is_decimal
from metal.drivers.raid.storcli.rows import DriveEntry, VolumeEntry

Part = TypeVar("Part", Controller, Drive, VirtualDrive)

_SPARES = ("spare", "foreign", "unconfigured", "jbod")
"""Drives in such a state are no members, also where the tool prints a drive group beside them."""


@dataclass(slots=True)
class _Known:
    """What is known of a controller so far."""

    controller: Controller
    listed: bool = False
    drives: dict[str, DriveEntry] = field(default_factory=dict)
    missing: list[DriveEntry] = field(default_factory=list)
    volumes: dict[str, VolumeEntry] = field(default_factory=dict)
    below: dict[str, list[str]] = field(default_factory=dict)
    arrays: dict[str, list[str]] = field(default_factory=dict)


def controllers(answers: Sequence[Answer]) -> tuple[Controller, ...]:
    """The controllers of all answers, in the order in which they are first named."""
    decimal = any(map(is_decimal, answers))
    known: dict[str | None, _Known] = {}
    last: str | None = None
    for answer in answers:
        for found in found_in(answer, decimal=decimal):
            index = found.controller.index if found.controller.index is not None else last
            last = index
            _add(known.setdefault(index, _Known(replace(found.controller, index=index))), found)
    return tuple(_controller(one) for one in known.values() if one.listed)


def _filled(old: Part, new: Part) -> Part:
    """The new value's fields, the old one's where the new one says nothing."""
    changes = {
        one.name: value
        for one in fields(new)
        if (value := getattr(new, one.name)) is not None and value != ()
    }
    return replace(old, **changes)


def _add(known: _Known, found: Found) -> None:
    known.listed = known.listed or found.listed
    conditions = tuple(dict.fromkeys((*known.controller.conditions, *found.conditions)))
    known.controller = replace(_filled(known.controller, found.controller), conditions=conditions)
    if found.lists_drives:
        named = {entry.drive.address for entry in found.drives}
        known.drives = {address: one for address, one in known.drives.items() if address in named}
        known.missing, known.arrays = [], {}
    if found.lists_volumes:
        ids = {entry.volume.id for entry in found.volumes}
        known.volumes = {vd: one for vd, one in known.volumes.items() if vd in ids}
    if found.arrays:
        known.arrays = dict(found.arrays)
    _add_drives(known, found.drives)
    for entry in found.volumes:
        vd = entry.volume.id or ""
        old = known.volumes.get(vd)
        merged = _filled(old.volume, entry.volume) if old else entry.volume
        if entry.volume.state is not None:
            merged = replace(merged, progress=entry.volume.progress)
        known.volumes[vd] = VolumeEntry(merged, entry.group or (old.group if old else None))


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
        if old is None:
            known.drives[address] = entry
            continue
        drive = _filled(old.drive, entry.drive)
        if old.drive.model and entry.drive.model and old.drive.model.startswith(entry.drive.model):
            drive = replace(drive, model=old.drive.model)
        if entry.drive.state is not None:
            drive = replace(drive, progress=entry.drive.progress)
        stated = entry.drive.state is not None and entry.drive.progress is None
        known.drives[address] = DriveEntry(drive, entry.group if stated else old.group)
    known.below.update(below)


def _controller(known: _Known) -> Controller:
    groups: dict[str, list[str]] = {}
    for vd, entry in known.volumes.items():
        if entry.group is not None:
            groups.setdefault(entry.group, []).append(vd)
    members = {vd: _members(vd, entry, known) for vd, entry in known.volumes.items()}
    below: dict[str, set[str]] = {}
    for vd, addresses in members.items():
        for address in addresses:
            below.setdefault(address, set()).add(vd)
    drives = [_linked(entry, groups, below) for entry in (*known.drives.values(), *known.missing)]
    volumes = [replace(one.volume, members=members[vd]) for vd, one in known.volumes.items()]
    return replace(known.controller, drives=tuple(drives), volumes=tuple(volumes))


def _members(vd: str, entry: VolumeEntry, known: _Known) -> tuple[str, ...]:
    """As listed below the volume, else as in TOPOLOGY, else all drives of the group."""
    listed = known.below.get(vd) or (known.arrays.get(entry.group) if entry.group else None)
    if listed:
        return tuple(dict.fromkeys(listed))
    return tuple(
        address
        for address, one in known.drives.items()
        if entry.group is not None and one.group == entry.group and one.drive.state not in _SPARES
    )


def _linked(entry: DriveEntry, groups: dict[str, list[str]], below: dict[str, set[str]]) -> Drive:
    """The drive with its volume: none where its group has several."""
    ids = below.get(entry.drive.address or "", set()) | set(groups.get(entry.group or "", ()))
    return replace(entry.drive, volume=next(iter(ids)) if len(ids) == 1 else None)
