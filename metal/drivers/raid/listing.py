"""What a RAID controller's tool tells of it, in one model for every family.

Addresses and ids are the tool's own texts, because commands are written with them; sizes are bytes as
the tool means them. None is "the text does not say", which is not the same as no or none. What is not
the state of a drive or volume (battery, cache, foreign configuration, media errors, a rebuild's lost
redundancy) is a condition.
"""

from dataclasses import dataclass
from typing import Literal

Level = Literal[
    "raid0",
    "raid1",
    "raid1e",
    "raid1adm",
    "raid5",
    "raid6",
    "raid10",
    "raid10adm",
    "raid50",
    "raid60",
    "raid00",
    "jbod",
    "concat",
]
DriveState = Literal[
    "online",
    "unconfigured",
    "spare",
    "rebuilding",
    "copyback",
    "erasing",
    "failed",
    "missing",
    "foreign",
    "jbod",
    "offline",
]
VolumeState = Literal[
    "optimal",
    "degraded",
    "partially-degraded",
    "failed",
    "offline",
    "rebuilding",
    "initialising",
    "migrating",
]
WriteCache = Literal["back", "through"]
ControllerState = Literal["optimal", "needs-attention", "failed"]
Medium = Literal["hdd", "ssd"]
Interface = Literal["sas", "sata", "nvme", "scsi"]
ConditionKind = Literal[
    "battery",
    "cache",
    "foreign-config",
    "preserved-cache",
    "rebuild",
    "patrol",
    "predictive-failure",
    "media-errors",
    "memory-errors",
    "alarm",
    "temperature",
    "advisory",
    "other",
]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the text states about the command: `code` is the number it prints, never a process status.

    `message` is the first error's text; `ok` holds only if every command in the text succeeded.
    """

    ok: bool
    code: int | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """Something to know about a controller that is no state of a drive or volume."""

    kind: ConditionKind
    text: str


@dataclass(frozen=True, slots=True)
class Drive:
    """A physical drive as the controller shows it; `progress` is a percentage.

    `usable_bytes` is what the controller makes of it in a volume, where the text says so (coerced size);
    `groups` are the tool's numbers of the groups of drives that a spare is kept for. `spun_down` is a drive
    whose motor stands still, which many controllers take for no volume.
    """

    address: str | None
    state: DriveState | None = None
    raw_state: str | None = None
    media: Medium | None = None
    interface: Interface | None = None
    size_bytes: int | None = None
    sector_size: int | None = None
    model: str | None = None
    serial: str | None = None
    wwn: str | None = None
    firmware: str | None = None
    volume: str | None = None
    progress: float | None = None
    usable_bytes: int | None = None
    groups: tuple[str, ...] = ()
    spun_down: bool | None = None


@dataclass(frozen=True, slots=True)
class VirtualDrive:
    """A volume of a controller; `stripe_bytes` is the strip on one drive, `members` are addresses.

    `wwn` is the unique id by which the system shows the volume (NAA id, unique identifier), `device` its
    name there; `spares` are addresses of spares that are kept for this volume alone. `groups` are the tool's
    numbers of the groups of drives that it lies on, where commands are addressed by them. `write_cache` is
    what it does now: a controller without a battery writes through, whatever it was told.
    """

    id: str | None
    name: str | None = None
    level: Level | None = None
    state: VolumeState | None = None
    raw_state: str | None = None
    size_bytes: int | None = None
    stripe_bytes: int | None = None
    members: tuple[str, ...] = ()
    progress: float | None = None
    wwn: str | None = None
    device: str | None = None
    spares: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    write_cache: WriteCache | None = None


@dataclass(frozen=True, slots=True)
class Controller:
    """A controller: `index` as the tool addresses it, `pci` as dddd:bb:dd.f."""

    index: str | None
    model: str | None = None
    serial: str | None = None
    firmware: str | None = None
    pci: str | None = None
    state: ControllerState | None = None
    raw_state: str | None = None
    levels: tuple[Level, ...] = ()
    jbod: bool | None = None
    drives: tuple[Drive, ...] = ()
    volumes: tuple[VirtualDrive, ...] = ()
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Listing:
    """All that one text of a RAID tool says; `tool` is the family's name."""

    tool: str
    outcome: Outcome | None = None
    controllers: tuple[Controller, ...] = ()


def wwn_text(text: str | None) -> str | None:
    """A WWN in lower case without `0x`, `naa.` and blanks; None for one that is absent or all zero."""
    plain = "".join((text or "").split()).lower()
    plain = plain.removeprefix("naa.").removeprefix("0x").replace(":", "").replace("-", "")
    digits = all(c in "0123456789abcdef" for c in plain)
    return plain if plain and digits and plain.strip("0") and plain.strip("f") else None


def pci_text(domain: int, bus: int, device: int, function: int) -> str:
    """A PCI address as the kernel writes it."""
    return f"{domain:04x}:{bus:02x}:{device:02x}.{function:x}"
