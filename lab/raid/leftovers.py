"""What an earlier life left on a disk: signatures that tools find, and that a machine must be freed of.

LVM: the label of a physical volume in sector 1 (lvm2, lib/format_text/layout.h). md: a superblock of version
1.2, 4 KiB from the start (md(4); the kernel's include/uapi/linux/raid/md_p.h). ZFS: uberblocks in the four
labels, two at each end (OpenZFS, On-Disk Format, chapter 1).
"""

import struct
import uuid
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

SECTOR = 512
KIB = 1 << 10
LVM_CRC_BEGIN = 0xF597A6CF
MD_MAGIC = 0xA92B4EFC
MD_AT = 4 * KIB
MD_DATA_SECTOR = 2048
UBERBLOCK_MAGIC = 0x00BAB10C
UBERBLOCKS = 8
ZFS_LABEL = 256 * KIB
ONES = 0xFFFFFFFF


def _lvm(size_bytes: int, name: str) -> dict[int, bytes]:
    identity = uuid.uuid5(uuid.NAMESPACE_OID, name).hex.encode()
    after = struct.pack("<I8s32sQ", 32, b"LVM2 001", identity, size_bytes).ljust(SECTOR - 20, b"\0")
    crc = zlib.crc32(after, LVM_CRC_BEGIN ^ ONES) ^ ONES
    return {SECTOR: struct.pack("<8sQI", b"LABELONE", 1, crc) + after}


def _md(size_bytes: int, name: str) -> dict[int, bytes]:
    data = size_bytes // SECTOR - MD_DATA_SECTOR
    array = uuid.uuid5(uuid.NAMESPACE_OID, f"{name} array").bytes
    device = uuid.uuid5(uuid.NAMESPACE_OID, f"{name} device").bytes
    block = bytearray(256 + 2 * 2)
    struct.pack_into("<4I16s32sQ", block, 0, MD_MAGIC, 1, 0, 0, array, f"old:{name}".encode()[:32], 0)
    struct.pack_into("<iIQII", block, 72, 1, 0, data, 0, 2)
    struct.pack_into("<QQQQII16s", block, 128, MD_DATA_SECTOR, data, MD_AT // SECTOR, 0, 0, 0, device)
    struct.pack_into("<QQQII", block, 192, 0, 1, 0, 0, 2)
    struct.pack_into("<2H", block, 256, 0, 1)
    total = sum(struct.unpack(f"<{len(block) // 4}I", block))
    struct.pack_into("<I", block, 216, ((total & ONES) + (total >> 32)) & ONES)
    return {MD_AT: bytes(block)}


def _zfs(size_bytes: int, name: str) -> dict[int, bytes]:
    del name
    whole = size_bytes // ZFS_LABEL * ZFS_LABEL
    block = struct.pack("<4Q", UBERBLOCK_MAGIC, 5000, 4, 1)
    labels = (0, ZFS_LABEL, whole - 2 * ZFS_LABEL, whole - ZFS_LABEL)
    return {start + 128 * KIB + KIB * number: block for start in labels for number in range(UBERBLOCKS)}


KINDS: Mapping[str, Callable[[int, str], dict[int, bytes]]] = {"lvm": _lvm, "md": _md, "zfs": _zfs}
"""Kind -> what it writes where, for a disk of a size and a name."""


def leave(path: Path, size_bytes: int, kind: str | None, name: str) -> None:
    """Make a sparse disk image with such leftovers; with none it is blank."""
    with path.open("wb") as stream:
        stream.truncate(size_bytes)
        for offset, content in (KINDS[kind](size_bytes, name) if kind else {}).items():
            stream.seek(offset)
            stream.write(content)
