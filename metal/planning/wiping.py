"""The plan of a wipe: every disk of a host, or those that are named, erased and nothing installed.

What may never be erased (a BMC's media, a SAN's LUN, a stick, a disk that can't be told apart) is not
erased here either, and is listed with the reason. So is what no command reaches: the drives of a RAID
controller are erased through the volumes that it shows. A disk that can't be erased as asked blocks the
whole plan, before anything is erased on any of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from metal.errors import SpecError
from metal.planning.attested import NOT_ERASED
from metal.planning.basis import basis_of, contents
from metal.planning.disks import Refusal, asked_for, describe, find_disk, listing, members_of, unfit
from metal.planning.erasing import ASKED, VOLUME_METHODS, Erased, erase_minutes, named, unwipeable
from metal.planning.leftovers import Leftovers
from metal.planning.plan import Plan, Step
from metal.planning.raid.pools import is_volume
from metal.planning.restarts import declared
from metal.planning.root_disk import recorded_root, recorded_volumes
from metal.planning.storage import Target, choose_storage
from specs.erasure import DEFAULT, METHODS, WipeMethod, WipeWish
from specs.facts import Disk, Hardware, Observation
from specs.model import DeviceRule, Host
from specs.phases import DEADLINE_S, Phase, allowed
from specs.records import HostRecord, WorkOrder

_ANY: Final = DeviceRule.model_validate({"minSize": "1MiB"})
"""A rule that asks for nothing in particular: a USB disk is not meant by it."""

Methods = Mapping[str, WipeMethod]


def make_wipe_plan(order: WorkOrder, observation: Observation | None, wish: WipeWish) -> Plan:
    """Decide which disks are erased and how. Raises SpecError where there is nothing to plan with.

    A host needs no spec for it; where it has one, a disk's `wipe` counts unless the wish names a method.
    """
    host = order.host
    hardware = _readable(host, observation)
    assert observation is not None  # it was readable
    chosen, refused = _chosen(wish, hardware)
    methods, notes = _methods(order, hardware)
    how = {disk.identity or "": wish.method or methods.get(disk.identity or "", DEFAULT) for disk in chosen}
    refused |= dict(_impossible(chosen, how, hardware))
    refused |= dict(_split(chosen, hardware, observation.unknown.get("hardware.volume_groups")))
    steps = [*_ways_in(observation), *_blocked(refused)]
    if not refused:
        erased = Erased()
        steps += [_step(disk, how[disk.identity or ""], erased) for disk in chosen]
        steps += _ways_out(host)
    return Plan(
        host=host.name,
        host_id=host.id,
        specset=order.specset,
        spec=order.spec.name if order.spec else None,
        observed_at=observation.at.isoformat(),
        seen_from=observation.seen_from,
        wipe=wish,
        steps=tuple(declared(step) for step in steps),
        notes=(
            *(() if wish.method else notes),
            *_of_chosen(chosen, how, hardware),
            *Leftovers.of(hardware, chosen, ()).spread(),
            *_not_known(wish, observation),
            *_of_left(host, chosen, hardware),
        ),
        basis=basis_of(observation, "disks"),
    )


def _readable(host: HostRecord, observation: Observation | None) -> Hardware:
    """The hardware, if the host may be wiped at all and its disks are known."""
    if not allowed(host.phase, Phase.WIPING):
        told = f"a host that is {host.phase.value} is not wiped"
        raise SpecError(told, host=host.name, reason="no-work-due", hint=f"rackflow why {host.name}")
    hardware = observation.hardware if observation else None
    if observation is None or hardware is None or "hardware.disks" in observation.unknown:
        unknown = observation.unknown if observation else {}
        why = unknown.get("hardware.disks") or unknown.get("hardware", "nothing was read of it")
        # A machine that is off is started from the network; one that is on may serve somebody.
        hint = f"rackflow power off {host.name}, then rackflow wipe {host.name}: the boot OS reads them"
        told = f"the disks of this host are not known: {why}"
        raise SpecError(told, host=host.name, reason="disks-unread", hint=hint)
    return hardware


# --- which disks -----------------------------------------------------------------------------------------


def _chosen(wish: WipeWish, hardware: Hardware) -> tuple[list[Disk], dict[str, Refusal]]:
    """The disks that are erased, in the order of their identities, and why others that were named are not."""
    if wish.disks == "all":
        found = [disk for disk in hardware.disks if _why_left(disk, hardware.disks) is None]
        refused = {}
        if not found:
            told = f"no disk may be erased; seen: {listing(hardware.disks, rule=_ANY)}"
            refused = {"disks": Refusal("no-matching-disk", told)}
        return sorted(found, key=lambda disk: disk.identity or ""), refused
    named_: dict[str, Disk] = {}
    refused = {}
    for name in wish.disks:
        disk = _named(name, hardware)
        if isinstance(disk, Refusal):
            refused[f"disks:{name}"] = disk
        else:
            named_[disk.identity or ""] = disk
    return [named_[key] for key in sorted(named_)], refused


def _named(name: str, hardware: Hardware) -> Disk | Refusal:
    """The disk of that serial or WWN. A drive of a controller is reached through its volume alone."""
    found = find_disk(DeviceRule(serial=name), hardware.disks)
    if not isinstance(found, Refusal) or found.reason == "ambiguous-disk":
        return found
    by_wwn = find_disk(DeviceRule(wwn=name), hardware.disks)
    if not isinstance(by_wwn, Refusal):
        return by_wwn
    for controller in hardware.controllers:
        if any(name in (drive.serial, drive.wwn) for drive in controller.drives):
            shown = [disk for disk in hardware.disks if is_volume(disk, hardware.raids)]
            told = f"{name} is a drive of controller {controller.id}; name the volume that it is in"
            volumes = "; ".join(map(describe, shown)) or "none is seen"
            return Refusal("no-matching-disk", f"{told}; volumes: {volumes}")
    return found


def _why_left(disk: Disk, disks: Sequence[Disk]) -> str | None:
    """Why "all" does not mean a disk."""
    why = unfit(disk, disks)
    if why is None and asked_for(_ANY, disk):
        return "on USB, and not named"
    return why


def _split(chosen: Sequence[Disk], hardware: Hardware, unread: str | None) -> Iterator[tuple[str, Refusal]]:
    """Arrays and volume groups that also lie on disks that stay: the other part of them would be lost too."""
    left = Leftovers.of(hardware, chosen, ())
    yield from left.torn(())
    yield from left.unread(unread)
    names = {disk.identity for disk in chosen}
    for array in hardware.raids:
        members = [] if array.controller else members_of(array, hardware.disks)
        outside = [disk for disk in members if disk.identity not in names]
        if outside and len(outside) < len(members):
            told = "; ".join(map(describe, outside))
            message = f"array {array.name or array.uuid} also lies on disks that stay: {told}; name them too"
            yield f"raid:{array.name or array.uuid}", Refusal("foreign-content", message)


# --- how -------------------------------------------------------------------------------------------------


def _methods(order: WorkOrder, hardware: Hardware) -> tuple[dict[str, WipeMethod], list[str]]:
    """How the spec has its disks erased, by identity; and whose rule means no one disk now."""
    spec = order.spec
    if spec is None or not spec.disks:
        return {}, []
    storage = choose_storage(spec, hardware, recorded_volumes(spec, order.host.installed))
    found: dict[str, WipeMethod] = {}
    notes = []
    for index, layout in enumerate(spec.disks):
        target = next((target for one, target in storage.layouts if one is layout), None)
        if _is_root(spec, layout.device) and isinstance(storage.root, Target):
            target = storage.root
        if target is not None:
            found |= {disk.identity or "": layout.wipe for disk in _shown(target, hardware)}
        elif layout.wipe != DEFAULT:
            told = (
                f"disks[{index}] of the spec means no one disk, so none is erased by its wipe: {layout.wipe}"
            )
            notes.append(told)
    return found, notes


def _is_root(spec: Host, device: object) -> bool:
    return device in ("root", spec.root_device)


def _shown(target: Target, hardware: Hardware) -> Sequence[Disk]:
    """The disks of a target as the system shows them: of a controller's volume the one that it shows."""
    if target.volume is None or target.volume.controller is None:
        return target.disks
    existing = target.volume.existing
    return [disk for disk in hardware.disks if existing and is_volume(disk, (existing,))]


