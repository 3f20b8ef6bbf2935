"""Which addresses were asked for on the link, and who answered (RFC 2131 sections 2.2 and 4.4.1).

Memory only, no I/O, bounded. An answer of a MAC that answers for many addresses is a router's proxy ARP
(RFC 1027), which says nothing about who has them: it counts no more.
"""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

WAIT_S: Final = 0.2
"""How long an offer waits for an answer. A machine on the link answers within milliseconds."""
FRESH_S: Final = 60.0
"""How long a probe without an answer counts."""
REPEAT_S: Final = 40.0
"""When the next addresses are asked for again, so that one of them is always fresh."""
AHEAD: Final = 16
"""Addresses asked for before anybody wants them: that many new machines in two seconds wait for nothing."""
MAX_KEPT: Final = 4096
PROXY_ANSWERS: Final = 8
"""Addresses that one MAC may answer for before it is taken for a proxy."""


class Probes:
    """Probes by address."""

    def __init__(self) -> None:
        self._sent: OrderedDict[int, float] = OrderedDict()
        self._holders: dict[int, bytes] = {}
        self._answers: OrderedDict[bytes, set[int]] = OrderedDict()

    def due(self, addresses: Iterable[int], now: float) -> list[int]:
        """Those that have not been asked for lately."""
        return [address for address in addresses if now - self._sent.get(address, -REPEAT_S) >= REPEAT_S]

    def sent(self, address: int, now: float) -> None:
        """A probe left; what was known of the address counts no more."""
        self._sent.pop(address, None)
        self._holders.pop(address, None)
        self._sent[address] = now
        if len(self._sent) > MAX_KEPT:
            oldest, _ = self._sent.popitem(last=False)
            self._holders.pop(oldest, None)

    def heard(self, address: int, mac: bytes) -> bool:
        """Somebody says that it has an address; whether that is news, and believed."""
        if address not in self._sent:
            return False  # nobody asked
        answers = self._answers.setdefault(mac, set())
        self._answers.move_to_end(mac)
        if len(self._answers) > MAX_KEPT:
            self._answers.popitem(last=False)
        if len(answers) <= PROXY_ANSWERS:
            answers.add(address)
        if self.is_proxy(mac):
            for each in answers:
                if self._holders.get(each) == mac:
                    del self._holders[each]
            return False
        self._holders[address] = mac
        return True

    def is_proxy(self, mac: bytes) -> bool:
        """Whether a MAC has answered for more addresses than a machine has."""
        return len(self._answers.get(mac, ())) > PROXY_ANSWERS

    def holder(self, address: int) -> bytes | None:
        """Who has the address, by its own answer to the last probe."""
        return self._holders.get(address)

    def is_clear(self, address: int, now: float) -> bool:
        """Whether the address was asked for long enough ago, and lately enough, and nobody has it."""
        age = now - self._sent.get(address, -FRESH_S)
        return WAIT_S <= age < FRESH_S and address not in self._holders
