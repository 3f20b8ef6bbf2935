"""Sniffing image headers: what they may be, and every way to name something outside of themselves."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pxe_edge.images.contents import describe, partitions
from pxe_edge.images.formats import VIRTUAL_MAX_BYTES, UnfitImageError, sniff

MIB = 1 << 20


def header(
    *,
    version: int = 3,
    backing: int = 0,
    size: int = MIB,
    crypt: int = 0,
    features: int = 0,
    extensions: bytes = bytes(8),
) -> bytes:
    """A qcow2 header as docs/interop/qcow2.rst lays it out."""
    head = b"QFI\xfb" + struct.pack(">IQIIQI", version, backing, 0, 16, size, crypt)
    head += struct.pack(">IQQIIQ", 1, 65536, 131072, 1, 0, 0)
    return head + struct.pack(">QQQII", features, 0, 0, 4, 104) + extensions


def test_a_plain_qcow2_is_taken() -> None:
    got = sniff(header(), file_bytes=300_000, declared="qcow2")
    assert (got.format, got.virtual_bytes) == ("qcow2", MIB)
    assert sniff(header(version=2)[:72], file_bytes=300_000, declared="qcow2").virtual_bytes == MIB


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (header(backing=104), "backing file"),
        (header(version=2, backing=72), "backing file"),
        (header(features=4), "another file"),
        (header(features=2), "corrupt"),
        (header(features=1 << 9), "not known"),
        (header(crypt=1), "encrypted"),
        (header(version=4), "version 4"),
        (header(size=0), "at most"),
        (header(size=VIRTUAL_MAX_BYTES + 512), "at most"),
        (header(extensions=struct.pack(">II", 0x44415441, 8) + b"/etc/pas" + bytes(8)), "names another file"),
        (
            header(extensions=struct.pack(">II", 0xE2792ACA, 3) + b"raw\0\0\0\0\0" + bytes(8)),
            "names another file",
        ),
        (header(extensions=struct.pack(">II", 0x6803F857, 0xFFFFFFF0)), "no end"),
        (b"QFI\xfb\0\0\0\3", "72 bytes"),
        (header()[:90], "104 bytes"),
        (b"KDMV" + bytes(600), "vmdk"),
        (bytes(64) + b"\x7f\x10\xda\xbe" + bytes(500), "vdi"),
        (bytes(1024), "declared qcow2"),
    ],
)
def test_refused(head: bytes, said: str) -> None:
    with pytest.raises(UnfitImageError, match=said):
        sniff(head, file_bytes=len(head), declared="qcow2")


@pytest.mark.parametrize(
    ("head", "size", "said"),
    [
        (header(), 1024, "declared raw"),
        (b"KDMV" + bytes(508), 512, "vmdk"),
        (bytes(100), 100, "whole sectors"),
        (b"", 0, "whole sectors"),
    ],
)
def test_raw_is_not_believed_either(head: bytes, size: int, said: str) -> None:
    with pytest.raises(UnfitImageError, match=said):
        sniff(head, file_bytes=size, declared="raw")


@given(st.binary(max_size=400), st.sampled_from(["raw", "qcow2"]))
def test_any_bytes_are_a_value_or_a_refusal(tail: bytes, declared: str) -> None:
    for head in (tail, b"QFI\xfb\0\0\0\3" + tail, header()[:72] + tail):
        try:
            got = sniff(head, file_bytes=len(head), declared=declared)
        except UnfitImageError:
            continue
        assert got.format == declared


@given(
    st.binary(max_size=2048), st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)
)
def test_any_partition_table_is_read_or_left(table: bytes, lba: int, count: int, size: int) -> None:
    image = bytes(512) + b"EFI PART" + bytes(64) + struct.pack("<QII", lba, count, size) + bytes(424) + table

    def read(offset: int, length: int) -> bytes:
        assert length <= 4 * MIB
        return image[offset : offset + length]

    assert partitions(read)[0] in (512, 4096)
    assert describe(read)["root_partition"] is None or count > 0
