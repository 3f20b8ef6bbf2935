"""Which disks and arrays a spec means on this machine, and what has to go before they can be made."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from metal.planning.basis import array_path, contents
from metal.planning.disks import (
    Refusal,
    arrays_of,
    describe,
    find_disk,
    fitting,
    listing,
    members_of,
    volume_name,
)
from metal.planning.layout import array_size_bytes
from metal.planning.raid.pools import Candidate, drives_of, gone_from, is_volume, pools_of
from metal.planning.raid.volumes import VolumeChoice, choose_volume
from specs.facts import Disk, Hardware, RaidArray, RaidController
from specs.model import DeviceRule, DiskLayout, Host, RaidVolume


@dataclass(frozen=True, slots=True)
class Volume:
    """A RAID volume of the spec with its drives."""

    spec: RaidVolume
    members: tuple[Disk, ...]
    spares: tuple[Disk, ...]
    size_bytes: int
    metadata: str
    existing: RaidArray | None
    choice: VolumeChoice

    @property
    def kept(self) -> bool:
        """Whether a controller has it already as it is asked for."""
        return self.choice.kept and self.choice.pool.controller is not None

    @property
    def controller(self) -> RaidController | None:
        """The hardware controller that makes it; None for software RAID."""
        return self.choice.pool.controller

    @property
    def drives(self) -> tuple[Candidate, ...]:
        """Its drives as the controller addresses them, spares last."""
        return (*self.choice.members, *self.choice.spares)

    @property
    def disks(self) -> tuple[Disk, ...]:
        """All its drives."""
        return (*self.members, *self.spares)

    @property
    def lies_on(self) -> tuple[Disk, ...]:
        """Those on which it stands now: not one that is to replace a lost member."""
        return tuple(members_of(self.existing, self.disks)) if self.existing else ()


@dataclass(frozen=True, slots=True)
class Target:
    """What is partitioned: one disk, or one volume."""

    size_bytes: int
    sector_bytes: int
    disk: Disk | None = None
    volume: Volume | None = None

    @property
    def name(self) -> str:
        """Short name for step ids and messages."""
        return self.volume.spec.name if self.volume else (self.disk.identity or "") if self.disk else ""

    @property
    def disks(self) -> tuple[Disk, ...]:
        """The physical disks below."""
        return self.volume.disks if self.volume else (self.disk,) if self.disk else ()

    @property
    def leaves(self) -> tuple[str, ...]:
        """Paths of the basis that a step which writes it leaves otherwise."""
        if self.volume and self.volume.controller is not None:
            return (f"hardware.disks.{{raid-disk:{self.volume.spec.name}}}", array_path(self._array))
        return contents(self.disks)

    @property
    def _array(self) -> str:
        kept = self.volume.existing if self.volume and self.volume.kept else None
        return kept.uuid if kept else f"{{raid:{self.name}}}"

    @property
    def args(self) -> dict[str, Any]:
        """The target as steps carry it."""
        if self.volume and self.volume.kept and self.volume.existing:
            held = self.volume.existing
            told = {"raid": self.volume.spec.name, "uuid": held.uuid}
            return told | {"driver": held.driver, "controller": held.controller}
        if self.volume and self.volume.existing and self.volume.controller is None:
            held = self.volume.existing
            # With a drive that is to replace a lost one mdadm would assemble nothing.
            drives = [{"identity": one.identity, "size_bytes": one.size_bytes} for one in self.volume.lies_on]
            return {"raid": self.volume.spec.name, "uuid": held.uuid, "members": drives}
        if self.volume:
            return {"raid": self.volume.spec.name}
        assert self.disk is not None  # a target is one of both
        return {"identity": self.disk.identity, "size_bytes": self.disk.size_bytes}


@dataclass(frozen=True, slots=True)
class Storage:
    """Every choice over the disks of one machine."""

    root: Target | Refusal | None
    volumes: tuple[Volume, ...]
    layouts: tuple[tuple[DiskLayout, Target], ...]
    """Layouts other than the root disk's, with their targets."""
    removed: tuple[RaidArray, ...]
    """Arrays that stand where something else goes."""
    refusals: Mapping[str, Refusal] = field(default_factory=dict)
    """Field path -> why nothing was chosen for it."""
    shown: tuple[Disk, ...] = ()
    """Disks by which hardware controllers show the volumes that stand now."""
    gone: tuple[Disk, ...] = ()
    """Drives that volumes have lost: they go with them, and nothing is written to them."""

    @property
    def root_volume(self) -> Volume | None:
        """The volume that the root is on."""
        return self.root.volume if isinstance(self.root, Target) else None


