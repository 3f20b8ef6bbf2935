"""IPv6 networks on their way from the Site to the packet plane, and the edge's own addresses."""

from ipaddress import IPv6Address, ip_address

from pxe_edge.registry.addresses import pool_addresses
from pxe_edge.registry.interfaces import own_addresses, server_addresses, url_host
from pxe_edge.registry.site_view import site_view
from specs.site_model import Site

PROV6 = {
    "name": "prov6",
    "purpose": "provisioning",
    "subnet": "fd00:77::/64",
    "interface": "p0",
    "mtu": 1400,
    "lease": "30m",
    "pool": ["fd00:77::10-fd00:77:0:0:f000::"],
    "exclude": ["fd00:77::12-fd00:77:0:0:e000::"],
    "reservations": [{"mac": "52:54:00:00:00:01", "address": "fd00:77::11"}],
    "options": [{"code": 24, "text": "x"}, {"code": 24, "text": "y", "match": {"arch": 7}}],
}
SITE = Site.model_validate(
    {
        "kind": "Site",
        "metadata": {"name": "s"},
        "networks": [
            {"name": "prov", "purpose": "provisioning", "subnet": "10.0.0.0/24", "interface": "p0"},
            PROV6,
            {"name": "far6", "purpose": "provisioning", "subnet": "fd00:88::/64"},
        ],
    }
)
LINKS = [
    {
        "ifname": "p0",
        "addr_info": [
            {"local": "fe80::1"},
            {"local": "10.0.0.1"},
            {"local": "fd00:77::f", "temporary": True},
            {"local": "fd00:77::1"},
        ],
    }
]


def test_each_network_goes_to_the_plane_of_its_family() -> None:
    addresses = server_addresses(SITE, own_addresses(lambda: LINKS))
    kept = {ip_address("fd00:77::10"): frozenset({"m"}), ip_address("10.0.0.9"): frozenset[str]()}
    view = site_view(SITE, addresses, http_port=8080, bootos=None, kept=kept)

    assert [network.name for network in view.networks] == ["prov"]
    assert [network.name for network in view.networks6] == ["prov6", "far6"]
    assert (view.networks6[0].mtu, view.networks6[0].lease_s) == (1400, 1800)
    assert view.networks6[0].kept == {IPv6Address("fd00:77::10"): frozenset({"m"})}
    assert [(option.code, option.arch) for option in view.networks6[0].options] == [(24, None), (24, 7)]
    assert {name: str(address) for name, address in view.server_addresses.items()} == {"prov": "10.0.0.1"}
    assert {name: str(address) for name, address in view.server_addresses6.items()} == {
        "prov6": "fd00:77::1",
        "far6": "fd00:77::1",
    }


def test_a_pool_steps_over_a_gap_larger_than_all_of_ipv4() -> None:
    found = pool_addresses(SITE.networks[1])

    assert [str(address) for address, _ in zip(found, range(3), strict=False)] == [
        "fd00:77::10",
        "fd00:77::e000:0:0:1",
        "fd00:77::e000:0:0:2",
    ]


def test_an_ipv6_address_stands_in_brackets_in_a_url() -> None:
    assert [url_host(ip_address(text)) for text in ("fd00::1", "10.0.0.1")] == ["[fd00::1]", "10.0.0.1"]
