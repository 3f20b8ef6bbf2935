"""Steps over LVM: the group with its volumes, and file systems in them. All of them in the boot OS."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from metal.drivers import filesystems
from metal.drivers.filesystems import FilesystemWish
from metal.drivers.storage.lvm import (
    GroupWish,
    PhysicalVolume,
    VolumeWish,
    fs_uuid_of,
    lvm_id,
    read_groups,
)
from metal.drivers.storage.opened import LIST, clear_links, close_group, links_of, luks_id, volume_id
from metal.drivers.storage.stack import Layer, Stack
from metal.drivers.storage.thin import PoolWish
from metal.engine import luks_steps
from metal.engine.work import Handler, Work
from metal.errors import Refused
from metal.planning.plan import StepKind
from specs.facts import LogicalVolumeFact, VolumeGroupFact


@dataclass(frozen=True, slots=True)
class VolumeGroup:
    """Make a group under the ids that the job gives its partitions, and the volumes in it."""

    blind: bool = False

    def differences(self, work: Work) -> tuple[str, ...]:
        """Say what is missing of it; after a killed start also what may be there by name alone."""
        wish, groups = group_wish(work, work.args), read_groups(work.shell())
        missing, group = wish.differences(groups), wish.found(groups)
        if missing or group is None or work.acted or not work.interrupted:
            return missing
        doubted = wish.unsure(group)
        return tuple(f"whether {wish.name}/{one.name} opens is not known" for one in doubted)

    def act(self, work: Work) -> None:
        """Make what is missing; nothing that stands is made again."""
        work.unmount()
        wish = group_wish(work, work.args)
        groups = read_groups(work.shell())
        if work.interrupted and wish.pools:
            _close_group(work, wish.found(groups))
            groups = _without_broken_pools(work, wish, groups)
        if wish.found(groups) is None and work.shell().read(links_of(wish.name)).ok:
            work.send((clear_links(wish.name),))
        work.send(tuple(wish.commands(groups)))


HANDLERS: Final[Mapping[StepKind, Handler]] = {"volume-group": VolumeGroup()}


def _without_broken_pools(
    work: Work, wish: GroupWish, groups: tuple[VolumeGroupFact, ...]
) -> tuple[VolumeGroupFact, ...]:
    """Try whether what is in the pools opens; a pool with a volume that does not is removed and made anew."""
    group = wish.found(groups)
    broken: dict[str, None] = {}
    for volume in wish.unsure(group) if group else ():
        layers = (*_pool(wish, volume), wish.layer(volume.name))
        try:
            work.send((Stack(f"open {wish.name}/{volume.name}", layers=layers).command(wish.places),))
        except Refused as error:
            work.log(f"{wish.name}/{volume.name} does not open: {error.message}")
            broken[volume.pool or ""] = None
    work.send(tuple(wish.removal(pool) for pool in broken))
    return read_groups(work.shell()) if broken else groups


def group_wish(work: Work, args: Mapping[str, Any]) -> GroupWish:
    """Give the group of a step's arguments, its partitions as they are now."""
    view = work.block()
    places = []
    for one in args["pvs"]:
        target = work.target(one["target"])
        device = view.on(target)
        uuid = lvm_id(work.made(f"pv:{one['name']}"))
        target, number = replace(target, size_bytes=device.size_bytes), int(one["number"])
        part = device.partition(number)
        held = (part.filesystem, part.fs_uuid) if part else (None, None)
        places.append(PhysicalVolume(target, number, uuid, *held))
    volumes = (
        VolumeWish(
            str(one["name"]), int(one["extents"]), one.get("on"), one.get("pool"), bool(one.get("raw"))
        )
        for one in args.get("volumes", ())
    )
    extent_bytes = int(args["extent_bytes"])
    return GroupWish(
        str(args["vg"]),
        extent_bytes,
        tuple(places),
        tuple(volumes),
        kept=args.get("uuid"),
        pools=tuple(PoolWish.of(one, extent_bytes) for one in args.get("pools", ())),
    )


