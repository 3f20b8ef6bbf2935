"""Disks and what lies on them, from lsblk, sysfs and a look at the first sectors.

lsblk gives sizes, partitions and signatures; sysfs gives the identity (see `identity`); a disk whose
first 64 KiB are not zero, or could not be read, is not blank even if no signature is known, because
"blank" is what `destroy: allow` may erase without asking.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from metal.drivers.bundle import Query
from metal.drivers.storage.identity import Sysfs, SysfsDisk, normalise_wwn
from metal.drivers.storage.lsblk_table import TOOL, Row
from metal.drivers.storage.lsblk_text import flag, read_rows
from metal.drivers.tool_text import unparsable
from specs.facts import Disk, PartitionFact
from specs.identity import serial_identity

SETTLE: Final = Query("udev-settle", ("udevadm", "settle", "--timeout=5"))
"""lsblk shows what udev has seen; right after a change that may be the past."""
PROBE_AGAIN: Final = ("udevadm", "trigger", "--action=change", "--subsystem-match=block")
"""Have udev probe all disks anew. It watches a device once it has handled its appearance; what is written
to a partition before that, on a loaded machine, it never hears of."""

_COLUMNS: Final = (
    "NAME,KNAME,TYPE,SIZE,MODEL,VENDOR,SERIAL,WWN,ROTA,TRAN,RM,RO,LOG-SEC,HCTL,"
    "FSTYPE,LABEL,UUID,PTTYPE,PARTTYPE,PARTUUID,PARTLABEL,START,MOUNTPOINTS"
)
LSBLK: Final = Query("lsblk", ("lsblk", "-J", "-b", "-o", _COLUMNS))

DISK_HEADS: Final = Query(
    "disk-heads",
    (
        "sh",
        "-c",
        r"""for d in /sys/block/*; do n=${d##*/}
case $n in loop*|ram*|zram*|fd*|sr*|nbd*|dm-*|md*) continue ;; esac
[ "$(dd if="/dev/$n" bs=65536 count=1 2>/dev/null | wc -c)" -eq 65536 ] || continue
if dd if="/dev/$n" bs=65536 count=1 2>/dev/null | tr -d '\000' | dd bs=1 count=1 2>/dev/null | grep -q ''
then echo "$n data"; else echo "$n zero"; fi; done; :""",
    ),
    timeout_s=20,
)

START_UNIT_BYTES: Final = 512
"""lsblk's START is sysfs's `start`: always in 512-byte sectors, whatever the disk's block size."""

_NOT_DISKS = re.compile(r"^(loop|ram|zram|fd|sr|nbd)\d|^mmcblk\d+(boot|rpmb)")
_VIRTUAL_MEDIA = re.compile(
    r"virtual (cd|dvd|floppy|media|hdisk|disk|usb|optical)|idrac|vflash", re.IGNORECASE
)
_VOLUME_MODEL = re.compile(r"^(LOGICAL VOLUME|PERC|MR\d|AVAGO|SAS\d{4}|RAID)", re.IGNORECASE)
_RAID_DRIVERS: Final = frozenset(
    {"megaraid_sas", "hpsa", "smartpqi", "aacraid", "mpt3sas", "arcmsr", "3w-sas"}
)
_TRANSPORTS: Final = frozenset(
    {"sata", "sas", "nvme", "usb", "virtio", "fc", "fcoe", "iscsi", "srp", "sbp", "spi", "ata", "mmc"}
)
_SAN_DRIVERS: Final[Mapping[str, str]] = {
    "lpfc": "fc",
    "qla2xxx": "fc",
    "bfa": "fc",
    "zfcp": "fc",
    "fnic": "fcoe",
    "bnx2fc": "fcoe",
    "qedf": "fcoe",
    "fcoe": "fcoe",
    "iscsi_tcp": "iscsi",
    "iscsi_iser": "iscsi",
    "ib_iser": "iscsi",
    "bnx2i": "iscsi",
    "be2iscsi": "iscsi",
    "qla4xxx": "iscsi",
    "qedi": "iscsi",
    "ib_srp": "srp",
}
"""`proc_name` of SCSI hosts that lead to a SAN: lsblk has no word for some of them."""


NOT_READ: Final = "content not read"
"""What is told of a disk without a signature whose first sectors could not be read."""


