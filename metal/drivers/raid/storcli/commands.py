"""Commands of storcli64, perccli64 and storcli2 that change a controller.

    /c0/v5 delete preservedcache force           before anything: it blocks each new volume (ErrCd 84)
    /c0/fall delete                              a foreign drive is refused as "resources already in use"
    /c0/e252/s6 set good force                   a drive that is passed through is refused (ErrCd 255)
    /c0/e252/s6 spinup                           "physical disk does not have appropriate attributes"
    /c0 add vd r5 size=102400MB name=data drives=252:1,252:2,252:3 wb ra strip=256 spares=252:4
    /c0/v239 delete force                        without the word, a volume with a file system is refused
    /c0/v239 set bootdrive=on

Sizes are MB and mean MiB. The order of options is that of the tool's own help, which 1.x insists on: level,
size, name, drives, drives per span, cache, strip, spares. Foreign configurations can only be cleared all at
once (`/fall`), preserved cache by volume. storcli2 (MPI3, 96xx) differs in words: `add vd raid5`, and
`set uconf` where storcli says `set good`; its strips are 64 or 256 KiB. What is known of storcli2 by its
captured answers is: listings, `add vd raid0 drives=… wb nora`, `delete`, `set jbod`, `set uconf`; its other
forms are those that both tools' guides share. No command asks a question.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from metal.drivers.bundle import Query
from metal.drivers.raid.family import (
    PciRule,
    VolumeWish,
    address_of,
    change,
    drives_told,
    id_of,
    index_of,
)
from metal.drivers.raid.listing import Controller, Drive, Level, VirtualDrive
from metal.drivers.raid.storcli.asking import joined, queries
from metal.errors import Refused
from metal.protocols import Command, Output

NO_LOG: Final = "nolog"
MOST_SPANS: Final = 8
"""`Max Spans Per VD = 8` of all controllers whose capabilities were seen."""
NAME_CHARACTERS: Final = 15
LEVELS: Final[Mapping[Level, str]] = {
    "raid0": "0", "raid1": "1", "raid5": "5", "raid6": "6", "raid00": "00", "raid10": "10", "raid50": "50",
    "raid60": "60",
}  # fmt: skip
_SPANNED: Final = ("raid00", "raid10", "raid50", "raid60")
_WRITE: Final = {"back": "wb", "through": "wt"}
_READ: Final = {"ahead": "ra", "none": "nora"}
BAD: Final = "ubad"
"""How a drive is shown that was pulled and came back: foreign, and of no use before it is called good."""
_PINNED: Final = re.compile(r"\bVD (\d{1,6})\b")


@dataclass(frozen=True, slots=True)
class Storcli:
    """One dialect of the grammar, as a `RaidFamily`.

    `level` stands before a level's digits in `add vd`; `free` are the words that make a passed-through
    drive unconfigured: each is sent, as storcli2 was seen to take its word alone, and 2.x of storcli to ask
    for force.
    """

    name: str
    tools: tuple[str, ...]
    pci: tuple[PciRule, ...]
    level: str
    free: tuple[tuple[str, ...], ...]

    def queries(self, tool: str) -> tuple[Query, ...]:
        """Commands that list controllers, drives and volumes."""
        return queries(self.name, tool)

    def controllers(self, answers: Mapping[str, Output]) -> tuple[Controller, ...]:
        """Join the answers; HBAs that this tool makes no volumes on are left out."""
        return joined(self.name, answers)

    def prepare(self, tool: str, controller: Controller, drives: Sequence[Drive]) -> tuple[Command, ...]:
        """Preserved cache, foreign configuration, spares and pass-through, spin-up: in that order."""
        at = f"/c{index_of(controller)}"
        commands = [
            self._command(
                tool, f"{at}/v{vd}", "delete", "preservedcache", "force",
                says=f"discard the preserved cache of volume {vd}, which is gone, on {_told(controller)}",
            )
            for vd in _pinned(controller)
        ]  # fmt: skip
        foreign = [drive for drive in drives if drive.state == "foreign"]
        if foreign:
            _refuse_other_foreign(controller, drives)
            bad = [one for one in foreign if (one.raw_state or "").lower().startswith(BAD)]
            commands += [one for drive in bad for one in self._unpass(tool, controller, drive)]
            says = f"clear the foreign configuration of drives {drives_told(foreign)} on {_told(controller)}"
            commands.append(self._command(tool, f"{at}/fall", "delete", says=says))
            if controller.jbod:  # such a controller passes a drive through as soon as it is unconfigured
                commands += [one for drive in foreign for one in self._unpass(tool, controller, drive)]
        for drive in drives:
            if drive.state in ("spare", "jbod"):
                commands += self.free_drive(tool, controller, drive)
        for drive in drives:
            if drive.spun_down:
                says = f"spin up drive {drives_told((drive,))} on {_told(controller)}"
                commands.append(self._command(tool, _path(controller, drive), "spinup", says=says))
        return tuple(commands)

    def create(self, tool: str, controller: Controller, wish: VolumeWish) -> tuple[Command, ...]:
        """Make a volume; of level jbod, pass the drives through, or make each a RAID0 where JBOD is off."""
        if wish.level == "jbod":
            return self._pass_through(tool, controller, wish)
        if wish.group is not None and wish.level != wish.group.level:
            raise Refused(
                f"volume {wish.name} can't be {wish.level}: its drives hold {wish.group.level} "
                f"({wish.group.name or wish.group.id}), and MegaRAID keeps one level on a drive group",
                reason="layout-impossible",
                hint=f"give it level {wish.group.level}, or drives of its own",
            )
        drives = drives_told(wish.drives)
        says = f"make {wish.level} volume {wish.name} of drives {drives} on {_told(controller)}"
        return (self._add(tool, controller, wish, wish.drives, name=wish.name, says=says),)

    def delete_volume(self, tool: str, controller: Controller, volume: VirtualDrive) -> tuple[Command, ...]:
        """Delete one volume by its id; `force` because a volume with a file system is refused without."""
        at = f"/c{index_of(controller)}/v{_number(volume)}"
        says = f"delete volume {volume.name or volume.id} ({volume.wwn or volume.id}) on {_told(controller)}"
        return (self._command(tool, at, "delete", "force", says=says),)

    def free_drive(self, tool: str, controller: Controller, drive: Drive) -> tuple[Command, ...]:
        """Make a spare or a drive that is passed through an unconfigured one."""
        if drive.state == "spare":
            says = f"let drive {drives_told((drive,))} be no hot spare on {_told(controller)}"
            words = ("delete", "hotsparedrive")
            return (self._command(tool, _path(controller, drive), *words, says=says),)
        return self._unpass(tool, controller, drive)

    def add_spare(
        self, tool: str, controller: Controller, volume: VirtualDrive, drive: Drive
    ) -> tuple[Command, ...]:
        """Give a volume's drive group a dedicated hot spare."""
        group = volume.groups[0] if len(volume.groups) == 1 else ""
        if not group.isdigit():
            raise Refused(
                f"{_told(controller)} does not say on which drive group volume {volume.name or volume.id} is",
                reason="step-failed",
                hint="rackflow host NAME shows what its controller listed",
            )
        says = f"keep drive {drives_told((drive,))} as hot spare of volume {volume.name or volume.id}"
        words = ("add", "hotsparedrive", f"dgs={group}")
        return (self._command(tool, _path(controller, drive), *words, says=says),)

    def boot_from(self, tool: str, controller: Controller, volume: VirtualDrive) -> tuple[Command, ...]:
        """Make the controller's own firmware start from this volume."""
        at = f"/c{index_of(controller)}/v{_number(volume)}"
        says = f"start from volume {volume.name or volume.id} on {_told(controller)}"
        return (self._command(tool, at, "set", "bootdrive=on", says=says),)

    def _command(self, tool: str, at: str, *words: str, says: str) -> Command:
        return change(tool, at, *words, NO_LOG, says=says)

    def _unpass(self, tool: str, controller: Controller, drive: Drive) -> tuple[Command, ...]:
        says = f"let drive {drives_told((drive,))} be an unconfigured one on {_told(controller)}"
        at = _path(controller, drive)
        return tuple(self._command(tool, at, "set", *words, says=says) for words in self.free)

    def _pass_through(self, tool: str, controller: Controller, wish: VolumeWish) -> tuple[Command, ...]:
        """`set jbod` for each drive.

        JBOD is never switched on for a whole controller: many firmwares then pass through all drives that
        are unconfigured, also those that nobody asked about.
        """
        if controller.jbod is not False:
            return tuple(
                self._command(
                    tool, _path(controller, drive), "set", "jbod",
                    says=f"pass drive {drives_told((drive,))} through on {_told(controller)}",
                )
                for drive in wish.drives
                if drive.state != "jbod"
            )  # fmt: skip
        return tuple(
            self._add(
                tool, controller, wish, (drive,), name=numbered(wish.name, place, len(wish.drives)),
                says=f"make a volume of drive {drives_told((drive,))} alone on {_told(controller)}",
            )
            for place, drive in enumerate(wish.drives)
        )  # fmt: skip

    def _add(
        self,
        tool: str,
        controller: Controller,
        wish: VolumeWish,
        drives: Sequence[Drive],
        *,
        name: str,
        says: str,
    ) -> Command:
        level: Level = "raid0" if wish.level == "jbod" else wish.level
        digits = LEVELS.get(level)
        if digits is None:
            raise Refused(
                f"{_told(controller)} makes no {level}",
                reason="layout-impossible",
                hint=f"choose of {', '.join(LEVELS)}",
            )
        words = [f"{self.level}{digits}"]
        if wish.size_bytes is not None:
            words.append(f"size={wish.size_bytes >> 20}MB")
        words += [f"name={name}", f"drives={_list(drives)}"]
        if level in _SPANNED:
            words.append(f"pdperarray={per_span(level, len(drives), wish.spans)}")
        if wish.write_cache is not None:
            words.append(_WRITE[wish.write_cache])
        if wish.read_cache is not None:
            words.append(_READ[wish.read_cache])
        if wish.strip_bytes is not None:
            words.append(f"strip={wish.strip_bytes >> 10}")
        if wish.spares and wish.level != "jbod":
            words.append(f"spares={_list(wish.spares)}")
        return self._command(tool, f"/c{index_of(controller)}", "add", "vd", *words, says=says)


