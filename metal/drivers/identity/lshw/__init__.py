"""What lshw tells of a machine: who it is, processors, memory, NICs and disks, of JSON and XML alike.

lshw guesses and adds: a SKU in brackets behind the product, numbers in square brackets with `-numeric`,
processors for SCSI devices and memory for PCI functions. That is taken out here; what it does not print
(a speed without a link, a model of an empty socket) is None.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from metal.drivers.identity.lshw.json_form import read_json
from metal.drivers.identity.lshw.nodes import TOOL, Node, walk
from metal.drivers.identity.lshw.xml_form import XML_STARTS, read_xml
from metal.drivers.identity.placeholders import Identities, is_placeholder
from metal.drivers.parsed import Parsed
from metal.drivers.tool_text import lines_of, number, one_line, unparsable
from specs.identity import mac_identity


@dataclass(frozen=True, slots=True)
class LshwSystem:
    """The machine's own identity."""

    vendor: str | None = None
    product: str | None = None
    serial: str | None = None


@dataclass(frozen=True, slots=True)
class LshwCpu:
    """A populated processor socket."""

    model: str | None = None
    cores: int | None = None
    threads: int | None = None


@dataclass(frozen=True, slots=True)
class LshwNic:
    """An Ethernet interface on a bus; `speed_bps` is what it runs at now."""

    name: str | None
    mac: str
    model: str | None = None
    vendor: str | None = None
    speed_bps: int | None = None
    link: bool | None = None


@dataclass(frozen=True, slots=True)
class LshwDisk:
    """A disk that stays in the machine."""

    device: str
    model: str | None = None
    serial: str | None = None
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class LshwInventory:
    """All of it."""

    system: LshwSystem = field(default_factory=LshwSystem)
    cpus: tuple[LshwCpu, ...] = ()
    memory_bytes: int | None = None
    nics: tuple[LshwNic, ...] = ()
    disks: tuple[LshwDisk, ...] = ()


_BRACKETED_IDS = re.compile(r"\[(?:[0-9A-Fa-f]{4}:)?[0-9A-Fa-f]{4}\]$")
_SPEED = re.compile(r"^(\d{1,7})([KMGT]?)bit/s$")
_SPEED_POWERS: Final = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
_DEVICE = re.compile(r"^/dev/(?!sr\d|scd\d|cdrom|dvd|fd\d|ng\d|loop|ram|zram|hwmon|mmcblk\d+(?:boot|rpmb))")
_OTHER_MEMORY: Final = ("Flash Memory", "Video Memory", "NVRAM", "Cache Memory")
"""What lshw calls SMBIOS's memory arrays (type 16) whose use is stated and not system memory."""
_VIRTUAL_MEDIA = re.compile(r"virtual (?:cd|dvd|floppy|media|hdisk|usb|optical)|idrac|vflash", re.IGNORECASE)


def parse(text: str) -> Parsed[LshwInventory]:
    """The machine of `lshw -json` or `-xml`, or as much of it as `-class` printed."""
    lines = lines_of(TOOL, text)
    xml = any(line.words.startswith(XML_STARTS) for line in lines)
    if not xml and not any(line.words[:1] in ("{", "[") for line in lines):
        raise unparsable(TOOL, next(line for line in lines if line.words), "JSON or XML of lshw")
    roots, ignored = read_xml(lines) if xml else read_json(text)
    known = Identities()
    inventory = LshwInventory(
        system=_system(roots, known),
        cpus=tuple(_cpus(roots, known)),
        memory_bytes=_memory(roots),
        nics=tuple(_nics(roots)),
        disks=tuple(_disks(roots, known)),
    )
    return Parsed(inventory, ignored, tuple(known.paths))


def _system(roots: tuple[Node, ...], known: Identities) -> LshwSystem:
    node = next(
        (root for root in roots if root.class_name == "system" and not root.id.startswith("pnp")),
        Node("", "system"),
    )
    return LshwSystem(
        vendor=known.name(node.text("vendor"), "system.vendor"),
        product=known.name(_product(node), "system.product"),
        serial=known.serial(node.text("serial"), "system.serial"),
    )


def _product(node: Node) -> str | None:
    """The product without the SKU that lshw appends in brackets; the SKU alone where there is no product."""
    product = one_line(node.text("product")) or ""
    own = one_line(node.settings.get("sku"))
    if own and product.endswith(f"({own})"):
        return product[: -len(own) - 2].strip() or own
    name, bracket, rest = product.rpartition("(")
    sku = rest.removesuffix(")").strip()
    if bracket and rest.endswith(")") and (sku.upper().startswith("SKU") or is_placeholder(sku)):
        return name.strip() or sku
    return product or None


