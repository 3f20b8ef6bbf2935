"""LVM's label and text as they stand in an image: read, or left, never more than that."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pxe_edge.images import lvm
from pxe_edge.images.contents import ImagePartition as Part
from pxe_edge.images.contents import Root, root_of

UUID = "abcdef0123456789ABCDEFghijklmnop"
TEXT = """system {
id = "G1" # a comment with } in it
extent_size = 8192
physical_volumes { pv0 { id = "abcdef-0123-4567-89AB-CDEF-ghij-klmnop" pe_start = 2048 pe_count = 9 } }
logical_volumes {
root { id = "L1" segment_count = 1
segment1 { start_extent = 0 extent_count = 4 type = "striped" stripe_count = 1 stripes = [ "pv0", 3 ] } }
}
}
contents = "Text Format Volume Group"
"""


def partition(text: str = TEXT, *, at: int = 512, area: int = 8192, uuid: str = UUID) -> bytes:
    """A physical volume: label in its second sector, one metadata area from 4 KiB on."""
    locn = struct.pack("<QQQQ", 0, 0, 4096, area) + bytes(16)
    body = uuid.encode() + struct.pack("<Q", 1 << 20) + struct.pack("<QQ", 1 << 20, 0) + bytes(16) + locn[16:]
    label = b"LABELONE" + struct.pack("<QII", 1, 0, 32) + b"LVM2 001" + body
    head = bytes(4) + b" LVM2 x[5A%r0N*>" + struct.pack("<IQQ", 1, 4096, area)
    raw = text.encode() + b"\0"
    head += struct.pack("<QQII", at, len(raw), 0, 0)
    ring = bytearray(area)
    ring[: len(head)] = head
    for place, byte in enumerate(raw):
        where = at + place
        ring[where if where < area else where - area + 512] = byte
    return bytes(512) + label.ljust(3584, b"\0") + bytes(ring)


def reader(raw: bytes):
    return lambda offset, length: raw[offset : offset + length]


@pytest.mark.parametrize("at", [512, 8000], ids=["in one piece", "around the ring"])
def test_a_group_is_read(at: int) -> None:
    group = lvm.group(reader(partition(at=at)), 0)
    assert group is not None
    assert (group.name, group.uuid, group.extent_bytes, group.partitions) == ("system", "G1", 4 << 20, 1)
    (volume,) = group.volumes
    assert (volume.name, volume.extents, volume.start_bytes) == ("root", 4, (1 << 20) + 3 * (4 << 20))
    assert group.pv_uuid == "abcdef-0123-4567-89AB-CDEF-ghij-klmnop"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "system {",
        "system { id = }",
        "system }",
        "a { b { c { d { e { f { g { h { i { j { k = 1 } } } } } } } } } } }",
        TEXT.replace("pv0 {", "pv0"),
        TEXT.replace("extent_size", "size"),
        TEXT.replace("abcdef", "xbcdef"),
        "system { physical_volumes = [ 1, 2",
    ],
)
def test_a_text_that_is_none_gives_no_group(text: str) -> None:
    assert lvm.group(reader(partition(text)), 0) is None


def test_a_volume_that_is_not_plain_is_told() -> None:
    group = lvm.group(reader(partition(TEXT.replace('type = "striped"', 'type = "raid1"'))), 0)
    assert group is not None
    assert [(one.linear, one.start_bytes) for one in group.volumes] == [(False, None)]


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ('system_id = "builder"', "it belongs to the system builder"),
        ('lock_type = "sanlock"', "it is shared by locks of sanlock"),
        ('status = ["EXPORTED", "READ"]', "it is exported"),
        ('status = ["RESIZEABLE", "READ", "WRITE"]\nsystem_id = ""\nlock_type = "none"', None),
    ],
)
def test_a_group_that_no_other_machine_opens_is_told(told: str, why: str | None) -> None:
    """Else it would be refused by LVM, when the image is on the disk."""
    group = lvm.group(reader(partition(TEXT.replace("extent_size", f"{told}\nextent_size"))), 0)
    assert group is not None
    assert group.closed == why


@settings(deadline=None)  # a shared machine stalls for longer than any step takes
@given(st.integers(0, 8192), st.binary(min_size=1, max_size=64))
def test_any_bytes_are_a_group_or_none(place: int, junk: bytes) -> None:
    raw = bytearray(partition())
    raw[place : place + len(junk)] = junk
    found = lvm.group(reader(bytes(raw)), 0)
    assert found is None or found.name


def test_a_boot_partition_is_not_taken_for_the_root_beside_a_volume() -> None:
    boot = Part(1, 1 << 20, 1 << 20, "0x83", "", "", "ext4", "boot", "B")
    held = Part(2, 2 << 20, 9 << 20, "0x8e", "", "", "LVM2_member", None, "P")
    group = lvm.group(reader(partition()), 0)
    assert group is not None
    inside = Root(held, "xfs", "root", "R", group, group.volumes[0])
    found = [Root(boot, "ext4", "boot", "B"), Root(held, "LVM2_member", None, "P"), inside]
    assert root_of(found, label="root", uuid=None, number=None) is inside
    assert root_of(found, label="other", uuid=None, number=None) is None
    assert root_of(found, label=None, uuid="r", number=None) is None
    assert root_of(found, label=None, uuid=None, number=2) is inside
    assert root_of(found, label=None, uuid=None, number=1) is found[0]
