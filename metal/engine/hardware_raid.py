"""Steps over volumes of hardware controllers; what a tool says of success is logged, and proves nothing."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from metal.drivers.raid.family import NamesLater, VolumeWish
from metal.drivers.raid.listing import Drive, VirtualDrive
from metal.engine.controllers import LOOK_FOR_DISKS, Listed
from metal.engine.work import Work
from metal.errors import Refused
from metal.planning.raid.families import FAMILIES
from metal.planning.raid.standing import BROKEN, SIZE_TOLERANCE, WRITES
from metal.protocols import Command
from specs.sizes import human_size

SHOWS_S: Final = 90.0
"""How long a volume may take to show as a disk, or to vanish as one."""
SHOWS_EVERY_S: Final = 2.0


def create_differences(work: Work) -> tuple[str, ...]:
    """What is missing of a volume: itself, its disk, its spares; of drives that are passed through, each."""
    here, name = work.listed(), work.args["name"]
    drives = here.drives(work.args["members"])
    how = work.args.get("how", "volume")
    if how == "jbod":
        return tuple(f"drive {one.serial} is {one.state}" for one in drives if one.state != "jbod")
    if how == "raid0-each":
        alone = {one.address for one in drives if _is_alone(here, one)}
        return tuple(
            f"drive {one.serial} is no volume of its own" for one in drives if one.address not in alone
        )
    volume = here.made(work.args)
    if volume is None:
        return (f"volume {name} is missing",)
    if volume.state in BROKEN:
        return (f"volume {name} is {volume.state}",)
    missing = [one for one in here.drives(work.args.get("spares") or ()) if one.state != "spare"]
    told = [f"drive {one.serial} is {one.state} and no spare" for one in missing]
    told += _unlike(volume, work.args)
    if _naming(here, volume, name):
        told.append(f"volume {name} has no name")
    if here.array(volume).device is None:
        told.append(f"volume {name} {here.unseen(volume)}")
    return tuple(told)


def _unlike(volume: VirtualDrive, args: Mapping[str, Any]) -> Iterator[str]:
    """What a controller made otherwise than it was told: tools answer success and take what they can."""
    name, strip, asked = args["name"], args.get("strip_bytes"), args.get("size_bytes")
    made = volume.stripe_bytes
    if strip and made and made != strip:
        yield f"volume {name} has strips of {human_size(made)}, not {human_size(strip)}"
    least = int(asked or args.get("least_bytes") or 0)
    held = volume.size_bytes
    if held and (
        held < least - least // SIZE_TOLERANCE or (asked and held > least + least // SIZE_TOLERANCE)
    ):
        yield f"volume {name} holds {human_size(held)}, not {human_size(least)}"


def _is_alone(here: Listed, drive: Drive) -> bool:
    """Whether a drive is all of one volume."""
    return any(one.members == (drive.address,) and one.level == "raid0" for one in here.holders(drive))


def create(work: Work) -> None:
    """Make the volume, or what an earlier start left to make of it; then wait for its disk."""
    here, args = work.listed(), work.args
    volume = here.made(args) if args.get("how", "volume") == "volume" else None
    if volume is None:
        tell(work, here.family.create(here.tool, here.controller, _wish(here, args)))
    else:
        tell(work, _naming(here, volume, str(args["name"])))
        for drive in here.drives(args.get("spares") or ()):
            if drive.state != "spare":
                tell(work, here.family.add_spare(here.tool, here.controller, volume, drive))
    wait_for_disks(work, lambda: create_differences(work))
    _tell_cache(work, work.listed().made(args) if args.get("how", "volume") == "volume" else None)


def _tell_cache(work: Work, volume: VirtualDrive | None) -> None:
    """Say where a volume does not write as asked: a controller without a battery falls back by itself."""
    asked, seen = work.args.get("write_cache"), volume.write_cache if volume else None
    if asked and seen and asked != seen:
        work.log(
            f"volume {work.args['name']} {WRITES[seen]}, though write {asked} was asked for: "
            "look at the controller's battery or capacitor"
        )


def _naming(here: Listed, volume: VirtualDrive, name: str) -> tuple[Command, ...]:
    """What is left to do for a volume's name."""
    family = here.family
    return (
        family.name_volume(here.tool, here.controller, volume, name) if isinstance(family, NamesLater) else ()
    )


