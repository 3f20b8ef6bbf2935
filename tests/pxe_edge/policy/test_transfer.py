"""The TFTP state machine (facts T1-T11), without sockets or clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pxe_edge.policy.transfer import MAX_TRIES, Terms, Transfer, negotiate
from pxe_edge.wire import tftp


def transfer_of(data, terms=None):
    return Transfer(lambda offset, size: data[offset : offset + size], len(data), terms or Terms())


def ack(block):
    return tftp.encode(tftp.Ack(block))


@pytest.mark.parametrize(
    ("asked", "accepted", "block", "wait"),
    [
        ({}, None, 512, 1.0),
        ({"blksize": "1468"}, {"blksize": "1468"}, 1468, 1.0),
        ({"blksize": "65464"}, {"blksize": "1468"}, 1468, 1.0),
        ({"blksize": "7"}, None, 512, 1.0),
        ({"blksize": "abc"}, None, 512, 1.0),
        ({"blksize": "\u0663"}, None, 512, 1.0),
        ({"tsize": "0"}, {"tsize": "1000"}, 512, 1.0),
        ({"timeout": "3"}, {"timeout": "3"}, 512, 3.0),
        ({"timeout": "0"}, None, 512, 1.0),
        ({"timeout": "256"}, None, 512, 1.0),
        ({"windowsize": "4", "unknown": "1"}, None, 512, 1.0),
        ({"tsize": "0", "blksize": "8"}, {"tsize": "1000", "blksize": "8"}, 8, 1.0),
    ],
)
def test_options(asked, accepted, block, wait):
    assert negotiate(asked, 1000, 1500) == Terms(block, wait, accepted)


@given(st.binary(max_size=200), st.integers(8, 64), st.booleans())
def test_a_patient_client_gets_every_octet(data, block_bytes, oack):
    transfer = transfer_of(data, Terms(block_bytes, 1.0, {"blksize": str(block_bytes)} if oack else None))
    packet = tftp.decode(transfer.begin())
    if oack:
        assert packet == tftp.OptionAck({"blksize": str(block_bytes)})
        packet = tftp.decode(transfer.receive(ack(0)))
    got = b""
    while True:
        assert transfer.receive(ack(packet.block - 1 & 0xFFFF)) == b""  # a duplicate ACK brings nothing
        got += packet.payload
        answer = transfer.receive(ack(packet.block))
        if len(packet.payload) < block_bytes:
            break
        packet = tftp.decode(answer)
    assert (got, answer, transfer.done, transfer.outcome) == (data, b"", True, "complete")


def test_block_numbers_wrap():
    data = bytes(8) * 65537
    transfer = transfer_of(data, Terms(8, 1.0, None))
    packet = tftp.decode(transfer.begin())
    blocks = 1
    while answer := transfer.receive(ack(packet.block)):
        packet = tftp.decode(answer)
        blocks += 1
    assert (blocks, packet.block, transfer.done) == (65538, 2, True)


def test_a_refused_option_ends_it_quietly():
    transfer = transfer_of(b"abc", Terms(512, 1.0, {"tsize": "3"}))
    transfer.begin()
    assert transfer.receive(tftp.encode(tftp.Error(8, "user aborted"))) == b""
    assert (transfer.done, transfer.outcome) == (True, "refused")


def test_a_silent_client_gets_the_same_again_later_each_time_and_then_nothing():
    transfer = transfer_of(b"abc")
    first = transfer.begin()
    waits = []
    while not transfer.done:
        waits.append(transfer.wait_s)
        assert transfer.expire() in (first, b"")
    assert waits == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    assert (len(waits), transfer.outcome) == (MAX_TRIES, "timed-out")


def test_a_request_that_comes_again_gets_the_first_answer_and_later_nothing():
    transfer = transfer_of(bytes(2000))
    first = transfer.begin()
    assert transfer.again() == first
    transfer.receive(ack(1))
    assert transfer.again() == b""


@pytest.mark.parametrize("junk", [b"", b"\0\4\0", ack(9), tftp.encode(tftp.Data(1, b"x")), b"\xff" * 4])
def test_junk_changes_nothing(junk):
    transfer = transfer_of(bytes(2000))
    transfer.begin()
    assert transfer.receive(junk) == b""
    assert not transfer.done