STORCLI: Final = Storcli(
    name="storcli",
    tools=("storcli64", "storcli", "perccli64", "perccli"),
    pci=(PciRule(driver="megaraid_sas"),),
    level="r",
    free=(("good", "force"),),
)
"""MegaRAID, PERC up to 11, and their relatives at Cisco, Fujitsu, HPE (MR), Intel and Lenovo."""

STORCLI2: Final = Storcli(
    name="storcli2",
    tools=("storcli2", "perccli2"),
    pci=(PciRule(driver="mpi3mr"),),
    level="raid",
    free=(("uconf", "force"), ("uconf",)),
)
"""MPI3 controllers: 96xx and PERC 12. storcli64 does not list them, so they are a family of their own."""


def per_span(level: Level, count: int, spans: int) -> int:
    """How many drives each span has. Raises Refused where they can't be divided.

    A RAID10 without a wish is made of pairs, which bears the most lost drives, and of larger mirrors where
    there would be too many spans.
    """
    if spans > 1:
        fits = [count // spans] if count % spans == 0 and spans <= MOST_SPANS else []
    else:
        step = 2 if level == "raid10" else 1
        least = {"raid00": 1, "raid10": 2, "raid50": 3, "raid60": 3}[level]
        fits = [
            size
            for size in range(least, count // 2 + 1, step)
            if count % size == 0 and count // size <= MOST_SPANS
        ]
    if not fits:
        raise Refused(
            f"{level} can't divide {count} drives into {spans if spans > 1 else f'2 to {MOST_SPANS}'} spans",
            reason="layout-impossible",
            hint="choose another number of drives or spans",
        )
    return fits[0]


def numbered(name: str, place: int, count: int) -> str:
    """The name of one volume of several that a wish becomes; within what a controller keeps of a name."""
    if count == 1:
        return name[:NAME_CHARACTERS]
    tail = f"-{place}"
    return name[: NAME_CHARACTERS - len(tail)] + tail


def _pinned(controller: Controller) -> tuple[str, ...]:
    """Ids of volumes that are gone and whose cache is kept.

    Raises Refused where such a volume is still listed, because its data may still be brought back, and
    where the controller has kept cache and nothing says of which volume.
    """
    told = [one.text for one in controller.conditions if one.kind == "preserved-cache"]
    ids = tuple(dict.fromkeys(match[1] for text in told if (match := _PINNED.search(text))))
    if told and not ids:
        raise Refused(
            f"{_told(controller)} has preserved cache and does not say of which volume ({told[0]})",
            reason="step-failed",
            hint="discard it by hand, or bring the volume's drives back",
        )
    alive = next((volume for volume in controller.volumes if volume.id in ids), None)
    if alive is not None:
        raise Refused(
            f"volume {alive.name or alive.id} of {_told(controller)} is {alive.state or 'there'} "
            "and its cache is preserved: what is discarded is lost for it",
            reason="step-failed",
            hint="delete the volume in the spec, or bring its drives back",
        )
    return ids


def _refuse_other_foreign(controller: Controller, drives: Iterable[Drive]) -> None:
    """Foreign configurations are cleared all at once, so all must be of the given drives."""
    given = {drive.address for drive in drives}
    others = [one for one in controller.drives if one.state == "foreign" and one.address not in given]
    if others:
        raise Refused(
            f"{_told(controller)} can clear foreign configurations only all at once, and drives that nobody "
            f"asked about are foreign too: {drives_told(others)}",
            reason="step-failed",
            hint="import or clear them by hand, pull them, or let the spec use them",
        )


def _told(controller: Controller) -> str:
    return f"{controller.model or 'controller'} {controller.serial or controller.pci or controller.index}"


def _number(volume: VirtualDrive) -> str:
    """The id of one volume; a word such as `all` would mean every volume of the controller."""
    number = id_of(volume)
    if not number.isdigit():
        raise Refused(f"volume {number!r} is no volume's number", reason="step-failed")
    return number


def _path(controller: Controller, drive: Drive) -> str:
    enclosure, slot = _place(drive)
    return f"/c{index_of(controller)}" + (f"/e{enclosure}" if enclosure else "") + f"/s{slot}"


def _place(drive: Drive) -> tuple[str, str]:
    enclosure, found, slot = address_of(drive).partition(":")
    if not found or not slot.isdigit() or not (enclosure.isdigit() or not enclosure):
        raise Refused(f"drive address {drive.address!r} is no enclosure and slot", reason="step-failed")
    return enclosure, slot


def _list(drives: Sequence[Drive]) -> str:
    """`252:1,252:2`; drives without an enclosure by their slots alone, and first, where no other's stands."""
    places = sorted((_place(drive) for drive in drives), key=lambda place: bool(place[0]))
    return ",".join(f"{enclosure}:{slot}" if enclosure else slot for enclosure, slot in places)
