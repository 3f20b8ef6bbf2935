"""Router solicitation and advertisement (RFC 4861 sections 4.1, 4.2), as bytes of ICMPv6.

iPXE holds the boot for 10-13 s after its DHCP ACK until a router has answered. The advertisement
here says that there is no default router and no prefix, which ends that wait and gives no machine an
address. The kernel fills in the checksum of raw ICMPv6 sockets, so it stands as 0.
"""

import struct
from typing import Final

ROUTER_SOLICITATION: Final = 133
ROUTER_ADVERTISEMENT: Final = 134
_SOURCE_LINK_ADDRESS: Final = 1
_MTU: Final = 5
_HOP_LIMIT: Final = 64


def is_router_solicitation(data: bytes) -> bool:
    """Whether these octets ask for an advertisement; code 0 and at least 8 octets (RFC 4861 6.1.1)."""
    return len(data) >= 8 and data[0] == ROUTER_SOLICITATION and data[1] == 0


def router_advertisement(*, mac: bytes, mtu: int | None = None, lifetime_s: int = 0) -> bytes:
    """Write an advertisement without prefix; lifetime 0: not a default router."""
    head = struct.pack("!BBHBBHII", ROUTER_ADVERTISEMENT, 0, 0, _HOP_LIMIT, 0, lifetime_s, 0, 0)
    link = struct.pack("!BB6s", _SOURCE_LINK_ADDRESS, 1, mac) if len(mac) == 6 else b""
    return head + link + (struct.pack("!BBHI", _MTU, 1, 0, mtu) if mtu else b"")
