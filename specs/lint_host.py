"""What is wrong with one host after its Profiles are merged: devices, network, accounts, files."""

import base64
import binascii
from collections.abc import Iterable, Iterator
from typing import Final

from specs.explain import suggestion
from specs.identity import serial_identity
from specs.lint_disks import lint_disks
from specs.lint_raid import lint_raid, size_turned
from specs.model import Bond, DeviceRule, Ethernet, Host, Link, Vlan
from specs.records import Finding
from specs.specset import SpecSet
from specs.tree import MAX_FILE_BYTES, Mark

OWN_FILES: Final[dict[str, str]] = {
    "/etc/hostname": "hostname",
    "/etc/fstab": "disks",
    "/etc/crypttab": "disks",
    "/etc/machine-id": "the installed system",
    "/etc/rackflow/install.json": "the installer",
}
"""Files that other fields of the spec write, and which."""

BY_PATH: Final = "/dev/disk/by-path/"
_MAX_INTERFACE_NAME: Final = 15
_KEY_TYPES: Final = ("ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384")
_KEY_TYPES_MORE: Final = (
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)


class Place:
    """Where fields of one host stand."""

    def __init__(self, specs: SpecSet, host: Host) -> None:
        self._specs, self._name = specs, host.name

    def __call__(self, *path: str | int) -> Mark:
        """Where a field stands."""
        return self._specs.where("Host", self._name, *path)


def lint_host(specs: SpecSet, host: Host) -> Iterator[Finding]:
    """All findings of one host."""
    place = Place(specs, host)
    yield from _image(specs, place, host)
    yield from lint_raid(place, host)
    yield from _device_rules(place, host)
    yield from lint_disks(place, host)
    yield from _links(place, host)
    yield from _routes(place, host)
    yield from _users(place, host)
    yield from _files(specs, place, host)


def _image(specs: SpecSet, place: Place, host: Host) -> Iterator[Finding]:
    if host.image and host.root_device is None:
        told = "an image needs a disk to go to, and rootDevice is missing"
        yield place("image").finding(told, "add rootDevice: {serial: …} or {raid: …}")
    image = specs.images.get(host.image or "")
    mode = host.firmware.boot_mode
    if image and mode and mode not in image.os.boot_modes:
        told = f"image {host.image} boots by {', '.join(image.os.boot_modes)}, not by {mode}"
        yield place("firmware", "bootMode").finding(told, "choose another image or boot mode")


def _device_rules(place: Place, host: Host) -> Iterator[Finding]:
    names = {volume.name for volume in host.raid}
    rules: list[tuple[tuple[str | int, ...], DeviceRule]] = []
    rules += [(("rootDevice",), host.root_device)] if host.root_device else []
    rules += [(("disks", n, "device"), d.device) for n, d in enumerate(host.disks) if d.device != "root"]
    for path, rule in rules:
        if rule.raid and rule.raid not in names:
            hint = suggestion(rule.raid, names) or f"volumes: {', '.join(sorted(names)) or 'none'}"
            yield place(*path, "raid").finding(f"raid has no volume {rule.raid!r}", hint)
        if rule.raid and len(rule.model_dump(exclude_none=True)) > 1:
            yield place(*path).finding("raid stands alone in a device rule", "leave the other keys out")
        if size_turned(rule.min_size, rule.max_size):
            yield place(*path).finding("minSize is greater than maxSize", None)
        yield from _identities(place, path, rule)


def _identities(place: Place, path: tuple[str | int, ...], rule: DeviceRule) -> Iterator[Finding]:
    """What can name no disk: kernel names, placeholders, a medium that the transport never has."""
    if rule.by_path and rule.by_path.startswith("/") and not rule.by_path.startswith(BY_PATH):
        told = f"{rule.by_path} is no place on a bus: a kernel's name may be another disk's at the next boot"
        yield place(*path, "byPath").finding(told, f"write a name that ls {BY_PATH} shows")
    if rule.serial is not None and serial_identity(rule.serial) is None:
        told = f"{rule.serial!r} is what drives report that know no serial"
        yield place(*path, "serial").finding(told, "name the disk by wwn or byPath")
    if rule.media and rule.transport and (rule.media == "nvme") != (rule.transport == "nvme"):
        told = f"no disk of transport {rule.transport} has medium {rule.media}"
        yield place(*path, "media").finding(told, "NVMe drives have media: nvme; leave one of the two out")


def _links(place: Place, host: Host) -> Iterator[Finding]:
    network = host.network
    everything: dict[str, Link] = {**network.ethernets, **network.bonds, **network.vlans}
    if len(everything) < len(network.ethernets) + len(network.bonds) + len(network.vlans):
        yield place("network").finding("one name for two links", "names are unique over all sections")
    owner: dict[str, str] = {}
    for name, bond in network.bonds.items():
        for member in bond.interfaces:
            at = place("network", "bonds", name, "interfaces")
            if member not in network.ethernets:
                hint = suggestion(member, network.ethernets) or "add it to ethernets"
                yield at.finding(f"ethernets has no {member!r}", hint)
            elif member in owner:
                yield at.finding(f"{member} is a member of {owner[member]} already", "one bond each")
            else:
                yield from _member(place, member, network.ethernets[member])
            owner[member] = name
        yield from _bond(place, name, bond)
    for name, vlan in network.vlans.items():
        if vlan.link not in everything or vlan.link == name:
            hint = suggestion(vlan.link, set(everything) - {name}) or "name an ethernet or a bond"
            yield place("network", "vlans", name, "link").finding(f"no link is called {vlan.link!r}", hint)
    for section in ("ethernets", "bonds", "vlans"):
        yield from _link_names(place, section, getattr(network, section))


