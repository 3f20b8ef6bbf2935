"""One TCP connection of the boot plane: bounded reads, and writes that may be slow but not stall.

Files go out by sendfile(2) straight from the page cache. asyncio's own streams would do as much through
a transport, but hide how far a file has gone; a deadline for a whole piece would cut off slow links,
and none would let a reader that takes one octet a minute hold its place for ever.
"""

import asyncio
import contextlib
import fcntl
import os
import socket
import struct
import termios
from collections.abc import Callable
from time import monotonic
from typing import BinaryIO, Final

STALL_S: Final = 300.0
"""GRUB opens all of a boot's files and then reads one after the other: the last waits for the first."""
LEAST_BYTES: Final = 65536
"""What a reader takes in STALL_S at least: 200 octets a second."""
LINGER_S: Final = 2.0
LINGER_BYTES: Final = 1 << 20
_PIECE_BYTES: Final = 4 << 20
"""What one connection sends before the others have their turn: as much as its buffer takes, or nearly.

The kernel wakes a sender when a third of the buffer is free, which is 1.3 MiB where it has grown to 4;
smaller pieces take several calls for it.
"""
_READ_BYTES: Final = 65536
_INT: Final = struct.Struct("i")


class HeadTooLargeError(Exception):
    """No end of the head within the limit."""


class Stream:
    """A connected socket that does not block; all waits end."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._input = bytearray()
        self._moved_bytes = 0
        self._judged_bytes = 0
        self._judged_at = monotonic()

    async def read_head(self, limit: int) -> bytes | None:
        """Everything up to an empty line; None when the client closed before it said anything."""
        at = 0
        while (end := self._input.find(b"\r\n\r\n", max(0, at - 3))) < 0:
            at = len(self._input)
            if at > limit:
                raise HeadTooLargeError
            if not await self._read():
                if self._input:
                    raise ConnectionError("the client closed in the middle of a head")
                return None
        if end + 4 > limit:
            raise HeadTooLargeError
        return self._take(end + 4)

    async def read_exactly(self, size: int) -> bytes:
        """A body of known size."""
        while len(self._input) < size:
            if not await self._read():
                raise ConnectionError("the client closed in the middle of a body")
        return self._take(size)

    async def _read(self) -> bool:
        data = await self._loop.sock_recv(self._sock, _READ_BYTES)
        self._input += data
        return bool(data)

    def _take(self, size: int) -> bytes:
        taken = bytes(self._input[:size])
        del self._input[:size]
        return taken

    async def send(self, data: bytes, *, more: bool = False) -> None:
        """Send octets; `more` follows at once and may share their last packet."""
        rest, flags = memoryview(data), socket.MSG_MORE if more else 0

        def step() -> bool:
            nonlocal rest
            sent = self._sock.send(rest, flags)
            self._moved_bytes += sent
            rest = rest[sent:]
            return not rest

        await self._step_by_step(step)

    async def send_file(self, file: BinaryIO, first: int, count: int) -> int:
        """Send a part of a file; returns how much was sent before the file ended or the client went."""
        out, source, at, end = self._sock.fileno(), file.fileno(), first, first + count

        def step() -> bool:
            nonlocal at
            try:
                done = os.sendfile(out, source, at, min(_PIECE_BYTES, end - at))
            except ConnectionError:
                return True
            at += done
            self._moved_bytes += done
            return at == end or not done

        await self._step_by_step(step)
        return at - first

    async def _step_by_step(self, step: Callable[[], bool]) -> None:
        # A step at once, and one in each turn of the loop in which the socket has room, until one says
        # that it was the last. The task that waits sleeps through all of them: waking it for each, with a
        # future, a timer and two system calls of the selector, was two thirds of what a gigabyte cost.
        with contextlib.suppress(BlockingIOError):
            if step():
                return
        self._judged_at, self._judged_bytes = monotonic(), self._delivered()
        ended: asyncio.Future[None] = self._loop.create_future()
        # By its number: the selector writes out a socket, with two system calls, to say that it is new.
        descriptor = self._sock.fileno()
        self._loop.add_writer(descriptor, self._turn, step, ended)
        try:
            while not ended.done():
                await asyncio.wait((ended,), timeout=self._judged_at + STALL_S - monotonic())
                self._judge_if_due()
            ended.result()
        finally:
            self._loop.remove_writer(descriptor)

    def _turn(self, step: Callable[[], bool], ended: "asyncio.Future[None]") -> None:
        if ended.done():
            return
        try:
            if step():
                ended.set_result(None)
            else:
                self._judge_if_due()
        except BlockingIOError:
            pass
        except Exception as error:  # noqa: BLE001 - raised where it is waited for
            ended.set_exception(error)

    def _judge_if_due(self) -> None:
        if monotonic() - self._judged_at >= STALL_S:
            self._judge()

    def _judge(self) -> None:
        # The kernel wakes a sender when a third of its buffer is free, which may be a megabyte away: so
        # it is what the client acknowledged that counts.
        delivered = self._delivered()
        if delivered - self._judged_bytes < LEAST_BYTES:
            raise TimeoutError("the client reads too slowly")
        self._judged_at, self._judged_bytes = monotonic(), delivered

    def _delivered(self) -> int:
        (waiting,) = _INT.unpack(fcntl.ioctl(self._sock, termios.TIOCOUTQ, _INT.pack(0)))
        # Some sockets count more than octets as waiting; but what was delivered stays so.
        return max(self._judged_bytes, self._moved_bytes - int(waiting))

    async def linger(self) -> None:
        """Say that nothing more comes, and read what the client still sends: a reset would eat the answer."""
        self._sock.shutdown(socket.SHUT_WR)
        seen = 0
        async with asyncio.timeout(LINGER_S):
            while seen < LINGER_BYTES and (data := await self._loop.sock_recv(self._sock, _READ_BYTES)):
                seen += len(data)
