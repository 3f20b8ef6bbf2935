"""What is wrong with a set as a whole: claims, references and sums that no single document shows.

One rule per function; each yields findings and knows nothing of the others, so that all come at once.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

from specs.explain import suggestion
from specs.lint_host import lint_host
from specs.lint_site import lint_site, network_of
from specs.model import Host, HostNetwork, PoolAddress
from specs.records import Finding
from specs.specset import SpecSet, ordered

Claim = tuple[str, tuple[str | int, ...]]
"""What a host claims, in words, and where in its spec."""

_MACHINE_KEYS: Final = ("serial", "uuid", "mac", "bmc")


def lint(specs: SpecSet) -> tuple[Finding, ...]:
    """Findings across documents, sorted by place."""
    found = [*_claims(specs), *_references(specs), *_addresses(specs), *lint_site(specs)]
    for name in sorted(specs.hosts):
        found += lint_host(specs, specs.hosts[name])
    return ordered(found)


def links(network: HostNetwork) -> Iterator[tuple[str, str]]:
    """(section, name) of every link of a host, in order."""
    for section in ("ethernets", "bonds", "vlans"):
        for name in getattr(network, section):
            yield section, name


def _claims(specs: SpecSet) -> Iterator[Finding]:
    """Two hosts that claim one machine, one NIC or one address."""
    claimed: dict[str, list[tuple[Host, tuple[str | int, ...]]]] = defaultdict(list)
    for name in sorted(specs.hosts):
        host = specs.hosts[name]
        for what, path in (*_machine_claims(host), *_address_claims(host)):
            before = claimed[what]
            if before:
                other, other_path = before[0]
                at = specs.where("Host", name, *path)
                first = specs.where("Host", other.name, *other_path)
                who = "this host" if other is host else f"host {other.name}"
                told = f"{what} is claimed already by {who} ({first.file}:{first.line})"
                yield at.finding(told, "each belongs to one host")
            before.append((host, path))
    for what, path, reserved_for in _reserved(specs):
        for host, host_path in claimed.get(what, []):
            macs = {_mac(host, link) for link in host.network.ethernets}
            if reserved_for not in macs and not (host.match and host.match.mac == reserved_for):
                at = specs.where("Host", host.name, *host_path)
                site = specs.where("Site", specs.site.metadata.name if specs.site else "", *path)
                told = f"{what} is reserved for {reserved_for} ({site.file}:{site.line})"
                yield at.finding(told, "use another address, or change the reservation")


def _machine_claims(host: Host) -> Iterator[Claim]:
    for key in _MACHINE_KEYS if host.match else ():
        value = getattr(host.match, key)
        if value is not None:
            yield f"{key} {str(value).lower() if key == 'serial' else value}", ("match", key)
    for name in host.network.ethernets:
        mac = _mac(host, name)
        if mac and not (host.match and host.match.mac == mac):
            yield f"mac {mac}", ("network", "ethernets", name, "match", "macaddress")


def _address_claims(host: Host) -> Iterator[Claim]:
    if host.bmc.address:
        yield f"address {host.bmc.address}", ("bmc", "address")
    for section, name in links(host.network):
        for index, address in enumerate(getattr(host.network, section)[name].addresses):
            if not isinstance(address, PoolAddress):
                yield f"address {address.ip}", ("network", section, name, "addresses", index)


def _reserved(specs: SpecSet) -> Iterator[tuple[str, tuple[str | int, ...], str]]:
    for number, network in enumerate(specs.site.networks if specs.site else ()):
        for index, kept in enumerate(network.reservations):
            yield f"address {kept.address}", ("networks", number, "reservations", index), kept.mac


def _mac(host: Host, ethernet: str) -> str | None:
    match = host.network.ethernets[ethernet].match
    return match.macaddress if match else None


def _references(specs: SpecSet) -> Iterator[Finding]:
    """Names that nothing in the set bears: images, pools, source files, the site itself."""
    networks = {one.name for one in specs.site.networks} if specs.site else set()
    images = {name for kind, name in specs.trees if kind == "Image"}
    for name, host in sorted(specs.hosts.items()):
        if host.image and host.image not in images:
            at = specs.where("Host", name, "image")
            known = ", ".join(sorted(images)) or "none"
            hint = suggestion(host.image, images) or f"known images: {known}"
            yield at.finding(f"no Image is called {host.image!r}", hint)
        for section, link in links(host.network):
            for index, address in enumerate(getattr(host.network, section)[link].addresses):
                if isinstance(address, PoolAddress) and address.pool not in networks:
                    at = specs.where("Host", name, "network", section, link, "addresses", index)
                    hint = suggestion(address.pool, networks) or "add it to the Site's networks"
                    yield at.finding(f"the site has no network {address.pool!r}", hint)
        for index, file in enumerate(host.files):
            if file.source is not None and specs.files and file.source not in specs.files:
                at = specs.where("Host", name, "files", index, "source")
                told = f"the set has no file {file.source!r}"
                yield at.finding(
                    told, suggestion(file.source, specs.files) or "paths start at the spec folder"
                )


def _addresses(specs: SpecSet) -> Iterable[Finding]:
    """Addresses that their network cannot hold."""
    networks = specs.site.networks if specs.site else ()
    bmc_networks = [one for one in networks if one.purpose == "bmc"]
    for name, host in sorted(specs.hosts.items()):
        bmc = host.bmc.address
        if bmc and bmc_networks and not any(bmc in one.subnet for one in bmc_networks):
            told = ", ".join(f"{one.name} {one.subnet}" for one in bmc_networks)
            at = specs.where("Host", name, "bmc", "address")
            yield at.finding(f"{bmc} lies in no bmc network of the site: {told}", "choose one inside")
        for section, link in links(host.network):
            for index, address in enumerate(getattr(host.network, section)[link].addresses):
                if isinstance(address, PoolAddress):
                    continue
                at = specs.where("Host", name, "network", section, link, "addresses", index)
                inside = address.network
                ends = {inside.network_address, *([inside.broadcast_address] if inside.version == 4 else [])}
                if inside.prefixlen < inside.max_prefixlen - 1 and address.ip in ends:
                    yield at.finding(f"{address} is the network's own or broadcast address", "choose another")
                site_network = network_of(specs, address.ip)
                if site_network and site_network.gateway == address.ip:
                    yield at.finding(f"{address.ip} is the gateway of {site_network.name}", "choose another")
                elif site_network and site_network.subnet.prefixlen != inside.prefixlen:
                    told = f"{address} disagrees with {site_network.name}, which is {site_network.subnet}"
                    yield at.finding(told, f"write {address.ip}/{site_network.subnet.prefixlen}")
