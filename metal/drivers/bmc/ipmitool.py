"""What ipmitool prints, as values: `mc info`, `lan print`, `user list`, `channel getaccess`, `sol info`.

Its texts are tables for people: `Key : value` lines padded with blanks, names it does not know as
"Unknown (0x…)", usable output with exit status 1, and errors as sentences on stdout. A text without
one line that belongs to it is refused; addresses of zeros are no addresses.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal
from uuid import UUID

from metal.errors import Unparsable
from specs.identity import mac_identity, uuid_identity

IpSource = Literal["static", "dhcp", "bios", "other"]

_SOURCES: Final[dict[str, IpSource]] = {
    "static address": "static",
    "dhcp address": "dhcp",
    "bios assigned address": "bios",
}
_PRIVILEGES: Final = (
    "NO ACCESS",
    "ADMINISTRATOR",
    "OPERATOR",
    "USER",
    "CALLBACK",
    "OEM",
    "Unknown",
)
_USER_ROW = re.compile(
    rf"^(?P<id>\d+)\s+(?P<name>.*?)\s*(?P<callin>true|false)\s+(?P<link>true|false)\s+(?P<ipmi>true|false)"
    rf"\s+(?P<privilege>{'|'.join(_PRIVILEGES)}|Unknown \(0x[0-9a-fA-F]+\))\s*$"
)


@dataclass(frozen=True, slots=True)
class McInfo:
    """`ipmitool mc info`; names that ipmitool does not know are None."""

    device_id: int | None
    firmware: str | None
    ipmi_version: str | None
    manufacturer_id: int | None
    manufacturer: str | None
    product_id: int | None
    product: str | None


@dataclass(frozen=True, slots=True)
class LanInfo:
    """`ipmitool lan print CHANNEL`."""

    ip_source: IpSource | None
    address: str | None
    netmask: str | None
    mac: str | None
    gateway: str | None
    vlan: int | None
    cipher_suites: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class BmcUser:
    """A user slot; `name` is None where it is empty, `enabled` None where the text does not say."""

    id: int
    name: str | None
    callin: bool | None
    link_auth: bool | None
    ipmi_msg: bool | None
    privilege: str | None
    enabled: bool | None = None


def parse_mc_info(text: str) -> McInfo:
    """Device ID and who made it."""
    lines = key_values(text)
    if not {"Device ID", "Firmware Revision", "Manufacturer ID"} & lines.keys():
        raise _unparsable("mc info", "a line 'Device ID' or 'Firmware Revision'", text)
    return McInfo(
        device_id=_integer(lines.get("Device ID")),
        firmware=lines.get("Firmware Revision") or None,
        ipmi_version=lines.get("IPMI Version") or None,
        manufacturer_id=_integer(lines.get("Manufacturer ID")),
        manufacturer=_known(lines.get("Manufacturer Name")),
        product_id=_integer(lines.get("Product ID")),
        product=_known(lines.get("Product Name")),
    )


def parse_lan(text: str) -> LanInfo:
    """One LAN channel; a channel that is none has no such lines and is refused."""
    lines = key_values(text)
    if not {"IP Address Source", "IP Address", "MAC Address"} & lines.keys():
        raise _unparsable("lan print", "a line 'IP Address' or 'MAC Address'", text)
    source = lines.get("IP Address Source", "").lower()
    suites = re.findall(r"\d+", lines.get("RMCP+ Cipher Suites", ""))
    return LanInfo(
        ip_source=_SOURCES.get(source, "other") if source else None,
        address=_address(lines.get("IP Address")),
        netmask=_address(lines.get("Subnet Mask")),
        mac=mac_identity(lines.get("MAC Address")),
        gateway=_address(lines.get("Default Gateway IP")),
        vlan=_integer(lines.get("802.1q VLAN ID")),
        cipher_suites=tuple(int(suite) for suite in suites),
    )


def parse_users(text: str) -> tuple[BmcUser, ...]:
    """`user list CHANNEL`; names may hold blanks, and "NO ACCESS" is two words."""
    if not re.search(r"^ID\s+Name\b", text, re.MULTILINE):
        raise _unparsable("user list", "a header line 'ID  Name …'", text)
    rows = (_USER_ROW.match(line.rstrip()) for line in text.splitlines())
    return tuple(
        BmcUser(
            id=int(row["id"]),
            name=row["name"] if row["name"] not in ("", "(Empty User)") else None,
            callin=row["callin"] == "true",
            link_auth=row["link"] == "true",
            ipmi_msg=row["ipmi"] == "true",
            privilege=row["privilege"],
        )
        for row in rows
        if row
    )


def parse_access(text: str) -> tuple[BmcUser, ...]:
    """`channel getaccess CHANNEL`: a block per slot, with what `user list` leaves out, the enable status."""
    blocks = re.split(r"^(?=User ID\s*:)", text, flags=re.MULTILINE)
    users = [_access(key_values(block)) for block in blocks if block.startswith("User ID")]
    if not users:
        raise _unparsable("channel getaccess", "a line 'User ID'", text)
    return tuple(users)


def parse_sol(text: str) -> bool | None:
    """`sol info CHANNEL`: whether serial over LAN is enabled."""
    return _yes(key_values(text).get("Enabled"))


def parse_channel(text: str) -> str | None:
    """`channel info CHANNEL`: the active access mode ("always available"); None where it is not told."""
    match = re.search(r"Access Mode\s*:\s*(.+?)\s*$", text, re.MULTILINE)
    return match[1].lower() if match else None


def parse_guid(text: str) -> str | None:
    """`raw 0x06 0x37`: sixteen bytes, read in SMBIOS order, as over the LAN."""
    words = text.split()
    if len(words) < 16 or not all(re.fullmatch(r"[0-9a-fA-F]{2}", word) for word in words):
        raise _unparsable("raw 0x06 0x37", "sixteen bytes in hexadecimal", text)
    return uuid_identity(str(UUID(bytes_le=bytes.fromhex("".join(words[:16])))))


def key_values(text: str) -> dict[str, str]:
    """`Key : value` lines; the first of a key wins, continuation lines without a key are passed over."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon and key.strip():
            found.setdefault(key.strip(), value.strip())
    return found


def _access(lines: dict[str, str]) -> BmcUser:
    privilege = lines.get("Privilege Level")
    status = lines.get("Enable Status", "").lower()
    return BmcUser(
        id=int(lines["User ID"]) if lines["User ID"].isdigit() else 0,
        name=lines.get("User Name") or None,
        callin=None,
        link_auth=_yes(lines.get("Link Authentication")),
        ipmi_msg=_yes(lines.get("IPMI Messaging")),
        privilege=privilege or None,
        enabled={"enabled": True, "disabled": False}.get(status),
    )


def _yes(text: str | None) -> bool | None:
    return {"true": True, "enabled": True, "false": False, "disabled": False}.get((text or "").lower())


def _integer(text: str | None) -> int | None:
    match = re.match(r"\d+", text or "")
    return int(match[0]) if match else None


def _known(text: str | None) -> str | None:
    return text if text and not text.lower().startswith("unknown") else None


def _address(text: str | None) -> str | None:
    match = re.fullmatch(r"(\d{1,3}\.){3}\d{1,3}", text or "")
    return match[0] if match and match[0] != "0.0.0.0" else None


def _unparsable(command: str, expected: str, text: str) -> Unparsable:
    first = next((line.strip() for line in text.splitlines() if line.strip()), "nothing")
    return Unparsable(
        f"ipmitool {command}: expected {expected}, found {first[:120]!r}",
        reason="unparsable",
        hint="is ipmi_devintf loaded, and does the machine have a BMC?",
    )
