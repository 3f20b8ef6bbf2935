"""Who has which address: lease rows, the table of them, and the choice of an address (RFC 2131 4.3.1).

The table is memory only. The server applies a row here when it decides, and makes it durable before
the answer that rests on it leaves; offers are never stored. Rows hang on (network, hardware address),
and an address has one row at most, the newest. A client has at most one bound row on a network, and
beside it at most one offer.

Choice of an address: current binding, the previous one if free, the one offered, the one asked for if
free, the next fresh one of the pool, and when that is used up the one that has been free for longest.
Nothing here walks over all leases, however many there are: each choice takes the same time.
"""

from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from pxe_edge.policy.networks import ServedNetwork
from pxe_edge.policy.pools import Pool

LeaseState = Literal["offered", "bound", "released", "declined"]

OFFER_S: Final = 60
"""How long an offer keeps its address for the client; firmware asks within 4-5 s (OVMF, iPXE)."""
QUARANTINE_S: Final = 600
"""How long a declined address is left alone."""
MAX_OFFERS: Final = 65536


class LeaseRow(NamedTuple):
    """One address and its holder; times are seconds since the epoch.

    A tuple of plain values: a hundred thousand of them are nothing that the garbage collector visits,
    and one is what the database's statement takes.
    """

    address: int
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


class Holders:
    """The rows of one network by hardware address."""

    __slots__ = ("bindings", "offers", "pool", "unasked")

    def __init__(self) -> None:
        self.bindings: dict[str, LeaseRow] = {}
        """Bound rows, or those that were."""
        self.offers: dict[str, LeaseRow] = {}
        """What was offered and not taken yet; look at its end."""
        self.unasked: dict[str, int] = {}
        self.pool: Pool | None = None

    def lose(self, row: LeaseRow) -> None:
        """A client's row is bound no longer: it gave the address back, or declined it."""
        held = self.bindings.get(row.mac)
        if row.state == "released":
            if held is None or held.address == row.address:
                self.bindings[row.mac] = row
        elif held is not None and held.address == row.address:
            # The address is in quarantine, not the client's: its next DISCOVER gets another one.
            del self.bindings[row.mac]


