"""The words of mvcli and mnv_cli, as outputs and the "Marvell Storage Utility" guide print them."""

import re
from typing import Final

from metal.drivers.raid.listing import DriveState, Interface, Level, Medium, VolumeState

VOLUME_STATES: Final[dict[str, VolumeState]] = {
    # "status" of `info -o vd`, "VD status" of newer ones, "Status" of mnv_cli.
    "functional": "optimal",
    "optimal": "optimal",
    "healthy": "optimal",
    "degraded": "degraded",
    "degrade": "degraded",
    "partially degraded": "partially-degraded",
    "partially optimal": "partially-degraded",
    "offline": "offline",
    "foreign": "offline",
    "missing": "offline",
    "inactive": "offline",
    "failed": "failed",
    "rebuilding": "rebuilding",
    "initializing": "initialising",
    "migrating": "migrating",
}
TASKS: Final[dict[str, VolumeState]] = {
    # Words of "BGA progress" (background activity): "rebuilding is 15% done", "Rebuilding is running in 21%".
    "rebuild": "rebuilding",
    "init": "initialising",
    "sync": "initialising",
    "migrat": "migrating",
    "expan": "migrating",
}
DRIVE_STATES: Final[dict[str, DriveState]] = {
    "offline": "offline",
    "failed": "failed",
    "fail": "failed",
    "dead": "failed",
    "missing": "missing",
    "foreign": "foreign",
    "rebuilding": "rebuilding",
    "spare": "spare",
    "global spare": "spare",
    "dedicated spare": "spare",
    "hot spare": "spare",
}
ASSIGNED: Final[dict[str, DriveState]] = {"yes": "online", "no": "unconfigured"}
LEVELS: Final[dict[str, Level]] = {
    "RAID0": "raid0",
    "RAID1": "raid1",
    "RAID1E": "raid1e",
    "RAID5": "raid5",
    "RAID6": "raid6",
    "RAID10": "raid10",
    "RAID50": "raid50",
    "RAID60": "raid60",
    "JBOD": "jbod",
}
INTERFACES: Final[dict[str, Interface]] = {"SATA": "sata", "SAS": "sas", "NVME": "nvme", "PCIE": "nvme"}
MEDIA: Final[dict[str, Medium]] = {
    "ssd": "ssd",
    "hdd": "hdd",
    "not ssd": "hdd",
    "non-ssd": "hdd",
    "no": "hdd",
}
NOTHING_THERE: Final = re.compile(
    r"\bno (?:[\w-]+ ){0,2}(?:adapter|hba|controller|vd|pd|dis[kc]|array|block)s? ?"
    r"(?:is |are |was )?(?:found|exists?|available|detected|present)?\.?$",
    re.IGNORECASE,
)
FAILED: Final = re.compile(
    r"\b(?:fail(?:ed|s|ure)?|errors?|invalid|can ?not|can't|unable|unknown|illegal|denied|refused"
    r"|not (?:found|exist|allowed|supported|valid|enough)|does ?n[o']t)\b",
    re.IGNORECASE,
)
SUCCEEDED: Final = re.compile(r"\bsuccess", re.IGNORECASE)
