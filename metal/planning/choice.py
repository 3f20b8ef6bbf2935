"""Every decision of an installation, before a step is written: image, disks, arrays, partitions.

All that is wrong is collected, not only the first, so that one reading of the plan shows every reason.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from metal.planning.disks import Refusal, describe
from metal.planning.layout import DiskPlan, lay_out_data, lay_out_root, read_image
from metal.planning.mounting import ENCRYPTED, formatted
from metal.planning.root_disk import changed_root, recorded_root, recorded_volumes
from metal.planning.storage import Storage, Target, choose_storage, keeps, preserved_groups
from metal.planning.tpm import tpm_refusal
from metal.planning.volume_groups import Group, PhysicalPart, choose_groups, split_groups
from specs.facts import Disk, Hardware, PartitionFact, Tpm
from specs.model import DiskLayout, Host, Partition
from specs.records import ImageRecord, WorkOrder
from specs.sizes import human_size

VOLUME_METHODS: Final = ("metadata", "discard", "overwrite")
"""What may be done to a RAID volume: only a drive can erase itself."""

MEMBER_SIGNATURE: Final = "linux_raid_member"


@dataclass(frozen=True, slots=True)
class Cut:
    """One disk or volume with how it is cut. `kept` are partitions that stay, by name, as they were seen."""

    layout: DiskLayout | None
    target: Target
    plan: DiskPlan
    kept: dict[str, PartitionFact]


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


def choose(spec: Host, order: WorkOrder, hardware: Hardware) -> Chosen:
    """Decide on image, disks and partitions."""
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
    if not refusals:
        groups, wrong = choose_groups(spec, _physical(cuts), hardware.volume_groups)
        refusals |= wrong
        refusals |= dict(split_groups(hardware, _erased(storage, cuts), _remade(cuts, groups), _stay(groups)))
    return Chosen(root, tuple(data), usable, storage, refusals, groups, hardware.tpm)


def _erased(storage: Storage, cuts: Sequence[Cut]) -> list[Disk]:
    """Disks of which nothing stays."""
    stays = {disk.identity for cut in cuts if cut.kept for disk in cut.target.disks}
    disks = [disk for cut in cuts for disk in cut.target.disks]
    disks += [disk for one in storage.volumes if not one.kept for disk in one.disks]
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


def _stay(groups: Sequence[Group]) -> list[str]:
    return [group.kept.uuid for group in groups if group.kept]


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
    if image.info.get("partition_table", "gpt") != "gpt":
        told = f"image {image.name} has no GPT: one with an MBR, or none, cannot be grown and added to"
        return Refusal("image-unfit", told)
    needed = "has_esp" if mode == "uefi" else "has_bios_boot"
    if not image.info.get(needed):
        part = "EFI system partition" if mode == "uefi" else "BIOS boot partition"
        return Refusal("image-unfit", f"image {image.name} has no {part}, so it cannot boot by {mode}")
    if not image.info.get("root_uuid"):
        return Refusal("image-unfit", f"image {image.name} has a root without a UUID")
    return image


def _cut_root(spec: Host, layout: DiskLayout | None, target: Target, image: ImageRecord) -> Cut | Refusal:
    if target.size_bytes < image.size_bytes:
        sizes = f"{human_size(image.size_bytes)}, {target.name} has {human_size(target.size_bytes)}"
        return Refusal("layout-impossible", f"the image needs {sizes}")
    existing = target.volume.existing if target.volume else None
    parts = [*(existing.partitions if existing else ()), *(one for d in target.disks for one in d.partitions)]
    seen = {part.name for part in parts}
    unsupported = _unsupported(layout, target) if layout else None
    if unsupported:
        return unsupported
    for part in layout.partitions if layout else ():
        stays = part.preserve or (part.lvm is not None and part.lvm.vg in preserved_groups(spec))
        if stays and (part.name in seen or _unread_array(target)):
            told = f"{part.name} is to be preserved, but writing the image erases the whole root disk"
            return Refusal("layout-impossible", told)
    asked = (
        next((part.filesystem for part in layout.partitions if part.mount == "/"), None) if layout else None
    )
    held = str(image.info.get("root_filesystem") or "unknown")
    if asked and held not in ("unknown", asked):
        return Refusal("image-unfit", f"the spec asks for {asked} on /, the root of {image.name} is {held}")
    found = read_image(image.info, target.sector_bytes)
    if isinstance(found, Refusal):
        return found
    plan = lay_out_root(layout.partitions if layout else (), target.size_bytes, found)
    return plan if isinstance(plan, Refusal) else Cut(layout, target, plan, {})


def _unsupported(layout: DiskLayout, target: Target) -> Refusal | None:
    """What no executor does yet: said here, because a step that refuses later does so on an erased disk."""
    lvm = next((part.name for part in layout.partitions if part.lvm and part.mount == "/"), None)
    if lvm:
        return Refusal("unsupported", f"{target.name}: partition {lvm} asks for lvm; / comes from the image")
    if target.volume is not None and layout.wipe not in VOLUME_METHODS:
        known = f"known: {', '.join(VOLUME_METHODS)} for a volume"
        return Refusal("unsupported", f"{target.name}: wipe {layout.wipe}; {known}")
    return unwipeable(target.disk, layout.wipe) if target.disk else None


def unwipeable(disk: Disk, method: str) -> Refusal | None:
    """Why a disk can't be erased by a method; None where it can, or where only the boot OS will know."""
    if method not in ("discard", "sanitize") or (disk.erases is None and disk.erase_problem is None):
        return None
    ways = [way for way in disk.erases or () if (way == "discard") == (method == "discard")]
    if ways and not (method == "sanitize" and disk.erase_problem):
        return None
    why = disk.erase_problem if method == "sanitize" and disk.erase_problem else "the disk knows no way to"
    told = f"{describe(disk)}: wipe {method} is not possible: {why}; wipe: overwrite is for every disk"
    return Refusal("wipe-impossible", told)


