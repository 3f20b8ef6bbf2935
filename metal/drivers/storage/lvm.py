"""LVM: what its metadata on the disks says, and the commands that make a group and its volumes.

Groups of other disks may bear any name, the same one too. So every command is given the partitions that it
may use (`--devices`, lvm(8)) and sees no other; groups are found by ids and not by names. No logical volume
stays active between commands: it would hold its disks, and rf-exec touches none that is in use.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from typing import Any, Final

from metal.drivers.bundle import Query, read_bundle
from metal.drivers.partitions import Target
from metal.drivers.storage.places import Places
from metal.drivers.storage.stack import DEVICES, Layer
from metal.drivers.storage.thin import PoolWish, is_pool, thin_verb
from metal.drivers.tool_text import unparsable
from metal.errors import Refused, Unparsable
from metal.planning.mounting import UNFINISHED, VOLUME_MARK, marked
from metal.protocols import Command, Shell
from specs.facts import LogicalVolumeFact, PhysicalVolumeFact, VolumeGroupFact

LVM: Final = Query(
    "lvm",
    (
        *("lvm", "fullreport", "--readonly", "--reportformat", "json", "--units", "b", "--nosuffix"),
        *("--configreport", "vg", "-o", "vg_name,vg_uuid,vg_extent_size"),
        *("--configreport", "pv", "-o", "pv_name,pv_uuid"),
        *("--configreport", "lv", "-o", "lv_name,lv_uuid,lv_size,lv_layout,lv_tags,pool_lv"),
        *("--configreport", "pvseg", "-o", "pvseg_start", "--configreport", "seg", "-o", "seg_start"),
    ),
    timeout_s=20,
)
"""All groups as they stand on the disks; --readonly takes no lock and asks no device mapper (lvm(8))."""

_ID_GROUPS: Final = (6, 4, 4, 4, 4, 4, 6)
_ID_CHARS: Final = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def lvm_id(uuid: str) -> str:
    """An id in LVM's spelling, 32 letters and digits in seven groups, made from a derived UUID."""
    digest = sha256(uuid.encode()).digest()
    letters = "".join(_ID_CHARS[byte % len(_ID_CHARS)] for byte in digest)
    places = [sum(_ID_GROUPS[:n]) for n in range(len(_ID_GROUPS) + 1)]
    return "-".join(letters[start:end] for start, end in pairwise(places))


def parse(text: str) -> tuple[VolumeGroupFact, ...]:
    """Give the groups of `LVM`; partitions that are in no group are left out. Raises Unparsable."""
    if not text.strip():
        return ()
    try:
        reports = json.loads(text)["report"]
        return tuple(_group(one) for one in reports if one.get("vg"))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise unparsable("lvm fullreport", None, "groups with their volumes", str(error)) from error


def read_groups(shell: Shell) -> tuple[VolumeGroupFact, ...]:
    """Read the groups. Raises Refused where there is no LVM to ask."""
    said = read_bundle(shell, (LVM,))[LVM.name]
    if not said.ok:
        raise Refused(
            f"lvm does not tell its groups: {said.stderr.strip()[-300:] or said.status}",
            host=shell.host,
            reason="step-failed",
        )
    try:
        return parse(said.stdout)
    except Unparsable as error:
        error.host = shell.host
        raise


def _group(report: Mapping[str, Any]) -> VolumeGroupFact:
    group = report["vg"][0]
    return VolumeGroupFact(
        name=str(group["vg_name"]),
        uuid=str(group["vg_uuid"]),
        extent_bytes=int(group["vg_extent_size"]),
        physical_volumes=tuple(
            PhysicalVolumeFact(uuid=str(one["pv_uuid"]), device=str(one["pv_name"])) for one in report["pv"]
        ),
        logical_volumes=tuple(
            LogicalVolumeFact(
                name=str(one["lv_name"]),
                uuid=str(one["lv_uuid"]),
                size_bytes=int(one["lv_size"]),
                layout=str(one["lv_layout"]),
                tags=tuple(tag for tag in str(one["lv_tags"]).split(",") if tag),
                pool=str(one.get("pool_lv") or "") or None,
            )
            for one in report["lv"]
        ),
    )


def mapper_path(group: str, volume: str) -> str:
    """The device of an active volume: dashes of names are doubled (lvm(8), "VALID NAMES" and /dev/mapper)."""
    return f"/dev/mapper/{group.replace('-', '--')}-{volume.replace('-', '--')}"