def _link_names(place: Place, section: str, names: Iterable[str]) -> Iterator[Finding]:
    for name in names:
        # The kernel's IFNAMSIZ is 16 with the closing zero; '/' and blanks are refused by it.
        if not 0 < len(name) <= _MAX_INTERFACE_NAME or any(c in name for c in "/ \t\n"):
            told = f"expected an interface name of 1 to {_MAX_INTERFACE_NAME} characters, got {name!r}"
            yield place("network", section, name).finding(told, "shorten it")


def _member(place: Place, name: str, nic: Ethernet) -> Iterator[Finding]:
    if nic.addresses or nic.routes or nic.dhcp4:
        at = place("network", "ethernets", name)
        yield at.finding(
            f"{name} is a member of a bond and has addresses of its own", "give them to the bond"
        )


def _bond(place: Place, name: str, bond: Bond) -> Iterator[Finding]:
    at = place("network", "bonds", name, "parameters")
    if bond.parameters.primary and bond.parameters.primary not in bond.interfaces:
        yield at.finding(f"primary {bond.parameters.primary!r} is no member of {name}", "name a member")
    if bond.parameters.primary and bond.parameters.mode not in (
        "active-backup",
        "balance-tlb",
        "balance-alb",
    ):
        yield at.finding(f"primary means nothing to {bond.parameters.mode}", "leave it out")
    if bond.parameters.lacp_rate and bond.parameters.mode != "802.3ad":
        yield at.finding(f"lacp-rate means nothing to {bond.parameters.mode}", "leave it out")


def _routes(place: Place, host: Host) -> Iterator[Finding]:
    defaults: list[str] = []
    sections: tuple[tuple[str, dict[str, Ethernet] | dict[str, Bond] | dict[str, Vlan]], ...] = (
        ("ethernets", host.network.ethernets),
        ("bonds", host.network.bonds),
        ("vlans", host.network.vlans),
    )
    for section, names in sections:
        for name, link in names.items():
            own = [one.network for one in link.addresses if not hasattr(one, "pool")]
            for index, route in enumerate(link.routes):
                at = place("network", section, name, "routes", index)
                complete = len(own) == len(link.addresses) and not link.dhcp4
                if complete and not any(route.via in net for net in own):
                    yield at.finding(f"{route.via} is in no network of {name}", "use a gateway on this link")
                if route.to == "default" or route.to.prefixlen == 0:
                    defaults.append(name)
                    if len(defaults) > 1:
                        yield at.finding(f"a second default route; {defaults[0]} has one", "keep one")


def _users(place: Place, host: Host) -> Iterator[Finding]:
    names: set[str] = set()
    for index, user in enumerate(host.users):
        at = place("users", index, "name")
        if user.name in names:
            yield at.finding(f"a second user called {user.name!r}", "keep one")
        if user.name == "rackflow":
            yield at.finding("user rackflow is the management user", "rename it, or see management")
        names.add(user.name)
        for number, key in enumerate(user.ssh_keys):
            if not _is_public_key(key):
                at = place("users", index, "sshKeys", number)
                told = f"expected a public key such as 'ssh-ed25519 AAAA…', got {key[:24]!r}"
                yield at.finding(told, "paste the line of a .pub file")


def _is_public_key(line: str) -> bool:
    kind, _, rest = line.strip().partition(" ")
    if kind not in (*_KEY_TYPES, *_KEY_TYPES_MORE) or "\n" in line.strip():
        return False
    try:
        blob = base64.b64decode(rest.split(" ")[0], validate=True)
    except (binascii.Error, ValueError):
        return False
    # RFC 4253, 6.6: the blob starts with its own type as a string.
    return blob[4 : 4 + int.from_bytes(blob[:4], "big")] == kind.encode()


def _files(specs: SpecSet, place: Place, host: Host) -> Iterator[Finding]:
    paths: set[str] = set()
    for index, file in enumerate(host.files):
        at = place("files", index, "path")
        if file.path in paths:
            yield at.finding(f"a second file {file.path}", "keep one")
        paths.add(file.path)
        if file.path in OWN_FILES:
            yield at.finding(f"{file.path} is written from {OWN_FILES[file.path]}", "change that instead")
        if file.path.startswith("/etc/systemd/network/") and "rackflow" in file.path:
            yield at.finding(f"{file.path} is written from network", "change that instead")
        content = specs.files.get(file.source or "", (file.content or "").encode())
        if len(content) > MAX_FILE_BYTES:
            yield at.finding(f"{file.path} has more than {MAX_FILE_BYTES} bytes", "put it into the image")
