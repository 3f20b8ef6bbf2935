"""The edge's own addresses, as the kernel has them now."""

import json
import subprocess
from collections.abc import Callable, Mapping
from ipaddress import IPv6Address, ip_address
from typing import Any, Final

from specs.shapes import IpAddress
from specs.site_model import Site, SiteNetwork

_UNSTEADY: Final = ("tentative", "temporary", "deprecated", "dadfailed")
"""Marks of an IPv6 address that nobody is to be sent to."""
Reader = Callable[[], list[dict[str, Any]]]


def read_links() -> list[dict[str, Any]]:
    """What `ip -j addr` says; an empty list where it cannot say anything."""
    try:
        said = subprocess.run(["ip", "-j", "addr"], capture_output=True, timeout=5, check=True)
        links: list[dict[str, Any]] = json.loads(said.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return []
    return links


def own_addresses(read: Reader = read_links) -> dict[str, list[IpAddress]]:
    """Interface name -> its addresses of both families, but for link-local and passing ones."""
    found: dict[str, list[IpAddress]] = {}
    for link in read():
        for info in link.get("addr_info", ()):
            address = ip_address(info["local"])
            passing = address.is_link_local or any(info.get(mark) for mark in _UNSTEADY)
            if not (isinstance(address, IPv6Address) and passing):
                found.setdefault(str(link.get("ifname")), []).append(address)
    return found


def url_host(address: IpAddress) -> str:
    """An address as it stands in a URL (RFC 3986 section 3.2.2)."""
    return f"[{address}]" if isinstance(address, IPv6Address) else str(address)


def server_addresses(site: Site, own: Mapping[str, list[IpAddress]]) -> dict[str, IpAddress]:
    """Provisioning network -> the address at which its machines reach the edge.

    On a network of its own interface that is an address there, one inside the subnet first. A network
    behind relays reaches the edge by routing, at the address of the first direct network of its family.
    """
    networks = [n for n in site.networks if n.purpose == "provisioning"]
    return {
        name: address
        for version in (4, 6)
        for name, address in _of_family([n for n in networks if n.subnet.version == version], own).items()
    }


def _of_family(networks: list[SiteNetwork], own: Mapping[str, list[IpAddress]]) -> dict[str, IpAddress]:
    direct: dict[str, IpAddress] = {}
    for network in networks:
        version = network.subnet.version
        there = [each for each in own.get(network.interface or "", []) if each.version == version]
        inside = [address for address in there if address in network.subnet]
        if inside or there:
            direct[network.name] = (inside or there)[0]
    first = next(iter(direct.values()), None)
    if first is None:
        return direct
    return {network.name: direct.get(network.name, first) for network in networks}
