"""UDP sockets that know on which interface and for which address a datagram came (IP_PKTINFO).

No SO_REUSEADDR: two DHCP servers with it start side by side in silence and split the traffic. The
receive buffer is 4 MiB, because a rack's boot storm overruns the default and lost packets cost the
clients seconds of back-off (measured: half the rate).
"""

import socket
import struct
from typing import Any, Final

from pxe_edge.servers.errors import explain

RECEIVE_BUFFER_BYTES: Final = 4 * 1024 * 1024
MAX_DATAGRAM_BYTES: Final = 65535
MAX_MESSAGE_BYTES: Final = 4096
"""More than any DHCP message has: what is longer is cut, and dropped for that."""
IP_PKTINFO: Final = 8  # the socket module has no name for it before Python 3.14
_SO_RCVBUFFORCE: Final = 33
PKTINFO: Final = struct.Struct("=I4s4s")
MSG_TRUNC: Final = 0x20  # socket.MSG_TRUNC is an enum, and costs a microsecond per packet
ANCILLARY_BYTES: Final = socket.CMSG_SPACE(PKTINFO.size)

Datagram = tuple[bytes, list[tuple[int, int, bytes]], int, Any]
"""Octets, ancillary data, flags, (source, port)."""


def open_udp(what: str, port: int, interface: str | None = None) -> socket.socket:
    """A non-blocking socket on all addresses, on one interface if named; raises StartError."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        if interface is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")
        _grow_buffer(sock)
        sock.bind(("0.0.0.0", port))
    except OSError as error:
        sock.close()
        raise explain(error, f"{what} on {interface}" if interface else what, port) from error
    return sock


def _grow_buffer(sock: socket.socket) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)
    except OSError:  # needs CAP_NET_ADMIN; then as much as net.core.rmem_max allows
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)


def receive(sock: socket.socket) -> Datagram | None:
    """The next datagram, or None when there is none now."""
    try:
        return sock.recvmsg(MAX_MESSAGE_BYTES, ANCILLARY_BYTES)
    except (BlockingIOError, InterruptedError):
        return None
    except OSError:  # an ICMP error of an earlier send, or the interface is going down
        return None
