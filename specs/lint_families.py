"""IPv4 and IPv6 in a Site: one network is of one family, which its subnet says, and only that.

A link that carries both is two networks on one interface.
"""

from collections.abc import Callable, Iterator
from typing import Final

from specs.records import Finding
from specs.site_model import DhcpOption, SiteNetwork
from specs.tree import Mark

PROTOCOL_OPTIONS6: Final[dict[int, str]] = {
    1: "the client",
    2: "the edge",
    3: "pool and reservations",
    4: "the protocol",
    5: "pool and reservations",
    6: "the client",
    7: "the edge",
    8: "the client",
    9: "the relay",
    11: "the protocol",
    13: "the protocol",
    14: "the client",
    18: "the relay",
    19: "the protocol",
    20: "the client",
    25: "the protocol",
    26: "the protocol",
    61: "the client",
    62: "the client",
    79: "the relay",
    135: "the relay",
}
"""DHCPv6 options (RFC 8415, 5970, 6939, 8357) that the edge sets itself, and from what."""
_MAX_DHCPV4_CODE: Final = 254

Place = Callable[..., Mark]


def mixed_families(place: Place, network: SiteNetwork) -> Iterator[Finding]:
    """Every address of a network that is not of its subnet's family, and what one family has not."""
    version = network.subnet.version
    single = [(("gateway",), network.gateway)] if network.gateway else []
    listed = [
        ((field, index), address)
        for field in ("dns", "ntp", "relays")
        for index, address in enumerate(getattr(network, field))
    ]
    reserved = [
        (("reservations", index, "address"), kept.address) for index, kept in enumerate(network.reservations)
    ]
    optional = [
        (("options", number, "addresses", index), address)
        for number, option in enumerate(network.options)
        for index, address in enumerate(option.addresses or ())
    ]
    for path, address in (*single, *listed, *reserved, *optional):
        if address.version != version:
            yield place(*path).finding(
                f"{address} is an IPv{address.version} address, and {network.subnet} is IPv{version}",
                f"make the other family a network of its own{on_interface(network)}",
            )
    if version == 6 and network.mode == "proxy":
        yield place("mode").finding(
            "there is no proxyDHCP in DHCPv6", "write full or reservations, or off beside another server"
        )


def on_interface(network: SiteNetwork) -> str:
    """A hint's end: where the second network goes."""
    return f" on interface {network.interface}" if network.interface else ""


def option_code(
    at: Mark, network: SiteNetwork, option: DhcpOption, of_dhcpv4: dict[int, str]
) -> Iterator[Finding]:
    """A code that the family has not, or that the edge sets itself."""
    v6 = network.subnet.version == 6
    told_by = (PROTOCOL_OPTIONS6 if v6 else of_dhcpv4).get(option.code)
    if told_by is not None:
        yield at.finding(f"option {option.code} is set by the edge from {told_by}", "leave it out")
    if not v6 and option.code > _MAX_DHCPV4_CODE:
        yield at.finding(
            f"expected an option from 1 to {_MAX_DHCPV4_CODE}, got {option.code}",
            "higher codes are of DHCPv6: give them to an IPv6 network",
        )