class Erases(Protocol):
    """How a disk can be erased, and what is in the way."""

    @property
    def can(self) -> tuple[str, ...]:
        """Ways, the best first."""

    @property
    def problem(self) -> str | None:
        """What is in the way."""


@dataclass(frozen=True, slots=True)
class BlockNode:
    """One row of lsblk and what hangs below it; values as lsblk prints them, trimmed."""

    name: str
    kname: str
    type: str
    size_bytes: int
    values: Mapping[str, str | None]
    flags: Mapping[str, bool | None]
    mounts: tuple[str, ...]
    children: tuple["BlockNode", ...]

    @property
    def device(self) -> str:
        """The device node, `/dev/sda`."""
        return f"/dev/{self.kname}"

    def value(self, column: str) -> str | None:
        """The text of a column; None where lsblk has none."""
        return self.values.get(column)


def parse_lsblk(text: str) -> tuple[BlockNode, ...]:
    """Our own call of lsblk as a forest; every device must have its type, and its size in bytes."""
    return tuple(_node(row) for row in read_rows(text).found)


def parse_heads(text: str) -> dict[str, bool]:
    """Kernel name -> whether the first 64 KiB hold anything but zeros."""
    words = (line.split() for line in text.splitlines())
    return {pair[0]: pair[1] == "data" for pair in words if len(pair) == 2 and pair[1] in ("data", "zero")}


def walk(nodes: tuple[BlockNode, ...]) -> Iterator[BlockNode]:
    """Every node, parents first; a device under several parents comes several times."""
    for node in nodes:
        yield node
        yield from walk(node.children)


def build_disks(
    nodes: tuple[BlockNode, ...],
    sysfs: Sysfs,
    by_path: Mapping[str, tuple[str, ...]],
    heads: Mapping[str, bool] | None,
    erasers: Mapping[str, "Erases"] | None = None,
) -> tuple[Disk, ...]:
    """All real disks, in the order of their kernel names; `heads` is None where nobody asked for them."""
    disks = {
        node.kname: _disk(node, sysfs, by_path.get(node.kname, ()), heads)
        for node in nodes
        if node.type == "disk" and not _NOT_DISKS.match(node.kname) and node.size_bytes > 0
    }
    for kname, one in (erasers or {}).items():
        if kname in disks:
            told = {"erases": one.can, "erase_problem": one.problem}
            disks[kname] = disks[kname].model_copy(update=told)
    return tuple(disks[kname] for kname in sorted(disks, key=lambda name: (len(name), name)))


def partitions_of(node: BlockNode, numbers: Mapping[str, int]) -> tuple[PartitionFact, ...]:
    """The partitions of a disk or an array, in the order of their numbers."""
    parts = [_partition(child, numbers.get(child.kname)) for child in node.children if child.type == "part"]
    return tuple(sorted(parts, key=lambda part: part.number))


def found_on(
    node: BlockNode, holders: tuple[str, ...] = (), heads: Mapping[str, bool] | None = None
) -> tuple[str, ...]:
    """What lies on a device, in words; empty means blank."""
    words = []
    signature, label = node.value("fstype"), node.value("label")
    if signature:
        joint = "of" if signature.endswith("_member") else "labelled"
        words.append(f"{signature} {joint} {label}" if label else signature)
    parts = [child for child in node.children if child.type == "part"]
    table = node.value("pttype") or ("a partition table" if parts else None)
    if table:
        words.append(f"{table} with {len(parts)} partition{'' if len(parts) == 1 else 's'}")
    words.extend(
        f"{part.value('fstype')} of {part.value('label') or 'no name'} on {part.kname}"
        for part in parts
        if (part.value("fstype") or "").endswith("_member")
    )
    words.extend(f"held by {holder}" for holder in holders)
    words.extend(f"mounted at {mount}" for each in walk((node,)) for mount in each.mounts)
    if not words and heads is not None and heads.get(node.kname) is not False:
        words.append("data without a known signature" if node.kname in heads else NOT_READ)
    return tuple(dict.fromkeys(words))


