"""ICMP echo of a given size with DF set (RFC 792, RFC 4443, RFC 8899 section 3): ping without the program.

An unprivileged socket where net.ipv4.ping_group_range allows it, else a raw one.
"""

import os
import secrets
import socket
import struct
import time
from dataclasses import dataclass
from typing import Final

from specs.shapes import IpAddress

_PMTUDISC_PROBE: Final = 3
"""DF on every packet, whatever the kernel remembers of the path."""
_LEAST: Final = 576
_ECHO: Final = struct.Struct("!BBHHH")
TRIES: Final = 2
WAIT_S: Final = 0.6


@dataclass(frozen=True, slots=True)
class Family:
    """What differs between the two ICMPs."""

    family: int
    protocol: int
    request: int
    reply: int
    headers: int
    """Octets of IP and ICMP header."""
    level: int
    mtu_discover: int


IPV4: Final = Family(socket.AF_INET, socket.IPPROTO_ICMP, 8, 0, 28, socket.IPPROTO_IP, 10)
IPV6: Final = Family(socket.AF_INET6, socket.IPPROTO_ICMPV6, 128, 129, 48, socket.IPPROTO_IPV6, 23)


def echo(address: IpAddress, size: int = 84, *, tries: int = TRIES, wait_s: float = WAIT_S) -> bool | None:
    """Whether an echo of `size` octets (IP header included) comes back; None: we may not ask."""
    family = IPV4 if address.version == 4 else IPV6
    opened = _open(family)
    if opened is None:
        return None
    sock, raw = opened
    with sock:
        for number in range(tries):
            if _once(sock, family, address, size, number, wait_s, raw=raw):
                return True
    return False


def largest(address: IpAddress, up_to: int) -> int:
    """The largest packet that comes back, by halving; 0 when none does. `up_to` is tried first."""
    if echo(address, up_to):
        return up_to
    low, high = _LEAST, up_to
    if not echo(address, low):
        return 0
    while high - low > 1:
        middle = (low + high) // 2
        if echo(address, middle, wait_s=WAIT_S / 2):
            low = middle
        else:
            high = middle
    return low


def _open(family: Family) -> tuple[socket.socket, bool] | None:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            sock = socket.socket(family.family, kind, family.protocol)
        except OSError:
            continue
        sock.setsockopt(family.level, family.mtu_discover, _PMTUDISC_PROBE)
        return sock, kind == socket.SOCK_RAW and family is IPV4  # raw IPv6 comes without header
    return None


def _once(
    sock: socket.socket,
    family: Family,
    address: IpAddress,
    size: int,
    number: int,
    wait_s: float,
    *,
    raw: bool,
) -> bool:
    mark = secrets.token_bytes(8)
    payload = mark + bytes(max(0, size - family.headers - len(mark)))
    head = _ECHO.pack(family.request, 0, 0, os.getpid() & 0xFFFF, number)
    # The kernel puts the sum into ICMPv6, because it covers the IP header.
    head = _ECHO.pack(family.request, 0, checksum(head + payload), os.getpid() & 0xFFFF, number)
    try:
        sock.sendto(head + payload, (str(address), 0))
    except OSError:  # larger than the interface carries, or no route
        return False
    deadline = time.monotonic() + wait_s
    while (left := deadline - time.monotonic()) > 0:
        sock.settimeout(left)
        try:
            data = sock.recv(65535)
        except OSError:
            return False
        if raw:
            data = data[(data[0] & 15) * 4 :]
        if data[:1] == bytes([family.reply]) and data[_ECHO.size : _ECHO.size + 8] == mark:
            return True
    return False


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF
