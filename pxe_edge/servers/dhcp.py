"""The DHCP server's sockets: drain, decide, make durable, send.

One reader call drains up to 64 datagrams (a loop iteration per packet halves the rate, measured).
OFFERs leave at once. ACKs wait for their lease rows, which a thread makes durable in groups
(`lease_writer`). Nothing in the path of a packet asks the database, builds an address object or writes
a log line per packet: silences are noted and told once a minute (`notes`), answers are told as far as
`notes` has lines left in this second.

With every served network on an interface of its own there is a socket per interface; a network that
is reached through relays only needs one socket on all interfaces, because a relay's unicast may come
in by any.
"""

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from pxe_edge.policy import limits
from pxe_edge.policy.boot import Silence
from pxe_edge.policy.dhcp import Outcome, Quiet, Reply, answer
from pxe_edge.policy.leases import QUARANTINE_S, LeaseRow, LeaseTable
from pxe_edge.policy.networks import Arrival, Link, ServedSite, serve_site
from pxe_edge.policy.probes import AHEAD
from pxe_edge.policy.proxy import PROXY_PORT, answer_proxy
from pxe_edge.policy.replies import SERVER_PORT
from pxe_edge.policy.requests import BootRequest, client_kind, hardware_key, read_boot_request
from pxe_edge.policy.views import SiteView
from pxe_edge.servers import udp
from pxe_edge.servers.errors import NoInterface
from pxe_edge.servers.hosts import find_host
from pxe_edge.servers.lease_writer import LeaseWriter
from pxe_edge.servers.links import read_links
from pxe_edge.servers.notes import Notes
from pxe_edge.servers.ports import LeaseStore, View
from pxe_edge.servers.prober import Prober
from pxe_edge.servers.received import Received, Waiting, describe, detail_of, kind_of
from pxe_edge.servers.senders import ReplySender
from pxe_edge.wire import dhcp
from pxe_edge.wire import options as opt
from pxe_edge.wire.errors import WireError
from pxe_edge.wire.options import dotted

DRAIN: Final = 64
MAX_SIGHTED: Final = 1024
"""Sightings handed on in a second; a machine that boots asks again in the next."""
OFFERS_UNASKED: Final = 2
"""Offers in a row after which a client that asks for another one is told of."""
_MAX_WAYS: Final = 1024
_LINKS_EVERY_S: Final = 1.0
log = logging.getLogger(__name__)


