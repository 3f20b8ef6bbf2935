"""Which volume groups a spec means, over which partitions, and how large each logical volume is.

Groups are never found by their name alone, because other disks may hold one of the same name: a group that is
to be kept is the one on the very partitions that are kept. Logical volumes that stand keep their size.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from metal.planning.disks import Refusal
from metal.planning.layout import MIB, MIN_PARTITION_BYTES, shares, too_small
from metal.planning.mounting import VOLUME_MARK, marked, unfinished
from metal.planning.storage import Target
from metal.planning.thin_pools import Pool, pool_of, unlike_pools
from specs.facts import Disk, LogicalVolumeFact, PartitionFact, VolumeGroupFact
from specs.model import Formatted, Host, LogicalVolume, Partition, ThinPool, VolumeGroup
from specs.sizes import human_size

EXTENT_BYTES: Final = 4 * MIB
"""LVM's default; groups are made with it, so that sizes can be decided here."""
HEAD_BYTES: Final = MIB
"""What LVM keeps at the start of a physical volume aligned to 1 MiB: label and metadata (pvcreate(8))."""


@dataclass(frozen=True, slots=True)
class PhysicalPart:
    """A partition that becomes or is a physical volume, and how it was seen if it stays."""

    target: Target
    number: int
    part: Partition
    size_bytes: int
    seen: PartitionFact | None

    @property
    def extents(self) -> int:
        """What it gives to its group."""
        return (self.size_bytes - HEAD_BYTES) // EXTENT_BYTES


@dataclass(frozen=True, slots=True)
class Volume:
    """A logical volume: what it is made for, how large, on which partition alone, and how it was seen."""

    part: Formatted
    extents: int
    on: int | None = None
    seen: LogicalVolumeFact | None = None
    pool: str | None = None

    @property
    def kept_fs_uuid(self) -> str | None:
        """The file system that an earlier job made in it, as the volume itself says."""
        found = [marked(tag, VOLUME_MARK) for tag in (self.seen.tags if self.seen else ())]
        return next((one for one in found if one), None)

    @property
    def thin(self) -> bool:
        """Whether it takes its room from a thin pool."""
        return self.pool is not None or (self.seen is not None and self.seen.pool is not None)

    @property
    def kept(self) -> bool:
        """Whether its content stays; a volume that a start was killed over before it held any has none."""
        begun = any(unfinished(tag, VOLUME_MARK) for tag in (self.seen.tags if self.seen else ()))
        return self.seen is not None and self.part.preserve and not begun


@dataclass(frozen=True, slots=True)
class Group:
    """A volume group; `kept` is the one that stands and stays."""

    name: str
    parts: tuple[PhysicalPart, ...]
    volumes: tuple[Volume, ...]
    kept: VolumeGroupFact | None = None
    pools: tuple[Pool, ...] = ()

    @property
    def disks(self) -> tuple[Disk, ...]:
        """The disks below it."""
        return tuple({disk.identity: disk for one in self.parts for disk in one.target.disks}.values())

    @property
    def leaves(self) -> tuple[str, ...]:
        """Paths of the basis that a step which writes to it leaves otherwise."""
        return tuple(dict.fromkeys(path for one in self.parts for path in one.target.leaves))

    @property
    def args(self) -> dict[str, Any]:
        """The group as steps carry it."""
        pvs = [{"target": one.target.args, "number": one.number, "name": one.part.name} for one in self.parts]
        extent_bytes = self.kept.extent_bytes if self.kept else EXTENT_BYTES
        told: dict[str, Any] = {"vg": self.name, "extent_bytes": extent_bytes, "pvs": pvs}
        return told | ({"uuid": self.kept.uuid} if self.kept else {})


def choose_groups(
    spec: Host, parts: Iterable[PhysicalPart], groups: Sequence[VolumeGroupFact]
) -> tuple[tuple[Group, ...], dict[str, Refusal]]:
    """All groups of a spec over the partitions that name them, and refusals by field path."""
    by_group: dict[str, list[PhysicalPart]] = {}
    for one in parts:
        by_group.setdefault(one.part.lvm.vg if one.part.lvm else "", []).append(one)
    listed = {one.name: one for one in spec.volume_groups}
    chosen, refusals = [], {}
    for name, places in by_group.items():
        found = _group(listed.get(name) or VolumeGroup(name=name), tuple(places), groups)
        if isinstance(found, Refusal):
            refusals[f"disks:lvm.{name}"] = found
        else:
            chosen.append(found)
    return tuple(chosen), refusals


def _group(
    wished: VolumeGroup, parts: tuple[PhysicalPart, ...], groups: Sequence[VolumeGroupFact]
) -> Group | Refusal:
    preserved = any(one.preserve for one in (*(part.part for part in parts), *wished.logical_volumes))
    if preserved and any(one.seen is not None for one in parts):
        return _kept(wished, parts, groups)
    return _made(wished, parts)


