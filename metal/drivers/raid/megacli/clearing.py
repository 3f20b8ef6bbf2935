"""What MegaRAID firmware refuses new volumes for, taken out of the way in the order that works.

Preserved cache stops every new volume of the controller (0x54), a foreign or passed-through drive the one
that names it (0x26). `-PDMakeGood` fails on a drive that is good already, so only drives that are not get it.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from metal.drivers.raid.family import address_of, change, index_of
from metal.drivers.raid.listing import Controller, Drive
from metal.drivers.raid.megacli.questions import NO_LOG
from metal.errors import Refused
from metal.protocols import Command

_LOST: Final = re.compile(r"virtual drive (\d{1,6})\b")
BAD: Final = "unconfigured(bad)"
SPUN_DOWN: Final = "spun down"


@dataclass(frozen=True, slots=True)
class Clearing:
    """Commands of one controller."""

    tool: str
    controller: Controller

    def commands(self, drives: Sequence[Drive]) -> tuple[Command, ...]:
        """All of them, for drives that are to become members."""
        return (*self._preserved(), *self._foreign(drives), *self.free(drives), *self.spin_up(drives))

    def free(self, drives: Sequence[Drive]) -> tuple[Command, ...]:
        """Make spares and passed-through drives unconfigured."""
        found = []
        for one in drives:
            if one.state == "spare":
                says = f"let drive {one.serial} be no spare"
                found.append(self._change("-PDHSP", "-Rmv", f"-PhysDrv[{address_of(one)}]", says=says))
            elif one.state == "jbod":
                says = f"pass drive {one.serial} through no more"
                found.append(self._make_good(one, says))
        return tuple(found)

    def spin_up(self, drives: Sequence[Drive]) -> tuple[Command, ...]:
        """Start drives that were prepared for removal; one that only saves power starts itself."""
        return tuple(
            self._change(
                "-PDPrpRmv", "-UnDo", f"-PhysDrv[{address_of(one)}]", says=f"start drive {one.serial}"
            )
            for one in drives
            if SPUN_DOWN in (one.raw_state or "").lower()
        )

    def _preserved(self) -> Iterator[Command]:
        """Discard the cache of volumes that are gone; never that of one which is listed: it may come back."""
        told = [one.text for one in self.controller.conditions if one.kind == "preserved-cache"]
        lost = list(dict.fromkeys(number for text in told for number in _LOST.findall(text)))
        listed = {one.id: one for one in self.controller.volumes}
        offline = [one for one in self.controller.volumes if one.state in ("offline", "failed")]
        kept = [listed[number] for number in lost if number in listed]
        kept += offline if told and not lost else []
        if kept:
            names = ", ".join(f"{one.name or one.id}" for one in kept)
            raise Refused(
                f"the controller keeps writes of volume {names}, which stays",
                reason="refused",
                hint="bring its drives back, or let the spec remove that volume first",
            )
        for number in lost:
            yield self._change("-DiscardPreservedCache", f"-L{number}",
                               says=f"discard writes that are kept for the lost volume {number}")  # fmt: skip

    def _foreign(self, drives: Sequence[Drive]) -> Iterator[Command]:
        """Forget foreign configurations, which MegaCli clears all at once: all their drives must be meant."""
        meant = [one for one in drives if one.state == "foreign"]
        if not meant:
            return
        wanted = {one.address for one in drives}
        others = [
            one for one in self.controller.drives if one.state == "foreign" and one.address not in wanted
        ]
        if others:
            told = ", ".join(f"{one.address} {one.serial or 'without serial'}" for one in others)
            raise Refused(
                f"other drives hold foreign configurations, too, which would be lost: {told}",
                reason="refused",
                hint="import or clear them, or let the volume take those drives",
            )
        for one in meant:
            if (one.raw_state or "").lower().startswith(BAD):
                yield self._make_good(one, f"let drive {one.serial} be used again")
        yield self._change("-CfgForeign", "-Clear",
                           says=f"forget the foreign configuration of {_serials(meant)}")  # fmt: skip

    def _make_good(self, drive: Drive, says: str) -> Command:
        return self._change("-PDMakeGood", f"-PhysDrv[{address_of(drive)}]", "-Force", says=says)

    def _change(self, *words: str, says: str) -> Command:
        return change(self.tool, *words, f"-a{index_of(self.controller)}", NO_LOG, says=says)


def _serials(drives: Sequence[Drive]) -> str:
    return ", ".join(one.serial or one.address or "a drive" for one in drives)
