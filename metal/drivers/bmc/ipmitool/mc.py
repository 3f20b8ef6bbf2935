"""`mc info` (`bmc info`) and `mc guid`: which controller it is, and the machine's GUID as it knows it."""

import re
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from metal.drivers.bmc.ipmitool.table import read_table
from metal.drivers.identity.placeholders import Identities
from metal.drivers.parsed import Parsed
from metal.drivers.tool_text import lines_of, number, unparsable
from specs.identity import uuid_identity

TOOL: Final = "ipmitool-mc"

_KEYS: Final = frozenset(
    {
        "device id",
        "device revision",
        "firmware revision",
        "ipmi version",
        "manufacturer id",
        "manufacturer name",
        "product id",
        "product name",
        "device available",
        "provides device sdrs",
        "additional device support",
        "aux firmware rev info",
        # mc guid
        "system guid",
        "guid encoding",
        "timestamp",
    }
)


@dataclass(frozen=True, slots=True)
class McInfo:
    """A management controller; names that ipmitool does not know are None."""

    device_id: int | None
    firmware: str | None
    ipmi_version: str | None
    manufacturer_id: int | None
    manufacturer: str | None
    product_id: int | None
    product: str | None
    guid: str | None = None


def parse(text: str) -> Parsed[McInfo]:
    """Device ID and who made it; a text of `mc guid` has the GUID alone."""
    table = read_table(TOOL, text, _KEYS, "a line 'Device ID', 'Firmware Revision' or 'System GUID'")
    ids = Identities()
    value = McInfo(
        device_id=number(table.get("Device ID")),
        firmware=table.get("Firmware Revision"),
        ipmi_version=table.get("IPMI Version"),
        manufacturer_id=number(table.get("Manufacturer ID")),
        manufacturer=ids.name(table.get("Manufacturer Name"), "manufacturer"),
        product_id=number(table.get("Product ID")),
        product=ids.name(table.get("Product Name"), "product"),
        guid=ids.uuid((table.get("System GUID") or "").partition(" ")[0], "guid"),
    )
    if value == McInfo(None, None, None, None, None, None, None) and not ids.paths:
        raise unparsable(TOOL, 1, "a controller's ids", "only lines without them")
    return Parsed(value, table.ignored, tuple(ids.paths))


def parse_guid(text: str) -> str | None:
    """`raw 0x06 0x37`: sixteen bytes, read in SMBIOS order, as over the LAN."""
    words = text.split()
    if len(words) < 16 or not all(re.fullmatch(r"[0-9a-fA-F]{2}", word) for word in words):
        raise unparsable(TOOL, lines_of(TOOL, text)[0], "sixteen bytes in hexadecimal")
    return uuid_identity(str(UUID(bytes_le=bytes.fromhex("".join(words[:16])))))
