"""DHCP unique identifiers (RFC 8415 section 11, RFC 6355), and the hardware address in some of them."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from pxe_edge.wire.errors import WireError

LINK_LAYER_TIME: Final = 1
ENTERPRISE: Final = 2
LINK_LAYER: Final = 3
MACHINE_UUID: Final = 4

MAX_BYTES: Final = 130
"""Two octets of type and up to 128 behind them (section 11.1)."""
_ETHERNET: Final = 1
_MAC_BYTES: Final = 6


@dataclass(frozen=True, slots=True)
class Duid:
    """An identifier and what can be read off it."""

    raw: bytes
    mac: bytes | None = None
    """Of types LL and LLT on Ethernet: of one of the machine's NICs, not always the one that asks."""
    uuids: tuple[UUID, ...] = ()
    """Of type UUID, in both octet orders: EDK2 copies the SMBIOS octets, iPXE puts them in network order."""


def read(raw: bytes) -> Duid:
    """Read an identifier; raise WireError for one that no client may have."""
    if not 3 <= len(raw) <= MAX_BYTES:
        raise WireError(f"DUID of {len(raw)} octets, expected 3 to {MAX_BYTES}")
    kind, hardware = int.from_bytes(raw[:2], "big"), int.from_bytes(raw[2:4], "big")
    if kind == MACHINE_UUID and len(raw) == 18:
        return Duid(raw, uuids=(UUID(bytes_le=raw[2:]), UUID(bytes=raw[2:])))
    head = {LINK_LAYER_TIME: 8, LINK_LAYER: 4}.get(kind)
    if head is not None and hardware == _ETHERNET and len(raw) == head + _MAC_BYTES:
        return Duid(raw, mac=raw[head:])
    return Duid(raw)


def of_server(random_octets: bytes) -> bytes:
    """A server's own identifier: type UUID over 16 random octets (RFC 9562 version 4)."""
    return MACHINE_UUID.to_bytes(2, "big") + UUID(bytes=random_octets, version=4).bytes
