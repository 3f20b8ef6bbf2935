"""In which order a network's addresses are handed out to clients that bring no claim to one.

First those never leased, in order; then those that were offered only, those given back, and, by the
time at which they came free, those of clients that went away. The last part is a heap with one entry
per address. A renewal does not touch it: an entry whose time has come is looked up, and goes back with
the new time when the lease was extended.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from heapq import heapify, heappush, heapreplace
from typing import TYPE_CHECKING, Final

from pxe_edge.policy.networks import ServedNetwork

if TYPE_CHECKING:
    from pxe_edge.policy.leases import LeaseRow, LeaseTable

MAX_STALE: Final = 1000
"""Entries put back in one go: about a millisecond; what is left is done with the next request."""
_LOOK_AGAIN_S: Final = 60.0


class Pool:
    """The order of one network's addresses; made anew when the Site changes what may be leased."""

    def __init__(self, network: ServedNetwork, rows: Iterable["LeaseRow"]) -> None:
        self._network = network
        self._ahead: deque[int] = deque()
        self._fresh = _addresses(network)
        self._lapsed: deque[int] = deque()
        self._released: OrderedDict[int, None] = OrderedDict()
        self._used = [(row.expires_at, row.address) for row in rows]
        heapify(self._used)

    def is_of(self, network: ServedNetwork) -> bool:
        """Whether it still is the pool of this network; addresses that nobody claims any more join it."""
        mine = self._network
        if network is not mine:
            if network.pool_key != mine.pool_key:
                return False
            if network.kept != mine.kept or network.reserved != mine.reserved:
                self._lapsed.extend(mine.claimed - network.claimed)
            self._network = network
        return True

    def note(self, row: "LeaseRow", *, first: bool) -> None:
        """A row was applied; `first`: the address had none before."""
        if first:
            heappush(self._used, (row.expires_at, row.address))
        if row.state == "released":
            self._released[row.address] = None
        elif self._released:
            self._released.pop(row.address, None)

    def returned(self, address: int) -> None:
        """An address that was offered, and never leased, came back."""
        self._lapsed.append(address)

    def next(self, table: "LeaseTable", network: ServedNetwork, now: float) -> int | None:
        """Take the next address; None when every one is held."""
        while (address := self._next_fresh()) is not None:
            if table.is_fresh(address) and network.leases(address, ""):
                return address
        return self._next_used(table, network, now)

    def peek(self, table: "LeaseTable", network: ServedNetwork, count: int, now: float) -> list[int]:
        """The next addresses without taking them; of used ones the first only."""
        while len(self._ahead) < count and (address := next(self._fresh, None)) is not None:
            self._ahead.append(address)
        found = [address for address in self._ahead if table.is_fresh(address)][:count]
        if not found and (used := self._next_used(table, network, now)) is not None:
            found.append(used)
        return found

    def _next_fresh(self) -> int | None:
        if self._ahead:
            return self._ahead.popleft()
        address = next(self._fresh, None)
        return self._lapsed.popleft() if address is None and self._lapsed else address

    def _next_used(self, table: "LeaseTable", network: ServedNetwork, now: float) -> int | None:
        for address in self._released:
            if table.is_free(address, "", now) and network.leases(address, ""):
                self._released.move_to_end(address)
                return address
        # The address found stays on the heap: when it is leased, its entry is late and is put back.
        used, stale = self._used, 0
        while used and used[0][0] <= now and stale < MAX_STALE:
            stale += 1
            address = used[0][1]
            row = table.stored(address)
            if row is not None and row.holds(now):
                heapreplace(used, (row.expires_at, address))
            elif table.is_free(address, "", now) and network.leases(address, ""):
                return address
            else:  # on offer to somebody, or not for everybody
                heapreplace(used, (now + _LOOK_AGAIN_S, address))
        return None


def _addresses(network: ServedNetwork) -> Iterator[int]:
    for first, last in network.ranges:
        for address in range(first, last + 1):
            if network.leases(address, ""):
                yield address
