"""The steps that install a host: disks to arrays to image to a configured system, in the one right order."""

from collections.abc import Iterator, Sequence
from typing import Any

from metal.planning.choice import Chosen, Cut
from metal.planning.configure import ADJUSTABLE, configure
from metal.planning.encryption import Encryption
from metal.planning.erasing import WRITE_BYTES_PER_MINUTE, Erased, erase_minutes
from metal.planning.file_systems import FileSystem, file_systems
from metal.planning.filling import fill_steps
from metal.planning.in_mounts import accounts_in_mounts, files_in_mounts, mounted_before, of_the_root
from metal.planning.layout import ROOT_VOLUME, label_of
from metal.planning.mounting import HEADER_MARK, marked, mounts_of, unlocked_name
from metal.planning.plan import Step, StepKind
from metal.planning.raid.steps import raid_steps
from metal.planning.root_disk import drives_of_volumes, root_identities
from metal.planning.storage import Target
from metal.planning.volume_groups import EXTENT_BYTES, Group
from metal.planning.wish import Wish, layout_hash
from specs.facts import Disk
from specs.model import Formatted, Host
from specs.records import ImageRecord, WorkOrder
from specs.sizes import human_size


def install_steps(
    spec: Host, order: WorkOrder, chosen: Chosen, wish: Wish, *, booted: bool, firmware: str | None
) -> Iterator[Step]:
    """All steps in order. Where a decision failed, one blocked step says so and the rest is left out."""
    if not booted:
        yield _plain("boot-os", "power", "installing happens from the boot OS", where="bmc", reboot=True)
    yield from _blocked(chosen)
    if chosen.root is None or chosen.image is None or chosen.refusals:
        yield from (step for step in configure(wish, frozenset(ADJUSTABLE), "boot-os") if step.blocked_by)
        return
    erased = Erased()
    drives = [disk for target in _targets(chosen) for disk in target.disks]
    drives += [disk for volume in chosen.storage.volumes for disk in volume.disks]
    kept = [cut.target.name for cut in chosen.data if cut.kept]
    encryption = Encryption(order.secrets, chosen.tpm)
    yield from (*encryption.before(spec, chosen), *mounted_before(spec, chosen, encryption, wish))
    yield from raid_steps(chosen.storage, drives, kept, erased)
    for cut in (chosen.root, *chosen.data):
        if not cut.kept:
            yield _wipe(cut, erased)
    root, root_uuid = chosen.root, str(chosen.image.info.get("root_uuid") or "")
    yield _write_image(root.target, chosen.image)
    for cut in (chosen.root, *chosen.data):
        yield from _partition(cut, root_uuid if cut is root else "")
    for group in chosen.groups:
        yield from _volume_group(group)
    for one in file_systems(chosen):
        if one.part.filesystem and not one.stays:
            yield _mkfs(one, encryption)
    boot = {"target": root.target.args, "root_partition": root.plan.root_number, "root_uuid": root_uuid}
    yield _plain("bootloader", "image", "the image must find its root on this disk", args=boot)
    configured = list(configure(of_the_root(spec, wish), frozenset(ADJUSTABLE), "boot-os"))
    yield from (step for step in configured if step.kind == "hostname")
    mounts = [one for cut in (chosen.root, *chosen.data) for one in _mounts(cut)]
    mounts += [one for group in chosen.groups for one in _mounts_in(group)]
    table = {"target": root.target.args, "root_uuid": root_uuid, "mounts": mounts}
    yield _plain("fstab", "disks", "file systems are mounted by UUID", args=table)
    unlocks = list(encryption.unlocks(chosen))
    if unlocks:
        told = {"target": root.target.args, "root_uuid": root_uuid, "unlocks": unlocks}
        yield _plain("crypttab", "disks", "encrypted file systems are unlocked at each start", args=told)
    later = (step for step in configured if step.kind != "hostname")
    yield from _around_mounts(later, spec, chosen, encryption, wish)
    yield from _finish(spec, order, chosen, chosen.image.digest, efi=firmware == "uefi")


def _around_mounts(
    configured: Iterator[Step], spec: Host, chosen: Chosen, encryption: Encryption, wish: Wish
) -> Iterator[Step]:
    """What is written into the root, and into what will be mounted over it."""
    yield from accounts_in_mounts(spec, chosen, encryption, wish)
    yield from configured
    yield from fill_steps(spec, chosen, encryption)
    yield from files_in_mounts(spec, chosen, encryption, wish)


