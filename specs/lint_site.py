"""What is wrong with a Site: networks that overlap, pools outside them, options that cannot be sent."""

from collections.abc import Iterator
from ipaddress import ip_address
from itertools import combinations
from typing import Final

from specs.lint_families import mixed_families, on_interface, option_code
from specs.records import Finding
from specs.shapes import IpAddress
from specs.site_model import DhcpOption, Site, SiteNetwork
from specs.specset import SpecSet
from specs.tree import Mark

PROTOCOL_OPTIONS: Final[dict[int, str]] = {
    1: "the subnet",
    3: "gateway",
    50: "the client",
    51: "lease",
    52: "the protocol",
    53: "the protocol",
    54: "the edge",
    55: "the client",
    57: "the client",
    58: "lease",
    59: "lease",
    61: "the client",
    82: "the relay",
    97: "the client",
    118: "the client",
}
"""DHCP options (RFC 2132, 3046, 4578, 3011) that the edge sets itself, and from what."""

_INTEGER_LIMITS: Final[dict[str, int]] = {"u8": 0xFF, "u16": 0xFFFF, "u32": 0xFFFF_FFFF}
_WIDTHS: Final[dict[str, int]] = {"u8": 1, "u16": 2, "u32": 4}
_MAX_OPTION_BYTES: Final = 1024
"""Above 255 octets an option is sent split (RFC 3396); a message must still fit into an Ethernet frame."""
_MAX_INTERFACE_NAME: Final = 15


def parse_range(text: str) -> tuple[IpAddress, IpAddress]:
    """Turn `10.0.0.5-10.0.0.9` or `10.0.0.5` into its first and last address; ValueError otherwise."""
    first, dash, last = (part.strip() for part in text.partition("-"))
    low = ip_address(first)
    high = ip_address(last) if dash else low
    if high.version != low.version:
        raise ValueError(f"{text} begins and ends in two families")
    if int(high) < int(low):
        raise ValueError(f"{text} ends before it starts")
    return low, high


def network_of(specs: SpecSet, address: IpAddress) -> SiteNetwork | None:
    """The site's network that an address lies in."""
    networks = specs.site.networks if specs.site else ()
    return next((one for one in networks if address in one.subnet), None)


def lint_site(specs: SpecSet) -> Iterator[Finding]:
    """All findings of the Site."""
    site = specs.site
    if site is None:
        return
    yield from _overlaps(specs, site)
    yield from _relays(specs, site)
    yield from _policy(specs, site)
    for index, network in enumerate(site.networks):
        place = _Place(specs, site.metadata.name, index)
        yield from mixed_families(place, network)
        yield from _network(place, network)
        yield from _pools(place, network)
        yield from _reservations(place, network)
        for number, option in enumerate(network.options):
            yield from _option(place("options", number), network, option)
        yield from _twice(place, network)


class _Place:
    """Where fields of one network stand."""

    def __init__(self, specs: SpecSet, site: str, index: int) -> None:
        self._specs, self._site, self._index = specs, site, index

    def __call__(self, *path: str | int) -> Mark:
        return self._specs.where("Site", self._site, "networks", self._index, *path)


def _overlaps(specs: SpecSet, site: Site) -> Iterator[Finding]:
    numbered = list(enumerate(site.networks))
    for (_, first), (index, second) in combinations(numbered, 2):
        place = _Place(specs, site.metadata.name, index)
        if first.name == second.name:
            yield place("name").finding(f"a second network called {second.name!r}", "rename one")
        if first.subnet.overlaps(second.subnet):
            told = f"{second.subnet} overlaps {first.name} {first.subnet}"
            yield place("subnet").finding(told, "give each network its own addresses")
        same_family = first.subnet.version == second.subnet.version
        if first.interface and first.interface == second.interface and same_family:
            told = f"{second.interface} carries {first.name} already"
            hint = "one network per interface and family; leave it out for a relay"
            yield place("interface").finding(told, hint)


