"""The words of Smart Array tools and what they mean in the listing.

Sources: outputs of hpacucli 7 to ssacli 6; the guide "HPE Smart Storage Administrator" for the names of
levels and drive types; the status values of logical and physical drives in HP's CPQIDA-MIB, which the
tools print in words.
"""

import re
from typing import Final, Literal, TypeVar

from metal.drivers.raid.listing import (
    ConditionKind,
    ControllerState,
    DriveState,
    Interface,
    Level,
    Medium,
    VolumeState,
    WriteCache,
)

Role = Literal["data", "unassigned", "spare", "hba"]
"""What a drive is there for; with status OK it makes the drive's state."""

State = TypeVar("State", VolumeState, ControllerState)

ROLE_STATES: Final[dict[Role | None, DriveState | None]] = {
    "data": "online",
    "unassigned": "unconfigured",
    "spare": "spare",
    "hba": "jbod",
    None: None,  # named by its cage only
}
ROLES: Final[tuple[tuple[str, Role], ...]] = (
    # "Drive Type" of a drive: Data Drive, Unassigned Drive, Spare Drive, HBA Mode Drive, ...
    ("spare", "spare"),
    ("unassigned", "unassigned"),
    ("hba", "hba"),
    ("raw", "hba"),
    ("data", "data"),
    ("cache", "data"),
)
DRIVE_STATES: Final[tuple[tuple[str, DriveState], ...]] = (
    # Statuses that decide alone, by their beginning; OK and Predictive Failure leave it to the role.
    ("fail", "failed"),
    ("erase failed", "failed"),
    ("rebuilding", "rebuilding"),
    ("erase in progress", "erasing"),
    ("erasing", "erasing"),
    ("sanitize in progress", "erasing"),
    ("offline", "offline"),
    ("disabled", "offline"),
    ("missing", "missing"),
    ("not present", "missing"),
    ("removed", "missing"),
)
SOUND: Final = (
    "ok",
    "predictive failure",
    "erase complete",
    "erase queued",
    "sanitize complete",
    "sanitize queued",
)
"""Statuses with which a drive is what its role says; what is only queued does not run."""

VOLUME_STATES: Final[tuple[tuple[str, VolumeState], ...]] = (
    ("ok", "optimal"),
    ("queued for", "optimal"),  # expansion, transformation, initialization: nothing runs yet
    ("interim recovery", "degraded"),
    ("degraded", "degraded"),
    ("ready for re", "degraded"),  # rebuild or recovery: waits for a drive
    ("recovering", "rebuilding"),
    ("rebuilding", "rebuilding"),
    ("expanding", "migrating"),
    ("transforming", "migrating"),
    ("migrating", "migrating"),
    ("undergoing expansion", "migrating"),
    ("initializing", "initialising"),
    ("background parity init", "initialising"),
    ("rapid parity init", "initialising"),
    ("parity init", "initialising"),
    ("fail", "failed"),
    ("wrong", "failed"),  # a drive was replaced that had not failed
    ("drive improperly connected", "failed"),
    ("physical drive(s) not properly connected", "failed"),
    ("disabled", "offline"),
    ("offline", "offline"),
    ("not yet available", "offline"),
    ("not available", "offline"),
    ("shutdown", "offline"),
    ("encrypted", "offline"),
    ("locked", "offline"),
)
CONTROLLER_STATES: Final[tuple[tuple[str, ControllerState], ...]] = (
    ("ok", "optimal"),
    ("fail", "failed"),
    ("lockup", "failed"),
    ("locked up", "failed"),
    ("disabled", "failed"),
    ("", "needs-attention"),
)
WRITES: Final[dict[str, WriteCache]] = {"enabled": "back", "disabled": "through"}
"""The one cache of a volume, which holds what is written."""
LEVELS: Final[dict[str, Level]] = {
    # Without "RAID", blanks, brackets and "+": "RAID 1+0", "1+0", "RAID 6 (ADG)", "RAID 1 (ADM)", "1 Triple".
    "0": "raid0",
    "1": "raid1",
    "10": "raid10",
    "5": "raid5",
    "6": "raid6",
    "adg": "raid6",
    "6adg": "raid6",
    "50": "raid50",
    "60": "raid60",
    "1adm": "raid1adm",
    "1triple": "raid1adm",
    "10adm": "raid10adm",
    "10triple": "raid10adm",
}
WELL: Final = frozenset({"", "ok", "not configured", "none", "not applicable", "n/a", "not supported"})
"""Statuses of caches and batteries that are no trouble."""

