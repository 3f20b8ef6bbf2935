"""What the packet plane noticed: who got no answer and why, other DHCP servers, counts.

Everything here is bounded: a flood of made-up MACs pushes out the oldest notes, and costs the log at
most `LINES_PER_S` lines a second. The packet thread writes; any thread reads, on copies that the
interpreter makes in one piece.
"""

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from pxe_edge.policy.silences import explain_silence
from pxe_edge.servers.ports import ForeignServer, Unanswered

MAX_MACS: Final = 4096
MAX_REASONS: Final = 8
"""Reasons kept of one machine."""
MAX_SERVERS: Final = 256
REPEAT_S: Final = 60.0
"""The same machine and reason is one line a minute, with the number of packets."""
LINES_PER_S: Final = 50
ANSWERS_PER_S: Final = 20
"""Lines a second about packets that were answered; all are counted."""
log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Entry:
    first_at: float
    last_at: float
    network: str | None
    detail: str
    count: int = 0
    told_at: float = 0.0
    told: int = 0


@dataclass(slots=True)
class _Heard:
    mac: str | None
    interface: str
    network: str | None
    expected: bool
    seen_as: str
    first_at: float
    last_at: float
    count: int = 0
    told_at: float = 0.0


class Notes:
    """`pxe_edge.servers.ports.PacketNotes`, and what the packet plane writes into it."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._by_mac: OrderedDict[str, OrderedDict[str, _Entry]] = OrderedDict()
        self._servers: OrderedDict[tuple[str, str], _Heard] = OrderedDict()
        self._second = 0
        self._lines = 0
        self._answers_until = 0.0
        self._answers = 0
        self.count: dict[str, int] = {}
        """Counters, written by the packet path itself."""

    def unanswered(self, mac: str) -> tuple[Unanswered, ...]:
        """Why this machine got no answer, the newest reason first."""
        reasons = self._by_mac.get(mac)
        return (
            () if reasons is None else tuple(_shown(mac, *pair) for pair in reversed(list(reasons.items())))
        )

    def newest_unanswered(self, limit: int) -> tuple[Unanswered, ...]:
        """The newest reason of each machine, newest first."""
        newest = reversed(list(self._by_mac.items())[-limit:])
        return tuple(_shown(mac, *list(reasons.items())[-1]) for mac, reasons in newest)

    def foreign_servers(self) -> tuple[ForeignServer, ...]:
        """Other DHCP servers, the one seen last first."""
        return tuple(
            ForeignServer(
                address=address,
                mac=heard.mac,
                interface=heard.interface,
                network=heard.network,
                expected=heard.expected,
                seen_as=heard.seen_as,
                count=heard.count,
                first_at=heard.first_at,
                last_at=heard.last_at,
            )
            for (address, _), heard in reversed(list(self._servers.items()))
        )

    def counts(self) -> Mapping[str, int]:
        """Packets since start by what became of them."""
        return dict(self.count)

    def silent(
        self,
        mac: str,
        reason: str,
        *,
        kind: str,
        network: str | None = None,
        detail: str = "",
        event: bool = False,
        answer: str = "none",
    ) -> None:
        """Count a packet that gets no answer; the first of its machine and reason is a line at once.

        `answer` is for the odd case that one was given and is of no use to the machine.
        """
        now = self._clock()
        self.count[reason] = self.count.get(reason, 0) + 1
        reasons = self._by_mac.get(mac)
        if reasons is None:
            reasons = self._by_mac[mac] = OrderedDict()
            if len(self._by_mac) > MAX_MACS:
                self._by_mac.popitem(last=False)
        entry = reasons.get(reason)
        if entry is None:
            if len(reasons) >= MAX_REASONS:
                reasons.popitem(last=False)
            entry = reasons[reason] = _Entry(now, now, network, detail)
        reasons.move_to_end(reason)
        self._by_mac.move_to_end(mac)
        entry.count += 1
        entry.last_at, entry.network, entry.detail = now, network or entry.network, detail or entry.detail
        if (entry.told == 0 or now - entry.told_at >= REPEAT_S) and self._may_tell(now):
            self._tell(mac, kind, answer, reason, entry, logging.WARNING if event else logging.INFO)
            entry.told, entry.told_at = entry.count, now

    def forgotten(self, mac: str, reason: str) -> None:
        """Take a reason back that turned out not to hold."""
        reasons = self._by_mac.get(mac)
        if reasons is not None and reasons.pop(reason, None) is not None and not reasons:
            self._by_mac.pop(mac, None)

    def foreign(
        self,
        address: str,
        *,
        mac: str | None,
        interface: str,
        network: str | None,
        expected: bool,
        seen_as: str,
    ) -> None:
        """Note another DHCP server; one that must not be there is a warning, once a minute."""
        now = self._clock()
        key = (address, interface)
        heard = self._servers.get(key)
        if heard is None:
            heard = self._servers[key] = _Heard(mac, interface, network, expected, seen_as, now, now)
            if len(self._servers) > MAX_SERVERS:
                self._servers.popitem(last=False)
        self._servers.move_to_end(key)
        heard.count += 1
        heard.last_at, heard.expected = now, expected
        if mac is not None:
            heard.mac, heard.seen_as = mac, seen_as
        if not expected and now - heard.told_at >= REPEAT_S and self._may_tell(now):
            heard.told_at = now
            log.warning(
                "dhcp=foreign-server address=%s mac=%s interface=%s network=%s seen=%s times=%d "
                "do='find and stop it, or mode: proxy for this network: rackflow doctor'",
                address, heard.mac, interface, network, heard.seen_as, heard.count,
            )  # fmt: skip

    def may_tell_answer(self, now: float) -> bool:
        """Whether the log has a line left in this second for a packet that was answered."""
        if not self._answers_until > now >= self._answers_until - 1.0:
            self._answers_until, self._answers = now + 1.0, 0
        self._answers += 1
        return self._answers <= ANSWERS_PER_S

    def shortened(self, mac: str, dropped: tuple[int, ...], size: int) -> None:
        """Count an answer that some options found no room in."""
        self.count["shortened"] = self.count.get("shortened", 0) + 1
        if self._may_tell(self._clock()):
            log.warning("dhcp=shortened mac=%s options=%s bytes=%d", mac, dropped, size)

    def _may_tell(self, now: float) -> bool:
        second = int(now)
        if second != self._second:
            if self._lines > LINES_PER_S:
                log.warning("dhcp=untold lines=%d in=1s", self._lines - LINES_PER_S)
            self._second, self._lines = second, 0
        self._lines += 1
        return self._lines <= LINES_PER_S

    def _tell(self, mac: str, kind: str, answer: str, reason: str, entry: _Entry, level: int) -> None:
        said = explain_silence(reason)
        log.log(
            level,
            "dhcp=%s mac=%s answer=%s reason=%s times=%d network=%s %s why=%r do=%r",
            kind,
            mac,
            answer,
            reason,
            entry.count - entry.told,
            entry.network,
            entry.detail,
            said.sentence,
            said.next_step,
        )


def _shown(mac: str, reason: str, entry: _Entry) -> Unanswered:
    return Unanswered(mac, reason, entry.count, entry.first_at, entry.last_at, entry.network, entry.detail)
