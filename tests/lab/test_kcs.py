"""The in-band wire: framing, escapes, damage."""

from hypothesis import given
from hypothesis import strategies as st

from lab.bmc.kcs import Decoder, HardwareCommand, KcsRequest, answer, request


@given(
    sequence=st.integers(0, 255),
    netfn=st.integers(0, 62),
    command=st.integers(0, 255),
    data=st.binary(max_size=200),
    cut=st.integers(0, 50),
)
def test_a_request_arrives_as_it_was_however_it_is_cut(sequence, netfn, command, data, cut):
    wire = request(sequence, netfn, command, data)
    decoder = Decoder()

    got = decoder.feed(wire[:cut]) + decoder.feed(wire[cut:])

    assert got == [KcsRequest(sequence, netfn, 0, command, data)]


@given(wire=st.binary(max_size=300))
def test_any_bytes_decode_and_the_next_good_message_is_understood(wire):
    decoder = Decoder()
    decoder.feed(wire + b"\xa0")

    assert decoder.feed(request(1, 6, 1, b"")) == [KcsRequest(1, 6, 0, 1, b"")]


def test_known_bytes():
    # App (06h) Get Device ID (01h), sequence 5: what QEMU 7.2 writes for `ipmitool mc info`.
    assert Decoder().feed(b"\x05\x18\x01\xe2\xa0") == [KcsRequest(5, 6, 0, 1, b"")]
    assert Decoder().feed(b"\xff\x01\xa1") == [HardwareCommand(0xFF)]
    assert answer(KcsRequest(5, 6, 0, 1, b""), 0, b"\xa0") == b"\x05\x1c\x01\x00\xaa\xb0\x3e\xa0"


def test_a_wrong_checksum_is_dropped():
    assert Decoder().feed(b"\x05\x18\x01\xe3\xa0") == []
