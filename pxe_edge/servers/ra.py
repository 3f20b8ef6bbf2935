"""Router advertisements on the provisioning link: iPXE holds its boot 10-13 s without one (measured).

Solicitations are answered at once, and one advertisement goes to all nodes every few seconds, because
a solicitation sent while the link comes up may be lost. IPv6 may be off on a host: said once, and
the edge goes on without.
"""

import asyncio
import logging
import socket
import struct
from dataclasses import dataclass
from ipaddress import IPv6Network
from typing import Final

from pxe_edge.policy.networks import Link
from pxe_edge.wire.icmpv6 import is_router_solicitation, router_advertisement

EVERY_S: Final = 10.0
_ALL_NODES: Final = "ff02::1"
_ALL_ROUTERS: Final = "ff02::2"
_ICMP6_FILTER: Final = 1
_HOP_LIMIT: Final = 255
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Advertised:
    """An interface and what is said on it."""

    link: Link
    managed: bool = False
    """Addresses come from DHCPv6."""
    prefixes: tuple[IPv6Network, ...] = ()
    """What is on the link."""
    mtu: int | None = None
    """Where the Site says another one than the interface has."""


class RouterAdvertiser:
    """Sends advertisements on a changing set of interfaces."""

    def __init__(self) -> None:
        self._sockets: dict[str, tuple[socket.socket, Advertised]] = {}
        self._failed: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None

    def sync(self, wanted: dict[str, Advertised]) -> None:
        """Advertise on exactly these interfaces, by name."""
        for name in list(self._sockets):
            if wanted.get(name) != self._sockets[name][1]:
                self._drop(name)
        for name, advertised in wanted.items():
            if name not in self._sockets:
                self._add(name, advertised)
        if self._timer is None and self._sockets:
            self._tick()

    def close(self) -> None:
        """Stop on all interfaces."""
        if self._timer is not None:
            self._timer.cancel()
        for name in list(self._sockets):
            self._drop(name)

    def _add(self, name: str, advertised: Advertised) -> None:
        try:
            sock = _open(advertised.link)
        except OSError as error:
            if name not in self._failed:
                log.warning(
                    "ra=off interface=%s reason=%r effect='iPXE waits 10 s more'", name, error.strerror
                )
            self._failed.add(name)
            return
        self._failed.discard(name)
        self._sockets[name] = (sock, advertised)
        asyncio.get_running_loop().add_reader(sock, self._readable, name)
        log.info("ra=on interface=%s", name)
        self._send(name, _ALL_NODES)

    def _drop(self, name: str) -> None:
        sock, _ = self._sockets.pop(name)
        asyncio.get_running_loop().remove_reader(sock)
        sock.close()

    def _readable(self, name: str) -> None:
        sock, _ = self._sockets[name]
        try:
            data, source = sock.recvfrom(1500)
        except OSError:
            return
        if is_router_solicitation(data):
            # A solicitation from :: has no address to answer to (RFC 4861 section 6.2.6).
            target = _ALL_NODES if source[0] == "::" else source[0].partition("%")[0]
            self._send(name, target)
            log.info("ra=answered interface=%s client=%s", name, source[0])

    def _send(self, name: str, target: str) -> None:
        sock, said = self._sockets[name]
        link = said.link
        data = router_advertisement(
            mac=link.mac, mtu=said.mtu or link.mtu, managed=said.managed, prefixes=said.prefixes
        )
        try:
            sock.sendto(data, (target, 0, 0, link.index))
        except OSError as error:  # no link-local address yet, or the link is down: the next tick tries again
            log.debug("ra=unsent interface=%s reason=%r", name, error.strerror)

    def _tick(self) -> None:
        for name in self._sockets:
            self._send(name, _ALL_NODES)
        self._timer = asyncio.get_running_loop().call_later(EVERY_S, self._tick)


def _open(link: Link) -> socket.socket:
    sock = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, link.interface.encode() + b"\0")
        # The filter is a bit per type that is NOT wanted; only router solicitations pass.
        wanted = [0xFFFFFFFF] * 8
        wanted[133 >> 5] &= ~(1 << (133 & 31)) & 0xFFFFFFFF
        sock.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, struct.pack("=8I", *wanted))
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, _HOP_LIMIT)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, _HOP_LIMIT)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, link.index)
        group = socket.inet_pton(socket.AF_INET6, _ALL_ROUTERS) + struct.pack("=I", link.index)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
    except OSError:
        sock.close()
        raise
    return sock
