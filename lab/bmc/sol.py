"""Serial over LAN: one console's stop-and-wait transfer, both ways (IPMI 2.0 section 15.9)."""

from collections.abc import Callable
from typing import Protocol

NACK = 0x40
BREAK = 0x10
DEACTIVATING = 0x10
CHUNK_BYTES = 200
RETRY_S = 0.4
MAX_TRIES = 20
MAX_BACKLOG_BYTES = 1 << 16


class Timer(Protocol):
    """What call_later returns."""

    def cancel(self) -> None:
        """Call it off."""


class SolChannel:
    """The console of one session. `send` takes a SOL payload, `type_in` what the console typed."""

    def __init__(
        self,
        *,
        send: Callable[[bytes], None],
        type_in: Callable[[bytes], None],
        send_break: Callable[[], None],
        call_later: Callable[[float, Callable[[], None]], Timer],
        on_lost: Callable[[], None],
    ) -> None:
        self._send = send
        self._type_in = type_in
        self._send_break = send_break
        self._call_later = call_later
        self._on_lost = on_lost
        self._backlog = bytearray()
        self._pending = b""
        self._sequence = 0
        self._tries = 0
        self._timer: Timer | None = None
        self._last_in = 0

    def output(self, data: bytes) -> None:
        """The machine wrote to its serial port. A console that does not keep up loses the oldest bytes."""
        self._backlog += data
        del self._backlog[:-MAX_BACKLOG_BYTES]
        self._kick()

    def receive(self, payload: bytes) -> None:
        """A SOL packet from the console: an acknowledgement, characters, or both."""
        if len(payload) < 4:
            return
        sequence, acked, accepted, operation = payload[:4]
        if acked and acked == self._sequence and self._pending:
            self._acknowledged(accepted, refused=bool(operation & NACK))
        if not sequence & 0x0F:
            return
        data = payload[4:]
        if sequence != self._last_in:
            self._last_in = sequence
            if operation & BREAK:
                self._send_break()
            if data:
                self._type_in(data)
        self._send(bytes((0, sequence, len(data) & 0xFF, 0)))

    def close(self, *, tell: bool) -> None:
        """End it; with `tell` the console hears of it, else it would wait for ever."""
        self._stop_timer()
        self._pending = b""
        self._backlog.clear()
        if tell:
            self._send(bytes((0, 0, 0, DEACTIVATING)))

    def _acknowledged(self, accepted: int, *, refused: bool) -> None:
        self._stop_timer()
        if refused:
            self._timer = self._call_later(RETRY_S, self._transmit)
            return
        self._backlog[:0] = self._pending[accepted:]
        self._pending = b""
        self._kick()

    def _kick(self) -> None:
        if self._pending or not self._backlog:
            return
        self._pending = bytes(self._backlog[:CHUNK_BYTES])
        del self._backlog[:CHUNK_BYTES]
        self._sequence = self._sequence % 15 + 1
        self._tries = 0
        self._transmit()

    def _transmit(self) -> None:
        self._tries += 1
        if self._tries > MAX_TRIES:
            self.close(tell=False)
            self._on_lost()
            return
        self._send(bytes((self._sequence, 0, 0, 0)) + self._pending)
        self._timer = self._call_later(RETRY_S, self._transmit)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
