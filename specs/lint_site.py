"""What is wrong with a Site: networks that overlap, pools outside them, options that cannot be sent."""

from collections.abc import Iterator
from ipaddress import IPv4Address
from itertools import combinations
from typing import Final

from specs.records import Finding
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


def parse_range(text: str) -> tuple[IPv4Address, IPv4Address]:
    """Turn `10.0.0.5-10.0.0.9` or `10.0.0.5` into its first and last address; ValueError otherwise."""
    first, dash, last = (part.strip() for part in text.partition("-"))
    low = IPv4Address(first)
    high = IPv4Address(last) if dash else low
    if high < low:
        raise ValueError(f"{text} ends before it starts")
    return low, high


def network_of(specs: SpecSet, address: IPv4Address) -> SiteNetwork | None:
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
        yield from _network(place, network)
        yield from _pools(place, network)
        yield from _reservations(place, network)
        for number, option in enumerate(network.options):
            yield from _option(place("options", number), option)
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
        if first.interface and first.interface == second.interface:
            told = f"{second.interface} carries {first.name} already"
            yield place("interface").finding(told, "one network per interface; leave it out for a relay")


def _relays(specs: SpecSet, site: Site) -> Iterator[Finding]:
    """One relay address means one network: giaddr is all that tells them apart."""
    named: dict[IPv4Address, str] = {}
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
    if site.discovery != "off" and not any(one.purpose == "provisioning" for one in site.networks):
        at = specs.where("Site", site.metadata.name, "networks")
        yield at.finding("no provisioning network: nothing can boot", "add one, or set discovery: off")


def _network(place: _Place, network: SiteNetwork) -> Iterator[Finding]:
    if network.gateway and network.gateway not in network.subnet:
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
    read: dict[str, list[tuple[IPv4Address, IPv4Address]]] = {"pool": [], "exclude": []}
    for field in ("pool", "exclude"):
        for index, text in enumerate(getattr(network, field)):
            try:
                low, high = parse_range(text)
            except ValueError as error:
                told = f"expected a range such as 10.77.1.50-10.77.1.99, got {text!r}: {error}"
                yield place(field, index).finding(told)
                continue
            read[field].append((low, high))
            if low not in network.subnet or high not in network.subnet:
                told = f"{text} lies outside {network.subnet}"
                yield place(field, index).finding(told, "a pool is a part of its subnet")
    for (low, high), (other_low, other_high) in combinations(sorted(read["pool"]), 2):
        if other_low <= high:
            told = f"{other_low}-{other_high} overlaps {low}-{high}"
            yield place("pool").finding(told, "make one range of both")
    special = {
        network.gateway: "the gateway",
        network.subnet.network_address: "the network",
        network.subnet.broadcast_address: "broadcast",
    }
    for taken, what in special.items():
        if taken is None or not _covers(read["pool"], taken):
            continue
        if not _covers(read["exclude"], taken):
            told = f"the pool gives away {taken}, which is {what}"
            yield place("pool").finding(told, f"shorten it, or exclude: [{taken}]")


def _covers(ranges: list[tuple[IPv4Address, IPv4Address]], address: IPv4Address) -> bool:
    return any(low <= address <= high for low, high in ranges)


def _reservations(place: _Place, network: SiteNetwork) -> Iterator[Finding]:
    macs: set[str] = set()
    addresses: set[IPv4Address] = set()
    for index, kept in enumerate(network.reservations):
        # It may lie outside the pool: that is how an address is kept from the pool for good.
        if kept.address not in network.subnet:
            told = f"{kept.address} lies outside {network.subnet}"
            yield place("reservations", index, "address").finding(told, "reserve inside the subnet")
        elif kept.address in (network.subnet.network_address, network.subnet.broadcast_address):
            told = f"{kept.address} is the network's own or broadcast address"
            yield place("reservations", index, "address").finding(told, "choose another")
        if kept.mac in macs:
            yield place("reservations", index, "mac").finding(f"{kept.mac} is reserved twice", "keep one")
        if kept.address in addresses or kept.address == network.gateway:
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


def _option(at: Mark, option: DhcpOption) -> Iterator[Finding]:
    """Shapes that the wire cannot carry; the codec must never meet them."""
    if option.code in PROTOCOL_OPTIONS:
        told = f"option {option.code} is set by the edge from {PROTOCOL_OPTIONS[option.code]}"
        yield at.finding(told, "leave it out")
    size_bytes = 0
    if option.text is not None:
        size_bytes = len(option.text.encode())
    elif option.hex is not None:
        size_bytes = len(option.hex) // 2
    elif option.addresses is not None:
        size_bytes = 4 * len(option.addresses)
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
