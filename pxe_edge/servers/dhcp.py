"""The DHCP server's sockets: drain, decide, make durable, send.

One reader call drains up to 64 datagrams (a loop iteration per packet halves the rate, measured).
OFFERs leave at once. ACKs wait for their lease rows: a single writer takes everything that has
gathered, commits it in one transaction in a thread, and then sends; what gathers meanwhile is the
next group. So idle costs one commit per ACK, and a boot storm one per some thirty.

With every served network on an interface of its own there is a socket per interface; a network that
is reached through relays only needs one socket on all interfaces, because a relay's unicast may come
in by any.
"""

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from typing import Final

from pxe_edge.policy import limits
from pxe_edge.policy.boot import LocalDisk, Script, Silence
from pxe_edge.policy.dhcp import Outcome, Quiet, Reply, answer
from pxe_edge.policy.leases import LeaseRow, LeaseTable
from pxe_edge.policy.loaders import Loader
from pxe_edge.policy.networks import Arrival, Link, find_place
from pxe_edge.policy.proxy import PROXY_PORT, answer_proxy
from pxe_edge.policy.replies import MANDATORY, SERVER_PORT
from pxe_edge.policy.requests import BootRequest, read_boot_request
from pxe_edge.policy.views import SiteView
from pxe_edge.servers import udp
from pxe_edge.servers.errors import NoInterface
from pxe_edge.servers.hosts import find_host
from pxe_edge.servers.links import read_links
from pxe_edge.servers.notes import Notes
from pxe_edge.servers.ports import LeaseStore, View
from pxe_edge.servers.senders import ReplySender
from pxe_edge.wire import dhcp
from pxe_edge.wire.errors import WireError

DRAIN: Final = 64
MAX_WAITING: Final = 8192
"""Replies that wait for their commit; beyond it packets are dropped and the clients ask again."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A reply whose lease rows are not durable yet; `send` is None for a row without reply."""

    rows: tuple[LeaseRow, ...]
    send: Callable[[], None] | None


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
        self._links: dict[int, Link] = {}
        self._own: frozenset[IPv4Address] = frozenset()
        self._sockets: dict[tuple[str | None, int], socket.socket] = {}
        self._waited: set[str] = set()
        self._sender = ReplySender()
        self._table = LeaseTable()
        self._macs = limits.RateLimit(limits.MAC_PACKETS_PER_S)
        self._relays = limits.RateLimit(limits.RELAY_PACKETS_PER_S)
        self._pending: list[_Waiting] = []
        self._wake = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="lease-writer")

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
        rows = await loop.run_in_executor(self._executor, self._store.load)
        self._table = LeaseTable(rows)
        self._writer = loop.create_task(self._write(), name="lease-writer")
        self.sync()
        log.info("dhcp=started leases=%d sockets=%d", len(rows), len(self._sockets))

    def sync(self) -> None:
        """Open and close sockets as site and interfaces ask for; raises StartError for a taken port."""
        self._refresh_links()
        wanted = wanted_sockets(self._view.site(), self._port)
        for key in self._sockets.keys() - wanted:
            self._close(key)
        for interface, port in sorted(wanted - self._sockets.keys(), key=str):
            self._open(interface, port)

    async def close(self) -> None:
        """Stop receiving, finish the commits under way, close everything."""
        for key in list(self._sockets):
            asyncio.get_running_loop().remove_reader(self._sockets[key])
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
        await self._commit()
        for key in list(self._sockets):
            self._sockets.pop(key).close()
        self._sender.close()
        self._executor.shutdown()

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
        try:
            self._links = self._read_links()
        except OSError as error:
            log.warning("links=unread reason=%r", error.strerror or str(error))
            return
        self._own = frozenset(a.ip for link in self._links.values() for a in link.addresses)

    def _readable(self, sock: socket.socket, port: int) -> None:
        for _ in range(DRAIN):
            datagram = udp.receive(sock)
            if datagram is None:
                return
            try:
                self._handle(sock, port, datagram)
            except Exception:
                # One packet must never end the server; what it was is in the log.
                log.exception("dhcp=failed from=%s data=%s", datagram.source, datagram.data[:600].hex())

    def _handle(self, sock: socket.socket, port: int, datagram: udp.Datagram) -> None:
        try:
            packet = dhcp.decode(datagram.data)
        except WireError as error:
            log.info("dhcp=ignored from=%s reason=%r", datagram.source, str(error))
            return
        link = self._link(datagram.index)
        if link is None or len(self._pending) >= MAX_WAITING:
            log.warning("dhcp=dropped from=%s reason=%s", datagram.source, "overload" if link else "no-link")
            return
        now = self._clock()
        request = read_boot_request(packet)
        relayed = bool(int(packet.giaddr))
        if not self._macs.allows(request.mac, now) or (
            relayed and not self._relays.allows(packet.giaddr, now)
        ):
            self._notes.silent(request.mac, "rate-limited", kind=_kind(packet), detail=_way(packet, link))
            return
        arrival = Arrival(
            link=link,
            source=datagram.source,
            source_port=datagram.source_port,
            unicast=datagram.target in self._own,
            own_addresses=self._own,
        )
        outcome = self._decide(packet, arrival, request, now, port)
        if request.boots:
            self._view.sighting(self._placed(packet, arrival, request, outcome), describe(outcome))
        self._carry_out(sock, packet, request, outcome, link)

    def _placed(
        self, packet: dhcp.Packet, arrival: Arrival, request: BootRequest, outcome: Outcome
    ) -> BootRequest:
        place = (
            outcome.place if isinstance(outcome, Reply) else find_place(packet, arrival, self._view.site())
        )
        return request if isinstance(place, Silence) else replace(request, network=place.network.name)

    def _decide(
        self, packet: dhcp.Packet, arrival: Arrival, request: BootRequest, now: float, port: int
    ) -> Outcome:
        site = self._view.site()
        host = find_host(self._view, request)
        if isinstance(host, Silence):
            return Quiet(host.reason, event=True)
        if port == PROXY_PORT:
            return answer_proxy(packet, arrival, request, host, site, on_proxy_port=True)
        outcome = answer(packet, arrival, request, host, site, self._table, now)
        if isinstance(outcome, Quiet) and outcome.reason == "proxy-mode":
            return answer_proxy(packet, arrival, request, host, site, on_proxy_port=False)
        return outcome

    def _carry_out(
        self, sock: socket.socket, packet: dhcp.Packet, request: BootRequest, outcome: Outcome, link: Link
    ) -> None:
        for row in outcome.rows:
            self._table.put(row)
        stored = tuple(row for row in outcome.rows if row.state != "offered")
        if isinstance(outcome, Quiet):
            self._notes.silent(
                request.mac,
                outcome.reason,
                kind=_kind(packet),
                detail=_way(packet, link),
                event=outcome.event,
            )
        else:
            log.info(
                "dhcp=%s mac=%s client=%s arch=%s %s %s",
                _kind(packet), request.mac, request.client, request.arch, _way(packet, link),
                describe(outcome),
            )  # fmt: skip
        send = self._prepare(sock, outcome, link) if isinstance(outcome, Reply) else None
        if stored:
            self._pending.append(_Waiting(stored, send))
            self._wake.set()
        elif send is not None:
            send()

    def _prepare(self, sock: socket.socket, reply: Reply, link: Link) -> Callable[[], None]:
        encoded = dhcp.encode(reply.packet, reply.max_bytes, MANDATORY)
        if encoded.dropped:
            log.warning("dhcp=shortened options=%s max_bytes=%d", encoded.dropped, reply.max_bytes)
        data, target, source = encoded.data, reply.target, reply.place.server
        return lambda: self._sender.send(sock, data, target, link, source)

    def _link(self, index: int) -> Link | None:
        link = self._links.get(index)
        if link is None or not link.addresses:
            self._refresh_links()
            link = self._links.get(index)
        return link

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._commit()

    async def _commit(self) -> None:
        group, self._pending = self._pending, []
        if not group:
            return
        rows = _newest(group)
        try:
            await asyncio.get_running_loop().run_in_executor(self._executor, self._store.commit, rows)
        except Exception:
            # Not durable, so not acknowledged (RFC 2131 section 4.3.1); the clients ask again.
            log.exception("leases=uncommitted rows=%d effect='no ACK is sent'", len(rows))
            return
        for waiting in group:
            if waiting.send is not None:
                waiting.send()