def _cut_data(spec: Host, layout: DiskLayout, target: Target) -> Cut | Refusal:
    unsupported = _unsupported(layout, target)
    if unsupported:
        return unsupported
    plan = lay_out_data(layout.partitions, target.size_bytes, target.sector_bytes)
    if isinstance(plan, Refusal) or not keeps(layout, spec):
        return plan if isinstance(plan, Refusal) else Cut(layout, target, plan, {})
    existing = target.volume.existing if target.volume else None
    if target.volume and existing and existing.level != target.volume.spec.level:
        wished = target.volume.spec.level
        told = f"{target.name} is {existing.level} and holds data to preserve, wished {wished}"
        return Refusal("layout-impossible", told)
    parts = existing.partitions if existing else target.disk.partitions if target.disk else ()
    found = {one.name: one for one in parts if one.name}
    # The boot OS assembles no array: what an array that is not seen holds shows on its members alone.
    below = () if existing else target.disks
    content = [*(existing.found if existing else ()), *(said for disk in below for said in disk.found)]
    if not parts and not content:
        return Cut(layout, target, plan, {})
    missing = [part.name for part in layout.partitions if part.name not in found]
    if missing:
        held = "; ".join(dict.fromkeys(content))
        told = f"{target.name} holds data to preserve ({held}) but no partition {missing[0]}"
        if _unread_array(target):
            told += " is seen: its array is not assembled; plan from the running system"
        return Refusal("layout-impossible", told)
    kept = {part.name: found[part.name] for part in layout.partitions}
    return _unlike(layout, target, kept) or Cut(layout, target, plan, kept)


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
    return Refusal("layout-impossible", told)


def _same(part: Partition, seen: PartitionFact) -> bool:
    """Whether what is to be preserved can be what the spec says; what was not read is not held against it."""
    if part.lvm or seen.filesystem is None or part.filesystem is None:
        return True
    return seen.filesystem == (ENCRYPTED if part.luks else part.filesystem)


def _unread_array(target: Target) -> bool:
    """Whether the drives belong to an array that nobody assembled, so that its content is not known."""
    if target.volume is None or target.volume.existing is not None:
        return False
    return any(MEMBER_SIGNATURE in said for disk in target.disks for said in disk.found)
