"""Disks of a simulated machine: partition tables, file systems, arrays and how much of an image is written.

Only what readings show and boots depend on is modelled. What is here survives a power cut; what a boot
holds in memory (assembled arrays, mounts) is in `system.py`.
"""

import copy
from dataclasses import dataclass, field, replace

from lab.sim.root import Root

MIB = 1 << 20
SECTOR_BYTES = 512
MEMBER = "linux_raid_member"


@dataclass
class Part:
    """One partition and the file system on it."""

    number: int
    start_bytes: int
    size_bytes: int
    type_guid: str
    part_uuid: str
    name: str
    filesystem: str | None = None
    fs_uuid: str | None = None
    label: str | None = None
    subvolumes: tuple[str, ...] = ()


@dataclass
class Content:
    """What lies on a disk or an array."""

    parts: dict[int, Part] = field(default_factory=dict)
    roots: dict[str, Root] = field(default_factory=dict)
    """Files of the file systems that somebody may mount, by file system UUID."""
    chunks: set[int] = field(default_factory=set)
    """Chunks of the image that are on the medium."""
    mark: str = ""
    """Under which name, manifest and disk it was erased for an image."""
    whole: bool = False
    """Whether all of them are."""

    @property
    def blank(self) -> bool:
        """Nothing is at its start: the image's first chunk comes last."""
        return not self.parts and 0 not in self.chunks

    def erase(self) -> None:
        """Zeros."""
        self.parts, self.roots, self.chunks, self.mark, self.whole = {}, {}, set(), "", False

    def part_of(self, fs_uuid: str) -> Part | None:
        """The partition with this file system."""
        found = (part for part in self.parts.values() if (part.fs_uuid or "").lower() == fs_uuid.lower())
        return next(found, None)


@dataclass
class Array:
    """An md array as its superblocks describe it; what lies on it is seen through all members."""

    uuid: str
    name: str
    level: str
    metadata: str
    members: list[str]
    size_bytes: int
    content: Content = field(default_factory=Content)


@dataclass
class Disk:
    """One disk, by its serial."""

    serial: str
    size_bytes: int
    kname: str
    bus: str
    wwn: str | None = None
    own: Content = field(default_factory=Content)
    array: Array | None = None
    """The array that it bears a superblock of."""
    note: tuple[str, int] | None = None
    """Of an overwriting: under which name it was begun, and how many pieces are done."""
    hangs_at: int | None = None
    """The piece of an overwriting at which the drive answers no more, until this is None again."""

    @property
    def content(self) -> Content:
        """What lies on it: a member of a mirror with its superblock at the end shows the mirror's."""
        return self.array.content if self.array is not None else self.own

    def leave_array(self) -> None:
        """Clear the superblock; what was mirrored stays readable."""
        if self.array is not None:
            self.own, self.array = copy.deepcopy(self.array.content), None

    def erase(self) -> None:
        """Zeros, superblock included."""
        self.own, self.array, self.note = Content(), None, None


@dataclass(frozen=True)
class Image:
    """The image that this site deploys: what its bytes hold."""

    size_bytes: int
    parts: tuple[Part, ...]
    root_uuid: str

    def unpack(self, content: Content) -> None:
        """Every chunk is there: its table and file systems are seen."""
        content.parts = {part.number: replace(part) for part in self.parts}
        content.whole = True
        content.roots = {self.root_uuid: Root.of_image()}
