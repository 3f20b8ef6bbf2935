"""The IPv6 networks of the site as the packet plane sees them, beside the IPv4 ones of `views`.

A link that carries both families is two networks on one interface. There is no proxyDHCP in DHCPv6,
so the mode is one of three.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address, IPv6Network
from types import MappingProxyType
from typing import Literal

from pxe_edge.policy.views import Purpose, SiteOption

Mode6 = Literal["full", "reservations", "off"]


@dataclass(frozen=True, slots=True)
class Range6:
    """Addresses from first to last, both included."""

    first: IPv6Address
    last: IPv6Address

    def __contains__(self, address: IPv6Address) -> bool:
        """Whether the address lies in the range."""
        return self.first <= address <= self.last


@dataclass(frozen=True, slots=True)
class Network6View:
    """One IPv6 network, and what the edge does on it."""

    name: str
    purpose: Purpose
    subnet: IPv6Network
    interface: str | None = None
    """Where the edge is on its link; None: reached through relays."""
    gateway: IPv6Address | None = None
    pool: tuple[Range6, ...] = ()
    exclude: tuple[Range6, ...] = ()
    dns: tuple[IPv6Address, ...] = ()
    ntp: tuple[IPv6Address, ...] = ()
    mtu: int | None = None
    """Told by router advertisements."""
    lease_s: int = 3600
    mode: Mode6 = "full"
    router_advertisements: bool = True
    relays: tuple[IPv6Address, ...] = ()
    """Link addresses of relays that are this network; empty: any inside the subnet."""
    reservations: Mapping[str, IPv6Address] = field(default_factory=lambda: MappingProxyType({}))
    kept: Mapping[IPv6Address, frozenset[str]] = field(default_factory=lambda: MappingProxyType({}))
    """Addresses that IPAM keeps or a spec names, and the MACs that may lease them all the same."""
    options: tuple[SiteOption, ...] = ()
    """Most specific last: of several with one code that fit a client, the last one counts."""
