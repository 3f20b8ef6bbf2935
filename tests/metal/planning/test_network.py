"""networkd files, byte for byte, and NIC rules that fit one NIC or are refused."""

from textwrap import dedent

import pytest
import yaml

from metal.planning.disks import Refusal
from metal.planning.network import NetworkPlan, plan_network
from specs.facts import Nic
from specs.model import HostNetwork

NICS = (
    Nic(name="eth0", mac="52:54:00:00:00:01", pci_address="0000:3b:00.0", booted=True),
    Nic(name="eth1", mac="52:54:00:00:00:02", pci_address="0000:3b:00.1"),
)


def planned(text: str, allocated: dict[str, str] | None = None) -> NetworkPlan | Refusal:
    return plan_network(HostNetwork.model_validate(yaml.safe_load(dedent(text))), NICS, allocated or {})


def test_bond_vlan_routes_and_dns() -> None:
    plan = planned(
        """\
        ethernets:
          a: {match: {role: pxe}}
          b: {match: {pciAddress: "0000:3B:00.1"}}
        bonds:
          bond0:
            interfaces: [a, b]
            parameters: {mode: 802.3ad, lacp-rate: fast, transmit-hash-policy: layer3+4}
            mtu: 9000
        vlans:
          v100:
            id: 100
            link: bond0
            addresses: [10.1.1.21/24, {pool: os}]
            routes: [{to: default, via: 10.1.1.1}, {to: 10.9.0.0/16, via: 10.1.1.2}]
            nameservers: {addresses: [10.1.1.53], search: [example.net, lan]}
        """,
        {"v100/1": "10.1.1.22/24"},
    )
    assert isinstance(plan, NetworkPlan)
    assert plan.addresses == {"v100": ("10.1.1.21/24", "10.1.1.22/24")}
    head = "# Written by rackflow from the host's spec; edit the spec instead.\n\n"
    folder = "/etc/systemd/network/10-rackflow-"
    assert {path.removeprefix(folder): text.removeprefix(head) for path, text in plan.files.items()} == {
        "a.network": "[Match]\nPermanentMACAddress=52:54:00:00:00:01\n\n[Link]\nMTUBytes=9000\n\n"
        "[Network]\nBond=bond0\n",
        "b.network": "[Match]\nPermanentMACAddress=52:54:00:00:00:02\n\n[Link]\nMTUBytes=9000\n\n"
        "[Network]\nBond=bond0\n",
        "bond0.netdev": "[NetDev]\nName=bond0\nKind=bond\nMACAddress=52:54:00:00:00:01\nMTUBytes=9000\n\n"
        "[Bond]\nMode=802.3ad\nMIIMonitorSec=100ms\nLACPTransmitRate=fast\nTransmitHashPolicy=layer3+4\n",
        "bond0.network": "[Match]\nName=bond0\n\n[Link]\nMTUBytes=9000\n\n"
        "[Network]\nDHCP=no\nIPv6AcceptRA=no\nLinkLocalAddressing=no\nVLAN=v100\n",
        "v100.netdev": "[NetDev]\nName=v100\nKind=vlan\n\n[VLAN]\nId=100\n",
        "v100.network": "[Match]\nName=v100\n\n[Network]\nDHCP=no\nIPv6AcceptRA=no\n"
        "Address=10.1.1.21/24\nAddress=10.1.1.22/24\nDNS=10.1.1.53\nDomains=example.net lan\n\n"
        "[Route]\nGateway=10.1.1.1\n\n[Route]\nDestination=10.9.0.0/16\nGateway=10.1.1.2\n",
    }


@pytest.mark.parametrize(
    ("text", "reason", "message"),
    [
        (
            'ethernets: {a: {match: {macaddress: "52:54:00:00:00:09"}}}',
            "no-matching-nic",
            "fits 0 NICs; seen: eth0",
        ),
        ("ethernets: {a: {match: {}}}", "no-matching-nic", "a: an empty match fits 2 NICs"),
        ("ethernets: {eth7: {}}", "no-matching-nic", "eth7: the name eth7 fits 0 NICs"),
        ("ethernets: {a: {match: {lldp: {switch: s}}}}", "no-matching-nic", "neighbours by LLDP"),
        ("ethernets: {eth0: {}, b: {match: {role: pxe}}}", "no-matching-nic", "b and eth0 are one NIC"),
        ("ethernets: {eth0: {addresses: [{pool: os}]}}", "no-address", "no address of pool os is allocated"),
    ],
)
def test_refusals(text: str, reason: str, message: str) -> None:
    found = planned(text)
    assert isinstance(found, Refusal)
    assert (found.reason, message in found.message) == (reason, True), found
