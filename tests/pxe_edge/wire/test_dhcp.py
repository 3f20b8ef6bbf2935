"""The DHCP codec: one table both ways, RFC 3396 and option 52, any bytes, and round trips."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pxe_edge.wire import dhcp
from pxe_edge.wire.dhcp import Packet, decode, encode
from pxe_edge.wire.errors import WireError

HEADER = bytes.fromhex("010106003903f32600008000") + bytes(16) + bytes.fromhex("525400000001") + bytes(10)
FIELDS = bytes(64) + bytes(128)
COOKIE = bytes.fromhex("63825363")


def raw(options, sname=bytes(64), file=bytes(128)):
    return HEADER + sname.ljust(64, b"\0") + file.ljust(128, b"\0") + COOKIE + options


def packet(**options):
    values = {int(code[1:]): value for code, value in options.items()}
    chaddr = bytes.fromhex("525400000001")
    return Packet(op=1, xid=0x3903F326, chaddr=chaddr, flags=0x8000, options=values)


TABLE = [
    (b"\x35\x01\x01\xff", packet(o53=b"\x01")),
    (b"\x35\x01\x03\x32\x04\x0a\x4d\x01\x14\xff", packet(o53=b"\x03", o50=bytes((10, 77, 1, 20)))),
    (b"\x35\x01\x01\x52\x00\xff", packet(o53=b"\x01", o82=b"")),
    (b"\x2b\xff" + b"a" * 255 + b"\x2b\x02bc\xff", packet(o43=b"a" * 255 + b"bc")),
    (
        b"\x35\x01\x01\x37\x02\x01\x03\x52\x06\x01\x04eth0\xff",
        packet(o53=b"\x01", o55=b"\1\3", o82=b"\1\4eth0"),
    ),
]


@pytest.mark.parametrize(("options", "value"), TABLE)
def test_bytes_and_value_are_the_same_both_ways(options, value):
    data = raw(options).ljust(300, b"\0")
    assert decode(data) == value
    assert encode(value).data == data


def test_pads_and_a_missing_end_are_tolerated():
    assert decode(raw(b"\0\0\x35\x01\x01\0")).options == {53: b"\x01"}


def test_repeated_options_are_joined_over_options_then_file_then_sname():
    data = raw(
        b"\x34\x01\x03\x77\x01a\xff", sname=b"\x77\x01c\xff", file=b"\x77\x01b\x34\x01\x00\xff\x77\x01z"
    )
    found = decode(data)
    assert found.options == {119: b"abc"}
    assert (found.file, found.sname) == (b"", b"")


def test_file_and_sname_are_text_when_52_does_not_claim_them():
    found = decode(raw(b"\x34\x01\x01\xff", sname=b"tftp\0junk", file=b"\xff"))
    assert (found.sname, found.file) == (b"tftp", b"")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "0 octets"),
        (raw(b"")[:239], "239 octets"),
        (raw(b"\xff").replace(COOKIE, b"abcd"), "cookie"),
        (b"\x03" + raw(b"\xff")[1:], "op 3"),
        (raw(b"\xff")[:2] + b"\x11" + raw(b"\xff")[3:], "hlen 17"),
        (raw(b"\x35\x05\x01"), "option 53"),
        (raw(b"\x35"), "option 53"),
        (raw(b"\x34\x01\x01\xff", file=b"\x43\xf0" + b"a" * 126), "option 67"),
    ],
)
def test_damage_is_a_wire_error_that_says_where(data, says):
    with pytest.raises(WireError, match=says):
        decode(data)


@given(st.binary(max_size=700))
def test_any_bytes_are_a_packet_or_a_wire_error(data):
    for candidate in (data, raw(data), raw(data, file=data[:128], sname=data[:64])):
        try:
            decode(candidate)
        except WireError:
            continue


addresses = st.integers(0, 2**32 - 1)
texts = st.binary(max_size=63).map(lambda value: value.replace(b"\0", b"x"))
packets = st.builds(
    Packet,
    op=st.sampled_from((1, 2)),
    xid=st.integers(0, 2**32 - 1),
    chaddr=st.binary(max_size=16),
    htype=st.integers(0, 255),
    hops=st.integers(0, 255),
    secs=st.integers(0, 65535),
    flags=st.integers(0, 65535),
    ciaddr=addresses,
    yiaddr=addresses,
    siaddr=addresses,
    giaddr=addresses,
    sname=texts,
    file=texts,
    options=st.dictionaries(
        st.integers(1, 254).filter(lambda code: code != 52), st.binary(max_size=600), max_size=12
    ),
)


@given(packets)
def test_round_trip(value):
    encoded = encode(value, 65000)
    assert not encoded.dropped
    assert decode(encoded.data) == value
    written = [code for code in value.options if code != 82]
    assert [code for code in decode(encoded.data).options if code != 82] == written


@given(packets, st.integers(548, 1472))
def test_a_limit_is_kept_and_nothing_is_cut(value, limit):
    encoded = encode(value, limit, keep={53})
    assert len(encoded.data) <= limit
    back = decode(encoded.data)
    assert back.options.keys() | set(encoded.dropped) == value.options.keys()
    assert all(back.options[code] == value.options[code] for code in back.options)


def test_overflow_goes_into_file_and_sname_but_82_stays_last_in_the_options():
    options = {53: b"\2", 66: b"a" * 250, 17: b"b" * 100, 12: b"c" * 50, 82: b"\1\4eth0"}
    value = Packet(op=2, xid=1, chaddr=b"", options=options)
    encoded = encode(value, 548, keep={53})
    assert encoded.dropped == ()
    assert decode(encoded.data).options == options
    assert encoded.data.endswith(b"\x52\x06\x01\x04eth0\xff")


def test_82_without_room_is_left_out_and_named():
    value = Packet(op=2, xid=1, chaddr=b"", options={53: b"\2", 61: b"i" * 255, 82: b"r" * 255})
    encoded = encode(value, 548, keep={53, 61})
    assert encoded.dropped == (82,)
    assert decode(encoded.data).options == {53: b"\2", 61: b"i" * 255}


def test_message_type_and_address_options_want_their_exact_length():
    value = packet(o53=b"\1\1", o50=b"\1\2\3")
    assert value.message_type is None
    assert value.address_option(50) is None
    assert dhcp.encode(value).data[236:240] == COOKIE
