"""The machine from SMBIOS: who it is, its processors and memory, by dmidecode or by /sys/class/dmi/id.

SMBIOS (DMTF DSP0134) is filled by people at the factory: type 1 holds manufacturer, product, serial
and UUID, type 17 one block per memory slot. Placeholders ("To be filled by O.E.M.") are read as
absent, because a shared placeholder would merge machines.
"""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Final

from metal.drivers.bundle import Query
from metal.drivers.identity.placeholders import Identities, is_placeholder
from metal.drivers.identity.smbios import DmiBlock, read_blocks
from metal.drivers.parsed import Parsed
from metal.drivers.tool_text import number, one_line, size_bytes

DMIDECODE: Final = Query("dmidecode", ("dmidecode", "-t", "0,1,2,3,17"))

_NO_MODULE: Final = frozenset({"no module installed", "not installed", ""})
_NO_RAM: Final = frozenset({"flash", "rom", "eprom", "eeprom", "feprom"})
"""Types of type 17 that are firmware chips: HP lists its system ROM so, and it is no memory-module slot."""
_OTHER_PROCESSORS: Final = frozenset({"math processor", "dsp processor", "video processor"})
_HOSTING_BOARDS: Final = (
    "motherboard",
    "server blade",
    "processor+memory module",
    "system management module",
)


@dataclass(frozen=True, slots=True)
class Bios:
    """Type 0; the date as printed."""

    vendor: str | None = None
    version: str | None = None
    date: str | None = None


@dataclass(frozen=True, slots=True)
class System:
    """Type 1."""

    manufacturer: str | None = None
    product: str | None = None
    serial: str | None = None
    uuid: str | None = None
    sku: str | None = None
    family: str | None = None


@dataclass(frozen=True, slots=True)
class Baseboard:
    """Type 2 of the node itself."""

    manufacturer: str | None = None
    product: str | None = None
    serial: str | None = None


@dataclass(frozen=True, slots=True)
class Chassis:
    """Type 3: the case, or the enclosure that a blade's board names."""

    manufacturer: str | None = None
    type: str | None = None
    serial: str | None = None
    asset_tag: str | None = None


@dataclass(frozen=True, slots=True)
class Processor:
    """Type 4 of a populated socket."""

    socket: str | None
    model: str | None
    cores: int | None
    threads: int | None


@dataclass(frozen=True, slots=True)
class MemoryModule:
    """Type 17 of a populated slot; the speed is the rated one."""

    slot: str | None
    size_bytes: int | None
    type: str | None
    speed_mts: int | None
    manufacturer: str | None
    part: str | None
    serial: str | None


@dataclass(frozen=True, slots=True)
class Memory:
    """All of type 17; `slots` counts those for memory modules, populated or not."""

    total_bytes: int | None = None
    slots: int | None = None
    modules: tuple[MemoryModule, ...] = ()


@dataclass(frozen=True, slots=True)
class BmcInterface:
    """Type 38: how the host reaches its BMC ("KCS"), and the IPMI version."""

    interface: str | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Dmi:
    """All that we read of one dmidecode text; a structure that is not in it has fields of None."""

    bios: Bios = Bios()
    system: System = System()
    baseboard: Baseboard = Baseboard()
    chassis: Chassis = Chassis()
    cpus: tuple[Processor, ...] = ()
    memory: Memory = Memory()
    bmc: BmcInterface = BmcInterface()


@dataclass(frozen=True, slots=True)
class DmiIdentity:
    """Who the machine is; None where the firmware does not say or holds a placeholder."""

    manufacturer: str | None = None
    product: str | None = None
    serial: str | None = None
    uuid: str | None = None
    memory_bytes: int | None = None


def parse(text: str) -> Parsed[Dmi]:
    """The whole of a dmidecode text, filtered by `-t` or not."""
    read = read_blocks(text)
    ids = Identities()
    by_type: dict[int, list[DmiBlock]] = {}
    for block in read.blocks:
        by_type.setdefault(block.type, []).append(block)
    bios, system, board = (by_type.get(kind, [DmiBlock(kind)])[0] for kind in (0, 1, 2))
    board = _node_board(by_type.get(2, [])) or board
    value = Dmi(
        bios=Bios(
            ids.name(bios.get("Vendor"), "bios.vendor"),
            ids.name(bios.get("Version"), "bios.version"),
            ids.name(bios.get("Release Date"), "bios.date"),
        ),
        system=_system(system, ids),
        baseboard=Baseboard(
            ids.name(board.get("Manufacturer"), "baseboard.manufacturer"),
            ids.name(board.get("Product Name"), "baseboard.product"),
            ids.serial(board.get("Serial Number"), "baseboard.serial"),
        ),
        chassis=_chassis(by_type.get(3, []), board, ids),
        cpus=_processors(by_type.get(4, []), ids),
        memory=_memory(by_type.get(17, []), by_type.get(16, []), ids),
        bmc=_bmc(by_type.get(38, [DmiBlock(38)])[0]),
    )
    return Parsed(value, read.ignored, tuple(ids.paths))


def parse_dmidecode(text: str) -> DmiIdentity:
    """Identity (type 1) and installed memory (sum over type 17)."""
    read = parse(text).value
    system = read.system
    return DmiIdentity(
        system.manufacturer, system.product, system.serial, system.uuid, read.memory.total_bytes or None
    )


