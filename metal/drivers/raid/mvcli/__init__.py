"""mvcli (88SE92xx: Dell BOSS-S, Lenovo's M.2 SATA kits) and mnv_cli (88NR2241: BOSS-N, M.2 NVMe kits).

Theory of operation. `info -o hba|pd|vd|blk|array` prints blocks of `Key: value`, one for each thing,
begun by the key that holds its id; a title and a ruler may stand above, "Total # of …" below. Which
kind a block is follows from its first key alone, because titles are missing in some versions. Any
other output (events, SMART, flash tools) has no place in the listing and is read past; a create says
nothing but the banner of the SG driver.

Units: `K` is KiB, `M` MiB, a bare stripe is KiB; mnv_cli prints GB and means GiB, and the number of
blocks (`LBA`), which is exact.
"""

import re
from dataclasses import dataclass, field, replace
from typing import Final

from metal.drivers.parsed import Parsed
from metal.drivers.raid.listing import (
    Condition,
    Controller,
    Drive,
    DriveState,
    Listing,
    Outcome,
    VirtualDrive,
    pci_text,
)
from metal.drivers.raid.mvcli.words import (
    ASSIGNED,
    DRIVE_STATES,
    FAILED,
    INTERFACES,
    LEVELS,
    MEDIA,
    NOTHING_THERE,
    SUCCEEDED,
    TASKS,
    VOLUME_STATES,
)
from metal.drivers.raid.session import merged, without_placeholders
from metal.drivers.tool_text import (
    Line,
    breaks_off,
    command_of,
    key_value,
    lines_of,
    number,
    one_line,
    shorten,
    size_bytes,
    unparsable,
)

TOOL: Final = "mvcli"
_BEGINS: Final = {
    "adapter id": "hba",
    "controller id": "hba",
    "nvme controller id": "hba",
    "adapter": "pd",
    "pd id": "pd",
    "id": "vd",
    "vd id": "vd",
    "block id": "blk",
    "array id": "array",
    "sequence": "event",
}
_WHOLE: Final[dict[str, tuple[str, ...]]] = {
    # What a block of a kind must have, so that a text that is cut off within it is noticed.
    "hba": ("firmware version",),
    "pd": ("pd id", "size"),
    "vd": ("raid mode", "size"),
    "blk": ("pd id", "size"),
}
_SIZES: Final = ("size", "pd valid size")
_BANNER: Final = re.compile(
    r"^(?:SG driver version|CLI Version:|Welcome to Marvell|Wait for SG driver|Current Adapter\s*ID"
    r"|Copyright|Marvell .*(?:CLI|Utility)|Version[: ])",
    re.IGNORECASE,
)
_NOISE: Final = re.compile(r"^(?:cli ?:|ls:|modprobe:|sudo:|sh:|bash:)", re.IGNORECASE)
"""What stands on stderr before the data, on machines without /dev/sg* as on others."""
_OTHER: Final = re.compile(r"^(?:smart info|smart status return|event)\b", re.IGNORECASE)
_TITLE: Final = re.compile(
    r"^(?:Virtual Disk|Physical Disk|Block|Adapter|HBA|Disk Array|Array)s? Information$", re.IGNORECASE
)
_TOTAL: Final = re.compile(r"^Total # of ([A-Za-z ]+?)\s*:\s*(\d{1,4})$", re.IGNORECASE)
_NO_COLON: Final = re.compile(r"^(NVMe Controller ID)\s+(\d{1,3})$", re.IGNORECASE)
_VERBS: Final = (
    "mvcli",
    "mnv_cli",
    "info",
    "create",
    "delete",
    "smart",
    "event",
    "adapter",
    "rebuild",
    "set",
    "get",
)


@dataclass(slots=True)
class Block:
    """One thing that is told: `keys` in lower case."""

    kind: str
    line: Line
    keys: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Reading:
    """The blocks of a text, each with the number of the command that gave it."""

    blocks: list[tuple[int, Block]] = field(default_factory=list)
    command: int = 0
    open: Block | None = None
    title: str = ""
    skipping: bool = False
    """Within a table of SMART values, whose names speak of errors."""
    understood: bool = False
    outcome: Outcome | None = None
    ignored: list[str] = field(default_factory=list)
    promised: list[tuple[Line, int]] = field(default_factory=list)


