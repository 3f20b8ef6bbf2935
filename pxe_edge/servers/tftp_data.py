"""Data sockets of TFTP: a few per address of ours, the transfers on each, and how their blocks go out.

Blocks leave as pieces of what was cut into packets before (`cuts`), or as [header, slice of the mapped
file], in one call and without copying in Python; a window leaves as one call that the kernel cuts into
datagrams (UDP GSO), where kernel and device can.
"""

import contextlib
import errno
import logging
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from pxe_edge.policy.transfer import Transfer
from pxe_edge.servers import datagrams
from pxe_edge.servers.cuts import HEADER, Cut, Cuts
from pxe_edge.servers.datagrams import MAX_SEGMENTS, MAX_SEND_BYTES, Address, segments
from pxe_edge.servers.mapped import Mapped
from pxe_edge.wire import tftp

PER_ADDRESS: Final = 2
"""So few, because all that has come to one is read in one go; two, because a client's next transfer is not
to have the pair of ports of its last."""
MAX_LOCAL_ADDRESSES: Final = 64
_HEADER_BYTES: Final = 4
_UDP_SEGMENT: Final = 103
_NO_OFFLOAD: Final = frozenset({errno.EINVAL, errno.EIO, errno.EMSGSIZE, errno.ENOPROTOOPT, errno.EOPNOTSUPP})
log = logging.getLogger(__name__)


class FileChangedError(Exception):
    """The file became shorter while it was sent."""


@dataclass(slots=True, eq=False)
class Session:
    """One transfer with its client, its file and its clock."""

    peer: Address
    name: str
    options: tuple[tuple[str, str], ...]
    mapped: Mapped
    transfer: Transfer
    data: "DataSocket"
    counted_as: str
    began_at: float
    shown_name: str
    """Its name as it may stand in the log."""
    cut: Cut | None = None
    """Its packets, once the first block is due; None: they are made as they leave."""
    taken: Callable[[], Awaitable[None]] | None = None
    """Called when the client has all of it."""
    deadline: float = 0.0


