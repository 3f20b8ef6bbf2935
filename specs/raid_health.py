"""How a machine's RAID volumes are: which drive to replace, what is being rebuilt, what can't be known.

One reading for everybody who tells of it: the condition `Healthy`, plans, `rackflow host NAME`. What a
tool says of a drive comes from the facts alone; nothing is asked here, and nothing is guessed: a volume
whose controller can't be asked is unknown, with the reason, and neither in order nor drift.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from specs.facts import Hardware, Observation, PhysicalDrive, RaidArray, RaidController
from specs.model import RaidVolume

SOFTWARE: Final = "md"
LOST: Final = ("failed", "missing", "offline")
"""States of a drive that is to be replaced."""
_BROKEN: Final = ("failed", "offline", "inactive", "broken")
_WORN: Final = ("degraded", "partially-degraded", "rebuilding", "recover")
_BUSY: Final = ("initialising", "migrating", "resync", "reshape")
"""States of a volume that keeps its redundancy, and works on it; md's words are those of its sync_action."""


@dataclass(frozen=True, slots=True)
class Told:
    """One sentence about one volume; `volume` is its name, or what else it is known by."""

    volume: str
    text: str


@dataclass(frozen=True, slots=True)
class Health:
    """What is to be told. `replace` needs a person with a drive, `states` pass by themselves."""

    replace: tuple[Told, ...] = ()
    worn: tuple[Told, ...] = ()
    states: tuple[Told, ...] = ()
    unknown: tuple[Told, ...] = ()
    seen: int = 0
    """How many volumes were read."""

    @property
    def status(self) -> Literal["True", "False", "Unknown"] | None:
        """The condition `Healthy`; None where there is no RAID to tell of."""
        if self.replace or self.worn:
            return "False"
        if self.unknown:
            return "Unknown"
        return "True" if self.seen else None

    @property
    def reason(self) -> str:
        """Its reason code."""
        if self.replace:
            return "drive-failed"
        if self.worn:
            return "raid-degraded"
        return "raid-unknown" if self.unknown else "ok"

    @property
    def texts(self) -> tuple[str, ...]:
        """All sentences, the most urgent first."""
        told = (*self.replace, *self.worn, *self.states, *self.unknown)
        return tuple(f"volume {one.volume}: {one.text}" for one in told)

    @property
    def message(self) -> str:
        """The condition's message."""
        if self.texts:
            return "; ".join(self.texts)
        return f"{self.seen} RAID volume{'s' if self.seen != 1 else ''} in order"


def health_of(observation: Observation, wished: Sequence[RaidVolume] = ()) -> Health:
    """How the volumes of a reading are; `wished` are those of the spec, which may not have been read."""
    hardware = observation.hardware
    if hardware is None:
        return Health()
    replace: list[Told] = []
    worn: list[Told] = []
    states: list[Told] = []
    installed = installed_on(observation)
    for array in hardware.raids:
        found = [*_lost_drives(array, hardware), *_lost_members(array, hardware)]
        if not found and array.state in _WORN:
            found = [*_let_go(array, hardware)]
        replace += (Told(name_of(array), text) for text in found)
        if _is_left_over(array, wished, installed):
            places = ", ".join((*array.members, *array.spares))
            states.append(Told(name_of(array), f"does not run: an earlier life left it on {places}"))
        elif array.state in _BROKEN:
            replace.append(Told(name_of(array), f"is {array.state}: its data can't be read"))
        elif array.state in _WORN:
            worn.append(Told(name_of(array), _worn(array, hardware, installed, found)))
        elif array.state in _BUSY:
            states.append(Told(name_of(array), f"is {array.state}{_progress(array)}"))
    unknown = [Told(one.name, why) for one in wished if (why := why_unknown(one, observation)) is not None]
    return Health(tuple(replace), tuple(worn), tuple(states), tuple(unknown), len(hardware.raids))


def installed_on(observation: Observation) -> tuple[str, ...]:
    """Disks and drives of the installation, as the running system's own record has them."""
    record = observation.system.record if observation.system else None
    return record.disks if record else ()


def _is_left_over(array: RaidArray, wished: Sequence[RaidVolume], installed: Sequence[str]) -> bool:
    """Whether a kernel array that does not run is nobody's: an old superblock on a spare disk is no fault."""
    if array.driver != SOFTWARE or array.state != "inactive":
        return False
    places = {*array.members, *array.spares}
    return not places & {*installed} and all(one.name != name_of(array) for one in wished)


def name_of(array: RaidArray) -> str:
    """A volume's name, without the host that md puts in front; else its level and number."""
    return (array.name or "").rpartition(":")[2] or f"{array.level} {array.volume or array.uuid}"


def of_namesakes(named: Iterable[RaidArray], *drives: Collection[str]) -> RaidArray | None:
    """Which of the volumes of one name is meant: that on more of the drives, the first groups before others.

    Drives of another machine may bring a volume of the same name. Which is listed first is chance.
    """

    def shared(array: RaidArray) -> tuple[int, ...]:
        return tuple(len({*array.members} & {*group}) for group in drives)

    return max(named, key=lambda one: (*shared(one), one.uuid), default=None)


