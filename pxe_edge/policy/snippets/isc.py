"""ISC dhcpd 4: conditions inside of a subnet; an option that nobody asked for is sent only when listed."""

from collections.abc import Iterator
from typing import Final

from pxe_edge.policy.snippets.served import NO_PROXY, Served, Stage
from pxe_edge.policy.views import SiteOption

_HEAD: Final = """\
# rackflow site {site}: ISC dhcpd as the DHCP server of {names}.
# Put it into /etc/dhcp/dhcpd.conf, set mode: off for these networks in the Site, restart isc-dhcp-server.
authoritative;
ddns-update-style none;
option client-arch code 93 = string;
option ipxe code 175 = string;
"""
_VENDOR_CLASS: Final = 60
_IPXE: Final = 'exists ipxe or option user-class = "iPXE" or option user-class = 04:69:50:58:45'


def render(site: str, networks: tuple[Served, ...]) -> str:
    """The whole file."""
    names = ", ".join(f"{one.name} ({one.view.subnet})" for one in networks)
    codes = sorted({option.code for network in networks for option in network.options})
    parts = [_HEAD.format(site=site, names=names)]
    parts += [f"option site-{code} code {code} = string;\n" for code in codes]
    for network in networks:
        parts.append(f"\n# network {network.name}\n")
        parts.append(
            f"subnet {network.view.subnet.network_address} netmask {network.view.subnet.netmask} {{\n"
        )
        parts += [f"    {line}\n" for line in _network(network)]
        parts.append("}\n")
        parts += _reservations(network)
    return "".join(parts)


def _reservations(network: Served) -> Iterator[str]:
    for mac, address in network.view.reservations.items():
        name = f"{network.name}-{mac.replace(':', '')}"
        yield f"host {name} {{ hardware ethernet {mac}; fixed-address {address}; }}\n"


def _network(network: Served) -> Iterator[str]:
    view = network.view
    for first, last in network.ranges:
        yield f"range {first} {last};"
    yield f"default-lease-time {view.lease_s};"
    yield f"max-lease-time {view.lease_s};"
    if view.gateway is not None:
        yield f"option routers {view.gateway};"
    for word, addresses in (("domain-name-servers", view.dns), ("ntp-servers", view.ntp)):
        if addresses:
            yield f"option {word} {', '.join(map(str, addresses))};"
    if view.mtu is not None:
        yield f"option interface-mtu {view.mtu};"
    yield f"next-server {network.edge};"
    yield f"if {_IPXE} {{"
    yield f'    filename "{network.script}";'
    yield f"    option ipxe {NO_PROXY.hex(':')};"
    for stage in network.stages:
        yield f"}} elsif {_is(stage.archs)} {{"
        yield from (f"    {line}" for line in _stage(network, stage))
    yield "}"
    for option in network.options:
        yield from _option(option)
    yield from _asked(network)


def _stage(network: Served, stage: Stage) -> Iterator[str]:
    yield f'filename "{network.loader(stage)}";'
    if stage.http:
        # UEFI HTTP boot takes no offer without option 60 (UEFI specification, HTTP boot).
        yield 'option vendor-class-identifier "HTTPClient";'


def _is(archs: tuple[int, ...]) -> str:
    return " or ".join(
        f"substring(option client-arch, 0, 2) = {arch >> 8:02x}:{arch & 255:02x}" for arch in archs
    )


def _asked(network: Served) -> Iterator[str]:
    """Send what may be set above although the client did not ask for it; what has no value is not sent."""
    codes = {option.code for option in network.options}
    codes |= {_VENDOR_CLASS for stage in network.stages if stage.http}
    if codes:
        listed = ", ".join(f"{code:02x}" for code in sorted(codes))
        asked = "dhcp-parameter-request-list"
        yield f"if exists {asked} {{"
        yield f"    option {asked} = concat(option {asked}, {listed});"
        yield "}"


def _option(option: SiteOption) -> Iterator[str]:
    tests = []
    if option.arch is not None:
        tests.append(_is((option.arch,)))
    if option.vendor_class:
        size, text = len(option.vendor_class), option.vendor_class.hex(":")
        tests.append(f"substring(option vendor-class-identifier, 0, {size}) = {text}")
    if option.user_class:
        raw = option.user_class.hex(":")
        tests.append(f"(option user-class = {raw} or option user-class = {len(option.user_class):02x}:{raw})")
    if option.mac:
        tests.append(f"hardware = 01:{option.mac}")
    said = f"option site-{option.code} {option.value.hex(':')};"
    if not tests:
        yield said
        return
    yield f"if {' and '.join(tests)} {{"
    yield f"    {said}"
    yield "}"
