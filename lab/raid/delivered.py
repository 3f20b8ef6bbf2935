"""Controllers as a rack file has them: what hangs on them when the machine is delivered, old volumes too."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

from lab.raid import exposing, model
from lab.raid.families import FAMILIES
from lab.raid.leftovers import KINDS
from lab.raid.model import LEAST, Controller, Drive, Refusal
from lab.strict import Block, each, flag, listed, number, one_of, short, size, text, wwn

MEDIA = ("hdd", "ssd")
INTERFACES = ("sas", "sata", "nvme")
SECTORS = (512, 4096)
PCI_SLOT = 0x10
"""Where the first controller's SCSI adapter is on the machine's PCI bus, so that its tool says the truth."""
MOST_CONTROLLERS = 8
WWN_BASE = 0x5000C500 << 32


@dataclass(frozen=True)
class DriveDefinition:
    """A drive in a slot; `foreign` names the configuration of another controller that lies on it.

    `content` is what an earlier life left on it, which shows where the controller passes it through.
    """

    slot: int
    serial: str
    size_bytes: int
    wwn: int
    enclosure: int | None = None
    model: str = "ST900MM0006"
    medium: str = "hdd"
    interface: str = "sas"
    sector_bytes: int = 512
    foreign: str | None = None
    spare: bool = False
    content: str | None = None


@dataclass(frozen=True)
class VolumeDefinition:
    """An old volume, over drives by their slots."""

    name: str
    level: str
    slots: tuple[int, ...]
    content: str | None = None


@dataclass(frozen=True)
class ControllerDefinition:
    """A controller with its drives and old volumes; `preserved` volumes are gone, their cache is not."""

    family: str
    serial: str
    drives: tuple[DriveDefinition, ...]
    volumes: tuple[VolumeDefinition, ...] = ()
    preserved: tuple[int, ...] = ()


def _drive(block: Block) -> DriveDefinition:
    serial = block.take("serial", _serial)
    return DriveDefinition(
        slot=block.take("slot", number(0, 255)),
        serial=serial,
        size_bytes=block.take("size", size),
        wwn=block.take("wwn", wwn, WWN_BASE | zlib.crc32(str(serial).encode())),
        enclosure=block.maybe("enclosure", number(0, 65535)),
        model=block.take("model", short(16), "ST900MM0006"),
        medium=block.take("medium", one_of(MEDIA), "hdd"),
        interface=block.take("interface", one_of(INTERFACES), "sas"),
        sector_bytes=block.take("sector_bytes", _sector, 512),
        foreign=block.maybe("foreign", short(16)),
        spare=block.take("spare", flag, default=False),
        content=block.maybe("content", one_of(tuple(KINDS))),
    )


def _serial(value: object) -> str:
    """A serial number; it becomes part of device names, so letters and digits only."""
    if len(text(value)) > 20 or not str(value).isalnum() or not str(value).isascii():
        raise ValueError(f"expected at most 20 letters and digits, got {value!r}")
    return str(value)


def _sector(value: object) -> int:
    if value not in SECTORS or isinstance(value, bool):
        raise ValueError(f"expected one of {SECTORS}, got {value!r}")
    return int(str(value))


def _numbers(value: object) -> tuple[int, ...]:
    return tuple(number(0, 255)(one) for one in listed(value))


def _volume(block: Block) -> VolumeDefinition:
    return VolumeDefinition(
        name=block.take("name", short(15)),
        level=block.take("level", one_of(tuple(LEAST))),
        slots=block.take("slots", _numbers),
        content=block.maybe("content", one_of(tuple(KINDS))),
    )


def controller(block: Block) -> ControllerDefinition:
    """One entry of a machine's `controllers`."""
    read = ControllerDefinition(
        family=block.take("family", one_of(tuple(FAMILIES))),
        serial=block.take("serial", _serial),
        drives=each(block, "drives", _drive),
        volumes=each(block, "volumes", _volume, default=[]),
        preserved=block.take("preserved", _numbers, ()),
    )
    if not block.broken:
        try:
            build((read,))
        except Refusal as refusal:
            block.note(f"{block.where('volumes')}: the controller refuses: {refusal}")
    return read


def build(definitions: Sequence[ControllerDefinition]) -> list[Controller]:
    """The controllers as delivered. Raises Refusal where one can't have these volumes."""
    return [_build(one, place) for place, one in enumerate(definitions)]


def _build(definition: ControllerDefinition, place: int) -> Controller:
    family = FAMILIES[definition.family]
    drives = [_as_drive(one, family.enclosure) for one in definition.drives]
    one = family.build(drives, place)
    one.serial, one.pci = definition.serial, f"0000:00:{PCI_SLOT + place:02x}.0"
    for old in definition.volumes:
        members = [drive for slot in old.slots for drive in one.drives if drive.slot == slot]
        if len(members) != len(old.slots):
            raise Refusal("no-drive", f"of slots {list(old.slots)}, {len(members)} drives are there")
        volume, _ = exposing.create(one, old.level, members, name=old.name, spans=_spans(old))
        volume.has_data = old.content is not None
    for spare in (drive for drive in definition.drives if drive.spare):
        kept = model.drive_at(one, _enclosure(spare, family.enclosure), spare.slot)
        exposing.hide(kept)
        model.set_spare(kept)
    one.pinned = list(definition.preserved)
    return one


def _spans(old: VolumeDefinition) -> int:
    return len(old.slots) // 2 if old.level == "raid10" else 1


def _enclosure(drive: DriveDefinition, usual: int | None) -> int | None:
    return usual if drive.enclosure is None else drive.enclosure


def _as_drive(one: DriveDefinition, enclosure: int | None) -> Drive:
    return Drive(
        enclosure=_enclosure(one, enclosure),
        slot=one.slot,
        serial=one.serial,
        wwn=f"{one.wwn:016x}",
        model=one.model,
        size_bytes=one.size_bytes,
        sector_bytes=one.sector_bytes,
        medium=cast('Literal["hdd", "ssd"]', one.medium),
        interface=cast('Literal["sas", "sata", "nvme"]', one.interface),
        foreign=one.foreign,
    )
