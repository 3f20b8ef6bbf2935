"""LSI's Integrated RAID as two RAID families: sas2ircu for SAS-2 chips, sas3ircu for SAS-3 ones.

Integrated RAID is a few mirrors and stripes in the firmware of an adapter: two volumes at most, no cache,
no strip to choose, hot spares that serve all volumes. Disks in no volume go straight to the system, so
that they count as passed through. The same chip with IT firmware makes no volumes at all; DISPLAY says
which firmware it is ("RAID Support"), the chip's name does not.

DELETE without a volume clears the controller and is never sent: DELETEVOLUME names one. `noprompt` answers
both questions of CREATE and DELETEVOLUME; the other commands ask none. Grammar and limits are those of the
guides "SAS-2 (and SAS-3) Integrated RAID Solution", appendix A.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from metal.drivers.bundle import Query
from metal.drivers.parsed import Parsed
from metal.drivers.raid.family import (
    PciRule,
    VolumeWish,
    address_of,
    answer_of,
    change,
    drives_told,
    id_of,
    index_of,
)
from metal.drivers.raid.ircu import parse_sas2ircu, parse_sas3ircu
from metal.drivers.raid.listing import Controller, Drive, Level, Listing, VirtualDrive
from metal.errors import Refused, Unparsable
from metal.protocols import Command, Output

LISTING_SCRIPT: Final = r"""l=$("$1" LIST); s=$?; printf '%s\n' "$l"; [ "$s" -eq 0 ] || exit "$s"
for i in $(printf '%s\n' "$l" | sed -n 's/^ *\([0-9]\{1,3\}\) .* [0-9A-Fa-f]*h:[0-9A-Fa-f]*h:.*/\1/p'); do
d=$("$1" "$i" DISPLAY); printf '%s\n' "$d"
case $d in *'IR volume '[0-9]*|*'IR Volume '[0-9]*) "$1" "$i" STATUS ;; esac; done; :"""
"""LIST, then DISPLAY of each adapter. STATUS knows how far a task is, and fails where there is no volume."""

LIST_TIMEOUT_S: Final = 180
LEVEL_WORDS: Final[Mapping[Level, str]] = {
    "raid0": "RAID0",
    "raid1": "RAID1",
    "raid1e": "RAID1E",
    "raid10": "RAID10",
}
_LISTED = re.compile(r"^Read configuration has been initiated for controller (\d{1,3})", re.MULTILINE)
_CLOSED = re.compile(r"^SAS\dIRCU: Command DISPLAY Completed Successfully", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class IrcuFamily:
    """One generation of chips, with its tool."""

    name: str
    devices: tuple[str, ...]
    parse: Callable[[str], Parsed[Listing]]

    @property
    def tools(self) -> tuple[str, ...]:
        """The tool has the family's name."""
        return (self.name,)

    @property
    def pci(self) -> tuple[PciRule, ...]:
        """By chip: newer kernels drive both generations with mpt3sas."""
        return (PciRule(vendor="1000", devices=self.devices),)

    def queries(self, tool: str) -> tuple[Query, ...]:
        """One script that asks every adapter which LIST knows."""
        return (Query(self._query, ("sh", "-c", LISTING_SCRIPT, "rf-ircu", tool), LIST_TIMEOUT_S),)

    @property
    def _query(self) -> str:
        return f"raid-{self.name}"

    def controllers(self, answers: Mapping[str, Output]) -> tuple[Controller, ...]:
        """All of them. Raises Unparsable where one that LIST names did not answer to the end."""
        text = answer_of(answers, self._query)
        listing = self.parse(text).value
        begun, closed = _LISTED.findall(text), _CLOSED.findall(text)
        mute = [one.index for one in listing.controllers if one.index not in begun]
        failed = listing.outcome is not None and not listing.outcome.ok
        if failed or mute or len(closed) < len(begun):
            why = listing.outcome.message if listing.outcome is not None and failed else None
            where = f"adapter {mute[0]}" if mute else "an adapter"
            raise Unparsable(
                f"{self.name} did not list its adapters: {why or f'no whole answer of {where}'}",
                reason="unparsable",
                hint=f"`{self.name} LIST` and `{self.name} 0 DISPLAY` in the boot OS show what it says",
            )
        return tuple(_understood(one) for one in listing.controllers)

    def prepare(self, tool: str, controller: Controller, drives: Sequence[Drive]) -> tuple[Command, ...]:
        """Take spares out of the pool. A volume of another adapter is a volume here, an inactive one."""
        return tuple(
            command
            for drive in drives
            if drive.state == "spare"
            for command in self.free_drive(tool, controller, drive)
        )

    def create(self, tool: str, controller: Controller, wish: VolumeWish) -> tuple[Command, ...]:
        """One command for the volume, and one for each spare: a spare needs a volume to be there before."""
        if wish.level == "jbod":
            return ()
        _refuse(controller, wish)
        size = "MAX" if wish.size_bytes is None else str(wish.size_bytes >> 20)
        places = (address_of(one) for one in wish.drives)
        words = ("CREATE", LEVEL_WORDS[wish.level], size, *places, *((wish.name,) if wish.name else ()))
        says = f"make {wish.level} {wish.name} of {drives_told(wish.drives)}"
        made = change(tool, index_of(controller), *words, "noprompt", says=says)
        return (made, *(_spare(tool, controller, drive) for drive in wish.spares))

    def delete_volume(self, tool: str, controller: Controller, volume: VirtualDrive) -> tuple[Command, ...]:
        """Delete by the volume's id. The plain word DELETE would clear the controller."""
        says = f"delete volume {id_of(volume)} ({volume.name or volume.wwn or volume.level})"
        words = ("DELETEVOLUME", id_of(volume), "noprompt")
        return (change(tool, index_of(controller), *words, says=says),)

    def free_drive(self, tool: str, controller: Controller, drive: Drive) -> tuple[Command, ...]:
        """Take a spare out of the pool; what is passed through is free as it is."""
        if drive.state in ("jbod", "unconfigured"):
            return ()
        if drive.state != "spare":
            raise Refused(
                f"drive {drives_told((drive,))} is {drive.state}: it can't be freed",
                reason="step-failed",
                hint="delete its volume first, or replace a drive that failed",
            )
        says = f"let drive {drives_told((drive,))} be no spare any more"
        return (change(tool, index_of(controller), "HOTSPARE", "DELETE", address_of(drive), says=says),)

    def add_spare(
        self, tool: str, controller: Controller, volume: VirtualDrive, drive: Drive
    ) -> tuple[Command, ...]:
        """Add it to the pool, which serves `volume` and any other."""
        id_of(volume)
        return (_spare(tool, controller, drive),)

    def boot_from(self, tool: str, controller: Controller, volume: VirtualDrive) -> tuple[Command, ...]:
        """Make it the primary boot device."""
        says = f"start from volume {id_of(volume)}"
        return (change(tool, index_of(controller), "BOOTIR", id_of(volume), says=says),)


