"""What Smart Array tools print of single things: sizes, levels, states, addresses, error texts.

The new tool (ssacli) and the old ones (hpssacli, hpacucli) differ in capitals, digits and words for
interfaces; `Dialect` says which speaks. Texts of errors are those of sessions seen; those of which none
was found are marked.
"""

import re
from dataclasses import dataclass

from lab.raid.model import Controller, Drive, Volume, members, volume_state

LEVELS = {
    "raid0": "0", "raid1": "1", "raid1adm": "1adm", "raid5": "5", "raid6": "6", "raid10": "1+0",
    "raid10adm": "10adm", "raid50": "50", "raid60": "60",
}  # fmt: skip
SPELLINGS = {
    **{word: level for level, word in LEVELS.items()},
    "10": "raid10", "adg": "raid6", "1triple": "raid1adm", "10triple": "raid10adm",
}  # fmt: skip
SHOWN = {"raid1adm": "RAID 1 (ADM)", "raid10adm": "RAID 10 (ADM)", "raid6": "RAID 6"}

NO_CONTROLLERS = "Error: No controllers detected. Possible causes:\n       - The driver for the installed\n"
NO_CONTROLLERS += (
    "         controller(s) is not loaded.\n       - The installed controller(s) must be detected by\n"
)
NO_CONTROLLERS += "         the operating system's PCI layer."
UNIDENTIFIED = (
    "Error: The controller must be identified by slot, chassisname, wwn,\n"
    "       serialnumber, or IPF information."
)
UNSUPPORTED = (
    "Error: This operation is not supported with the current configuration. Use the\n"
    '       "show" command on devices to show additional details about the\n'
    "       configuration."
)
RENAMED = "Warning: Creation of this logical drive has caused array letters to become\n         renamed."
DELETING = (
    "Warning: Deleting an array can cause other array letters to become renamed.\n"
    "         E.g. Deleting array A from arrays A,B,C will result in two remaining\n"
    "         arrays A,B ... not B,C\n\n"
    "Warning: Deleting the specified device(s) will result in data being lost.\n"
    "         Continue? (y/n)"
)
PROVISIONING = (
    "Warning: SSD Over Provisioning Optimization will be performed on the physical\n"
    "         drives in this array. This process may take a long time and cause this\n"
    "         application to appear unresponsive. Continue? (y/n)"
)
REASONS = {
    # Refusals of the model, in the words of firmware; the first three were seen.
    "space": "Space for creation not available",
    "drive-state": "Space for creation not available",
    "license": "Feature requires license key",
    "spares": "Assignable spares not available",
    "drive-count": "Invalid raid/drives",
    "drive-twice": "Invalid raid/drives",
    "mixed-kinds": "Invalid raid/drives",
    "spans": "Invalid raid/drives",
    "too-many-volumes": "Maximum logical drives reached",  # no text seen
    "preserved-cache": "Configuration changes to this controller are not allowed",  # no text seen
}


@dataclass(frozen=True)
class Dialect:
    """How the tool at hand writes: the new one or the old ones."""

    new: bool

    def word(self, text: str) -> str:
        """`Array`, `Unassigned`, or in lower case."""
        return text if self.new else text.lower()


class SsaError(Exception):
    """The tool refuses; the text is what it prints."""


def unsupported(reason: str) -> SsaError:
    """A refusal with its reason."""
    return SsaError(f"{UNSUPPORTED}\nReason: {reason}")


def place_of(drive: Drive) -> tuple[str, int, int]:
    """Port, box and bay; the port stands for the model's enclosure."""
    return (f"{1 if drive.enclosure is None else drive.enclosure}I", 1, drive.slot)


def address_of(drive: Drive) -> str:
    """`1I:1:4`."""
    return "{}:{}:{}".format(*place_of(drive))