@dataclass(slots=True, eq=False)
class DataSocket:
    """One socket and the sessions on it, by the client's address and port."""

    sock: socket.socket
    cuts: Cuts
    offload: bool
    """Whether windows go out as one call."""
    sessions: dict[Address, Session] = field(default_factory=dict)
    expected: int = 1
    """How many datagrams the next turn reads: a call in vain costs as much as a packet.

    As many as the last call in vain left, and twice as many after some turns that found them all; what
    is left lies there for the next turn.
    """
    full: int = 0
    """Turns in a row that found them all."""
    _ended: set[Address] = field(default_factory=set)
    _ended_before: set[Address] = field(default_factory=set)

    def knew(self, peer: Address) -> bool:
        """Whether this client's transfer ended here a moment ago: its late ACKs are no stranger's."""
        return peer in self._ended or peer in self._ended_before

    def end(self, session: Session) -> None:
        """Forget a session, but not at once."""
        if session.cut is not None:
            self.cuts.give_back(session.cut)
            session.cut = None
        if self.sessions.get(session.peer) is session:
            del self.sessions[session.peer]
            self._ended.add(session.peer)

    def forget(self) -> None:
        """Called every few seconds: two calls later an ended session is a stranger."""
        self._ended_before, self._ended = self._ended, set()

    def send(self, session: Session) -> bool:
        """Send what is due; False when the kernel has no room now. Raises OSError and FileChangedError."""
        transfer = session.transfer
        first, last = transfer.acked + 1, transfer.sent
        if last == 0:
            packet = tftp.encode(tftp.OptionAck(transfer.oack))
            return self._out([packet], session.peer)
        size = transfer.block_bytes
        # Cutting is work, so it is done for a client that has shown by an ACK that it is there.
        if first <= 2 and session.cut is None and not transfer.again():
            session.cut = self.cuts.take(session.mapped, size)
        if first != last:
            return self._window(session, first, last)
        if session.cut is not None:  # by far the most frequent case: lock-step
            step = size + _HEADER_BYTES
            return self._out([session.cut.packets[(first - 1) * step : first * step]], session.peer)
        return self._out(_made(session.mapped, size, first, last), session.peer)

    def _window(self, session: Session, first: int, last: int) -> bool:
        size, step = session.transfer.block_bytes, session.transfer.block_bytes + _HEADER_BYTES
        while first <= last:
            most = min(MAX_SEGMENTS, MAX_SEND_BYTES // step) if self.offload else 1
            until = min(first + most, last + 1)
            parts = (
                [session.cut.packets[(first - 1) * step : (until - 1) * step]]
                if session.cut is not None
                else _made(session.mapped, size, first, until - 1)
            )
            try:
                if not self._out(parts, session.peer, segments(step) if most > 1 else ()):
                    return False
            except OSError as error:
                if most == 1 or error.errno not in _NO_OFFLOAD:
                    raise
                self.offload = False
                log.info("tftp=no-offload reason=%r effect='one call per block'", error.strerror)
                continue
            first = until
        return True

    def _out(
        self,
        parts: "list[bytes] | list[memoryview] | list[bytes | memoryview]",
        peer: Address,
        ancillary: "list[tuple[int, int, bytes]] | tuple[()]" = (),
    ) -> bool:
        try:
            if len(parts) == 1 and not ancillary:
                self.sock.sendto(parts[0], peer)
            else:
                self.sock.sendmsg(parts, ancillary, 0, peer)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno == errno.EFAULT:
                raise FileChangedError from error
            raise
        return True


class DataSockets:
    """All of them. `opened` and `closing` are told of each."""

    def __init__(
        self, opened: Callable[[DataSocket], None], closing: Callable[[DataSocket], None], *, offload: bool
    ) -> None:
        self._opened = opened
        self._closing = closing
        self._offload = offload
        self._groups: dict[Address, list[DataSocket]] = {}
        self._cuts = Cuts()
        self._begun = 0

    def choose(self, family: int, local: Address, peer: Address) -> DataSocket | None:
        """One for a client's next transfer, which has another pair of ports than its last; None: no port."""
        group = self._groups.get(local)
        if group is None:
            if len(self._groups) >= MAX_LOCAL_ADDRESSES:  # addresses came and went
                self._close_unused()
            try:
                group = self._groups[local] = self._open(socket.AddressFamily(family), local)
            except OSError as error:
                log.warning("tftp=no-data-socket address=%s reason=%r", local[0], error.strerror)
                return None
        for _ in group:
            self._begun += 1
            data = group[self._begun % len(group)]
            if not data.knew(peer):
                break
        return data

    def forget(self) -> None:
        """Called every few seconds: see `DataSocket.forget`."""
        for group in self._groups.values():
            for data in group:
                data.forget()

    def close(self) -> None:
        """Close all."""
        for local in list(self._groups):
            self._close(local)

    def _open(self, family: socket.AddressFamily, local: Address) -> list[DataSocket]:
        with contextlib.ExitStack() as opened:
            socks = [opened.enter_context(datagrams.open_data(family, local)) for _ in range(PER_ADDRESS)]
            opened.pop_all()
        offload = self._offload and can_offload(socks[0])
        group = [DataSocket(sock, self._cuts, offload) for sock in socks]
        for data in group:
            self._opened(data)
        return group

    def _close_unused(self) -> None:
        for local, group in list(self._groups.items()):
            if not any(data.sessions for data in group):
                self._close(local)

    def _close(self, local: Address) -> None:
        for data in self._groups.pop(local):
            self._closing(data)
            data.sock.close()


def _made(mapped: Mapped, block_bytes: int, first: int, last: int) -> "list[bytes | memoryview]":
    parts: list[bytes | memoryview] = []
    for block in range(first, last + 1):
        at = (block - 1) * block_bytes
        parts += (HEADER.pack(tftp.DATA, block & 0xFFFF), mapped.view[at : at + block_bytes])
    return parts


def can_offload(sock: socket.socket) -> bool:
    """Whether this kernel knows UDP GSO (Linux 4.18); an older one would send the buffer as one datagram."""
    try:
        sock.setsockopt(socket.IPPROTO_UDP, _UDP_SEGMENT, 0)
    except OSError:
        return False
    return True
