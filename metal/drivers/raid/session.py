"""Controllers as they are gathered from one text, which may hold several outputs of a session.

Entries with the same index, address or id are one entry, and the last word on each of its fields wins;
a later full listing takes the place of an earlier one. What a drive belongs to follows from the members
of the volumes, so that a drive of two volumes belongs to none in particular.
"""

from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

from metal.drivers.identity.placeholders import Identities
from metal.drivers.raid.listing import Condition, ConditionKind, Controller, Drive, VirtualDrive

T = TypeVar("T", Controller, Drive, VirtualDrive)
_WORN = ("degraded", "partial", "critical", "interim")
"""How tools begin to say that a volume lacks redundancy, also while another task of it runs."""


def merged(old: T, new: T) -> T:
    """`old` with all that `new` states; a new state takes the old progress with it."""
    values: dict[str, Any] = {one.name: getattr(new, one.name) for one in fields(new)}
    stated = {name: value for name, value in values.items() if value is not None and value != ()}
    if "state" in stated and "progress" in values:
        stated["progress"] = values["progress"]
    return replace(old, **stated)


@dataclass(slots=True)
class Gathering:
    """One controller, growing; `drives` and `volumes` keep the order in which they were first named."""

    controller: Controller
    drives: dict[str, Drive] = field(default_factory=dict)
    volumes: dict[str, VirtualDrive] = field(default_factory=dict)
    conditions: dict[Condition, None] = field(default_factory=dict)

    def add_facts(self, facts: Controller) -> None:
        """Take what a text states of the controller itself."""
        self.controller = merged(self.controller, facts)

    def add_drive(self, drive: Drive) -> None:
        """Take a drive; one without an address is an entry of its own."""
        key = drive.address if drive.address is not None else f" {len(self.drives)}"
        known = self.drives.get(key)
        self.drives[key] = merged(known, drive) if known else drive

    def add_volume(self, volume: VirtualDrive) -> None:
        """Take a volume."""
        key = volume.id if volume.id is not None else f" {len(self.volumes)}"
        known = self.volumes.get(key)
        self.volumes[key] = merged(known, volume) if known else volume

    def add_condition(self, kind: ConditionKind, text: str) -> None:
        """Take something to know; said twice it is known once."""
        self.conditions[Condition(kind, text)] = None

    def done(self) -> Controller:
        """The controller with its drives under their volumes."""
        volumes = [self._rebuilt(volume) for volume in self.volumes.values()]
        owners: dict[str, set[str]] = {}
        for volume in volumes:
            for member in volume.members:
                owners.setdefault(member, set()).add(volume.id or "")
        return replace(
            self.controller,
            drives=tuple(_owned(drive, owners) for drive in self.drives.values()),
            volumes=tuple(volumes),
            conditions=tuple(self.conditions),
        )

    def _rebuilt(self, volume: VirtualDrive) -> VirtualDrive:
        """A degraded volume with a rebuilding member is rebuilding; that it is degraded is a condition."""
        members = (self.drives[one] for one in volume.members if one in self.drives)
        busy = next((drive for drive in members if drive.state == "rebuilding"), None)
        if busy is not None and volume.state in {"degraded", "partially-degraded"}:
            volume = replace(volume, state="rebuilding", progress=busy.progress)
        raw = volume.raw_state or ""
        if volume.state == "rebuilding" and raw and not raw.lower().startswith(("rebuild", "recover")):
            self.add_condition("rebuild", f"volume {volume.id}: {raw} until it is rebuilt")
        elif volume.state in {"initialising", "migrating"} and raw.lower().startswith(_WORN):
            self.add_condition("other", f"volume {volume.id}: {raw}")
        return volume


def _owned(drive: Drive, owners: dict[str, set[str]]) -> Drive:
    """The drive with the one volume that names it as a member; with none where several do."""
    named = owners.get(drive.address or "", set())
    if not named:
        return drive
    return (
        replace(drive, volume=next(iter(named)) or None) if len(named) == 1 else replace(drive, volume=None)
    )


@dataclass(slots=True)
class Session:
    """All controllers of a text, by index, in the order in which they were first named."""

    gatherings: dict[str | None, Gathering] = field(default_factory=dict)

    def controller(self, index: str | None) -> Gathering:
        """The gathering of a controller; a new one where it was not named yet."""
        return self.gatherings.setdefault(index, Gathering(Controller(index)))

    def only_index(self) -> str | None:
        """The index of the only controller so far; None where there are several or none."""
        return next(iter(self.gatherings)) if len(self.gatherings) == 1 else None

    def done(self) -> tuple[Controller, ...]:
        """All of them."""
        return tuple(one.done() for one in self.gatherings.values())


def without_placeholders(
    controllers: tuple[Controller, ...],
) -> tuple[tuple[Controller, ...], tuple[str, ...]]:
    """The controllers without serials that name nothing, and the paths at which such stood."""
    read = Identities()
    cleared = []
    for place, one in enumerate(controllers):
        here = f"controllers[{place}]"
        drives = (
            replace(drive, serial=read.serial(drive.serial, f"{here}.drives[{number}].serial"))
            for number, drive in enumerate(one.drives)
        )
        cleared.append(
            replace(one, serial=read.serial(one.serial, f"{here}.serial"), drives=tuple(drives)),
        )
    return tuple(cleared), tuple(read.paths)
