"""Ethernet, IPv4 and UDP headers by hand: a reply to a client that has no address yet (RFC 2131 4.1).

The kernel would ask ARP for the address it is about to give, so such a reply is a frame of our own
to the client's MAC. (SIOCSARP first is slower and fails at about 1024 neighbours.)
"""

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final

from pxe_edge.wire.errors import WireError

ETHERTYPE_IPV4: Final = 0x0800
_ETHERTYPE: Final = struct.pack("!H", ETHERTYPE_IPV4)
_IPV4: Final = struct.Struct("!BBHHHBBHII")
_PSEUDO: Final = struct.Struct("!IIBBH")
_UDP: Final = struct.Struct("!HHHH")
_PROTOCOL_UDP: Final = 17
_TTL: Final = 64


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071): the sum modulo 65535, because 2^16 is 1 there."""
    number = int.from_bytes(data + b"\0" if len(data) % 2 else data, "big")
    total = number % 0xFFFF
    return 0 if number and not total else ~total & 0xFFFF


@dataclass(frozen=True, slots=True)
class UdpFrame:
    """One UDP datagram in its Ethernet frame."""

    source_mac: bytes
    target_mac: bytes
    source: IPv4Address
    target: IPv4Address
    source_port: int
    target_port: int
    payload: bytes


def encode_frame(frame: UdpFrame) -> bytes:
    """Write the frame with both checksums; padding to 60 octets is the driver's work."""
    source, target = (int(frame.source), frame.source_port), (int(frame.target), frame.target_port)
    return udp_frame(frame.source_mac, frame.target_mac, source, target, frame.payload)


def udp_frame(
    source_mac: bytes, target_mac: bytes, source: tuple[int, int], target: tuple[int, int], payload: bytes
) -> bytes:
    """Write a frame from its parts; `source` and `target` are address and port."""
    if len(source_mac) != 6 or len(target_mac) != 6:
        raise WireError("frame: Ethernet addresses have 6 octets")
    udp_bytes = _UDP.size + len(payload)
    bare = _UDP.pack(source[1], target[1], udp_bytes, 0)
    pseudo = _PSEUDO.pack(source[0], target[0], 0, _PROTOCOL_UDP, udp_bytes)
    # RFC 768: a computed 0 is sent as all ones, 0 means "no checksum".
    udp_sum = checksum(b"".join((pseudo, bare, payload))) or 0xFFFF
    head = (0x45, 0, _IPV4.size + udp_bytes, 0, 0x4000, _TTL, _PROTOCOL_UDP)
    ip_sum = checksum(_IPV4.pack(*head, 0, source[0], target[0]))
    return b"".join(
        (
            target_mac,
            source_mac,
            _ETHERTYPE,
            _IPV4.pack(*head, ip_sum, source[0], target[0]),
            bare[:6],
            udp_sum.to_bytes(2, "big"),
            payload,
        )
    )


def decode_frame(data: bytes) -> UdpFrame:
    """Read a frame of unfragmented IPv4 and UDP; raise WireError for anything else."""
    if len(data) < 14 + _IPV4.size + _UDP.size or data[12:14] != struct.pack("!H", ETHERTYPE_IPV4):
        raise WireError("frame: not IPv4 over Ethernet")
    first, _, total, _, fragment, _, protocol, _, source, target = _IPV4.unpack_from(data, 14)
    header_bytes = (first & 0xF) * 4
    if first >> 4 != 4 or header_bytes < _IPV4.size or protocol != _PROTOCOL_UDP or fragment & 0x3FFF:
        raise WireError("frame: not a whole UDP datagram")
    at = 14 + header_bytes
    if len(data) < at + _UDP.size or len(data) < 14 + total:
        raise WireError(f"frame: {len(data)} octets, its header says {14 + total}")
    source_port, target_port, udp_bytes, _ = _UDP.unpack_from(data, at)
    if udp_bytes < _UDP.size or at + udp_bytes > len(data):
        raise WireError(f"frame: UDP length {udp_bytes} does not fit")
    return UdpFrame(
        source_mac=data[6:12],
        target_mac=data[:6],
        source=IPv4Address(source),
        target=IPv4Address(target),
        source_port=source_port,
        target_port=target_port,
        payload=data[at + _UDP.size : at + udp_bytes],
    )
