"""What is wrong with the layout of one host's disks, as far as a spec alone shows it."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from specs.explain import suggestion
from specs.model import DiskLayout, Formatted, Host, LogicalVolume, Partition, VolumeGroup
from specs.records import Finding
from specs.sizes import Percent
from specs.tree import Mark

LABEL_LIMIT: Final[dict[str, int]] = {"ext4": 16, "xfs": 12, "btrfs": 255, "vfat": 11, "swap": 15}
"""Bytes of a file system's label: mke2fs(8), mkfs.xfs(8), mkfs.btrfs(8), mkfs.fat(8), mkswap(8)."""

RESERVED_VOLUMES: Final = ("snapshot", "pvmove")
"""How no logical volume may begin (lvm(8), "VALID NAMES")."""

DEVICE_NAMES: Final = re.compile(
    r"autofs|block|bsg|btrfs-control|bus|cdrom|char|console|core|cpu|disk|dri|dvd|fd|full|fuse|hpet|hugepages"
    r"|hwrng|initctl|input|kmsg|kvm|log|loop-control|mapper|mcelog|md|mem|mqueue|mtd|net|null|nvme-fabrics|nvram"
    r"|port|ppp|ptmx|pts|random|rfkill|rtc|serial|shm|snapshot|snd|stderr|stdin|stdout|tty|udmabuf|uhid|uinput"
    r"|urandom|usb|userfaultfd|vcs|vfio|vhci|vhost-net|vhost-vsock|watchdog|zero|(sd|vd|xvd)[a-z]{1,2}\d*"
    r"|(cdrom|dm-|fb|hidraw|i2c-|ipmi|loop|md|mei|mmcblk|nbd|nvme|ram|rtc|sg|sr|tpm|tpmrm|tty|vcs|vcsa|watchdog"
    r"|zram)\d+(n\d+)?"
)
"""What Linux and systemd keep in /dev, where the group gets a folder: LVM makes none of a name that is there
(vgcreate(8): "already exists in filesystem")."""

OPENED_GROUP: Final = "luks"
"""A volume `x` of such a group would be /dev/mapper/luks-x, as what is opened in an encrypted `x` is."""

MAPPER_NAME_MAX: Final = 127
"""Bytes of a name of the device mapper (linux/dm-ioctl.h, DM_NAME_LEN with its end)."""

GPT_NAME_MAX: Final = 36
"""Characters of a partition's name (UEFI 2.10, 5.3.3)."""

IMAGE_FOLDERS: Final = ("/usr", "/etc", "/bin", "/sbin", "/lib", "/lib32", "/lib64")
START_FOLDERS: Final = ("/boot", "/dev", "/proc", "/sys", "/run")
"""Folders that a machine starts from, or that it makes itself, with all below them."""
OWN_FOLDERS: Final = ("/etc/rackflow", "/etc/ssh", "/etc/systemd", "/usr/lib/rackflow")
"""Folders that a job writes to at its very end, when new file systems have taken over what the root has."""

MBR_PARTITIONS: Final = 4
"""Entries of the table in the first sector; logical partitions inside an extended one are not made here."""

OWN_OPTIONS: Final = ("subvol", "subvolid")
"""Mount options that other fields give."""

Place = Callable[..., Mark]
Path = tuple[str | int, ...]


def lint_disks(place: Place, host: Host) -> Iterator[Finding]:
    """All findings of the layouts: devices, names, sizes, and every place that is mounted."""
    seen: dict[str, int] = {}
    for index, layout in enumerate(host.disks):
        is_root = layout.device in ("root", host.root_device)
        first = seen.setdefault("root" if is_root else repr(layout.device), index)
        if first != index:
            told = f"this disk is laid out already in disks[{first}]"
            yield place("disks", index, "device").finding(told, "put all its partitions into one entry")
        if is_root and host.root_device is None:
            yield place("disks", index, "device").finding("rootDevice is missing", "add rootDevice")
        yield from _layout(place, index, layout, is_root=is_root)
    yield from _names(place, host)
    yield from _groups(place, host)
    yield from _pools(place, host)
    yield from _mounts(place, host)


def _names(place: Place, host: Host) -> Iterator[Finding]:
    names: dict[str, str] = {}
    for path, part in _parts(host):
        if part.name in names:
            told = f"a second {_kind(part)} called {part.name!r}, also in {names[part.name]}"
            yield place(*path).finding(told, "names tell file systems apart: rename one")
        names[part.name] = f"{path[0]}[{path[1]}]"


