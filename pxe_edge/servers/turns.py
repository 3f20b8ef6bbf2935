"""A loop for sockets that get tens of thousands of datagrams a second, in a thread of its own.

asyncio spends some ten microseconds between a datagram and the function that reads it, three times what
the function and the kernel take. Here a turn is one call of epoll, and then each socket that has something
is read until it has nothing. Timers are one deadline, looked at once per turn.

`hand` and `stop` are for other threads; everything else is for this one, or for before it starts.
"""

import logging
import math
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable

Read = Callable[[float], None]
"""Reads what has come to a socket; it is given the time, which is taken once per turn."""
log = logging.getLogger(__name__)


class Turns:
    """Calls who has something to read, and `tick` when it is due, until it is stopped."""

    def __init__(self, name: str, tick: Callable[[float], None]) -> None:
        self._tick = tick
        self._due = math.inf
        self._readers: dict[int, Read] = {}
        self._epoll = select.epoll()
        self._handed: deque[Callable[[], None]] = deque()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._stopping = False
        self._runner = threading.Thread(target=self._run, name=name, daemon=True)
        self.watch(self._bell, self._rung)

    def watch(self, descriptor: int, read: Read) -> None:
        """Call `read` whenever this one has something."""
        self._readers[descriptor] = read
        self._epoll.register(descriptor, select.EPOLLIN)

    def leave(self, descriptor: int) -> None:
        """Look no more at this one, which is closed next; epoll forgets what is closed by itself."""
        del self._readers[descriptor]

    def tick_by(self, when: float) -> None:
        """Call `tick` at this time, or before; it is called once."""
        self._due = min(self._due, when)

    def start(self) -> None:
        """Begin."""
        self._runner.start()

    def hand(self, work: Callable[[], None]) -> None:
        """Have this done in the loop's own thread."""
        if not self._stopping:
            self._handed.append(work)
            os.eventfd_write(self._bell, 1)

    def stop(self) -> None:
        """End after the turn that is under way, and wait for it. Sockets stay open."""
        self._stopping = True
        os.eventfd_write(self._bell, 1)
        if self._runner.ident is not None:
            self._runner.join()
        self._epoll.close()
        os.close(self._bell)

    def _run(self) -> None:
        now = time.monotonic()
        while not self._stopping:
            # The time of the last turn will do: a tick may come late by as long as a turn took.
            events = self._epoll.poll(-1.0 if self._due == math.inf else max(0.0, self._due - now))
            now = time.monotonic()
            for descriptor, _ in events:
                read = self._readers.get(descriptor)
                if read is not None:  # a socket that was ready may be closed on behalf of another
                    self._guarded(read, now)
            if now >= self._due:
                self._due = math.inf
                self._guarded(self._tick, now)

    def _guarded(self, call: Read, now: float) -> None:
        try:
            call(now)
        except Exception:
            log.exception("turn=failed of=%s", self._runner.name)

    def _rung(self, _now: float) -> None:
        os.eventfd_read(self._bell)
        while self._handed:
            self._handed.popleft()()