def parse_dmi_sysfs(values: dict[str, str]) -> DmiIdentity:
    """The same from /sys/class/dmi/id; memory is not there."""
    ids = Identities()
    return DmiIdentity(
        manufacturer=ids.name(values.get("sys_vendor"), "sys_vendor"),
        product=ids.name(values.get("product_name"), "product_name"),
        serial=ids.serial(values.get("product_serial"), "product_serial"),
        uuid=ids.uuid(values.get("product_uuid"), "product_uuid"),
    )


def _system(block: DmiBlock, ids: Identities) -> System:
    return System(
        manufacturer=ids.name(block.get("Manufacturer"), "system.manufacturer"),
        product=ids.name(block.get("Product Name"), "system.product"),
        serial=ids.serial(block.get("Serial Number"), "system.serial"),
        uuid=ids.uuid(block.get("UUID"), "system.uuid"),
        sku=ids.name(block.get("SKU Number"), "system.sku"),
        family=ids.name(block.get("Family"), "system.family"),
    )


def _node_board(boards: list[DmiBlock]) -> DmiBlock | None:
    """Of several boards (Dell blades list the midplane too) the first that can host, else the first."""
    hosting = (board for board in boards if (board.get("Type") or "").lower() in _HOSTING_BOARDS)
    return next(hosting, boards[0] if boards else None)


def _chassis(blocks: list[DmiBlock], board: DmiBlock, ids: Identities) -> Chassis:
    """Of several chassis the one that the node's board names by its handle."""
    named = number(board.get("Chassis Handle"))
    by_name = (block for block in blocks if block.handle is not None and block.handle == named)
    block = next(by_name, blocks[0] if blocks else DmiBlock(3))
    kind = one_line(block.get("Type"))
    return Chassis(
        manufacturer=ids.name(block.get("Manufacturer"), "chassis.manufacturer"),
        # "Other" is what many servers say of their case, and is told as it is.
        type=kind if kind == "Other" else ids.name(kind, "chassis.type"),
        serial=ids.serial(block.get("Serial Number"), "chassis.serial"),
        asset_tag=ids.name(block.get("Asset Tag"), "chassis.asset_tag"),
    )


def _processors(blocks: list[DmiBlock], ids: Identities) -> tuple[Processor, ...]:
    found: list[Processor] = []
    for block in blocks:
        if not _populated(block):
            continue
        found.append(
            Processor(
                socket=one_line(block.get("Socket Designation")),
                model=ids.name(block.get("Version"), f"cpus[{len(found)}].model"),
                cores=number(block.get("Core Count")),
                threads=number(block.get("Thread Count")),
            )
        )
    return tuple(found)


def _populated(block: DmiBlock) -> bool:
    """Whether a socket holds a processor; before SMBIOS 2.3 there is no status, and the version tells."""
    if (block.get("Type") or "").lower() in _OTHER_PROCESSORS:
        return False
    status = (block.get("Status") or "").lower()
    if status:
        return status.startswith("populated")
    version = one_line(block.get("Version"))
    return version is not None and not is_placeholder(version)


def _memory(devices: list[DmiBlock], arrays: list[DmiBlock], ids: Identities) -> Memory:
    """A slot is a device of an array for system memory that is no firmware chip."""
    others = {array.handle for array in arrays if (array.get("Use") or "System Memory") != "System Memory"}
    slots = [
        block
        for block in devices
        if (block.get("Type") or "").lower() not in _NO_RAM
        and not (others and number(block.get("Array Handle")) in others)
    ]
    if not slots:
        return Memory()
    locators = Counter(block.get("Locator") for block in slots)
    filled = [block for block in slots if (block.get("Size") or "").lower() not in _NO_MODULE]
    filled = [block for block in filled if size_bytes(block.get("Size")) != 0]
    modules = tuple(
        _module(block, ids, f"memory.modules[{place}]", unique=locators[block.get("Locator")] == 1)
        for place, block in enumerate(filled)
    )
    return Memory(sum(_ram_bytes(block) for block in filled), len(slots), modules)


def _ram_bytes(block: DmiBlock) -> int:
    """What a module adds to the RAM: of one with persistent memory only the volatile part."""
    if size_bytes(block.get("Non-Volatile Size")):
        return size_bytes(block.get("Volatile Size")) or 0
    return size_bytes(block.get("Size")) or 0


def _module(block: DmiBlock, ids: Identities, path: str, *, unique: bool) -> MemoryModule:
    words = [block.get("Locator")] if unique else [block.get("Bank Locator"), block.get("Locator")]
    named = [one_line(word) or "" for word in words]
    speed = re.match(r"(\d{1,6})\s*(?:MHz|MT/s)", block.get("Speed") or "")
    return MemoryModule(
        slot=" ".join(word for word in named if word and not is_placeholder(word)) or None,
        size_bytes=size_bytes(block.get("Size")),
        type=ids.name(block.get("Type"), f"{path}.type"),
        speed_mts=int(speed[1]) if speed else None,
        manufacturer=ids.name(block.get("Manufacturer"), f"{path}.manufacturer"),
        part=ids.name(block.get("Part Number"), f"{path}.part"),
        serial=ids.serial(block.get("Serial Number"), f"{path}.serial"),
    )


def _bmc(block: DmiBlock) -> BmcInterface:
    """The short word of `KCS (Keyboard Control Style)`."""
    interface = one_line((block.get("Interface Type") or "").partition("(")[0])
    return BmcInterface(
        interface=None if interface is None or is_placeholder(interface) else interface,
        version=one_line(block.get("Specification Version")),
    )
