"""Asks by ARP whether somebody has an address before it is offered to a new client, and holds nobody up.

The next addresses of each network are asked for ahead, so an offer usually finds its answer there and
leaves at once. In a rush it waits a fifth of a second, in the loop's timers and not in the loop; when as
many wait as are held, the next ones leave without: a client probes for itself before it takes an address
(RFC 2131 section 4.4.1). Networks behind relays are no link of ours, and are left to that.
"""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Iterable
from typing import Final

from pxe_edge.policy.networks import Link, ServedNetwork
from pxe_edge.policy.probes import WAIT_S, Probes
from pxe_edge.servers import filters
from pxe_edge.wire import arp
from pxe_edge.wire.errors import WireError
from pxe_edge.wire.options import dotted

MAX_HELD: Final = 256
_DRAIN: Final = 64
_GONE: Final = frozenset({errno.ENODEV, errno.ENXIO})
_FRAME_BYTES: Final = 128
_ANSWERS: Final[filters.Program] = (
    (0x20, 0, 0, filters.KIND_OF_PACKET),
    (0x15, 0, 5, filters.TO_US),
    (0x28, 0, 0, 12),
    (0x15, 0, 3, arp.ETHERTYPE_ARP),
    (0x28, 0, 0, 20),
    (0x15, 0, 1, arp.REPLY),
    (0x06, 0, 0, _FRAME_BYTES),
    (0x06, 0, 0, 0),
)
log = logging.getLogger(__name__)

Then = Callable[[bytes | None], None]
"""Called with the MAC that has the address, or None."""


class Prober:
    """One filtered packet socket per link, and the offers that wait for an answer."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._probes = Probes()
        self._sockets: dict[str, socket.socket] = {}
        self._held: dict[int, Then] = {}
        self._told: set[bytes] = set()
        self._may = True
        self.unprobed = 0
        """Offers that left without a probe, because too many waited."""

    def sync(self, networks: Iterable[ServedNetwork], links: Iterable[Link]) -> None:
        """Follow site and interfaces."""
        there = {link.interface for link in links}
        wanted = {str(n.view.interface) for n in networks if n.is_probed and n.view.interface in there}
        for name in self._sockets.keys() - wanted:
            self._close(name)
        for name in wanted - self._sockets.keys():
            self._open(name)

    def ask_ahead(self, link: Link, addresses: Iterable[int]) -> None:
        """Probe the addresses that new clients get next, those that were not probed lately."""
        for address in self._probes.due(addresses, self._clock()):
            self._ask(link, address)

    def is_clear(self, link: Link, address: int, now: float) -> bool:
        """Whether an offer of this address may leave at once."""
        if link.interface not in self._sockets:
            return True
        if self._probes.is_clear(address, now):
            return True
        if len(self._held) < MAX_HELD or address in self._held:
            return False
        self.unprobed += 1
        return True

    def hold(self, link: Link, address: int, then: Then) -> None:
        """Ask for the address; `then` is called within WAIT_S. Of two who wait for one the later counts."""
        loop = asyncio.get_running_loop()
        waits = address in self._held
        self._held[address] = then
        if waits:
            return
        if self._probes.holder(address) is not None:
            loop.call_soon(self._go_on, address)
            return
        self._ask(link, address)
        loop.call_later(WAIT_S, self._go_on, address)

    def close(self) -> None:
        """Stop listening; who waits is forgotten and asks again."""
        self._held.clear()
        for name in list(self._sockets):
            self._close(name)

    def _go_on(self, address: int) -> None:
        then = self._held.pop(address, None)
        if then is not None:
            then(self._probes.holder(address))

    def _ask(self, link: Link, address: int) -> None:
        sock = self._sockets.get(link.interface)
        if sock is None or len(link.mac) != 6:
            return
        try:
            sock.send(arp.probe(link.mac, address))
        except OSError as error:  # it counts as not asked: the queue is full, or the interface is going down
            if error.errno in _GONE:  # another of its name may come; `sync` opens a socket there
                self._close(link.interface)
            return
        self._probes.sent(address, self._clock())

    def _open(self, name: str) -> None:
        if not self._may:
            return
        try:
            sock = filters.listen(name, arp.ETHERTYPE_ARP, _ANSWERS)
        except PermissionError:
            self._may = False
            log.warning("probe=off reason='no CAP_NET_RAW' effect='addresses are offered unprobed'")
            return
        except OSError as error:  # the interface goes away just now
            log.info("probe=not-here interface=%s reason=%r", name, error.strerror)
            return
        self._sockets[name] = sock
        asyncio.get_running_loop().add_reader(sock, self._readable, sock, name)

    def _close(self, name: str) -> None:
        sock = self._sockets.pop(name)
        asyncio.get_running_loop().remove_reader(sock)
        sock.close()

    def _readable(self, sock: socket.socket, name: str) -> None:
        for _ in range(_DRAIN):
            try:
                heard = arp.decode(sock.recv(_FRAME_BYTES))
            except (BlockingIOError, InterruptedError):
                return
            except OSError:  # the interface is gone; `sync` closes the socket
                return
            except WireError:
                continue
            self._hear(heard, name)

    def _hear(self, heard: arp.Arp, name: str) -> None:
        mac = heard.sender_mac
        if self._probes.heard(heard.sender, mac):
            self._go_on(heard.sender)
        elif self._probes.is_proxy(mac) and mac not in self._told and len(self._told) < MAX_HELD:
            self._told.add(mac)
            log.warning(
                "probe=proxy-arp mac=%s interface=%s address=%s effect='its answers count no more' "
                "do='switch proxy ARP off there, or conflictProbe: false for this network'",
                mac.hex(":"), name, dotted(heard.sender),
            )  # fmt: skip