def volume_layer(group: str, volume: str) -> Layer:
    """How a volume is opened below a file system, and closed."""
    change = ("lvm", "lvchange", "--yes", DEVICES)
    name = f"{group}/{volume}"
    return Layer(
        device=mapper_path(group, volume),
        open=(*change, "--activate", "y", "--ignoreactivationskip", name),
        close=(*change, "--activate", "n", name),
    )


RAW_TAG: Final = "rackflow.raw"
"""A volume that a job has made for others to fill."""
BEGUN: Final = ("--addtag", f"{VOLUME_MARK}{UNFINISHED}")
"""A volume says from its first moment on that it holds nothing yet, so that nobody preserves that.

Only where the job fills it: the mark of one that somebody else fills would never go."""


def fs_uuid_of(volume: LogicalVolumeFact) -> str | None:
    """The file system that rackflow has made in a volume; None where it has made none."""
    found = [uuid for tag in volume.tags if (uuid := marked(tag, VOLUME_MARK))]
    return found[0] if len(found) == 1 else None


@dataclass(frozen=True, slots=True)
class PhysicalVolume:
    """A partition of a guarded disk with the id that it gets, and what lies on it now."""

    target: Target
    number: int
    uuid: str
    filesystem: str | None = None
    fs_uuid: str | None = None


@dataclass(frozen=True, slots=True)
class VolumeWish:
    """A logical volume; `on` is the one partition that it lies on, None lets LVM choose."""

    name: str
    extents: int
    on: int | None
    pool: str | None = None
    """The thin pool that it takes its room from."""
    raw: bool = False
    """Whether no file system is made in it: what is put there is somebody's from the first moment on."""

    @property
    def begun(self) -> tuple[str, ...]:
        """What it says of itself when it is made."""
        return ("--addtag", RAW_TAG) if self.raw else BEGUN


