"""Loaders in the boot folder, and interfaces of the host."""

from ipaddress import IPv4Address, IPv4Network

from pxe_edge.policy.loaders import LOADER_FILES
from pxe_edge.policy.networks import Link
from pxe_edge.policy.views import NetworkView, SiteView
from pxe_edge.servers.files import FileTable
from pxe_edge.servers.links import read_links
from pxe_edge.servers.loaders import SOURCES, publish_loaders
from pxe_edge.servers.packets import advertised
from pxe_edge.servers.ra import Advertised


def packaged(root, name, content=b"packaged"):
    path = root / SOURCES[name][1]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_loaders_are_published_and_a_sites_own_build_stays(tmp_path):
    root, boot = tmp_path / "root", tmp_path / "data" / "boot"
    for name in SOURCES:
        packaged(root, name)
    boot.mkdir(parents=True)
    (boot / "snponly.efi").write_bytes(b"signed by the site")
    for _ in range(2):
        assert publish_loaders(boot, root) == ()
        assert (boot / "snponly.efi").read_bytes() == b"signed by the site"
        assert (boot / "undionly.kpxe").read_bytes() == b"packaged"
    assert FileTable(boot).names() == set(SOURCES)


def test_a_new_version_of_the_package_reaches_the_machines_unless_the_site_changed_the_file(tmp_path):
    root, boot = tmp_path / "root", tmp_path / "boot"
    for name in ("snponly.efi", "undionly.kpxe"):
        packaged(root, name)
    publish_loaders(boot, root)
    (boot / "undionly.kpxe").write_bytes(b"the site's")
    for name in ("snponly.efi", "undionly.kpxe"):
        packaged(root, name, b"upgraded")
    publish_loaders(boot, root)
    assert (boot / "snponly.efi").read_bytes() == b"upgraded"
    assert (boot / "undionly.kpxe").read_bytes() == b"the site's"


def test_loaders_that_are_not_installed_are_named(tmp_path):
    packaged(tmp_path / "root", "undionly.kpxe")
    assert publish_loaders(tmp_path / "boot", tmp_path / "root") == tuple(
        sorted(SOURCES.keys() - {"undionly.kpxe"})
    )


def test_every_loader_of_the_tables_has_a_source():
    assert SOURCES.keys() == set(LOADER_FILES)


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
