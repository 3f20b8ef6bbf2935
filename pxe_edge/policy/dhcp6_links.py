"""Which IPv6 network a DHCPv6 message is about (RFC 8415 section 13.1), and who the server is on it.

The relay nearest to the client says it by its link-address; one that leaves it out (a switch that
relays on layer 2, RFC 6221) leaves it to the next. Without any, it is the interface.
"""

from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Interface

from pxe_edge.policy.boot import Silence
from pxe_edge.policy.dhcp6_views import Network6View
from pxe_edge.policy.networks import Link
from pxe_edge.policy.views import SiteView
from pxe_edge.wire.dhcp6 import Message


@dataclass(frozen=True, slots=True)
class Arrival6:
    """Where a message came from and how."""

    link: Link
    source: IPv6Address
    source_port: int
    multicast: bool = True
    """Sent to a group, as clients must."""
    own_addresses: frozenset[IPv6Address] = frozenset()
    """All addresses of the edge: never given to a client."""


@dataclass(frozen=True, slots=True)
class Place6:
    """The network that a message is about, and the server's address towards it."""

    network: Network6View
    server: IPv6Address
    """Host of the boot file URLs."""


def address_in(addresses: tuple[IPv6Interface, ...], network: Network6View) -> IPv6Address | None:
    """An address of ours on the link that clients of the network can reach; never a link-local one."""
    usable = [each.ip for each in addresses if not each.ip.is_link_local]
    inside = next((address for address in usable if address in network.subnet), None)
    return inside if inside is not None else next(iter(usable), None)


def find_place(message: Message, arrival: Arrival6, site: SiteView) -> Place6 | Silence:
    """Find network and server address, or say why there is none."""
    network = _network(message, arrival, site)
    if isinstance(network, Silence):
        return network
    server = site.server_addresses6.get(network.name) or address_in(arrival.link.addresses6, network)
    return Place6(network, server) if server is not None else Silence("no-server-address")


def _network(message: Message, arrival: Arrival6, site: SiteView) -> Network6View | Silence:
    active = [network for network in site.networks6 if network.mode != "off"]
    link = next((relay.link for relay in reversed(message.relays) if not _says_nothing(relay.link)), None)
    if link is not None:
        named = [n for n in active if link in n.relays]
        inside = named or [n for n in active if not n.relays and link in n.subnet]
        found = max(inside, key=lambda network: network.subnet.prefixlen, default=None)
        return found or Silence("unknown-relay")
    here = next((n for n in active if n.interface == arrival.link.interface), None)
    return here or Silence("no-network-here")


def _says_nothing(link: IPv6Address) -> bool:
    return link.is_unspecified or link.is_link_local
