"""The DHCPv6 server's sockets: drain, decide, make durable, send; the same rules as `dhcp`.

With every IPv6 network on an interface of its own there is a socket per interface; a network that is
reached through relays needs one on all interfaces. Interfaces come and go, and get their link-local
address late: `sync` opens, closes and joins as they do.
"""

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv6Address
from typing import Final

from pxe_edge.policy import boot, limits
from pxe_edge.policy.boot import Silence
from pxe_edge.policy.dhcp6 import SERVER_PORT, Outcome6, Quiet6, Reply6, Server6, answer
from pxe_edge.policy.dhcp6_leases import Lease6Row, Lease6Table
from pxe_edge.policy.dhcp6_links import Arrival6
from pxe_edge.policy.dhcp6_requests import Request6, read_request
from pxe_edge.policy.networks import Link
from pxe_edge.policy.views import SiteView
from pxe_edge.servers import udp6
from pxe_edge.servers.errors import NoInterface, StartError
from pxe_edge.servers.hosts import find_host
from pxe_edge.servers.lease_writer import LeaseWriter
from pxe_edge.servers.notes import Notes
from pxe_edge.servers.peers import NO_IPV6
from pxe_edge.servers.ports import Lease6Store, View
from pxe_edge.wire import dhcp6
from pxe_edge.wire.errors import WireError

DRAIN: Final = 64
log = logging.getLogger(__name__)