def _disk(node: BlockNode, sysfs: Sysfs, paths: tuple[str, ...], heads: Mapping[str, bool] | None) -> Disk:
    seen = sysfs.disks.get(node.kname, SysfsDisk(node.kname, None, None, (), {}))
    driver = sysfs.host_drivers.get(_scsi_host(node.value("hctl")))
    model = " ".join((node.value("model") or "").replace("_", " ").split()) or None
    vendor = (node.value("vendor") or "").strip() or None
    if vendor and vendor.startswith("0x"):
        vendor = None  # virtio-blk shows its PCI vendor number there
    described = f"{vendor or ''} {model or ''}"
    virtual_media = bool(_VIRTUAL_MEDIA.search(described))
    return Disk(
        device=node.device,
        serial=None if seen.drive_serial else seen.serial or serial_identity(node.value("serial")),
        wwn=seen.wwn or normalise_wwn(node.value("wwn")),
        drive_serial=seen.drive_serial,
        by_path=paths[0] if paths else None,
        other_paths=paths[1:],
        size_bytes=node.size_bytes,
        logical_block_bytes=int(node.value("log-sec") or 512),
        model=model,
        vendor=vendor,
        medium=_medium(node),
        transport=_fabric(seen) or _transport(node, driver, model),
        removable=bool(node.flags.get("rm")) or virtual_media,
        read_only=bool(node.flags.get("ro")),
        holders=seen.holders,
        found=found_on(node, seen.holders, heads),
        partition_table=node.value("pttype"),
        partitions=partitions_of(node, seen.partitions),
    )


def _medium(node: BlockNode) -> Literal["ssd", "hdd", "nvme", "unknown"]:
    if node.kname.startswith("nvme"):
        return "nvme"
    rotational = node.flags.get("rota")
    if rotational is False:
        return "ssd"
    # Hypervisors leave the virtio flag at its default, "rotational"; that says nothing about the medium.
    return "unknown" if rotational is None or node.kname.startswith("vd") else "hdd"


def _transport(node: BlockNode, driver: str | None, model: str | None) -> str | None:
    if node.kname.startswith("vd"):
        return "virtio"
    if driver in _RAID_DRIVERS and (
        _VOLUME_MODEL.match(model or "")
        or (driver == "megaraid_sas" and _scsi_channel(node.value("hctl")) >= 2)
    ):
        return "raid"
    stated = node.value("tran")
    san = _SAN_DRIVERS.get(driver or "")
    return (stated if stated in _TRANSPORTS else None) or san


def _fabric(seen: SysfsDisk) -> str | None:
    """NVMe over a network is a SAN, although lsblk calls it nvme: `nvme-tcp`, `nvme-rdma`, `nvme-fc`."""
    network = next((one for one in seen.fabrics if one != "pcie"), None)
    return f"nvme-{network}" if network and seen.kname.startswith("nvme") else None


def _scsi_host(hctl: str | None) -> int:
    return _hctl(hctl)[0]


def _scsi_channel(hctl: str | None) -> int:
    return _hctl(hctl)[1]


def _hctl(text: str | None) -> tuple[int, int]:
    match = re.match(r"^(\d+):(\d+):\d+:\d+$", text or "")
    return (int(match[1]), int(match[2])) if match else (-1, -1)


def _partition(node: BlockNode, number: int | None) -> PartitionFact:
    trailing = re.search(r"(\d+)$", node.kname)
    kind = node.value("parttype")
    return PartitionFact(
        number=number if number is not None else int(trailing[1]) if trailing else 0,
        device=node.device,
        start_bytes=int(node.value("start") or 0) * START_UNIT_BYTES,
        size_bytes=node.size_bytes,
        type_guid=kind.lower() if kind else None,
        part_uuid=node.value("partuuid"),
        name=node.value("partlabel"),
        filesystem=node.value("fstype"),
        label=node.value("label"),
        fs_uuid=node.value("uuid"),
        mount=node.mounts[0] if node.mounts else None,
    )


def _node(row: Row) -> BlockNode:
    value = row.values.get
    kname = (value("kname") or value("name") or "").removeprefix("/dev/")
    size = value("size") or "0"
    if not kname or not value("type") or "size" not in row.values or not size.isdecimal():
        raise unparsable(TOOL, row.line, "a device with its name, type and size in bytes", kname or None)
    for key in ("start", "log-sec"):
        if not (value(key) or "0").isdecimal():
            raise unparsable(TOOL, row.line, f"{key} of {kname} as a number", value(key))
    return BlockNode(
        name=value("name") or kname,
        kname=kname,
        type=value("type") or "",
        size_bytes=int(size),
        values=row.values,
        flags={key: flag(row.values, key) for key in ("rota", "rm", "ro")},
        mounts=row.mounts,
        children=tuple(_node(child) for child in row.children),
    )
