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
from typing import Final

from pxe_edge.policy import limits
from pxe_edge.policy.boot import LocalDisk, Script, Silence
from pxe_edge.policy.dhcp import Outcome, Quiet, Reply, answer
from pxe_edge.policy.leases import LeaseRow, LeaseTable
from pxe_edge.policy.loaders import Loader
from pxe_edge.policy.networks import Arrival, Link, ServedSite, serve_site
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

Waiting = tuple[socket.socket, Reply, Link, str]
"""An answer that waits for its rows: socket, answer, interface, MAC."""


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
        for network in self._site.networks:
            self._table.upcoming(network, 1, now)  # keeps up with what came free

    async def close(self) -> None:
        """Stop receiving, finish the commits under way, close everything."""
        for key in list(self._sockets):
            asyncio.get_running_loop().remove_reader(self._sockets[key])
        if self._writer is not None:
            await self._writer.close()
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
            self._notes.silent(mac, reason, kind=_kind(packet), detail=_detail(packet, way and way[0]))
            return
        link, unicast = way
        site = self._view.site()
        served = self._site if site is self._site_view else self._follow(site)
        kind = client_kind(packet)
        request = read_boot_request(packet, kind, mac)
        host = find_host(self._view, request)
        arrival = Arrival(link, source, source_port, unicast=unicast)
        outcome: Outcome
        if isinstance(host, Silence):
            outcome = Quiet(host.reason, event=True)
        elif port == PROXY_PORT:
            outcome = answer_proxy(packet, arrival, request, host, served, on_proxy_port=True)
        else:
            outcome = answer(packet, arrival, request, host, served, self._table, now, kind)
            if isinstance(outcome, Quiet) and outcome.reason == "proxy-mode":
                outcome = answer_proxy(packet, arrival, request, host, served, on_proxy_port=False)
        if kind.client != "plain":
            self._sight(request, outcome, now)
        if isinstance(outcome, Quiet):
            self._stay_quiet(packet, request, outcome, link)
        else:
            self._carry_out(sock, packet, request, outcome, link, now)

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

    def _stay_quiet(self, packet: dhcp.Packet, request: BootRequest, outcome: Quiet, link: Link) -> None:
        for row in outcome.rows:
            self._table.put(row)
        stored = tuple(row for row in outcome.rows if row.state != "offered")
        if stored and self._writer is not None:
            self._writer.add(stored, None)
        if outcome.reason == "chose-another-server":
            self._tell_of_another(packet, request, link)
        detail = " ".join(filter(None, (_detail(packet, link), outcome.detail)))
        self._notes.silent(
            request.mac,
            outcome.reason,
            kind=_kind(packet),
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

    def _carry_out(
        self,
        sock: socket.socket,
        packet: dhcp.Packet,
        request: BootRequest,
        reply: Reply,
        link: Link,
        now: float,
    ) -> None:
        kind, mac, table = reply.kind, request.mac, self._table
        name = reply.place.network.name
        if kind == dhcp.OFFER:
            if table.left_unasked(name, mac) > OFFERS_UNASKED:
                self._notes.silent(
                    mac, "offers-not-requested", kind="DISCOVER", network=name, detail=_detail(packet, link),
                    answer="OFFER",
                )  # fmt: skip
        else:
            self._notes.forgotten(mac, "offers-not-requested")
        for row in reply.rows:
            table.put(row)
        if self._notes.may_tell_answer(now):
            log.info(
                "dhcp=%s mac=%s client=%s arch=%s %s %s",
                _kind(packet), mac, request.client, request.arch, _detail(packet, link), describe(reply),
            )  # fmt: skip
        if reply.dropped:
            self._notes.shortened(mac, reply.dropped, len(reply.data))
        answer = (sock, reply, link, mac)
        if kind == dhcp.ACK and reply.rows and self._writer is not None:
            self._writer.add(reply.rows, answer)
        else:
            self._send(answer)

    def _send(self, answer: Waiting) -> None:
        sock, reply, link, _ = answer
        name = dhcp.MESSAGE_NAMES[reply.kind]
        self._count[name] = self._count.get(name, 0) + 1
        self._sender.send(sock, reply.data, reply.target, link, reply.place.server)

    def _not_stored(self, answer: Waiting) -> None:
        _, reply, link, mac = answer
        network = reply.place.network.name
        detail = f"interface={link.interface} address={dotted(reply.yiaddr)}"
        self._notes.silent(mac, "not-stored", kind="REQUEST", network=network, detail=detail, event=True)

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


def describe(outcome: Outcome) -> str:
    """One outcome as key=value pairs, for log and sightings."""
    if isinstance(outcome, Quiet):
        return f"answer=none reason={outcome.reason}"
    match outcome.boot:
        case Loader(file=file):
            boot = f"loader:{file}"
        case Script():
            boot = "script"
        case LocalDisk(reason=reason) | Silence(reason=reason):
            boot = reason
    kind, network, address = (
        dhcp.MESSAGE_NAMES[outcome.kind],
        outcome.place.network.name,
        dotted(outcome.yiaddr),
    )
    return f"answer={kind} network={network} address={address} how={outcome.target.how} boot={boot}"


def _kind(packet: dhcp.Packet) -> str:
    return dhcp.MESSAGE_NAMES.get(packet.message_type or 0, "none")


def _detail(packet: dhcp.Packet, link: Link | None) -> str:
    through = f" giaddr={dotted(packet.giaddr)}" if packet.giaddr else ""
    return f"interface={link.interface if link is not None else 'none'}{through}"
