"""Kea 2: client classes say who a client is; classes of one network are evaluated for it alone."""

import json
from collections.abc import Iterator
from typing import Any, Final

from pxe_edge.policy.snippets.served import NO_PROXY, Served, Stage
from pxe_edge.policy.views import NetworkView, SiteOption

_HEAD: Final = """\
// rackflow site {site}: Kea as the DHCP server of {names}.
// Put it into /etc/kea/kea-dhcp4.conf, set mode: off for these networks in the Site, restart Kea.
"""
_IPXE: Final = "option[175].exists or option[77].hex == 'iPXE' or option[77].hex == 0x0469505845"
_ROUTERS, _DNS, _NTP, _MTU, _VENDOR_CLASS, _IPXE_OPTION = 3, 6, 42, 26, 60, 175


def render(site: str, networks: tuple[Served, ...]) -> str:
    """The whole file; Kea reads comments in its JSON."""
    names = ", ".join(f"{one.name} ({one.view.subnet})" for one in networks)
    dhcp4 = {
        "interfaces-config": {"interfaces": ["*"], "dhcp-socket-type": "raw"},
        "lease-database": {"type": "memfile", "persist": True},
        "authoritative": True,
        "calculate-tee-times": True,
        "option-def": [{"name": "ipxe", "code": _IPXE_OPTION, "space": "dhcp4", "type": "binary"}],
        "client-classes": [one for network in networks for one in _classes(network)],
        "subnet4": [_subnet(number, network) for number, network in enumerate(networks, 1)],
    }
    return _HEAD.format(site=site, names=names) + json.dumps({"Dhcp4": dhcp4}, indent=2) + "\n"


def _classes(network: Served) -> Iterator[dict[str, Any]]:
    """The classes of one network, each with what it adds."""
    yield {
        **_class(f"{network.name}-ipxe", _IPXE),
        "boot-file-name": network.script,
        "option-data": [_data(_IPXE_OPTION, NO_PROXY)],
    }
    for number, stage in enumerate(network.stages):
        yield _stage(network, f"{network.name}-loader-{number}", stage)
    for number, option in enumerate(network.options):
        if option.keys:
            name = f"{network.name}-option-{number}"
            yield {**_class(name, _test(option)), "option-data": [_data(option.code, option.value)]}


def _stage(network: Served, name: str, stage: Stage) -> dict[str, Any]:
    archs = " or ".join(f"substring(option[93].hex,0,2) == 0x{arch:04x}" for arch in stage.archs)
    found = {
        **_class(name, f"not member('{network.name}-ipxe') and ({archs})"),
        "next-server": str(network.edge),
        "boot-file-name": network.loader(stage),
    }
    if stage.http:
        # UEFI HTTP boot takes no offer without option 60 (UEFI specification, HTTP boot).
        found["option-data"] = [_data(_VENDOR_CLASS, b"HTTPClient")]
    return found


def _class(name: str, test: str) -> dict[str, Any]:
    return {"name": name, "test": test, "only-if-required": True}


def _test(option: SiteOption) -> str:
    tests = []
    if option.arch is not None:
        tests.append(f"substring(option[93].hex,0,2) == 0x{option.arch:04x}")
    if option.vendor_class:
        size, text = len(option.vendor_class), option.vendor_class.hex()
        tests.append(f"substring(option[60].hex,0,{size}) == 0x{text}")
    if option.user_class:
        raw, long = option.user_class.hex(), f"{len(option.user_class):02x}{option.user_class.hex()}"
        tests.append(f"(option[77].hex == 0x{raw} or option[77].hex == 0x{long})")
    if option.mac:
        tests.append(f"pkt4.mac == 0x{option.mac.replace(':', '')}")
    return " and ".join(tests)


def _data(code: int, value: bytes) -> dict[str, Any]:
    return {"code": code, "space": "dhcp4", "csv-format": False, "data": value.hex(), "always-send": True}


def _subnet(number: int, network: Served) -> dict[str, Any]:
    view = network.view
    found: dict[str, Any] = {
        "id": number,
        "subnet": str(view.subnet),
        "valid-lifetime": view.lease_s,
        "next-server": str(network.edge),
        "pools": [{"pool": f"{first} - {last}"} for first, last in network.ranges],
        "reservations": [
            {"hw-address": mac, "ip-address": str(address)} for mac, address in view.reservations.items()
        ],
        "require-client-classes": [one["name"] for one in _classes(network)],
        "option-data": [*_network_options(view), *_options_of_all(network)],
    }
    if view.relays:
        found["relay"] = {"ip-addresses": [str(address) for address in view.relays]}
    return found


def _network_options(view: NetworkView) -> Iterator[dict[str, Any]]:
    if view.gateway is not None:
        yield {"code": _ROUTERS, "data": str(view.gateway)}
    for code, addresses in ((_DNS, view.dns), (_NTP, view.ntp)):
        if addresses:
            yield {"code": code, "data": ", ".join(map(str, addresses))}
    if view.mtu is not None:
        yield {"code": _MTU, "data": str(view.mtu)}


def _options_of_all(network: Served) -> Iterator[dict[str, Any]]:
    return (_data(option.code, option.value) for option in network.options if not option.keys)
