"""Option codes by name, and the encodings of their values (RFC 2132, 3046, 3396, 4578, 5107, 8357).

Codes are plain integers: they are dictionary keys in the packet path.
"""

import struct
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address
from typing import Final

from pxe_edge.wire.errors import WireError

SUBNET_MASK: Final = 1
ROUTER: Final = 3
DNS: Final = 6
HOST_NAME: Final = 12
INTERFACE_MTU: Final = 26
BROADCAST_ADDRESS: Final = 28
NTP: Final = 42
VENDOR_SPECIFIC: Final = 43
REQUESTED_ADDRESS: Final = 50
LEASE_TIME: Final = 51
MESSAGE_TYPE: Final = 53
SERVER_ID: Final = 54
PARAMETER_LIST: Final = 55
MESSAGE: Final = 56
MAX_SIZE: Final = 57
RENEWAL_T1: Final = 58
REBINDING_T2: Final = 59
VENDOR_CLASS: Final = 60
CLIENT_ID: Final = 61
TFTP_SERVER_NAME: Final = 66
BOOT_FILE: Final = 67
USER_CLASS: Final = 77
RELAY_AGENT: Final = 82
CLIENT_ARCH: Final = 93
CLIENT_NDI: Final = 94
CLIENT_MACHINE_ID: Final = 97
SUBNET_SELECTION: Final = 118
TFTP_SERVERS: Final = 150
IPXE: Final = 175

RELAY_CIRCUIT_ID: Final = 1
RELAY_REMOTE_ID: Final = 2
RELAY_LINK_SELECTION: Final = 5
RELAY_SERVER_ID: Final = 11
RELAY_SOURCE_PORT: Final = 19


def addresses(values: Iterable[IPv4Address]) -> bytes:
    """A list of addresses, as in 3, 6, 42."""
    return b"".join(value.packed for value in values)


def dotted(address: int) -> str:
    """A 32-bit address as text."""
    return f"{address >> 24}.{address >> 16 & 255}.{address >> 8 & 255}.{address & 255}"


def packed(address: int) -> bytes:
    """A 32-bit address as an option carries it."""
    return address.to_bytes(4, "big")


def u16(value: int) -> bytes:
    """A 16-bit number, as in 26."""
    return struct.pack("!H", value)


def u32(value: int) -> bytes:
    """A 32-bit number, as in 51, 58, 59."""
    return struct.pack("!I", value)


def read_u16(value: bytes | None) -> int | None:
    """A 16-bit number; None when absent or of another length."""
    return int.from_bytes(value, "big") if value is not None and len(value) == 2 else None


def u16_list(value: bytes) -> tuple[int, ...]:
    """A list of 16-bit numbers, as in 93; an odd last octet is left out."""
    return struct.unpack(f"!{len(value) // 2}H", value[: len(value) // 2 * 2])


def suboptions(value: bytes) -> dict[int, bytes]:
    """Sub-options of 43, 82, 175: code, length, value; the first of each code counts.

    Raises WireError when a length runs past the end: half of option 82 must not choose a network.
    """
    found: dict[int, bytes] = {}
    at = 0
    while at < len(value):
        if at + 2 > len(value) or at + 2 + value[at + 1] > len(value):
            raise WireError(f"sub-option {value[at]} at octet {at} runs past the end ({len(value)})")
        found.setdefault(value[at], value[at + 2 : at + 2 + value[at + 1]])
        at += 2 + value[at + 1]
    return found


def encapsulate(values: Mapping[int, bytes], *, end: bool = False) -> bytes:
    """Write sub-options; 43 ends with 255 in PXE (PXE 2.1 section 2.4), 82 and 175 do not."""
    for code, value in values.items():
        if len(value) > 255:
            raise WireError(f"sub-option {code} has {len(value)} octets, at most 255 fit")
    body = b"".join(bytes((code, len(value))) + value for code, value in values.items())
    return body + b"\xff" if end else body
