"""The words of sas2ircu and sas3ircu, from the guides "SAS-2 (and SAS-3) Integrated RAID Solution"."""

import re
from typing import Final

from metal.drivers.raid.listing import DriveState, Interface, Level, Medium, VolumeState

DRIVE_STATES: Final[dict[str, DriveState | None]] = {
    # The guides' list under DISPLAY.
    "ONL": "online",
    "OPT": "online",
    "DGD": "online",  # a member of a volume, "in degraded state"
    "OSY": "online",  # a member that is out of sync with the others
    "RBLD": "rebuilding",
    "HSP": "spare",
    "RDY": "unconfigured",
    "AVL": "unconfigured",  # "might not be ready, and it is not suitable for use in a volume"
    "FLD": "failed",
    "MIS": "missing",
    "SBY": None,  # "not a hard-disk device"
}
VOLUME_STATES: Final[dict[str, VolumeState]] = {
    # DISPLAY prints words with a tag, "Okay (OKY)"; STATUS the words alone, "Optimal".
    "OKY": "optimal",
    "OKAY": "optimal",
    "OPTIMAL": "optimal",
    "ONL": "optimal",
    "ONLINE": "optimal",
    "DGD": "degraded",
    "DEGRADED": "degraded",
    "FLD": "failed",
    "FAILED": "failed",
    "MIS": "offline",
    "MISSING": "offline",
    "INA": "offline",
    "INACTIVE": "offline",
    "INIT": "initialising",
    "INITIALIZING": "initialising",
}
TASKS: Final[dict[str, VolumeState]] = {
    # "Current operation" of STATUS; a consistency check is no state and so not here.
    "synchronize": "initialising",
    "background init": "initialising",
    "initialize": "initialising",
    "rebuild": "rebuilding",
    "online capacity expansion": "migrating",
    "oce": "migrating",
    "expand": "migrating",
}
LEVELS: Final[dict[str, Level]] = {"RAID0": "raid0", "RAID1": "raid1", "RAID1E": "raid1e", "RAID10": "raid10"}
INTERFACES: Final[dict[str, Interface]] = {"SAS": "sas", "SATA": "sata", "NVME": "nvme", "PCIE": "nvme"}
MEDIA: Final[dict[str, Medium]] = {"HDD": "hdd", "SSD": "ssd"}
NOTHING_THERE: Final = re.compile(
    r"no IR volumes on the controller|^MPTLib2 Error 1$"
    r"|^No (?:controllers?|adapters?)(?: was| were)? found\.?$",
    re.IGNORECASE,
)
"""STATUS without volumes, and LIST without an adapter: no failures."""
