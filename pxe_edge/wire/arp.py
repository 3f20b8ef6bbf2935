"""ARP over Ethernet and IPv4 (RFC 826): the probe of RFC 5227 section 2.1.1, and what answers it."""

import struct
from typing import Final, NamedTuple

from pxe_edge.wire.errors import WireError

ETHERTYPE_ARP: Final = 0x0806
REQUEST: Final = 1
REPLY: Final = 2
_BROADCAST: Final = b"\xff" * 6
_HEAD: Final = struct.Struct("!HHBBH")
_PARTIES: Final = struct.Struct("!6sI6sI")
_ETHERNET_BYTES: Final = 14
_KIND: Final = (1, 0x0800, 6, 4)
"""Ethernet, IPv4, and the octets that an address of each has."""


class Arp(NamedTuple):
    """One message; addresses are numbers, hardware addresses six octets."""

    operation: int
    sender_mac: bytes
    sender: int
    target_mac: bytes
    target: int


def probe(mac: bytes, address: int) -> bytes:
    """The frame that asks who has an address, and claims none itself: its sender address is 0."""
    parties = _PARTIES.pack(mac, 0, bytes(6), address)
    return b"".join((_BROADCAST, mac, struct.pack("!H", ETHERTYPE_ARP), _HEAD.pack(*_KIND, REQUEST), parties))


def decode(frame: bytes) -> Arp:
    """Read a frame; raise WireError for everything that is no ARP over Ethernet and IPv4."""
    need = _ETHERNET_BYTES + _HEAD.size + _PARTIES.size
    if len(frame) < need:
        raise WireError(f"ARP: {len(frame)} octets, expected at least {need}")
    *kind, operation = _HEAD.unpack_from(frame, _ETHERNET_BYTES)
    if frame[12:14] != struct.pack("!H", ETHERTYPE_ARP) or tuple(kind) != _KIND:
        raise WireError("ARP: not ARP for IPv4 over Ethernet")
    return Arp(operation, *_PARTIES.unpack_from(frame, _ETHERNET_BYTES + _HEAD.size))