def _impossible(chosen: Sequence[Disk], how: Methods, hardware: Hardware) -> Iterator[tuple[str, Refusal]]:
    """Why disks can't be erased as they are to be, with the methods that are left."""
    for disk in chosen:
        method = how[disk.identity or ""]
        refusal = _unwipeable(disk, method, hardware)
        if refusal is None:
            continue
        others = [one for one in METHODS if one != method and _unwipeable(disk, one, hardware) is None]
        left = f"possible on it: {', '.join(others)}" if others else "no method is possible on it"
        yield f"wipe:{disk.identity}", Refusal(refusal.reason, f"{refusal.message}; {left}")


def _unwipeable(disk: Disk, method: str, hardware: Hardware) -> Refusal | None:
    if method not in VOLUME_METHODS and is_volume(disk, hardware.raids):
        told = f"{describe(disk)}: wipe {method} is not possible: it is a RAID volume, and only a drive can"
        return Refusal("wipe-impossible", told)
    return unwipeable(disk, method)


# --- steps -----------------------------------------------------------------------------------------------


def _ways_in(observation: Observation) -> Iterator[Step]:
    if observation.seen_from != "boot-os":
        yield Step(
            id="boot-os",
            kind="boot-os",
            field="power",
            reason="erasing happens from the boot OS",
            where="bmc",
            reboot=True,
            minutes=1.0,
        )


