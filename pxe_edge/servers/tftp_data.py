"""Data sockets of TFTP: the transfers on each, and how their blocks go out.

Blocks leave as [header, slice of the mapped file] in one call, without copying in Python; a window
leaves as one call that the kernel cuts into datagrams (UDP GSO), where kernel and device can.
"""

import errno
import logging
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from pxe_edge.policy.transfer import Transfer
from pxe_edge.servers.datagrams import MAX_SEGMENTS, MAX_SEND_BYTES, Address, segments
from pxe_edge.servers.mapped import Mapped
from pxe_edge.wire import tftp

_HEADER: Final = struct.Struct("!HH")
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
    taken: Callable[[], Awaitable[None]] | None = None
    """Called when the client has all of it."""
    deadline: float = 0.0


@dataclass(slots=True, eq=False)
class DataSocket:
    """One socket and the sessions on it, by the client's address and port."""

    sock: socket.socket
    offload: bool
    """Whether windows go out as one call."""
    sessions: dict[Address, Session] = field(default_factory=dict)
    expected: int = 1
    """How many datagrams the next turn reads: twice what the last found, so that few turns end in vain."""
    _ended: set[Address] = field(default_factory=set)
    _ended_before: set[Address] = field(default_factory=set)

    def knew(self, peer: Address) -> bool:
        """Whether this client's transfer ended here a moment ago: its late ACKs are no stranger's."""
        return peer in self._ended or peer in self._ended_before

    def end(self, session: Session) -> None:
        """Forget a session, but not at once."""
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
        size, view = transfer.block_bytes, session.mapped.view
        if first == last:  # by far the most frequent case: lock-step
            at = (first - 1) * size
            return self._out((_HEADER.pack(tftp.DATA, first & 0xFFFF), view[at : at + size]), session.peer)
        return self._window(session, first, last)

    def _window(self, session: Session, first: int, last: int) -> bool:
        size, view = session.transfer.block_bytes, session.mapped.view
        while first <= last:
            most = min(MAX_SEGMENTS, MAX_SEND_BYTES // (size + _HEADER_BYTES)) if self.offload else 1
            until = min(first + most, last + 1)
            parts: list[bytes | memoryview] = []
            for block in range(first, until):
                at = (block - 1) * size
                parts += (_HEADER.pack(tftp.DATA, block & 0xFFFF), view[at : at + size])
            try:
                if not self._out(parts, session.peer, segments(size + _HEADER_BYTES) if most > 1 else ()):
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
        parts: "list[bytes | memoryview] | list[bytes] | tuple[bytes, memoryview]",
        peer: Address,
        ancillary: "list[tuple[int, int, bytes]] | tuple[()]" = (),
    ) -> bool:
        try:
            self.sock.sendmsg(parts, ancillary, 0, peer)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno == errno.EFAULT:
                raise FileChangedError from error
            raise
        return True


def can_offload(sock: socket.socket) -> bool:
    """Whether this kernel knows UDP GSO (Linux 4.18); an older one would send the buffer as one datagram."""
    try:
        sock.setsockopt(socket.IPPROTO_UDP, _UDP_SEGMENT, 0)
    except OSError:
        return False
    return True
