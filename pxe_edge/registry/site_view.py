"""The current set's Site as the packet plane sees it."""

import json
from collections.abc import Mapping
from ipaddress import IPv4Address
from pathlib import Path
from types import MappingProxyType

from pxe_edge.policy.views import AddressRange, BootOsView, NetworkView, SiteOption, SiteView
from pxe_edge.registry.addresses import address_range
from specs.durations import seconds
from specs.site_model import DhcpOption, OptionMatch, Site, SiteNetwork


def site_view(
    site: Site,
    addresses: dict[str, IPv4Address],
    *,
    http_port: int,
    bootos: BootOsView | None,
    kept: Mapping[IPv4Address, frozenset[str]] = MappingProxyType({}),
    fixed: Mapping[str, IPv4Address] = MappingProxyType({}),
) -> SiteView:
    """One immutable view of the site.

    `kept` are the addresses that are somebody's, with their MACs; `fixed` what hosts get by DHCP, by MAC.
    """
    return SiteView(
        name=site.metadata.name,
        discovery=site.discovery,
        boot_order=site.boot.order,
        loader=site.boot.loader,
        networks=tuple(_network(network, kept, fixed) for network in site.networks),
        server_addresses=MappingProxyType(dict(addresses)),
        http_port=http_port,
        bootos=bootos,
    )


def _network(
    network: SiteNetwork, kept: Mapping[IPv4Address, frozenset[str]], fixed: Mapping[str, IPv4Address]
) -> NetworkView:
    reservations = {one.mac: one.address for one in network.reservations}
    reservations.update({mac: address for mac, address in fixed.items() if address in network.subnet})
    return NetworkView(
        name=network.name,
        purpose=network.purpose,
        subnet=network.subnet,
        interface=network.interface,
        gateway=network.gateway,
        pool=_ranges(network.pool),
        exclude=_ranges(network.exclude),
        dns=network.dns,
        ntp=network.ntp,
        mtu=network.mtu,
        lease_s=seconds(network.lease),
        mode=network.mode,
        router_advertisements=network.router_advertisements,
        relays=network.relays,
        trusted=network.trusted,
        reservations=MappingProxyType(reservations),
        kept=MappingProxyType({address: macs for address, macs in kept.items() if address in network.subnet}),
        options=tuple(sorted(map(_option, network.options), key=lambda option: option.keys)),
    )


def _ranges(texts: tuple[str, ...]) -> tuple[AddressRange, ...]:
    return tuple(AddressRange(*address_range(text)) for text in texts)


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


def bootos_view(boot_folder: Path) -> BootOsView | None:
    """The boot OS that is current in the boot folder; None when none is built."""
    try:
        current = json.loads((boot_folder / "bootos" / "current.json").read_text())
        return BootOsView(
            kernel=str(current["kernel"]),
            initrds=tuple(str(name) for name in current["initrds"]),
            firmware=current.get("firmware"),
            kernel_args=str(current.get("kernel_args", "")),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
