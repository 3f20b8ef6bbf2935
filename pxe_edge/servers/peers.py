"""Clients by address, for both families: whose limit a client counts on, and hosts without IPv6."""

import errno
import socket
from collections.abc import Sequence
from typing import Any, Final

NO_IPV6: Final = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT})
"""Errors of a socket or bind that mean: this host has no IPv6."""
_LINK_LOCAL: Final = b"\xfe\x80"


def counted_as(peer: Sequence[Any]) -> str:
    """The key of limits per address: an IPv4 address, or an IPv6 /64, which is one client's to fill.

    Link-local addresses all lie in one /64, so there each address counts, with its link.
    """
    if len(peer) == 2:
        return str(peer[0])
    host, _, _, scope = peer
    packed = socket.inet_pton(socket.AF_INET6, host)
    return f"{host}%{scope}" if packed[:2] == _LINK_LOCAL else packed[:8].hex()
