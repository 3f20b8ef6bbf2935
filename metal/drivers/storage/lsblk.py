"""What lsblk tells of block devices, whichever columns and form it was asked for.

`disks` reads our own call, with all its columns; this is for any other, so that what is not printed is None.
"""

import re
from dataclasses import dataclass
from typing import Final

from metal.drivers.identity.placeholders import Identities
from metal.drivers.parsed import Parsed
from metal.drivers.storage.lsblk_table import TOOL, Row
from metal.drivers.storage.lsblk_text import flag, read_rows
from metal.drivers.tool_text import unparsable

_SIZE = re.compile(r"^(\d{1,19})(?:[.,](\d{1,6}))?([BKMGTPE]?)$")
_POWERS: Final = {"": 0, "B": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}


@dataclass(frozen=True, slots=True)
class BlockDevice:
    """A device and what lies on it."""

    name: str
    type: str | None = None
    size_bytes: int | None = None
    model: str | None = None
    serial: str | None = None
    wwn: str | None = None
    transport: str | None = None
    rotational: bool | None = None
    removable: bool | None = None
    read_only: bool | None = None
    children: tuple["BlockDevice", ...] = ()


@dataclass(frozen=True, slots=True)
class BlockDevices:
    """The forest: devices that lie on no other one."""

    devices: tuple[BlockDevice, ...] = ()


def parse(text: str) -> Parsed[BlockDevices]:
    """All devices of `lsblk -J`, `-P`, `-r` or a table."""
    rows = read_rows(text)
    known = Identities()
    devices = tuple(_device(row, f"devices[{place}]", known) for place, row in enumerate(rows.found))
    return Parsed(BlockDevices(devices), rows.ignored, tuple(known.paths))


def printed_bytes(text: str | None) -> int | None:
    """Bytes of `1073741824` (-b) or `447.1G`, which is a power of 1024; the point may be a comma."""
    match = _SIZE.match(text or "")
    if not match:
        return None
    whole, fraction, unit = match.groups()
    if not fraction:
        return int(whole) * int(1024 ** _POWERS[unit])
    return round(float(f"{whole}.{fraction}") * float(1024 ** _POWERS[unit]))


def _device(row: Row, path: str, known: Identities) -> BlockDevice:
    value = row.values.get
    name = value("name") or value("kname") or value("path")
    if name is None:
        raise unparsable(TOOL, row.line, "a device's NAME or KNAME", "none")
    wwn = value("wwn")
    return BlockDevice(
        name=name,
        type=value("type"),
        size_bytes=printed_bytes(value("size")),
        model=known.name(value("model"), f"{path}.model"),
        serial=known.serial(value("serial"), f"{path}.serial"),
        wwn=wwn.lower().removeprefix("0x") if wwn else None,
        transport=value("tran"),
        rotational=flag(row.values, "rota"),
        removable=flag(row.values, "rm"),
        read_only=flag(row.values, "ro"),
        children=tuple(
            _device(child, f"{path}.children[{place}]", known) for place, child in enumerate(row.children)
        ),
    )