def choose_storage(spec: Host, hardware: Hardware, recorded: Mapping[str, Collection[str]]) -> Storage:
    """Choose a disk or volume for every rule of the spec; refusals stand where a choice failed.

    A rule that names exactly one disk takes it first; then the volumes take their drives in the spec's
    order; rules that were wider get what is left, and must then fit exactly one. `recorded` are the drives
    that each volume was installed on.
    """
    disks = hardware.disks
    refusals: dict[str, Refusal] = {}
    rules = _rules(spec)
    used = {found[0].identity or "" for rule in rules.values() if len(found := fitting(rule, disks)) == 1}
    volumes: list[Volume] = []
    pools = pools_of(hardware)
    unusable = [one for one in hardware.controllers if one.problem is not None]
    for index, wished in enumerate(spec.raid):
        lay_on = recorded.get(wished.name, ())
        choice = choose_volume(wished, pools, [one.choice for one in volumes], used, unusable, lay_on)
        volume = choice if isinstance(choice, Refusal) else _volume(choice, spec)
        if isinstance(volume, Refusal):
            refusals[f"raid[{index}]"] = volume
        else:
            volumes.append(volume)
    in_volumes = {disk.identity or "" for volume in volumes for disk in volume.disks}
    targets: dict[str, Target] = {}
    for path, rule in rules.items():
        taken = in_volumes | {one.identity or "" for target in targets.values() for one in target.disks}
        taken |= _taken_by_volumes(rule, rules.values(), volumes, hardware)
        target = _target(rule, disks, taken, volumes, refusals)
        if isinstance(target, Refusal):
            refusals[path] = target
        elif target is not None:
            targets[path] = target
    layouts = tuple(
        (layout, targets[path])
        for index, layout in enumerate(spec.disks)
        if (path := f"disks[{index}].device") in targets
    )
    root = refusals.get("rootDevice") or targets.get("rootDevice")
    lost = gone_from(hardware.controllers)
    removed, foreign = _standing_arrays(spec, volumes, targets.values(), hardware, lost)
    refusals |= foreign
    shown = tuple(disk for disk in disks if is_volume(disk, hardware.raids))
    gone = tuple(disk for disk in drives_of(hardware) if disk.identity in lost)
    return Storage(root, tuple(volumes), layouts, removed, refusals, shown, gone)


def keeps(layout: DiskLayout, spec: Host) -> bool:
    """Whether a layout asks to keep data, in its partitions or in a volume group on them."""
    groups = preserved_groups(spec)
    return any(
        part.preserve or (part.lvm is not None and part.lvm.vg in groups) for part in layout.partitions
    )


def preserved_groups(spec: Host) -> frozenset[str]:
    """Names of the volume groups that hold anything to preserve."""
    parts = (part for layout in spec.disks for part in layout.partitions)
    own = {part.lvm.vg for part in parts if part.lvm and part.preserve}
    return frozenset(
        own | {one.name for one in spec.volume_groups if any(lv.preserve for lv in one.logical_volumes)}
    )


def _rules(spec: Host) -> dict[str, DeviceRule]:
    """Field path -> rule, the root's first; a layout that repeats the root's rule is the root's."""
    rules = {"rootDevice": spec.root_device} if spec.root_device else {}
    for index, layout in enumerate(spec.disks):
        if isinstance(layout.device, DeviceRule) and layout.device != spec.root_device:
            rules[f"disks[{index}].device"] = layout.device
    return rules


def _taken_by_volumes(
    rule: DeviceRule, rules: Iterable[DeviceRule], volumes: Sequence[Volume], hardware: Hardware
) -> set[str]:
    """Disks by which controllers show what the spec's volumes are, or take the place of.

    One that goes is nobody's. One that stays may be named by its own serial, WWN or path, unless a rule has
    the volume already: else the same volume would be laid out twice.
    """
    is_named = rule.serial or rule.wwn or rule.by_path
    laid_out = {one.raid for one in rules if one.raid}
    free = {one.spec.name for one in volumes if one.kept and is_named and one.spec.name not in laid_out}
    stay = {one.existing.uuid for one in volumes if one.existing and one.spec.name in free}
    arrays = [one.existing for one in volumes if one.existing]
    for volume in (one for one in volumes if not one.kept):
        making = [disk for disk in volume.disks if disk.identity not in volume.choice.standing]
        arrays += [array for disk in making for array in arrays_of(disk, hardware.raids)]
    arrays = [one for one in arrays if one.uuid not in stay]
    return {disk.identity or "" for disk in hardware.disks if is_volume(disk, arrays)}


