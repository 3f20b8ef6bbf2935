"""Serial over LAN over a wire that loses, cuts and repeats."""

import pytest

from lab.bmc.sol import MAX_TRIES, SolChannel


class Wire:
    """A SOL channel and what it did; timers fire by hand."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.typed: list[bytes] = []
        self.breaks = 0
        self.lost = False
        self._timer = None
        self.channel = SolChannel(
            send=self.sent.append,
            type_in=self.typed.append,
            send_break=self._break,
            call_later=self._later,
            on_lost=self._lost,
        )

    def _break(self) -> None:
        self.breaks += 1

    def _lost(self) -> None:
        self.lost = True

    def _later(self, _seconds, callback):
        self._timer = callback
        return self

    def cancel(self) -> None:
        self._timer = None

    def timeout(self) -> None:
        assert self._timer
        self._timer()


@pytest.fixture
def wire() -> Wire:
    return Wire()


def test_long_output_arrives_whole_in_order_with_one_packet_in_flight(wire):
    text = bytes(range(256)) * 3
    wire.channel.output(text)
    got = b""
    while len(got) < len(text):
        sequence, data = wire.sent[-1][0], wire.sent[-1][4:]
        got += data
        wire.channel.receive(bytes((0, sequence, len(data), 0)))

    assert got == text


def test_a_partial_acknowledgement_sends_the_rest_again(wire):
    wire.channel.output(b"hello")
    wire.channel.receive(bytes((0, 1, 2, 0)))

    assert wire.sent[-1] == b"\x02\x00\x00\x00llo"


def test_silence_repeats_the_same_packet_and_gives_up_in_the_end(wire):
    wire.channel.output(b"x")
    for _ in range(MAX_TRIES):
        wire.timeout()

    assert set(wire.sent) == {b"\x01\x00\x00\x00x"}
    assert len(wire.sent) == MAX_TRIES
    assert wire.lost


def test_a_repeated_packet_is_typed_once_and_acknowledged_twice(wire):
    for _ in range(2):
        wire.channel.receive(b"\x03\x00\x00\x00root\n")

    assert wire.typed == [b"root\n"]
    assert wire.sent == [b"\x00\x03\x05\x00"] * 2


def test_a_break_is_passed_on(wire):
    wire.channel.receive(b"\x01\x00\x00\x10")

    assert wire.breaks == 1


def test_the_end_is_told(wire):
    wire.channel.output(b"x")
    wire.channel.close(tell=True)

    assert wire.sent[-1] == b"\x00\x00\x00\x10"


@pytest.mark.parametrize("payload", [b"", b"\x01", b"\x01\x00\x00", b"\xff\xff\xff\xff"])
def test_short_and_odd_packets_do_no_harm(wire, payload):
    wire.channel.receive(payload)

    assert wire.typed == []