@dataclass(frozen=True, slots=True)
class GroupWish:
    """A group that is to stand; `kept` is the id of one that stands already and stays."""

    name: str
    extent_bytes: int
    physical_volumes: tuple[PhysicalVolume, ...]
    volumes: tuple[VolumeWish, ...]
    kept: str | None = None
    pools: tuple[PoolWish, ...] = ()

    @property
    def places(self) -> Places:
        """Its partitions."""
        return Places.of((one.target, one.number) for one in self.physical_volumes)

    def found(self, groups: Sequence[VolumeGroupFact]) -> VolumeGroupFact | None:
        """The group, by its id or that of its partitions. Raises Refused where it is not as it must be."""
        wanted = {one.uuid for one in self.physical_volumes}
        for group in groups:
            held = {one.uuid for one in group.physical_volumes}
            if (group.uuid != self.kept) if self.kept else not wanted & held:
                continue
            whole = self.kept is not None or held == wanted
            if group.name != self.name or not whole:
                raise Refused(
                    f"volume group {self.name} is {group.name} of {len(held)} partitions, "
                    f"expected {len(wanted)}",
                    reason="step-failed",
                    hint="rackflow plan NAME --refresh shows what is there now",
                )
            return group
        if self.kept:
            raise Refused(f"no volume group {self.name} ({self.kept})", reason="no-matching-disk")
        return None

    def differences(self, groups: Sequence[VolumeGroupFact]) -> tuple[str, ...]:
        """Say what is missing of it."""
        group = self.found(groups)
        if group is None:
            return (f"volume group {self.name} is missing",)
        halves = self.halves(group)
        seen = {one.name: one for one in group.logical_volumes if one.name not in halves}
        missing = [f"logical volume {self.name}/{name} is left half made" for name in halves]
        wished: tuple[PoolWish | VolumeWish, ...] = (*self.pools, *self.volumes)
        for one in wished:
            held = seen.get(one.name)
            if held is None:
                missing.append(f"logical volume {self.name}/{one.name} is missing")
            elif held.size_bytes != one.extents * group.extent_bytes or held.pool != one.pool:
                inside = f" in pool {held.pool}" if held.pool else ""
                raise Refused(
                    f"logical volume {self.name}/{one.name} has {held.size_bytes} bytes{inside}, "
                    f"expected {one.extents * group.extent_bytes}",
                    reason="step-failed",
                )
        return tuple(missing)

    def halves(self, group: VolumeGroupFact) -> tuple[str, ...]:
        """What a killed start left of a thin pool, which LVM makes in several writes of its metadata.

        In a group that this job has made, no other volume can be of anybody's; one that bears the mark of a
        file system is left alone even so.
        """
        if self.kept is not None or not self.pools:
            return ()
        pools, volumes = {one.name for one in self.pools}, {one.name for one in self.volumes}
        return tuple(
            one.name
            for one in group.logical_volumes
            if fs_uuid_of(one) is None
            and (one.name not in pools | volumes or (one.name in pools and not is_pool(one)))
        )

    def unsure(self, group: VolumeGroupFact) -> tuple[LogicalVolumeFact, ...]:
        """Thin volumes of this job that say of themselves that it has put nothing into them.

        LVM writes a volume down first and tells the pool of it then. Killed in between it leaves one that is
        listed and does not open ("No data available"; seen), nor after the pool was opened.
        """
        wished = {one.name for one in self.volumes if one.pool is not None} if self.kept is None else set()
        begun = {f"{VOLUME_MARK}{UNFINISHED}", RAW_TAG}
        return tuple(one for one in group.logical_volumes if one.name in wished and begun & set(one.tags))

    def removal(self, pool: str) -> Command:
        """Remove a pool with all that is in it."""
        says = f"remove pool {pool}, in which not all opens"
        return self._command(("lvremove", "--force"), (f"{self.name}/{pool}",), says)

    def commands(self, groups: Sequence[VolumeGroupFact]) -> Iterator[Command]:
        """Make what is missing, one command each."""
        places = self.places
        group = self.found(groups)
        if group is None:
            for one, name in zip(self.physical_volumes, places.names, strict=True):
                yield from self._labelled(one, name)
            extent = f"{self.extent_bytes}b"
            yield self._command(
                ("vgcreate", "--physicalextentsize", extent), (self.name, *places.names), "make the group"
            )
        halves = self.halves(group) if group else ()
        for name in halves:
            yield self._command(("lvremove", "--force"), (f"{self.name}/{name}",), f"remove half of {name}")
        seen = {one.name for one in group.logical_volumes} - set(halves) if group else set()
        # First what has a partition for itself: for the others LVM takes room wherever there is any.
        missing = [one for one in self.volumes if one.name not in seen]
        yield from (self._volume(one) for one in missing if one.on is not None)
        for pool in self.pools:
            if pool.name not in seen:
                yield self._command(pool.verb, (self.name,), f"make thin pool {pool.name}")
        yield from (self._volume(one) for one in missing if one.on is None)

    def _volume(self, volume: VolumeWish) -> Command:
        if volume.pool is not None:
            verb = thin_verb(volume.name, volume.pool, volume.extents * self.extent_bytes)
            begun = (verb[0], *volume.begun, *verb[1:])
            return self._command(begun, (self.name,), f"make {volume.name} in pool {volume.pool}")
        on = () if volume.on is None else (self.places.names[volume.on],)
        # Inactive: what lies in it from earlier is neither looked at nor zeroed.
        options = ("--activate", "n", "--zero", "n", "--wipesignatures", "n", *volume.begun)
        extents = ("--extents", str(volume.extents), "--name", volume.name)
        return self._command(("lvcreate", *options, *extents), (self.name, *on), f"make {volume.name}")

    def layer(self, volume: str) -> Layer:
        """How a volume is opened below a file system, and closed."""
        return volume_layer(self.name, volume)

    def mark(self, volume: LogicalVolumeFact, fs_uuid: str) -> tuple[str, ...]:
        """Say on the disk that a file system is whole; what an earlier job said goes."""
        old = (word for tag in volume.tags if tag.startswith(VOLUME_MARK) for word in ("--deltag", tag))
        marks = (*old, "--addtag", f"{VOLUME_MARK}{fs_uuid}")
        return ("lvm", "lvchange", "--yes", DEVICES, *marks, f"{self.name}/{volume.name}")

    def _labelled(self, one: PhysicalVolume, name: str) -> Iterator[Command]:
        if one.fs_uuid == one.uuid:
            return
        place = f"{one.target} partition {one.number}"
        if one.filesystem is not None:
            # A group of before, of which a partition is left, would keep pvcreate from it.
            erase = ("wipefs", "--all", "--force", f"{{disk0:p{one.number}}}")
            yield Command(erase, says=f"erase the signatures on {place}", disks=(one.target.guard,))
        verb = ("pvcreate", "--uuid", one.uuid, "--norestorefile", "--dataalignment", "1m")
        yield self._command(verb, (name,), f"make a physical volume of {place}")

    def _command(self, verb: tuple[str, ...], operands: tuple[str, ...], says: str) -> Command:
        devices = (word for name in self.places.names for word in ("--devices", name))
        argv = ("lvm", verb[0], "--yes", *devices, *verb[1:], *operands)
        return Command(argv, says=f"{says} ({self.name})", disks=self.places.guards)