SAS2IRCU: Final = IrcuFamily(
    "sas2ircu",
    # SAS2116, SAS2004, SAS2008, SAS2108, SAS2208 and SAS2308 without MegaRAID: mpi2_cnfg.h of the kernel.
    ("0064", "0065", "006e", "0070", "0072", "0074", "0076", "0077", "0080", "0081", "0082", "0083", "0084",
     "0085", "0086", "0087"),
    parse_sas2ircu,
)  # fmt: skip
SAS3IRCU: Final = IrcuFamily(
    "sas3ircu",
    # SAS3004, SAS3008 and SAS3108 without MegaRAID. Later chips (3.5) have no Integrated RAID.
    ("0090", "0091", "0094", "0095", "0096", "0097"),
    parse_sas3ircu,
)  # fmt: skip


def _understood(controller: Controller) -> Controller:
    """With free disks as what they are to the system, and IT firmware as what it can."""
    drives = (replace(one, state="jbod") if one.state == "unconfigured" else one for one in controller.drives)
    levels: tuple[Level, ...] = ("jbod",) if controller.jbod else ()
    return replace(controller, jbod=True, levels=levels, drives=tuple(drives))


def _refuse(controller: Controller, wish: VolumeWish) -> None:
    if controller.levels == ("jbod",):
        raise Refused(
            f"controller {controller.index} ({controller.model}) runs IT firmware, which makes no volumes",
            reason="step-failed",
            hint="use software RAID on its drives, or flash IR firmware",
        )
    if wish.group is not None:
        raise Refused(
            f"volume {wish.name}: a volume of Integrated RAID has its drives for itself",
            reason="step-failed",
            hint="give it drives of its own",
        )


def _spare(tool: str, controller: Controller, drive: Drive) -> Command:
    says = f"keep {drives_told((drive,))} as hot spare"
    return change(tool, index_of(controller), "HOTSPARE", address_of(drive), says=says)
