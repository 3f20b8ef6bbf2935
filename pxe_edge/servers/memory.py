"""The registry's side of the packet plane in memory: for tests and trials, with all of its rules."""

import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from pxe_edge.policy.dhcp6_leases import Lease6Row
from pxe_edge.policy.leases import LeaseRow
from pxe_edge.policy.requests import BootRequest
from pxe_edge.policy.seeds import SEED_S, SeedTicket, finish_transfer, start_transfer
from pxe_edge.policy.views import BootPlan, HostView, SiteView
from pxe_edge.servers.ports import Problem

MAX_SIGHTINGS = 4096


class MemoryView:
    """Site and hosts, swapped by assignment."""

    def __init__(self, site: SiteView, hosts: Iterable[HostView] = ()) -> None:
        self._site = site
        self._hosts = tuple(hosts)
        self.sightings: deque[tuple[BootRequest, str]] = deque(maxlen=MAX_SIGHTINGS)

    def site(self) -> SiteView:
        """The current site."""
        return self._site

    def swap(self, site: SiteView, hosts: Iterable[HostView] | None = None) -> None:
        """Replace site, and hosts if given."""
        self._site = site
        self._hosts = self._hosts if hosts is None else tuple(hosts)

    def host_by_mac(self, mac: str) -> HostView | None:
        """The host with this MAC."""
        return next((host for host in self._hosts if mac in host.macs), None)

    def host_by_uuid(self, uuid: str) -> HostView | None:
        """The host with this UUID."""
        return next((host for host in self._hosts if host.uuid == uuid), None)

    def sighting(self, request: BootRequest, outcome: str) -> None:
        """Keep the newest ones."""
        self.sightings.append((request, outcome))


class MemoryLeases:
    """A lease store that forgets at the end of the process; `commits` shows the groups."""

    def __init__(self, rows: Iterable[LeaseRow] = ()) -> None:
        self._rows = {row.address: row for row in rows}
        self.commits: list[tuple[LeaseRow, ...]] = []

    def load(self) -> Sequence[LeaseRow]:
        """All rows."""
        return tuple(self._rows.values())

    def commit(self, rows: Iterable[LeaseRow]) -> frozenset[int]:
        """Keep the rows."""
        group = tuple(rows)
        self.commits.append(group)
        self._rows.update({row.address: row for row in group})
        return frozenset()


class MemoryLeases6:
    """An IPv6 lease store that forgets at the end of the process; `commits` shows the groups."""

    def __init__(self, rows: Iterable[Lease6Row] = ()) -> None:
        self._rows = {row.address: row for row in rows}
        self.commits: list[tuple[Lease6Row, ...]] = []

    def load(self) -> Sequence[Lease6Row]:
        """All rows."""
        return tuple(self._rows.values())

    def commit(self, rows: Iterable[Lease6Row]) -> frozenset[IPv6Address]:
        """Keep the rows; refuses none."""
        group = tuple(rows)
        self.commits.append(group)
        self._rows.update({row.address: row for row in group})
        return frozenset()


@dataclass(slots=True)
class _Seed:
    ticket: SeedTicket
    data: bytes


class MemoryBoot:
    """Boots and seeds; what machines say is kept in `said`."""

    def __init__(
        self,
        make_seed: Callable[[int, str], bytes] = lambda boot_no, mac: f"seed {boot_no} {mac}\n".encode(),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._make_seed = make_seed
        self._clock = clock
        self._seeds: dict[str, _Seed] = {}
        self.boots: list[tuple[int, str]] = []
        self.said: list[tuple[str, str, Mapping[str, Any]]] = []
        self.token = secrets.token_hex(16)

    def boot_begin(
        self, mac: str, uuid: str | None, arch: int | None, address: IPv4Address | IPv6Address
    ) -> BootPlan | None:
        """Begin a boot for anyone: `decide` was asked before."""
        del uuid, arch
        boot_no, nonce = len(self.boots) + 1, secrets.token_hex(16)
        self.boots.append((boot_no, mac))
        ticket = SeedTicket(nonce, address, self._clock() + SEED_S)
        self._seeds[nonce] = _Seed(ticket, self._make_seed(boot_no, mac))
        return BootPlan(boot_no, f"/seed/{nonce}")

    def seed(self, nonce: str, peer: IPv4Address | IPv6Address, *, peek: bool) -> bytes | None:
        """The bytes, as long as the ticket allows."""
        seed = self._seeds.get(nonce)
        if seed is None:
            return None
        ticket = start_transfer(seed.ticket, peer, self._clock())
        if not isinstance(ticket, SeedTicket):
            return None
        if not peek:
            seed.ticket = ticket
        return seed.data

    def seed_done(self, nonce: str) -> None:
        """Close the ticket."""
        if (seed := self._seeds.get(nonce)) is not None:
            seed.ticket = finish_transfer(seed.ticket)

    def report_in(
        self, token: str, body: Mapping[str, Any], peer: IPv4Address | IPv6Address
    ) -> tuple[int, Problem | None]:
        """Accept the one token."""
        return self._say("report-in", token, body, peer)

    def phone_home(
        self, token: str, body: Mapping[str, Any], peer: IPv4Address | IPv6Address
    ) -> tuple[int, Problem | None]:
        """Accept the one token."""
        return self._say("phone-home", token, body, peer)

    def _say(
        self, what: str, token: str, body: Mapping[str, Any], peer: IPv4Address | IPv6Address
    ) -> tuple[int, Problem | None]:
        if not secrets.compare_digest(token.encode(), self.token.encode()):
            return 401, Problem("bad-token", "The token is not of a boot that is under way.", "Boot again.")
        self.said.append((what, str(peer), body))
        return 204, None
