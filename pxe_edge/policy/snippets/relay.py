"""The lines that make a switch or router relay DHCP to the edge, after the vendors' command references.

What the Site does not say stands in angle brackets. Link selection, server-id override
and source port need no line: the edge understands option 82 as each of these writes it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from pxe_edge.policy.snippets.served import NotServedError, Served


@dataclass(frozen=True, slots=True)
class Vendor:
    """How one kind of device is told."""

    title: str
    comment: str
    device: tuple[str, ...]
    """Lines for the whole device."""
    network: Callable[[Served], Iterator[str]]


def _vlan(network: Served) -> str:
    return str(network.vlan) if network.vlan is not None else "<VLAN>"


def _ios(network: Served) -> Iterator[str]:
    yield f"interface Vlan{_vlan(network)}"
    yield f" ip helper-address {network.edge}"


def _nxos(network: Served) -> Iterator[str]:
    yield f"interface Vlan{_vlan(network)}"
    yield f"  ip dhcp relay address {network.edge}"


def _eos(network: Served) -> Iterator[str]:
    yield f"interface Vlan{_vlan(network)}"
    yield f"   ip helper-address {network.edge}"


def _junos(network: Served) -> Iterator[str]:
    relay, name = "set forwarding-options dhcp-relay", f"rackflow-{network.name}"
    yield f"{relay} server-group {name} {network.edge}"
    yield f"{relay} group {name} active-server-group {name}"
    yield f"{relay} group {name} interface irb.{_vlan(network)}"


def _sonic(network: Served) -> Iterator[str]:
    yield f"sudo config vlan dhcp_relay add {_vlan(network)} {network.edge}"


def _dhcrelay(network: Served) -> Iterator[str]:
    down = f"vlan{network.vlan}" if network.vlan is not None else "<DOWNLINK>"
    yield f"dhcrelay -4 -a -m append -id {down} -iu <UPLINK> {network.edge}"


VENDORS: Final[Mapping[str, Vendor]] = {
    "ios": Vendor("Cisco IOS, IOS XE", "!", ("service dhcp", "ip dhcp relay information option"), _ios),
    "nxos": Vendor(
        "Cisco NX-OS",
        "!",
        ("feature dhcp", "service dhcp", "ip dhcp relay", "ip dhcp relay information option"),
        _nxos,
    ),
    "eos": Vendor("Arista EOS", "!", ("ip dhcp relay information option",), _eos),
    "junos": Vendor(
        "Juniper Junos",
        "#",
        (
            "set forwarding-options dhcp-relay relay-option-82 circuit-id",
            "set forwarding-options dhcp-relay forward-only",
        ),
        _junos,
    ),
    "sonic": Vendor("SONiC, whose relay adds option 82 by itself", "#", (), _sonic),
    "dhcrelay": Vendor("ISC dhcrelay on Linux, one process per network", "#", (), _dhcrelay),
}


def render(site: str, networks: tuple[Served, ...], vendor: str | None = None) -> str:
    """The lines for one vendor, or for all."""
    if vendor is not None and vendor not in VENDORS:
        raise NotServedError(f"there are no relay lines for {vendor}", f"vendors: {', '.join(VENDORS)}")
    wanted = VENDORS.values() if vendor is None else (VENDORS[vendor],)
    return "\n".join(_lines(site, networks, one) for one in wanted)


def _lines(site: str, networks: tuple[Served, ...], vendor: Vendor) -> str:
    told = [f"{vendor.comment} rackflow site {site}: {vendor.title}", *vendor.device]
    for network in networks:
        giaddr = ", ".join(map(str, network.view.relays)) or f"any address in {network.view.subnet}"
        told.append(f"{vendor.comment} network {network.name}; the relay's own address there: {giaddr}")
        told += vendor.network(network)
    return "\n".join(told) + "\n"
