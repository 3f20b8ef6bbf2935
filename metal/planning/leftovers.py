"""What stays on the machine beside an installation, and must not: torn groups, and what would be found twice.

The installed system finds its root by the id of its file system or by the name of its group, and every
group by its name. Another disk may bear the same, as every host has it that was installed from one image;
then it is chance what is mounted, and LVM opens neither of two groups of one name nor one that it sees twice.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from metal.planning.disks import Refusal, describe, members_of
from metal.planning.raid.pools import is_volume
from metal.planning.volume_groups import Group
from specs.facts import Disk, Hardware, PartitionFact, VolumeGroupFact
from specs.model import Host

MEMBER_OF_GROUP: Final = "LVM2_member"
"""How blkid calls a physical volume."""
OVER_SEVERAL: Final = frozenset({"btrfs", "zfs_member", "bcachefs"})
"""File systems that may lie on several disks; each of their parts bears the id of the whole (blkid(8))."""
MISSING: Final = "[unknown]"
"""How LVM calls a physical volume that it does not find (pvs(8))."""


@dataclass(frozen=True, slots=True)
class Leftovers:
    """A machine, and what goes: disks by identity, single partitions by device."""

    hardware: Hardware
    owners: Mapping[str, tuple[Disk, ...]]
    erased: Collection[str | None]
    remade: Collection[str]

    @classmethod
    def of(cls, hardware: Hardware, erased: Iterable[Disk], remade: Iterable[str]) -> "Leftovers":
        """What stays beside these."""
        return cls(hardware, _owners(hardware), {disk.identity for disk in erased}, set(remade))

    def staying(self, device: str) -> tuple[str, ...]:
        """What of that which lies below a device stays, in words; none where all of it goes."""
        if device in self.remade or device == MISSING:
            return ()
        below = self.owners.get(device)
        if not below:
            return (
                f"{device} (over what it lies nobody says; the boot OS opens no container: rackflow inspect)",
            )
        return tuple(describe(disk) for disk in below if disk.identity not in self.erased)

    def torn(self, kept: Collection[str]) -> Iterator[tuple[str, Refusal]]:
        """Groups that lie on what goes and on what stays: the other part of them would be lost too."""
        for group in self.hardware.volume_groups:
            stays = self._stays(group)
            seen = [pv for pv in group.physical_volumes if pv.device != MISSING]
            goes = [pv for pv in seen if not self.staying(pv.device)]
            if stays and goes and group.uuid not in kept:
                message = f"volume group {group.name} also lies on disks that stay: {'; '.join(stays)}"
                yield f"lvm:{group.name}", Refusal("foreign-content", message)

    def spread(self) -> Iterator[str]:
        """File systems of which a part goes and a part seems to stay, in words.

        Not refused, for a copy of a disk bears the same id, and to erase it is the way out.
        """
        found = (one for one in self._partitions() if one.filesystem in OVER_SEVERAL and one.fs_uuid)
        parts = {one.device: one for one in found}  # a controller's volume is seen as a disk and as an array
        for device, gone in parts.items():
            if not self.staying(device):
                same = (one.device for one in parts.values() if one.fs_uuid == gone.fs_uuid)
                stays = dict.fromkeys(told for name in same for told in self.staying(name))
                if stays:
                    told = f"{device}: {gone.filesystem} {gone.fs_uuid} is on {'; '.join(stays)} too"
                    yield f"{told}, which stays: where it is one over both, all of it may be lost"

    def unread(self, why: str | None) -> Iterator[tuple[str, Refusal]]:
        """Disks that go with a physical volume, while others stay and nobody could read of which group."""
        disks = self.hardware.disks
        if why is None or all(disk.identity in self.erased for disk in disks):
            return
        for disk in disks:
            if disk.identity in self.erased and _is_physical_volume(disk):
                told = f"{describe(disk)} holds a physical volume, and its group may lie on other disks too"
                told += f": the groups were not read ({why})"
                yield f"lvm:{disk.identity}", Refusal("foreign-content", f"{told}; the boot OS reads them")

    def namesakes(
        self, groups: Collection[Group], own: str | None, spec: Host
    ) -> Iterator[tuple[str, Refusal]]:
        """Groups that bear the name of one of the spec, or of the one that the image has its root in."""
        if own and any(part.lvm and part.lvm.vg == own for disk in spec.disks for part in disk.partitions):
            told = f"{own} is the volume group of the image's own root: call the spec's another name"
            yield f"disks:lvm.{own}", Refusal("layout-impossible", told)
        kept = {one.kept.uuid for one in groups if one.kept}
        names = {one.name: f"the spec has a volume group {one.name}" for one in groups}
        names |= {own: f"the image has its root in volume group {own}"} if own else {}
        for group in self.hardware.volume_groups:
            stays = self._stays(group)
            if group.name in names and group.uuid not in kept and stays:
                told = f"{names[group.name]}, and one of that name stays on {'; '.join(stays)}"
                message = f"{told}; the installed system would open neither: erase it or rename it (vgrename)"
                yield f"lvm:{group.name}", Refusal("foreign-content", message)

    def copies(self, root_uuid: str, volume: Mapping[str, Any] | None) -> Iterator[tuple[str, Refusal]]:
        """Partitions that stay and bear the id by which the installed system finds its root."""
        ids = {root_uuid.lower()} | ({str(volume["pv_uuid"]).lower()} if volume else set())
        for part in self._partitions():
            stays = self.staying(part.device) if (part.fs_uuid or "").lower() in ids else ()
            if stays:
                told = f"the image's root is found by {part.fs_uuid}, which {part.device} bears too"
                message = f"{told} and stays on {'; '.join(stays)}; the machine could start from either"
                way = "erase that disk (rackflow wipe, or name it in disks), or take it out"
                yield f"root:{part.device}", Refusal("foreign-content", f"{message}: {way}")

    def _stays(self, group: VolumeGroupFact) -> tuple[str, ...]:
        told = (one for pv in group.physical_volumes for one in self.staying(pv.device))
        return tuple(dict.fromkeys(told))

    def _partitions(self) -> Iterator[PartitionFact]:
        for disk in self.hardware.disks:
            yield from disk.partitions
        for array in self.hardware.raids:
            yield from array.partitions


def _owners(hardware: Hardware) -> Mapping[str, tuple[Disk, ...]]:
    """Device of a disk, array or partition -> the disks below it.

    Of an array that is the disk by which a controller shows it, else its members.
    """
    disks = hardware.disks
    found: dict[str, tuple[Disk, ...]] = {
        name: (disk,) for disk in disks for name in _devices(disk.device, disk.partitions)
    }
    for array in hardware.raids:
        shown = tuple(disk for disk in disks if is_volume(disk, (array,)))
        names = [*_devices(array.device or "", array.partitions)]
        names += [name for disk in shown for name in _devices(disk.device, disk.partitions)]
        below = shown or tuple(members_of(array, disks))
        found.update(dict.fromkeys(names, below))
    return found


def _is_physical_volume(disk: Disk) -> bool:
    inside = any(one.filesystem == MEMBER_OF_GROUP for one in disk.partitions)
    return inside or any(said.startswith(MEMBER_OF_GROUP) for said in disk.found)


def _devices(device: str, parts: Iterable[PartitionFact]) -> tuple[str, ...]:
    return (device, *(one.device for one in parts))
