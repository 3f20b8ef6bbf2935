"""A root in a logical volume that its image brought: grown from the partition up, mounted and left again.

Every command is given the one partition that the group is on and sees no other, so a group of the same name
on another disk is neither changed nor opened. The volume is active only while something is done in it: an
active one holds its disk, and rf-exec touches none that is in use.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metal.drivers.filesystems import GROWERS
from metal.drivers.partitions import Target
from metal.drivers.storage.lvm import mapper_path, volume_layer
from metal.drivers.storage.opened import NO_UDEV, volume_id
from metal.drivers.storage.places import Places
from metal.drivers.storage.stack import PLACE, Mounted, Stack
from metal.errors import Refused
from metal.protocols import Command
from specs.facts import VolumeGroupFact


@dataclass(frozen=True, slots=True)
class RootVolume:
    """The root's volume by ids; `extents` is what it is grown to, 0 where nobody is to grow it."""

    group: str
    name: str
    group_uuid: str
    volume_uuid: str
    pv_uuid: str
    filesystem: str
    extents: int = 0

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> "RootVolume":
        """Take a step's volume, or an install record's."""
        return cls(
            group=str(value["vg"]),
            name=str(value["lv"]),
            group_uuid=str(value["vg_uuid"]),
            volume_uuid=str(value["lv_uuid"]),
            pv_uuid=str(value["pv_uuid"]),
            filesystem=str(value["filesystem"]),
            extents=int(value.get("extents") or 0),
        )

    @property
    def opened_id(self) -> str:
        """How the device mapper's id of the active volume begins."""
        return volume_id(self.group_uuid, self.volume_uuid)

    def size(self, groups: Sequence[VolumeGroupFact]) -> tuple[int, int]:
        """Bytes of the volume and of an extent. Raises Refused where the image's group is not there."""
        for group in groups:
            if self.pv_uuid not in {one.uuid for one in group.physical_volumes}:
                continue
            found = next((one for one in group.logical_volumes if one.uuid == self.volume_uuid), None)
            if group.name == self.group and found is not None:
                return found.size_bytes, group.extent_bytes
        raise Refused(
            f"the image's root {self.group}/{self.name} on physical volume {self.pv_uuid} is not there",
            reason="image-mismatch",
            hint="rackflow plan NAME --refresh shows what is there now",
        )

    def differences(self, groups: Sequence[VolumeGroupFact]) -> tuple[str, ...]:
        """Say whether the volume is as large as planned."""
        size_bytes, extent_bytes = self.size(groups)
        wanted = self.extents * extent_bytes
        if size_bytes == wanted:
            return ()
        return (f"logical volume {self.group}/{self.name} has {size_bytes} bytes, wanted {wanted}",)

    def grow(self, target: Target, number: int, groups: Sequence[VolumeGroupFact]) -> Iterator[Command]:
        """Grow physical volume, volume and file system; each may have been grown by an earlier start."""
        places = Places.of(((target, number),))
        (place,) = places.names
        own = f"{self.group}/{self.name}"
        resize = ("lvm", "pvresize", "--yes", "--devices", place, place)
        yield Command(resize, says=f"grow the physical volume of {own} on {target}", disks=places.guards)
        size_bytes, extent_bytes = self.size(groups)
        if size_bytes < self.extents * extent_bytes:
            extend = ("lvm", "lvextend", "--yes", "--devices", place, "--extents", str(self.extents), own)
            yield Command(extend, says=f"grow {own} on {target}", disks=places.guards)
        yield self.growth(target).command(places)

    def growth(self, target: Target) -> Stack:
        """Give what grows the file system in the opened volume."""
        filesystem = self.filesystem
        says = f"grow the root in {self.group}/{self.name} on {target}"
        layers = (volume_layer(self.group, self.name),)
        if filesystem in GROWERS:
            return Stack(says, mounted=Mounted(filesystem, (GROWERS[filesystem],)), layers=layers)
        if filesystem not in ("ext3", "ext4"):
            raise Refused(f"no way to grow a root of {filesystem or 'an unknown kind'}", reason="image-unfit")
        return Stack(says, (("e2fsck", "-f", "-y", PLACE), ("resize2fs", PLACE)), layers=layers)

    def mount(self, device: str, mount_point: str) -> tuple[Command, ...]:
        """Open it by the partition that it is on, and mount it."""
        own = f"{self.group}/{self.name}"
        change = ("lvm", "lvchange", "--yes", *NO_UDEV, "--devices", device)
        mount = ("mount", "--mkdir", "-t", self.filesystem, mapper_path(self.group, self.name), mount_point)
        return (
            Command((*change, "--activate", "y", "--ignoreactivationskip", own), says=f"open the root {own}"),
            Command(mount, says=f"mount the deployed root {own}"),
        )
