"""Listens for DHCP servers that are not ours, on the links that the edge serves.

A forgotten server on a provisioning link takes every other machine away, and nothing in the edge's own
traffic shows it. Its broadcast answers reach us all the same: a packet socket with a filter in the
kernel takes just what goes from port 67 to port 68, and not what we send ourselves, so that it costs
nothing while there is none. It needs no port, which a DHCP client on this host may hold.
"""

import asyncio
import logging
import socket
from typing import Final

from pxe_edge.policy.networks import Link
from pxe_edge.policy.views import NetworkView, SiteView
from pxe_edge.servers import filters
from pxe_edge.servers.notes import Notes
from pxe_edge.wire import dhcp
from pxe_edge.wire.errors import WireError
from pxe_edge.wire.frames import ETHERTYPE_IPV4, decode_frame
from pxe_edge.wire.options import SERVER_ID, dotted

FRAMES_PER_S: Final = 200
"""More than this in a second is a flood: the rest of it is not read."""
_MAX_FRAME_BYTES: Final = 2048
_REPLIES: Final[filters.Program] = (
    (0x20, 0, 0, filters.KIND_OF_PACKET),
    (0x15, 11, 0, filters.OUTGOING),  # our own
    (0x28, 0, 0, 12),
    (0x15, 0, 9, ETHERTYPE_IPV4),
    (0x30, 0, 0, 23),
    (0x15, 0, 7, 17),  # UDP
    (0x28, 0, 0, 20),
    (0x45, 5, 0, 0x1FFF),  # a later fragment has no ports
    (0xB1, 0, 0, 14),  # X = length of the IP header
    (0x48, 0, 0, 14),
    (0x15, 0, 2, 67),
    (0x48, 0, 0, 16),
    (0x15, 1, 0, 68),
    (0x06, 0, 0, 0),
    (0x06, 0, 0, _MAX_FRAME_BYTES),
)
log = logging.getLogger(__name__)


class ForeignServers:
    """One filtered packet socket per served link."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._sockets: dict[str, socket.socket] = {}
        self._networks: dict[str, NetworkView] = {}
        self._ours: frozenset[int] = frozenset()
        self._left = FRAMES_PER_S
        self._may = True

    def sync(self, site: SiteView, links: dict[int, Link]) -> None:
        """Follow site and interfaces; called every few seconds, which also ends a flood's pause."""
        names = {link.interface for link in links.values()}
        served = [n for n in site.networks if n.interface in names and n.mode != "off"]
        self._networks = {str(network.interface): network for network in served}
        own = {int(a.ip) for link in links.values() for a in link.addresses}
        self._ours = frozenset(own.union(map(int, site.server_addresses.values())))
        self._left = FRAMES_PER_S
        for name in self._sockets.keys() - self._networks.keys():
            self._close(name)
        for name in self._networks.keys() - self._sockets.keys():
            self._open(name)
        for name, sock in self._sockets.items():
            asyncio.get_running_loop().add_reader(sock, self._readable, sock, name)

    def close(self) -> None:
        """Stop listening."""
        for name in list(self._sockets):
            self._close(name)

    def _open(self, name: str) -> None:
        if not self._may:
            return
        try:
            sock = filters.listen(name, ETHERTYPE_IPV4, _REPLIES)
        except PermissionError:
            self._may = False
            log.warning("foreign-servers=off reason='no CAP_NET_RAW' effect='another server is not noticed'")
            return
        except OSError as error:  # the interface goes away just now
            log.info("foreign-servers=not-here interface=%s reason=%r", name, error.strerror)
            return
        self._sockets[name] = sock

    def _close(self, name: str) -> None:
        sock = self._sockets.pop(name)
        asyncio.get_running_loop().remove_reader(sock)
        sock.close()

    def _readable(self, sock: socket.socket, name: str) -> None:
        while self._left > 0:
            try:
                data = sock.recv(_MAX_FRAME_BYTES)
            except BlockingIOError:
                return
            except OSError:  # the interface is gone; `sync` closes the socket
                break
            self._left -= 1
            self._hear(data, name)
        asyncio.get_running_loop().remove_reader(sock)

    def _hear(self, data: bytes, name: str) -> None:
        try:
            frame = decode_frame(data)
            packet = dhcp.decode(frame.payload)
        except WireError:
            return
        server = packet.address_option(SERVER_ID) or int(frame.source)
        said = dhcp.MESSAGE_NAMES.get(packet.message_type or 0)
        if packet.op != dhcp.BOOTREPLY or said is None or server in self._ours:
            return
        network = self._networks[name]
        self._notes.foreign(
            dotted(server),
            mac=frame.source_mac.hex(":"),
            interface=name,
            network=network.name,
            expected=network.mode == "proxy",
            seen_as=said,
        )