NOTHING_THERE: Final = re.compile(
    r"^No controllers detected|^No (?:logical|physical) drives?\b"
    r"|does not have any (?:\w+ ){0,2}(?:drive|array|device)s?\b",
    re.IGNORECASE,
)
"""Errors that say only that a list is empty."""

REFUSALS: Final = re.compile(
    r"^(?:Another instance\b|You need to have administrator|Syntax error\b|Invalid\b|The specified .*not\b)",
    re.IGNORECASE,
)
"""Refusals that some versions print without "Error:"."""


def by_beginning(table: tuple[tuple[str, State], ...], text: str | None) -> State | None:
    """The meaning of the first entry that the text begins with."""
    plain = (text or "").lower()
    return (
        next((meaning for beginning, meaning in table if plain.startswith(beginning)), None) if text else None
    )


def role_of(drive_type: str) -> Role | None:
    """The role that "Drive Type" names."""
    plain = drive_type.lower()
    return next((role for word, role in ROLES if word in plain), None)


def is_drive_status(word: str) -> bool:
    """Whether it is a status of a drive, and not what follows it in a list ("transient data drive")."""
    return word.lower().startswith((*SOUND, *(beginning for beginning, _ in DRIVE_STATES)))


def drive_state(status: str | None, role: Role | None) -> DriveState | None:
    """A drive's state from its status, and where that is sound from its role."""
    plain = (status or "").lower()
    if plain.startswith(SOUND):
        return ROLE_STATES[role]
    return next((state for beginning, state in DRIVE_STATES if plain.startswith(beginning)), None)


def level_of(text: str | None) -> Level | None:
    """`RAID 1+0`, `1+0`, `RAID 6 (ADG)` or `6` as a level."""
    return LEVELS.get(re.sub(r"raid|[^0-9a-z]", "", (text or "").lower()))


def interface_of(text: str | None) -> Interface | None:
    """`Solid State SATA`, `SAS HDD`, `Parallel SCSI`, `NVMe SSD` as an interface."""
    plain = (text or "").upper()
    if "NVME" in plain or "PCIE" in plain:
        return "nvme"
    if "SATA" in plain:
        return "sata"
    if "SAS" in plain:
        return "sas"
    return "scsi" if "SCSI" in plain else None


def medium_of(text: str | None, speed: str | None = None) -> Medium | None:
    """The medium where the interface names it, or where there is a rotational speed; else not stated."""
    plain = (text or "").upper()
    if "SSD" in plain or "SOLID STATE" in plain:
        return "ssd"
    return "hdd" if "HDD" in plain or (speed or "0").strip("0 ")[:1].isdigit() else None


def trouble_kind(key: str) -> ConditionKind | None:
    """The kind of condition that a controller's status key tells of; None for other keys."""
    plain = key.lower()
    if not plain.endswith(("status", "status details")):
        return None
    if "battery" in plain or "capacitor" in plain:
        return "battery"
    return "cache" if "cache" in plain else None


def banner_kind(text: str) -> ConditionKind:
    """The kind of a banner in capitals: CACHE STATUS PROBLEM DETECTED, FIRMWARE UPGRADE REQUIRED, ..."""
    title = text.partition(":")[0]
    if "BATTERY" in title or "CAPACITOR" in title:
        return "battery"
    return "cache" if "CACHE" in title else "advisory"
