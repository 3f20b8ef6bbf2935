"""Snippets: what they say follows the Site and the edge's own boot answers."""

import json
import re
from ipaddress import IPv4Address, IPv4Network
from types import MappingProxyType

import pytest

from pxe_edge.policy.loaders import UNSIGNED
from pxe_edge.policy.snippets import SERVERS, VENDORS, relay
from pxe_edge.policy.snippets.served import NotServedError, served
from pxe_edge.policy.views import AddressRange, NetworkView, SiteOption, SiteView

EDGE = IPv4Address("10.77.1.2")


def network(name, third, **more):
    def address(last):
        return IPv4Address(f"10.77.{third}.{last}")

    pool = (AddressRange(address(50), address(59)),)
    subnet = IPv4Network(f"10.77.{third}.0/24")
    told = {"purpose": "provisioning", "gateway": address(1), "pool": pool, "mode": "off"}
    return NetworkView(name, subnet=subnet, **(told | more))


@pytest.fixture
def site():
    prov = network(
        "prov",
        1,
        interface="p0",
        exclude=(AddressRange(IPv4Address("10.77.1.58"), IPv4Address("10.77.1.59")),),
        reservations=MappingProxyType({"52:54:00:00:00:01": IPv4Address("10.77.1.52")}),
        kept=MappingProxyType({IPv4Address("10.77.1.54"): frozenset()}),
        options=(SiteOption(224, b"x"), SiteOption(225, b"y", host="web-01")),
    )
    far = network("far", 2, relays=(IPv4Address("10.77.2.9"),))
    bmc = network("bmc", 9, purpose="bmc")
    addresses = MappingProxyType({"prov": EDGE, "far": EDGE})
    return SiteView("dc1", networks=(prov, far, bmc), server_addresses=addresses)


def test_a_foreign_server_may_give_what_is_nobodys(site):
    prov, far = served(site)

    def shown(one):
        return [f"{first}-{last}" for first, last in one.ranges]

    assert shown(prov) == ["10.77.1.50-10.77.1.51", "10.77.1.53-10.77.1.53", "10.77.1.55-10.77.1.57"]
    assert shown(far) == ["10.77.2.50-10.77.2.59"]


@pytest.mark.parametrize("kind", SERVERS)
def test_every_loader_of_the_edge_and_the_script_are_told(site, kind):
    text = SERVERS[kind]("dc1", served(site))

    for loader in UNSIGNED.values():
        assert (f"http://{EDGE}:8080/{loader.file}" if loader.http else loader.file) in text
    assert f"http://{EDGE}:8080/boot.ipxe" in text
    assert "web-01" not in text
    assert "10.77.9." not in text
    assert ("10.77.1.53" in text, "10.77.1.58" in text) == (True, False)


def test_keas_is_json_with_each_class_asked_for_by_its_network(site):
    text = SERVERS["kea"]("dc1", served(site))
    kea = json.loads(re.sub(r"^//.*$", "", text, flags=re.MULTILINE))["Dhcp4"]

    classes = {one["name"] for one in kea["client-classes"]}
    asked = [set(subnet["require-client-classes"]) for subnet in kea["subnet4"]]
    assert set().union(*asked) == classes
    assert not asked[0] & asked[1]
    assert kea["subnet4"][1]["relay"] == {"ip-addresses": ["10.77.2.9"]}


RELAY_LINES = {
    "ios": "interface Vlan20\n ip helper-address 10.77.1.2",
    "nxos": "interface Vlan20\n  ip dhcp relay address 10.77.1.2",
    "eos": "interface Vlan20\n   ip helper-address 10.77.1.2",
    "junos": "set forwarding-options dhcp-relay group rackflow-far interface irb.20",
    "sonic": "sudo config vlan dhcp_relay add 20 10.77.1.2",
    "dhcrelay": "dhcrelay -4 -a -m append -id vlan20 -iu <UPLINK> 10.77.1.2",
}


@pytest.mark.parametrize("vendor", VENDORS)
def test_relay_lines_name_vlan_and_edge(site, vendor):
    far = served(site, network="far", vlans={"far": 20})

    text = relay.render("dc1", far, vendor)

    assert RELAY_LINES[vendor] in text
    assert "own address there: 10.77.2.9" in text
    assert text in relay.render("dc1", far)


def test_what_cannot_be_printed_says_what_to_change(site):
    nowhere = SiteView("dc1", networks=site.networks)
    for call, said in (
        (lambda: served(site, network="pruv"), "no provisioning network of IPv4 called pruv"),
        (lambda: served(nowhere), "the edge has no address on prov"),
        (lambda: relay.render("dc1", served(site), "acme"), "no relay lines for acme"),
    ):
        with pytest.raises(NotServedError, match=said) as refused:
            call()
        assert refused.value.hint
    assert {one.edge for one in served(nowhere, edge=EDGE)} == {EDGE}
