"""One TFTP read transfer as a state machine without I/O (RFC 1350, 1123, 2347, 2348, 2349, 7440).

Rules. A window of blocks is out (one block unless `windowsize` was agreed on); the ACK of a block brings
the next window from behind it, so an ACK inside the window repeats what comes after (RFC 7440 section
4). In lock-step a duplicate ACK brings nothing (RFC 1123 4.2.3.1, the sorcerer's apprentice). With a
window it may mean that the window's first block was lost, so it repeats the window, but not two windows
running: a copy that was late can then double the traffic of one window and no more. Only options that
the client sent are in the OACK, and the first block waits for ACK 0. Block numbers wrap from 65535 to 0.
The last block is shorter than the block size, if need be empty. An ERROR ends the transfer quietly: OVMF
asks for `tsize`, refuses with code 8 and comes back from its next port. A time-out repeats the window,
later each time.

`Transfer` says which blocks are to go out; who owns the file, the socket and the clock calls `begin`,
`receive` and `expire`, and sends the OACK when block 0 is due.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pxe_edge.wire import tftp
from pxe_edge.wire.errors import WireError

DEFAULT_BLOCK_BYTES: Final = 512
MIN_BLOCK_BYTES: Final = 8
MAX_BLOCK_BYTES: Final = 65464
MAX_WINDOW: Final = 64
"""Blocks: what the kernel takes in one call (UDP GSO), and 94 kB on Ethernet."""
HEADERS_BYTES: Final = 32
"""IPv4, UDP and TFTP header: a block of MTU - 32 is one packet (1468 on 1500)."""
HEADERS_V6_BYTES: Final = 52
MAX_TRIES: Final = 6
FIRST_WAIT_S: Final = 1.0
MAX_WAIT_S: Final = 8.0
MAX_SILENCE_S: Final = 300.0
"""A client that asked for a time-out of minutes is not waited for six times."""
_RESTARTED: Final = 2


@dataclass(frozen=True, slots=True)
class Terms:
    """What client and server agreed on."""

    block_bytes: int = DEFAULT_BLOCK_BYTES
    wait_s: float = FIRST_WAIT_S
    window: int = 1
    accepted: Mapping[str, str] | None = None
    """Options of the OACK; None: no OACK, the first block answers the request."""


def negotiate(options: Mapping[str, str], size_bytes: int, max_block_bytes: int) -> Terms:
    """Agree on the options asked for; what is unknown or out of range is left out, as RFC 2347 wants."""
    accepted: dict[str, str] = {}
    block_bytes, wait_s, window = DEFAULT_BLOCK_BYTES, FIRST_WAIT_S, 1
    for name, value in options.items():
        number = int(value) if value.isascii() and value.isdigit() and len(value) < 20 else None
        if number is None:
            continue
        if name == "blksize" and number >= MIN_BLOCK_BYTES:
            block_bytes = max(MIN_BLOCK_BYTES, min(number, MAX_BLOCK_BYTES, max_block_bytes))
            accepted[name] = str(block_bytes)
        elif name == "tsize":
            accepted[name] = str(size_bytes)
        elif name == "timeout" and 1 <= number <= 255:
            wait_s = float(number)
            accepted[name] = value
        elif name == "windowsize" and 1 <= number <= 65535:
            window = min(number, MAX_WINDOW)
            accepted[name] = str(window)
    return Terms(block_bytes, wait_s, window, accepted or None)


class Transfer:
    """The server's side of one read. Blocks `acked + 1` to `sent` are out; block 0 is the OACK."""

    __slots__ = (
        "_restarts",
        "_silent_s",
        "_terms",
        "_tries",
        "acked",
        "block_bytes",
        "last",
        "outcome",
        "sent",
        "size_bytes",
        "wait_s",
        "window",
    )

    def __init__(self, size_bytes: int, terms: Terms) -> None:
        self.size_bytes = size_bytes
        self.block_bytes = terms.block_bytes
        self.window = terms.window
        self.last = size_bytes // terms.block_bytes + 1
        """Number of the last block; not wrapped, as all numbers here."""
        self.acked = -1
        self.sent = 0
        self.outcome = ""
        """How it ended; empty while it runs."""
        self.wait_s = terms.wait_s
        """Seconds until `expire` is due, from the last thing sent."""
        self._terms = terms
        self._tries = 1
        self._silent_s = 0.0
        self._restarts = 0

    @property
    def oack(self) -> Mapping[str, str]:
        """The options of block 0."""
        return self._terms.accepted or {}

    @property
    def sent_bytes(self) -> int:
        """How much of the file was acknowledged."""
        return min(self.size_bytes, max(0, self.acked) * self.block_bytes)

    def begin(self) -> None:
        """Make the first packets due: the OACK, or a first block when no option was agreed on."""
        if self._terms.accepted is None:
            self.acked = 0
            self.sent = 1

    def again(self) -> bool:
        """The request came once more from its port: whether its first answer is to be repeated."""
        return self.acked == (0 if self._terms.accepted is None else -1)

    def receive(self, data: bytes) -> bool:
        """One datagram from the client's own port; whether blocks `acked + 1` to `sent` go out now."""
        if len(data) < 4 or data[1] != tftp.ACK or data[0]:
            return self._told(data)
        ahead = ((data[2] << 8 | data[3]) - self.acked) & 0xFFFF
        if ahead == 0:
            return self._duplicate()
        out = self.sent - self.acked
        if ahead > out:
            return False  # of a window long gone, or made up
        self.acked += ahead
        if self.acked == self.last:
            self.outcome = "complete"
            return False
        if ahead < out:
            self._restarts = _RESTARTED  # what was behind it goes out again; its late copies are no news
        elif self._restarts:
            self._restarts -= 1
        if self._tries > 1:
            self._tries, self.wait_s = 1, self._terms.wait_s
        self.sent = min(self.acked + self.window, self.last)
        return True

    def expire(self) -> bool:
        """Nothing came in time: whether the same goes out again; not when the tries are used up."""
        self._silent_s += self.wait_s
        if self._tries >= MAX_TRIES or self._silent_s >= MAX_SILENCE_S:
            self.outcome = "timed-out"
            return False
        self._tries += 1
        self.wait_s = min(2.0 * self.wait_s, max(MAX_WAIT_S, self._terms.wait_s))
        return True

    def _duplicate(self) -> bool:
        if self.window == 1 or self._restarts or self.acked < 0:
            return False
        self._restarts = _RESTARTED
        return True

    def _told(self, data: bytes) -> bool:
        try:
            packet = tftp.decode(data)
        except WireError:
            return False
        if isinstance(packet, tftp.Error):
            self.outcome = "refused" if packet.code == tftp.OPTION_REFUSED else f"client-error-{packet.code}"
        return False
