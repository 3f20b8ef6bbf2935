"""Every decision of an installation, before a step is written: image, disks, arrays, partitions.

All that is wrong is collected, not only the first, so that one reading of the plan shows every reason.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from metal.planning.disks import Refusal, members_of
from metal.planning.erasing import VOLUME_METHODS, unwipeable
from metal.planning.layout import (
    TABLE_NAMES,
    DiskPlan,
    label_of,
    lay_out_data,
    lay_out_root,
    read_image,
    too_small,
)
from metal.planning.leftovers import MEMBER_OF_GROUP, Leftovers
from metal.planning.mounting import ENCRYPTED, HEADER_MARK, formatted, unfinished
from metal.planning.raid.pools import gone_from, is_volume
from metal.planning.raid.standing import WORN
from metal.planning.root_disk import changed_root, recorded_root, recorded_volumes
from metal.planning.storage import Storage, Target, Volume, choose_storage, keeps, preserved_groups
from metal.planning.tpm import tpm_refusal
from metal.planning.volume_groups import Group, PhysicalPart, choose_groups
from specs.facts import Disk, Hardware, PartitionFact, RaidArray, Tpm
from specs.model import DiskLayout, Host, Partition
from specs.records import ImageRecord, WorkOrder
from specs.sizes import human_size

MEMBER_SIGNATURE: Final = "linux_raid_member"


@dataclass(frozen=True, slots=True)
class Cut:
    """One disk or volume with how it is cut. `kept` are partitions that stay, by name, as they were seen."""

    layout: DiskLayout | None
    target: Target
    plan: DiskPlan
    kept: dict[str, PartitionFact]

    def stays(self, part: Partition) -> PartitionFact | None:
        """The partition whose content stays; not one that a start was killed over before it held any."""
        seen = self.kept.get(part.name)
        return seen if seen is not None and part.preserve and not _begun(part, seen) else None


@dataclass(frozen=True, slots=True)
class Chosen:
    """Every decision of an installation before steps are written; or the refusals."""

    root: Cut | None
    data: tuple[Cut, ...]
    image: ImageRecord | None
    storage: Storage
    refusals: dict[str, Refusal]
    groups: tuple[Group, ...] = ()
    tpm: Tpm | None = None
    """What opens encrypted file systems where the spec asks for it."""
    notes: tuple[str, ...] = ()
    """What is to be known beside."""


def choose(spec: Host, order: WorkOrder, hardware: Hardware, *, groups_unread: str | None = None) -> Chosen:
    """Decide on image, disks and partitions. `groups_unread` says why the volume groups are not known."""
    storage = choose_storage(spec, hardware, recorded_volumes(spec, order.host.installed))
    refusals = dict(storage.refusals)
    changed = changed_root(spec, recorded_root(order.host.installed), storage, hardware)
    if changed is not None:
        refusals["rootDevice"] = changed
    image = _image(spec, order, hardware)
    usable = image if isinstance(image, ImageRecord) else None
    if isinstance(image, Refusal):
        refusals["image"] = image
    root: Cut | None = None
    layout = next((one for one in spec.disks if one.device in ("root", spec.root_device)), None)
    if usable and isinstance(storage.root, Target):
        found = _cut_root(spec, layout, storage.root, usable)
        if isinstance(found, Refusal):
            refusals["image" if found.reason == "image-unfit" else "disks"] = found
        else:
            root = found
    data: list[Cut] = []
    for layout, target in storage.layouts:
        cut = _cut_data(spec, layout, target)
        if isinstance(cut, Refusal):
            refusals[f"disks:{target.name}"] = cut
        else:
            data.append(cut)
    keys = {part.luks.key.secret for part in formatted(spec) if part.luks}
    unset = sorted(keys - set(order.secrets))
    if unset:
        refusals["disks:luks"] = Refusal("secret-missing", f"no secret is called {', '.join(unset)}")
    untrusted = tpm_refusal(spec, hardware.tpm)
    if untrusted is not None:
        refusals["disks:tpm2"] = untrusted
    cuts = (*((root,) if root else ()), *data)
    groups: tuple[Group, ...] = ()
    notes: tuple[str, ...] = ()
    if not refusals:
        groups, wrong = choose_groups(spec, _physical(cuts), hardware.volume_groups)
        refusals |= wrong
        left = Leftovers.of(hardware, _erased(storage, cuts), _remade(cuts, groups))
        refusals |= dict(_against(left, spec, root, usable, groups))
        refusals |= dict(left.unread(groups_unread))
        notes = tuple(left.spread())
    return Chosen(root, tuple(data), usable, storage, refusals, groups, hardware.tpm, notes)


def _against(
    left: Leftovers, spec: Host, root: Cut | None, image: ImageRecord | None, groups: Sequence[Group]
) -> Iterator[tuple[str, Refusal]]:
    """What stays on the machine and would be torn, or found twice by the installed system."""
    own = root.plan.root_volume if root else None
    yield from left.torn({group.kept.uuid for group in groups if group.kept})
    yield from left.namesakes(groups, str(own["vg"]) if own else None, spec)
    if image is not None:
        yield from left.copies(str(image.info.get("root_uuid") or ""), own)


def _erased(storage: Storage, cuts: Sequence[Cut]) -> list[Disk]:
    """Disks of which nothing stays, those among them by which controllers show volumes that go."""
    stays = {disk.identity for cut in cuts if cut.kept for disk in cut.target.disks}
    disks = [disk for cut in cuts for disk in cut.target.disks]
    disks += [disk for one in storage.volumes if not one.kept for disk in one.disks]
    volumes = [cut.target.volume for cut in cuts if not cut.kept]
    arrays = [*storage.removed, *(one.existing for one in volumes if one and one.existing)]
    disks += [disk for disk in storage.shown if is_volume(disk, arrays)]
    return [disk for disk in disks if disk.identity not in stays]


def _remade(cuts: Sequence[Cut], groups: Sequence[Group]) -> list[str]:
    """Partitions that are made anew on disks that stay."""
    standing = {one.part.name for group in groups if group.kept for one in group.parts}
    return [
        cut.kept[one.part.name].device
        for cut in cuts
        for one in cut.plan.added
        if one.part.name in cut.kept and not one.part.preserve and one.part.name not in standing
    ]


def _begun(part: Partition, seen: PartitionFact) -> bool:
    return part.luks is not None and unfinished(seen.label, HEADER_MARK)


def _physical(cuts: Iterable[Cut]) -> Iterator[PhysicalPart]:
    """The partitions that are physical volumes, where the plan cuts them or where they stand."""
    for cut in cuts:
        for one in cut.plan.added:
            seen = cut.kept.get(one.part.name)
            if one.part.lvm:
                number, size_bytes = (seen.number, seen.size_bytes) if seen else (one.number, one.size_bytes)
                yield PhysicalPart(cut.target, number, one.part, size_bytes, seen)


def _image(spec: Host, order: WorkOrder, hardware: Hardware) -> ImageRecord | Refusal:
    image = order.image
    if image is None:
        return Refusal("image-missing", f"image {spec.image} is not in the store")
    if image.name != spec.image:
        return Refusal("image-mismatch", f"the spec asks for {spec.image}, the order carries {image.name}")
    seen, wished = hardware.firmware, spec.firmware.boot_mode
    if seen and wished and seen != wished:
        return Refusal("image-unfit", f"the spec asks for boot mode {wished}, the machine started by {seen}")
    return _bootable(image, seen or wished)


def _bootable(image: ImageRecord, mode: str | None) -> ImageRecord | Refusal:
    """What the image was found to hold, against how the machine starts: checked before anything is erased."""
    if mode is None:
        return Refusal("image-unfit", "the machine's firmware mode is not known, and the spec names none")
    table = image.info.get("partition_table", "gpt")
    if table not in ("gpt", "mbr"):
        told = f"image {image.name} has no partition table, neither GPT nor MBR: it cannot be grown"
        return Refusal("image-unfit", told)
    needed = "has_esp" if mode == "uefi" else "has_bios_boot"
    if not image.info.get(needed):
        loader = "BIOS boot partition" if table == "gpt" else "boot code in its MBR"
        part = "EFI system partition" if mode == "uefi" else loader
        return Refusal("image-unfit", f"image {image.name} has no {part}, so it cannot boot by {mode}")
    if not image.info.get("root_uuid"):
        return Refusal("image-unfit", f"image {image.name} has a root without a UUID")
    return image


def _cut_root(spec: Host, layout: DiskLayout | None, target: Target, image: ImageRecord) -> Cut | Refusal:
    if target.size_bytes < image.size_bytes:
        sizes = f"{human_size(image.size_bytes)}, {target.name} has {human_size(target.size_bytes)}"
        return Refusal("layout-impossible", f"the image needs {sizes}")
    unfit = (_unsupported(layout, target) or _lost(spec, layout, target)) if layout else None
    if unfit:
        return unfit
    found = read_image(image.info, target.sector_bytes)
    if isinstance(found, Refusal):
        return found
    asked = next((one.filesystem for one in layout.partitions if one.mount == "/"), None) if layout else None
    held = str(image.info.get("root_filesystem") or "unknown")
    if asked and held not in ("unknown", asked):
        return Refusal("image-unfit", f"the spec asks for {asked} on /, the root of {image.name} is {held}")
    if found.volume and target.volume and target.volume.controller is None:
        told = f"image {image.name} has its root on LVM, and {target.name} is software RAID, whose members"
        return Refusal("unsupported", f"{told} LVM would see too: use a disk or a controller's volume")
    plan = lay_out_root(layout.partitions if layout else (), target.size_bytes, found)
    return plan if isinstance(plan, Refusal) else Cut(layout, target, plan, {})


def _lost(spec: Host, layout: DiskLayout, target: Target) -> Refusal | None:
    """Refuse to erase with the root disk what the spec says to preserve on it."""
    existing = target.volume.existing if target.volume else None
    parts = [*(existing.partitions if existing else ()), *(one for d in target.disks for one in d.partitions)]
    for part in layout.partitions:
        stays = part.preserve or (part.lvm is not None and part.lvm.vg in preserved_groups(spec))
        if stays and (_stands(part, parts) or _unread_array(target)):
            told = f"{part.name} is to be preserved, but writing the image erases the whole root disk"
            return Refusal("layout-impossible", told)
    return None


def _stands(part: Partition, parts: Sequence[PartitionFact]) -> bool:
    """Whether a partition may be among those seen: by its name, or by what is in it where it has none."""
    nameless = [one for one in parts if not one.name]
    if part.lvm or part.luks:
        inside = any(one.filesystem in (MEMBER_OF_GROUP, ENCRYPTED) for one in nameless)
    else:
        inside = any((one.label or "").casefold() == label_of(part).casefold() for one in nameless)
    return inside or any(one.name == part.name for one in parts)


def _unsupported(layout: DiskLayout, target: Target) -> Refusal | None:
    """What no executor does yet: said here, because a step that refuses later does so on an erased disk."""
    lvm = next((part.name for part in layout.partitions if part.lvm and part.mount == "/"), None)
    if lvm:
        return Refusal("unsupported", f"{target.name}: partition {lvm} asks for lvm; / comes from the image")
    if target.volume is not None and layout.wipe not in VOLUME_METHODS:
        known = f"known: {', '.join(VOLUME_METHODS)} for a volume"
        return Refusal("unsupported", f"{target.name}: wipe {layout.wipe}; {known}")
    return unwipeable(target.disk, layout.wipe) if target.disk else None


def _cut_data(spec: Host, layout: DiskLayout, target: Target) -> Cut | Refusal:
    unsupported = _unsupported(layout, target)
    if unsupported:
        return unsupported
    plan = lay_out_data(layout.partitions, target.size_bytes, target.sector_bytes, layout.table)
    if isinstance(plan, Refusal) or not keeps(layout, spec):
        return plan if isinstance(plan, Refusal) else Cut(layout, target, plan, {})
    kept = _kept_parts(layout, target, plan)
    return kept if isinstance(kept, Refusal) else Cut(layout, target, plan, kept)


def _kept_parts(layout: DiskLayout, target: Target, plan: DiskPlan) -> dict[str, PartitionFact] | Refusal:
    """The partitions of a layout that stand, as they were seen; none on an empty disk."""
    existing = target.volume.existing if target.volume else None
    if target.volume and existing and existing.level != target.volume.spec.level:
        wished = target.volume.spec.level
        told = f"{target.name} is {existing.level} and holds data to preserve, wished {wished}"
        return Refusal("layout-impossible", told)
    moved = _elsewhere(target.volume, existing) if target.volume and existing else None
    if moved:
        return moved
    parts = existing.partitions if existing else target.disk.partitions if target.disk else ()
    found = _standing_parts(layout, parts)
    # The boot OS assembles no array: what an array that is not seen holds shows on its members alone.
    below = () if existing else target.disks
    content = [*(existing.found if existing else ()), *(said for disk in below for said in disk.found)]
    if not parts and not content:
        return {}
    table = existing.partition_table if existing else target.disk.partition_table if target.disk else None
    if table is not None and TABLE_NAMES.get(table, table) != layout.table:
        told = f"{target.name} holds data to preserve in a table of kind {table}, wished {layout.table}"
        return Refusal("layout-impossible", told)
    missing = [part.name for part in layout.partitions if part.name not in found]
    if missing:
        held = "; ".join(dict.fromkeys(content))
        told = f"{target.name} holds data to preserve ({held}) but no partition {missing[0]}"
        if _unread_array(target):
            told += " is seen: its array is not assembled; plan from the running system"
        return Refusal("layout-impossible", told)
    kept = {part.name: found[part.name] for part in layout.partitions}
    wrong = (
        _ambiguous(layout, target, parts)
        or _unlabelled(layout, target, kept, parts, plan)
        or _unlike(layout, target, kept)
        or _cramped(layout, kept)
    )
    return wrong or kept


def _elsewhere(volume: Volume, existing: RaidArray) -> Refusal | None:
    """Refuse to preserve what lies on other drives than the spec means: those would count as this host's.

    A drive that is gone may be replaced by another one.
    """
    if volume.kept:
        return None
    if not existing.members:
        told = f"array {existing.name or existing.uuid} does not run, so nobody sees what is to be preserved"
        return Refusal("layout-impossible", f"{told} in it: start it (mdadm --run), and plan again")
    pool = volume.choice.pool
    lost = gone_from([pool.controller]) if pool.controller else set()
    members = existing.model_copy(update={"spares": ()})
    seen = members_of(members, [one.disk for one in pool.candidates])
    left_out = {disk.identity for disk in seen} - {disk.identity for disk in volume.disks} - lost
    whole, count = existing.state not in (*WORN, "unknown"), volume.spec.drives.count
    other = whole and isinstance(count, int) and count != len(existing.members)
    if not left_out and not other:
        return None
    means = ", ".join(one.identity for one in volume.choice.members)
    told = f"{volume.spec.name} holds data to preserve on {', '.join(existing.members)}"
    return Refusal("layout-impossible", f"{told}, and the spec means {means}: name its drives by serials")


def _standing_parts(layout: DiskLayout, parts: Sequence[PartitionFact]) -> dict[str, PartitionFact]:
    """The partitions that stand, by the names of the spec.

    An MBR keeps no names: there a partition is known by its number, which is its place in the spec.
    """
    if layout.table == "gpt":
        return {one.name: one for one in parts if one.name}
    names = {number: part.name for number, part in enumerate(layout.partitions, 1)}
    return {names[one.number]: one for one in parts if one.number in names}


def _ambiguous(layout: DiskLayout, target: Target, parts: Sequence[PartitionFact]) -> Refusal | None:
    """Refuse to guess between partitions of one name: a GPT does not keep anybody from giving one twice."""
    wished = {part.name for part in layout.partitions} if layout.table == "gpt" else set()
    numbers: dict[str, list[str]] = {}
    for one in parts:
        numbers.setdefault(one.name or "", []).append(str(one.number))
    name, held = next(((key, held) for key, held in numbers.items() if key in wished and held[1:]), ("", []))
    if not name:
        return None
    told = f"{target.name} holds data to preserve, and partitions {' and '.join(held)} are called {name}"
    return Refusal("layout-impossible", f"{told}: rename what is not meant (sgdisk --change-name)")


def _unlike(layout: DiskLayout, target: Target, kept: Mapping[str, PartitionFact]) -> Refusal | None:
    """Refuse to preserve what is something else than the spec says: it would never be mounted."""
    other = next(
        (part for part in layout.partitions if part.preserve and not _same(part, kept[part.name])), None
    )
    if other is None:
        return None
    seen = kept[other.name].filesystem or "no file system"
    wished = f"{other.filesystem or 'none'}{' in LUKS' if other.luks else ''}"
    told = f"{target.name}: {other.name} is to be preserved and holds {seen}, wished {wished}"
    if kept[other.name].filesystem is None:
        told += "; if nothing in it is needed, erase the disk (rackflow wipe) and it is made anew"
    return Refusal("layout-impossible", told)


def _cramped(layout: DiskLayout, kept: Mapping[str, PartitionFact]) -> Refusal | None:
    """Refuse what is made anew in a partition that stands, and is too small for it."""
    anew = (one for one in layout.partitions if not one.preserve)
    told = (too_small(one, kept[one.name].size_bytes, bare=one.lvm is not None) for one in anew)
    return next((one for one in told if one), None)


def _unlabelled(
    layout: DiskLayout,
    target: Target,
    kept: Mapping[str, PartitionFact],
    parts: Sequence[PartitionFact],
    plan: DiskPlan,
) -> Refusal | None:
    """Refuse what an MBR's number alone would name: the file system must bear the label of the spec too.

    A physical volume is known by its group. Of several that show no label, encrypted or without a file
    system, each must be where the spec puts it: a key that opens two would open the wrong one as well.
    """
    for one in plan.added if layout.table == "mbr" else ():
        part, seen = one.part, kept[one.part.name]
        if not part.preserve or part.lvm:
            continue
        told = f"{target.name}: partition {seen.number} is to be preserved as {part.name}"
        if part.luks or part.filesystem is None:
            alike = [other for other in parts if not part.luks or other.filesystem == ENCRYPTED]
            if len(alike) > 1 and (seen.start_bytes, seen.size_bytes) != (one.start_bytes, one.size_bytes):
                has = f"has {seen.size_bytes} bytes from byte {seen.start_bytes}"
                where = f"{one.size_bytes} from {one.start_bytes}"
                wrong = f"{told} and {has}, the spec makes {where}"
                return Refusal(
                    "layout-impossible", f"{wrong}: order and size its entries as they stand there"
                )
        elif (seen.label or "").casefold() != label_of(part).casefold():
            labelled = f"{told} and is labelled {seen.label or 'nothing'}, not {label_of(part)}"
            return Refusal("layout-impossible", labelled)
    return None


def _same(part: Partition, seen: PartitionFact) -> bool:
    """Whether what is to be preserved is what the spec says; a file system that is not seen is never made."""
    if part.lvm or part.filesystem is None:
        return True
    return seen.filesystem == (ENCRYPTED if part.luks else part.filesystem)


def _unread_array(target: Target) -> bool:
    """Whether the drives belong to an array that nobody assembled, so that its content is not known."""
    if target.volume is None or target.volume.existing is not None:
        return False
    return any(MEMBER_SIGNATURE in said for disk in target.disks for said in disk.found)
