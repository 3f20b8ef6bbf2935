"""A disk with an MBR, whose one partition is a physical volume with the root in it: the bytes of its tables.

Layout, in sectors of 512 bytes: the MBR, GRUB's core behind it, from 1 MiB on the partition. In that: LVM's
label in the second sector, its metadata area from 4 KiB on, extents from 1 MiB on. LVM's own tools only write
to block devices, which an ordinary user has none of, so its tables are laid here (lvm2,
lib/format_text/layout.h; man vgcfgbackup(8) shows the text).
"""

import struct
import uuid
import zlib
from dataclasses import dataclass
from itertools import pairwise

from lab.image.disk import ALIGN_SECTORS, BOOT_CODE_BYTES, MIB, SECTOR_BYTES, Partition

EXTENT_BYTES = 4 * MIB
FIRST_EXTENT_BYTES = MIB
AREA_AT = 4096
AREA_BYTES = FIRST_EXTENT_BYTES - AREA_AT
TEXT_AT = SECTOR_BYTES
"""Where the text begins in the metadata area, behind the area's header."""
LVM_TYPE = 0x8E
ACTIVE = 0x80
NO_CHS = b"\xfe\xff\xff"
"""Cylinder, head and sector of a place that they cannot name; who reads LBA ignores it."""
PHYSICAL_VOLUME = "pv0"
"""The name inside the metadata, which nobody else sees."""
VOLUME = "root"

_CRC_BEGIN = 0xF597A6CF
_ONES = 0xFFFFFFFF
_ID_GROUPS = (6, 4, 4, 4, 4, 4, 6)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where what is, from the disk's start: the room for GRUB's core, the partition, the root's volume."""

    size_bytes: int
    core: Partition
    partition: Partition
    root: Partition

    @property
    def extents(self) -> int:
        """How many extents the root has: all that there are."""
        return self.root.size_bytes // EXTENT_BYTES


def layout(size_bytes: int) -> Layout:
    """Place them on a disk of this size; the partition takes all that is left, the root all whole extents."""
    if size_bytes % MIB:
        raise ValueError(f"image size {size_bytes} bytes is not a whole number of MiB")
    core = Partition(0, "", "gap", 1, ALIGN_SECTORS - 1)
    part = Partition(1, f"{LVM_TYPE:02x}", "lvm", ALIGN_SECTORS, size_bytes // SECTOR_BYTES - ALIGN_SECTORS)
    extents = (part.size_bytes - FIRST_EXTENT_BYTES) // EXTENT_BYTES
    if extents < 1:
        raise ValueError(f"image size {size_bytes} bytes leaves no room for a root file system")
    first = part.first_sector + FIRST_EXTENT_BYTES // SECTOR_BYTES
    return Layout(
        size_bytes, core, part, Partition(0, "", VOLUME, first, extents * EXTENT_BYTES // SECTOR_BYTES)
    )


def table(part: Partition, signature: int) -> bytes:
    """Give the first sector without boot code: one active partition, and the disk's signature."""
    entry = struct.pack("<B3sB3sII", ACTIVE, NO_CHS, LVM_TYPE, NO_CHS, part.first_sector, part.sectors)
    head = bytes(BOOT_CODE_BYTES) + struct.pack("<IH", signature, 0) + entry
    return head.ljust(SECTOR_BYTES - 2, b"\0") + b"\x55\xaa"


def metadata(plan: Layout, group: str, made_at: int) -> dict[int, bytes]:
    """Give what LVM keeps in the partition: place on the disk -> bytes. Ids follow from the group's name."""
    text = _text(plan, group, made_at).encode() + b"\0"
    start = plan.partition.offset_bytes
    return {
        start + SECTOR_BYTES: _label(group, plan.partition.size_bytes),
        start + AREA_AT: _area_header(text),
        start + AREA_AT + TEXT_AT: text,
    }


def dashed(group: str, what: str) -> str:
    """Give the id of one thing as LVM shows it."""
    plain = _identity(group, what)
    places = [sum(_ID_GROUPS[:n]) for n in range(len(_ID_GROUPS) + 1)]
    return "-".join(plain[a:b] for a, b in pairwise(places))


def _identity(group: str, what: str) -> str:
    return uuid.uuid5(uuid.NAMESPACE_OID, f"rackflow demo image {group} {what}").hex


def _crc(data: bytes) -> int:
    """LVM's sum: the usual polynomial from a start of its own, not turned over at the end."""
    return zlib.crc32(data, _CRC_BEGIN ^ _ONES) ^ _ONES


def _label(group: str, size_bytes: int) -> bytes:
    """Sector, sum, offset and kind; id and size; where data and metadata lie; in use by a group."""
    areas = (FIRST_EXTENT_BYTES, 0, 0, 0, AREA_AT, AREA_BYTES, 0, 0)
    after = struct.pack("<I8s32sQ", 32, b"LVM2 001", _identity(group, "pv").encode(), size_bytes)
    after += struct.pack("<8Q", *areas) + struct.pack("<II2Q", 2, 1, 0, 0)
    after = after.ljust(SECTOR_BYTES - 20, b"\0")
    return struct.pack("<8sQI", b"LABELONE", 1, _crc(after)) + after


def _area_header(text: bytes) -> bytes:
    """Magic, version, place and size of the area; place, size and sum of the text in it."""
    after = struct.pack("<16sIQQ", b" LVM2 x[5A%r0N*>", 1, AREA_AT, AREA_BYTES)
    after += struct.pack("<QQII", TEXT_AT, len(text), _crc(text), 0)
    after = after.ljust(SECTOR_BYTES - 4, b"\0")
    return struct.pack("<I", _crc(after)) + after


def _text(plan: Layout, group: str, made_at: int) -> str:
    return f"""\
{group} {{
id = "{dashed(group, "vg")}"
seqno = 1
format = "lvm2"
status = ["RESIZEABLE", "READ", "WRITE"]
flags = []
extent_size = {EXTENT_BYTES // SECTOR_BYTES}
max_lv = 0
max_pv = 0
metadata_copies = 0
physical_volumes {{
{PHYSICAL_VOLUME} {{
id = "{dashed(group, "pv")}"
device = "/dev/disk/by-partuuid/none"
status = ["ALLOCATABLE"]
flags = []
dev_size = {plan.partition.sectors}
pe_start = {FIRST_EXTENT_BYTES // SECTOR_BYTES}
pe_count = {plan.extents}
}}
}}
logical_volumes {{
{VOLUME} {{
id = "{dashed(group, "lv")}"
status = ["READ", "WRITE", "VISIBLE"]
flags = []
creation_time = {made_at}
creation_host = "debian"
segment_count = 1
segment1 {{
start_extent = 0
extent_count = {plan.extents}
type = "striped"
stripe_count = 1
stripes = ["{PHYSICAL_VOLUME}", 0]
}}
}}
}}
}}
# Laid by the image's builder
contents = "Text Format Volume Group"
version = 1
description = ""
creation_host = "debian"
creation_time = {made_at}
"""
