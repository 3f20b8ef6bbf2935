"""Smart Array controllers as a RAID family: ssacli, and hpssacli and hpacucli before it.

A volume is addressed by its number, which stays when others are made and deleted; the letter of an array
does not, so that a command takes it only where the number can't do, and from the listing of that moment.
All changes are silent when they succeed. `forced` answers every question; where a command has no such
word (removing spares, boot volumes) the tool asks nothing. The grammar is that of HPE's guide "Smart
Storage Administrator", chapter CLI, and of sessions seen.

Smart Array knows neither a foreign configuration nor preserved cache: a drive with another controller's
metadata is taken over at start or counts as unassigned. A controller in HBA mode makes no volumes; its
mode needs a restart and holds for all of its drives, so that it is left to people.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from metal.drivers.bundle import Query
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
from metal.drivers.raid.listing import Controller, Drive, Level, VirtualDrive
from metal.drivers.raid.ssacli import parse
from metal.drivers.raid.ssacli.grammar import TOOL
from metal.errors import Refused, Unparsable
from metal.protocols import Command, Output

LEVEL_WORDS: Final[Mapping[Level, str]] = {
    "raid0": "0",
    "raid1": "1",
    "raid1adm": "1adm",
    "raid5": "5",
    "raid6": "6",
    "raid10": "1+0",
    "raid10adm": "10adm",
    "raid50": "50",
    "raid60": "60",
}
QUERY: Final = "raid-ssacli"
LIST_TIMEOUT_S: Final = 120
"""Old firmware with dozens of drives takes most of a minute; a second instance waits for the first."""
ERASED: Final = ("erase complete", "sanitize complete")


@dataclass(frozen=True, slots=True)
class SsacliFamily:
    """The family of the three tools with one grammar."""

    name: str = TOOL
    tools: tuple[str, ...] = ("ssacli", "hpssacli", "hpacucli")
    pci: tuple[PciRule, ...] = (
        PciRule("hpsa"),
        PciRule("cciss"),
        PciRule("hpvsa"),
        PciRule("smartpqi"),
    )

    def queries(self, tool: str) -> tuple[Query, ...]:
        """One answer holds controllers, arrays, volumes and drives."""
        return (Query(QUERY, (tool, "ctrl", "all", "show", "config", "detail"), LIST_TIMEOUT_S),)

    def controllers(self, answers: Mapping[str, Output]) -> tuple[Controller, ...]:
        """All of them; drives are passed through only where the details say so."""
        listing = parse(answer_of(answers, QUERY)).value
        if listing.outcome is not None and not listing.outcome.ok:
            raise Unparsable(
                f"{answers[QUERY].argv[0]} did not list its controllers: {listing.outcome.message}",
                reason="unparsable",
                hint="the same command in the boot OS shows what it says",
            )
        return tuple(replace(one, jbod=bool(one.jbod)) for one in listing.controllers)

    def prepare(self, tool: str, controller: Controller, drives: Sequence[Drive]) -> tuple[Command, ...]:
        """Take spares out of their arrays, and enable drives that were erased."""
        commands: list[Command] = []
        for drive in drives:
            if drive.state in ("spare", "jbod"):
                commands += self.free_drive(tool, controller, drive)
            elif (drive.raw_state or "").lower().startswith(ERASED):
                place = ("pd", address_of(drive), "modify", "enableeraseddrive")
                says = f"enable drive {drives_told((drive,))}, which was erased"
                commands.append(change(*_target(tool, controller), *place, says=says))
        return tuple(commands)

    def create(self, tool: str, controller: Controller, wish: VolumeWish) -> tuple[Command, ...]:
        """One command for the volume, and one for its spares."""
        if wish.level == "jbod":
            return _passed_through(tool, controller, wish)
        _refuse_hba(controller)
        if wish.group is not None:
            return _beside(tool, controller, wish, wish.group)
        places = ",".join(address_of(one) for one in wish.drives)
        says = f"make {wish.level} {wish.name} of {drives_told(wish.drives)}"
        words = ("create", "type=ld", f"drives={places}", *_options(tool, wish), "forced")
        made = change(*_target(tool, controller), *words, says=says)
        if not wish.spares:
            return (made,)
        # The number that the volume will have: the lowest free one, as seen with P440ar. Should it get
        # another one, the tool finds no volume to give spares to, and the listing after shows them missing.
        return (made, _spares(tool, controller, ("ld", _next_number(controller)), wish.spares, wish.name))

    def delete_volume(self, tool: str, controller: Controller, volume: VirtualDrive) -> tuple[Command, ...]:
        """Delete by number: letters of arrays shift."""
        says = f"delete volume {id_of(volume)} ({volume.wwn or volume.name or volume.level})"
        return (change(*_target(tool, controller), "ld", id_of(volume), "delete", "forced", says=says),)

    def free_drive(self, tool: str, controller: Controller, drive: Drive) -> tuple[Command, ...]:
        """Take a spare out of each array that it serves; a drive of a port in mixed mode is free as it is."""
        if drive.state == "unconfigured":
            return ()
        if drive.state == "jbod":
            _refuse_hba(controller)
            return ()
        if drive.state != "spare":
            raise Refused(
                f"drive {drives_told((drive,))} is {drive.state}: it can't be freed",
                reason="step-failed",
                hint="delete its volume first, or replace a drive that failed",
            )
        places = _arrays_served(controller, drive)
        says = f"let drive {drives_told((drive,))} be no spare any more"
        return tuple(
            change(*_target(tool, controller), *place, "remove", f"spares={address_of(drive)}", says=says)
            for place in places
        )

    def add_spare(
        self, tool: str, controller: Controller, volume: VirtualDrive, drive: Drive
    ) -> tuple[Command, ...]:
        """Add it to the volume's array."""
        place = _array_of(controller, volume)
        return (_spares(tool, controller, place, (drive,), volume.name or f"volume {volume.id}"),)

    def boot_from(self, tool: str, controller: Controller, volume: VirtualDrive) -> tuple[Command, ...]:
        """Make it the primary boot volume."""
        says = f"start from volume {id_of(volume)}"
        words = ("ld", id_of(volume), "modify", "bootvolume=primary")
        return (change(*_target(tool, controller), *words, says=says),)


