"""hpacucli, hpssacli and ssacli: HP's and HPE's Smart Array controllers.

Sizes: drives are decimal ("300 GB"), volumes are binary and say GB too (279.37 GB on that drive). A
command that changes something prints nothing when it succeeds, so that an outcome here is a failure or
is not stated. Array letters shift with every change; drives belong to a volume when their array has only
one, or when its groups name them.
"""

import re
from dataclasses import replace

from metal.drivers.parsed import Parsed
from metal.drivers.raid.listing import (
    Controller,
    Drive,
    Level,
    Listing,
    Outcome,
    VirtualDrive,
    VolumeState,
    pci_text,
    wwn_text,
)
from metal.drivers.raid.session import without_placeholders
from metal.drivers.raid.ssacli.blocks import Block, DriveBlock, VolumeBlock, read_blocks
from metal.drivers.raid.ssacli.conditions import conditions_of
from metal.drivers.raid.ssacli.grammar import TOOL
from metal.drivers.raid.ssacli.session import later
from metal.drivers.raid.ssacli.words import (
    CONTROLLER_STATES,
    NOTHING_THERE,
    VOLUME_STATES,
    WRITES,
    by_beginning,
    drive_state,
    interface_of,
    level_of,
    medium_of,
    role_of,
)
from metal.drivers.tool_text import breaks_off, lines_of, number, one_line, shorten, size_bytes

_PCI = re.compile(r"^([0-9A-Fa-f]{1,4}):([0-9A-Fa-f]{1,2}):([0-9A-Fa-f]{1,2})\.([0-9A-Fa-f])$")
_PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,6})?)\s*%")
_DEVICE = re.compile(r"/dev/\S+")
_WITHOUT_ADG: tuple[Level, ...] = ("raid0", "raid1", "raid5", "raid10")
_RUNNING = frozenset({"rebuilding", "initialising", "migrating"})


def parse(text: str) -> Parsed[Listing]:
    """What the tool printed. Raises Unparsable for other texts and for one that is cut off."""
    read = read_blocks(lines_of(TOOL, text), broken=breaks_off(text))
    controllers: dict[str, Controller] = {}
    for block in read.blocks:
        key = block.heading.index if block.heading.index is not None else f" {block.heading.model}"
        seen = _controller(block)
        known = controllers.get(key)
        controllers[key] = later(known, seen, block) if known else seen
    failures = [error for error in read.errors if not NOTHING_THERE.search(error)]
    outcome = Outcome(ok=False, message=failures[0]) if failures else None
    found, placeholders = without_placeholders(tuple(controllers.values()))
    return Parsed(Listing(TOOL, outcome, found), shorten(read.ignored), placeholders)


def _controller(block: Block) -> Controller:
    keys, heading = block.keys, block.heading
    raw = one_line(keys.get("controller status"))
    jbod = _jbod(block)
    hba = _is_hba(block)
    drives = [_drive(drive, hba=hba) for drive in block.drives.values()]
    members = _members(block)
    volumes = [
        _volume(volume, members[volume.id], _spares(block, volume.array)) for volume in block.volumes.values()
    ]
    owners = _owners(members)
    return Controller(
        heading.index,
        model=heading.model or None,
        serial=one_line(keys.get("serial number")) or heading.serial,
        firmware=one_line(keys.get("firmware version")),
        pci=_pci(keys.get("pci address (domain:bus:device.function)", "")),
        state=by_beginning(CONTROLLER_STATES, raw),
        raw_state=raw,
        levels=_levels(block),
        jbod=jbod,
        drives=tuple(replace(drive, volume=owners.get(drive.address)) for drive in drives),
        volumes=tuple(volumes),
        conditions=tuple(conditions_of(block, volumes)),
    )


def _pci(text: str) -> str | None:
    match = _PCI.match(text)
    return pci_text(*(int(part, 16) for part in match.groups())) if match else None


def _is_hba(block: Block) -> bool:
    """Whether the controller is a plain adapter, which makes no volumes until its mode is switched."""
    keys = block.keys
    mode = (keys.get("controller mode") or block.heading.mode or "").lower()
    return "hba" in mode or keys.get("hba mode enabled", "").lower() == "true"


def _levels(block: Block) -> tuple[Level, ...]:
    """What the controller can, where it says so; parity over two drives and spans of it need one key."""
    if _is_hba(block):
        return ("jbod",)
    return _WITHOUT_ADG if block.keys.get("raid 6 (adg) status", "").lower() == "disabled" else ()


def _jbod(block: Block) -> bool | None:
    """Pass-through by the controller's mode; by its ports' modes where it has none of its own."""
    keys = block.keys
    mode = (keys.get("controller mode") or block.heading.mode or "").lower()
    enabled = {"true": True, "false": False}.get(keys.get("hba mode enabled", "").lower())
    if mode.startswith(("hba", "mixed")) or enabled:
        return True
    if mode.startswith("raid") or enabled is False:
        return False
    passing = any(aside.endswith(("(Mixed)", "(HBA)")) for aside in block.asides)
    return True if passing else None


