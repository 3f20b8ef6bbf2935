"""Volumes of Adaptec and SmartRAID controllers made, deleted and started from by arcconf.

Series 6 to 8 (driver aacraid) and SmartRAID (smartpqi) speak one grammar with other words for caches, spares
and single drives. Forms are those of the ARCCONF guides of both and of public transcripts. Each command
ends with `noprompt` where it would ask and with `nologs`, without which it writes UcliEvt.log. `ALL` and
`DELETE ARRAY` never occur: they take more than one volume.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from metal.drivers.bundle import Query
from metal.drivers.raid.arcconf import NAME, questions
from metal.drivers.raid.family import (
    PciRule,
    RaidFamily,
    VolumeWish,
    address_of,
    change,
    id_of,
    index_of,
)
from metal.drivers.raid.listing import Controller, Drive, VirtualDrive
from metal.errors import Refused
from metal.protocols import Command, Output

MIB: Final = 1 << 20
LEVELS: Final[Mapping[str, str]] = {
    "raid0": "0",
    "raid1": "1",
    "raid1e": "1E",
    "raid1adm": "1Triple",
    "raid5": "5",
    "raid6": "6",
    "raid10": "10",
    "raid10adm": "10Triple",
    "raid50": "50",
    "raid60": "60",
}
WRITE_CACHE: Final[Mapping[str, str]] = {"back": "WBB", "through": "WT"}
"""WBB writes back only as long as the battery or capacitor is in order."""
ONE_CACHE: Final[Mapping[str, str]] = {"back": "con", "through": "coff"}
"""SmartRAID's words, by SETCACHE alone; one that is as asked already is an error there, and right."""
READ_CACHE: Final[Mapping[str, str]] = {"ahead": "RON", "none": "ROFF"}
DEFAULT_LEGS: Final = 2
MOST_NAME: Final = 12
"""Of fifteen characters, so that a number finds room behind."""
_SMART = re.compile(r"smart|cisco|\bhba ?1\d{3}\b", re.IGNORECASE)