def _volume(choice: VolumeChoice, spec: Host) -> Volume | Refusal:
    """A chosen volume as what follows works with it: its drives as disks, and its least size."""
    wished = choice.spec
    is_root = spec.root_device is not None and spec.root_device.raid == wished.name
    metadata = ""
    size_bytes = choice.size_bytes
    members, spares = (tuple(one.disk for one in drives) for drives in (choice.members, choice.spares))
    if choice.pool.controller is None:
        if is_root and wished.level != "raid1":
            told = f"volume {wished.name}: software RAID makes no {wished.level} root"
            return Refusal("layout-impossible", told)
        # Firmware and GRUB read a mirror's member as a plain disk only if the superblock is at its end.
        metadata = "1.0" if is_root else "1.2"
        # mdadm makes an array no larger than its spares can hold either.
        least = min(one.size_bytes for one in (*members, *spares))
        size_bytes = array_size_bytes(wished.level, [least] * len(members), metadata)
    return Volume(wished, members, spares, size_bytes, metadata, choice.existing, choice)


def _target(
    rule: DeviceRule,
    disks: Sequence[Disk],
    taken: set[str],
    volumes: Sequence[Volume],
    refusals: Mapping[str, Refusal],
) -> Target | Refusal | None:
    if rule.raid is None:
        found = find_disk(rule, disks, taken)
        if isinstance(found, Refusal):
            return found
        return Target(found.size_bytes, found.logical_block_bytes, disk=found)
    volume = next((one for one in volumes if one.spec.name == rule.raid), None)
    if volume is None:
        if any(path.startswith("raid[") for path in refusals):
            return None  # said already where the volume is defined
        return Refusal("no-matching-disk", f"raid has no volume {rule.raid}; seen: {listing(disks)}")
    if volume.spec.level == "jbod":
        told = (
            f"volume {rule.raid} passes its drives through, each is a disk; name the one to use by its serial"
        )
        return Refusal("layout-impossible", told)
    return Target(volume.size_bytes, max(one.logical_block_bytes for one in volume.members), volume=volume)


def _standing_arrays(
    spec: Host, volumes: Sequence[Volume], targets: Any, hardware: Hardware, lost: Collection[str]
) -> tuple[tuple[RaidArray, ...], dict[str, Refusal]]:
    """Arrays to delete before building; a refusal for one that also holds disks nobody asked for."""
    kept = {
        layout.device.raid
        for layout in spec.disks
        if isinstance(layout.device, DeviceRule) and layout.device.raid and keeps(layout, spec)
    }
    building = {disk.identity: disk for target in targets for disk in target.disks}
    standing_so = {name for volume in volumes for name in volume.choice.standing}
    building |= {
        disk.identity: disk for volume in volumes for disk in volume.disks if disk.identity not in standing_so
    }
    for identity in _waiting(volumes, kept):
        building.pop(identity, None)
    # An array of a volume's name goes too, wherever it lies: two of one name cannot be told apart.
    standing = [array for disk in building.values() for array in arrays_of(disk, hardware.raids)]
    standing += [volume.existing for volume in volumes if volume.existing]
    stays = {volume.existing.uuid for volume in volumes if volume.kept and volume.existing}
    known = [one for one in drives_of(hardware) if one.identity not in lost]
    removed: dict[str, RaidArray] = {}
    refusals: dict[str, Refusal] = {}
    for array in standing:
        if array.uuid in stays or (volume_name(array) in kept and _holds(array, volumes)):
            continue
        outside = [one for one in members_of(array, known) if one.identity not in building]
        if outside:
            told = "; ".join(describe(one) for one in outside)
            message = (
                f"array {array.name or array.uuid} also lies on disks that the spec does not name: {told}"
            )
            refusals[f"raid:{array.name or array.uuid}"] = Refusal("foreign-content", message)
        removed[array.uuid] = array
    return tuple(removed[key] for key in sorted(removed)), refusals


def _waiting(volumes: Sequence[Volume], kept: Collection[str]) -> set[str | None]:
    """Drives that are to replace lost members of what stays: nothing is written to them."""
    found: set[str | None] = set()
    for volume in volumes:
        existing = volume.existing
        if existing is not None and volume.spec.name in kept and _holds(existing, volumes):
            found |= {disk.identity for disk in volume.disks} - {disk.identity for disk in volume.lies_on}
    return found


def _holds(array: RaidArray, volumes: Sequence[Volume]) -> bool:
    """Whether an array is the volume of the spec that it claims to be."""
    return any(one.existing is array and one.spec.level == array.level for one in volumes)
