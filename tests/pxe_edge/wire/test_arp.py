"""ARP: the probe as RFC 5227 has it, and any octets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pxe_edge.wire import arp
from pxe_edge.wire.errors import WireError

MAC = bytes.fromhex("525400aaaaaa")
ADDRESS = 0x0A4D0010


def test_a_probe_is_a_broadcast_request_that_claims_nothing() -> None:
    frame = arp.probe(MAC, ADDRESS)
    assert frame.hex() == (
        "ffffffffffff525400aaaaaa0806" "0001080006040001" "525400aaaaaa00000000" "0000000000000a4d0010"
    )  # fmt: skip
    assert arp.decode(frame) == arp.Arp(arp.REQUEST, MAC, 0, bytes(6), ADDRESS)


def test_padding_behind_the_message_is_nothing() -> None:
    assert arp.decode(arp.probe(MAC, ADDRESS) + bytes(18)).target == ADDRESS


@pytest.mark.parametrize(("at", "octet"), [(12, 0), (15, 6), (16, 8), (18, 8), (19, 6)])
def test_what_is_not_arp_for_ipv4_over_ethernet_is_an_error(at: int, octet: int) -> None:
    frame = bytearray(arp.probe(MAC, ADDRESS))
    frame[at] ^= octet or 1
    with pytest.raises(WireError):
        arp.decode(bytes(frame))


@given(st.binary(max_size=80))
def test_any_octets_are_a_message_or_a_named_error(data: bytes) -> None:
    try:
        read = arp.decode(data)
    except WireError:
        return
    assert 0 <= read.sender < 2**32
