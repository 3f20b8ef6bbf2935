"""All RAID controllers of one machine as they are now, in a file of the machine's folder.

What they show are disks of QEMU with image files of their own; each has its SCSI target for as long as it is
shown, so that a machine which goes on from a snapshot finds every disk where it was.
"""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lab.errors import LabError
from lab.processes import write_atomically
from lab.raid import model
from lab.raid.delivered import ControllerDefinition, build
from lab.raid.families import FAMILIES, tool_family
from lab.raid.leftovers import leave
from lab.raid.model import Controller, Drive, Limits, Plug, Refusal, Volume
from lab.raid.reply import Reply

STATE = "raid.json"
NODES = "raid-"
LONGEST_TICK_S = 3600.0
"""A machine that was off, or a snapshot, for a year has its rebuild done all the same."""


@dataclass(frozen=True)
class ShownDisk:
    """A block device that a controller shows: a volume, or a drive that is passed through."""

    plug: Plug
    adapter: int
    """Which of the machine's controllers shows it."""
    target: int
    vendor: str
    product: str
    ssd: bool

    @property
    def name(self) -> str:
        """QEMU's name of the device."""
        return f"disk-{self.plug.key}"

    @property
    def node(self) -> str:
        """Begin of the names of its block nodes, of which QEMU takes 31 characters."""
        return f"{NODES}{hashlib.sha256(self.plug.key.encode()).hexdigest()[:16]}"

    @property
    def file(self) -> str:
        """Its image, in the machine's folder."""
        return f"raid-{self.plug.key}.raw"