def _members(block: Block) -> dict[str, tuple[str, ...]]:
    """The drives of each volume's groups; without groups those of its array, over all of which it lies."""
    arrays: dict[str, list[str]] = {}
    for drive in block.drives.values():
        if drive.array is not None and _role(drive) == "data":
            arrays.setdefault(drive.array, []).append(drive.address)
    whole = {letter: tuple(addresses) for letter, addresses in arrays.items()}
    return {
        volume.id: tuple(dict.fromkeys(volume.members)) or whole.get(volume.array or "", ())
        for volume in block.volumes.values()
    }


def _spares(block: Block, array: str | None) -> tuple[str, ...]:
    """The spares of an array, which serve all of its volumes, and perhaps other arrays too."""
    return tuple(
        drive.address for drive in block.drives.values() if array in drive.arrays and _role(drive) == "spare"
    )


def _owners(members: dict[str, tuple[str, ...]]) -> dict[str | None, str | None]:
    """The volume of each drive, None for one that carries several."""
    owners: dict[str | None, str | None] = {}
    for volume, addresses in members.items():
        for address in addresses:
            owners[address] = None if address in owners else volume
    return owners


def _role(drive: DriveBlock) -> str | None:
    return role_of(drive.keys.get("drive type", "")) or drive.role


def _drive(block: DriveBlock, *, hba: bool) -> Drive:
    """A drive from its keys, else from the last line that names it."""
    keys = block.keys
    listed = [line for line in block.said if line.listed]
    status = one_line(keys.get("status")) or next(
        (line.status for line in reversed(listed) if line.status), None
    )
    kind = one_line(keys.get("interface type"))
    named = next((line.interface for line in reversed(listed) if line.interface), None)
    size = keys.get("size") or next((line.size for line in reversed(listed) if line.size), None)
    role = role_of(keys.get("drive type", "")) or block.role
    state = drive_state(status, "hba" if hba and role == "unassigned" else role)
    if status is None and role == "unassigned":
        state = "unconfigured"
    if state == "unconfigured" and keys.get("drive exposed to os", "").lower() == "true":
        state = "jbod"  # a port in mixed mode
    percent = (
        _PERCENT.search(" ".join([status or "", *_progress(keys)]))
        if state in {"rebuilding", "erasing"}
        else None
    )
    blocks = keys.get("native block size") or keys.get("logical/physical block size", "").partition("/")[0]
    return Drive(
        block.address,
        state=state,
        raw_state=status,
        media=medium_of(kind) or medium_of(named, keys.get("rotational speed")),
        interface=interface_of(kind or named),
        size_bytes=size_bytes(size, decimal=True) or None,
        sector_size=number(blocks),
        model=one_line(keys.get("model")),
        serial=one_line(keys.get("serial number")),
        wwn=wwn_text(keys.get("wwid") or keys.get("drive unique id")),
        firmware=one_line(keys.get("firmware revision")),
        progress=float(percent[1]) if percent else None,
    )


def _progress(keys: dict[str, str]) -> list[str]:
    return [value for key, value in keys.items() if "progress" in key or "percent" in key]


def _volume(block: VolumeBlock, members: tuple[str, ...], spares: tuple[str, ...]) -> VirtualDrive:
    keys, said = block.keys, block.said
    device = _DEVICE.match(keys.get("disk name", ""))
    raw = one_line(keys.get("status")) or (said.status if said else None)
    size = keys.get("size") or (said.size if said else None)
    state = _volume_state(keys, raw)
    percent = _PERCENT.search(" ".join([raw or "", *_progress(keys)])) if state in _RUNNING else None
    return VirtualDrive(
        block.id,
        name=one_line(keys.get("logical drive label")),
        level=level_of(keys.get("fault tolerance") or (said.level if said else None)),
        state=state,
        raw_state=raw,
        size_bytes=size_bytes(size) or None,
        stripe_bytes=size_bytes(keys.get("strip size") or keys.get("stripe size")),
        members=members,
        progress=float(percent[1]) if percent else None,
        wwn=wwn_text(keys.get("unique identifier")),
        device=device[0] if device else None,
        spares=spares,
        groups=(block.array,) if block.array else (),
        write_cache=WRITES.get((keys.get("caching") or keys.get("array accelerator") or "").lower()),
    )


def _volume_state(keys: dict[str, str], raw: str | None) -> VolumeState | None:
    """The status; a parity initialization that runs below an OK is the state instead."""
    state = by_beginning(VOLUME_STATES, raw)
    parity = keys.get("parity initialization status", "").lower()
    if (
        state == "optimal"
        and parity.startswith(("in progress", "initializ"))
        and not re.search("complet|fail", parity)
    ):
        return "initialising"
    return state
