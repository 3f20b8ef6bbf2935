"""IPv4 and IPv6 in a Site: two networks on one link, and what a network of one family can't have."""

import pytest

from specs.load import load_files, resolve

SITE = """\
kind: Site
metadata: {name: s}
networks:
  - {name: prov, purpose: provisioning, subnet: 10.0.0.0/24, interface: p0, pool: [10.0.0.50-10.0.0.99]}
  - name: prov6
    purpose: provisioning
    subnet: fd00:77::/64
    interface: p0
    gateway: fd00:77::1
    pool: [fd00:77::1000-fd00:77::1fff]
    exclude: [fd00:77::1100-fd00:77::11ff]
    dns: [fd00:77::9]
    ntp: []
    mode: full
    reservations: [{mac: "52:54:00:00:00:01", address: fd00:77::20}]
    options: [{code: 24, hex: "036c616200"}, {code: 2000, addresses: [fd00:77::9]}]
  - {name: far6, purpose: provisioning, subnet: fd00:88::/64, relays: [fd00:88::1]}
"""


def findings(text: str) -> list[str]:
    return [str(finding) for finding in resolve(load_files({"s.yaml": text})).findings]


def test_both_families_on_one_interface_are_two_networks() -> None:
    assert findings(SITE) == []


REFUSED = [
    ("gateway: fd00:77::1", "gateway: 10.0.0.1", "networks[1].gateway: 10.0.0.1 is an IPv4 address"),
    ("dns: [fd00:77::9]", "dns: [10.0.0.9]", "networks[1].dns[0]: 10.0.0.9 is an IPv4 address"),
    ("ntp: []", "ntp: [10.0.0.9]", "networks[1].ntp[0]: 10.0.0.9 is an IPv4"),
    ("address: fd00:77::20", "address: 10.0.0.20", "networks[1].reservations[0].address: 10.0.0.20"),
    ("addresses: [fd00:77::9]", "addresses: [10.0.0.9]", "networks[1].options[1].addresses[0]: 10."),
    ("[fd00:77::1000-fd00:77::1fff]", "[10.0.0.1-10.0.0.2]", "networks[1].pool[0]: 10.0.0.1-10.0.0.2"),
    ("exclude: [fd00:77::1100-", "exclude: [10.0.0.1-", "networks[1].exclude[0]: expected a range"),
    ("relays: [fd00:88::1]", "relays: [10.0.0.1]", "networks[2].relays[0]: 10.0.0.1 is an IPv4"),
    ("fd00:77::1000-fd00:77::1fff", "fd00:77::-fd00:77::1fff", "the pool gives away fd00:77::, which is the"),
    ("fd00:77::1000-", "fd00:66::1000-", "fd00:66::1000-fd00:77::1fff lies outside fd00:77::/64"),
    ("address: fd00:77::20", "address: fd00:77::1", "networks[1].reservations[0].address: fd00:77::1 is the"),
    ("mode: full", "mode: proxy", "networks[1].mode: there is no proxyDHCP in DHCPv6"),
    ("code: 24", "code: 3", "option 3 is set by the edge from pool and reservations"),
    (
        "fd00:77::/64",
        "10.0.0.0/33",
        "networks[1].subnet: expected an IPv4 network such as 10.77.1.0/24",
    ),
    (
        "interface: p0, pool",
        "interface: p0, options: [{code: 2000, text: a}], pool",
        "expected an option from 1",
    ),
    ("fd00:88::/64, relays: [fd00:88::1]", "fd00:88::/64, interface: p0", "p0 carries prov6 already"),
]


@pytest.mark.parametrize(("was", "becomes", "told"), REFUSED)
def test_what_is_wrong_is_told_with_its_place(was: str, becomes: str, told: str) -> None:
    assert SITE.count(was) == 1
    found = findings(SITE.replace(was, becomes))

    line = 1 + SITE[: SITE.index(was)].count("\n")
    assert any(f"s.yaml:{line}:" in finding and told in finding for finding in found), found


def test_a_host_may_have_addresses_routes_and_nameservers_of_both_families() -> None:
    host = """\
kind: Host
metadata: {name: web-01}
match: {mac: "52:54:00:00:00:01"}
network:
  ethernets:
    nic0:
      addresses: [10.1.1.21/24, "fd00:1::21/64", {pool: prov6}]
      routes: [{to: default, via: "fd00:1::1"}, {to: "fd00:2::/48", via: "fd00:1::2"}]
      nameservers: {addresses: [10.1.1.2, "fd00:1::2"]}
"""
    read = resolve(load_files({"s.yaml": SITE, "h.yaml": host}))

    assert [str(finding) for finding in read.findings] == []


def test_a_host_address_must_fit_its_ipv6_network() -> None:
    host = """\
kind: Host
metadata: {name: web-01}
match: {mac: "52:54:00:00:00:01"}
network: {ethernets: {nic0: {addresses: ["fd00:77::/64", "fd00:77::30/48"]}}}
"""
    found = [str(finding) for finding in resolve(load_files({"s.yaml": SITE, "h.yaml": host})).findings]

    assert any("fd00:77::/64 is the network's own" in finding for finding in found), found
    assert any("write fd00:77::30/64" in finding for finding in found), found