class Arcconf:
    """arcconf of Adaptec, PMC, Microsemi, Microchip, and of IBM for ServeRAID."""

    name = NAME
    tools = ("arcconf",)
    pci = (PciRule(driver="aacraid"), PciRule(driver="smartpqi", vendor="9005"))

    def queries(self, tool: str) -> tuple[Query, ...]:
        """Ask for all of each controller."""
        return questions.queries(tool)

    def controllers(self, answers: Mapping[str, Output]) -> tuple[Controller, ...]:
        """Join the answers."""
        return questions.controllers(answers)

    def prepare(self, tool: str, controller: Controller, drives: Sequence[Drive]) -> tuple[Command, ...]:
        """Make drives ready one by one, so that no drive is touched that is not meant.

        `INITIALIZE` takes away what another controller wrote on a drive, and that it is passed through.
        There is no preserved cache to discard, and drives spin up by themselves.
        """
        return tuple(
            command
            for one in drives
            for command in (
                _initialize(tool, controller, one, "forget what another controller wrote on")
                if one.state == "foreign" or questions.is_stale(controller, one)
                else self.free_drive(tool, controller, one)
            )
        )

    def create(self, tool: str, controller: Controller, wish: VolumeWish) -> tuple[Command, ...]:
        """Make a volume, then keep its spares for it.

        Numbers of the new volume and array are known only after; spares name the lowest free ones, as
        firmware does. Where they should differ, the commands find nothing and change nothing.
        """
        cleared = [
            command
            for one in (*wish.drives, *wish.spares)
            if questions.is_stale(controller, one)
            for command in _initialize(tool, controller, one, "forget what another controller wrote on")
        ]
        if wish.level == "jbod":
            return (*cleared, *self._pass_through(tool, controller, wish))
        made = self._make(tool, controller, wish, wish.drives)
        group = wish.group
        volume = VirtualDrive(
            _lowest_free(one.id for one in controller.volumes),
            wish.name,
            groups=group.groups if group else (_free_array(controller),),
        )
        kept = [self._keep(tool, controller, volume, one) for one in wish.spares]
        return (*cleared, made, *_cached(tool, controller, wish), *kept)

    def delete_volume(self, tool: str, controller: Controller, volume: VirtualDrive) -> tuple[Command, ...]:
        """Delete one volume; its drives are ready then."""
        return (
            _ask(
                tool, "DELETE", index_of(controller), "LOGICALDRIVE", id_of(volume),
                says=f"delete volume {volume.name or volume.id}",
            ),
        )  # fmt: skip

    def free_drive(self, tool: str, controller: Controller, drive: Drive) -> tuple[Command, ...]:
        """Make a spare or a drive that is passed through a ready one."""
        if drive.state == "spare":
            says = f"let drive {drive.serial} be no spare"
            return (_device(tool, "SETSTATE", controller, drive, "RDY", says=says),)
        if drive.state != "jbod":
            return ()
        if "jbod" in (drive.raw_state or "").lower():
            where = address_of(drive).split(",")
            says = f"pass drive {drive.serial} through no more"
            return (_ask(tool, "DELETE", index_of(controller), "JBOD", *where, says=says),)
        return _initialize(tool, controller, drive, "pass through no more")

    def add_spare(
        self, tool: str, controller: Controller, volume: VirtualDrive, drive: Drive
    ) -> tuple[Command, ...]:
        """Keep a drive for a volume, on SmartRAID for its array."""
        id_of(volume)
        return (self._keep(tool, controller, volume, drive),)

    def boot_from(self, tool: str, controller: Controller, volume: VirtualDrive) -> tuple[Command, ...]:
        """Make the controller start from a volume."""
        kind = ("TYPE", "Primary") if is_smart(controller) else ()
        return (
            change(
                tool, "SETBOOT", index_of(controller), "LOGICALDRIVE", id_of(volume), *kind,
                questions.NO_LOGS, says=f"start from volume {volume.name or volume.id}",
            ),
        )  # fmt: skip

    def _make(
        self, tool: str, controller: Controller, wish: VolumeWish, drives: Sequence[Drive], name: str = ""
    ) -> Command:
        level = LEVELS.get("raid0" if wish.level == "jbod" else wish.level)
        if level is None:
            raise Refused(f"arcconf makes no {wish.level}", reason="layout-impossible")
        smart = is_smart(controller)
        if level == "0" and len(drives) == 1 and not smart:
            level = "simple_volume"
        size = "MAX" if wish.size_bytes is None else str(-(-wish.size_bytes // MIB))
        where = [word for one in drives for word in address_of(one).split(",")]
        if smart and wish.group is not None and wish.group.groups:
            where = ["ARRAY", wish.group.groups[0]]
        told = ", ".join(one.serial or one.address or "without serial" for one in drives)
        return _ask(
            tool, "CREATE", index_of(controller), "LOGICALDRIVE",
            *_options(wish, name or wish.name, smart=smart), size, level, *where,
            says=f"make {wish.level} {wish.name} of drives {told}",
        )  # fmt: skip

    def _pass_through(self, tool: str, controller: Controller, wish: VolumeWish) -> tuple[Command, ...]:
        """Pass drives through; in a mode that does not, make each a volume of its own.

        Where a mode can be told, drives without a configuration are passed through; series 6 has no modes,
        but JBOD as a kind of volume.
        """
        if controller.jbod is False:
            names = [f"{wish.name[:MOST_NAME]}-{number}" for number in range(len(wish.drives))]
            pairs = zip(wish.drives, names, strict=True)
            made = tuple(self._make(tool, controller, wish, (one,), name) for one, name in pairs)
            return (*made, *_cached(tool, controller, wish, len(made)))
        found = []
        for one in wish.drives:
            if one.state == "jbod":
                continue
            says = f"pass drive {one.serial} through"
            where = address_of(one).split(",")
            if controller.jbod:
                words = ("TASK", "START", index_of(controller), "DEVICE", *where, "UNINITIALIZE")
            else:
                words = ("CREATE", index_of(controller), "JBOD", *where)
            found.append(_ask(tool, *words, says=says))
        return tuple(found)

    def _keep(self, tool: str, controller: Controller, volume: VirtualDrive, drive: Drive) -> Command:
        smart = is_smart(controller) and bool(volume.groups)
        for_what = ("ARRAY", *volume.groups) if smart else ("LOGICALDRIVE", id_of(volume))
        says = f"keep drive {drive.serial} as a spare for {volume.name or volume.id}"
        return _device(tool, "SETSTATE", controller, drive, "HSP", *for_what, says=says)


def is_smart(controller: Controller) -> bool:
    """Whether it speaks SmartRAID's words; Cisco's 24G controllers are SmartRAID, too."""
    return bool(_SMART.search(controller.model or ""))


def _options(wish: VolumeWish, name: str, *, smart: bool) -> Iterable[str]:
    """Options in the order of the guide; SmartRAID has one cache, and no words for two."""
    if wish.strip_bytes is not None:
        yield from ("Stripesize", str(wish.strip_bytes // 1024))
    if wish.spans > DEFAULT_LEGS:
        yield from ("Legs", str(wish.spans))
    yield from ("Name", name)
    if wish.read_cache is not None and not smart:
        yield from ("Rcache", READ_CACHE[wish.read_cache])
    if wish.write_cache is not None and not smart:
        yield from ("Wcache", WRITE_CACHE[wish.write_cache])


def _cached(tool: str, controller: Controller, wish: VolumeWish, count: int = 1) -> tuple[Command, ...]:
    """Switch SmartRAID's one cache on or off for volumes just made, by the numbers that they will have."""
    if wish.write_cache is None or not is_smart(controller):
        return ()
    taken: list[str | None] = [one.id for one in controller.volumes]
    for _ in range(count):
        taken.append(_lowest_free(taken))
    return tuple(
        _ask(
            tool, "SETCACHE", index_of(controller), "LOGICALDRIVE", number or "", ONE_CACHE[wish.write_cache],
            says=f"switch the cache of the new volume {number} {ONE_CACHE[wish.write_cache][1:]}",
        )
        for number in taken[-count:]
    )  # fmt: skip


def _ask(tool: str, *words: str, says: str) -> Command:
    """A command that would ask."""
    return change(tool, *words, "noprompt", questions.NO_LOGS, says=says)


def _device(tool: str, verb: str, controller: Controller, drive: Drive, *words: str, says: str) -> Command:
    where = address_of(drive).split(",")
    return _ask(tool, verb, index_of(controller), "DEVICE", *where, *words, says=says)


def _initialize(tool: str, controller: Controller, drive: Drive, what: str) -> tuple[Command, ...]:
    where = address_of(drive).split(",")
    words = ("TASK", "START", index_of(controller), "DEVICE", *where, "INITIALIZE")
    return (_ask(tool, *words, says=f"{what} drive {drive.serial}"),)


def _lowest_free(taken: Iterable[str | None]) -> str:
    used = set(taken)
    return next(str(number) for number in range(len(used) + 1) if str(number) not in used)


def _free_array(controller: Controller) -> str:
    return _lowest_free(number for one in controller.volumes for number in one.groups)


ARCCONF: Final[RaidFamily] = Arcconf()
