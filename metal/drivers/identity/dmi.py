"""The machine's identity and memory from SMBIOS, by dmidecode or by /sys/class/dmi/id.

SMBIOS (DMTF DSP0134) is filled by people at the factory: type 1 holds manufacturer, product, serial
and UUID, type 17 one block per memory slot. Placeholders ("To be filled by O.E.M.") are read as
absent, because a shared placeholder would merge machines.
"""

import re
from dataclasses import dataclass, field
from typing import Final

from metal.drivers.bundle import Query
from metal.errors import Unparsable
from specs.identity import PLACEHOLDERS, serial_identity, uuid_identity

DMIDECODE: Final = Query("dmidecode", ("dmidecode", "-t", "0,1,2,3,17"))

_HANDLE = re.compile(r"^Handle 0x[0-9A-Fa-f]+, DMI type (\d+)")
_FIELD = re.compile(r"^\s+([^:]+):\s*(.*)$")
_TITLES: Final = {
    "BIOS Information": 0,
    "System Information": 1,
    "Base Board Information": 2,
    "Chassis Information": 3,
    "Processor Information": 4,
    "Memory Device": 17,
}
_NOT_A_NAME: Final = frozenset({"other", "<out of spec>", "not specified", "unknown", "default string"})
_SIZE = re.compile(r"^(\d+)\s*(bytes|kB|MB|GB|TB)$", re.IGNORECASE)
_UNITS: Final = {"bytes": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30, "tb": 1 << 40}


@dataclass(frozen=True, slots=True)
class DmiBlock:
    """One SMBIOS structure as dmidecode prints it: its type and its `Key: value` lines."""

    type: int
    fields: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DmiIdentity:
    """Who the machine is; None where the firmware does not say or holds a placeholder."""

    manufacturer: str | None = None
    product: str | None = None
    serial: str | None = None
    uuid: str | None = None
    memory_bytes: int | None = None


def parse_blocks(text: str) -> tuple[DmiBlock, ...]:
    """All structures of a dmidecode text, with handles or without (`-q`)."""
    blocks: list[DmiBlock] = []
    kind: int | None = None
    for line in text.splitlines():
        if match := _HANDLE.match(line):
            kind = int(match[1])
            blocks.append(DmiBlock(kind))
        elif line and not line[0].isspace():
            titled = _TITLES.get(line.strip())
            if titled is not None and (not blocks or blocks[-1].fields or blocks[-1].type != titled):
                blocks.append(DmiBlock(titled))
        elif blocks and (match := _FIELD.match(line)):
            blocks[-1].fields.setdefault(match[1].strip(), match[2].strip())
    if not blocks:
        raise Unparsable(
            f"dmidecode: expected SMBIOS structures, found {text.strip()[:120]!r}",
            reason="unparsable",
            hint="is this a machine with SMBIOS tables, and was the command run as root?",
        )
    return tuple(blocks)


def parse_dmidecode(text: str) -> DmiIdentity:
    """Identity (type 1) and installed memory (sum over type 17)."""
    blocks = parse_blocks(text)
    system = next((block.fields for block in blocks if block.type == 1), {})
    sizes = [_memory_size(block.fields.get("Size", "")) for block in blocks if block.type == 17]
    known = [size for size in sizes if size is not None]
    return DmiIdentity(
        manufacturer=_name(system.get("Manufacturer")),
        product=_name(system.get("Product Name")),
        serial=serial_identity(system.get("Serial Number")),
        uuid=uuid_identity(system.get("UUID")),
        memory_bytes=sum(known) if known and sum(known) else None,
    )


def parse_dmi_sysfs(values: dict[str, str]) -> DmiIdentity:
    """The same from /sys/class/dmi/id; memory is not there."""
    return DmiIdentity(
        manufacturer=_name(values.get("sys_vendor")),
        product=_name(values.get("product_name")),
        serial=serial_identity(values.get("product_serial")),
        uuid=uuid_identity(values.get("product_uuid")),
    )


def _name(text: str | None) -> str | None:
    words = " ".join((text or "").split())
    if words.lower() in PLACEHOLDERS or words.lower() in _NOT_A_NAME or not words.strip("."):
        return None
    return words


def _memory_size(text: str) -> int | None:
    match = _SIZE.match(text.strip())
    return int(match[1]) * _UNITS[match[2].lower()] if match else None
