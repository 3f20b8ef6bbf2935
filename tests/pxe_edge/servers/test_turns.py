"""The loop of TFTP's thread: who is called, when, and that one who fails takes nobody along."""

import contextlib
import logging
import socket
import threading
import time

from pxe_edge.servers.turns import Turns


@contextlib.contextmanager
def turning(tick=lambda _now: None):
    turns = Turns("test", tick)
    try:
        yield turns
    finally:
        turns.stop()


def pair():
    sockets = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    for each in sockets:
        each.setblocking(False)
    return sockets


def test_who_has_something_to_read_is_called_and_is_given_the_time():
    theirs, ours = pair()
    seen, called = [], threading.Event()

    def read(now):
        seen.append((ours.recv(10), now, threading.current_thread().name))
        called.set()

    with theirs, ours, turning() as turns:
        turns.watch(ours.fileno(), read)
        turns.start()
        before = time.monotonic()
        theirs.send(b"x")
        assert called.wait(5)
    ((data, now, thread),) = seen
    assert (data, thread) == (b"x", "test")
    assert before <= now <= time.monotonic()


def test_a_tick_comes_once_at_the_earliest_time_that_was_asked_for():
    ticks, called = [], threading.Event()

    def tick(now):
        ticks.append(now)
        called.set()

    with turning(tick) as turns:
        began = time.monotonic()
        turns.tick_by(began + 60)
        turns.tick_by(began + 0.05)
        turns.start()
        assert called.wait(5)
        time.sleep(0.1)
    assert len(ticks) == 1
    assert ticks[0] >= began + 0.05


def test_one_that_fails_is_told_of_and_the_others_go_on(caplog):
    (to_bad, bad), (to_good, good) = pair(), pair()
    called = threading.Event()

    def fail(_now):
        bad.recv(10)
        raise RuntimeError("no such block")

    def read(_now):
        good.recv(10)
        called.set()

    caplog.set_level(logging.ERROR)
    with to_bad, bad, to_good, good, turning() as turns:
        turns.watch(bad.fileno(), fail)
        turns.watch(good.fileno(), read)
        turns.start()
        to_bad.send(b"x")
        to_good.send(b"x")
        assert called.wait(5)
    assert "no such block" in caplog.text


def test_what_other_threads_hand_over_is_done_in_order_in_the_loops_own():
    done, all_done = [], threading.Event()
    with turning() as turns:
        turns.hand(lambda: done.append((1, threading.current_thread().name)))
        turns.start()
        turns.hand(lambda: done.append((2, threading.current_thread().name)))
        turns.hand(all_done.set)
        assert all_done.wait(5)
    turns.hand(all_done.clear)  # too late, and no error
    assert done == [(1, "test"), (2, "test")]


def test_a_socket_that_another_has_closed_in_the_same_turn_is_not_read():
    (to_one, one), (to_two, two) = pair(), pair()
    read, called = [], threading.Event()

    def close_other(mine, other):
        def reader(_now):
            read.append(mine)
            turns.leave(other.fileno())
            other.close()
            turns.leave(mine.fileno())
            mine.close()
            called.set()

        return reader

    with to_one, to_two, turning() as turns:
        turns.watch(one.fileno(), close_other(one, two))
        turns.watch(two.fileno(), close_other(two, one))
        to_one.send(b"x")
        to_two.send(b"x")
        turns.start()
        assert called.wait(5)
        time.sleep(0.05)
    assert len(read) == 1
