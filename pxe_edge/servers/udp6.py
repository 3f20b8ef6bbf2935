"""UDP sockets of DHCPv6: the groups that clients and relays send to, and by which way a datagram came.

As in `udp`: no SO_REUSEADDR, because two servers with it split the traffic in silence, and a receive
buffer that a rack's boot storm fits into.
"""

import socket
import struct
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Final

from pxe_edge.servers.errors import explain
from pxe_edge.servers.udp import MAX_DATAGRAM_BYTES, RECEIVE_BUFFER_BYTES

CLIENTS_AND_RELAYS: Final = "ff02::1:2"
"""All_DHCP_Relay_Agents_and_Servers (RFC 8415 section 7.1)."""
RELAYS_ONLY: Final = "ff05::1:3"
"""All_DHCP_Servers, for relays that know no server's address."""
_SO_RCVBUFFORCE: Final = 33
_PKTINFO: Final = struct.Struct("=16sI")
_ANCILLARY_BYTES: Final = socket.CMSG_SPACE(_PKTINFO.size)


@dataclass(frozen=True, slots=True)
class Datagram6:
    """What came in, and by which way."""

    data: bytes
    source: IPv6Address
    source_port: int
    target: IPv6Address
    index: int
    """Interface index."""


def open_udp6(what: str, port: int, interface: str | None = None) -> socket.socket:
    """A non-blocking socket on all IPv6 addresses, on one interface if named; raises StartError."""
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        if interface is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")
        try:
            sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)
        except OSError:  # needs CAP_NET_ADMIN; then as much as net.core.rmem_max allows
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        sock.bind(("::", port))
    except OSError as error:
        sock.close()
        raise explain(error, f"{what} on {interface}" if interface else what, port) from error
    return sock


def join(sock: socket.socket, group: str, index: int) -> None:
    """Receive what is sent to a group on an interface; raises OSError, also when joined already."""
    request = socket.inet_pton(socket.AF_INET6, group) + struct.pack("=I", index)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)


def receive(sock: socket.socket) -> Datagram6 | None:
    """The next datagram, or None when there is none now."""
    try:
        data, ancillary, _, source = sock.recvmsg(MAX_DATAGRAM_BYTES, _ANCILLARY_BYTES)
    except OSError:  # nothing there, an ICMP error of an earlier send, or the interface is going down
        return None
    index, target = 0, bytes(16)
    for level, kind, value in ancillary:
        if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO and len(value) >= _PKTINFO.size:
            target, index = _PKTINFO.unpack_from(value)
    host = source[0].partition("%")[0]
    return Datagram6(data, IPv6Address(host), source[1], IPv6Address(target), index)


def send(sock: socket.socket, data: bytes, reply_to: Datagram6, address: IPv6Address, port: int) -> None:
    """Answer a datagram: out of its interface if link-local, from the address it was sent to; OSError."""
    scope = reply_to.index if address.is_link_local else 0
    ancillary = []
    if not reply_to.target.is_multicast:
        info = _PKTINFO.pack(reply_to.target.packed, scope)
        ancillary.append((socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, info))
    sock.sendmsg([data], ancillary, 0, (str(address), port, 0, scope))
