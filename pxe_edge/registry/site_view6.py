"""An IPv6 network of the current set's Site as the packet plane sees it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network
from types import MappingProxyType

from pxe_edge.policy.dhcp6_views import Network6View, Range6
from pxe_edge.policy.views import SiteOption
from pxe_edge.registry.addresses import address_range
from specs.durations import seconds
from specs.shapes import IpAddress
from specs.site_model import SiteNetwork


@dataclass(frozen=True, slots=True)
class Part:
    """What both families take from the Site and the registry alike."""

    options: tuple[SiteOption, ...]
    reservations: Mapping[str, IpAddress]
    """By MAC: those of the Site, and what hosts were given by name."""
    kept: Mapping[IpAddress, frozenset[str]]
    """Addresses of the network that are somebody's, with their MACs."""


def network6(network: SiteNetwork, subnet: IPv6Network, part: Part) -> Network6View:
    """One network as `policy.dhcp6` sees it."""
    return Network6View(
        name=network.name,
        purpose=network.purpose,
        subnet=subnet,
        interface=network.interface,
        gateway=next(_v6([network.gateway]), None),
        pool=_ranges(network.pool),
        exclude=_ranges(network.exclude),
        dns=tuple(_v6(network.dns)),
        ntp=tuple(_v6(network.ntp)),
        mtu=network.mtu,
        lease_s=seconds(network.lease),
        # There is no proxyDHCP in DHCPv6; the lint says so, and the edge then leaves the link alone.
        mode="off" if network.mode == "proxy" else network.mode,
        router_advertisements=network.router_advertisements,
        relays=tuple(_v6(network.relays)),
        reservations=MappingProxyType(
            {mac: each for mac, each in part.reservations.items() if isinstance(each, IPv6Address)}
        ),
        kept=MappingProxyType({address: part.kept[address] for address in _v6(part.kept)}),
        options=part.options,
    )


def _v6(addresses: Iterable[IpAddress | None]) -> Iterator[IPv6Address]:
    # The lint lets a network have one family; here it is only made known to the types.
    return (address for address in addresses if isinstance(address, IPv6Address))


def _ranges(texts: tuple[str, ...]) -> tuple[Range6, ...]:
    ends = (tuple(_v6(address_range(text))) for text in texts)
    return tuple(Range6(first, last) for first, last in ends)
