"""The steps that make a machine's RAID volumes what the spec asks: delete, prepare, create, start from.

Software and hardware RAID take the same steps; a hardware step also says which controller and family.
Addresses of drives are told for people: what runs takes them from the controller's listing of that moment,
by the serials that stand here.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from metal.planning.basis import array_path, contents, disk_key, disk_path, drive_path
from metal.planning.disks import members_of
from metal.planning.erasing import Erased, named
from metal.planning.plan import Plan, Step
from metal.planning.raid.pools import Candidate
from metal.planning.storage import Storage, Volume
from specs.facts import Disk, Hardware, RaidArray, RaidController
from specs.sizes import human_size

PINNED: Final = "preserved-cache"


def raid_steps(
    storage: Storage, disks: Sequence[Disk], kept: Iterable[str], erased: Erased
) -> Iterator[Step]:
    """All of them, in the one right order. `kept` are names of volumes whose data stays."""
    for array in storage.removed:
        yield _delete(array, storage, disks, erased)
    staying = set(kept)
    making = [one for one in storage.volumes if one.spec.name not in staying and not one.kept]
    yield from _prepare([one for one in making if one.controller is not None], erased)
    for volume in making:
        yield _create(volume, erased)
    for volume in storage.volumes:
        if volume.kept and any(not one.spare for one in volume.choice.spares):
            yield _add_spares(volume, erased)
    root = next((one for one in storage.volumes if one is storage.root_volume), None)
    if root is not None and root.controller is not None and root.choice.how != "jbod":
        yield _boot(root, root.controller)


def _delete(array: RaidArray, storage: Storage, disks: Sequence[Disk], erased: Erased) -> Step:
    held = list({disk.device: disk for disk in members_of(array, disks)}.values())
    lying = [*held, *members_of(array, storage.gone)]
    name = array.name or array.uuid
    alone = sum((other.name or other.uuid) == name for other in storage.removed) == 1
    args: dict[str, Any] = {"name": name, "uuid": array.uuid, "members": [named(disk) for disk in lying]}
    leaves = [array_path(array.uuid), *contents(held)]
    if array.controller is not None:
        args |= {"driver": array.driver, "controller": array.controller, "level": array.level}
        leaves += [drive_path(array.controller, name) for name in (*array.members, *array.spares)]
        leaves += [disk_path(one) for one in storage.shown if one.device == array.device]
        leaves += [disk_path(one) for one in held]  # free drives are shown to the system by some
    return Step(
        id=f"raid-delete:{name if alone else array.uuid}",
        kind="raid-delete",
        field="raid",
        old=f"{name} {array.level}, {human_size(array.size_bytes)}",
        reason="it stands where the spec wants something else",
        destructive=True,
        destroys=erased.first(held, "; ".join(array.found) if array.controller else ""),
        minutes=0.1,
        leaves=tuple(leaves),
        args=args,
    )


def _prepare(volumes: Sequence[Volume], erased: Erased) -> Iterator[Step]:
    """Clear what keeps a controller from making volumes of these drives."""
    by_controller: dict[str, tuple[RaidController, str, list[Candidate]]] = {}
    for volume in volumes:
        controller = volume.controller
        if controller is not None:
            place = by_controller.setdefault(controller.id, (controller, volume.spec.level, []))
            place[2].extend(one for one in volume.drives if _in_the_way(one, volume))
    for controller, _, drives in by_controller.values():
        pinned = [one.text for one in controller.conditions if one.kind == PINNED]
        if not drives and not pinned:
            continue
        told = [f"{one.address} {one.identity}: {one.state}" for one in drives] + pinned
        yield Step(
            id=f"raid-prepare:{controller.id}",
            kind="raid-prepare",
            field="raid",
            old="; ".join(told),
            new="drives that volumes can be made of",
            reason="a controller makes no volume of drives that it holds for something else",
            destructive=True,
            destroys=erased.first(one.disk for one in drives),
            minutes=0.2,
            leaves=tuple(path for one in drives for path in _paths(controller, one)),
            args={
                "driver": controller.driver,
                "controller": controller.id,
                "members": [named(one.disk) for one in drives],
                "pinned": bool(pinned),
            },
        )


def _in_the_way(drive: Candidate, volume: Volume) -> bool:
    passed = (
        drive.state == "jbod" and volume.spec.level != "jbod" and not volume.choice.pool.family.shows_free
    )
    return drive.state == "foreign" or drive.spare or passed


def _paths(controller: RaidController, drive: Candidate) -> tuple[str, ...]:
    """What a step that uses a drive leaves otherwise: its use, and the disk that may have shown it."""
    return (drive_path(controller.id, drive.identity), disk_path(drive.disk))


def _create(volume: Volume, erased: Erased) -> Step:
    spec = volume.spec
    where = "" if volume.controller is None else f" on {volume.choice.pool.name}"
    drives = ", ".join(_told(volume, one) for one in volume.choice.members)
    args: dict[str, Any] = {
        "name": spec.name,
        "level": spec.level,
        "metadata": volume.metadata,
        "members": [named(disk) for disk in volume.members],
        "spares": [named(disk) for disk in volume.spares],
        "chunk_bytes": spec.stripe,
    }
    leaves = [array_path(f"{{raid:{spec.name}}}"), *contents(volume.disks)]
    if volume.controller is not None:
        args |= _hardware_args(volume)
        leaves += [path for one in volume.drives for path in _paths(volume.controller, one)]
        leaves.append(volume_disk_path(spec.name))
    return Step(
        id=f"raid-create:{spec.name}",
        kind="raid-create",
        field="raid",
        new=f"{spec.name} {spec.level} of {drives}{where}",
        reason="as the spec asks",
        destructive=True,
        destroys=erased.first(one for one in volume.disks if one.identity not in volume.choice.standing),
        minutes=0.2 if volume.controller is None else 1.0,
        leaves=tuple(leaves),
        args=args,
    )


def _add_spares(volume: Volume, erased: Erased) -> Step:
    """Give a volume that stays the spares that it lacks: what makes it finds it there, and does the rest."""
    spec, controller = volume.spec, volume.controller
    assert controller is not None  # only a controller's volumes stay
    added = [one for one in volume.choice.spares if not one.spare]
    drives = ", ".join(_told(volume, one) for one in added)
    return Step(
        id=f"raid-create:{spec.name}",
        kind="raid-create",
        field="raid",
        new=f"{spec.name} stays, with spare {drives} on {volume.choice.pool.name}",
        reason="as the spec asks",
        destructive=True,
        destroys=erased.first(one.disk for one in added),
        minutes=0.2,
        leaves=tuple(path for one in added for path in _paths(controller, one)),
        args={
            "name": spec.name,
            "level": spec.level,
            "members": [named(disk) for disk in volume.members],
            "spares": [named(disk) for disk in volume.spares],
            **_hardware_args(volume),
        },
    )


def _told(volume: Volume, drive: Candidate) -> str:
    return drive.identity if volume.controller is None else f"{drive.address} {drive.identity}"


def _hardware_args(volume: Volume) -> dict[str, Any]:
    choice, spec = volume.choice, volume.spec
    cache = spec.cache
    return {
        "driver": choice.pool.family.name,
        "controller": volume.controller.id if volume.controller else None,
        "how": choice.how,
        "spans": choice.spans,
        "size_bytes": choice.sized_bytes,
        "least_bytes": choice.size_bytes,
        "sharing": spec.drives.sharing,
        "write_cache": cache.write if cache and choice.pool.family.write_cache else None,
        "read_cache": cache.read if cache and choice.pool.reads_ahead else None,
        "strip_bytes": spec.stripe if choice.pool.family.strips else None,
    }


def _boot(volume: Volume, controller: RaidController) -> Step:
    return Step(
        id=f"raid-boot:{volume.spec.name}",
        kind="raid-boot",
        field="raid",
        new=f"the controller starts from {volume.spec.name}",
        reason="firmware asks the controller which of its volumes to start from",
        minutes=0.1,
        args={
            "name": volume.spec.name,
            "level": volume.spec.level,
            "driver": controller.driver,
            "controller": controller.id,
            "members": [named(disk) for disk in volume.members],
            "uuid": volume.existing.uuid if volume.kept and volume.existing else None,
            "sharing": volume.spec.drives.sharing,
            "least_bytes": volume.size_bytes,
        },
    )


def volume_ids(plan: Plan, hardware: Hardware) -> dict[str, str]:
    """What the places in `Step.leaves` stand for, for controllers' volumes as a machine shows them now."""
    found: dict[str, str] = {}
    for step in plan.steps:
        target = step.args.get("target") or {}
        if step.kind == "raid-create" and step.args.get("controller"):
            members = {str(one["identity"]) for one in step.args["members"]}
            same = [one for one in hardware.raids if one.controller == step.args["controller"]]
            same = [one for one in same if set(one.members) == members and one.level == step.args["level"]]
            named = [one for one in same if one.name == step.args["name"]] or same
            name = str(step.args["name"])
        elif target.get("uuid") and target.get("driver"):
            named = [one for one in hardware.raids if one.uuid == target["uuid"]]
            name = str(target["raid"])
        else:
            continue
        for array in named[:1]:
            found[f"{{raid:{name}}}"] = array.uuid
            shown = [disk for disk in hardware.disks if disk.device == array.device]
            found.update({f"{{raid-disk:{name}}}": disk_key(disk) for disk in shown[:1]})
    return found


def volume_disk_path(name: str) -> str:
    """Path of the disk by which a controller's volume is seen; the engine knows which that is."""
    return f"hardware.disks.{{raid-disk:{name}}}"