class LeaseTable:
    """The rows in memory, and the order in which addresses come free."""

    def __init__(self, rows: Iterable[LeaseRow] = ()) -> None:
        self._stored: dict[int, LeaseRow] = {}
        self._offered: dict[int, LeaseRow] = {}
        self._holders: dict[str, Holders] = {}
        # Of two rows of one holder (it moved, and its former address is still known) the live one counts.
        for row in sorted(rows, key=lambda row: (row.state == "bound", row.expires_at)):
            self.put(row)

    def of(self, network: str) -> Holders:
        """The rows of a network."""
        holders = self._holders.get(network)
        if holders is None:
            holders = self._holders[network] = Holders()
        return holders

    def binding(self, network: str, mac: str) -> LeaseRow | None:
        """The row of a hardware address on a network that is bound, or was."""
        return self.of(network).bindings.get(mac)

    def left_unasked(self, network: str, mac: str) -> int:
        """Count one more offer that is made to a client; how many in a row that makes, with this one."""
        holders = self.of(network)
        if len(holders.unasked) >= MAX_OFFERS:
            holders.unasked.clear()
        count = holders.unasked[mac] = holders.unasked.get(mac, 0) + 1
        return count

    def at(self, address: int) -> LeaseRow | None:
        """The row of an address, stored or offered."""
        return self._offered.get(address) or self._stored.get(address)

    def rows(self) -> tuple[LeaseRow, ...]:
        """All stored rows."""
        return tuple(self._stored.values())

    def put(self, row: LeaseRow) -> None:
        """Apply a row: it replaces the address's former one, and becomes its holder's newest."""
        holders = self.of(row.network)
        address, mac = row.address, row.mac
        if row.state == "offered":
            self._put_offer(holders, row)
            return
        offer = self._offered.pop(address, None)
        if offer is not None:
            self._drop_offer(holders, offer)
        before = self._stored.get(address)
        self._stored[address] = row
        if before is not None and before.mac != mac:
            former = self._holders[before.network].bindings
            if former.get(before.mac) is before:
                del former[before.mac]
        if row.state == "bound":
            holders.bindings[mac] = row
            holders.unasked.pop(mac, None)
        else:
            holders.lose(row)
        if holders.pool is not None:
            holders.pool.note(row, first=before is None)

    def _put_offer(self, holders: Holders, row: LeaseRow) -> None:
        # Out and in again, so that the dictionary's order is that of their ends.
        before = holders.offers.pop(row.mac, None)
        if before is not None and before.address != row.address:
            self._drop_offer(holders, before)
        holders.offers[row.mac] = row
        self._offered[row.address] = row

    def _drop_offer(self, holders: Holders, offer: LeaseRow) -> None:
        if self._offered.get(offer.address) is offer:
            del self._offered[offer.address]
        if holders.offers.get(offer.mac) is offer:
            del holders.offers[offer.mac]
        if holders.pool is not None and offer.address not in self._stored:
            holders.pool.returned(offer.address)

    def choose(
        self, network: ServedNetwork, mac: str, requested: int | None, now: float, fixed: int | None = None
    ) -> int | None:
        """An address for a client, or None: none is free, or none is meant for it. See the module's head.

        `fixed` is kept for the host that the client is, where its MAC has no reservation.
        """
        reserved = network.reservations.get(mac, fixed)
        if reserved is not None and self.is_free(reserved, mac, now):
            return reserved
        if network.view.mode == "reservations":
            return None
        if self.is_crowded(now):
            return None
        holders = self.of(network.name)
        binding, offer = holders.bindings.get(mac), holders.offers.get(mac)
        for wish in (binding and binding.address, offer and offer.address, requested):
            if wish and network.leases(wish, mac) and self.is_free(wish, mac, now):
                return wish
        pool = self._pool(holders, network)
        found = pool.next(self, network, now)
        return found if found is not None or not self.forget_offers(now) else pool.next(self, network, now)

    def is_crowded(self, now: float) -> bool:
        """Whether no more offers are held: a flood of DISCOVERs must not grow the table."""
        return len(self._offered) >= MAX_OFFERS and not self.forget_offers(now)

    def may_keep(
        self, network: ServedNetwork, mac: str, address: int, now: float, fixed: int | None = None
    ) -> bool:
        """Whether a client may have exactly this address under the current site; `fixed` as in `choose`."""
        reserved = network.reservations.get(mac, fixed)
        if reserved is not None and self.is_free(reserved, mac, now):
            return address == reserved
        if network.view.mode == "reservations":
            return False
        return network.leases(address, mac) and self.is_free(address, mac, now)

    def is_free(self, address: int, mac: str, now: float) -> bool:
        """Whether nobody but this client holds the address."""
        offer = self._offered.get(address)
        if offer is not None and offer.mac != mac and offer.expires_at > now:
            return False
        row = self._stored.get(address)
        if row is None or row.state == "released" or row.expires_at <= now:
            return True
        return row.mac == mac and row.state != "declined"

    def is_fresh(self, address: int) -> bool:
        """Whether the address was never leased and is not on offer."""
        return address not in self._stored and address not in self._offered

    def stored(self, address: int) -> LeaseRow | None:
        """The stored row of an address."""
        return self._stored.get(address)

    def upcoming(self, network: ServedNetwork, count: int, now: float) -> list[int]:
        """The addresses that new clients of a network get next; asking takes none of them."""
        return self._pool(self.of(network.name), network).peek(self, network, count, now)

    def forget_offers(self, now: float) -> int:
        """Drop offers that nobody took up; how many those were."""
        gone = 0
        for holders in self._holders.values():
            # A dictionary keeps the order of making, and every offer holds equally long.
            lapsed = []
            for row in holders.offers.values():
                if row.expires_at > now:
                    break
                lapsed.append(row)
            for row in lapsed:
                self._drop_offer(holders, row)
            gone += len(lapsed)
        return gone

    def _pool(self, holders: Holders, network: ServedNetwork) -> Pool:
        pool = holders.pool
        if pool is None or not pool.is_of(network):
            rows = [row for row in self._stored.values() if row.address in network]
            pool = holders.pool = Pool(network, rows)
        return pool
