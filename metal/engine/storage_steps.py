"""Steps over disks: arrays, wipe, image, partitions, file systems. All of them in the boot OS."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from metal.drivers import erasing, filesystems, image, mbr, partitions
from metal.drivers.filesystems import FilesystemWish
from metal.drivers.image import ImageWish
from metal.drivers.partitions import (
    BlockView,
    Device,
    Extent,
    NewPartition,
    RootWish,
    Target,
)
from metal.drivers.storage.lvm import read_groups
from metal.drivers.storage.lvm_root import RootVolume
from metal.engine import luks_steps, lvm_steps
from metal.engine.work import Handler, Work
from metal.errors import Refused, Unreachable
from metal.planning.plan import StepKind
from metal.planning.report import erased_disks
from metal.protocols import Command


@dataclass(frozen=True, slots=True)
class Wipe:
    """Erase by the plan's method, have it proven, and keep the report."""

    blind: bool = False

    def differences(self, work: Work) -> tuple[str, ...]:
        """Say what is found on the target; that more than signatures was erased only its report says."""
        target, method = work.target(), _method(work)
        found = work.block().on(target).found
        if found or work.acted or (method == "metadata" and not _is_attested(work)):
            return found
        return (f"{target} is not known to be erased ({method})",)

    def act(self, work: Work) -> None:
        """Erase; a method that is not known is refused rather than replaced by a weaker one."""
        method = _method(work)
        if method not in erasing.METHODS:
            raise Refused(f"wipe by {method} is not known here", host=work.host, reason="step-failed")
        work.unmount()
        target, device = _found(work)
        if device.holders:
            work.send((erasing.release_command(target, erased_disks(work.plan)),))
        if work.interrupted:
            # What an earlier start has erased may be gone from the disk and not from the kernel.
            work.send((image.reread_table(target),))
            target, device = _found(work)
            erased = method == "metadata" and not device.found and not device.partitions
            if erased and not _is_attested(work):
                return
        name = work.made(f"wipe:{target.guard.identity}")
        command = erasing.wipe_command(target, device.size_bytes, method, name=name)
        try:
            work.send((command,), progress=method != "metadata")
        except Refused as error:
            if f"ended with {erasing.EXIT_REFUSED}" in error.message:
                raise Refused(error.message, host=work.host, reason="wipe-impossible") from error
            raise
        report = erasing.parse_report(work.host, work.said, target, method)
        work.reported["wipe"] = report.model_dump(mode="json")
        if work.block().on(target).partitions:
            # The kernel keeps the partitions that it knew.
            work.send((image.reread_table(target),))


@dataclass(frozen=True, slots=True)
class WriteImage:
    """Write the image; only the journal knows that it was written whole."""

    blind: bool = True

    def differences(self, work: Work) -> tuple[str, ...]:
        """Say whether the kernel sees the image's root on the target."""
        target, wanted = work.target(), work.root_id()
        if _has_root(work.block(), target, wanted):
            return ()
        work.send((image.reread_table(target),))
        if _has_root(work.block(), target, wanted):
            return ()
        return (f"the image was written, and its root {wanted} is not seen on {target}",)

    def act(self, work: Work) -> None:
        """Write; a server that cannot be reached may be reached later."""
        work.unmount()
        target, device = _found(work)
        command = image.write(target, ImageWish.of(work.args), device.size_bytes, name=work.made("image"))
        try:
            work.send((command,), progress=True)
        except Refused as error:
            if f"ended with {image.EXIT_UNREACHABLE}" in error.message:
                raise Unreachable(error.message, host=work.host, reason="unreachable") from error
            raise


@dataclass(frozen=True, slots=True)
class Partition:
    """Write the table; grow the root's file system with its partition."""

    blind: bool = True
    """Blind: after a crash between table and growth the table is right and the root is not grown."""

    def differences(self, work: Work) -> tuple[str, ...]:
        """Compare the table with the plan's."""
        view = work.block()
        device = view.on(work.target())
        found = partitions.differences(device, _extents(work, view))
        volume = _root_volume(work)
        return found or (volume.differences(read_groups(work.shell())) if volume else ())

    def act(self, work: Work) -> None:
        """One call of sgdisk or sfdisk, if the table is not right yet; then check and grow the root."""
        work.unmount()
        view = work.block()
        target, device = _found(work, view)
        if work.interrupted and partitions.differences(device, _extents(work, view)):
            # sgdisk ends well where the kernel keeps the old table, and makes no partition a second time.
            work.send((image.reread_table(target),))
            view = work.block()
            target, device = _found(work, view)
        laid = _extents(work, view)
        root = work.args.get("root")
        if partitions.differences(device, laid):
            work.send((_table_command(work, target, device, laid),))
        if root is None:
            return
        number = int(root["number"])
        volume = _root_volume(work)
        if volume is not None:
            work.send(volume.grow(target, number, read_groups(work.shell())))
            return
        part = device.partition(number)
        if part is not None:
            work.send(filesystems.grow_root(target, number, part.filesystem or ""))


