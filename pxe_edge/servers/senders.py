"""Sending a DHCP reply where `policy.replies.Target` says: unicast, broadcast, or a frame of our own."""

import logging
import socket
from ipaddress import IPv4Address

from pxe_edge.policy.networks import Link
from pxe_edge.policy.replies import CLIENT_PORT, LIMITED_BROADCAST, SERVER_PORT, Target
from pxe_edge.servers import udp
from pxe_edge.wire.frames import ETHERTYPE_IPV4, UdpFrame, encode_frame

log = logging.getLogger(__name__)


class ReplySender:
    """Sends replies; holds the one packet socket for clients that have no address yet."""

    def __init__(self) -> None:
        self._raw: socket.socket | None = None
        try:
            # Protocol 0: this socket sends and never receives.
            self._raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self._raw.setblocking(False)
        except PermissionError:
            log.warning("layer2=off reason='no CAP_NET_RAW' effect='replies to new clients are broadcast'")

    def send(self, sock: socket.socket, data: bytes, target: Target, link: Link, source: IPv4Address) -> None:
        """Send one reply; a failure is logged, the client asks again."""
        try:
            if target.how == "layer2" and self._raw is not None and len(link.mac) == 6:
                self._send_frame(data, target, link, source)
            elif target.how == "unicast":
                udp.send(sock, data, target.address, target.port, _own(source, link))
            else:
                udp.send(sock, data, LIMITED_BROADCAST, CLIENT_PORT, _own(source, link), link.index)
        except OSError as error:
            log.warning(
                "dhcp=unsent to=%s:%d how=%s interface=%s reason=%r",
                target.address,
                target.port,
                target.how,
                link.interface,
                error.strerror,
            )

    def close(self) -> None:
        """Close the packet socket."""
        if self._raw is not None:
            self._raw.close()

    def _send_frame(self, data: bytes, target: Target, link: Link, source: IPv4Address) -> None:
        frame = UdpFrame(
            source_mac=link.mac,
            target_mac=target.mac,
            source=source,
            target=target.address,
            source_port=SERVER_PORT,
            target_port=target.port,
            payload=data,
        )
        assert self._raw is not None
        self._raw.sendto(encode_frame(frame), (link.interface, ETHERTYPE_IPV4))


def _own(source: IPv4Address, link: Link) -> IPv4Address:
    # The kernel refuses a source that is not on the host (a configured virtual address may move away).
    return source if any(source == a.ip for a in link.addresses) else IPv4Address(0)
