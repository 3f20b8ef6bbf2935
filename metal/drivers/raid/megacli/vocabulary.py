"""The words of MegaCli: states, RAID levels, tasks, battery flags, and how it says yes and no."""

import re
from collections.abc import Mapping
from typing import Final

from metal.drivers.raid.listing import (
    ControllerState,
    DriveState,
    Interface,
    Level,
    Medium,
    VolumeState,
    WriteCache,
)

DRIVE_STATES: Final[Mapping[str, DriveState]] = {
    # `Firmware state` up to its comma: what follows is the spindle ("Spun Up", "Spun down").
    "online": "online",
    "unconfigured(good)": "unconfigured",
    "unconfigured(bad)": "failed",
    "hotspare": "spare",
    "rebuild": "rebuilding",
    "copyback": "copyback",
    "failed": "failed",
    "offline": "offline",
    "missing": "missing",
    "jbod": "jbod",
    "system": "jbod",  # the firmware's name of the same
    # -ShowSummary writes the same states in other words.
    "unconfigured good": "unconfigured",
    "unconfigured bad": "failed",
    "unconfigured-good": "unconfigured",
    "unconfigured-bad": "failed",
    "hot spare": "spare",
    "global hotspare": "spare",
    "global hot spare": "spare",
    "dedicated hotspare": "spare",
    "dedicated hot spare": "spare",
    "rebuilding": "rebuilding",
    "copy back": "copyback",
    "foreign": "foreign",
    # A drive under diagnostics is shielded: it keeps its place meanwhile (MegaRAID guide, shield state).
    "unconfigured(shielded)": "unconfigured",
    "unconfigured shielded": "unconfigured",
    "hotspare(shielded)": "spare",
    "hotspare shielded": "spare",
}

VOLUME_STATES: Final[Mapping[str, VolumeState]] = {
    "optimal": "optimal",
    "degraded": "degraded",
    "partially degraded": "partially-degraded",
    "partial degraded": "partially-degraded",
    "failed": "failed",
    "offline": "offline",
}

CONTROLLER_STATES: Final[Mapping[str, ControllerState]] = {
    # -ShowSummary only.
    "optimal": "optimal",
    "needs attention": "needs-attention",
    "need attention": "needs-attention",
    "degraded": "needs-attention",
    "failed": "failed",
    "fault": "failed",
}

TASKS: Final[Mapping[str, VolumeState | None]] = {
    # `Ongoing Progresses` and -ShowProg; a consistency check leaves the volume what it is.
    "rebuild": "rebuilding",
    "background initialization": "initialising",
    "initialization": "initialising",
    "foreground initialization": "initialising",
    "reconstruction": "migrating",
    "check consistency": None,
    "consistency check": None,
}

DRIVE_TASKS: Final[Mapping[str, DriveState]] = {
    "rebuild": "rebuilding",
    "clear": "erasing",
    "erase": "erasing",
    "copyback": "copyback",
    "copy back": "copyback",
}

LEVELS: Final[Mapping[int, Level]] = {
    # The primary level is a DDF number (SNIA DDF 2.0, 4.2.1): 0x11 is RAID 1E, 0x0f one disk, 0x1f spanned.
    0: "raid0",
    1: "raid1",
    5: "raid5",
    6: "raid6",
    15: "jbod",
    17: "raid1e",
    31: "concat",
}
SPANNED_LEVELS: Final[Mapping[int, Level]] = {
    0: "raid00",
    1: "raid10",
    5: "raid50",
    6: "raid60",
    17: "raid10",
}
LEVEL_WORDS: Final[Mapping[str, Level]] = {
    # "RAID Level Supported" and the bare number of -ShowSummary; PRL 11 and the like are ways to lay one out.
    "0": "raid0",
    "1": "raid1",
    "1e": "raid1e",
    "5": "raid5",
    "6": "raid6",
    "00": "raid00",
    "10": "raid10",
    "50": "raid50",
    "60": "raid60",
}

WRITES: Final[Mapping[str, WriteCache]] = {"writeback": "back", "writethrough": "through"}
MEDIA: Final[Mapping[str, Medium]] = {"hard disk device": "hdd", "solid state device": "ssd"}
INTERFACES: Final[Mapping[str, Interface]] = {"sas": "sas", "sata": "sata", "nvme": "nvme", "scsi": "scsi"}

BATTERY_TROUBLE: Final[Mapping[str, str]] = {
    # Flags of -GetBbuStatus, and the value that is trouble.
    "battery pack missing": "yes",
    "battery replacement required": "yes",
    "remaining capacity low": "yes",
    "pack is about to fail & should be replaced": "yes",
    "no space to cache offload": "yes",
    "i2c errors detected": "yes",
    "learn cycle timeout": "yes",
    "over temperature": "yes",
    "remaining time alarm": "yes",
    "remaining capacity alarm": "yes",
    "issohgood": "no",
}
BATTERY_STATES_GOOD: Final = frozenset({"", "ok", "optimal", "operational", "healthy", "unknown"})
BATTERY_STATE_KEYS: Final = frozenset({"battery state", "voltage", "temperature"})

COUNTED_TROUBLE: Final[Mapping[str, str]] = {
    # -AdpAllInfo, "Device Present": drives and volumes are counted there, not listed.
    "degraded": "degraded virtual drives",
    "offline": "offline virtual drives",
    "critical disks": "critical disks",
    "failed disks": "failed disks",
}

SUCCESS: Final = re.compile(
    r"\bsuccess|^created vd\b|^configured the adapter|^deleted virtual|state changed to|cleared\b"
    r"|\bis replaced|^started\b|^enabled?\b|^disabled?\b",
    re.IGNORECASE,
)
FAILURE: Final = re.compile(
    r"\bfail|\bfatal\b|\binvalid\b|\bnot (?:supported|possible|allowed|present|found|permitted|valid)\b"
    r"|\bcannot\b|\bunable\b|\bmust\b|\bdoes not\b|\bdoesn't\b|\bdenied\b|\berror\b|\bplease use force\b",
    re.IGNORECASE,
)
NOTHING_THERE: Final = re.compile(
    # What is printed as an error and says that there is nothing: an empty listing.
    r"no virtual (?:drive|disk)s? (?:is |are )?configured|no (?:controllers?|adapters?) (?:found|detected)"
    r"|no physical (?:drive|disk|device)s? (?:found|present)|there is no foreign configuration"
    r"|no preserved cache",
    re.IGNORECASE,
)