def _kind(part: Formatted) -> str:
    return "partition" if isinstance(part, Partition) else "logical volume"


def _groups(place: Place, host: Host) -> Iterator[Finding]:
    """Groups that no partition is for, names that LVM keeps for itself, and sizes that cannot be."""
    placed = [part for _, part in _parts(host) if isinstance(part, Partition) and part.lvm]
    used = {part.lvm.vg for part in placed if part.lvm}
    shared = {part.lvm.vg for part in placed if part.lvm and part.filesystem is None}
    seen: set[str] = set()
    for index, group in enumerate(host.volume_groups):
        at = place("volumeGroups", index)
        if group.name in seen:
            yield at.finding(f"a second group called {group.name!r}", "put all its volumes into one entry")
        seen.add(group.name)
        if group.name not in used:
            told = f"no partition is for group {group.name!r}"
            hint = suggestion(group.name, used) or f"give partitions lvm: {{vg: {group.name}}}"
            yield place("volumeGroups", index, "name").finding(told, hint)
        elif (group.logical_volumes or group.thin_pools) and group.name not in shared:
            told = f"every partition of group {group.name} is one logical volume of its own"
            yield at.finding(told, "add a partition with lvm and without filesystem")
        yield from _volumes(place, index, group)
    yield from _group_names(place, host)
    for path, part in _parts(host):
        volume = part in placed or not isinstance(part, Partition)
        if volume and part.name.startswith(RESERVED_VOLUMES):
            yield place(*path, "name").finding(f"LVM keeps names like {part.name!r} for itself", "rename it")


def _group_names(place: Place, host: Host) -> Iterator[Finding]:
    """Names of groups that LVM or the device mapper would refuse, on disks that are erased by then."""
    for index, group in enumerate(host.volume_groups):
        volumes = [one for one in group.logical_volumes if one.luks]
        own = [p for d in host.disks for p in d.partitions if p.lvm and p.lvm.vg == group.name and p.luks]
        if group.name == OPENED_GROUP and (volumes or own):
            told = f"what is opened in {(*volumes, *own)[0].name} would be called as the volume itself is"
            yield place("volumeGroups", index, "name").finding(told, "rename the group")
    seen: set[str] = set()
    for path, name, inside in _in_groups(host):
        if DEVICE_NAMES.fullmatch(name) and name not in seen:
            yield place(*path).finding(f"/dev/{name} is no volume group's: LVM refuses the name", "rename it")
        seen.add(name)
        # The longest of the devices that a thin pool has; a volume's own is shorter.
        longest = f"{name.replace('-', '--')}-{inside.replace('-', '--')}_tdata"
        if len(longest) > MAPPER_NAME_MAX:
            told = (
                f"group {name} and volume {inside} make a device's name of more than {MAPPER_NAME_MAX} bytes"
            )
            yield place(*path).finding(f"{told} (dashes count twice)", "shorten one")


def _in_groups(host: Host) -> Iterator[tuple[Path, str, str]]:
    """Path, group and name of everything that gets a device in a group."""
    for path, part in _parts(host):
        if isinstance(part, Partition) and part.lvm:
            yield (*path, "lvm"), part.lvm.vg, part.name if part.filesystem else ""
    for index, group in enumerate(host.volume_groups):
        at = ("volumeGroups", index)
        for number, pool in enumerate(group.thin_pools):
            yield (*at, "thinPools", number), group.name, pool.name
        for number, one in enumerate(group.logical_volumes):
            yield (*at, "logicalVolumes", number), group.name, one.name


def _volumes(place: Place, index: int, group: VolumeGroup) -> Iterator[Finding]:
    def at(number: int, *below: str) -> Mark:
        return place("volumeGroups", index, "logicalVolumes", number, *below)

    pools = [
        (place("volumeGroups", index, "thinPools", number, "size"), one.size)
        for number, one in enumerate(group.thin_pools)
    ]
    whole = [
        (at(number, "size"), one.size)
        for number, one in enumerate(group.logical_volumes)
        if one.thin_pool is None
    ]
    sized = [*pools, *whole]
    twice = "volume of size rest in one group"
    yield from _sizes(lambda number: sized[number][0], [size for _, size in sized], twice)
    names = [one.name for one in group.thin_pools]
    for number, one in enumerate(group.logical_volumes):
        yield from _thin(at(number), one, names)
        if one.mount == "/":
            told = "/ comes from the image, which has no logical volume for it"
            yield at(number).finding(told, "mount it elsewhere")
        else:
            yield from _filesystem(at(number), one)