def _wish(here: Listed, args: Mapping[str, Any]) -> VolumeWish:
    drives = here.drives(args["members"])
    if args.get("how") == "raid0-each":
        drives = tuple(one for one in drives if not _is_alone(here, one))
    return VolumeWish(
        name=str(args["name"]),
        level=args["level"],
        drives=drives,
        spares=here.drives(args.get("spares") or ()),
        spans=int(args.get("spans") or 1),
        size_bytes=args.get("size_bytes"),
        strip_bytes=args.get("strip_bytes"),
        write_cache=args.get("write_cache"),
        read_cache=args.get("read_cache"),
        group=_group(here, drives) if args.get("sharing") else None,
    )


def _group(here: Listed, drives: tuple[Drive, ...]) -> VirtualDrive:
    """A volume on exactly these drives. Raises Refused when there is none."""
    wanted = {one.address for one in drives}
    for volume in here.controller.volumes:
        if set(volume.members) == wanted:
            return volume
    raise Refused(
        f"no volume lies on drives {', '.join(str(one.serial) for one in drives)}, to share them",
        host=here.host,
        reason="step-failed",
        hint=f"rackflow plan {here.host} --refresh",
    )


def delete_differences(work: Work) -> tuple[str, ...]:
    """Whether the volume is still there."""
    here = work.listed()
    return (f"volume {work.args['name']} is still there",) if here.by_uuid(str(work.args["uuid"])) else ()


def delete(work: Work) -> None:
    """Delete the volume by the id that it has now, if it still lies on the drives of the plan."""
    work.unmount()
    here, args = work.listed(), work.args
    volume = here.by_uuid(str(args["uuid"]))
    if volume is None:
        return
    held = sorted(here.array(volume).members)
    planned = sorted(str(one["identity"]) for one in args["members"])
    if not set(held) <= set(planned):
        raise Refused(
            f"volume {args['name']} lies on {', '.join(held)}, the plan is for {', '.join(planned)}",
            host=work.host,
            reason="plan-moved",
            hint=f"rackflow plan {work.host} --refresh",
        )
    tell(work, here.family.delete_volume(here.tool, here.controller, volume))
    wait_for_disks(work, lambda: delete_differences(work))


def prepare_differences(work: Work) -> tuple[str, ...]:
    """Which drives a controller still holds for something else."""
    here = work.listed()
    drives = here.drives(work.args["members"])
    free = ("unconfigured", "jbod") if FAMILIES[here.family.name].shows_free else ("unconfigured",)
    told = [f"drive {one.serial} is {one.state}" for one in drives if one.state not in free]
    if work.args.get("pinned"):
        told += [one.text for one in here.controller.conditions if one.kind == "preserved-cache"]
    return tuple(told)


def prepare(work: Work) -> None:
    """Clear what is in the way of the plan's drives, and of no others."""
    here = work.listed()
    drives = here.drives(work.args["members"])
    tell(work, here.family.prepare(here.tool, here.controller, drives))
    here = work.listed()
    for drive in here.drives(work.args["members"]):
        if drive.state in ("spare", "jbod"):
            tell(work, here.family.free_drive(here.tool, here.controller, drive))
    wait_for_disks(work, lambda: prepare_differences(work))


def boot_from(work: Work) -> None:
    """Tell the controller which volume to start from."""
    here = work.listed()
    volume = here.meant(work.args)
    if volume is None:
        raise Refused(
            f"volume {work.args['name']} is not there, to start from",
            host=work.host,
            reason="no-matching-disk",
            hint=f"rackflow plan {work.host} --refresh",
        )
    tell(work, here.family.boot_from(here.tool, here.controller, volume))


def tell(work: Work, commands: Iterable[Command]) -> None:
    """Send a tool's commands, and log the end of what each says."""
    for command in commands:
        work.send((command,))
        said = (work.said.stdout + work.said.stderr).strip() if work.said else ""
        work.log(f"{command.says}: {' '.join(said[-300:].split()) or 'nothing said'}")


def wait_for_disks(work: Work, differences: Callable[[], tuple[str, ...]]) -> None:
    """Have the bus looked at anew until the change shows, for a while; what does not show is found after."""
    deadline = work.clock() + SHOWS_S
    work.kept.volume_disks.clear()
    work.send((LOOK_FOR_DISKS,))
    while differences() and work.clock() < deadline:
        work.sleep(SHOWS_EVERY_S)
        work.send((LOOK_FOR_DISKS,))
