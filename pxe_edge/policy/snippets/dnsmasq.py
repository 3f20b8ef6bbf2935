"""dnsmasq 2.80 and later: tags say who a client is, and the first fitting line counts."""

import re
from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Final

from pxe_edge.policy.snippets.served import NO_PROXY, Served
from pxe_edge.policy.views import SiteOption

_TEXTS: Final = frozenset({12, 14, 15, 17, 18, 40, 47, 56, 60, 62, 64, 66, 67, 86, 87, 100, 101, 114})
"""Options whose value is text (RFC 2132 and later ones)."""
_TEXT: Final = re.compile(r"[A-Za-z0-9._/:@+=-]*[g-zG-Z][A-Za-z0-9._/:@+=-]*")
"""Text that is no address, no hex and no list, however it is looked at."""
_NUMBER: Final = re.compile(r"[0-9]+[bsi]")
_ADDRESSES: Final = frozenset(
    {*range(3, 12), 16, 21, 28, 32, 33, 41, 42, 44, 45, 48, 49, 65, *range(68, 77), 85, 150}
)
"""Options whose value is addresses (RFC 2132, RFC 2241, Cisco's 150)."""
_HEAD: Final = """\
# rackflow site {site}: dnsmasq as the DHCP server of {names}.
# Put it into /etc/dnsmasq.d/rackflow.conf, set mode: off for these networks in the Site, restart dnsmasq.
# port=0                        # uncomment it where this dnsmasq is to serve no DNS
dhcp-authoritative

# who asks: iPXE, and the architecture of option 93 (RFC 4578)
dhcp-match=set:ipxe,175
dhcp-userclass=set:ipxe,iPXE
dhcp-vendorclass=set:http,HTTPClient
"""


def render(site: str, networks: tuple[Served, ...]) -> str:
    """The whole file."""
    names = ", ".join(f"{one.name} ({one.view.subnet})" for one in networks)
    lines = [_HEAD.format(site=site, names=names).rstrip()]
    lines += [f"dhcp-match=set:arch-{arch},93,{arch}" for stage in networks[0].stages for arch in stage.archs]
    lines += ["", "# UEFI HTTP boot takes no offer without option 60 (UEFI specification, HTTP boot)"]
    lines.append("dhcp-option-force=tag:http,60,HTTPClient")
    lines.append("# iPXE: do not wait three seconds for a proxy")
    lines.append(f"dhcp-option=tag:ipxe,encap:175,{NO_PROXY[0]},{NO_PROXY[2]}b")
    for network in networks:
        lines += ["", f"# network {network.name}", *_network(network)]
    return "\n".join(lines) + "\n"


def _network(network: Served) -> Iterator[str]:
    view, tag = network.view, f"tag:{network.name}"
    mask = view.subnet.netmask
    for first, last in network.ranges:
        yield f"dhcp-range=set:{network.name},{first},{last},{mask},{view.lease_s}"
    if not network.ranges:
        yield f"dhcp-range=set:{network.name},{view.subnet.network_address},static,{mask},{view.lease_s}"
    # Without a value the option is not sent; left out, dnsmasq names itself.
    yield f"dhcp-option={tag},option:router" + (f",{view.gateway}" if view.gateway else "")
    yield f"dhcp-option={tag},option:dns-server" + "".join(f",{one}" for one in view.dns)
    if view.ntp:
        yield f"dhcp-option={tag},option:ntp-server" + "".join(f",{one}" for one in view.ntp)
    if view.mtu is not None:
        yield f"dhcp-option={tag},option:mtu,{view.mtu}"
    for mac, address in view.reservations.items():
        yield f"dhcp-host={mac},{address}"
    yield f"dhcp-boot={tag},tag:ipxe,{network.script},,{network.edge}"
    for stage in network.stages:
        for arch in stage.archs:
            yield f"dhcp-boot={tag},tag:!ipxe,tag:arch-{arch},{network.loader(stage)},,{network.edge}"
    for number, option in enumerate(network.options):
        yield from _option(network, number, option)


def _option(network: Served, number: int, option: SiteOption) -> Iterator[str]:
    tags, own = [f"tag:{network.name}"], f"{network.name}-{number}"
    if option.arch is not None:
        yield f"dhcp-match=set:{own}-arch,93,{option.arch}"
        tags.append(f"tag:{own}-arch")
    for word, value in (("vendorclass", option.vendor_class), ("userclass", option.user_class)):
        if value:
            yield f"dhcp-{word}=set:{own}-{word},{value.decode()}"
            tags.append(f"tag:{own}-{word}")
    if option.mac:
        yield f"dhcp-mac=set:{own}-mac,{option.mac}"
        tags.append(f"tag:{own}-mac")
    yield f"dhcp-option-force={','.join(tags)},{option.code},{_octets(option.code, option.value)}"


def _octets(code: int, value: bytes) -> str:
    """A value as dnsmasq reads it back: it guesses, and refuses hex where it knows an option's type."""
    if code in _ADDRESSES and len(value) % 4 == 0:
        return ",".join(str(IPv4Address(value[at : at + 4])) for at in range(0, len(value), 4))
    text = value.decode("latin-1")
    if code in _TEXTS and text.isascii() and text.isprintable() and not set(text) & {'"', "\\"}:
        return f'"{text}"'
    if _TEXT.fullmatch(text) and not _NUMBER.fullmatch(text):
        return text
    # One octet alone would be read as text; with `b` it is a number of one octet.
    return f"{value[0]}b" if len(value) == 1 else value.hex(":")