def _relays(specs: SpecSet, site: Site) -> Iterator[Finding]:
    """One relay address means one network: giaddr is all that tells them apart."""
    named: dict[IpAddress, str] = {}
    for index, network in enumerate(site.networks):
        place = _Place(specs, site.metadata.name, index)
        for number, relay in enumerate(network.relays):
            if relay in named:
                told = f"relay {relay} speaks for {named[relay]} already"
                yield place("relays", number).finding(told, "give each network a relay address of its own")
            named.setdefault(relay, network.name)


def _policy(specs: SpecSet, site: Site) -> Iterator[Finding]:
    wanted = site.bmc.network
    found = [one for one in site.networks if one.name == wanted]
    at = specs.where("Site", site.metadata.name, "bmc", "network")
    if wanted and not found:
        known = ", ".join(one.name for one in site.networks if one.purpose == "bmc") or "none"
        yield at.finding(f"no network is called {wanted!r}", f"networks for BMCs: {known}")
    elif found and found[0].purpose != "bmc":
        yield at.finding(f"{wanted} is a {found[0].purpose} network", "name one with purpose: bmc")
    elif found and found[0].subnet.version != 4:
        yield at.finding(f"{wanted} is an IPv6 network", "BMCs are set up over IPv4: name an IPv4 network")
    if site.discovery != "off" and not any(one.purpose == "provisioning" for one in site.networks):
        at = specs.where("Site", site.metadata.name, "networks")
        yield at.finding("no provisioning network: nothing can boot", "add one, or set discovery: off")


def _network(place: _Place, network: SiteNetwork) -> Iterator[Finding]:
    version = network.subnet.version
    if network.gateway and network.gateway.version == version and network.gateway not in network.subnet:
        told = f"{network.gateway} lies outside {network.subnet}"
        yield place("gateway").finding(told, "the gateway is in the network")
    for index, relay in enumerate(network.relays):
        if network.interface and relay in network.subnet:
            told = f"relay {relay} is on a network that the edge serves directly ({network.interface})"
            yield place("relays", index).finding(told, "leave out interface or relays")
    name = network.interface
    # The kernel's IFNAMSIZ is 16 with the closing zero; what it refuses would end the edge at its next start.
    if name is not None and (
        not 0 < len(name.encode()) <= _MAX_INTERFACE_NAME or any(c in name for c in "/ \t\n")
    ):
        told = f"expected an interface name of 1 to {_MAX_INTERFACE_NAME} characters, got {name!r}"
        yield place("interface").finding(told, "see which there are: ip link")
    if network.interface and network.purpose != "provisioning":
        told = f"interface is for provisioning networks; {network.name} is for {network.purpose}"
        yield place("interface").finding(told, "leave it out")
    if network.vlan is not None and not 1 <= network.vlan <= 4094:
        yield place("vlan").finding(f"expected a VLAN from 1 to 4094, got {network.vlan}")


def _pools(place: _Place, network: SiteNetwork) -> Iterator[Finding]:
    read: dict[str, list[tuple[int, int]]] = {"pool": [], "exclude": []}
    for field, ranges in read.items():
        for index, text in enumerate(getattr(network, field)):
            finding = _read_range(place(field, index), network, text, ranges)
            if finding is not None:
                yield finding
    for (low, high), (other_low, other_high) in combinations(sorted(read["pool"]), 2):
        if other_low <= high:
            make = type(network.subnet.network_address)
            told = f"{make(other_low)}-{make(other_high)} overlaps {make(low)}-{make(high)}"
            yield place("pool").finding(told, "make one range of both")
    for taken, what in _special(network):
        if not _covers(read["pool"], taken):
            continue
        if not _covers(read["exclude"], taken):
            told = f"the pool gives away {taken}, which is {what}"
            yield place("pool").finding(told, f"shorten it, or exclude: [{taken}]")


def _read_range(at: Mark, network: SiteNetwork, text: str, ranges: list[tuple[int, int]]) -> Finding | None:
    """Add a range that can be read to `ranges`; what is wrong with it, if anything is."""
    version = network.subnet.version
    try:
        low, high = parse_range(text)
    except ValueError as error:
        return at.finding(f"expected a range such as 10.77.1.50-10.77.1.99, got {text!r}: {error}")
    if low.version != version:
        told = f"{text} is IPv{low.version}, and {network.subnet} is IPv{version}"
        return at.finding(told, f"make the other family a network of its own{on_interface(network)}")
    ranges.append((int(low), int(high)))
    if low not in network.subnet or high not in network.subnet:
        return at.finding(f"{text} lies outside {network.subnet}", "a pool is a part of its subnet")
    return None


