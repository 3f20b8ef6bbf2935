"""The host's interfaces with their addresses, read from the kernel (rtnetlink, RFC 3549).

Asked again when a packet names an unknown interface and every few seconds, because bridges and veths
come and go. One dump is two system calls; `/sys` is not used, it shows the wrong network namespace
after `unshare`.
"""

import socket
import struct
from collections.abc import Iterator
from ipaddress import IPv4Interface, IPv6Interface
from typing import Final

from pxe_edge.policy.networks import Link

_RTM_NEWLINK: Final = 16
_RTM_GETLINK: Final = 18
_RTM_NEWADDR: Final = 20
_RTM_GETADDR: Final = 22
_NLMSG_ERROR: Final = 2
_NLMSG_DONE: Final = 3
_REQUEST_DUMP: Final = 0x301
_HEADER: Final = struct.Struct("=IHHII")
_IFINFO: Final = struct.Struct("=BxHiII")
_IFADDR: Final = struct.Struct("=BBBBi")
_ATTRIBUTE: Final = struct.Struct("=HH")
_IFLA_ADDRESS: Final = 1
_IFLA_IFNAME: Final = 3
_IFLA_MTU: Final = 4
_IFA_ADDRESS: Final = 1
_IFA_LOCAL: Final = 2
_UNSTEADY: Final = 0x01 | 0x08 | 0x20 | 0x40
"""Flags of an IPv6 address that nobody is to be sent to: temporary, dadfailed, deprecated, tentative."""
_TIMEOUT_S: Final = 2.0


def read_links() -> dict[int, Link]:
    """All interfaces by index."""
    addresses: dict[int, list[IPv4Interface]] = {}
    addresses6: dict[int, list[IPv6Interface]] = {}
    for family, prefix, flags, _, index, values in _addresses():
        local = values.get(_IFA_LOCAL) or values.get(_IFA_ADDRESS, b"")
        if family == socket.AF_INET and len(local) == 4:
            addresses.setdefault(index, []).append(IPv4Interface((local, prefix)))
        elif family == socket.AF_INET6 and len(local) == 16 and not flags & _UNSTEADY:
            addresses6.setdefault(index, []).append(IPv6Interface((local, prefix)))
    links: dict[int, Link] = {}
    for kind, payload in _dump(_RTM_GETLINK, _IFINFO.pack(socket.AF_UNSPEC, 0, 0, 0, 0)):
        if kind == _RTM_NEWLINK:
            index = _IFINFO.unpack_from(payload)[2]
            values = dict(_attributes(payload[_IFINFO.size :]))
            links[index] = Link(
                interface=values.get(_IFLA_IFNAME, b"").rstrip(b"\0").decode("ascii", "replace"),
                index=index,
                addresses=tuple(addresses.get(index, ())),
                addresses6=tuple(addresses6.get(index, ())),
                mac=values.get(_IFLA_ADDRESS, b""),
                mtu=int.from_bytes(values.get(_IFLA_MTU, b"\xdc\x05\0\0"), "little"),
            )
    return links


def _addresses() -> Iterator[tuple[int, int, int, int, int, dict[int, bytes]]]:
    for kind, payload in _dump(_RTM_GETADDR, _IFADDR.pack(socket.AF_UNSPEC, 0, 0, 0, 0)):
        if kind == _RTM_NEWADDR:
            yield (*_IFADDR.unpack_from(payload), dict(_attributes(payload[_IFADDR.size :])))


def _dump(kind: int, body: bytes) -> Iterator[tuple[int, bytes]]:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        netlink.settimeout(_TIMEOUT_S)
        netlink.send(_HEADER.pack(_HEADER.size + len(body), kind, _REQUEST_DUMP, 1, 0) + body)
        while True:
            data = netlink.recv(65536)
            while len(data) >= _HEADER.size:
                size, message, _, _, _ = _HEADER.unpack_from(data)
                if message == _NLMSG_DONE or size < _HEADER.size:
                    return
                if message == _NLMSG_ERROR:
                    raise OSError("rtnetlink refused a dump of interfaces")
                yield message, data[_HEADER.size : size]
                data = data[(size + 3) & ~3 :]


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _ATTRIBUTE.size:
        size, kind = _ATTRIBUTE.unpack_from(data)
        if size < _ATTRIBUTE.size:
            return
        yield kind & 0x3FFF, data[_ATTRIBUTE.size : size]
        data = data[(size + 3) & ~3 :]