def _cpus(roots: tuple[Node, ...], known: Identities) -> Iterator[LshwCpu]:
    """Nodes `cpu` and `cpu:N`; a SCSI device of type processor, or a logical CPU, has another id."""
    sockets = (
        node
        for node, _ in walk(roots)
        if node.class_name == "processor"
        and node.name == "cpu"
        and "[empty]" not in (node.text("description") or "")
        and not (node.disabled and node.text("product") is None)
    )
    for place, node in enumerate(sockets):
        yield LshwCpu(
            model=known.name(_plain(node.text("product")), f"cpus[{place}].model"),
            cores=number(node.settings.get("cores")),
            threads=number(node.settings.get("threads")),
        )


def _memory(roots: tuple[Node, ...]) -> int | None:
    """System Memory's size, or the sum of its banks; a node for each board is added up.

    A PCI function of class memory has the same id, and a bus address; so have arrays of other memory, which
    are known by their description. System Memory's own is in the language of the machine.
    """
    sizes = [
        node.size or sum(child.size or 0 for child in node.children if child.name == "bank")
        for node, _ in walk(roots)
        if node.class_name == "memory"
        and node.name == "memory"
        and node.text("businfo") is None
        and node.text("description") not in _OTHER_MEMORY
    ]
    if not any(sizes):  # `-class memory`: a list without children
        sizes = [
            node.size or 0 for node, _ in walk(roots) if node.class_name == "memory" and node.name == "bank"
        ]
    return sum(sizes) or None


def _nics(roots: tuple[Node, ...]) -> Iterator[LshwNic]:
    """Ethernet interfaces with a MAC on a bus: bonds, bridges and taps are on none.

    Some chipsets' (nForce) have the PCI class of a bridge, and lshw's class is that.
    """
    for node, _ in walk(roots):
        mac = mac_identity(node.text("serial"))
        ethernet = "ethernet" in (node.text("description") or "").lower() or "ethernet" in node.capabilities
        bridged = node.class_name == "bridge" and "ethernet" in node.capabilities
        if not (node.class_name == "network" or bridged) or not ethernet:
            continue
        if mac is None or not node.text("businfo"):
            continue
        if "wireless" in node.capabilities or "wireless" in node.settings:
            continue
        yield LshwNic(
            name=next(iter(node.logical_names), None),
            mac=mac,
            model=_plain(node.text("product")),
            vendor=_plain(node.text("vendor")),
            speed_bps=node.size or _speed(node.settings.get("speed")),
            link={"yes": True, "no": False}.get(node.settings.get("link", "")),
        )


def _disks(roots: tuple[Node, ...], known: Identities) -> Iterator[LshwDisk]:
    """Disks with something to tell; an empty card reader has a device node and nothing else."""
    seen: set[str] = set()
    for node, parent in walk(roots):
        device = next((name for name in node.logical_names if _DEVICE.match(name)), None)
        if node.class_name != "disk" or device is None or device in seen or _goes(node):
            continue
        identity = parent if node.name == "namespace" and parent and not node.text("product") else node
        product = _plain(identity.text("product"))
        if product is None and node.size is None:
            continue
        path = f"disks[{len(seen)}]"
        seen.add(device)
        yield LshwDisk(
            device=device,
            model=known.name(product, f"{path}.model"),
            serial=known.serial(node.text("serial") or identity.text("serial"), f"{path}.serial"),
            size_bytes=node.size,
        )


def _goes(node: Node) -> bool:
    """Whether a disk is a removable or virtual medium."""
    if node.name in ("cdrom", "medium", "floppy") or "removable" in node.capabilities:
        return True
    described = " ".join(node.text(key) or "" for key in ("description", "vendor", "product"))
    return bool(_VIRTUAL_MEDIA.search(described))


def _plain(text: str | None) -> str | None:
    """A name without the numbers of vendor and device that `-numeric` appends."""
    return one_line(_BRACKETED_IDS.sub("", text or ""))


def _speed(text: str | None) -> int | None:
    match = _SPEED.match(text or "")
    return int(match[1]) * int(1000 ** _SPEED_POWERS[match[2]]) if match else None
