"""What every RAID driver takes and gives; no driver of its own.

A hardware RAID driver is one file beside `md.py`:

    1. `claims(hardware)`: how well it fits, 0 for "not mine" (a controller's PCI driver, a CLI that answers);
    2. `read(shell)`: command and parser -> RaidArray, members by drive serial;
    3. `create(volume)`, `delete(volume)`: the commands, each with a DiskGuard per drive it erases, or, where
       drives are no block devices, the unique id that was re-read just before;
    4. one row in `drivers.raid.DRIVERS`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from metal.errors import Refused
from metal.protocols import Command, DiskGuard, Shell
from specs.facts import Hardware, RaidArray


@dataclass(frozen=True, slots=True)
class Member:
    """A drive of a volume, by identity."""

    identity: str
    size_bytes: int | None = None

    @classmethod
    def of(cls, value: dict[str, Any] | str) -> "Member":
        """Take a step's member: an identity, with its size where the disk is going to be erased."""
        if isinstance(value, str):
            return cls(value)
        return cls(str(value["identity"]), value.get("size_bytes"))

    def guard(self) -> DiskGuard:
        """Give what rf-exec checks before a command starts."""
        return DiskGuard(self.identity, self.size_bytes)


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume as a step names it."""

    name: str
    level: str
    uuid: str
    members: tuple[Member, ...]
    spares: tuple[Member, ...] = ()
    metadata: str = "1.0"
    chunk_bytes: int | None = None
    zeroed: bool = False
    """Whether all members are known to hold zeros, so that there is nothing to synchronise."""

    @classmethod
    def of(cls, args: dict[str, Any], *, uuid: str, zeroed: bool = False) -> "Volume":
        """Take a step's arguments, and the id that the job gives the volume."""
        return cls(
            name=str(args["name"]),
            level=str(args.get("level", "raid1")),
            uuid=uuid,
            members=tuple(Member.of(member) for member in args["members"]),
            spares=tuple(Member.of(member) for member in args.get("spares") or ()),
            metadata=str(args.get("metadata") or "1.0"),
            chunk_bytes=args.get("chunk_bytes"),
            zeroed=zeroed,
        )


def uuid_key(uuid: str) -> str:
    """Give a volume's id without the separators that tools put differently."""
    return "".join(c for c in uuid.lower() if c in "0123456789abcdef")


def find_array(arrays: tuple[RaidArray, ...], uuid: str) -> RaidArray | None:
    """Give the array with this id."""
    return next((array for array in arrays if uuid_key(array.uuid) == uuid_key(uuid)), None)


class RaidDriver(Protocol):
    """One family of RAID."""

    name: str

    def claims(self, hardware: Hardware) -> int:
        """How well this driver fits the machine; 0 is "not mine"."""

    def read(self, shell: Shell) -> tuple[RaidArray, ...]:
        """All volumes."""

    def create(self, volume: Volume) -> tuple[Command, ...]:
        """Make a volume."""

    def assemble(self, volume: Volume) -> tuple[Command, ...]:
        """Bring a volume up that a boot left lying; nothing where a controller does that itself."""

    def delete(self, volume: Volume, array: RaidArray | None) -> tuple[Command, ...]:
        """Delete one volume by its unique id."""


def best(drivers: tuple[RaidDriver, ...], hardware: Hardware) -> RaidDriver:
    """Give the driver that claims the machine most. Raises Refused when none does."""
    rank: Callable[[RaidDriver], int] = lambda driver: driver.claims(hardware)  # noqa: E731
    driver = max(drivers, key=rank)
    if driver.claims(hardware) <= 0:
        raise Refused("no RAID driver fits this machine", reason="refused", hint="remove raid from its spec")
    return driver
