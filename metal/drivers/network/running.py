"""Addresses and bonds of a running system, from `ip -j addr` and /proc/net/bonding."""

import json
import re
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_interface
from typing import Final

from metal.drivers.bundle import Query
from metal.drivers.network.links import IP
from metal.errors import Unparsable

IP_ADDR: Final = Query("ip-addr", (IP, "-j", "addr", "show"))

BONDING: Final = Query(
    "bonding",
    (
        "sh",
        "-c",
        r"""for f in /proc/net/bonding/*; do [ -r "$f" ] || continue
echo "bond ${f##*/}"; while IFS= read -r l; do echo "$l"; done <"$f"; done; :""",
    ),
)

_MODES: Final = {
    "load balancing (round-robin)": "balance-rr",
    "fault-tolerance (active-backup)": "active-backup",
    "load balancing (xor)": "balance-xor",
    "fault-tolerance (broadcast)": "broadcast",
    "IEEE 802.3ad Dynamic link aggregation": "802.3ad",
    "transmit load balancing": "balance-tlb",
    "adaptive load balancing": "balance-alb",
}
"""The kernel's sentence for a mode (drivers/net/bonding/bond_procfs.c) -> netplan's word."""


@dataclass(frozen=True, slots=True)
class Bonding:
    """One bond of a running system."""

    name: str
    mode: str
    members: tuple[str, ...]
    active: str | None
    up: dict[str, bool]
    """Member -> whether its MII status is up."""


def parse_addresses(text: str) -> dict[str, tuple[str, ...]]:
    """Interface -> addresses with prefix; loopback and link-local ones are left out."""
    try:
        rows = json.loads(text)
        found = {str(row["ifname"]): tuple(_addresses(row)) for row in rows if row}
    except (ValueError, KeyError, TypeError) as error:
        raise Unparsable(
            f"ip -j addr: expected a list of interfaces ({error})", reason="unparsable"
        ) from error
    return {name: addresses for name, addresses in found.items() if addresses}


def parse_bonding(text: str) -> tuple[Bonding, ...]:
    """All bonds that `BONDING` printed."""
    bonds = []
    for part in re.split(r"^bond (?=\S+$)", text, flags=re.MULTILINE)[1:]:
        name, _, body = part.partition("\n")
        mode = re.search(r"^Bonding Mode: (.+?)\s*$", body, re.MULTILINE)
        if not mode:
            raise Unparsable(f"/proc/net/bonding/{name}: expected a Bonding Mode line", reason="unparsable")
        active = re.search(r"^Currently Active Slave: (\S+)", body, re.MULTILINE)
        members = re.findall(r"^Slave Interface: (\S+)\nMII Status: (\S+)", body, re.MULTILINE)
        words = re.sub(r" \(fail_over_mac \w+\)$", "", mode[1])
        bonds.append(
            Bonding(
                name=name,
                mode=_MODES.get(words, words),
                members=tuple(member for member, _ in members),
                active=active[1] if active and active[1] != "None" else None,
                up={member: status == "up" for member, status in members},
            )
        )
    return tuple(bonds)


def _addresses(row: dict[str, list[dict[str, object]]]) -> list[str]:
    found = []
    for entry in row.get("addr_info", []):
        if "local" not in entry:
            continue
        address = ip_interface(f"{entry['local']}/{entry['prefixlen']}")
        ip = address.ip
        if not ip.is_loopback and not (isinstance(ip, IPv6Address) and ip.is_link_local):
            found.append(str(address))
    return found
