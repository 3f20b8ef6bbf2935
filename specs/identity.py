"""Identities of machines: MAC, UUID, serial, and which values are none.

A board that left the factory unprogrammed reports the same "serial" as ten thousand others. Treating
such a value as an identity merges two machines into one host, so they are named here and refused.
"""

import re
from typing import Annotated, Final
from uuid import UUID

from pydantic import BeforeValidator

_MAC = re.compile(r"^[0-9a-f]{2}(:[0-9a-f]{2}){5}$")

PLACEHOLDERS: Final[frozenset[str]] = frozenset(
    {
        "",
        "0",
        "0123456789",
        "1234567890",
        "123456789",
        "default string",
        "empty",
        "na",
        "n/a",
        "no asset tag",
        "none",
        "not applicable",
        "not available",
        "not provided",
        "not specified",
        "null",
        "oem",
        "o.e.m.",
        "serial number",
        "system serial number",
        "system manufacturer",
        "system product name",
        "to be filled by o.e.m.",
        "to be filled by oem",
        "unknown",
        "xxxxxxxx",
    }
)
"""Strings that vendors ship in place of a serial (SMBIOS types 1-3 as seen in the field), lower case."""

VENDOR_DEFAULT_UUIDS: Final[frozenset[str]] = frozenset(
    {
        "03000200-0400-0500-0006-000700080009",  # AMI reference BIOS, on boards of many makers
        "00020003-0004-0005-0006-000700080009",  # the same with its first fields swapped
        "12345678-1234-5678-90ab-cddeefaabbcc",
    }
)


def normalise_mac(text: object) -> str:
    """Return `aa:bb:cc:dd:ee:ff`; accept dashes, dots and upper case; raise ValueError otherwise."""
    given = text.strip().lower() if isinstance(text, str) else ""
    digits = re.sub(r"[^0-9a-f]", "", given)
    mac = ":".join(digits[i : i + 2] for i in range(0, len(digits), 2))
    separators = set(re.sub(r"[0-9a-f]", "", given))
    if not _MAC.match(mac) or len(separators) > 1 or not separators <= {":", "-", "."}:
        raise ValueError(f"expected a MAC such as 52:54:00:00:00:01, got {text!r}")
    return mac


def normalise_uuid(text: object) -> str:
    """Return the UUID in lower case with dashes; raise ValueError for anything else."""
    return str(UUID(text.strip() if isinstance(text, str) else ""))


def uuid_identity(text: str | None) -> str | None:
    """The UUID if it names one machine; None for absent, malformed, all-zero, all-F and vendor defaults."""
    if text is None:
        return None
    try:
        uuid = normalise_uuid(text)
    except ValueError:
        return None
    if uuid in VENDOR_DEFAULT_UUIDS or len(set(uuid.replace("-", ""))) == 1:
        return None
    return uuid


def serial_identity(text: str | None) -> str | None:
    """The serial if it names one machine; None for absent, placeholder and one-character-repeated values."""
    if text is None:
        return None
    serial = text.strip()
    squeezed = serial.lower().strip(".")
    if squeezed in PLACEHOLDERS or serial.lower() in PLACEHOLDERS or len(set(serial)) < 2:
        return None
    return serial


_DELL: Final = re.compile(r"4c4c4544-00(..)-(..)10-80(..)-(..)c04f(......)")
_HPE_SERIAL_CHARS: Final = 10


def serial_in_uuid(uuid: str | None) -> str | None:
    """The serial that a vendor wrote into the system UUID, for a machine that has told nothing else yet.

    A DHCP request carries the UUID (option 97) and never the serial. Dell's UUID is `DELL` and the service
    tag between constants, its first character with the top bit set; HPE's is six characters of the product
    number and ten of the serial, in SMBIOS order. Both as dmidecode prints them on machines in the field.
    """
    if uuid is None:
        return None
    if dell := _DELL.fullmatch(uuid):
        second, third, fourth, first, rest = (bytes.fromhex(part) for part in dell.groups())
        octets = bytes([first[0] & 0x7F]) + second + third + fourth + rest
    else:
        octets = UUID(uuid).bytes_le
        if not all(chr(octet).isalnum() for octet in octets):
            return None
        octets = octets[-_HPE_SERIAL_CHARS:]
    text = octets.decode("ascii", "replace")
    return serial_identity(text) if text.isascii() and text.isalnum() else None


def mac_identity(text: str | None) -> str | None:
    """The MAC if it names one NIC; None for absent, malformed, all-zero, broadcast and multicast."""
    if text is None:
        return None
    try:
        mac = normalise_mac(text)
    except ValueError:
        return None
    if mac in ("00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff") or int(mac[:2], 16) & 1:
        return None
    return mac


Mac = Annotated[str, BeforeValidator(normalise_mac, json_schema_input_type=str)]
Uuid = Annotated[str, BeforeValidator(normalise_uuid, json_schema_input_type=str)]
