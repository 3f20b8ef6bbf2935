"""UDP sockets of TFTP, for IPv4 and IPv6: where requests come in, and the sockets of the data.

A request socket is on all addresses and says which of them a request was sent to. Data sockets are
bound to one address each, so that neither receiving nor sending needs ancillary data per packet.
"""

import socket
import struct
from dataclasses import dataclass
from typing import Any, Final

from pxe_edge.servers.errors import explain
from pxe_edge.servers.udp import RECEIVE_BUFFER_BYTES

Address = tuple[Any, ...]
"""A socket address as the kernel says it: (host, port), or (host, port, flow, scope) in IPv6."""

_IP_PKTINFO: Final = 8  # the socket module has no name for it before Python 3.14
_IP_MTU_DISCOVER: Final = 10
_IPV6_MTU_DISCOVER: Final = 23
_PMTUDISC_DONT: Final = 0
_SO_SNDBUFFORCE: Final = 32
_SO_RCVBUFFORCE: Final = 33
_UDP_SEGMENT: Final = 103
_PKTINFO: Final = struct.Struct("=I4s4s")
_PKTINFO6: Final = struct.Struct("=16sI")
_ANCILLARY_BYTES: Final = socket.CMSG_SPACE(_PKTINFO6.size)
_MAX_REQUEST_BYTES: Final = 2048
_SEGMENT_SIZE: Final = struct.Struct("=H")
MAX_SEGMENTS: Final = 64
MAX_SEND_BYTES: Final = 65507
"""What the kernel takes in one call with UDP GSO."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A datagram on a request socket."""

    data: bytes
    peer: Address
    local: Address
    """The address of ours that it was sent to, with port 0: what a data socket is bound to."""
    index: int
    """Interface index."""
    unicast: bool


def open_requests(family: socket.AddressFamily, what: str, port: int) -> socket.socket:
    """A request socket on all addresses of a family; raises StartError."""
    try:
        sock = socket.socket(family, socket.SOCK_DGRAM)
    except OSError as error:  # a kernel without IPv6
        raise explain(error, what, port) from error
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        _prepare(sock)
        sock.bind(("" if family == socket.AF_INET else "::", port))
    except OSError as error:
        sock.close()
        raise explain(error, what, port) from error
    return sock


def open_data(family: socket.AddressFamily, local: Address) -> socket.socket:
    """A data socket on one address of ours and a free port; raises OSError."""
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        # A path may be narrower than our link: then routers cut packets, which clients bear, rather
        # than drop them with a message that tunnels swallow.
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_DONT)
        else:
            sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_DONT)
        _prepare(sock)
        sock.bind(local)
    except OSError:
        sock.close()
        raise
    return sock


def _prepare(sock: socket.socket) -> None:
    sock.setblocking(False)
    for forced, usual in ((_SO_RCVBUFFORCE, socket.SO_RCVBUF), (_SO_SNDBUFFORCE, socket.SO_SNDBUF)):
        try:
            sock.setsockopt(socket.SOL_SOCKET, forced, RECEIVE_BUFFER_BYTES)
        except OSError:  # needs CAP_NET_ADMIN; then as much as the kernel's limits allow
            sock.setsockopt(socket.SOL_SOCKET, usual, RECEIVE_BUFFER_BYTES)


def receive(sock: socket.socket) -> Arrived | None:
    """The next datagram of a request socket, or None when there is none now."""
    try:
        data, ancillary, _, peer = sock.recvmsg(_MAX_REQUEST_BYTES, _ANCILLARY_BYTES)
    except OSError:  # nothing there, an ICMP error of an earlier send, or the interface is going down
        return None
    for level, kind, value in ancillary:
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO and len(value) >= _PKTINFO.size:
            index, ours, target = _PKTINFO.unpack_from(value)
            return Arrived(data, peer, (socket.inet_ntoa(ours), 0), index, unicast=ours == target)
        if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO and len(value) >= _PKTINFO6.size:
            target, index = _PKTINFO6.unpack_from(value)
            host = socket.inet_ntop(socket.AF_INET6, target)
            scope = index if target[:2] == b"\xfe\x80" else 0
            return Arrived(data, peer, (host, 0, 0, scope), index, unicast=target[0] != 0xFF)
    return None


def segments(size_bytes: int) -> list[tuple[int, int, bytes]]:
    """Ancillary data that has the kernel cut one buffer into datagrams of this size (UDP GSO)."""
    return [(socket.IPPROTO_UDP, _UDP_SEGMENT, _SEGMENT_SIZE.pack(size_bytes))]
