"""One TFTP read transfer as a state machine without I/O (RFC 1350, 1123, 2347, 2348, 2349).

Rules. Stop and wait: one block is out, its ACK brings the next. A duplicate ACK brings nothing (RFC
1123 4.2.3.1, the sorcerer's apprentice). Only options that the client sent are in the OACK, and the
first block waits for ACK 0. Block numbers wrap from 65535 to 0. The last block is shorter than the
block size, if need be empty. An ERROR ends the transfer quietly: OVMF asks for `tsize`, refuses with
code 8 and comes back from its next port. A time-out sends the same again, later each time.

`Transfer` asks `read(offset, size)` for bytes and returns what to send; who owns the socket and the
clock calls `begin`, `receive` and `expire`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from pxe_edge.wire import tftp
from pxe_edge.wire.errors import WireError

DEFAULT_BLOCK_BYTES: Final = 512
MIN_BLOCK_BYTES: Final = 8
MAX_BLOCK_BYTES: Final = 65464
HEADERS_BYTES: Final = 32
"""IPv4, UDP and TFTP header: a block of MTU - 32 is one packet (1468 on 1500)."""
MAX_TRIES: Final = 6
FIRST_WAIT_S: Final = 1.0
MAX_WAIT_S: Final = 8.0


@dataclass(frozen=True, slots=True)
class Terms:
    """What client and server agreed on."""

    block_bytes: int = DEFAULT_BLOCK_BYTES
    wait_s: float = FIRST_WAIT_S
    accepted: Mapping[str, str] | None = None
    """Options of the OACK; None: no OACK, the first block answers the request."""


def negotiate(options: Mapping[str, str], size_bytes: int, mtu: int) -> Terms:
    """Agree on the options asked for; what is unknown or out of range is left out, as RFC 2347 wants."""
    accepted: dict[str, str] = {}
    block_bytes, wait_s = DEFAULT_BLOCK_BYTES, FIRST_WAIT_S
    for name, value in options.items():
        number = int(value) if value.isascii() and value.isdigit() and len(value) < 20 else None
        if number is None:
            continue
        if name == "blksize" and number >= MIN_BLOCK_BYTES:
            block_bytes = max(MIN_BLOCK_BYTES, min(number, MAX_BLOCK_BYTES, mtu - HEADERS_BYTES))
            accepted[name] = str(block_bytes)
        elif name == "tsize":
            accepted[name] = str(size_bytes)
        elif name == "timeout" and 1 <= number <= 255:
            wait_s = float(number)
            accepted[name] = value
    return Terms(block_bytes, wait_s, accepted or None)


class Transfer:
    """The server's side of one read."""

    def __init__(self, read: Callable[[int, int], bytes], size_bytes: int, terms: Terms) -> None:
        self._read = read
        self._size_bytes = size_bytes
        self._terms = terms
        self._block = 0
        """Number of the block that is out, not wrapped; 0: the OACK is out."""
        self._out = b""
        self._tries = 0
        self.done = False
        self.outcome = "running"

    @property
    def wait_s(self) -> float:
        """Seconds until `expire` is due, from the last thing sent."""
        longer: float = self._terms.wait_s * 2.0 ** max(0, self._tries - 1)
        return min(longer, max(MAX_WAIT_S, self._terms.wait_s))

    @property
    def sent_bytes(self) -> int:
        """How much of the file was acknowledged."""
        return min(self._size_bytes, max(0, self._block - 1) * self._terms.block_bytes)

    def begin(self) -> bytes:
        """The first packet: OACK, or block 1 when no option was agreed on."""
        if self._terms.accepted is not None:
            return self._send(tftp.encode(tftp.OptionAck(self._terms.accepted)))
        return self._next_block()

    def again(self) -> bytes:
        """The request came again from the same port: repeat the first answer, or nothing once under way."""
        return self._out if self._block <= 1 else b""

    def receive(self, data: bytes) -> bytes:
        """One datagram from the client's own port; returns what to send now, or nothing."""
        try:
            packet = tftp.decode(data)
        except WireError:
            return b""
        if isinstance(packet, tftp.Error):
            self._end("refused" if packet.code == tftp.OPTION_REFUSED else f"client-error-{packet.code}")
            return b""
        if not isinstance(packet, tftp.Ack) or packet.block != self._block & 0xFFFF:
            return b""
        if self._block and self._block * self._terms.block_bytes > self._size_bytes:
            self._end("complete")
            return b""
        return self._next_block()

    def expire(self) -> bytes:
        """Nothing came: the same again, until the tries are used up."""
        if self._tries >= MAX_TRIES:
            self._end("timed-out")
            return b""
        self._tries += 1
        return self._out

    def _next_block(self) -> bytes:
        offset = self._block * self._terms.block_bytes
        self._block += 1
        payload = self._read(offset, self._terms.block_bytes)
        return self._send(tftp.encode(tftp.Data(self._block & 0xFFFF, payload)))

    def _send(self, packet: bytes) -> bytes:
        self._out = packet
        self._tries = 1
        return packet

    def _end(self, outcome: str) -> None:
        self.done = True
        self.outcome = outcome
