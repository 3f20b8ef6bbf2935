"""The TFTP codec, both ways; any bytes; what crashed other servers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pxe_edge.wire import tftp
from pxe_edge.wire.errors import WireError

TABLE = [
    (b"\0\1snponly.efi\0octet\0", tftp.ReadRequest("snponly.efi", "octet")),
    (b"\0\1f\0octet\0blksize\x001468\0", tftp.ReadRequest("f", "octet", {"blksize": "1468"})),
    (b"\0\3\0\1abc", tftp.Data(1, b"abc")),
    (b"\0\4\xff\xff", tftp.Ack(65535)),
    (b"\0\5\0\x08no\0", tftp.Error(8, "no")),
    (b"\0\6tsize\x0010\0", tftp.OptionAck({"tsize": "10"})),
]


@pytest.mark.parametrize(("data", "packet"), TABLE)
def test_bytes_and_value_are_the_same_both_ways(data, packet):
    assert tftp.decode(data) == packet
    assert tftp.encode(packet) == data


def test_option_names_have_no_case_and_the_first_of_each_counts():
    found = tftp.decode(b"\0\1f\0OCTET\0BLKSIZE\x008\0blksize\x009\0")
    assert found == tftp.ReadRequest("f", "octet", {"blksize": "8"})


@pytest.mark.parametrize(
    "data",
    [
        b"\0\3\0",  # kills tftpy
        b"\0\4\0",
        b"\0\1f\0octet\0blksize\x008",  # no final NUL: kills tftpy
        b"\0\1f\0octet\0blksize\0",
        b"\0\1\0octet\0",
        b"\0\1" + b"a" * 1100 + b"\0octet\0",
        b"\0\7\0\0",
        b"",
    ],
)
def test_damage_is_a_wire_error(data):
    with pytest.raises(WireError):
        tftp.decode(data)


def test_a_name_with_any_octet_is_kept():
    assert tftp.decode(b"\0\1\xff\0octet\0") == tftp.ReadRequest("\xff", "octet")


@given(st.binary(max_size=200))
def test_any_bytes_are_a_packet_or_a_wire_error(data):
    for candidate in (data, b"\0\1" + data, b"\0\6" + data):
        try:
            tftp.decode(candidate)
        except WireError:
            continue
