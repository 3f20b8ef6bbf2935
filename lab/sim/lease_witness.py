"""What DHCP clients were ACKed, and what may not happen to it: from the answers alone.

An ACK is a promise until the lease ends (RFC 2131 section 4.3.1): to nobody else the same address, and to
the same client, when it asks for it again, the same answer, whatever died in between.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["given-twice", "offered-twice", "moved", "refused", "silent", "not-listed"]


@dataclass(frozen=True, slots=True)
class Promise:
    """An acknowledged lease."""

    mac: str
    address: str
    until: float


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was broken."""

    kind: Kind
    mac: str
    address: str
    detail: str

    def __str__(self) -> str:
        """One line for the report."""
        return f"{self.kind}: {self.address} of {self.mac}: {self.detail}"


@dataclass
class LeaseWitness:
    """All promises ever made, by address and by client."""

    violations: list[Violation] = field(default_factory=list)
    acks: int = 0
    _by_address: dict[str, Promise] = field(default_factory=dict)
    _by_mac: dict[str, Promise] = field(default_factory=dict)

    def held(self, now: float) -> list[Promise]:
        """Promises that hold now."""
        return [promise for promise in self._by_mac.values() if promise.until > now]

    def of(self, mac: str, now: float) -> Promise | None:
        """What a client may rely on now."""
        promise = self._by_mac.get(mac)
        return promise if promise is not None and promise.until > now else None

    def acked(self, mac: str, address: str, lease_s: float, now: float) -> None:
        """A client got an ACK."""
        self.acks += 1
        other = self._other(mac, address, now)
        if other is not None:
            self._break("given-twice", other, f"also ACKed to {mac}")
        mine = self.of(mac, now)
        if mine is not None and mine.address != address:
            self._break("moved", mine, f"now ACKed {address} without having given it up")
        self._by_address[address] = self._by_mac[mac] = Promise(mac, address, now + lease_s)

    def offered(self, mac: str, address: str, now: float) -> None:
        """A client got an OFFER: nothing is promised yet, but what is another's may not be offered."""
        other = self._other(mac, address, now)
        if other is not None:
            self._break("offered-twice", other, f"offered to {mac}")
        mine = self.of(mac, now)
        if mine is not None and mine.address != address:
            self._break("moved", mine, f"offered {address} instead of its own")

    def refused(self, mac: str, now: float) -> None:
        """A client that asked for its address again got a NAK."""
        if (mine := self.of(mac, now)) is not None:
            self._break("refused", mine, "asked for again, answered with NAK")

    def silent(self, mac: str, now: float) -> None:
        """A client that asked for its address again got no answer, however often."""
        if (mine := self.of(mac, now)) is not None:
            self._break("silent", mine, "asked for again, never answered")

    def listed(self, rows: Iterable[Mapping[str, str]], now: float) -> None:
        """What the edge itself says (`rackflow leases`): every promise stands there as bound."""
        bound = {row["address"]: row["mac"] for row in rows if row["state"] == "bound"}
        for promise in self.held(now):
            if bound.get(promise.address) != promise.mac:
                who = bound.get(promise.address, "nobody")
                self._break("not-listed", promise, f"the edge says it is {who}'s")

    def _other(self, mac: str, address: str, now: float) -> Promise | None:
        promise = self._by_address.get(address)
        return promise if promise is not None and promise.mac != mac and promise.until > now else None

    def _break(self, kind: Kind, promise: Promise, detail: str) -> None:
        self.violations.append(Violation(kind, promise.mac, promise.address, detail))
