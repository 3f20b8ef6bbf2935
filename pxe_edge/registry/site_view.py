"""The current set's Site as the packet plane sees it."""

import json
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from pathlib import Path
from types import MappingProxyType
from typing import Final

from pxe_edge.policy.views import AddressRange, BootOsView, NetworkView, SiteOption, SiteView
from pxe_edge.registry.addresses import address_range
from pxe_edge.registry.site_view6 import Part, network6
from specs.durations import seconds
from specs.shapes import IpAddress
from specs.site_model import DhcpOption, OptionMatch, Site, SiteNetwork


def site_view(
    site: Site,
    addresses: Mapping[str, IpAddress],
    *,
    http_port: int,
    bootos: BootOsView | None,
    kept: Mapping[IpAddress, frozenset[str]] = MappingProxyType({}),
    fixed: Mapping[str, IpAddress] = MappingProxyType({}),
    absent_loaders: Iterable[str] = (),
) -> SiteView:
    """One immutable view of the site.

    `kept` are the addresses that are somebody's, with their MACs; `fixed` what hosts get by DHCP, by MAC.
    """
    told = {name: address for name, address in addresses.items() if isinstance(address, IPv4Address)}
    told6 = {name: address for name, address in addresses.items() if isinstance(address, IPv6Address)}
    parts = {network.name: _part(network, kept, fixed) for network in site.networks}
    return SiteView(
        name=site.metadata.name,
        discovery=site.discovery,
        boot_order=site.boot.order,
        loader=site.boot.loader,
        secure_boot=site.boot.secure_boot,
        absent_loaders=frozenset(absent_loaders),
        networks=tuple(
            _network(network, network.subnet, parts[network.name])
            for network in site.networks
            if isinstance(network.subnet, IPv4Network)
        ),
        server_addresses=MappingProxyType(told),
        networks6=tuple(
            network6(network, network.subnet, parts[network.name])
            for network in site.networks
            if not isinstance(network.subnet, IPv4Network)
        ),
        server_addresses6=MappingProxyType(told6),
        http_port=http_port,
        bootos=bootos,
    )


def _part(
    network: SiteNetwork, kept: Mapping[IpAddress, frozenset[str]], fixed: Mapping[str, IpAddress]
) -> Part:
    reservations = {one.mac: one.address for one in network.reservations}
    reservations.update({mac: address for mac, address in fixed.items() if address in network.subnet})
    return Part(
        options=tuple(sorted(map(_option, network.options), key=lambda option: option.keys)),
        reservations=reservations,
        kept={address: macs for address, macs in kept.items() if address in network.subnet},
    )


def _network(network: SiteNetwork, subnet: IPv4Network, part: Part) -> NetworkView:
    return NetworkView(
        name=network.name,
        purpose=network.purpose,
        subnet=subnet,
        interface=network.interface,
        gateway=next(_v4([network.gateway]), None),
        pool=_ranges(network.pool),
        exclude=_ranges(network.exclude),
        dns=tuple(_v4(network.dns)),
        ntp=tuple(_v4(network.ntp)),
        mtu=network.mtu,
        lease_s=seconds(network.lease),
        mode=network.mode,
        router_advertisements=network.router_advertisements,
        conflict_probe=network.conflict_probe,
        relays=tuple(_v4(network.relays)),
        trusted=network.trusted,
        reservations=MappingProxyType(
            {mac: each for mac, each in part.reservations.items() if isinstance(each, IPv4Address)}
        ),
        kept=MappingProxyType({address: part.kept[address] for address in _v4(part.kept)}),
        options=part.options,
    )


def _v4(addresses: Iterable[IpAddress | None]) -> Iterator[IPv4Address]:
    # The lint lets a network have one family; here it is only made known to the types.
    return (address for address in addresses if isinstance(address, IPv4Address))


def _ranges(texts: tuple[str, ...]) -> tuple[AddressRange, ...]:
    ends = (tuple(_v4(address_range(text))) for text in texts)
    return tuple(AddressRange(first, last) for first, last in ends)


def _option(option: DhcpOption) -> SiteOption:
    match = option.match or OptionMatch.model_construct()
    return SiteOption(
        option.code,
        option_value(option),
        arch=match.arch,
        vendor_class=(match.vendor_class or "").encode(),
        user_class=(match.user_class or "").encode(),
        host=match.host or "",
        mac=match.mac or "",
    )


def option_value(option: DhcpOption) -> bytes:
    """The octets that an option of the Site puts onto the wire."""
    if option.text is not None:
        return option.text.encode()
    if option.hex is not None:
        return bytes.fromhex(option.hex)
    if option.addresses is not None:
        return b"".join(address.packed for address in option.addresses)
    return _integers(option.integers or ())


def _integers(given: dict[str, list[int]] | tuple[int, ...]) -> bytes:
    # `{u8: […]}`, `{u16: […]}`, `{u32: […]}` say the width; a bare list is octets.
    if isinstance(given, tuple):
        return bytes(given)
    widths = {"u8": 1, "u16": 2, "u32": 4}
    return b"".join(n.to_bytes(widths[width], "big") for width, numbers in given.items() for n in numbers)


_DEBIAN_NAMES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
"""The builder says of a boot OS what `uname -m` says in it."""


def bootos_view(boot_folder: Path) -> BootOsView | None:
    """The boot OS that is current in the boot folder; None when none is built."""
    try:
        current = json.loads((boot_folder / "bootos" / "current.json").read_text())
        return BootOsView(
            kernel=str(current["kernel"]),
            initrds=tuple(str(name) for name in current["initrds"]),
            firmware=current.get("firmware"),
            kernel_args=str(current.get("kernel_args", "")),
            architecture=_debian_name(str(current.get("arch", "amd64"))),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _debian_name(architecture: str) -> str:
    return _DEBIAN_NAMES.get(architecture, architecture)