def parse(text: str) -> Parsed[Listing]:
    """What mvcli or mnv_cli printed. Raises Unparsable for other texts and for one that is cut off."""
    lines = lines_of(TOOL, text)
    reading = Reading()
    for line in lines:
        if line.words.strip("-=* "):
            _take(reading, line)
    if not (reading.blocks or reading.understood or reading.outcome):
        first = next(line for line in lines if line.words)
        raise unparsable(TOOL, first, "blocks of adapters, disks or volumes")
    _refuse_cut(reading, next(line for line in reversed(lines) if line.words), broken=breaks_off(text))
    found, placeholders = without_placeholders(_controllers(reading.blocks))
    return Parsed(Listing(TOOL, reading.outcome, found), shorten(reading.ignored), placeholders)


def _take(reading: Reading, line: Line) -> None:
    words = line.words
    if command_of(line, _VERBS) is not None:
        reading.command += 1
        reading.open = None
        reading.understood = True
        reading.ignored.append(words)
        reading.skipping = False
    elif _TITLE.match(words):
        reading.open = None
        reading.understood = True
        reading.skipping = False
        reading.title = words.lower()
    elif _BANNER.match(words) or _OTHER.match(words):
        reading.open = None
        reading.understood = True
        reading.skipping = reading.skipping or bool(_OTHER.match(words))
        reading.ignored.append(words)
    elif _NOISE.match(words):
        reading.ignored.append(words)
    elif match := _TOTAL.match(words):
        reading.open = None
        reading.understood = True
        reading.promised.append((line, int(match[2])))
    else:
        _take_key(reading, line)


def _take_key(reading: Reading, line: Line) -> None:
    """A `Key: value` of a block; a line that is none may say how a command went."""
    bare = _NO_COLON.match(line.words)
    pair = (bare[1], bare[2]) if bare else key_value(line)
    if pair is None:
        _say(reading, line)
        return
    key, value = " ".join(pair[0].lower().split()), pair[1]
    kind = "array" if key == "id" and "array" in reading.title else _BEGINS.get(key)
    if kind and not _goes_on(reading.open, key):
        reading.skipping = False
        reading.open = Block(kind, line)
        reading.blocks.append((reading.command, reading.open))
    if reading.open:
        reading.open.keys.setdefault(key, value)
    else:
        _say(reading, line)


def _goes_on(block: Block | None, key: str) -> bool:
    """Whether an id belongs to the open block: a block names its disk and volume, a disk its adapter."""
    if block is None or key in block.keys:
        return False
    return (block.kind == "blk" and key in {"pd id", "vd id", "adapter"}) or (
        block.kind == "pd" and key == "pd id"
    )


def _say(reading: Reading, line: Line) -> None:
    words = line.words
    reading.ignored.append(words)
    if reading.skipping:
        return
    if NOTHING_THERE.search(words):
        reading.understood = True
    elif FAILED.search(words):
        if reading.outcome is None or reading.outcome.ok:
            told = re.sub(r"^error\s*:\s*", "", words, flags=re.IGNORECASE)
            reading.outcome = Outcome(ok=False, message=one_line(told))
    elif SUCCEEDED.search(words) and reading.outcome is None:
        reading.outcome = Outcome(ok=True)


def _refuse_cut(reading: Reading, last: Line, *, broken: bool) -> None:
    """Refuse a text that ends within a block, or within a size: those have units."""
    for line, count in reading.promised:
        if count and not reading.blocks:
            raise unparsable(TOOL, line, f"{count} blocks before it")
    if _TITLE.match(last.words) or not last.words.strip("-="):
        raise unparsable(TOOL, last, "what the title announces", "the end of the text")
    if not reading.blocks:
        return
    block = reading.blocks[-1][1]
    missing = [key for key in _WHOLE.get(block.kind, ()) if key not in block.keys]
    if missing:
        expected = f"{missing[0]!r} in the block from line {block.line.number}"
        raise unparsable(TOOL, last, expected, last.words or "the end of the text")
    pair = key_value(last)
    if pair is not None and pair[0].lower() in _SIZES and pair[1].isdecimal():
        raise unparsable(TOOL, last, "a size with its unit")
    if broken and reading.title.startswith(("physical", "virtual")) and not reading.promised:
        raise unparsable(TOOL, last, "'Total # of …' at the end of the list")


