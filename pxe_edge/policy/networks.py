"""Which network a DHCP message is about, and which address is the server on it.

Order (RFC 3527 section 3, RFC 3011, RFC 2131 section 4.3): link selection in option 82, then subnet
selection (118), then giaddr, then for a unicast renewal ciaddr, then the interface it came in on.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface
from typing import Final

from pxe_edge.policy.boot import Silence
from pxe_edge.policy.views import AddressRange, NetworkView, SiteView
from pxe_edge.wire import options as opt
from pxe_edge.wire.dhcp import Packet
from pxe_edge.wire.forms import Form

MAX_HOPS: Final = 16
"""RFC 1542 section 4.1.1."""
MAX_RELAYS_CACHED: Final = 4096


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


@dataclass(slots=True, init=False)
class Arrival:
    """Where a message came from and how; made once per packet, so not frozen (see `wire.dhcp.Packet`)."""

    link: Link
    source: str
    source_port: int
    unicast: bool
    """Sent to an address of ours, not to a broadcast address."""

    def __init__(self, link: Link, source: str, source_port: int, *, unicast: bool = False) -> None:
        self.link = link
        self.source = source
        self.source_port = source_port
        self.unicast = unicast


@dataclass(slots=True, init=False)
class RelayInfo:
    """Option 82 taken apart; `raw` is what is echoed."""

    raw: bytes
    circuit_id: bytes
    remote_id: bytes
    link_selection: int | None
    server_id: int | None
    source_port: bool

    def __init__(self, raw: bytes = b"") -> None:
        self.raw = raw
        self.circuit_id = b""
        self.remote_id = b""
        self.link_selection = None
        self.server_id = None
        self.source_port = False


@dataclass(slots=True, eq=False)
class ServedNetwork:
    """A network of the Site in the numbers that the packet path reads; made anew when the Site changes."""

    view: NetworkView
    name: str
    first: int
    last: int
    ranges: tuple[tuple[int, int], ...]
    excluded: tuple[tuple[int, int], ...]
    reservations: dict[str, int]
    kept: dict[int, frozenset[str]]
    barred: frozenset[int]
    """Nobody's to lease: the subnet's ends, gateway, relays, the edge's own."""
    reserved: frozenset[int]
    """The addresses of `reservations`."""
    by_host: bool = False
    """The Site has options for single hosts here."""
    by_mac: bool = False
    """The Site has options for single MACs here."""
    is_probed: bool = False
    """Whether the edge is on its link and asks there before it offers an address."""
    servers: dict[int, int | None] = field(default_factory=dict)
    """Interface index -> the edge's address towards this network."""
    forms: dict[object, Form] = field(default_factory=dict)

    def __contains__(self, address: int) -> bool:
        """Whether an address is of the subnet."""
        return self.first <= address <= self.last

    def leases(self, address: int, mac: str) -> bool:
        """Whether the pool has this address for this client, whoever holds it now."""
        if address in self.barred or address in self.reserved:
            return False
        for first, last in self.ranges:
            if first <= address <= last:
                break
        else:
            return False
        for first, last in self.excluded:
            if first <= address <= last:
                return False
        owners = self.kept.get(address)
        return owners is None or mac in owners

    @property
    def claimed(self) -> set[int]:
        """Addresses that the Site or IPAM has given to somebody."""
        return self.kept.keys() | self.reserved

    @property
    def pool_key(self) -> tuple[object, ...]:
        """What the order of fresh addresses depends on."""
        return self.ranges, self.excluded, self.barred


@dataclass(slots=True, eq=False)
class ServedSite:
    """The Site in the numbers that the packet path reads."""

    view: SiteView
    networks: tuple[ServedNetwork, ...]
    through: dict[int, ServedNetwork | None] = field(default_factory=dict)
    """giaddr -> the network behind it, as found before."""

    def network(self, name: str) -> ServedNetwork:
        """A served network by name."""
        return next(network for network in self.networks if network.name == name)


@dataclass(slots=True, init=False)
class Place:
    """The network that a message is about, and the server's identity towards it."""

    network: ServedNetwork
    server: int
    """Next server, and host of the URLs."""
    server_id: int
    """Option 54: `server`, or what the relay asks for (RFC 5107)."""
    relay: RelayInfo

    def __init__(self, network: ServedNetwork, server: int, server_id: int, relay: RelayInfo) -> None:
        self.network = network
        self.server = server
        self.server_id = server_id
        self.relay = relay

    def is_me(self, server_id: int | None) -> bool:
        """Whether an option 54 of a client means this server."""
        return server_id in (self.server_id, self.server)


def serve_site(site: SiteView, own: frozenset[int] = frozenset()) -> ServedSite:
    """Take from a Site what the packet path needs; `own` are the addresses of the edge's interfaces."""
    ours = own.union(map(int, site.server_addresses.values()))
    networks = (_served(network, ours) for network in site.networks if network.mode != "off")
    return ServedSite(site, tuple(networks))