def _pools(place: Place, host: Host) -> Iterator[Finding]:
    """Names of thin pools: LVM knows them and the volumes beside them by one kind of name."""
    names = {part.name: _kind(part) for _, part in _parts(host)}
    for index, group in enumerate(host.volume_groups):
        for number, pool in enumerate(group.thin_pools):
            at = place("volumeGroups", index, "thinPools", number, "name")
            if pool.name in names:
                yield at.finding(f"there is a {names[pool.name]} called {pool.name!r} too", "rename one")
            elif pool.name.startswith(RESERVED_VOLUMES):
                yield at.finding(f"LVM keeps names like {pool.name!r} for itself", "rename it")
            names[pool.name] = "thin pool"


def _thin(at: Mark, volume: LogicalVolume, pools: Sequence[str]) -> Iterator[Finding]:
    if volume.thin_pool is None:
        return
    if volume.thin_pool not in pools:
        hint = suggestion(volume.thin_pool, pools) or "add it to the group's thinPools"
        yield at.finding(f"the group has no thin pool {volume.thin_pool!r}", hint)
    elif not isinstance(volume.size, int):
        told = f"a thin volume of size {volume.size}: nothing says of what"
        yield at.finding(told, "give it a size of its own; it may be larger than the pool")


def _mounts(place: Place, host: Host) -> Iterator[Finding]:
    """Two things in one place, and options that a line of fstab cannot carry."""
    mounts: dict[str, str] = {}
    for path, name, mount, options in _mounted(host):
        if mount and mount in mounts:
            yield place(*path, "mount").finding(
                f"{mount} is also the mount of {mounts[mount]}", "one mount each"
            )
        mounts[mount or ""] = name
        at = place(*path)
        if options and not mount:
            yield at.finding("options without a mount", "add mount, or leave options out")
        if any(blank in word for word in (*options, mount or "") for blank in (" ", "\t", "\n")):
            yield at.finding("a mount or option with a blank in it breaks fstab", "remove the blank")
        if mount and ((mount != "/" and mount.endswith("/")) or ".." in mount.split("/")):
            yield at.finding(f"expected a plain absolute path, got {mount!r}", "no .. and no / at the end")
        if mount in IMAGE_FOLDERS or _is_below(mount, (*START_FOLDERS, *OWN_FOLDERS)):
            told = f"{mount} is the image's: what is mounted there hides what the system starts from"
            yield place(*path, "mount").finding(told, "mount it elsewhere")
        taken = next((word for word in options if word.partition("=")[0] in OWN_OPTIONS), None)
        if taken:
            yield at.finding(f"option {taken} is made from subvolumes", "name it in subvolumes")


def _is_below(mount: str | None, folders: Sequence[str]) -> bool:
    """Whether something is mounted on one of these folders or in it."""
    return any(mount == one or (mount or "").startswith(f"{one}/") for one in folders)


def _mounted(host: Host) -> Iterator[tuple[Path, str, str | None, tuple[str, ...]]]:
    """Path, name, mount and options of every file system and subvolume."""
    for path, part in _parts(host):
        yield path, part.name, part.mount, part.options
        for number, one in enumerate(part.subvolumes):
            yield (*path, "subvolumes", number), f"{part.name}/{one.name}", one.mount, one.options


def _parts(host: Host) -> Iterator[tuple[Path, Formatted]]:
    for index, layout in enumerate(host.disks):
        for number, part in enumerate(layout.partitions):
            yield ("disks", index, "partitions", number), part
    for index, group in enumerate(host.volume_groups):
        for number, volume in enumerate(group.logical_volumes):
            yield ("volumeGroups", index, "logicalVolumes", number), volume


