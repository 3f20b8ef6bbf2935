"""What the planner read, in canonical form, and whether a machine still is so.

Kernel names (`sda`), link state, counters and free space are left out: they change without anything
having changed. Everything that a choice or a consent rested on is in: identities, sizes, contents.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from metal.planning.disks import unfit
from metal.planning.plan import Plan
from specs.facts import Disk, Hardware, Observation, RaidArray, RaidController, SystemFacts

Reads = Literal["hardware", "disks", "system"]
OF_MACHINE: Final = frozenset({"hardware", "disks"})
"""What is read of the machine and not of its system, so that the boot OS can say whether it still holds."""


def basis_of(observation: Observation, reads: Reads) -> dict[str, Any]:
    """The fields that a plan rests on: hardware for an installation, disks for a wipe, else the system."""
    if reads == "hardware":
        return {"reads": reads, "hardware": _hardware(observation.hardware)}
    if reads == "disks":
        return {"reads": reads, "hardware": _disks(observation.hardware)}
    power = observation.bmc.power if observation.bmc else None
    return {"reads": reads, "system": _system(observation.system), "power": power}


@dataclass(frozen=True, slots=True)
class Moved:
    """One field that is not as the basis says."""

    path: str
    told: str

    def __str__(self) -> str:
        """Path and what changed, for a message."""
        return f"{self.path}: {self.told}"

    def under(self, leaf: str) -> bool:
        """Whether the field is the leaf or lies below it."""
        return self.path == leaf or self.path.startswith(f"{leaf}.")


SEEN_OTHERWISE: Final = re.compile(r"hardware\.(raids|disks\..+\.(found|partitions))(\.|$)")
"""What a running system shows in other words than the boot OS: mounts, holders, assembled arrays."""


def contents(disks: Iterable[Disk]) -> tuple[str, ...]:
    """Paths of what lies on disks: what a step that writes them leaves otherwise than the basis says."""
    paths = [f"hardware.disks.{disk_key(disk)}.{part}" for disk in disks for part in ("found", "partitions")]
    return tuple(dict.fromkeys(paths))


def disk_path(disk: Disk) -> str:
    """Path of one disk, with all that is known of it."""
    return f"hardware.disks.{disk_key(disk)}"


def drive_path(controller: str, identity: str) -> str:
    """Path of what a controller uses a drive for."""
    return f"hardware.controllers.{controller}.drives.{identity}"


def array_path(uuid: str) -> str:
    """Path of one array."""
    return f"hardware.raids.{uuid}"


def moved(plan: Plan, seen: Observation) -> list[Moved]:
    """Every field in which a machine is not as a plan's basis says; what cannot be read counts as moved."""
    said = plan.basis.get("reads")
    reads: Reads = said if said in OF_MACHINE else "system"
    found = list(_compare("", plan.basis, basis_of(seen, reads)))
    if plan.seen_from == seen.seen_from:
        return found
    return [one for one in found if not SEEN_OTHERWISE.match(one.path)]


def _hardware(hardware: Hardware | None) -> dict[str, Any] | None:
    if hardware is None:
        return None
    behind = {one.id: _controller(one) for one in hardware.controllers}
    return {
        **({"controllers": behind} if behind else {}),
        "firmware": hardware.firmware,
        "serial": hardware.serial,
        "uuid": hardware.uuid,
        "nics": sorted(nic.mac for nic in hardware.nics),
        "disks": {disk_key(disk): _disk(disk) for disk in hardware.disks},
        "raids": {array.uuid: _array(array) for array in hardware.raids},
    }


def _disks(hardware: Hardware | None) -> dict[str, Any] | None:
    """The machine and the disks that may be erased. One that never may comes and goes, as BMCs' media do."""
    if hardware is None:
        return None
    usable = (disk for disk in hardware.disks if unfit(disk, hardware.disks) is None)
    return {
        "serial": hardware.serial,
        "uuid": hardware.uuid,
        "disks": {disk_key(disk): _disk(disk) for disk in usable},
    }


def disk_key(disk: Disk) -> str:
    """The name of a disk in the basis: its identity; one without is known by its place."""
    return disk.identity or f"path {disk.by_path or disk.device}"


def _content(found: tuple[str, ...]) -> list[str]:
    """What lies on a disk, without who holds or mounts it now and under which kernel name."""
    lasting = (said for said in found if not said.startswith(("held by ", "mounted at ")))
    return sorted(re.sub(r" on \S+$", "", said) for said in lasting)


def _disk(disk: Disk) -> dict[str, Any]:
    return {
        "size_bytes": disk.size_bytes,
        "found": _content(disk.found),
        "partitions": [[one.number, one.start_bytes, one.size_bytes, one.name] for one in disk.partitions],
    }


USES: Final = {"online": "member", "rebuilding": "member", "copyback": "member", "unconfigured": "free"}
"""What a drive is used for, by its state: a rebuild that ends between plan and run moves nothing."""


def _controller(controller: RaidController) -> dict[str, Any]:
    drives = {
        drive.identity or f"slot {drive.address}": {
            "size_bytes": drive.size_bytes,
            "use": USES.get(drive.state, drive.state),
        }
        for drive in controller.drives
    }
    return {"driver": controller.driver, "problem": controller.problem, "drives": drives}


def _array(array: RaidArray) -> dict[str, Any]:
    return {"name": array.name, "level": array.level, "members": sorted(array.members)}


def _system(system: SystemFacts | None) -> dict[str, Any] | None:
    if system is None:
        return None
    return {
        "hostname": system.hostname,
        "record": system.record.model_dump(mode="json") if system.record else None,
        "users": {user.name: user.model_dump(mode="json") for user in system.users},
        "files": {file.path: file.model_dump(mode="json") for file in system.files},
        "network_files": dict(sorted(system.network_files.items())),
        "mounts": {one.mount: one.fs_uuid for one in system.mounts},
        "management_key": system.management_key,
    }


def _compare(path: str, before: Any, now: Any) -> Iterator[Moved]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            below = f"{path}.{key}" if path else str(key)
            if key not in now:
                yield Moved(below, f"was {_told(before[key])}, is gone")
            elif key not in before:
                yield Moved(below, f"is new: {_told(now[key])}")
            else:
                yield from _compare(below, before[key], now[key])
    elif before != now:
        yield Moved(path, f"was {_told(before)}, is {'unknown' if now is None else _told(now)}")


def _told(value: Any) -> str:
    if value is None:
        return "unknown"
    return str(value) if len(str(value)) <= 120 else f"{str(value)[:117]}..."
