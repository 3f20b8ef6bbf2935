"""What the edge reads of an image whose partitions stand in its first sector."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pxe_edge.images.contents import describe, mbr

MIB = 1 << 20
ROW = struct.Struct("<B3xB3xII")


def sector(*rows: tuple[int, int, int, int], code: bytes = b"\xeb", signature: int = 0xCAFE) -> bytes:
    table = b"".join(ROW.pack(*row) for row in rows).ljust(64, b"\0")
    return code.ljust(440, b"\0") + struct.pack("<IH", signature, 0) + table + b"\x55\xaa"


def reader(head: bytes):
    return lambda offset, length: head[offset : offset + length]


def test_partitions_types_and_the_active_one_are_told() -> None:
    head = sector((0, 0x83, 2048, 4096), (0x80, 0xEF, 8192, 2048), (0, 0, 0, 0), (0, 0x5, 16384, 9))
    info = describe(reader(head))
    assert (info["partition_table"], info["active_partition"], info["sector_bytes"]) == ("mbr", 2, 512)
    assert [(one["number"], one["type_guid"], one["part_uuid"]) for one in info["partitions"]] == [
        (1, "0x83", "0000cafe-01"),
        (2, "0xef", "0000cafe-02"),
        (4, "0x5", "0000cafe-04"),
    ]
    assert (info["partitions"][0]["start_bytes"], info["partitions"][0]["size_bytes"]) == (MIB, 2 * MIB)
    assert (info["has_esp"], info["has_bios_boot"], info["root_partition"]) == (True, True, None)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        bytes(512),
        sector(),
        sector((0, 0xEE, 1, 99)),
        sector((0x33, 0x83, 2048, 4096)),
        sector((0, 0x83, 2048, 4096))[:511],
        sector((0, 0x83, 2048, 4096))[:510] + b"\0\0",
    ],
    ids=["empty", "zeros", "no row", "protective", "a file system's code", "short", "unsigned"],
)
def test_what_is_no_mbr_is_none(head: bytes) -> None:
    assert mbr(reader(head)) is None
    info = describe(reader(head))
    assert (info["partition_table"], "active_partition" in info) == (None, False)


def test_an_image_without_boot_code_or_signature_says_so() -> None:
    info = describe(reader(sector((0, 0x83, 2048, 4096), code=b"", signature=0)))
    assert (info["has_bios_boot"], info["partitions"][0]["part_uuid"]) == (False, "")


@settings(deadline=None)  # a shared machine stalls for longer than any step takes
@given(st.binary(min_size=64, max_size=64))
def test_any_table_is_read_or_left(table: bytes) -> None:
    head = sector()[:446] + table + b"\x55\xaa"
    found = mbr(reader(head))
    assert found is None or all(one.size_bytes > 0 < one.start_bytes for one in found.partitions)
