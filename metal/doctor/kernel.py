"""This machine as the kernel shows it: interfaces, routes, sockets with their holders, capabilities.

Addresses and routes come from `ip -j`, sockets from /proc: both show the network namespace that one is in.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface
from pathlib import Path
from typing import Any, Final, Literal

from specs.shapes import IpAddress, IpNetwork

Protocol = Literal["udp", "tcp"]
CAPABILITIES: Final[Mapping[str, int]] = {
    "CAP_NET_BIND_SERVICE": 10,
    "CAP_NET_ADMIN": 12,
    "CAP_NET_RAW": 13,
}
"""Bits of linux/capability.h."""
_TCP_LISTEN: Final = "0A"


@dataclass(frozen=True, slots=True)
class Link:
    """An interface."""

    name: str
    up: bool
    carrier: bool
    mac: str
    mtu: int
    kind: str = ""
    """`bridge`, `veth`, `vlan` …; empty for hardware."""
    addresses: tuple[IPv4Interface | IPv6Interface, ...] = ()


@dataclass(frozen=True, slots=True)
class Route:
    """How the kernel would send to an address."""

    interface: str
    via: IpAddress | None = None


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that has a socket on a port; pid 0 where it belongs to somebody whom we may not look at."""

    pid: int
    name: str
    command: str = ""

    def __str__(self) -> str:
        """Name and number, as an operator looks for it."""
        if not self.pid:
            return "a process of another user (run as root to see which)"
        return f"{self.name} (pid {self.pid})"


def _ip(*words: str) -> list[dict[str, Any]] | None:
    if shutil.which("ip") is None:
        return None
    done = subprocess.run(["ip", "-j", *words], capture_output=True, timeout=5, check=False)
    if done.returncode:
        return None
    try:
        told: list[dict[str, Any]] = json.loads(done.stdout or b"[]")
    except ValueError:
        return None
    return told


def read_links() -> dict[str, Link]:
    """All interfaces by name; none where iproute2 is not installed."""
    return parse_links(_ip("-d", "addr") or [])


def parse_links(told: Iterable[Mapping[str, Any]]) -> dict[str, Link]:
    """What `ip -j -d addr` says."""
    links: dict[str, Link] = {}
    for link in told:
        name, flags = str(link.get("ifname", "")), link.get("flags", ())
        infos = [info for info in link.get("addr_info", ()) if info.get("scope") != "link"]
        links[name] = Link(
            name=name,
            up="UP" in flags,
            carrier="LOWER_UP" in flags and "NO-CARRIER" not in flags,
            mac=str(link.get("address", "")),
            mtu=int(link.get("mtu", 1500)),
            kind=str(link.get("linkinfo", {}).get("info_kind", "")),
            addresses=tuple(ip_interface(f"{info['local']}/{info['prefixlen']}") for info in infos),
        )
    return links


def link_in(links: Iterable[Link], subnet: IpNetwork) -> Link | None:
    """The first interface with an address in a subnet."""
    return next((link for link in links if any(a.ip in subnet for a in link.addresses)), None)


def route_to(address: IpAddress) -> Route | None:
    """The route to an address, None when there is none."""
    told = _ip("route", "get", str(address))
    if not told or "dev" not in told[0]:
        return None
    via = told[0].get("gateway")
    return Route(interface=str(told[0]["dev"]), via=ip_address(via) if via else None)


def listening(protocol: Protocol, port: int) -> frozenset[int]:
    """Inodes of sockets bound to a port: any UDP socket, listening TCP ones; IPv4 and IPv6."""
    found: set[int] = set()
    for family in ("", "6"):
        try:
            table = Path(f"/proc/self/net/{protocol}{family}").read_text()
        except OSError:
            continue
        found |= set(parse_sockets(table, port, listen_only=protocol == "tcp"))
    return frozenset(found)


def parse_sockets(table: str, port: int, *, listen_only: bool) -> Iterator[int]:
    """Inodes in a table of /proc/net whose local port it is."""
    for line in table.splitlines()[1:]:
        words = line.split()
        if len(words) < 10 or (listen_only and words[3] != _TCP_LISTEN):
            continue
        if int(words[1].rpartition(":")[2], 16) == port:
            yield int(words[9])


def holders(inodes: Iterable[int]) -> tuple[Holder, ...]:
    """The processes that have these sockets."""
    wanted = set(inodes)
    found: dict[int, Holder] = {}
    seen: set[int] = set()
    for folder in Path("/proc").glob("[0-9]*"):
        mine = _sockets_of(folder) & wanted
        if mine:
            seen |= mine
            found[int(folder.name)] = _holder(folder)
    hidden = (Holder(0, ""),) if wanted - seen else ()
    return (*(found[pid] for pid in sorted(found)), *hidden)


def lasting_holders(protocol: Protocol, port: int) -> tuple[Holder, ...]:
    """Who has a port at two readings, one after the other.

    A child that is being started has its parent's sockets until its program is loaded, and a socket can
    close between the reading of the table and that of the processes: neither shares a port with anybody.
    """
    first = holders(listening(protocol, port))
    return tuple(holder for holder in holders(listening(protocol, port)) if holder in first)


def _sockets_of(folder: Path) -> set[int]:
    try:
        names = os.listdir(folder / "fd")  # noqa: PTH208 - a Path per descriptor costs ten times as much
    except OSError:  # it ended, or is somebody else's
        return set()
    inodes = set()
    for name in names:
        with suppress(OSError):  # closed since the listing, as descriptors of a busy server are
            target = os.readlink(folder / "fd" / name)  # noqa: PTH115
            if match := re.fullmatch(r"socket:\[(\d+)\]", target):
                inodes.add(int(match[1]))
    return inodes


def _holder(folder: Path) -> Holder:
    try:
        name = (folder / "comm").read_text().strip()
        command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        name, command = "a process that has just ended", ""
    return Holder(int(folder.name), name, command)


def capabilities(pid: int | str = "self") -> frozenset[str]:
    """Which of the capabilities that matter here a process has."""
    status = Path(f"/proc/{pid}/status").read_text()
    match = re.search(r"^CapEff:\s*([0-9a-f]+)", status, re.MULTILINE)
    mask = int(match[1], 16) if match else 0
    return frozenset(name for name, bit in CAPABILITIES.items() if mask & (1 << bit))


def first_open_port() -> int:
    """The lowest port that needs no right to be bound."""
    try:
        return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    except (OSError, ValueError):
        return 1024