def _sizes(at: Callable[[int], Mark], sizes: Sequence[object], twice: str) -> Iterator[Finding]:
    """More than one `rest`, and shares that come to more than all."""
    rests = [number for number, size in enumerate(sizes) if size == "rest"]
    for number in rests[1:]:
        yield at(number).finding(f"a second {twice}", "give all but one a size")
    shared = [(number, size.value) for number, size in enumerate(sizes) if isinstance(size, Percent)]
    total = sum(value for _, value in shared)
    if total > 100 or (total == 100 and rests):
        left = ", and rest gets nothing" if total == 100 else ""
        told = f"the shares come to {total}%{left}"
        yield at(shared[-1][0]).finding(told, "shares are of what absolute sizes leave")


def _layout(place: Place, index: int, layout: DiskLayout, *, is_root: bool) -> Iterator[Finding]:
    sizes = [part.size for part in layout.partitions]

    def at_size(number: int) -> Mark:
        return place("disks", index, "partitions", number, "size")

    yield from _sizes(at_size, sizes, "partition of size rest on one disk")
    yield from _table(place, index, layout, is_root=is_root)
    if is_root and layout.partitions and not any(part.mount == "/" for part in layout.partitions):
        told = "the root disk is laid out without a partition mounted at /"
        yield place("disks", index, "partitions").finding(told, "add {name: root, size: …, mount: /}")
    for number, part in enumerate(layout.partitions):
        at = place("disks", index, "partitions", number)
        if part.mount == "/":
            yield from _root(at, part, is_root=is_root)
        elif len(part.name) > GPT_NAME_MAX and layout.table == "gpt":
            told = f"a GPT keeps {GPT_NAME_MAX} characters of a name, {part.name!r} has {len(part.name)}"
            yield at.finding(f"{told}: it would not be found again", "shorten it")
        yield from _filesystem(at, part)


def _table(place: Place, index: int, layout: DiskLayout, *, is_root: bool) -> Iterator[Finding]:
    if is_root and "table" in layout.model_fields_set:
        told = "the root disk has the partition table of its image"
        yield place("disks", index, "table").finding(told, "leave table out")
    elif layout.table == "mbr" and len(layout.partitions) > MBR_PARTITIONS:
        told = f"an MBR holds {MBR_PARTITIONS} partitions, these are {len(layout.partitions)}"
        hint = "use table: gpt, or a volume group; extended partitions are not supported"
        yield place("disks", index, "partitions", MBR_PARTITIONS).finding(told, hint)


def _root(at: Mark, part: Partition, *, is_root: bool) -> Iterator[Finding]:
    if not is_root:
        yield at.finding("/ lies on the root disk", "move it to device: root")
    if part.preserve:
        yield at.finding("/ comes from the image and cannot be preserved", "leave preserve out")
    if part.label or part.subvolumes:
        yield at.finding("/ comes from the image with its label and subvolumes", "leave them out")
    if part.luks:
        yield at.finding("/ comes from the image and is not encrypted", "leave luks out")
    if part.lvm:
        yield at.finding("/ comes from the image and is put on no logical volume", "leave lvm out")
    if part.options:
        yield at.finding("/ is mounted as the image's fstab says", "leave options out")


def _filesystem(at: Mark, part: Formatted) -> Iterator[Finding]:
    if part.mount and part.mount != "/" and part.filesystem is None:
        yield at.finding(f"{part.mount} has no filesystem", "add filesystem: ext4")
    if part.filesystem == "swap" and part.mount:
        yield at.finding("swap is not mounted", "leave mount out")
    if part.luks and part.filesystem is None and part.mount != "/":
        told = "luks without a filesystem"
        if isinstance(part, Partition) and part.lvm:
            told = "luks below a volume group is not made"
        yield at.finding(told, "encrypt what has a filesystem: a partition or logical volumes")
    if part.subvolumes and part.filesystem != "btrfs" and part.mount != "/":
        yield at.finding(f"{part.filesystem or 'no file system'} has no subvolumes", "add filesystem: btrfs")
    names = [one.name for one in part.subvolumes]
    if len(set(names)) < len(names):
        yield at.finding("two subvolumes of one name", "rename one")
    if part.label is None or part.mount == "/":
        return
    limit = LABEL_LIMIT.get(part.filesystem or "")
    if limit is None:
        yield at.finding("a label without a filesystem", "add filesystem, or leave label out")
    elif not part.label or len(part.label.encode()) > limit or not part.label.isprintable():
        told = f"expected a label of 1 to {limit} bytes for {part.filesystem}, got {part.label!r}"
        yield at.finding(told, "shorten it")
