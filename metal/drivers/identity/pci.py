"""PCI devices from lspci: the one-line form with or without ids and details, `-mm`, and `-vmm` blocks.

The one-line form joins vendor and device by a blank, so they cannot be told apart there; the machine
readable forms quote or name each. Bracketed ids (`-nn`) are left out of the names.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from metal.drivers.parsed import Parsed
from metal.drivers.raid.listing import pci_text
from metal.drivers.tool_text import Line, key_value, lines_of, one_line, shorten, unparsable

TOOL: Final = "lspci"

_ADDRESS = (
    r"(?:(?P<domain>[0-9a-fA-F]{1,8}):)?(?P<bus>[0-9a-fA-F]{2}):(?P<slot>[01][0-9a-fA-F])"
    r"\.(?P<function>[0-7])"
)
_LINE = re.compile(rf"{_ADDRESS}\s+(?P<rest>\S.*)")
_WHOLE_ADDRESS = re.compile(_ADDRESS)
_REVISION = re.compile(r" ?\(rev (?P<rev>[0-9a-fA-F]{1,2})\)")
_PROG_IF = re.compile(r" ?\(prog-if [0-9a-fA-F]{2}(?: \[[^\]]{0,80}\])?\)")
_IDS = re.compile(r" ?\[[0-9a-fA-F]{4}(?::[0-9a-fA-F]{4})?\]$")
_BLOCK_KEYS: Final = frozenset(
    {
        "slot",
        "class",
        "vendor",
        "device",
        "svendor",
        "sdevice",
        "rev",
        "progif",
        "physlot",
        "driver",
        "module",
    }
    | {"numanode", "iommugroup", "dtnode", "devicename", "label"}
)


@dataclass(frozen=True, slots=True)
class PciDevice:
    """One function of a device; the address is dddd:bb:dd.f."""

    address: str
    class_name: str | None = field(metadata={"json": "class"})
    vendor: str | None
    device: str | None
    subsystem: str | None
    revision: str | None


@dataclass(frozen=True, slots=True)
class PciDevices:
    """All of a text."""

    devices: tuple[PciDevice, ...]


def parse(text: str) -> Parsed[PciDevices]:
    """Every device of a text in any mixture of the forms; the last of an address holds."""
    lines = lines_of(TOOL, text)
    found: dict[str, PciDevice] = {}
    ignored: list[str] = []
    block: list[Line] = []
    current: str | None = None
    for line in (*lines, Line(len(lines) + 1, "")):
        key = (key_value(line) or ("",))[0].lower()
        if key in _BLOCK_KEYS and (block or not line.text[:1].isspace()) and not _LINE.match(line.words):
            block.append(line)
            continue
        for device in _blocks(block):
            found[device.address] = device
        block = []
        if match := _LINE.match(line.text):
            device = _device(line, match)
            found[device.address] = device
            current = device.address
        elif current is not None and line.text[:1].isspace():
            subsystem = line.words.partition("Subsystem:")[2]
            if subsystem:
                found[current] = replace(found[current], subsystem=_name(subsystem))
        elif line.words:
            ignored.append(line.words)
    if not found:
        raise unparsable(TOOL, next(line for line in lines if line.words), "a device's address bb:dd.f")
    return Parsed(PciDevices(tuple(found.values())), shorten(ignored))


def _address(match: re.Match[str]) -> str:
    return pci_text(
        int(match["domain"] or "0", 16), int(match["bus"], 16), int(match["slot"], 16), int(match["function"])
    )


def _name(text: str | None) -> str | None:
    """A name without the ids behind it."""
    return one_line(_IDS.sub("", one_line(text) or ""))


def _device(line: Line, match: re.Match[str]) -> PciDevice:
    rest = " ".join(match["rest"].split())
    if rest.startswith('"'):
        return _quoted(line, match)
    revision = _REVISION.search(rest)
    plain = _PROG_IF.sub("", _REVISION.sub("", rest))
    class_name, colon, device = plain.partition(": ")
    if not colon:
        raise unparsable(TOOL, line, "a class, a colon and a device")
    return PciDevice(
        address=_address(match),
        class_name=_name(class_name.removeprefix("Class ")),
        vendor=None,
        device=_name(device),
        subsystem=None,
        revision=revision["rev"] if revision else None,
    )


def _quoted(line: Line, match: re.Match[str]) -> PciDevice:
    """`00:1f.2 "SATA controller" "Intel" "C600" -r05 -p01 "Dell" "Device 04f7"`."""
    try:
        words = shlex.split(match["rest"], posix=True)
    except ValueError:
        raise unparsable(TOOL, line, "quoted names, all closed") from None
    options = {word[:2]: word[2:] for word in words if re.fullmatch(r"-[rp][0-9a-fA-F]{1,2}", word)}
    names = [word for word in words if not re.fullmatch(r"-[rp][0-9a-fA-F]{1,2}", word)]
    if len(names) < 3:
        raise unparsable(TOOL, line, "class, vendor and device in quotes")
    return PciDevice(
        address=_address(match),
        class_name=_name(names[0].removeprefix("Class ")),
        vendor=_name(names[1]),
        device=_name(names[2]),
        subsystem=_joined(names[3:5]),
        revision=options.get("-r"),
    )


def _joined(names: list[str]) -> str | None:
    """Vendor and device of the subsystem, as the one-line forms join them."""
    return one_line(" ".join(_name(name) or "" for name in names))


def _blocks(lines: list[Line]) -> Iterator[PciDevice]:
    """Blocks of `-vmm`, begun by `Slot`, and of `-vm`, which calls the address `Device` too."""
    if not lines:
        return
    first: Line | None = None
    match: re.Match[str] | None = None
    fields: dict[str, str] = {}
    for line in lines:
        key, value = key_value(line) or ("", "")
        if address := _WHOLE_ADDRESS.fullmatch(value):
            if match and first:
                yield _named(first, match, fields)
            first, match, fields = line, address, {}
        else:
            fields.setdefault(key.lower(), value)
    if match is None or first is None:
        raise unparsable(TOOL, lines[0], "a slot's address before its names")
    yield _named(first, match, fields)


def _named(line: Line, match: re.Match[str], fields: dict[str, str]) -> PciDevice:
    if "class" not in fields or "device" not in fields:
        raise unparsable(TOOL, line, "a block with class and device", "one that ends before them")
    return PciDevice(
        address=_address(match),
        class_name=_name(fields["class"]),
        vendor=_name(fields.get("vendor")),
        device=_name(fields["device"]),
        subsystem=_joined([fields.get("svendor", ""), fields.get("sdevice", "")]),
        revision=one_line(fields.get("rev")),
    )