def _special(network: SiteNetwork) -> Iterator[tuple[IpAddress, str]]:
    """Addresses that no client may have, and what they are."""
    version = network.subnet.version
    if network.gateway is not None and network.gateway.version == version:
        yield network.gateway, "the gateway"
    if version == 6:
        yield network.subnet.network_address, "the routers' anycast address (RFC 4291 section 2.6.1)"
        return
    for end in (network.subnet.network_address, network.subnet.broadcast_address):
        yield end, "the network's own or broadcast address"


def _covers(ranges: list[tuple[int, int]], address: IpAddress) -> bool:
    return any(low <= int(address) <= high for low, high in ranges)


def _reservations(place: _Place, network: SiteNetwork) -> Iterator[Finding]:
    macs: set[str] = set()
    addresses: set[IpAddress] = set()
    for index, kept in enumerate(network.reservations):
        # It may lie outside the pool: that is how an address is kept from the pool for good.
        if kept.address.version == network.subnet.version and kept.address not in network.subnet:
            told = f"{kept.address} lies outside {network.subnet}"
            yield place("reservations", index, "address").finding(told, "reserve inside the subnet")
        elif special := dict(_special(network)).get(kept.address):
            told = f"{kept.address} is {special}"
            yield place("reservations", index, "address").finding(told, "choose another")
        if kept.mac in macs:
            yield place("reservations", index, "mac").finding(f"{kept.mac} is reserved twice", "keep one")
        if kept.address in addresses:
            told = f"{kept.address} is taken already"
            yield place("reservations", index, "address").finding(told, "choose another")
        macs.add(kept.mac)
        addresses.add(kept.address)


def _twice(place: _Place, network: SiteNetwork) -> Iterator[Finding]:
    """Two options with one code for the same clients: which of them is meant, nobody can say."""
    first: dict[tuple[int, str], int] = {}
    for number, option in enumerate(network.options):
        key = (option.code, option.match.model_dump_json() if option.match else "")
        before = first.setdefault(key, number)
        if before != number:
            line = place("options", before).line
            told = f"option {option.code} is given twice for the same clients, first in line {line}"
            yield place("options", number).finding(told, "keep one, or tell them apart by match")


def _option(at: Mark, network: SiteNetwork, option: DhcpOption) -> Iterator[Finding]:
    """Shapes that the wire cannot carry; the codec must never meet them."""
    yield from option_code(at, network, option, PROTOCOL_OPTIONS)
    size_bytes = 0
    if option.text is not None:
        size_bytes = len(option.text.encode())
    elif option.hex is not None:
        size_bytes = len(option.hex) // 2
    elif option.addresses is not None:
        size_bytes = sum(len(address.packed) for address in option.addresses)
    elif isinstance(option.integers, dict):
        yield from _integers(at, option.integers)
        size_bytes = sum(len(values) * _WIDTHS.get(kind, 1) for kind, values in option.integers.items())
    elif option.integers is not None:
        yield from _integers(at, {"u8": list(option.integers)})
        size_bytes = len(option.integers)
    if size_bytes == 0:
        yield at.finding(f"option {option.code} is empty", "give it a value or leave it out")
    if size_bytes > _MAX_OPTION_BYTES:
        told = f"option {option.code} has {size_bytes} bytes; at most {_MAX_OPTION_BYTES} fit"
        yield at.finding(told, "shorten it")


def _integers(at: Mark, integers: dict[str, list[int]]) -> Iterator[Finding]:
    if len(integers) != 1:
        yield at.finding("integers takes one width", "write integers: {u8: [1, 2]}")
    for kind, values in integers.items():
        limit = _INTEGER_LIMITS.get(kind)
        if limit is None:
            yield at.finding(f"expected u8, u16 or u32, got {kind!r}", "write integers: {u16: [1500]}")
            continue
        for value in values:
            if not 0 <= value <= limit:
                yield at.finding(f"expected 0 to {limit} for {kind}, got {value}")
