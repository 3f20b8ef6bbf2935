"""Router solicitation and advertisement (RFC 4861 sections 4.1, 4.2), as bytes of ICMPv6.

iPXE holds the boot for 10-13 s after its DHCP ACK until a router has answered. The advertisement
here says that there is no default router, which ends that wait and gives no machine an address. On an
IPv6 network it also says that addresses come from DHCPv6 (the M flag, or no client asks) and which
prefix is on the link (without it a client can't reach even us), not for making addresses of. The kernel
fills in the checksum of raw ICMPv6 sockets, so it stands as 0.
"""

import struct
from collections.abc import Iterable
from ipaddress import IPv6Network
from typing import Final

ROUTER_SOLICITATION: Final = 133
ROUTER_ADVERTISEMENT: Final = 134
_SOURCE_LINK_ADDRESS: Final = 1
_PREFIX: Final = 3
_MTU: Final = 5
_HOP_LIMIT: Final = 64
_MANAGED: Final = 0x80
_ON_LINK: Final = 0x80
_PREFIX_VALID_S: Final = 86400


def is_router_solicitation(data: bytes) -> bool:
    """Whether these octets ask for an advertisement; code 0 and at least 8 octets (RFC 4861 6.1.1)."""
    return len(data) >= 8 and data[0] == ROUTER_SOLICITATION and data[1] == 0


def router_advertisement(
    *,
    mac: bytes,
    mtu: int | None = None,
    lifetime_s: int = 0,
    managed: bool = False,
    prefixes: Iterable[IPv6Network] = (),
) -> bytes:
    """Write an advertisement; lifetime 0: not a default router; `managed`: ask DHCPv6 for addresses."""
    flags = _MANAGED if managed else 0
    head = struct.pack("!BBHBBHII", ROUTER_ADVERTISEMENT, 0, 0, _HOP_LIMIT, flags, lifetime_s, 0, 0)
    link = struct.pack("!BB6s", _SOURCE_LINK_ADDRESS, 1, mac) if len(mac) == 6 else b""
    size = struct.pack("!BBHI", _MTU, 1, 0, mtu) if mtu else b""
    return head + link + size + b"".join(map(_prefix, prefixes))


def _prefix(prefix: IPv6Network) -> bytes:
    # RFC 4861 section 4.6.2: on the link, and not for address configuration.
    head = struct.pack(
        "!BBBBIII", _PREFIX, 4, prefix.prefixlen, _ON_LINK, _PREFIX_VALID_S, _PREFIX_VALID_S, 0
    )
    return head + prefix.network_address.packed
