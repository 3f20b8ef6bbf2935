"""Frames and advertisements, octet by octet."""

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pxe_edge.wire.errors import WireError
from pxe_edge.wire.frames import UdpFrame, checksum, decode_frame, encode_frame
from pxe_edge.wire.icmpv6 import is_router_solicitation, router_advertisement

frames = st.builds(
    UdpFrame,
    source_mac=st.binary(min_size=6, max_size=6),
    target_mac=st.binary(min_size=6, max_size=6),
    source=st.integers(0, 2**32 - 1).map(IPv4Address),
    target=st.integers(0, 2**32 - 1).map(IPv4Address),
    source_port=st.integers(0, 65535),
    target_port=st.integers(0, 65535),
    payload=st.binary(max_size=300),
)


@given(frames)
def test_round_trip_with_valid_checksums(frame):
    data = encode_frame(frame)
    assert decode_frame(data) == frame
    assert checksum(data[14:34]) == 0
    pseudo = data[26:34] + b"\0\x11" + data[38:40]
    assert checksum(pseudo + data[34:]) == 0


@given(st.binary(max_size=80))
def test_any_bytes_are_a_frame_or_a_wire_error(data):
    for candidate in (data, bytes(12) + b"\x08\0\x45" + data):
        try:
            decode_frame(candidate)
        except WireError:
            continue


def test_a_mac_of_another_length_is_refused():
    frame = UdpFrame(b"", bytes(6), IPv4Address(0), IPv4Address(0), 67, 68, b"")
    with pytest.raises(WireError):
        encode_frame(frame)


def test_the_advertisement_offers_no_router_and_no_prefix():
    data = router_advertisement(mac=bytes.fromhex("525400000001"), mtu=1500)
    assert data.hex() == "86000000400000000000000000000000010152540000000105010000000005dc"


@pytest.mark.parametrize(
    ("data", "is_one"), [("8500000000000000", True), ("85", False), ("8600000000000000", False)]
)
def test_solicitations(data, is_one):
    assert is_router_solicitation(bytes.fromhex(data)) is is_one
