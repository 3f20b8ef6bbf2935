"""What a disk image is by its own bytes, and whether it may be converted. Pure.

qcow2: QEMU docs/interop/qcow2.rst. A backing file, an external data file or an encrypted image names
something outside of itself, which is how an uploaded image reads the edge's own files.
"""

import struct
from dataclasses import dataclass
from typing import Final, Literal

Format = Literal["qcow2", "raw"]
HEADER_BYTES: Final = 65536
"""What is read of a file for sniffing: header and header extensions lie within the first cluster."""
VIRTUAL_MAX_BYTES: Final = 512 << 30

_OTHERS: Final[tuple[tuple[int, bytes, str], ...]] = (
    (0, b"QED\0", "qed"),
    (0, b"KDMV", "vmdk"),
    (0, b"COWD", "vmdk"),
    (0, b"# Disk DescriptorFile", "vmdk"),
    (0, b"vhdxfile", "vhdx"),
    (0, b"conectix", "vpc"),
    (64, b"\x7f\x10\xda\xbe", "vdi"),
    (0, b"WithoutFreeSpace", "parallels"),
    (0, b"LUKS\xba\xbe", "luks"),
    (0, b"\x1f\x8b", "gzip"),
    (0, b"\xfd7zXZ\0", "xz"),
    (0, b"\x28\xb5\x2f\xfd", "zstd"),
)
_DIRTY, _CORRUPT, _DATA_FILE, _COMPRESSION, _EXTENDED_L2 = (1 << bit for bit in range(5))
_KNOWN_INCOMPATIBLE: Final = _DIRTY | _CORRUPT | _DATA_FILE | _COMPRESSION | _EXTENDED_L2
_EXT_DATA_FILE: Final = 0x44415441
_EXT_BACKING_FORMAT: Final = 0xE2792ACA


class UnfitImageError(ValueError):
    """The image is refused; the message says which rule and what was found."""


@dataclass(frozen=True, slots=True)
class Sniffed:
    """What the bytes are."""

    format: Format
    virtual_bytes: int


def sniff(head: bytes, *, file_bytes: int, declared: str) -> Sniffed:
    """Check an image's first bytes; UnfitImageError unless it is what it is declared to be."""
    found = next((name for at, magic, name in _OTHERS if head[at : at + len(magic)] == magic), None)
    if found is not None:
        raise UnfitImageError(f"the image is {found}; only qcow2 and raw are taken")
    is_qcow2 = head.startswith(b"QFI\xfb")
    if is_qcow2 != (declared == "qcow2"):
        raise UnfitImageError(
            f"the image is declared {declared}, its bytes are {'qcow2' if is_qcow2 else 'not qcow2'}"
        )
    if is_qcow2:
        return Sniffed("qcow2", _qcow2(head))
    if file_bytes == 0 or file_bytes % 512:
        raise UnfitImageError(f"a raw disk image has whole sectors of 512 bytes, this one {file_bytes} bytes")
    return Sniffed("raw", _capped(file_bytes))


def _capped(virtual_bytes: int) -> int:
    if not 0 < virtual_bytes <= VIRTUAL_MAX_BYTES:
        raise UnfitImageError(f"the disk has {virtual_bytes} bytes; at most {VIRTUAL_MAX_BYTES} are taken")
    return virtual_bytes


def _qcow2(head: bytes) -> int:
    if len(head) < 72:
        raise UnfitImageError(f"a qcow2 header has 72 bytes at least, the file has {len(head)}")
    version, backing_at = struct.unpack_from(">IQ", head, 4)
    virtual_bytes, crypt = struct.unpack_from(">QI", head, 24)
    if version not in (2, 3):
        raise UnfitImageError(f"qcow2 version {version} is not known (2 and 3 are)")
    if backing_at:
        raise UnfitImageError("the image has a backing file; flatten it: qemu-img convert -O qcow2")
    if crypt:
        raise UnfitImageError("the image is encrypted")
    if version == 3:
        _features(head)
    return _capped(int(virtual_bytes))


def _features(head: bytes) -> None:
    if len(head) < 104:
        raise UnfitImageError(f"a qcow2 version 3 header has 104 bytes, the file has {len(head)}")
    (incompatible,) = struct.unpack_from(">Q", head, 72)
    (length,) = struct.unpack_from(">I", head, 100)
    if incompatible & _DATA_FILE:
        raise UnfitImageError("the image keeps its data in another file")
    if incompatible & _CORRUPT:
        raise UnfitImageError("the image is marked corrupt: qemu-img check -r all")
    if incompatible & ~_KNOWN_INCOMPATIBLE:
        raise UnfitImageError(f"the image needs features that are not known: {incompatible:#x}")
    at = length
    while at + 8 <= len(head):
        kind, size = struct.unpack_from(">II", head, at)
        if kind == 0:
            return
        if kind in (_EXT_DATA_FILE, _EXT_BACKING_FORMAT):
            raise UnfitImageError("the image names another file in a header extension")
        at += 8 + (size + 7) // 8 * 8
    raise UnfitImageError("the image's header extensions have no end")