def _served(view: NetworkView, ours: frozenset[int]) -> ServedNetwork:
    subnet = view.subnet
    first, last = int(subnet.network_address), int(subnet.broadcast_address)
    fixed = (*view.relays, *((view.gateway,) if view.gateway else ()))
    return ServedNetwork(
        view=view,
        name=view.name,
        first=first,
        last=last,
        ranges=tuple((max(low, first), min(high, last)) for low, high in _numbers(view.pool)),
        excluded=tuple(_numbers(view.exclude)),
        reservations={mac: int(address) for mac, address in view.reservations.items()},
        reserved=frozenset(map(int, view.reservations.values())),
        kept={int(address): macs for address, macs in view.kept.items()},
        barred=ours.union(map(int, fixed), (first, last)),
        by_host=any(option.host for option in view.options),
        by_mac=any(option.mac for option in view.options),
        is_probed=view.conflict_probe and view.interface is not None and view.mode != "proxy",
    )


def _numbers(ranges: Iterable[AddressRange]) -> list[tuple[int, int]]:
    return [(int(part.first), int(part.last)) for part in ranges]


NO_RELAY: Final = RelayInfo()


def read_relay_info(raw: bytes | None) -> RelayInfo:
    """Take option 82 apart; one that is damaged is echoed but chooses nothing."""
    if raw is None:
        return NO_RELAY
    info = RelayInfo(raw)
    at, end, seen = 0, len(raw), 0
    while at < end:
        past = at + 2 + raw[at + 1] if at + 2 <= end else end + 1
        if past > end:
            return RelayInfo(raw)
        code = raw[at]
        if not seen >> code & 1:  # the first of each code counts
            seen |= 1 << code
            if code == opt.RELAY_CIRCUIT_ID:
                info.circuit_id = raw[at + 2 : past]
            elif code == opt.RELAY_REMOTE_ID:
                info.remote_id = raw[at + 2 : past]
            elif code == opt.RELAY_LINK_SELECTION:
                info.link_selection = _address(raw[at + 2 : past])
            elif code == opt.RELAY_SERVER_ID:
                info.server_id = _address(raw[at + 2 : past])
            elif code == opt.RELAY_SOURCE_PORT:
                info.source_port = True
        at = past
    return info


def _address(value: bytes) -> int | None:
    return int.from_bytes(value, "big") if len(value) == 4 else None


_TOO_MANY_HOPS: Final = Silence("too-many-hops")
_UNKNOWN_RELAY: Final = Silence("unknown-relay")
_UNKNOWN_SUBNET: Final = Silence("unknown-subnet")
_NO_NETWORK: Final = Silence("no-network-here")
_UNTRUSTED: Final = Silence("untrusted-relay-option")
_NO_SERVER: Final = Silence("no-server-address")


def find_place(packet: Packet, arrival: Arrival, site: ServedSite) -> Place | Silence:
    """Find network and server identity, or say why there is none."""
    if packet.hops > MAX_HOPS:
        return _TOO_MANY_HOPS
    relay = read_relay_info(packet.options.get(opt.RELAY_AGENT))
    network = _network(packet, arrival, site, relay)
    if isinstance(network, Silence):
        return network
    if relay is not NO_RELAY and not packet.giaddr and not network.view.trusted:
        return _UNTRUSTED
    link = arrival.link
    if link.index not in network.servers:
        network.servers[link.index] = _server(network.view, link, site.view)
    server = network.servers[link.index]
    if server is None:
        return _NO_SERVER
    return Place(network, server, relay.server_id or server, relay)


def _server(network: NetworkView, link: Link, site: SiteView) -> int | None:
    address = site.server_addresses.get(network.name) or link.address_in(network.subnet)
    return int(address) if address is not None else None


def _network(packet: Packet, arrival: Arrival, site: ServedSite, relay: RelayInfo) -> ServedNetwork | Silence:
    giaddr, ciaddr = packet.giaddr, packet.ciaddr
    if giaddr:
        through = _through(site, giaddr)
        selected = relay.link_selection
        if selected is None and opt.SUBNET_SELECTION in packet.options:
            selected = packet.address_option(opt.SUBNET_SELECTION)
        if selected is None:
            return through or _UNKNOWN_RELAY
        if through is None and not any(IPv4Address(giaddr) in n.subnet for n in site.view.networks):
            return _UNKNOWN_RELAY
        return _longest(n for n in site.networks if selected in n) or _UNKNOWN_SUBNET
    if ciaddr and arrival.unicast:
        # A renewal goes past the relay, straight to us (RFC 2131 section 4.4.5).
        return _longest(n for n in site.networks if ciaddr in n) or _UNKNOWN_SUBNET
    here = [n for n in site.networks if n.view.interface == arrival.link.interface]
    if len(here) > 1 and ciaddr:
        here = [n for n in here if ciaddr in n] or here
    return here[0] if here else _NO_NETWORK


def _through(site: ServedSite, giaddr: int) -> ServedNetwork | None:
    found = site.through.get(giaddr)
    if found is None and giaddr not in site.through:
        if len(site.through) >= MAX_RELAYS_CACHED:
            site.through.clear()
        relay = IPv4Address(giaddr)
        named = _longest(n for n in site.networks if relay in n.view.relays)
        found = named or _longest(n for n in site.networks if not n.view.relays and giaddr in n)
        site.through[giaddr] = found
    return found


def _longest(networks: Iterable[ServedNetwork]) -> ServedNetwork | None:
    return max(networks, key=lambda network: network.view.subnet.prefixlen, default=None)
