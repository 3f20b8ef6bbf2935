"""What a family of hardware RAID has to say of itself, and the table of families.

A family is a package beside this file. It needs four things, and can have more:

    1. a parser of its tool's outputs, `parse(text) -> Parsed[Listing]` (metal/drivers/tools.py has its row);
    2. `queries(tool)` and `controllers(answers)`: which commands list everything, and their answers joined;
    3. `create` and `delete_volume`: a volume's commands, from drives and volumes as they were just read;
    4. one row in `metal.drivers.raid.FAMILIES`, and one of its abilities in `metal.planning.raid.families`.

Commands are argvs whose addresses were read right before; nothing is sent by an address that a plan holds.
Each must end by itself: with the tool's own word against questions, and no standard input.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol, runtime_checkable

from metal.drivers.bundle import NOT_ANSWERED, Query
from metal.drivers.raid.listing import Controller, Drive, Level, VirtualDrive
from metal.errors import Refused, Unparsable
from metal.protocols import Command, Output


@dataclass(frozen=True, slots=True)
class PciRule:
    """PCI devices that are a family's: by kernel driver, and by vendor and devices (hexadecimal digits).

    None leaves a part open. A Marvell boot card looks like any SATA controller: its rule names the device.
    """

    driver: str | None = None
    vendor: str | None = None
    devices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class VolumeWish:
    """A volume to be made, of drives as they were just read.

    `size_bytes` None takes all there is. `group` is a volume whose drives are shared.
    """

    name: str
    level: Level
    drives: tuple[Drive, ...]
    spares: tuple[Drive, ...] = ()
    spans: int = 1
    size_bytes: int | None = None
    strip_bytes: int | None = None
    write_cache: Literal["back", "through"] | None = None
    read_cache: Literal["ahead", "none"] | None = None
    group: VirtualDrive | None = None


class RaidFamily(Protocol):
    """One family of RAID controllers."""

    @property
    def name(self) -> str:
        """The family's name: that of its tool in `rackflow parse`."""

    @property
    def tools(self) -> tuple[str, ...]:
        """Programs that speak its grammar, the one to prefer first."""

    @property
    def pci(self) -> tuple[PciRule, ...]:
        """Which PCI devices are its controllers."""

    def queries(self, tool: str) -> tuple[Query, ...]:
        """Commands that list controllers, drives and volumes, and change nothing."""

    def controllers(self, answers: Mapping[str, Output]) -> tuple[Controller, ...]:
        """Join the answers, keyed by the queries' names. Raises Unparsable."""

    def prepare(self, tool: str, controller: Controller, drives: Sequence[Drive]) -> tuple[Command, ...]:
        """Make drives usable: preserved cache, then foreign configuration, pass-through, spin-up."""

    def create(self, tool: str, controller: Controller, wish: VolumeWish) -> tuple[Command, ...]:
        """Make a volume with its spares; level jbod passes drives through, or makes each a volume."""

    def delete_volume(self, tool: str, controller: Controller, volume: VirtualDrive) -> tuple[Command, ...]:
        """Delete one volume, never all of a controller."""

    def free_drive(self, tool: str, controller: Controller, drive: Drive) -> tuple[Command, ...]:
        """Make a hot spare or a drive that is passed through an unconfigured one."""

    def add_spare(
        self, tool: str, controller: Controller, volume: VirtualDrive, drive: Drive
    ) -> tuple[Command, ...]:
        """Give a volume a further hot spare."""

    def boot_from(self, tool: str, controller: Controller, volume: VirtualDrive) -> tuple[Command, ...]:
        """Make the controller start from this volume; nothing where it can't be told."""


@runtime_checkable
class NamesLater(Protocol):
    """A family whose `create` names a volume by a second command, before which a run may die."""

    def name_volume(
        self, tool: str, controller: Controller, volume: VirtualDrive, name: str
    ) -> tuple[Command, ...]:
        """Give a volume the name that an interrupted `create` owes it; nothing where it has one."""


TIMED_OUT: Final = 124
"""What timeout(1) ends with when it had to stop the command."""

CREATE_TIMEOUT_S = 300
"""IR firmware takes up to a minute, an initialisation that locks the volume longer."""


def change(*argv: str, says: str, timeout_s: int = CREATE_TIMEOUT_S, stdin: bytes | None = None) -> Command:
    """A command of a vendor's tool. Its status proves nothing: the next listing does."""
    return Command(argv=argv, says=says, timeout_s=timeout_s, stdin=stdin, ok_statuses=tuple(range(256)))


def index_of(controller: Controller) -> str:
    """How the tool addresses the controller. Raises Refused where no listing said so."""
    return _listed(controller.index, f"controller {controller.model or 'without model'} has no index")


def address_of(drive: Drive) -> str:
    """How the tool addresses a drive. Raises Refused where it does not."""
    return _listed(drive.address, f"drive {drive.serial or 'without serial'} has no address")


def id_of(volume: VirtualDrive) -> str:
    """How the tool addresses a volume. Raises Refused where it does not."""
    return _listed(volume.id, f"volume {volume.name or volume.wwn} has no id")


def _listed(word: str | None, told: str) -> str:
    if word is None:
        raise Refused(
            f"{told} that its tool could be given",
            reason="step-failed",
            hint="rackflow host NAME shows what its controller listed",
        )
    return word


def drives_told(drives: Sequence[Drive]) -> str:
    """Drives as people know them, by serial, with the place where the tool has them."""
    return ", ".join(f"{one.serial or one.wwn or 'without serial'} ({one.address})" for one in drives)


def answer_of(answers: Mapping[str, Output], name: str) -> str:
    """The text of an answer. Raises Unparsable where the tool was stopped before it ended."""
    said = answers[name]
    if said.status == TIMED_OUT or (said.status == NOT_ANSWERED and not said.stdout):
        why = said.stderr.strip()[:120] or "it took too long"
        raise Unparsable(
            f"{said.argv[0]} gave no whole answer: {why}",
            reason="unparsable",
            hint="run it by hand in the boot OS; a controller that hangs answers no better",
        )
    return said.stdout if said.stdout.strip() else said.stderr
