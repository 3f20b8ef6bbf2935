"""Which network a DHCP message is about, and which address is the server on it.

Order (RFC 3527 section 3, RFC 3011, RFC 2131 section 4.3): link selection in option 82, then subnet
selection (118), then giaddr, then for a unicast renewal ciaddr, then the interface it came in on.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface
from typing import Final

from pxe_edge.policy.boot import Silence
from pxe_edge.policy.views import NetworkView, SiteView
from pxe_edge.wire import options as opt
from pxe_edge.wire.dhcp import Packet
from pxe_edge.wire.errors import WireError

MAX_HOPS: Final = 16
"""RFC 1542 section 4.1.1."""


@dataclass(frozen=True, slots=True)
class Link:
    """An interface of the edge, and how a message came in by it."""

    interface: str
    index: int
    addresses: tuple[IPv4Interface, ...] = ()
    mac: bytes = b""
    mtu: int = 1500
    addresses6: tuple[IPv6Interface, ...] = ()

    def address_in(self, subnet: IPv4Network) -> IPv4Address | None:
        """The interface's own address, preferably one inside the subnet."""
        inside = next((a.ip for a in self.addresses if a.ip in subnet), None)
        return inside if inside is not None else next((a.ip for a in self.addresses), None)


@dataclass(frozen=True, slots=True)
class Arrival:
    """Where a message came from and how."""

    link: Link
    source: IPv4Address
    source_port: int
    unicast: bool = False
    """Sent to an address of ours, not to a broadcast address."""
    own_addresses: frozenset[IPv4Address] = frozenset()
    """All addresses of the edge: never given to a client."""


@dataclass(frozen=True, slots=True)
class RelayInfo:
    """Option 82 taken apart; `raw` is what is echoed."""

    raw: bytes = b""
    circuit_id: bytes = b""
    remote_id: bytes = b""
    link_selection: IPv4Address | None = None
    server_id: IPv4Address | None = None
    source_port: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """The network that a message is about, and the server's identity towards it."""

    network: NetworkView
    server: IPv4Address
    """Option 54, next server, and host of the URLs."""
    server_id: IPv4Address
    """Option 54: `server`, or what the relay asks for (RFC 5107)."""
    relay: RelayInfo


def read_relay_info(packet: Packet) -> RelayInfo | Silence:
    """Take option 82 apart; one that is damaged is echoed but chooses nothing."""
    raw = packet.options.get(opt.RELAY_AGENT)
    if raw is None:
        return RelayInfo()
    try:
        parts = opt.suboptions(raw)
    except WireError:
        return RelayInfo(raw=raw)

    def address(code: int) -> IPv4Address | None:
        value = parts.get(code, b"")
        return IPv4Address(value) if len(value) == 4 else None

    return RelayInfo(
        raw=raw,
        circuit_id=parts.get(opt.RELAY_CIRCUIT_ID, b""),
        remote_id=parts.get(opt.RELAY_REMOTE_ID, b""),
        link_selection=address(opt.RELAY_LINK_SELECTION),
        server_id=address(opt.RELAY_SERVER_ID),
        source_port=opt.RELAY_SOURCE_PORT in parts,
    )


def find_place(packet: Packet, arrival: Arrival, site: SiteView) -> Place | Silence:
    """Find network and server identity, or say why there is none."""
    relay = read_relay_info(packet)
    if isinstance(relay, Silence):
        return relay
    if packet.hops > MAX_HOPS:
        return Silence("too-many-hops")
    network = _network(packet, arrival, site, relay)
    if isinstance(network, Silence):
        return network
    if opt.RELAY_AGENT in packet.options and not int(packet.giaddr) and not network.trusted:
        return Silence("untrusted-relay-option")
    server = site.server_addresses.get(network.name) or arrival.link.address_in(network.subnet)
    if server is None:
        return Silence("no-server-address")
    return Place(network, server, relay.server_id or server, relay)


def _network(packet: Packet, arrival: Arrival, site: SiteView, relay: RelayInfo) -> NetworkView | Silence:
    active = [network for network in site.networks if network.mode != "off"]
    if int(packet.giaddr):
        through = _by_relay(active, packet.giaddr)
        selected = relay.link_selection or packet.address_option(opt.SUBNET_SELECTION)
        if selected is not None:
            if through is None and not any(packet.giaddr in network.subnet for network in site.networks):
                return Silence("unknown-relay")
            return _longest(n for n in active if selected in n.subnet) or Silence("unknown-subnet")
        return through or Silence("unknown-relay")
    if int(packet.ciaddr) and arrival.unicast:
        # A renewal goes past the relay, straight to us (RFC 2131 section 4.4.5).
        return _longest(n for n in active if packet.ciaddr in n.subnet) or Silence("unknown-subnet")
    here = [n for n in active if n.interface == arrival.link.interface]
    if len(here) > 1 and int(packet.ciaddr):
        here = [n for n in here if packet.ciaddr in n.subnet] or here
    if here:
        return here[0]
    return Silence("no-network-here")


def _by_relay(networks: Iterable[NetworkView], giaddr: IPv4Address) -> NetworkView | None:
    networks = tuple(networks)
    named = _longest(n for n in networks if giaddr in n.relays)
    return named or _longest(n for n in networks if not n.relays and giaddr in n.subnet)


def _longest(networks: Iterable[NetworkView]) -> NetworkView | None:
    return max(networks, key=lambda network: network.subnet.prefixlen, default=None)
