"""Addresses of a running system, from `ip -j addr`."""

import json
from ipaddress import IPv6Address, ip_interface

from metal.errors import Unparsable


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