Key = tuple[str | None, int]
"""Interface name and index of a socket; (None, 0) is all interfaces."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """An answer that may wait for its lease rows."""

    sock: socket.socket
    datagram: udp6.Datagram6
    request: Request6
    reply: Reply6


@dataclass
class _Open:
    """A socket and the (group, interface index) pairs that it has joined."""

    sock: socket.socket
    joined: set[tuple[str, int]] = field(default_factory=set)


class Dhcp6Server:
    """DHCPv6 on all IPv6 networks of the site."""

    def __init__(
        self,
        view: View,
        store: Lease6Store,
        duid: bytes,
        *,
        port: int = SERVER_PORT,
        clock: Callable[[], float] = time.time,
        notes: Notes | None = None,
    ) -> None:
        self._view = view
        self._store = store
        self._duid = duid
        self._port = port
        self._clock = clock
        self._notes = notes if notes is not None else Notes(clock)
        self._links: Mapping[int, Link] = {}
        self._own: frozenset[IPv6Address] = frozenset()
        self._sockets: dict[Key, _Open] = {}
        self._table = Lease6Table()
        self._clients = limits.RateLimit(limits.MAC_PACKETS_PER_S)
        self._relays = limits.RateLimit(limits.RELAY_PACKETS_PER_S)
        self._writer: LeaseWriter[Lease6Row, _Waiting] | None = None
        self._without = False

    @property
    def table(self) -> Lease6Table:
        """The leases in memory."""
        return self._table

    async def start(self, links: Mapping[int, Link]) -> None:
        """Load the leases and open the sockets; raises StartError."""
        loop = asyncio.get_running_loop()
        rows = await loop.run_in_executor(None, self._store.load)
        self._table = Lease6Table(rows)
        self._writer = LeaseWriter(self._store, self._send, self._not_stored)
        self.sync(links)
        if self._sockets:
            log.info("dhcp6=started leases=%d sockets=%d", len(rows), len(self._sockets))

    def sync(self, links: Mapping[int, Link]) -> None:
        """Follow site and interfaces, forget old offers; raises StartError for a taken port."""
        self._links = links
        self._own = frozenset(each.ip for one in links.values() for each in one.addresses6)
        site = self._view.site()
        wanted = wanted_sockets(site, links)
        for key in self._sockets.keys() - wanted:
            self._close(key)
        for key in sorted(wanted - self._sockets.keys(), key=str):
            self._open(key)
        for key, opened in self._sockets.items():
            self._join(key, opened, site)
        self._table.forget_offers(self._clock())

    async def close(self) -> None:
        """Stop receiving, finish the commits under way, close everything."""
        for opened in self._sockets.values():
            asyncio.get_running_loop().remove_reader(opened.sock)
        if self._writer is not None:
            await self._writer.close()
            self._writer = None
        for key in list(self._sockets):
            self._sockets.pop(key).sock.close()

    def _open(self, key: Key) -> None:
        try:
            sock = udp6.open_udp6("UDP", self._port, key[0])
        except NoInterface:
            return  # gone since the links were read; the next sync looks again
        except StartError as error:
            cause = error.__cause__
            if isinstance(cause, OSError) and cause.errno in NO_IPV6:
                self._say_without(cause)
                return
            raise
        except OSError as error:  # no socket of this family at all
            self._say_without(error)
            return
        self._sockets[key] = _Open(sock)
        asyncio.get_running_loop().add_reader(sock, self._readable, sock)
        log.info("dhcp6=listening interface=%s port=%d", key[0] or "all", self._port)

    def _say_without(self, error: OSError) -> None:
        if not self._without:
            log.warning("dhcp6=off reason=%r do='enable IPv6 on this host'", error.strerror)
            self._without = True

    def _close(self, key: Key) -> None:
        opened = self._sockets.pop(key)
        asyncio.get_running_loop().remove_reader(opened.sock)
        opened.sock.close()

    def _join(self, key: Key, opened: _Open, site: SiteView) -> None:
        served = {network.interface for network in site.networks6 if network.mode != "off"}
        for index, link in self._links.items():
            if key[1] not in (0, index) or link.interface == "lo":
                continue
            groups = [udp6.CLIENTS_AND_RELAYS] if link.interface in served else []
            for group in (*groups, udp6.RELAYS_ONLY):
                if (group, index) in opened.joined:
                    continue
                try:
                    udp6.join(opened.sock, group, index)
                except OSError as error:  # the interface has no IPv6 (yet); the next sync tries again
                    log.debug("dhcp6=unjoined interface=%s reason=%r", link.interface, error.strerror)
                    continue
                opened.joined.add((group, index))

    def _readable(self, sock: socket.socket) -> None:
        for _ in range(DRAIN):
            datagram = udp6.receive(sock)
            if datagram is None:
                return
            try:
                self._handle(sock, datagram)
            except Exception:
                # One packet must never end the server; what it was is in the log.
                log.exception("dhcp6=failed from=%s data=%s", datagram.source, datagram.data[:600].hex())

    def _handle(self, sock: socket.socket, datagram: udp6.Datagram6) -> None:
        try:
            message = dhcp6.decode(datagram.data)
            request = read_request(message, datagram.source)
        except WireError as error:
            said = f"from={datagram.source} error={str(error)!r}"
            self._notes.silent(str(datagram.source), "damaged", kind="DHCPv6", detail=said)
            return
        link = self._links.get(datagram.index)
        now = self._clock()
        relayed = bool(message.relays)
        reason = ""
        if link is None:
            reason = "no-link"
        elif self._writer is None or self._writer.is_full:
            reason = "overload"
        elif not self._clients.allows(request.key, now) or (
            relayed and not self._relays.allows(datagram.source, now)
        ):
            reason = "rate-limited"
        if link is None or reason:
            self._silent(request, datagram, reason)
            return
        arrival = Arrival6(
            link, datagram.source, datagram.source_port, datagram.target.is_multicast, self._own
        )
        outcome = self._decide(request, arrival, now)
        self._carry_out(sock, request, datagram, outcome)

    def _decide(self, request: Request6, arrival: Arrival6, now: float) -> Outcome6:
        host = find_host(self._view, request.boot)
        if isinstance(host, Silence):
            return Quiet6(host.reason)
        outcome = answer(request, arrival, host, Server6(self._duid, self._view.site(), self._table), now)
        if request.boot.boots and request.has_mac:
            network = outcome.place.network.name if isinstance(outcome, Reply6) else outcome.network
            self._view.sighting(replace(request.boot, network=network), describe(outcome))
        return outcome

    def _carry_out(
        self, sock: socket.socket, request: Request6, datagram: udp6.Datagram6, outcome: Outcome6
    ) -> None:
        for row in outcome.rows:
            self._table.put(row)
        stored = tuple(row for row in outcome.rows if row.state != "offered")
        waiting = None
        if isinstance(outcome, Reply6):
            waiting = _Waiting(sock, datagram, request, outcome)
            self._tell(request, datagram, outcome)
        else:
            self._silent(request, datagram, outcome.reason)
        if stored and self._writer is not None:
            self._writer.add(stored, waiting)
        elif waiting is not None:
            self._send(waiting)

    def _tell(self, request: Request6, datagram: udp6.Datagram6, reply: Reply6) -> None:
        if reply.event:
            answer = dhcp6.MESSAGE_NAMES[reply.message.kind]
            self._silent(request, datagram, reply.event, answer=answer)
        elif self._notes.may_tell_answer(self._clock()):
            log.info(
                "dhcp6=%s mac=%s client=%s arch=%s %s",
                _kind(request), request.key, request.boot.client, request.boot.arch, describe(reply),
            )  # fmt: skip

    def _silent(
        self, request: Request6, datagram: udp6.Datagram6, reason: str, *, answer: str = "none"
    ) -> None:
        link = self._links.get(datagram.index)
        way = f"interface={link.interface if link else datagram.index} from={datagram.source}"
        event = reason in ("pool-exhausted", "declined", "identity-conflict", "not-stored")
        kind = f"DHCPv6-{_kind(request)}"
        self._notes.silent(request.key, reason, kind=kind, detail=way, event=event, answer=answer)

    def _send(self, waiting: _Waiting) -> None:
        reply = waiting.reply
        name = f"DHCPv6-{dhcp6.MESSAGE_NAMES[reply.message.kind]}"
        self._notes.count[name] = self._notes.count.get(name, 0) + 1
        data = dhcp6.encode(reply.message)
        try:
            udp6.send(waiting.sock, data, waiting.datagram, reply.target, reply.port)
        except OSError as error:
            log.warning("dhcp6=unsent to=%s:%d reason=%r", reply.target, reply.port, error.strerror)

    def _not_stored(self, waiting: _Waiting) -> None:
        # Not durable, so not the client's: it asks again.
        self._silent(waiting.request, waiting.datagram, "not-stored")
        for row in waiting.reply.rows:
            if row.state == "bound" and self._table.at(row.address) == row:
                self._table.put(replace(row, state="released"))


def wanted_sockets(site: SiteView, links: Mapping[int, Link]) -> set[Key]:
    """The sockets that the site needs on these interfaces."""
    served = {network.interface for network in site.networks6 if network.mode != "off"}
    if None in served:
        return {(None, 0)}
    return {(link.interface, index) for index, link in links.items() if link.interface in served}


def _kind(request: Request6) -> str:
    return dhcp6.MESSAGE_NAMES[request.message.kind]


def describe(outcome: Outcome6) -> str:
    """One outcome as key=value pairs, for log and sightings."""
    if isinstance(outcome, Quiet6):
        return f"answer=none reason={outcome.reason}"
    given = ",".join(map(str, outcome.addresses)) or "none"
    kind = dhcp6.MESSAGE_NAMES[outcome.message.kind]
    return (
        f"answer={kind} network={outcome.place.network.name} address={given} boot={boot.word(outcome.boot)}"
    )