def _blocked(chosen: Chosen) -> Iterator[Step]:
    kinds: dict[str, StepKind] = {"image": "write-image", "disks": "partition", "rootDevice": "wipe"}
    for path, refusal in sorted(chosen.refusals.items()):
        kind = kinds.get(path, "raid-create" if path.startswith("raid") else "partition")
        yield Step(
            id=f"blocked:{path}",
            kind=kind,
            field=path,
            reason=refusal.message,
            blocked_by=refusal.reason,
            destructive=True,
        )


def _wipe(cut: Cut, erased: Erased) -> Step:
    method = cut.layout.wipe if cut.layout else "metadata"
    volume = cut.target.volume
    held = volume.existing if volume and volume.kept else None
    destroys = erased.first(cut.target.disks, "; ".join(held.found) if held else "")
    return Step(
        id=f"wipe:{cut.target.name}",
        kind="wipe",
        field="disks",
        old="; ".join(f"{one.serial}: {one.found}" for one in destroys) or None,
        new=f"{cut.target.name} empty ({method})",
        reason="a disk starts clean, so that nothing old is found on it later",
        destructive=True,
        destroys=destroys,
        minutes=erase_minutes(method, cut.target.size_bytes),
        leaves=cut.target.leaves,
        args={"target": cut.target.args, "method": method},
    )


def _write_image(target: Target, image: ImageRecord) -> Step:
    return Step(
        id="write-image",
        kind="write-image",
        field="image",
        new=f"{image.name} {image.digest[:19]} on {target.name}",
        reason=f"as the spec asks; only the manifest with sha256 {image.manifest_sha256[:12]} is accepted",
        destructive=True,
        minutes=round(max(0.2, image.blob_bytes / WRITE_BYTES_PER_MINUTE), 1),
        leaves=target.leaves,
        args={
            "target": target.args,
            "image_digest": image.digest,
            "manifest_sha256": image.manifest_sha256,
            "manifest_url": image.manifest_url,
            "size_bytes": image.size_bytes,
        },
    )


def _partition(cut: Cut, root_uuid: str) -> Iterator[Step]:
    if cut.kept:
        return
    root = {"number": cut.plan.root_number, "size_bytes": cut.plan.root_size_bytes}
    table = {"table": "mbr", "active": cut.plan.active_number} if cut.plan.table == "mbr" else {}
    added = [
        {
            "number": one.number,
            "name": one.part.name,
            "start_bytes": one.start_bytes,
            "size_bytes": one.size_bytes,
            "type_guid": one.type_guid,
        }
        for one in cut.plan.added
    ]
    told = [f"{one.part.name} {human_size(one.size_bytes)}" for one in cut.plan.added]
    if cut.plan.root_number is not None:
        size_bytes = cut.plan.root_size_bytes
        held = cut.plan.root_volume
        inside = f" ({held['vg']}/{held['lv']})" if held else ""
        told.insert(0, f"root {human_size(size_bytes) if size_bytes else 'rest'}{inside}")
    yield Step(
        id=f"partition:{cut.target.name}",
        kind="partition",
        field="disks",
        new=", ".join(told),
        reason="as the spec asks",
        destructive=True,
        minutes=0.2,
        leaves=cut.target.leaves,
        args={
            "target": cut.target.args,
            "root": root if cut.plan.root_number is not None else None,
            "add": added,
            "root_uuid": root_uuid or None,
            **table,
            **({"root_volume": cut.plan.root_volume} if cut.plan.root_volume else {}),
        },
    )


def _volume_group(group: Group) -> Iterator[Step]:
    if group.kept:
        return
    volumes = [
        {"name": one.part.name, "extents": one.extents, "on": one.on}
        | ({"pool": one.pool} if one.pool else {})
        | ({} if one.part.filesystem else {"raw": True})
        for one in group.volumes
    ]
    sizes = [one.told(EXTENT_BYTES) for one in group.pools]
    sizes += [
        f"{one.part.name} {human_size(one.extents * EXTENT_BYTES)}" + (f" in {one.pool}" if one.pool else "")
        for one in group.volumes
    ]
    pools = {"pools": [one.args for one in group.pools]} if group.pools else {}
    places = ", ".join(f"{one.target.name} partition {one.number}" for one in group.parts)
    yield Step(
        id=f"volume-group:{group.name}",
        kind="volume-group",
        field="disks",
        new=f"group {group.name} on {places}: {', '.join(sizes) or 'no volume'}",
        reason="as the spec asks",
        destructive=True,
        minutes=0.1,
        leaves=group.leaves,
        args={**group.args, **pools, "volumes": volumes},
    )