def _kept(
    spec: VolumeGroup, parts: tuple[PhysicalPart, ...], groups: Sequence[VolumeGroupFact]
) -> Group | Refusal:
    """The group on exactly these partitions, with every volume that the spec names."""
    name, listed = spec.name, spec.logical_volumes
    devices = {one.seen.device for one in parts if one.seen is not None}
    held = [one for one in groups if devices & {pv.device for pv in one.physical_volumes}]
    missing = [one.part.name for one in parts if one.seen is None]
    on = held[0] if len(held) == 1 else None
    if on is None or missing or {pv.device for pv in on.physical_volumes} != devices or on.name != name:
        seen = "; ".join(
            f"{one.name} on {', '.join(pv.device for pv in one.physical_volumes)}" for one in held
        )
        told = (
            f"group {name} holds data to preserve, and is not on {', '.join(one.part.name for one in parts)}"
        )
        return Refusal("layout-impossible", f"{told}; seen there: {seen or 'no volume group'}")
    by_name = {one.name: one for one in on.logical_volumes}
    own = [(part.part, number) for number, part in enumerate(parts) if part.part.filesystem]
    wished: list[tuple[Formatted, int | None]] = [*own, *((one, None) for one in listed)]
    absent = [part.name for part, _ in wished if part.name not in by_name]
    if absent:
        has = ", ".join(sorted(by_name)) or "none"
        told = f"group {name} holds data to preserve and no logical volume {absent[0]}; it has {has}"
        return Refusal("layout-impossible", told)
    unlike = unlike_pools(spec, by_name)
    if unlike:
        return Refusal("layout-impossible", f"group {name} holds data to preserve, and {unlike}")
    volumes = tuple(
        Volume(part, by_name[part.name].size_bytes // on.extent_bytes, number, by_name[part.name])
        for part, number in wished
    )
    anew = (one for one in volumes if not one.kept)
    small = (too_small(one.part, one.extents * on.extent_bytes, inside=f"{name}/") for one in anew)
    return next((one for one in small if one), None) or Group(name, parts, volumes, on)


def _made(wished: VolumeGroup, parts: tuple[PhysicalPart, ...]) -> Group | Refusal:
    """A group that is made anew: sizes of its pools and volumes, by whole extents."""
    name = wished.name
    volumes = [
        Volume(one.part, one.extents, number) for number, one in enumerate(parts) if one.part.filesystem
    ]
    room = sum(one.extents for one in parts if not one.part.filesystem) * EXTENT_BYTES
    whole = [one for one in wished.logical_volumes if one.thin_pool is None]
    asked: list[ThinPool | LogicalVolume] = [*wished.thin_pools, *whole]
    sizes = shares([one.size for one in asked], room, EXTENT_BYTES)
    if sum(sizes) > room or any(size < 0 for size in sizes):
        needs = sum(size for one, size in zip(asked, sizes, strict=True) if one.size != "rest")
        told = f"volumes of group {name} need {human_size(needs)}, it has {human_size(room)}"
        return Refusal("layout-impossible", told)
    taken = {one.name: size // EXTENT_BYTES for one, size in zip(asked, sizes, strict=True)}
    pools = tuple(pool_of(one, taken[one.name], wished, EXTENT_BYTES) for one in wished.thin_pools)
    for pool in pools:
        if pool.extents * EXTENT_BYTES < MIN_PARTITION_BYTES:
            told = f"{name}/{pool.name} would hold {human_size(max(pool.extents, 0) * EXTENT_BYTES)} of data"
            least = human_size(MIN_PARTITION_BYTES)
            return Refusal("layout-impossible", f"{told} beside its metadata, the least is {least}")
    narrow = _narrow(name, [one for one in parts if not one.part.filesystem], pools)
    if narrow:
        return narrow
    for listed in wished.logical_volumes:
        thin_bytes = listed.size if isinstance(listed.size, int) and listed.thin_pool else 0
        extents = -(-thin_bytes // EXTENT_BYTES) or taken.get(listed.name, 0)
        volumes.append(Volume(listed, extents, pool=listed.thin_pool))
    for one in volumes:
        small = too_small(one.part, one.extents * EXTENT_BYTES, inside=f"{name}/")
        if small:
            return small
    return Group(name, parts, tuple(volumes), pools=pools)


def _narrow(name: str, shared: Sequence[PhysicalPart], pools: Sequence[Pool]) -> Refusal | None:
    """Refuse what LVM cannot place beside a small partition, whatever room there is.

    A pool's metadata is one piece; where a partition of the group is smaller than that, LVM gives up, or ends
    by an assertion of its own (2.03.16, `consume_pv_area`).
    """
    pool = max(pools, key=lambda one: one.metadata_extents, default=None)
    part = min(shared, key=lambda one: one.extents, default=None)
    if pool is None or part is None or len(shared) == 1 or part.extents >= pool.metadata_extents:
        return None
    needs, has = (human_size(one * EXTENT_BYTES) for one in (pool.metadata_extents, part.extents))
    told = f"{name}/{pool.name} has {needs} of metadata, and partition {part.part.name} of the group {has}"
    return Refusal("layout-impossible", f"{told}: make it at least as large, or leave it out of the group")