@dataclass(frozen=True, slots=True)
class Mkfs:
    """Make one file system under the id that the job gives it."""

    blind: bool = False

    def differences(self, work: Work) -> tuple[str, ...]:
        """Compare kind and id; after an interrupted start also whether it is whole."""
        if "group" in work.args:
            return lvm_steps.volume_differences(work, _filesystem(work))
        if "luks" in work.args:
            return luks_steps.differences(work, _filesystem(work))
        device, wish = work.block().on(work.target()), _filesystem(work)
        found = filesystems.differences(device, wish)
        part = device.partition(wish.number)
        if found or part is None:
            return found
        if wish.subvolumes:
            dump = work.shell().read(filesystems.read_subvolumes(part.device), timeout_s=60)
            found = filesystems.subvolume_differences(wish, dump.stdout)
        if found or not work.interrupted:
            return found
        check = filesystems.check(wish, part.device)
        if check is None or work.shell().read(check, timeout_s=600).ok:
            return ()
        return (f"{wish.filesystem} {wish.name} is there and not whole",)

    def act(self, work: Work) -> None:
        """Make it."""
        if "group" in work.args:
            lvm_steps.make_in_volume(work, _filesystem(work))
            return
        if "luks" in work.args:
            luks_steps.make(work, _filesystem(work))
            return
        work.unmount()
        target = work.target()
        if target.size_bytes is None:
            target, _ = _found(work)
        work.send((filesystems.make(target, _filesystem(work)),))


HANDLERS: Final[Mapping[StepKind, Handler]] = {
    "wipe": Wipe(),
    "write-image": WriteImage(),
    "partition": Partition(),
    "mkfs": Mkfs(),
}


def _is_attested(work: Work) -> bool:
    """Whether the step's report is what it is for, also of a disk on which nothing is seen."""
    return bool(work.args.get("attest"))


def _method(work: Work) -> str:
    return str(work.args.get("method", "metadata"))


def _filesystem(work: Work) -> FilesystemWish:
    return FilesystemWish.of(work.args, work.made(f"fs:{work.args['name']}"))


def _found(work: Work, view: BlockView | None = None) -> tuple[Target, Device]:
    """Give the step's target with the size that it has now, for the guard, and its device.

    A disk's size was planned, and another one is refused; an array's is known when it stands.
    """
    target = work.target()
    device = (view or work.block()).on(target)
    return replace(target, size_bytes=device.size_bytes), device


def _has_root(view: BlockView, target: Target, fs_uuid: str) -> bool:
    return any((part.fs_uuid or "").lower() == fs_uuid.lower() for part in view.on(target).partitions)


def _extents(work: Work, view: BlockView) -> tuple[Extent, ...]:
    root = work.args.get("root")
    held = work.args.get("root_volume", {}).get("pv_uuid") or work.args.get("root_uuid")
    wish = RootWish(int(root["number"]), root.get("size_bytes"), held) if root else None
    device = view.on(work.target())
    signature = _signature(work, device)
    added = [
        NewPartition.of(
            new,
            mbr.part_uuid(signature, int(new["number"])) if signature else work.made(f"part:{new['name']}"),
        )
        for new in work.args.get("add", ())
    ]
    return partitions.extents(device, wish, added, work.host)


def _root_volume(work: Work) -> RootVolume | None:
    held = work.args.get("root_volume")
    return RootVolume.of(held) if held else None


def _signature(work: Work, device: Device) -> str | None:
    """The id of an MBR: the image's own where it has one, else the job's; None where the table is a GPT."""
    if work.args.get("table") != "mbr":
        return None
    own = mbr.signature_of(device) if work.args.get("root") else None
    return own or mbr.signature_from(work.made(f"table:{work.target().guard.identity}"))


def _table_command(work: Work, target: Target, device: Device, laid: tuple[Extent, ...]) -> Command:
    fresh = work.args.get("root") is None
    signature = _signature(work, device)
    if signature is None:
        return partitions.table_command(target, device, laid, fresh=fresh)
    kept = () if fresh else device.partitions
    table = mbr.Table(signature, laid, kept, work.args.get("active"), fresh=fresh)
    return table.command(target, device.block_bytes)
