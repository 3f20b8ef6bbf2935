"""A system that runs on a simulated machine, boot OS or deployed: what a boot holds in memory.

It ends with the power: assembled arrays, mounts and steps are gone then, disks stay. Everything that changes
it runs under `lock`, and only while `alive`.
"""

import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from lab.definition import MachineDefinition
from lab.sim.disks import Array, Content, Disk, Image, Part
from lab.sim.root import EPOCH, Root

MOUNT_POINT = "/mnt/rackflow"


@dataclass
class Assembled:
    """An array that this boot has assembled, and the kernel's name for it."""

    array: Array
    kname: str


@dataclass
class System:
    """One boot."""

    machine: MachineDefinition
    kind: Literal["boot-os", "os"]
    boot: int
    address: str
    disks: list[Disk]
    image: Image
    root: Root | None = None
    """The root file system of a deployed system."""
    root_uuid: str = ""
    run_epoch: int = 0
    assembled: list[Assembled] = field(default_factory=list)
    mounts: dict[str, str] = field(default_factory=dict)
    """Place -> UUID of the file system."""
    hostname: str = "bootos"
    boot_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    lock: threading.RLock = field(default_factory=threading.RLock)
    over: threading.Event = field(default_factory=threading.Event)
    """Set when the power goes."""

    @property
    def alive(self) -> bool:
        """Whether the machine still has the power that this system was started with."""
        return not self.over.is_set()

    # --- epochs ---

    @property
    def epoch(self) -> int:
        """The highest epoch seen, from where rf-exec keeps it."""
        if self.root is not None and "/var/lib/rackflow" in self.root.folders:
            return int(self.root.text(EPOCH) or 0)
        return self.run_epoch

    @epoch.setter
    def epoch(self, value: int) -> None:
        if self.root is not None and "/var/lib/rackflow" in self.root.folders:
            self.root.write(EPOCH, f"{value}\n".encode())
        else:
            self.run_epoch = value

    # --- devices ---

    def disk(self, serial: str) -> Disk | None:
        """The disk with this serial."""
        return next((disk for disk in self.disks if disk.serial == serial), None)

    def array(self, identity: str) -> Assembled | None:
        """The assembled array with this `md-uuid:…`, or path under /dev/md or by-id."""
        key = hex_digits(identity.rpartition("uuid")[2].partition("-part")[0])
        for one in self.assembled:
            names = (f"/dev/md/{one.array.name}", f"/dev/{one.kname}")
            if identity in names or (len(key) == 32 and key == hex_digits(one.array.uuid)):
                return one
        return None

    def device(self, identity: str) -> tuple[Content, int, str] | None:
        """Content, size and kernel name of a disk or an array by its identity."""
        if identity.startswith("md-uuid:"):
            found = self.array(identity)
            return (found.array.content, found.array.size_bytes, found.kname) if found else None
        disk = self.disk(identity) or next(
            (d for d in self.disks if d.wwn and d.wwn in identity.lower()), None
        )
        return (disk.content, disk.size_bytes, disk.kname) if disk else None

    def users_of(self, identity: str) -> list[str]:
        """What holds a device: an array over it, or a mount of one of its file systems."""
        found = self.device(identity)
        if found is None:
            return []
        content, _, kname = found
        held = [one.kname for one in self.assembled if any(d.kname == kname for d in self.members(one.array))]
        mounted = [f"mounted on {place}" for place, fs in self.mounts.items() if content.part_of(fs)]
        return [f"{kname} is held by {name}" for name in held] + ([] if held else mounted)

    def members(self, array: Array) -> Iterator[Disk]:
        """The disks that bear this array's superblock."""
        return (disk for disk in self.disks if disk.array is array)

    def assemble(self, array: Array) -> None:
        """Start an array; nothing when it runs."""
        if all(one.array is not array for one in self.assembled):
            self.assembled.append(Assembled(array, f"md{127 - len(self.assembled)}"))

    def find_filesystem(self, fs_uuid: str) -> Content | None:
        """What lies where a file system is: an assembled array before its members."""
        contents = [one.array.content for one in self.assembled] + [disk.content for disk in self.disks]
        return next((content for content in contents if content.part_of(fs_uuid)), None)

    def mounted_root(self) -> Root | None:
        """The files under the mount point of the boot OS."""
        fs_uuid = self.mounts.get(MOUNT_POINT)
        content = self.find_filesystem(fs_uuid) if fs_uuid else None
        return content.roots.get(fs_uuid) if content and fs_uuid else None

    def fs_uuid_of(self, device: str) -> str | None:
        """The file system on a partition, by its device path."""
        part = self._part_of(device)
        return part.fs_uuid if part else None

    def subvolumes_of(self, device: str) -> tuple[str, ...]:
        """The subvolumes of the file system on a partition."""
        part = self._part_of(device)
        return part.subvolumes if part else ()

    def _part_of(self, device: str) -> Part | None:
        for kname, content in self._devices():
            for number, part in content.parts.items():
                names = {f"/dev/{part_name(kname, number)}"}
                one = self.array(f"/dev/{kname}")
                if one is not None:
                    names |= {f"/dev/disk/by-id/md-uuid-{one.array.uuid}-part{number}"}
                    names |= {f"/dev/md/{one.array.name}p{number}", f"/dev/md/{one.array.name}{number}"}
                if device in names:
                    return part
        return None

    def _devices(self) -> Iterator[tuple[str, Content]]:
        yield from ((one.kname, one.array.content) for one in self.assembled)
        yield from ((disk.kname, disk.content) for disk in self.disks)


def part_name(kname: str, number: int) -> str:
    """The kernel's name of a partition."""
    return f"{kname}p{number}" if kname[-1].isdigit() else f"{kname}{number}"


def hex_digits(text: str) -> str:
    """An id without the separators that tools put differently."""
    return "".join(c for c in text.lower() if c in "0123456789abcdef")