class DhcpServer:
    """DHCP on all networks of the site; `sync` follows changes of site and interfaces."""

    def __init__(
        self,
        view: View,
        store: LeaseStore,
        *,
        port: int = SERVER_PORT,
        clock: Callable[[], float] = time.time,
        links: Callable[[], dict[int, Link]] = read_links,
        notes: Notes | None = None,
    ) -> None:
        self._view = view
        self._store = store
        self._port = port
        self._clock = clock
        self._read_links = links
        self._notes = notes if notes is not None else Notes(clock)
        self._count = self._notes.count
        self._links: dict[int, Link] = {}
        self._links_at = 0.0
        self._own: frozenset[int] = frozenset()
        self._site_view: SiteView | None = None
        self._site = ServedSite(SiteView(name=""), ())
        self._ways: dict[bytes, tuple[Link, bool]] = {}
        self._sockets: dict[tuple[str | None, int], socket.socket] = {}
        self._waited: set[str] = set()
        self._sender = ReplySender()
        self._prober = Prober(clock)
        self._table = LeaseTable()
        self._macs = limits.RateLimit(limits.MAC_PACKETS_PER_S)
        self._relays = limits.RateLimit(limits.RELAY_PACKETS_PER_S)
        self._seen: set[tuple[str, str]] = set()
        self._seen_until = 0.0
        self._writer: LeaseWriter[LeaseRow, Waiting] | None = None

    @property
    def table(self) -> LeaseTable:
        """The leases in memory."""
        return self._table

    @property
    def links(self) -> dict[int, Link]:
        """The interfaces as last seen."""
        return self._links

    async def start(self) -> None:
        """Load the leases and open the sockets; raises StartError."""
        loop = asyncio.get_running_loop()
        rows = await loop.run_in_executor(None, self._store.load)
        self._table = LeaseTable(rows)
        self._writer = LeaseWriter(self._store, self._send, self._not_stored)
        self.sync()
        log.info("dhcp=started leases=%d sockets=%d", len(rows), len(self._sockets))

    def sync(self) -> None:
        """Follow site and interfaces, open and close sockets, forget old offers; StartError: port taken."""
        self._refresh_links()
        self._follow(self._view.site())
        wanted = wanted_sockets(self._site.view, self._port)
        for key in self._sockets.keys() - wanted:
            self._close(key)
        for interface, port in sorted(wanted - self._sockets.keys(), key=str):
            self._open(interface, port)
        now = self._clock()
        self._table.forget_offers(now)
        self._prober.sync(self._site.networks, self._links.values())
        for network in self._site.networks:
            ahead = self._table.upcoming(network, AHEAD, now)  # keeps up with what came free
            link = next(
                (one for one in self._links.values() if one.interface == network.view.interface), None
            )
            if network.is_probed and link is not None:
                self._prober.ask_ahead(link, ahead)

    async def close(self) -> None:
        """Stop receiving, finish the commits under way, close everything."""
        for key in list(self._sockets):
            asyncio.get_running_loop().remove_reader(self._sockets[key])
        if self._writer is not None:
            await self._writer.close()
        self._prober.close()
        for key in list(self._sockets):
            self._sockets.pop(key).close()
        self._sender.close()

    def _open(self, interface: str | None, port: int) -> None:
        try:
            sock = udp.open_udp("UDP", port, interface)
        except NoInterface as error:
            if interface is not None and interface not in self._waited:
                log.warning("dhcp=waiting interface=%s reason=%r", interface, str(error))
                self._waited.add(interface)
            return
        self._sockets[interface, port] = sock
        asyncio.get_running_loop().add_reader(sock, self._readable, sock, port)
        log.info("dhcp=listening interface=%s port=%d", interface or "all", port)

    def _close(self, key: tuple[str | None, int]) -> None:
        sock = self._sockets.pop(key)
        asyncio.get_running_loop().remove_reader(sock)
        sock.close()

    def _refresh_links(self) -> None:
        self._links_at = self._clock()
        try:
            links = self._read_links()
        except OSError as error:
            log.warning("links=unread reason=%r", error.strerror or str(error))
            return
        if links == self._links:
            return
        self._links = links
        self._own = frozenset(int(a.ip) for link in links.values() for a in link.addresses)
        self._ways.clear()
        self._sender.links_changed()
        if self._site_view is not None:
            self._site = serve_site(self._site_view, self._own)

    def _follow(self, site: SiteView) -> ServedSite:
        # A new Site is taken up between two packets; leases are not touched by it.
        if site != self._site_view:
            self._site = serve_site(site, self._own)
        self._site_view = site
        return self._site

    def _readable(self, sock: socket.socket, port: int) -> None:
        for _ in range(DRAIN):
            datagram = udp.receive(sock)
            if datagram is None:
                return
            try:
                self._handle(sock, port, datagram)
            except Exception:
                # One packet must never end the server; what it was is in the log.
                log.exception("dhcp=failed from=%s data=%s", datagram[3], datagram[0][:600].hex())

    def _handle(self, sock: socket.socket, port: int, datagram: udp.Datagram) -> None:
        data, ancillary, flags, (source, source_port) = datagram
        try:
            packet = dhcp.decode(data)
        except WireError as error:
            self._notes.silent(source, "damaged", kind="none", detail=f"says={str(error)!r}")
            return
        info = ancillary[0][2] if ancillary else b""  # IP_PKTINFO is all that these sockets ask for
        way = self._ways.get(info) or self._way(info)
        now = self._clock()
        mac = hardware_key(packet)
        reason = self._refusal(way, flags, mac, packet.giaddr, now)
        if reason or way is None:
            self._notes.silent(mac, reason, kind=kind_of(packet), detail=detail_of(packet, way and way[0]))
            return
        link, unicast = way
        self._serve(
            Received(sock, port, packet, mac, Arrival(link, source, source_port, unicast=unicast)), now
        )

    def _serve(self, received: Received, now: float) -> None:
        packet, arrival = received.packet, received.arrival
        site = self._view.site()
        served = self._site if site is self._site_view else self._follow(site)
        kind = client_kind(packet)
        request = read_boot_request(packet, kind, received.mac)
        host = find_host(self._view, request)
        outcome: Outcome
        if isinstance(host, Silence):
            outcome = Quiet(host.reason, event=True)
        elif received.port == PROXY_PORT:
            outcome = answer_proxy(packet, arrival, request, host, served, on_proxy_port=True)
        else:
            outcome = answer(packet, arrival, request, host, served, self._table, now, kind)
            if isinstance(outcome, Quiet) and outcome.reason == "proxy-mode":
                outcome = answer_proxy(packet, arrival, request, host, served, on_proxy_port=False)
        if kind.client != "plain":
            self._sight(request, outcome, now)
        if isinstance(outcome, Quiet):
            self._stay_quiet(received, request, outcome)
        else:
            self._carry_out(received, request, outcome, now)

    def _refusal(self, way: tuple[Link, bool] | None, flags: int, mac: str, giaddr: int, now: float) -> str:
        # Why a packet is not even looked at; empty when it is.
        if way is None:
            return "no-link"
        if flags & udp.MSG_TRUNC:
            return "damaged"
        if not self._macs.allows(mac, now) or (giaddr and not self._relays.allows(giaddr, now)):
            return "rate-limited"
        return "overload" if self._writer is None or self._writer.is_full else ""

    def _sight(self, request: BootRequest, outcome: Outcome, now: float) -> None:
        # The first request of each machine and kind of client in a second is a sighting.
        if not self._seen_until > now >= self._seen_until - 1.0:
            self._seen.clear()
            self._seen_until = now + 1.0
        key = (request.mac, request.client)
        if key not in self._seen and len(self._seen) < MAX_SIGHTED:
            self._seen.add(key)
            self._view.sighting(request, describe(outcome))

    def _stay_quiet(self, received: Received, request: BootRequest, outcome: Quiet) -> None:
        packet, link = received.packet, received.arrival.link
        for row in outcome.rows:
            self._table.put(row)
        stored = tuple(row for row in outcome.rows if row.state != "offered")
        if stored and self._writer is not None:
            self._writer.add(stored, None)
        if outcome.reason == "chose-another-server":
            self._tell_of_another(packet, request, link)
        detail = " ".join(filter(None, (detail_of(packet, link), outcome.detail)))
        self._notes.silent(
            request.mac,
            outcome.reason,
            kind=kind_of(packet),
            network=request.network,
            detail=detail,
            event=outcome.event,
        )

    def _tell_of_another(self, packet: dhcp.Packet, request: BootRequest, link: Link) -> None:
        # The client names the server that it took; its MAC is known only when it is heard (`foreign`).
        server = packet.address_option(opt.SERVER_ID)
        if server is not None and server not in self._own:
            self._notes.foreign(
                dotted(server),
                mac=None,
                interface=link.interface,
                network=request.network,
                expected=False,
                seen_as="REQUEST",
            )

    def _carry_out(self, received: Received, request: BootRequest, reply: Reply, now: float) -> None:
        kind, mac, table, link = reply.kind, request.mac, self._table, received.arrival.link
        if kind == dhcp.OFFER:
            self._count_offer(received, reply.place.network.name)
        else:
            self._notes.forgotten(mac, "offers-not-requested")
        for row in reply.rows:
            table.put(row)
        if self._notes.may_tell_answer(now):
            log.info(
                "dhcp=%s mac=%s client=%s arch=%s %s %s",
                kind_of(received.packet), mac, request.client, request.arch,
                detail_of(received.packet, link), describe(reply),
            )  # fmt: skip
        if reply.dropped:
            self._notes.shortened(mac, reply.dropped, len(reply.data))
        answer = (received, reply)
        if not reply.rows:
            self._send(answer)
        elif kind == dhcp.ACK and self._writer is not None:
            self._writer.add(reply.rows, answer)
        elif self._is_clear(received, reply, now):
            self._send(answer)
        else:
            self._prober.hold(link, reply.yiaddr, partial(self._probed, answer))

    def _count_offer(self, received: Received, network: str) -> None:
        if self._table.left_unasked(network, received.mac) > OFFERS_UNASKED:
            detail = detail_of(received.packet, received.arrival.link)
            self._notes.silent(
                received.mac, "offers-not-requested", kind="DISCOVER", network=network, detail=detail,
                answer="OFFER",
            )  # fmt: skip

    def _is_clear(self, received: Received, reply: Reply, now: float) -> bool:
        # Whether an offer may leave unprobed: we are not on its link, or have asked there, or the client had
        # the address before.
        network, link = reply.place.network, received.arrival.link
        if not network.is_probed or network.view.interface != link.interface:
            return True
        before = self._table.binding(network.name, received.mac)
        if before is not None and before.address == reply.yiaddr:
            return True
        return self._prober.is_clear(link, reply.yiaddr, now)

    def _probed(self, answer: Waiting, holder: bytes | None) -> None:
        # The offer goes, or somebody has the address: then it is left alone and another one is looked for.
        received, reply = answer
        if holder is None or holder == received.packet.chaddr:
            self._send(answer)
            return
        network, link, now = reply.place.network.name, received.arrival.link, self._clock()
        mac = holder.hex(":")
        row = LeaseRow(reply.yiaddr, mac, network, "declined", now + QUARANTINE_S)
        self._table.put(row)
        if self._writer is not None:
            self._writer.add((row,), None)
        detail = f"interface={link.interface} address={dotted(reply.yiaddr)}"
        self._notes.silent(mac, "address-in-use", kind="ARP", network=network, detail=detail, event=True)
        self._serve(received, now)

    def _send(self, answer: Waiting) -> None:
        received, reply = answer
        name = dhcp.MESSAGE_NAMES[reply.kind]
        self._count[name] = self._count.get(name, 0) + 1
        self._sender.send(received.sock, reply.data, reply.target, received.arrival.link, reply.place.server)

    def _not_stored(self, answer: Waiting) -> None:
        received, reply = answer
        network = reply.place.network.name
        detail = f"interface={received.arrival.link.interface} address={dotted(reply.yiaddr)}"
        self._notes.silent(
            received.mac, "not-stored", kind="REQUEST", network=network, detail=detail, event=True
        )

    def _way(self, info: bytes) -> tuple[Link, bool] | None:
        # Interface, and whether it was sent to an address of ours; None when the interface is gone.
        if len(info) != udp.PKTINFO.size:
            return None
        index, _, target = udp.PKTINFO.unpack(info)
        link = self._links.get(index)
        if (link is None or not link.addresses) and self._clock() - self._links_at >= _LINKS_EVERY_S:
            self._refresh_links()
            link = self._links.get(index)
        if link is None:
            return None
        if len(self._ways) >= _MAX_WAYS:
            self._ways.clear()
        way = self._ways[info] = (link, int.from_bytes(target, "big") in self._own)
        return way


def wanted_sockets(site: SiteView, port: int = SERVER_PORT) -> set[tuple[str | None, int]]:
    """(interface, port) of each socket that the site needs; interface None is all of them."""
    served = [network for network in site.networks if network.mode != "off"]
    interfaces: set[str | None] = {network.interface for network in served}
    if None in interfaces:
        interfaces = {None}
    ports = {port} | ({PROXY_PORT} if any(network.mode == "proxy" for network in served) else set())
    return {(interface, each) for interface in interfaces for each in ports}
