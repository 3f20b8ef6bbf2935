"""The words of arcconf: states, RAID levels, modes, tasks, and how it says yes and no."""

import re
from collections.abc import Mapping
from typing import Final

from metal.drivers.raid.listing import ControllerState, DriveState, Interface, Level, VolumeState

CONTROLLER_STATES: Final[Mapping[str, ControllerState]] = {
    "optimal": "optimal",
    "okay": "optimal",  # ServeRAID 8k, arcconf 4 and 5
    "ok": "optimal",
    "degraded": "needs-attention",
    "suboptimal": "needs-attention",
    "not optimal": "needs-attention",
    "warning": "needs-attention",
    "failed": "failed",
    "offline": "failed",
    "not responding": "failed",
    "locked up": "failed",
}

DRIVE_STATES: Final[Mapping[str, DriveState]] = {
    # "State" of a device; the guides of arcconf 1 to 4 and of SmartRAID.
    "online": "online",
    "optimal": "online",
    "ready": "unconfigured",
    "unassigned": "unconfigured",
    "available": "unconfigured",
    "raw (pass through)": "jbod",
    "raw": "jbod",
    "online (jbod)": "jbod",
    "jbod": "jbod",
    "hba": "jbod",
    "hot spare": "spare",
    "hot-spare": "spare",
    "global hot-spare": "spare",
    "global hot spare": "spare",
    "dedicated hot-spare": "spare",
    "dedicated hot spare": "spare",
    "pooled hot-spare": "spare",
    "pooled hot spare": "spare",
    "auto replace hot-spare": "spare",
    "auto replace hot spare": "spare",
    "standby hot spare": "spare",
    "rebuilding": "rebuilding",
    "rebuild": "rebuilding",
    "copyback": "copyback",
    "failed": "failed",
    "defunct": "failed",  # ServeRAID 8k
    "inconsistent": "failed",
    "missing": "missing",
    "not present": "missing",
    "offline": "offline",
    "foreign": "foreign",
    "erase in progress": "erasing",
    "erasing": "erasing",
    "queued for erase": "unconfigured",
    "erase completed": "unconfigured",
    "sanitize in progress": "erasing",
    "sanitizing": "erasing",
    "clearing": "erasing",
}

SEGMENT_STATES: Final[Mapping[str, DriveState | None]] = {
    # Of a place in a volume; "Present" and "Inconsistent" tell of the place, not of the drive.
    "present": None,
    "inconsistent": None,
    "rebuilding": "rebuilding",
    "missing": "missing",
    "failed": "failed",
}

VOLUME_STATES: Final[Mapping[str, VolumeState]] = {
    "optimal": "optimal",
    "okay": "optimal",
    "ok": "optimal",
    "degraded": "degraded",
    "critical": "degraded",  # ServeRAID 8k
    "interim recovery": "degraded",
    "interim recovery mode": "degraded",
    "ready for recovery": "degraded",
    "ready for rebuild": "degraded",
    "suboptimal, fault tolerant": "partially-degraded",  # RAID 6 that lost one of two
    "suboptimal": "partially-degraded",
    "impacted": "initialising",  # usable, parity not verified yet
    "failed": "failed",
    "failed redundancy": "failed",
    "offline": "offline",
    "disabled": "offline",
    "rebuilding": "rebuilding",
    "recovering": "rebuilding",
    "initializing": "initialising",
    "reconfiguring": "migrating",
    "expanding": "migrating",
    "migrating": "migrating",
    "transforming": "migrating",
}

VOLUME_TASKS: Final[tuple[tuple[str, VolumeState | None], ...]] = (
    # Part of the name of a task, the first that fits: "Build/Verify with fix" initialises, "Verify with fix"
    # checks, "Compacting" is the way back from RAID 5EE.
    ("rebuild", "rebuilding"),
    ("recover", "rebuilding"),
    ("build", "initialising"),
    ("initializ", "initialising"),
    ("clear", "initialising"),
    ("synchroni", "initialising"),
    ("reconfig", "migrating"),
    ("migrat", "migrating"),
    ("morph", "migrating"),
    ("expan", "migrating"),
    ("exten", "migrating"),
    ("compact", "migrating"),
    ("transform", "migrating"),
    ("shrink", "migrating"),
    ("verify", None),
    ("consistency", None),
)
DRIVE_TASKS: Final[tuple[tuple[str, DriveState], ...]] = (
    ("rebuild", "rebuilding"),
    ("copy", "copyback"),
    ("erase", "erasing"),
    ("clear", "erasing"),
    ("sanitiz", "erasing"),
    ("zero", "erasing"),
)
RUNNING: Final = frozenset({"in progress", "running", "started"})

LEVELS: Final[Mapping[str, Level]] = {
    "0": "raid0",
    "simple_volume": "raid0",
    "simple volume": "raid0",
    "1": "raid1",
    "1e": "raid1e",
    "1triple": "raid1adm",
    "1 triple": "raid1adm",
    "1adm": "raid1adm",
    "1 adm": "raid1adm",
    "5": "raid5",
    "6": "raid6",
    "10": "raid10",
    "1+0": "raid10",
    "10triple": "raid10adm",
    "10 triple": "raid10adm",
    "10adm": "raid10adm",
    "10 adm": "raid10adm",
    "50": "raid50",
    "60": "raid60",
    "spanned_volume": "concat",
    "spanned volume": "concat",
    "volume": "concat",
    "jbod": "jbod",
}

INTERFACES: Final[tuple[tuple[str, Interface], ...]] = (
    # By the first word that is in "Transfer Speed" or in a segment.
    ("nvme", "nvme"),
    ("pcie", "nvme"),
    ("sata", "sata"),
    ("sas", "sas"),
    ("serial attached scsi", "sas"),
    ("serial ata", "sata"),
    ("scsi", "scsi"),
    ("ultra", "scsi"),
)

POWER_STATES_GOOD: Final = frozenset(
    # Battery, ZMM (flash module), supercap: in order, or not there at all.
    {
        "",
        "ok",
        "okay",
        "optimal",
        "ready",
        "good",
        "zmm optimal",
        "zmm not installed",
        "not installed",
        "not present",
        "not applicable",
        "not available",
        "not supported",
        "none",
        "no error",
        "unknown",
    }
)
POWER_KEYS: Final = frozenset(
    {
        "overall backup unit status",
        "non-volatile storage status",
        "supercap status",
        "backup power status",
        "hardware error",
    }
)
CACHE_STATES_GOOD: Final = frozenset(
    {"", "ok", "okay", "optimal", "not configured", "not applicable", "none"}
)

COMPLETED: Final = re.compile(r"^Command completed successfully\.?$", re.IGNORECASE)
FAILED: Final = re.compile(
    r"^Command (?:failed|aborted|was aborted|not successful|unsuccessful)", re.IGNORECASE
)
FAILURE: Final = re.compile(
    r"\bfail(?:ed|ure|s)?\b|\binvalid\b|\berror\b|\bcannot\b|\bcan not\b|\bunable\b|\bunsupported\b|\bmust\b"
    r"|\bnot (?:supported|found|allowed|possible|available|valid|enough|exist|permitted|responding)\b"
    r"|\bdoes not\b|\bdoesn't\b|\balready\b|\bunrecognized\b|\bincorrect\b|\binsufficient\b|\bmissing\b",
    re.IGNORECASE,
)
NOTHING_THERE: Final = re.compile(
    r"^no (?:logical (?:devices?|drives?)|physical (?:devices?|drives?)|arrays?|controllers?|maxcache\b.*)\b",
    re.IGNORECASE,
)
