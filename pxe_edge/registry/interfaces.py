"""The edge's own addresses, as the kernel has them now."""

import json
import subprocess
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, ip_address
from typing import Any

from specs.site_model import Site

Reader = Callable[[], list[dict[str, Any]]]


def read_links() -> list[dict[str, Any]]:
    """What `ip -j -4 addr` says; an empty list where it cannot say anything."""
    try:
        said = subprocess.run(["ip", "-j", "-4", "addr"], capture_output=True, timeout=5, check=True)
        links: list[dict[str, Any]] = json.loads(said.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return []
    return links


def own_addresses(read: Reader = read_links) -> dict[str, list[IPv4Address]]:
    """Interface name -> its IPv4 addresses."""
    found: dict[str, list[IPv4Address]] = {}
    for link in read():
        for info in link.get("addr_info", ()):
            address = ip_address(info["local"])
            if isinstance(address, IPv4Address):
                found.setdefault(str(link.get("ifname")), []).append(address)
    return found


def server_addresses(site: Site, own: Mapping[str, list[IPv4Address]]) -> dict[str, IPv4Address]:
    """Provisioning network -> the address at which its machines reach the edge.

    On a network of its own interface that is an address there, one inside the subnet first. A network
    behind relays reaches the edge by routing, at the address of the first direct network.
    """
    direct: dict[str, IPv4Address] = {}
    networks = [n for n in site.networks if n.purpose == "provisioning"]
    for network in networks:
        there = own.get(network.interface or "", [])
        inside = [address for address in there if address in network.subnet]
        if inside or there:
            direct[network.name] = (inside or there)[0]
    first = next(iter(direct.values()), None)
    if first is None:
        return direct
    return {network.name: direct.get(network.name, first) for network in networks}