def _blocked(refused: Mapping[str, Refusal]) -> Iterator[Step]:
    for path, refusal in sorted(refused.items()):
        yield Step(
            id=f"blocked:{path}",
            kind="wipe",
            field="disks",
            reason=refusal.message,
            blocked_by=refusal.reason,
            destructive=True,
        )


def _step(disk: Disk, method: WipeMethod, erased: Erased) -> Step:
    """Attested: a disk on which nothing is seen is erased all the same, so that its report stands."""
    return Step(
        id=f"wipe:{disk.identity}",
        kind="wipe",
        field="disks",
        old="; ".join(disk.found) or "blank",
        new=f"{disk.identity} empty ({method})",
        reason=f"wiped by command: {_model(disk)}",
        destructive=True,
        destroys=erased.first((disk,)),
        minutes=erase_minutes(method, disk.size_bytes),
        leaves=contents((disk,)),
        args={"target": named(disk), "method": method, "attest": True},
    )


def _model(disk: Disk) -> str:
    kind = "" if disk.medium == "unknown" else disk.medium
    return " ".join(part for part in (disk.vendor, disk.model, disk.transport, kind) if part) or "a disk"


def _ways_out(host: HostRecord) -> Iterator[Step]:
    """No disk starts a system any more: the BMC must not insist on one."""
    if host.bmc_address is not None:
        yield Step(
            id="boot-order",
            kind="boot-order",
            field="power",
            reason="no disk has a system to start",
            where="bmc",
            minutes=0.1,
            args={"order": "firmware"},
        )


# --- what is to be known beside --------------------------------------------------------------------------


def _of_chosen(chosen: Sequence[Disk], how: Methods, hardware: Hardware) -> Iterator[str]:
    for disk in chosen:
        method = how[disk.identity or ""]
        if is_volume(disk, hardware.raids):
            yield f"{disk.identity}: a RAID volume, erased as one; what its drives hold beside it stays"
        elif method in ASKED and disk.erases is None and disk.erase_problem is None:
            yield f"{disk.identity}: the boot OS asks it whether it can {method}, before anything is erased"
    hours = sum(erase_minutes(how[disk.identity or ""], disk.size_bytes) for disk in chosen) / 60
    limit = DEADLINE_S[Phase.WIPING] / 3600
    if hours > limit:
        yield f"one disk after the other takes about {hours:.0f} h, a wipe may take {limit:.0f} h: name fewer"


def _not_known(wish: WipeWish, observation: Observation) -> Iterator[str]:
    """What could not be read of arrays and groups, where only a part of the disks is erased."""
    for field, what in (("hardware.raids", "arrays"), ("hardware.volume_groups", "volume groups")):
        if wish.disks != "all" and field in observation.unknown:
            yield f"{what} could not be read ({observation.unknown[field]}): a disk may be a part of one"


def _of_left(host: HostRecord, chosen: Sequence[Disk], hardware: Hardware) -> Iterator[str]:
    """Every disk and drive that keeps what it holds, and why."""
    names = {disk.identity for disk in chosen}
    stay = [disk for disk in hardware.disks if disk.identity is None or disk.identity not in names]
    for disk in stay:
        yield f"{NOT_ERASED}{describe(disk)}: {_why_left(disk, hardware.disks) or 'not named'}"
    for controller in hardware.controllers:
        if controller.problem:
            told = f"drives of controller {controller.id} outside of its volumes"
            yield f"{NOT_ERASED}{told}: {controller.problem}"
        in_volumes = {name for array in hardware.raids if array.controller for name in array.members}
        for drive in controller.drives:
            seen = {drive.serial, drive.wwn} & {*in_volumes, *(disk.identity for disk in hardware.disks)} - {
                None
            }
            if not seen:
                told = f"drive {drive.address} {drive.identity or 'without identity'} of {controller.id}"
                yield f"{NOT_ERASED}{told}: {drive.state}, in no volume, and seen by its controller alone"
    system = {*recorded_root(host.installed)} - names
    if chosen and system:
        places = ", ".join(sorted(system))
        yield f"the system installed on {places} stays there, and the host counts as not installed"
