"""`lan print CHANNEL`, and what `channel info` and `sol info` tell of a LAN channel."""

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address
from typing import Final, Literal

from metal.drivers.bmc.ipmitool.table import read_table
from metal.drivers.identity.placeholders import Identities
from metal.drivers.parsed import Parsed
from metal.drivers.tool_text import number

TOOL: Final = "ipmitool-lan"

IpSource = Literal["static", "dhcp", "bios", "other"]

_SOURCES: Final[dict[str, IpSource | None]] = {
    "static address": "static",
    "dhcp address": "dhcp",
    "bios assigned address": "bios",
    "other": "other",
    "unspecified": None,
    "unknown": None,
}
"""IP Address Source, codes 0 to 4 of the LAN configuration parameter 4 (IPMI 2.0, table 23-4)."""
_KEYS: Final = frozenset(
    {
        "set in progress",
        "auth type support",
        "auth type enable",
        "ip address source",
        "ip address",
        "subnet mask",
        "mac address",
        "snmp community string",
        "ip header",
        "bmc arp control",
        "gratituous arp intrvl",  # as ipmitool spells it
        "gratuitous arp intrvl",
        "default gateway ip",
        "default gateway mac",
        "backup gateway ip",
        "backup gateway mac",
        "802.1q vlan id",
        "802.1q vlan priority",
        "rmcp+ cipher suites",
        "cipher suite priv max",
        "bad password threshold",
        "invalid password disable",
        "attempt count reset int.",
        "user lockout interval",
    }
)


@dataclass(frozen=True, slots=True)
class LanInfo:
    """One LAN channel."""

    ip_source: IpSource | None
    address: str | None
    netmask: str | None
    mac: str | None
    gateway: str | None
    vlan: int | None
    cipher_suites: tuple[int, ...]


def parse(text: str) -> Parsed[LanInfo]:
    """One LAN channel; a channel that is none has no such lines and is refused."""
    table = read_table(TOOL, text, _KEYS, "a line 'IP Address' or 'MAC Address'")
    ids = Identities()
    source = (table.get("IP Address Source") or "").lower()
    value = LanInfo(
        ip_source=_SOURCES.get(source, "other") if source else None,
        address=_address(table.get("IP Address")),
        netmask=_address(table.get("Subnet Mask")),
        mac=ids.mac(table.get("MAC Address"), "mac"),
        gateway=_address(table.get("Default Gateway IP")),
        vlan=number(table.get("802.1q VLAN ID")),
        cipher_suites=tuple(
            int(suite) for suite in re.findall(r"\b\d{1,3}\b", table.get("RMCP+ Cipher Suites") or "")
        ),
    )
    return Parsed(value, table.ignored, tuple(ids.paths))


def parse_sol(text: str) -> bool | None:
    """`sol info CHANNEL`: whether serial over LAN is enabled."""
    match = re.search(r"^Enabled *: *(true|false)\b", text, re.MULTILINE)
    return match[1] == "true" if match else None


def parse_channel(text: str) -> str | None:
    """`channel info CHANNEL`: the active access mode ("always available"); None where it is not told."""
    match = re.search(r"Access Mode *: *(\S.*)$", text, re.MULTILINE)
    return match[1].strip().lower() if match else None


def _address(text: str | None) -> str | None:
    try:
        address = IPv4Address(text or "")
    except AddressValueError:
        return None
    return str(address) if int(address) else None
