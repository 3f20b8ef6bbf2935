"""Who has which address: lease rows, the table of them, and the choice of an address (RFC 2131 4.3.1).

The table is memory only. The server applies a row here when it decides, and makes it durable before
the answer that rests on it leaves; offers are never stored. Rows hang on (network, hardware address),
and an address has one row at most, the newest.

Choice of an address: current binding, the previous one if free, the one asked for if free, the next
fresh one of the pool, and when that is used up the one that has been free for longest.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush
from ipaddress import IPv4Address
from typing import Final, Literal

from pxe_edge.policy.views import NetworkView

LeaseState = Literal["offered", "bound", "released", "declined"]

OFFER_S: Final = 60
"""How long an offer keeps its address for the client; firmware asks within 4-5 s (OVMF, iPXE)."""
QUARANTINE_S: Final = 600
"""How long a declined address is left alone."""
MAX_OFFERS: Final = 65536


@dataclass(frozen=True, slots=True)
class LeaseRow:
    """One address and its holder; times are seconds since the epoch."""

    address: IPv4Address
    mac: str
    network: str
    state: LeaseState
    expires_at: float
    client_id: bytes = b""
    circuit_id: bytes = b""
    remote_id: bytes = b""
    host_name: str = ""

    def holds(self, now: float) -> bool:
        """Whether nobody else may have the address: offered, bound or in quarantine, and not expired."""
        return self.state != "released" and self.expires_at > now


class LeaseTable:
    """The rows in memory, and the order in which addresses come free."""

    def __init__(self, rows: Iterable[LeaseRow] = ()) -> None:
        self._by_address: dict[IPv4Address, LeaseRow] = {}
        self._by_holder: dict[tuple[str, str], LeaseRow] = {}
        self._offers = 0
        self._pools: dict[str, _Pool] = {}
        # Of two rows of one holder (it moved, and its former address is still known) the live one counts.
        for row in sorted(rows, key=lambda row: (row.state == "bound", row.expires_at)):
            self.put(row)

    def of(self, network: str, mac: str) -> LeaseRow | None:
        """The row of a hardware address on a network, in whatever state."""
        return self._by_holder.get((network, mac))

    def at(self, address: IPv4Address) -> LeaseRow | None:
        """The row of an address."""
        return self._by_address.get(address)

    def rows(self) -> tuple[LeaseRow, ...]:
        """All rows."""
        return tuple(self._by_address.values())

    def holder_of(self, address: IPv4Address, now: float) -> LeaseRow | None:
        """The row of an address that is bound now."""
        row = self._by_address.get(address)
        return row if row is not None and row.state == "bound" and row.expires_at > now else None

    def put(self, row: LeaseRow) -> None:
        """Apply a row: it replaces the address's former one, and becomes its holder's newest."""
        before = self._by_address.get(row.address)
        if before is not None:
            self._offers -= before.state == "offered"
            if before.mac != row.mac and self._by_holder.get((before.network, before.mac)) is before:
                del self._by_holder[before.network, before.mac]
        self._offers += row.state == "offered"
        self._by_address[row.address] = row
        holder = (row.network, row.mac)
        if row.state == "declined":
            # The address is in quarantine, not the client's: its next DISCOVER gets another one.
            if (held := self._by_holder.get(holder)) is not None and held.address == row.address:
                del self._by_holder[holder]
        else:
            self._by_holder[holder] = row
        if (pool := self._pools.get(row.network)) is not None:
            pool.note(row)

    def choose(
        self,
        network: NetworkView,
        mac: str,
        requested: IPv4Address | None,
        now: float,
        avoid: frozenset[IPv4Address],
    ) -> IPv4Address | None:
        """An address for a client, or None: none is free, or none is meant for it. See the module's head."""
        reserved = network.reservations.get(mac)
        if reserved is not None and self._free(reserved, mac, now):
            return reserved
        if network.mode == "reservations":
            return None
        if self._offers >= MAX_OFFERS:
            self._forget_offers(now)
            if self._offers >= MAX_OFFERS:
                return None
        pool = self._pool(network, avoid)
        row = self._by_holder.get((network.name, mac))
        for wish in (row.address if row is not None else None, requested):
            if wish is not None and pool.offers(wish, mac) and self._free(wish, mac, now):
                return wish
        return pool.next(self, now)

    def may_keep(
        self, network: NetworkView, mac: str, address: IPv4Address, now: float, avoid: frozenset[IPv4Address]
    ) -> bool:
        """Whether a client may have exactly this address under the current site."""
        reserved = network.reservations.get(mac)
        if reserved is not None and self._free(reserved, mac, now):
            return address == reserved
        if network.mode == "reservations":
            return False
        return self._pool(network, avoid).offers(address, mac) and self._free(address, mac, now)

    def _free(self, address: IPv4Address, mac: str, now: float) -> bool:
        row = self._by_address.get(address)
        if row is None or not row.holds(now):
            return True
        return row.mac == mac and row.state != "declined"

    def _forget_offers(self, now: float) -> None:
        for row in [r for r in self._by_address.values() if r.state == "offered" and r.expires_at <= now]:
            self.put(replace(row, state="released"))

    def _pool(self, network: NetworkView, avoid: frozenset[IPv4Address]) -> "_Pool":
        pool = self._pools.get(network.name)
        if pool is None or pool.avoid != avoid or (pool.network is not network and pool.network != network):
            pool = self._pools[network.name] = _Pool(network, avoid, self._by_address.values())
        return pool


class _Pool:
    # Fresh addresses in order, then the heap of used ones by the time at which they come free.
    def __init__(self, network: NetworkView, avoid: frozenset[IPv4Address], rows: Iterable[LeaseRow]) -> None:
        self.network = network
        self.avoid = avoid
        self._kept = (
            avoid
            | frozenset(network.reservations.values())
            | {network.subnet.network_address, network.subnet.broadcast_address}
            | ({network.gateway} if network.gateway is not None else frozenset())
            | frozenset(network.relays)
        )
        self._fresh = self._addresses()
        self._used = [(row.expires_at, int(row.address)) for row in rows if row.address in network.subnet]
        heapify(self._used)
        self._compact_at = max(4096, 4 * len(self._used))

    def offers(self, address: IPv4Address, mac: str = "") -> bool:
        owner = self.network.kept.get(address)
        return (
            (owner is None or mac in owner)
            and any(address in part for part in self.network.pool)
            and address in self.network.subnet
            and address not in self._kept
            and not any(address in part for part in self.network.exclude)
        )

    def note(self, row: LeaseRow) -> None:
        heappush(self._used, (0.0 if row.state == "released" else row.expires_at, int(row.address)))
        if len(self._used) > self._compact_at:
            latest: dict[int, float] = {}
            for when, number in self._used:
                latest[number] = max(when, latest.get(number, 0.0))
            self._used = [(when, number) for number, when in latest.items()]
            heapify(self._used)
            self._compact_at = max(4096, 4 * len(self._used))

    def next(self, table: LeaseTable, now: float) -> IPv4Address | None:
        for address in self._fresh:
            if table.at(address) is None:
                return address
        while self._used and self._used[0][0] <= now:
            _, number = heappop(self._used)
            address = IPv4Address(number)
            row = table.at(address)
            # A stale entry: the row was renewed since, and its newer entry stands further back.
            if self.offers(address) and (row is None or not row.holds(now)):
                return address
        return None

    def _addresses(self) -> Iterator[IPv4Address]:
        for part in self.network.pool:
            for number in range(int(part.first), int(part.last) + 1):
                address = IPv4Address(number)
                if self.offers(address):
                    yield address
