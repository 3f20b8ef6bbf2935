"""The TFTP state machine (facts T1-T11), without sockets or clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pxe_edge.policy.transfer import MAX_TRIES, MAX_WINDOW, Terms, Transfer, negotiate
from pxe_edge.wire import tftp


def begun(size_bytes, block_bytes=8, window=1, accepted=None):
    if window > 1:
        accepted = {"windowsize": str(window)}
    transfer = Transfer(size_bytes, Terms(block_bytes, 1.0, window, accepted))
    transfer.begin()
    return transfer


def ack(block):
    return tftp.encode(tftp.Ack(block & 0xFFFF))


def due(transfer):
    """Numbers of the blocks that are to go out."""
    return list(range(transfer.acked + 1, transfer.sent + 1))


@pytest.mark.parametrize(
    ("asked", "accepted", "block", "wait", "window"),
    [
        ({}, None, 512, 1.0, 1),
        ({"blksize": "1468"}, {"blksize": "1468"}, 1468, 1.0, 1),
        ({"blksize": "65464"}, {"blksize": "1468"}, 1468, 1.0, 1),
        ({"blksize": "65465"}, {"blksize": "1468"}, 1468, 1.0, 1),
        ({"blksize": "8"}, {"blksize": "8"}, 8, 1.0, 1),
        ({"blksize": "7"}, None, 512, 1.0, 1),
        ({"blksize": "0"}, None, 512, 1.0, 1),
        ({"blksize": "abc"}, None, 512, 1.0, 1),
        ({"blksize": "\u0663"}, None, 512, 1.0, 1),
        ({"blksize": "-8"}, None, 512, 1.0, 1),
        ({"blksize": "9" * 5000}, None, 512, 1.0, 1),
    ],
)
def test_t4_block_size(asked, accepted, block, wait, window):
    assert negotiate(asked, 1000, 1468) == Terms(block, wait, window, accepted)


@pytest.mark.parametrize(
    ("asked", "accepted", "wait"),
    [
        ({"tsize": "0"}, {"tsize": "1000"}, 1.0),
        ({"timeout": "1"}, {"timeout": "1"}, 1.0),
        ({"timeout": "255"}, {"timeout": "255"}, 255.0),
        ({"timeout": "0"}, None, 1.0),
        ({"timeout": "256"}, None, 1.0),
        ({"unknown": "1"}, None, 1.0),
        ({"unknown": "1", "tsize": "0", "timeout": "x"}, {"tsize": "1000"}, 1.0),
    ],
)
def test_t3_t5_only_options_that_were_asked_for_and_make_sense_are_agreed_on(asked, accepted, wait):
    assert negotiate(asked, 1000, 1468) == Terms(512, wait, 1, accepted)


@pytest.mark.parametrize(
    ("asked", "accepted", "window"),
    [
        ("1", "1", 1),
        ("4", "4", 4),
        ("64", "64", 64),
        ("65535", "64", MAX_WINDOW),
        ("0", None, 1),
        ("65536", None, 1),
    ],
)
def test_t6_window_size(asked, accepted, window):
    told = {"windowsize": accepted} if accepted else None
    assert negotiate({"windowsize": asked}, 1000, 1468) == Terms(512, 1.0, window, told)


def test_t2_a_duplicate_ack_brings_nothing():
    transfer = begun(100)
    assert due(transfer) == [1]
    assert transfer.receive(ack(1))
    assert due(transfer) == [2]
    for late in (ack(1), ack(0), ack(1), ack(3), ack(65535)):
        assert not transfer.receive(late)
    assert transfer.receive(ack(2))


def test_t3_the_first_block_waits_for_ack_0():
    transfer = begun(100, accepted={"tsize": "100"})
    assert (due(transfer), transfer.oack) == ([0], {"tsize": "100"})
    assert not transfer.receive(ack(1))
    assert not transfer.receive(ack(65535))
    assert transfer.receive(ack(0))
    assert due(transfer) == [1]


@pytest.mark.parametrize("code", [0, 1, 8])
def test_t3_t7_an_error_of_the_client_ends_it_quietly(code):
    transfer = begun(3, accepted={"tsize": "3"})
    assert not transfer.receive(tftp.encode(tftp.Error(code, "user aborted")))
    assert transfer.outcome == ("refused" if code == 8 else f"client-error-{code}")


def test_t6_a_window_goes_out_and_its_last_ack_brings_the_next():
    transfer = begun(100, window=4)
    assert transfer.receive(ack(0))
    assert due(transfer) == [1, 2, 3, 4]
    assert transfer.receive(ack(4))
    assert due(transfer) == [5, 6, 7, 8]


def test_t6_an_ack_inside_the_window_starts_again_behind_it():
    transfer = begun(100, window=4)
    transfer.receive(ack(0))
    assert transfer.receive(ack(2))
    assert due(transfer) == [3, 4, 5, 6]
    assert not transfer.receive(ack(2))  # another copy of the same ACK
    assert not transfer.receive(ack(1))


def test_t6_the_last_window_ends_with_the_last_block():
    transfer = begun(8 * 5, window=4)  # five whole blocks and an empty one
    transfer.receive(ack(0))
    assert transfer.receive(ack(4))
    assert due(transfer) == [5, 6]
    assert not transfer.receive(ack(6))
    assert transfer.outcome == "complete"


def test_t6_t2_a_lost_first_block_restarts_its_window_once_and_never_two_windows_running():
    transfer = begun(8 * 100, window=4)
    transfer.receive(ack(0))
    transfer.receive(ack(4))
    assert transfer.receive(ack(4))  # block 5 was lost
    assert due(transfer) == [5, 6, 7, 8]
    assert not transfer.receive(ack(4))
    assert transfer.receive(ack(8))
    assert not transfer.receive(ack(8))  # the second copy's ACK: it must not double the next window as well
    assert transfer.receive(ack(12))
    assert transfer.receive(ack(12))


@pytest.mark.parametrize("window", [1, 7, 64])
def test_t8_block_numbers_wrap(window):
    transfer = begun(8 * 140_000, window=window)
    expected = 1
    if window > 1:
        transfer.receive(ack(0))
    while not transfer.outcome:
        assert due(transfer)[0] == expected
        expected = transfer.sent + 1
        transfer.receive(ack(transfer.sent))
    assert (expected - 1, transfer.outcome) == (140_001, "complete")


@pytest.mark.parametrize(("size", "last"), [(0, 1), (7, 1), (8, 2), (16, 3), (17, 3)])
def test_t9_the_last_block_is_shorter_if_need_be_empty(size, last):
    assert begun(size).last == last


def test_t9_a_silent_client_gets_the_same_again_later_each_time_and_then_nothing():
    transfer = begun(100, window=4)
    transfer.receive(ack(0))
    waits = []
    while not transfer.outcome:
        waits.append(transfer.wait_s)
        assert due(transfer) == [1, 2, 3, 4]
        transfer.expire()
    assert waits == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    assert (len(waits), transfer.outcome) == (MAX_TRIES, "timed-out")


def test_t9_an_answer_makes_the_waits_short_again():
    transfer = begun(100)
    transfer.expire()
    assert transfer.wait_s == 2.0
    transfer.receive(ack(1))
    assert transfer.wait_s == 1.0


def test_t9_who_asked_for_minutes_is_not_waited_for_half_an_hour():
    transfer = Transfer(100, Terms(512, 255.0, 1, {"timeout": "255"}))
    transfer.begin()
    waits = 0
    while not transfer.outcome:
        waits += transfer.wait_s
        transfer.expire()
    assert waits <= 510


def test_t11_a_request_that_comes_again_gets_the_first_answer_and_later_nothing():
    transfer = begun(100)
    assert transfer.again()
    transfer.receive(ack(1))
    assert not transfer.again()
    agreed = begun(100, window=4)
    assert agreed.again()
    agreed.receive(ack(0))
    assert not agreed.again()


@pytest.mark.parametrize("junk", [b"", b"\0\4\0", ack(9), tftp.encode(tftp.Data(1, b"x")), b"\xff" * 4])
def test_junk_changes_nothing(junk):
    transfer = begun(2000)
    assert not transfer.receive(junk)
    assert (due(transfer), transfer.outcome) == ([1], "")


class Client:
    """A receiver by RFC 7440: takes blocks in order, acknowledges each window, and gaps at once."""

    def __init__(self, window, last):
        self.window, self.last = window, last
        self.got = 0
        self.in_window = 0

    def take(self, block):
        """The ACK that a block brings, if any."""
        if block != self.got + 1 & 0xFFFF:
            self.in_window = 0
            return ack(self.got)
        self.got += 1
        self.in_window += 1
        if self.in_window == self.window or self.got == self.last:
            self.in_window = 0
            return ack(self.got)
        return None


def lossy(packets, random, fault):
    """The packets that come through: some lost, some twice."""
    for packet in packets:
        yield from [packet] * (random.random() >= fault)
        yield from [packet] * (random.random() < fault)


@given(
    st.integers(1, 9), st.integers(0, 400), st.randoms(use_true_random=False), st.sampled_from([0, 0.05, 0.4])
)
def test_every_client_gets_every_block_over_a_line_that_loses_and_doubles(window, size, random, fault):
    transfer = begun(size, window=window)
    client, sent, wanted = Client(window, transfer.last), 0, True
    while not transfer.outcome:
        blocks = due(transfer) if wanted else []
        sent += len(blocks)
        answers = [client.take(block) if block else ack(0) for block in lossy(blocks, random, fault)]
        arrived = lossy([answer for answer in answers if answer], random, fault)
        wanted = sum(transfer.receive(answer) for answer in arrived) > 0
        if not wanted and not transfer.outcome:
            if client.got == transfer.last:  # it has all and went away; its last ACK was lost
                break
            transfer._tries, transfer._silent_s = 1, 0.0  # patience is another test's matter
            wanted = transfer.expire()
    assert client.got == transfer.last
    if not fault:
        assert sent == transfer.last + (window > 1)
