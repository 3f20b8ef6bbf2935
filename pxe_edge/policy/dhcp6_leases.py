"""Who has which IPv6 address: lease rows, the table of them, and the choice of an address.

The same rules as for IPv4 (`policy.leases`): memory only, applied when decided, durable before the
answer leaves, offers never stored. A binding hangs on the hardware address where it is known, because
firmware, iPXE and the system show three DUIDs; a client whose hardware address stays unknown is
bound by DUID and association, as RFC 8415 section 6.5 has it.

A pool is kept as intervals: an IPv6 pool may have 2^64 addresses, and what it leaves out too. So it is
no bound for who makes up clients: offers that were not taken up are forgotten with their addresses, and
above `MAX_ROWS` only addresses that came free are given again.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from ipaddress import IPv6Address
from typing import Final

from pxe_edge.policy.dhcp6_views import Network6View
from pxe_edge.policy.leases import LeaseState

OFFER_S: Final = 60
"""How long an Advertise keeps its address for the client; firmware asks within 4-5 s."""
QUARANTINE_S: Final = 600
"""How long a declined address is left alone."""
MAX_OFFERS: Final = 65536
MAX_ROWS: Final = 131_072
"""Addresses that are remembered, bound or not; above the 100,000 machines of the largest site."""
MAX_PER_HOLDER: Final = 16
"""Addresses of one client on one network; who invents associations does not drain a pool."""


@dataclass(frozen=True, slots=True)
class Lease6Row:
    """One IPv6 address and its holder; times are seconds since the epoch."""

    address: IPv6Address
    mac: str
    """The key of the holder: a MAC, else `duid-` with DUID and association."""
    network: str
    state: LeaseState
    expires_at: float
    duid: bytes = b""
    iaid: int = 0
    interface_id: bytes = b""
    remote_id: bytes = b""

    def holds(self, now: float) -> bool:
        """Whether nobody else may have the address: offered, bound or in quarantine, and not expired."""
        return self.state != "released" and self.expires_at > now


class Lease6Table:
    """The rows in memory, and the order in which addresses come free."""

    def __init__(self, rows: Iterable[Lease6Row] = ()) -> None:
        self._by_address: dict[IPv6Address, Lease6Row] = {}
        self._by_holder: dict[tuple[str, str], dict[IPv6Address, Lease6Row]] = {}
        self._offers: dict[IPv6Address, Lease6Row] = {}
        self._pools: dict[str, _Pool] = {}
        for row in sorted(rows, key=lambda row: row.expires_at):
            self.put(row)

    def of(self, network: str, mac: str) -> tuple[Lease6Row, ...]:
        """The rows of a holder on a network, oldest first; addresses in quarantine are nobody's."""
        return tuple(self._by_holder.get((network, mac), {}).values())

    def at(self, address: IPv6Address) -> Lease6Row | None:
        """The row of an address."""
        return self._by_address.get(address)

    def rows(self) -> tuple[Lease6Row, ...]:
        """All rows."""
        return tuple(self._by_address.values())

    def put(self, row: Lease6Row) -> None:
        """Apply a row: it replaces the address's former one."""
        before = self._by_address.get(row.address)
        if before is not None:
            self._offers.pop(row.address, None)
            self._unlink(before)
        if row.state == "offered":
            self._offers[row.address] = row
        self._by_address[row.address] = row
        if row.state != "declined":
            self._by_holder.setdefault((row.network, row.mac), {})[row.address] = row
        if (pool := self._pools.get(row.network)) is not None:
            pool.note(row)

    def choose(
        self,
        network: Network6View,
        mac: str,
        wishes: Iterable[IPv6Address],
        now: float,
        avoid: frozenset[IPv6Address],
        fixed: IPv6Address | None = None,
    ) -> IPv6Address | None:
        """The reserved address, else the first wish that is free, else the next of the pool, else None.

        `fixed` is kept for the host that the client is, where its MAC has no reservation.
        """
        reserved = network.reservations.get(mac, fixed)
        if reserved is not None and reserved not in avoid and self._free(reserved, mac, now):
            return reserved
        if network.mode == "reservations":
            return None
        if len(self._offers) >= MAX_OFFERS:
            self.forget_offers(now)
            if len(self._offers) >= MAX_OFFERS:
                return None
        pool = self._pool(network)
        for wish in wishes:
            if wish not in avoid and pool.offers(wish, mac) and self._free(wish, mac, now):
                return wish
        return pool.next(self, now, avoid)

    def may_keep(
        self,
        network: Network6View,
        mac: str,
        address: IPv6Address,
        now: float,
        avoid: frozenset[IPv6Address],
        fixed: IPv6Address | None = None,
    ) -> bool:
        """Whether a client may have exactly this address under the current site; `fixed` as in `choose`."""
        reserved = network.reservations.get(mac, fixed)
        if reserved is not None and reserved not in avoid and self._free(reserved, mac, now):
            return address == reserved
        if network.mode == "reservations" or address in avoid:
            return False
        return self._pool(network).offers(address, mac) and self._free(address, mac, now)

    def _free(self, address: IPv6Address, mac: str, now: float) -> bool:
        row = self._by_address.get(address)
        if row is None or not row.holds(now):
            return True
        return row.mac == mac and row.state != "declined"

    def _unlink(self, row: Lease6Row) -> None:
        key = (row.network, row.mac)
        held = self._by_holder.get(key)
        if held is not None:
            held.pop(row.address, None)
            if not held:
                del self._by_holder[key]

    def __len__(self) -> int:
        """How many addresses are remembered."""
        return len(self._by_address)

    def forget_offers(self, now: float) -> None:
        """Drop offers that were not taken up in time; their addresses are the next to be given."""
        while self._offers:
            row = next(iter(self._offers.values()))  # all live equally long, so the oldest ends first
            if row.expires_at > now:
                return
            self._unlink(row)
            del self._by_address[row.address], self._offers[row.address]
            if (pool := self._pools.get(row.network)) is not None:
                pool.returned.append(row.address)

    def _pool(self, network: Network6View) -> "_Pool":
        pool = self._pools.get(network.name)
        if pool is None or (pool.network is not network and pool.network != network):
            pool = self._pools[network.name] = _Pool(network, self._by_address.values())
        return pool