@dataclass
class Cabinet:
    """The controllers of one machine, and where what they show is plugged."""

    directory: Path
    controllers: list[Controller]
    targets: dict[str, int] = field(default_factory=dict)
    ticked_at: float = 0.0

    @classmethod
    def of(cls, directory: Path, definitions: Sequence[ControllerDefinition]) -> "Cabinet":
        """As it is in the folder; as delivered, with the disks of its old volumes, where it was not yet."""
        path = directory / STATE
        if not path.exists():
            cls._deliver(directory, definitions)
        try:
            raw = json.loads(path.read_text())
            return cls(
                directory,
                [_controller(one) for one in raw["controllers"]],
                {str(key): int(target) for key, target in raw["targets"].items()},
                float(raw["ticked_at"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise LabError(
                f"{path} is not the state of RAID controllers: {error}", "python -m lab fresh MACHINE"
            ) from error

    @classmethod
    def _deliver(cls, directory: Path, definitions: Sequence[ControllerDefinition]) -> None:
        fresh = cls(directory, build(definitions), ticked_at=time.time())
        volumes = [(old.name, old.content) for one in definitions for old in one.volumes]
        drives = {drive.serial: drive.content for one in definitions for drive in one.drives}
        made = [volume.wwn for one in fresh.controllers for volume in one.volumes]
        contents = {f"d{serial}": (serial, content) for serial, content in drives.items()}
        contents |= {f"v{unique}": old for unique, old in zip(made, volumes, strict=True)}
        for disk in fresh.shown():
            name, content = contents[disk.plug.key]
            leave(directory / disk.file, disk.plug.size_bytes, content, name)
        fresh.save()

    @classmethod
    def forget(cls, directory: Path) -> None:
        """Throw state and disks away: the next machine is as delivered."""
        for path in (directory / STATE, *directory.glob("raid-*.raw")):
            path.unlink(missing_ok=True)

    def save(self) -> None:
        """Keep it: before anything of it is shown, so that a rack that dies shows what was answered."""
        self._place()
        raw = {
            "controllers": [asdict(one) for one in self.controllers],
            "targets": self.targets,
            "ticked_at": self.ticked_at,
        }
        write_atomically(self.directory / STATE, json.dumps(raw, indent=1))

    def shown(self) -> tuple[ShownDisk, ...]:
        """The disks a machine sees: what it starts from first, then volumes by age, then drives."""
        self._place()
        disks = [
            ShownDisk(plug, place, self.targets[plug.key], *_looks(one, plug))
            for place, one in enumerate(self.controllers)
            for plug in model.plugged(one)
        ]
        return tuple(sorted(disks, key=lambda disk: (not disk.plug.boot, disk.plug.key.startswith("d"))))

    def make_images(self) -> None:
        """Empty disks for what has none, and away with those of volumes that are no more."""
        shown = {disk.file: disk for disk in self.shown()}
        for name, disk in shown.items():
            if not (self.directory / name).exists():
                leave(self.directory / name, disk.plug.size_bytes, None, "")
        volumes = {f"raid-v{volume.wwn}.raw" for one in self.controllers for volume in one.volumes}
        for path in self.directory.glob("raid-v*.raw"):
            if path.name not in volumes:
                path.unlink()

    def call(self, argv: Sequence[str], stdin: str | None) -> Reply:
        """One call of a tool, by its name; the state is kept before the answer is known."""
        family = tool_family(argv[0]) if argv else None
        if family is None:
            return Reply("", f"{argv[0] if argv else ''}: no emulated controller has this tool\n", 127)
        self.tick()
        reply = family.run(argv, self.controllers, stdin)
        self.save()
        return reply

    def tick(self, now: Callable[[], float] = time.time) -> None:
        """Let the time pass that has passed since the last look: rebuilds go on."""
        at = now()
        for one in self.controllers:
            model.tick(one, min(max(at - self.ticked_at, 0.0), LONGEST_TICK_S))
        self.ticked_at = at

    def fail(self, place: str, *, gone: bool) -> str:
        """A drive dies, or is pulled out; its serial. LabError lists the drives when it is not there."""
        controller, drive = self._drive(place)
        self.tick()
        model.fail(controller, drive, gone=gone)
        self.save()
        return drive.serial

    def replace(self, place: str, serial: str) -> str:
        """Put a blank drive into the slot of a failed one; a volume that lacks a drive is rebuilt on it."""
        controller, drive = self._drive(place)
        self.tick()
        try:
            model.replace(controller, drive, serial)
        except Refusal as refusal:
            raise LabError(f"drive {place} can't be replaced: {refusal}", "fail it first") from refusal
        self.save()
        return serial

    def _drive(self, place: str) -> tuple[Controller, Drive]:
        drives = [(one, drive) for one in self.controllers for drive in one.drives]
        found = [pair for pair in drives if place in (pair[1].serial, *_places(pair[1]))]
        if len(found) == 1:
            return found[0]
        seen = ", ".join(f"{_places(drive)[0]} {drive.serial} {drive.condition}" for _, drive in drives)
        raise LabError(
            f"{len(found)} drives are {place!r}", f"by slot, enclosure:slot or serial; there are: {seen}"
        )

    def _place(self) -> None:
        """Give what is shown a target, and take it from what is not."""
        keys = [plug.key for one in self.controllers for plug in model.plugged(one)]
        self.targets = {key: target for key, target in self.targets.items() if key in keys}
        for key in keys:
            if key not in self.targets:
                taken = set(self.targets.values())
                self.targets[key] = next(n for n in range(len(taken) + 1) if n not in taken)


def _places(drive: Drive) -> tuple[str, str]:
    prefix = "" if drive.enclosure is None else f"{drive.enclosure}:"
    return f"{prefix}{drive.slot}", str(drive.slot)


def _looks(controller: Controller, plug: Plug) -> tuple[str, str, bool]:
    """Vendor, model and medium by which a machine sees it."""
    family = FAMILIES[controller.family]
    drive = next((one for one in controller.drives if plug.key == f"d{one.serial}"), None)
    if drive is not None:
        return ("ATA" if drive.interface == "sata" else drive.vendor)[:8], drive.model, drive.medium == "ssd"
    volume = next(one for one in controller.volumes if plug.key == f"v{one.wwn}")
    members = model.members(controller, volume.group)
    return family.vendor, family.product, all(one.medium == "ssd" for one in members)


def _controller(raw: dict[str, Any]) -> Controller:
    limits: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in raw["limits"].items()
    }
    parts = {
        "limits": Limits(**limits),
        "drives": [Drive(**one) for one in raw["drives"]],
        "volumes": [Volume(**one) for one in raw["volumes"]],
    }
    return Controller(**{**raw, **parts})