def _mkfs(one: FileSystem, encryption: Encryption) -> Step:
    part = one.part
    inside = f" in {one.place['group']['vg']}" if "group" in one.place else ""
    inside += " encrypted" if part.luks else ""
    return Step(
        id=f"mkfs:{part.name}",
        kind="mkfs",
        field="disks",
        old=one.old,
        new=f"{part.filesystem} {part.name}{inside}" + (f" on {part.mount}" if part.mount else ""),
        reason="as the spec asks",
        destructive=True,
        minutes=0.1,
        leaves=one.leaves,
        args={
            **one.place,
            **encryption.args(part),
            "name": part.name,
            "filesystem": part.filesystem,
            "label": label_of(part),
            "mount": part.mount,
            "options": list(part.options),
            **({"subvolumes": [sub.name for sub in part.subvolumes]} if part.subvolumes else {}),
        },
    )


def _mounts(cut: Cut) -> Iterator[dict[str, Any]]:
    for one in cut.plan.added:
        if one.part.lvm:
            continue
        seen = cut.stays(one.part)
        held: dict[str, Any] = {}
        if seen is not None:
            inside = marked(seen.label, HEADER_MARK)
            held["fs_uuid"] = inside if one.part.luks else seen.fs_uuid
            if one.part.luks and not inside:
                held["device"] = f"/dev/mapper/{unlocked_name(one.part.name)}"
        yield from _lines(one.part, held)


def _mounts_in(group: Group) -> Iterator[dict[str, Any]]:
    """As above; what nobody marked in a kept volume is mounted by the volume's own device."""
    for one in group.volumes:
        held: dict[str, Any] = {"lvm": True, **({"thin": True} if one.thin else {})}
        if one.kept and one.kept_fs_uuid:
            held["fs_uuid"] = one.kept_fs_uuid
        elif one.kept and one.part.luks:
            held["device"] = f"/dev/mapper/{unlocked_name(one.part.name)}"
        elif one.kept:
            held["device"] = f"/dev/{group.name}/{one.part.name}"
        yield from _lines(one.part, held)


def _lines(part: Formatted, held: dict[str, Any]) -> Iterator[dict[str, Any]]:
    named = {"name": part.name, "filesystem": part.filesystem}
    for mount, options in mounts_of(part):
        yield {**named, "mount": mount, "options": list(options), **held}


def _finish(spec: Host, order: WorkOrder, chosen: Chosen, digest: str, *, efi: bool) -> Iterator[Step]:
    cuts = [cut for cut in (chosen.root, *chosen.data) if cut]
    identities = sorted({disk.identity or "" for cut in cuts for disk in _lies_on(cut)})
    record: dict[str, Any] = {
        "image_digest": digest,
        "specset": order.specset,
        "layout_hash": layout_hash(spec),
        "disks": identities,
        "root_disks": list(root_identities(chosen.storage.root)),
        "volumes": drives_of_volumes(chosen.storage.volumes),
    }
    held = chosen.root.plan.root_volume if chosen.root else None
    if held:
        record["root_volume"] = {key: held[key] for key in ROOT_VOLUME}
    yield _plain(
        "host-key", "", "the system gets its SSH host key before its first boot, so that it is known"
    )
    home = {"url": order.phone_home_url}
    yield _plain("phone-home", "", "its first boot reports itself", args=home)
    yield _plain("install-record", "image", "what was installed can be read back later", args=record)
    boot = {"order": "disk-first", "efi": efi}
    yield _plain("boot-order", "power", "a plain start needs no network", args=boot, where="bmc")
    cycle = {"action": "cycle"}
    yield _plain("power", "power", "starts the installed system", args=cycle, where="bmc", reboot=True)


def _lies_on(cut: Cut) -> Sequence[Disk]:
    """The disks that count as the host's own: not one that is to replace a lost member of what stays."""
    volume = cut.target.volume
    if cut.kept and volume and volume.existing and not volume.kept:
        return volume.lies_on
    return cut.target.disks


def _targets(chosen: Chosen) -> list[Target]:
    return [cut.target for cut in (chosen.root, *chosen.data) if cut]


def _plain(
    kind: StepKind,
    field: str,
    reason: str,
    *,
    args: dict[str, Any] | None = None,
    where: Any = "boot-os",
    reboot: bool = False,
) -> Step:
    minutes = 1.0 if reboot else 0.1
    return Step(
        id=kind,
        kind=kind,
        field=field,
        reason=reason,
        args=args or {},
        where=where,
        reboot=reboot,
        minutes=minutes,
    )