def decimal(size: int) -> str:
    """A drive's size: `300 GB`, `900.1 GB`, `1.2 TB`, truncated as its label is."""
    unit, word = (10**12, "TB") if size >= 10**12 else (10**9, "GB")
    tenths = size * 10 // unit
    return f"{tenths // 10}.{tenths % 10} {word}".replace(".0 ", " ")


def binary(size: int, dialect: Dialect) -> str:
    """A volume's size, binary although it says GB."""
    digits = 2 if dialect.new else 1
    return f"{size / 2**40:.{digits}f} TB" if size >= 2**40 else f"{size / 2**30:.{digits}f} GB"


def level(volume: Volume) -> str:
    """`RAID 1+0`."""
    return SHOWN.get(volume.level, f"RAID {LEVELS.get(volume.level, volume.level)}")


def volume_status(controller: Controller, volume: Volume) -> str:
    """OK, Interim Recovery Mode, Recovering with its percentage, Failed."""
    state = volume_state(controller, volume)
    if state == "rebuilding":
        done = [one.progress or 0.0 for one in members(controller, volume.group) if one.condition == state]
        return f"Recovering, {min(99, int(min(done)))}% complete"
    return {"optimal": "OK", "offline": "Failed"}.get(state, "Interim Recovery Mode")


def drive_status(drive: Drive) -> str:
    """OK, Predictive Failure, Failed, Rebuilding; an erased drive wants to be enabled again."""
    if drive.condition in ("failed", "missing"):
        return "Failed"
    if drive.condition == "rebuilding":
        return "Rebuilding"
    if drive.condition == "bad":
        return "Erase Complete. Reenable Before Using."
    return "Predictive Failure" if drive.predictive_failure else "OK"


def interface(drive: Drive, dialect: Dialect) -> str:
    """`SAS HDD` in lists of the new tool, `Solid State SATA` elsewhere."""
    name = {"sas": "SAS", "sata": "SATA", "nvme": "NVMe"}[drive.interface]
    if dialect.new:
        return f"{name} {drive.medium.upper()}"
    return f"Solid State {name}" if drive.medium == "ssd" else name


def drive_size(drive: Drive) -> str:
    """Nothing is known of a drive that is gone."""
    return "--- GB" if drive.condition == "missing" else decimal(drive.size_bytes)


def drive_line(drive: Drive, dialect: Dialect, *, spare: bool = False) -> str:
    """`physicaldrive 1I:1:1 (port 1I:box 1:bay 1, SAS HDD, 300 GB, OK, spare)`."""
    port, box, bay = place_of(drive)
    told = [
        f"port {port}:box {box}:bay {bay}", interface(drive, dialect), drive_size(drive), drive_status(drive),
        *(["spare"] if spare else []),
    ]  # fmt: skip
    return f"physicaldrive {address_of(drive)} ({', '.join(told)})"


def volume_line(controller: Controller, volume: Volume, dialect: Dialect) -> str:
    """`logicaldrive 1 (279.37 GB, RAID 1, OK)`."""
    told = (binary(volume.size_bytes, dialect), level(volume), volume_status(controller, volume))
    return f"logicaldrive {volume.id} ({', '.join(told)})"


def drives_in(text: str, free: list[Drive], every: list[Drive]) -> list[Drive]:
    """The drives that `drives=` means: addresses, ranges, `all` and `allunassigned`.

    Raises SsaError for one that is not there.
    """
    if text.lower() in ("all", "allunassigned"):
        return list(free)
    known = {address_of(one).lower(): place for place, one in enumerate(every)}
    found: list[Drive] = []
    for part in text.lower().split(","):
        first, _, last = part.partition("-")
        if first not in known or (last and last not in known):
            raise SsaError(f'Error: "{text}" contains an invalid physical drive.')  # no text seen
        end = known[last] if last else known[first]
        found += every[known[first] : end + 1]
    return found


def is_address(text: str) -> bool:
    """Whether a text has the shape of a drive's address."""
    return re.fullmatch(r"\w{1,8}(:\w{1,8}){1,2}", text) is not None