def wanted_sockets(site: SiteView, port: int = SERVER_PORT) -> set[tuple[str | None, int]]:
    """(interface, port) of each socket that the site needs; interface None is all of them."""
    served = [network for network in site.networks if network.mode != "off"]
    interfaces: set[str | None] = {network.interface for network in served}
    if None in interfaces:
        interfaces = {None}
    ports = {port} | ({PROXY_PORT} if any(network.mode == "proxy" for network in served) else set())
    return {(interface, each) for interface in interfaces for each in ports}


def _kind(packet: dhcp.Packet) -> str:
    return dhcp.MESSAGE_NAMES.get(packet.message_type or 0, "none")


def _way(packet: dhcp.Packet, link: Link) -> str:
    return f"interface={link.interface} giaddr={packet.giaddr}"


def describe(outcome: Outcome) -> str:
    """One outcome as key=value pairs, for log and sightings."""
    if isinstance(outcome, Quiet):
        return f"answer=none reason={outcome.reason}"
    packet = outcome.packet
    kind = dhcp.MESSAGE_NAMES.get(packet.message_type or 0, "none")
    match outcome.boot:
        case Loader(file=file):
            boot = f"loader:{file}"
        case Script():
            boot = "script"
        case LocalDisk(reason=reason) | Silence(reason=reason):
            boot = reason
    how = outcome.target.how
    return f"answer={kind} network={outcome.place.network.name} address={packet.yiaddr} how={how} boot={boot}"


def _newest(group: Sequence[_Waiting]) -> tuple[LeaseRow, ...]:
    # Several rows of one address in one group: the last one is the truth.
    return tuple({row.address: row for waiting in group for row in waiting.rows}.values())