@dataclass(slots=True)
class Gathered:
    """What the blocks say of one adapter."""

    adapter: Controller
    drives: dict[str | None, Drive] = field(default_factory=dict)
    volumes: dict[str | None, VirtualDrive] = field(default_factory=dict)
    conditions: list[Condition] = field(default_factory=list)


def _controllers(blocks: list[tuple[int, Block]]) -> tuple[Controller, ...]:
    """One entry for each adapter; a list that names none belongs to the only one that is known."""
    indexes = {_index(block) for _, block in blocks if _index(block) is not None}
    only = next(iter(indexes)) if len(indexes) == 1 else None
    latest = {block.kind: command for command, block in blocks}
    found: dict[str | None, Gathered] = {}
    for command, block in blocks:
        if block.kind in _WHOLE:
            index = _index(block) or only
            seen = found.setdefault(index, Gathered(Controller(index)))
            if command == latest[block.kind]:
                _gather(seen, block)
    return tuple(_controller(seen) for seen in found.values())


def _index(block: Block) -> str | None:
    names = ("adapter id", "controller id", "nvme controller id", "adapter")
    return next((block.keys[name] for name in names if block.keys.get(name)), None)


def _gather(seen: Gathered, block: Block) -> None:
    seen.conditions += _conditions(block)
    if block.kind == "hba":
        seen.adapter = merged(seen.adapter, _adapter(block.keys))
    elif block.kind == "vd":
        volume = _volume(block.keys)
        seen.volumes[volume.id] = volume
    else:
        drive = _drive(block.keys) if block.kind == "pd" else _drive_of_block(block.keys)
        known = seen.drives.get(drive.address)
        seen.drives[drive.address] = merged(known, drive) if known else drive


def _controller(seen: Gathered) -> Controller:
    """The adapter with its disks, each with the volume that has it as member where the text tells of both."""
    owners = {member: volume.id for volume in seen.volumes.values() for member in volume.members}
    drives = (
        replace(one, volume=one.volume or owners.get(one.address or "")) for one in seen.drives.values()
    )
    volumes = tuple(seen.volumes.values())
    return replace(
        seen.adapter, drives=tuple(drives), volumes=volumes, conditions=tuple(dict.fromkeys(seen.conditions))
    )


def _adapter(keys: dict[str, str]) -> Controller:
    modes = keys.get("supported raid mode", "").upper().split()
    levels = [LEVELS[mode] for mode in modes if mode in LEVELS and mode != "JBOD"]
    return Controller(
        None,
        model=one_line(keys.get("product")),
        firmware=one_line(keys.get("firmware version")),
        pci=_pci(keys.get("bus device fun", "")),
        levels=tuple(dict.fromkeys(levels)),
        jbod=True if "JBOD" in modes else None,
    )


def _pci(text: str) -> str | None:
    """`e5:00.00` of mnv_cli, hexadecimal, perhaps with a domain."""
    match = re.match(
        r"(?:([0-9a-f]{1,4}):)?([0-9a-f]{1,2}):([0-9a-f]{1,2})\.([0-9a-f]{1,2})$", text, re.IGNORECASE
    )
    if not match:
        return None
    domain, bus, device, function = (int(part or "0", 16) for part in match.groups())
    return pci_text(domain, bus, device, function)


