"""Loaders in the boot folder, and interfaces of the host."""

from ipaddress import IPv4Address, IPv4Network

from pxe_edge.policy.networks import Link
from pxe_edge.policy.views import NetworkView, SiteView
from pxe_edge.servers.links import read_links
from pxe_edge.servers.loaders import publish_loaders
from pxe_edge.servers.packets import advertised
from pxe_edge.servers.ra import Advertised


def test_loaders_are_published_and_a_sites_own_build_stays(tmp_path):
    source, boot = tmp_path / "ipxe", tmp_path / "data" / "boot"
    source.mkdir()
    (source / "snponly.efi").write_bytes(b"packaged")
    (source / "undionly.kpxe").write_bytes(b"packaged")
    boot.mkdir(parents=True)
    (boot / "snponly.efi").write_bytes(b"signed by the site")
    assert publish_loaders(boot, source) == ()
    assert (boot / "snponly.efi").read_bytes() == b"signed by the site"
    assert (boot / "undionly.kpxe").read_bytes() == b"packaged"


def test_loaders_that_are_not_installed_are_named(tmp_path):
    assert publish_loaders(tmp_path / "boot", tmp_path / "none") == ("snponly.efi", "undionly.kpxe")


def test_the_loopback_interface_is_seen():
    loopback = next(link for link in read_links().values() if link.interface == "lo")
    assert (loopback.index, loopback.mac, loopback.mtu) == (1, bytes(6), 65536)
    assert loopback.address_in(IPv4Network("127.0.0.0/8")) in (None, IPv4Address("127.0.0.1"))


def test_only_provisioning_links_that_want_it_are_advertised_on():
    networks = (
        NetworkView("a", "provisioning", IPv4Network("10.0.0.0/24"), interface="a"),
        NetworkView("b", "bmc", IPv4Network("10.0.1.0/24"), interface="b"),
        NetworkView(
            "c", "provisioning", IPv4Network("10.0.2.0/24"), interface="c", router_advertisements=False
        ),
    )
    links = {number: Link(name, number) for number, name in enumerate("abcd", 1)}
    assert advertised(SiteView("lab", networks=networks), links) == {"a": Advertised(links[1])}