class _Pool:
    # Fresh addresses in order, then the heap of used ones by the time at which they come free.
    def __init__(self, network: Network6View, rows: Iterable[Lease6Row]) -> None:
        self.network = network
        self._barred = (
            frozenset(network.reservations.values())
            | {network.subnet.network_address}  # the routers' anycast address (RFC 4291 section 2.6.1)
            | ({network.gateway} if network.gateway is not None else frozenset())
            | frozenset(network.relays)
        )
        self.returned: deque[IPv6Address] = deque(maxlen=MAX_OFFERS)
        """Addresses that were offered and are nobody's again."""
        self._fresh = self._addresses()
        self._used = [(row.expires_at, int(row.address)) for row in rows if row.address in network.subnet]
        heapify(self._used)
        self._compact_at = max(4096, 4 * len(self._used))

    def offers(self, address: IPv6Address, mac: str = "") -> bool:
        owner = self.network.kept.get(address)
        return (
            (owner is None or mac in owner)
            and any(address in part for part in self.network.pool)
            and address in self.network.subnet
            and address not in self._barred
            and not any(address in part for part in self.network.exclude)
        )

    def note(self, row: Lease6Row) -> None:
        heappush(self._used, (0.0 if row.state == "released" else row.expires_at, int(row.address)))
        if len(self._used) > self._compact_at:
            latest: dict[int, float] = {}
            for when, number in self._used:
                latest[number] = max(when, latest.get(number, 0.0))
            self._used = [(when, number) for number, when in latest.items()]
            heapify(self._used)
            self._compact_at = max(4096, 4 * len(self._used))

    def next(self, table: Lease6Table, now: float, avoid: frozenset[IPv6Address]) -> IPv6Address | None:
        while self.returned:
            address = self.returned.popleft()
            if table.at(address) is None and address not in avoid and self.offers(address):
                return address
        for address in self._fresh if len(table) < MAX_ROWS else ():
            if table.at(address) is None and address not in avoid:
                return address
        while self._used and self._used[0][0] <= now:
            address = IPv6Address(heappop(self._used)[1])
            row = table.at(address)
            # A stale entry: the row was renewed since, and its newer entry stands further back.
            if address not in avoid and self.offers(address) and (row is None or not row.holds(now)):
                return address
        return None

    def _addresses(self) -> Iterator[IPv6Address]:
        for first, last in intervals(self.network):
            for number in range(first, last + 1):
                address = IPv6Address(number)
                if address not in self._barred and address not in self.network.kept:
                    yield address


def intervals(network: Network6View) -> list[tuple[int, int]]:
    """The pool inside the subnet without what is excluded, as numbers from first to last."""
    low, high = int(network.subnet.network_address), int(network.subnet.broadcast_address)
    left = [(max(low, int(part.first)), min(high, int(part.last))) for part in network.pool]
    for part in network.exclude:
        first, last = int(part.first), int(part.last)
        left = [
            piece
            for begin, end in left
            for piece in ((begin, min(end, first - 1)), (max(begin, last + 1), end))
            if piece[0] <= piece[1]
        ]
    return [(begin, end) for begin, end in left if begin <= end]