def _drive(keys: dict[str, str]) -> Drive:
    nvme = any(key in keys for key in ("assigned", "lba", "ssd backend rc/slot id"))
    sector = number(keys.get("sector size"))
    kind = keys.get("type", "").upper().split()
    return Drive(
        keys.get("pd id") or None,
        state=_drive_state(keys),
        raw_state=one_line(keys.get("status") or keys.get("pd status")),
        media="ssd" if nvme else MEDIA.get(keys.get("ssd type", "").lower()),
        interface="nvme" if nvme else INTERFACES.get(kind[0] if kind else ""),
        size_bytes=_drive_bytes(keys, sector),
        sector_size=sector,
        model=one_line(keys.get("model")),
        serial=one_line(keys.get("serial")),
        firmware=one_line(keys.get("firmware version")),
        usable_bytes=_binary(keys.get("pd valid size")),
    )


def _drive_state(keys: dict[str, str]) -> DriveState | None:
    """The stated word; else whether any block of the drive is in use."""
    stated = DRIVE_STATES.get((keys.get("status") or keys.get("pd status") or "").lower())
    if stated:
        return stated
    if "block ids" in keys:
        return "online" if keys["block ids"] else "unconfigured"
    return ASSIGNED.get(keys.get("assigned", "").lower())


def _drive_bytes(keys: dict[str, str], sector: int | None) -> int | None:
    blocks = number(keys.get("lba"))
    if blocks is not None and blocks > 0 and sector is not None and sector > 0:
        return blocks * sector
    return _binary(keys.get("size"))


def _binary(text: str | None) -> int | None:
    """`234431064 K`, `457798 M`, `128K`, `447 GB`: all binary."""
    plain = (text or "").strip()
    return size_bytes(plain if plain[-1:].lower() == "b" else f"{plain}B")


def _drive_of_block(keys: dict[str, str]) -> Drive:
    """The disk that a block lies on, with the volume that uses the block."""
    volume = keys.get("vd id")
    used = volume if volume is not None and number(volume) is not None else None
    status = keys.get("block status", "").lower()
    state: DriveState | None = "online" if status == "assigned" or used else None
    return Drive(keys.get("pd id") or None, state=state, volume=used)


def _volume(keys: dict[str, str]) -> VirtualDrive:
    raw = one_line(keys.get("vd status")) or one_line(keys.get("status"))
    activity = keys.get("bga progress", "").lower()
    task = next((state for word, state in TASKS.items() if word in activity), None)
    percent = re.search(r"(\d{1,3}(?:\.\d{1,6})?)\s*%", activity) if task else None
    stripe = keys.get("stripe block size") or keys.get("stripe size") or ""
    return VirtualDrive(
        keys.get("id") or keys.get("vd id") or None,
        name=one_line(keys.get("name")),
        level=LEVELS.get(keys.get("raid mode", "").upper().replace(" ", "")),
        state=task or VOLUME_STATES.get((raw or "").lower()),
        raw_state=raw,
        size_bytes=_binary(keys.get("size")),
        stripe_bytes=_binary(f"{stripe}K" if stripe.isdecimal() else stripe),
        members=tuple((keys.get("pd raid setup") or keys.get("pds") or "").split()),
        progress=float(percent[1]) if percent else None,
    )


def _conditions(block: Block) -> list[Condition]:
    """Lost redundancy under a rebuild, foreign volumes, worn disks, damaged images of the adapter."""
    keys, found = block.keys, []
    if block.kind == "vd":
        volume = _volume(keys)
        if volume.state == "rebuilding" and volume.raw_state:
            found.append(Condition("rebuild", f"volume {volume.id}: {volume.raw_state}"))
        if keys.get("importable", "").lower() == "yes" or (volume.raw_state or "").lower() == "foreign":
            found.append(Condition("foreign-config", f"volume {volume.id}: {volume.raw_state}"))
    if block.kind == "pd" and keys.get("smart critical warning", "no").lower() not in {"no", "none", "", "0"}:
        told = f"disk {keys.get('pd id')}: SMART Critical Warning: {keys['smart critical warning']}"
        found.append(Condition("predictive-failure", told))
    if block.kind == "hba":
        for key, value in keys.items():
            if key.endswith("image health") and value.lower() not in {"healthy", ""}:
                found.append(Condition("other", f"{key}: {value}"))
    return found
