"""Sending a DHCP reply where `policy.replies.Target` says: unicast, broadcast, or a frame of our own."""

import logging
import socket
from typing import Final

from pxe_edge.policy.networks import Link
from pxe_edge.policy.replies import CLIENT_PORT, SERVER_PORT, Target
from pxe_edge.servers.udp import IP_PKTINFO, PKTINFO
from pxe_edge.wire.frames import ETHERTYPE_IPV4, udp_frame
from pxe_edge.wire.options import dotted

log = logging.getLogger(__name__)
_BROADCAST: Final = ("255.255.255.255", CLIENT_PORT)
_MAX_CACHED: Final = 4096
_NOWHERE: Final = bytes(4)

Ancillary = list[tuple[int, int, bytes]]


class ReplySender:
    """Sends replies; holds the one packet socket for clients that have no address yet."""

    def __init__(self) -> None:
        self._raw: socket.socket | None = None
        self._texts: dict[int, str] = {}
        self._routed: dict[tuple[int, int], Ancillary] = {}
        self._on_link: dict[tuple[int, int], Ancillary] = {}
        self.failed = 0
        try:
            # Protocol 0: this socket sends and never receives.
            self._raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self._raw.setblocking(False)
        except PermissionError:
            log.warning("layer2=off reason='no CAP_NET_RAW' effect='replies to new clients are broadcast'")

    def send(self, sock: socket.socket, data: bytes, target: Target, link: Link, source: int) -> None:
        """Send one reply; a failure is counted and the first ones logged, the client asks again."""
        try:
            if target.how == "unicast":
                address = self._texts.get(target.address) or self._text(target.address)
                info = self._routed.get((source, link.index)) or self._route(source, link)
                sock.sendmsg((data,), info, 0, (address, target.port))
            elif target.how == "layer2" and self._raw is not None and len(link.mac) == 6:
                frame = udp_frame(
                    link.mac, target.mac, (source, SERVER_PORT), (target.address, target.port), data
                )
                self._raw.sendto(frame, (link.interface, ETHERTYPE_IPV4))
            else:
                info = self._on_link.get((source, link.index)) or self._route(source, link, on_link=True)
                sock.sendmsg((data,), info, 0, _BROADCAST)
        except OSError as error:
            self._tell(error, target, link)

    def links_changed(self) -> None:
        """Forget from where to send: interfaces or their addresses are others now."""
        self._routed.clear()
        self._on_link.clear()

    def close(self) -> None:
        """Close the packet socket."""
        if self._raw is not None:
            self._raw.close()

    def _text(self, address: int) -> str:
        if len(self._texts) >= _MAX_CACHED:
            self._texts.clear()
        text = self._texts[address] = dotted(address)
        return text

    def _route(self, source: int, link: Link, *, on_link: bool = False) -> Ancillary:
        # The kernel refuses a source that is not on the host (a configured virtual address may move away).
        own = any(source == int(a.ip) for a in link.addresses)
        index = link.index if on_link else 0
        info = PKTINFO.pack(index, source.to_bytes(4, "big") if own else _NOWHERE, _NOWHERE)
        found = [(socket.IPPROTO_IP, IP_PKTINFO, info)]
        (self._on_link if on_link else self._routed)[source, link.index] = found
        return found

    def _tell(self, error: OSError, target: Target, link: Link) -> None:
        self.failed += 1
        if self.failed & (self.failed - 1) == 0:  # the 1st, 2nd, 4th, 8th …
            log.warning(
                "dhcp=unsent to=%s:%d how=%s interface=%s reason=%r failed=%d",
                dotted(target.address),
                target.port,
                target.how,
                link.interface,
                error.strerror,
                self.failed,
            )
