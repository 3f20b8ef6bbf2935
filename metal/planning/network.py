"""The spec's network as systemd-networkd files: equal specs and NICs give equal bytes.

NICs are named by their permanent MAC and never by `eth0`: the boot OS and the deployed system may name
one card differently, and the MAC of a bond's member changes once the bond is up.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from metal.planning.disks import Refusal
from specs.facts import Nic
from specs.model import Bond, BondParameters, Ethernet, HostNetwork, Link, PoolAddress

FOLDER: Final = "/etc/systemd/network"
PREFIX: Final = "10-rackflow-"
HEADER: Final = "# Written by rackflow from the host's spec; edit the spec instead.\n"

Resolved = Mapping[str, Nic]
"""Ethernet id of the spec -> the one NIC that it is."""

_LLDP: Final = "neighbours by LLDP are not among the facts"


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """The files to write, and the addresses that must be there afterwards."""

    files: Mapping[str, str]
    addresses: Mapping[str, tuple[str, ...]]
    """Link of the spec -> its addresses with prefix."""
    nics: Resolved


def plan_network(
    network: HostNetwork, nics: Sequence[Nic], allocated: Mapping[str, str]
) -> NetworkPlan | Refusal:
    """Resolve NICs and write the files; a refusal for a rule that fits not one NIC, or a missing address."""
    resolved: dict[str, Nic] = {}
    for name, ethernet in network.ethernets.items():
        nic = find_nic(name, ethernet, nics)
        if isinstance(nic, Refusal):
            return nic
        twin = next((other for other, seen in resolved.items() if seen.mac == nic.mac), None)
        if twin:
            told = f"{name} and {twin} are one NIC ({nic.mac})"
            return Refusal("no-matching-nic", told)
        resolved[name] = nic
    addresses: dict[str, tuple[str, ...]] = {}
    for name, link in _links(network):
        found = [_address(name, index, one, allocated) for index, one in enumerate(link.addresses)]
        missing = [one for one in found if isinstance(one, Refusal)]
        if missing:
            return missing[0]
        addresses[name] = tuple(one for one in found if isinstance(one, str))
    files = dict(sorted(_files(network, resolved, addresses)))
    return NetworkPlan(files, {name: held for name, held in addresses.items() if held}, resolved)


def find_nic(name: str, ethernet: Ethernet, nics: Sequence[Nic]) -> Nic | Refusal:
    """The one NIC that an ethernet of the spec is; without match the NIC of that name."""
    match = ethernet.match
    if match is None:
        found = [nic for nic in nics if nic.name == name]
        asked = f"the name {name}"
    elif match.lldp is not None:
        return Refusal("no-matching-nic", f"{name}: {_LLDP}")
    else:
        found = [
            nic
            for nic in nics
            if (match.macaddress is None or nic.mac == match.macaddress)
            and (match.pci_address is None or nic.pci_address == match.pci_address.lower())
            and (match.role is None or nic.booted)
        ]
        said = match.model_dump(mode="json", by_alias=True, exclude_none=True)
        asked = ", ".join(f"{key} {value}" for key, value in said.items()) or "an empty match"
    if len(found) == 1:
        return found[0]
    seen = "; ".join(f"{nic.name} {nic.mac} {nic.pci_address or ''}".strip() for nic in nics) or "none"
    return Refusal("no-matching-nic", f"{name}: {asked} fits {len(found)} NICs; seen: {seen}")


def _links(network: HostNetwork) -> Iterator[tuple[str, Link]]:
    yield from network.ethernets.items()
    yield from network.bonds.items()
    yield from network.vlans.items()


def _address(link: str, index: int, wished: object, allocated: Mapping[str, str]) -> str | Refusal:
    if not isinstance(wished, PoolAddress):
        return str(wished)
    kept = allocated.get(f"{link}/{index}")
    if kept is None:
        return Refusal("no-address", f"{link}: no address of pool {wished.pool} is allocated to it")
    return kept


def _files(
    network: HostNetwork, nics: Resolved, addresses: Mapping[str, tuple[str, ...]]
) -> Iterator[tuple[str, str]]:
    bond_of = {member: name for name, bond in network.bonds.items() for member in bond.interfaces}
    for name, ethernet in network.ethernets.items():
        match = [("PermanentMACAddress", nics[name].mac)]
        vlans = _vlans_on(network, name)
        if name in bond_of:
            bond = network.bonds[bond_of[name]]
            yield _network_file(name, match, _member(bond_of[name], bond, name), vlans, [])
        else:
            yield _network_file(name, match, _own(ethernet, addresses[name]), vlans, _routes(ethernet))
    for name, bond in network.bonds.items():
        first = nics[bond.interfaces[0]].mac
        netdev = [("Name", name), ("Kind", "bond"), ("MACAddress", first), *_mtu(bond)]
        sections = [("NetDev", netdev), ("Bond", _bond(bond.parameters))]
        yield f"{FOLDER}/{PREFIX}{name}.netdev", _render(sections)
        own = _own(bond, addresses[name])
        yield _network_file(name, [("Name", name)], own, _vlans_on(network, name), _routes(bond))
    for name, vlan in network.vlans.items():
        netdev = [("Name", name), ("Kind", "vlan"), *_mtu(vlan)]
        sections = [("NetDev", netdev), ("VLAN", [("Id", str(vlan.id))])]
        yield f"{FOLDER}/{PREFIX}{name}.netdev", _render(sections)
        own = _own(vlan, addresses[name])
        yield _network_file(name, [("Name", name)], own, _vlans_on(network, name), _routes(vlan))


Pairs = list[tuple[str, str]]


def _network_file(
    name: str, match: Pairs, link_and_network: tuple[Pairs, Pairs], vlans: Pairs, routes: list[Pairs]
) -> tuple[str, str]:
    link, network = link_and_network
    sections = [("Match", match), ("Link", link), ("Network", [*network, *vlans])]
    sections += [("Route", route) for route in routes]
    return f"{FOLDER}/{PREFIX}{name}.network", _render(sections)


def _own(link: Link, addresses: Sequence[str]) -> tuple[Pairs, Pairs]:
    """[Link] and [Network] of a link that has addresses itself."""
    network = [("DHCP", "ipv4" if link.dhcp4 else "no"), ("IPv6AcceptRA", "no")]
    if not link.addresses and not link.dhcp4:
        network.append(("LinkLocalAddressing", "no"))
    network += [("Address", address) for address in addresses]
    if link.nameservers:
        network += [("DNS", str(server)) for server in link.nameservers.addresses]
        if link.nameservers.search:
            network.append(("Domains", " ".join(link.nameservers.search)))
    return _mtu(link), network


def _member(bond_name: str, bond: Bond, name: str) -> tuple[Pairs, Pairs]:
    """[Link] and [Network] of a bond's member."""
    network = [("Bond", bond_name)]
    if bond.parameters.primary == name:
        network.append(("PrimarySlave", "yes"))
    return _mtu(bond), network


def _bond(parameters: BondParameters) -> Pairs:
    pairs = [("Mode", parameters.mode), ("MIIMonitorSec", f"{parameters.mii_monitor_interval}ms")]
    if parameters.lacp_rate:
        pairs.append(("LACPTransmitRate", parameters.lacp_rate))
    if parameters.transmit_hash_policy:
        pairs.append(("TransmitHashPolicy", parameters.transmit_hash_policy))
    return pairs


def _routes(link: Link) -> list[Pairs]:
    found = []
    for route in link.routes:
        pairs = [("Gateway", str(route.via))]
        if route.to != "default":
            pairs.insert(0, ("Destination", str(route.to)))
        found.append(pairs)
    return found


def _vlans_on(network: HostNetwork, name: str) -> Pairs:
    return [("VLAN", vlan) for vlan, one in network.vlans.items() if one.link == name]


def _mtu(link: Link) -> Pairs:
    return [("MTUBytes", str(link.mtu))] if link.mtu else []


def _render(sections: Sequence[tuple[str, Pairs]]) -> str:
    blocks = [
        f"[{title}]\n" + "".join(f"{key}={value}\n" for key, value in pairs)
        for title, pairs in sections
        if pairs
    ]
    return HEADER + "\n" + "\n".join(blocks)