def volume_differences(work: Work, wish: FilesystemWish) -> tuple[str, ...]:
    """Say whether the file system was made in its volume, whole: the volume bears its mark then."""
    _, volume = _volume(work, wish.name)
    seen = fs_uuid_of(volume)
    if seen == wish.fs_uuid:
        return ()
    return (f"logical volume {volume.name} holds {seen or 'nothing of ours'}, wanted {wish.fs_uuid}",)


def make_in_volume(work: Work, wish: FilesystemWish) -> None:
    """Make the file system; the mark comes last."""
    work.unmount()
    group, volume = _volume(work, wish.name)
    seen = group.found(read_groups(work.shell()))
    below = (volume_id(seen.uuid, volume.uuid),) if seen else ()
    luks_steps.close(work, (luks_id(work.made(f"luks:{wish.name}")), *below))
    if volume.pool is not None and work.interrupted:
        _close_group(work, seen)
    says = f"make {wish.filesystem} {wish.label} in {group.name}/{volume.name}"
    over = (*_pool(group, volume), group.layer(volume.name), *luks_steps.layers(work, wish.name, fresh=True))
    made = filesystems.stack(says, wish, over, (group.mark(volume, wish.fs_uuid),))
    work.send((made.command(group.places),))


def _close_group(work: Work, seen: VolumeGroupFact | None) -> None:
    """Close what an earlier start was killed over: to make a pool or a thin volume LVM opens parts of it."""
    if seen is not None:
        work.send(tuple(close_group(work.shell().read(LIST).stdout, seen.uuid)))


def to_open(work: Work, name: str, over: tuple[Layer, ...]) -> tuple[GroupWish, tuple[Layer, ...]]:
    """Give a volume's group, and all layers to what is in it; closes what an earlier start has left open."""
    group, volume = _volume(work, name)
    seen = group.found(read_groups(work.shell()))
    if work.interrupted and seen:
        below = volume_id(seen.uuid, volume.uuid)
        luks_steps.close(work, (*(_header_in(work, below) if over else ()), below))
        if volume.pool is not None:
            _close_group(work, seen)
    return group, (*_pool(group, volume), group.layer(volume.name), *over)


def open_in_volume(work: Work, name: str, says: str, over: tuple[Layer, ...]) -> None:
    """Open a volume and what is in it, and close both."""
    work.unmount()
    group, layers = to_open(work, name, over)
    work.send((Stack(says, layers=layers).command(group.places),))


def _pool(group: GroupWish, volume: LogicalVolumeFact) -> tuple[Layer, ...]:
    """The pool is opened by name too: closing it then leaves nothing of it open, whatever opened it."""
    return (group.layer(volume.pool),) if volume.pool else ()


def _header_in(work: Work, below: str) -> tuple[str, ...]:
    """What an earlier start may have left open over an active volume, known by the header in it."""
    names = [
        line.split()[1] for line in work.shell().read(LIST).stdout.splitlines() if line.startswith(below)
    ]
    said = [work.shell().read(("cryptsetup", "luksUUID", f"/dev/mapper/{name}")) for name in names]
    return tuple(luks_id(one.stdout.strip()) for one in said if one.ok)


def _volume(work: Work, name: str) -> tuple[GroupWish, LogicalVolumeFact]:
    group = group_wish(work, work.args["group"])
    seen = group.found(read_groups(work.shell()))
    volume = next((one for one in seen.logical_volumes if one.name == name), None) if seen else None
    if volume is None:
        raise Refused(
            f"no logical volume {group.name}/{name} is on {', '.join(map(str, group.places.guards))}",
            host=work.host,
            reason="no-matching-disk",
            hint=f"rackflow plan {work.host} --refresh shows what is there now",
        )
    return group, volume