def found_for(wished: RaidVolume, hardware: Hardware, installed: Collection[str] = ()) -> RaidArray | None:
    """The array that a volume of a spec is now: by its name, else a nameless one of its level and size.

    `installed` are the disks and drives of the host's installation.
    """
    named = of_namesakes((one for one in hardware.raids if name_of(one) == wished.name), installed)
    if named is not None or wished.controller == "software":
        return named
    count = wished.drives.count
    return next(
        (
            one
            for one in hardware.raids
            if one.controller is not None
            and (not one.name or one.driver in _OWN_LABELS)
            and one.level == wished.level
            and (not isinstance(count, int) or len(one.members) <= count)
        ),
        None,
    )


_OWN_LABELS: Final = ("ssacli",)
"""Families that give volumes labels of their own."""


def why_unknown(wished: RaidVolume, observation: Observation) -> str | None:
    """Why nothing is known of a volume of the spec; None where it was read, or is surely not there."""
    hardware = observation.hardware
    if hardware is None or wished.level == "jbod":
        return None
    if found_for(wished, hardware, installed_on(observation)) is not None:
        return None
    paths = [path for path in observation.unknown if path.startswith("hardware.controllers.")]
    if "hardware.raids" in observation.unknown:
        return f"not known: {observation.unknown['hardware.raids']}"
    if wished.controller in ("software", SOFTWARE):
        return None
    blind = next((one for one in hardware.controllers if one.problem), None)
    if blind is not None:
        where = " of the running system" if observation.seen_from == "running-os" else ""
        return f"not known: {_controller(blind)}{where}: {blind.problem}"
    return f"not known: {observation.unknown[paths[0]]}" if paths else None


def drive_told(drive: PhysicalDrive, controller: RaidController) -> str:
    """A drive as somebody finds it in the rack: serial, and the slot as the controller's tool shows it."""
    who = drive.serial or drive.wwn or "without serial"
    return f"drive {who} in slot {drive.address} of {_controller(controller)}"


def _controller(one: RaidController) -> str:
    return " ".join(f"{one.model or one.driver} at {one.id}".split())


def _lost_drives(array: RaidArray, hardware: Hardware) -> Iterator[str]:
    """Members that the controller has given up, or expects to."""
    controller = next((one for one in hardware.controllers if array.controller == one.id), None)
    if controller is None:
        return
    for drive in controller.drives:
        if drive.identity in (*array.members, *array.spares) or _is_of(drive, array):
            if drive.state in LOST:
                yield f"{drive_told(drive, controller)} is {drive.state}; replace it"
            elif is_failing(drive, controller):
                yield f"{drive_told(drive, controller)} is about to fail; replace it"
    for member in array.members:
        if member.startswith("slot "):
            yield f"the drive in {member} of {_controller(controller)} is missing; replace it"


def _let_go(array: RaidArray, hardware: Hardware) -> Iterator[str]:
    """Drives that failed and are in no volume any more: Marvell's cards forget whose they were."""
    controller = next((one for one in hardware.controllers if array.controller == one.id), None)
    used = {name for one in hardware.raids for name in (*one.members, *one.spares)}
    if controller is None:
        return
    for drive in controller.drives:
        if drive.state in LOST and drive.volume is None and drive.identity not in used:
            yield f"{drive_told(drive, controller)} is {drive.state}, and in no volume now; replace it"


def _is_of(drive: PhysicalDrive, array: RaidArray) -> bool:
    """Whether the tool says that a drive is this volume's, also where the volume lists it no more."""
    return drive.volume is not None and drive.volume == array.volume


def is_failing(drive: PhysicalDrive, controller: RaidController) -> bool:
    """Whether the controller predicts that a drive fails: such conditions name it by its address."""
    if not drive.address:
        return False
    place = re.compile(rf"(?<![\w:,.]){re.escape(drive.address)}(?![\w,]|[:.]\w)")
    return any(one.kind == "predictive-failure" and place.search(one.text) for one in controller.conditions)


def _lost_members(array: RaidArray, hardware: Hardware) -> Iterator[str]:
    """Members that md has marked faulty, each with the place where udev sees it."""
    for member in array.failed:
        disk = next((one for one in hardware.disks if member in (one.serial, one.wwn)), None)
        where = f" at {disk.by_path or disk.device}" if disk else ""
        yield f"drive {member}{where} has failed; replace it"


def _worn(array: RaidArray, hardware: Hardware, installed: Sequence[str], found: Sequence[str]) -> str:
    """The state; where no drive was found that is the cause, what is known of it."""
    told = f"is {'rebuilding' if array.state == 'recover' else array.state}{_progress(array)}"
    if found or array.state in ("rebuilding", "recover"):
        return told
    if array.driver != SOFTWARE:
        return f"{told}; its controller does not say which drive it lacks"
    seen = {name for disk in hardware.disks for name in (disk.serial, disk.wwn) if name}
    gone = [one for one in installed if one not in seen]
    if gone:
        return f"{told}; of the disks that it was installed on {', '.join(gone)} is not seen"
    return f"{told}; a member is missing"


def _progress(array: RaidArray) -> str:
    return f" ({array.progress:g} %)" if array.progress is not None else ""