SSACLI: Final = SsacliFamily()


def _target(tool: str, controller: Controller) -> tuple[str, ...]:
    return (tool, "ctrl", f"slot={index_of(controller)}")


def _refuse_hba(controller: Controller) -> None:
    if controller.levels == ("jbod",):
        raise Refused(
            f"controller {controller.model} in slot {controller.index} is in HBA mode and makes no volumes",
            reason="step-failed",
            hint=f"`ssacli ctrl slot={controller.index} modify hbamode=off forced`, then restart the machine",
        )


def _options(tool: str, wish: VolumeWish) -> tuple[str, ...]:
    """Level, parity groups, size and strip, then the cache: MB is MiB here, and KB KiB.

    The tools before hpssacli know the cache as `aa` (array accelerator).
    """
    words = [f"raid={LEVEL_WORDS[wish.level]}"]
    if wish.spans > 1:
        words.append(f"numberparitygroups={wish.spans}")
    if wish.size_bytes is not None:
        words.append(f"size={wish.size_bytes >> 20}")
    if wish.strip_bytes is not None:
        words.append(f"stripsize={wish.strip_bytes >> 10}")
    if wish.write_cache is not None:
        name = "aa" if tool == "hpacucli" else "caching"
        words.append(f"{name}={'enable' if wish.write_cache == 'back' else 'disable'}")
    return tuple(words)


def _passed_through(tool: str, controller: Controller, wish: VolumeWish) -> tuple[Command, ...]:
    """Nothing where the controller shows free drives as they are; else a volume of each."""
    if controller.jbod:
        return ()
    alone = replace(wish, level="raid0", size_bytes=None, spans=1)
    return tuple(
        change(
            *_target(tool, controller), "create", "type=ld", f"drives={address_of(drive)}",
            *_options(tool, alone), "forced",
            says=f"make raid0 of {drives_told((drive,))} alone",
        )
        for drive in wish.drives
    )  # fmt: skip


def _beside(tool: str, controller: Controller, wish: VolumeWish, group: VirtualDrive) -> tuple[Command, ...]:
    """A further volume in the array of another one."""
    letter = _letter(group)
    says = f"make {wish.level} {wish.name} beside volume {id_of(group)}"
    made = change(
        *_target(tool, controller), *letter, "create", "type=ld", *_options(tool, wish), "forced", says=says
    )
    if not wish.spares:
        return (made,)
    return (made, _spares(tool, controller, letter, wish.spares, wish.name))


def _spares(
    tool: str, controller: Controller, place: tuple[str, str], drives: Sequence[Drive], name: str
) -> Command:
    words = ",".join(address_of(one) for one in drives)
    says = f"keep {drives_told(drives)} as spare for {name}"
    return change(*_target(tool, controller), *place, "add", f"spares={words}", "forced", says=says)


def _next_number(controller: Controller) -> str:
    taken = {one.id for one in controller.volumes}
    return next(str(number) for number in range(1, len(taken) + 2) if str(number) not in taken)


def _letter(volume: VirtualDrive) -> tuple[str, str]:
    if not volume.groups:
        raise Refused(
            f"volume {id_of(volume)} has no array in what its tool listed",
            reason="step-failed",
            hint="rackflow host NAME shows what its controller listed",
        )
    return ("array", volume.groups[0])


def _array_of(controller: Controller, volume: VirtualDrive) -> tuple[str, str]:
    """An array, by the number of its only volume, else by its letter.

    The guide has spares managed by the volume's number only where an array has one.
    """
    beside = [one for one in controller.volumes if one.groups == volume.groups]
    return ("ld", id_of(volume)) if len(beside) == 1 else _letter(volume)


def _arrays_served(controller: Controller, drive: Drive) -> tuple[tuple[str, str], ...]:
    served = [one for one in controller.volumes if drive.address in one.spares]
    if not served:
        raise Refused(
            f"no array is listed that keeps drive {drives_told((drive,))} as its spare",
            reason="step-failed",
            hint="rackflow host NAME shows what its controller listed",
        )
    return tuple(dict.fromkeys(_array_of(controller, one) for one in served))
