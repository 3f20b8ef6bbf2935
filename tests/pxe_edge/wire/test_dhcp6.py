"""DHCPv6: one table for both directions, the bounds, and any bytes."""

from ipaddress import IPv6Address
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pxe_edge.wire import dhcp6, duid
from pxe_edge.wire.dhcp6 import Association, LeasedAddress, Message, Relay, Status
from pxe_edge.wire.errors import WireError

LINK = IPv6Address("fd00:77::1")
PEER = IPv6Address("fe80::5054:ff:feed:9e01")
SOLICIT = Message(dhcp6.SOLICIT, 0xABCDEF, ((1, b"\0\3\0\1\x52\x54\0\xed\x9e\x01"), (14, b"")))
SOLICIT_BYTES = bytes.fromhex("01abcdef 0001000a 00030001525400ed9e01 000e0000")
RELAYED = Message(
    dhcp6.SOLICIT,
    0xABCDEF,
    SOLICIT.options,
    (Relay(1, IPv6Address(0), PEER), Relay(0, LINK, PEER, ((18, b"port 7"), (37, b"\0\0\0\x09r")))),
)
INNER = (
    b"\x0c\0"
    + LINK.packed
    + PEER.packed
    + bytes.fromhex("00120006")
    + b"port 7"
    + bytes.fromhex("002500050000000972")
    + bytes.fromhex("00090016")
    + SOLICIT_BYTES
)
RELAYED_BYTES = b"\x0c\x01" + bytes(16) + PEER.packed + b"\0\x09" + len(INNER).to_bytes(2, "big") + INNER
TABLE = [(SOLICIT, SOLICIT_BYTES), (RELAYED, RELAYED_BYTES)]


def nested(times: int, hops: int = 0) -> bytes:
    data = SOLICIT_BYTES
    for _ in range(times):
        relay = b"\x0c" + bytes((hops,)) + bytes(32)
        data = relay + b"\0\x09" + len(data).to_bytes(2, "big") + data
    return data


@pytest.mark.parametrize(("message", "data"), TABLE)
def test_both_directions(message: Message, data: bytes) -> None:
    assert dhcp6.decode(data) == message
    assert dhcp6.encode(message) == data


def test_a_reply_goes_back_through_its_relays_as_relay_reply() -> None:
    data = dhcp6.encode(Message(dhcp6.REPLY, 1, (), RELAYED.relays))
    assert (data[0], data[1]) == (dhcp6.RELAY_REPLY, 1)
    back = dhcp6.decode(data)
    assert (back.kind, back.relays) == (dhcp6.REPLY, RELAYED.relays)


def test_nine_relays_are_the_most() -> None:
    assert len(dhcp6.decode(nested(9)).relays) == 9
    with pytest.raises(WireError, match="more than 9 relays"):
        dhcp6.decode(nested(10))
    with pytest.raises(WireError, match="hop count 9"):
        dhcp6.decode(nested(1, hops=9))


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "0 octets"),
        (b"\x01\0\0", "3 octets"),
        (b"\x63\0\0\0", "type 99"),
        (b"\x01\0\0\1\0\1", "after the last option"),
        (b"\x01\0\0\1\0\1\0\5abc", "option 1 at octet 4 has 5 octets, 3 are there"),
        (b"\x01\0\0\1" + b"\0\x08\0\0" * 257, "more than 256 options"),
        (b"\x0c\0" + bytes(20), "relay message of 22 octets"),
        (b"\x0c\0" + bytes(32), "without option 9"),
    ],
)
def test_what_is_no_message_says_why(data: bytes, what: str) -> None:
    with pytest.raises(WireError, match=what):
        dhcp6.decode(data)


def test_an_association_in_both_directions() -> None:
    wish = Association(7, 1800, 2880, (LeasedAddress(LINK, 3600, 3600),), Status(0, "ok"))
    code, value = dhcp6.write_association(wish)
    assert (code, value[:12]) == (dhcp6.IA_NA, bytes.fromhex("000000070000070800000b40"))
    assert dhcp6.read_association(value) == wish


@pytest.mark.parametrize(
    "value",
    [
        b"\0" * 11,
        bytes(12) + b"\0\5\0\x17" + bytes(23),
        bytes(12) + b"\0\x0d\0\1x",
        bytes(12) + (b"\0\5\0\x18" + bytes(24)) * 17,
    ],
)
def test_a_damaged_association_is_a_wire_error(value: bytes) -> None:
    with pytest.raises(WireError):
        dhcp6.read_association(value)


def test_class_data_with_lengths_and_bare() -> None:
    assert dhcp6.classes(b"\0\4iPXE\0\1x") == (b"iPXE", b"x")
    assert dhcp6.classes(b"iPXE") == (b"iPXE",)
    assert dhcp6.classes(b"") == ()
    assert dhcp6.write_vendor_class(343, b"HTTPClient") == (16, b"\0\0\1\x57\0\x0aHTTPClient")


def test_what_a_duid_tells() -> None:
    mac = bytes.fromhex("525400ed9e01")
    assert duid.read(b"\0\3\0\1" + mac).mac == mac
    assert duid.read(b"\0\1\0\1\x2a\0\0\0" + mac).mac == mac
    assert duid.read(b"\0\3\0\6" + mac).mac is None  # IEEE 802, not Ethernet
    machine = UUID("01234567-89ab-cdef-0123-456789abcdef")
    assert duid.read(b"\0\4" + machine.bytes).uuids[1] == machine
    assert duid.read(b"\0\4" + machine.bytes_le).uuids[0] == machine
    assert duid.read(duid.of_server(b"r" * 16)).uuids[1].version == 4
    for raw in (b"", b"\0\4", b"\0\2" + bytes(129)):
        with pytest.raises(WireError):
            duid.read(raw)


@settings(deadline=None)
@given(st.binary(max_size=400) | st.binary(max_size=60).map(lambda tail: RELAYED_BYTES[:70] + tail))
def test_any_bytes_are_a_message_or_a_wire_error(data: bytes) -> None:
    try:
        message = dhcp6.decode(data)
    except WireError:
        return
    assert dhcp6.decode(dhcp6.encode(message)) == message
    for _, value in message.options:
        for kind in (dhcp6.IA_NA, dhcp6.IA_TA, dhcp6.IA_PD):
            try:
                dhcp6.read_association(value, kind)
            except WireError:
                continue
        dhcp6.classes(value)


_OPTIONS = st.lists(st.tuples(st.integers(0, 65535), st.binary(max_size=40)), max_size=12).map(tuple)
_ADDRESSES = st.integers(0, 2**128 - 1).map(IPv6Address)
_RELAYS = st.lists(
    st.builds(
        Relay,
        st.integers(0, dhcp6.HOP_COUNT_LIMIT),
        _ADDRESSES,
        _ADDRESSES,
        _OPTIONS.map(lambda options: tuple(each for each in options if each[0] != dhcp6.RELAY_MESSAGE)),
    ),
    max_size=dhcp6.MAX_RELAYS,
).map(tuple)


@settings(deadline=None)
@given(st.builds(Message, st.integers(1, 11), st.integers(0, 0xFFFFFF), _OPTIONS, _RELAYS))
def test_every_message_survives_the_wire(message: Message) -> None:
    assert dhcp6.decode(dhcp6.encode(message)) == message
