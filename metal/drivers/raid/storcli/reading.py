"""What one answer of storcli says about its controller."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from metal.drivers.raid.listing import Condition, Controller, VirtualDrive, pci_text
from metal.drivers.raid.storcli.answers import Answer, Row, Section, stated
from metal.drivers.raid.storcli.rows import (
    DriveEntry,
    VolumeEntry,
    conditions_of,
    drive_details,
    drive_entry,
    drive_progress,
    identity,
    pack_condition,
    path_address,
    placed_drive,
    serial,
    volume_details,
    volume_entry,
    volume_progress,
)
from metal.drivers.raid.storcli.states import controller_state, drive_state, levels_in
from metal.drivers.tool_text import number, one_line

_MEMBERS_OF = re.compile(r"PDs for VD (\d+)", re.IGNORECASE)
PROPERTIES_OF: Final = re.compile(r"VD\s?(\d+) Properties", re.IGNORECASE)
_PACKS: Final = (
    "bbu_info",
    "cachevault_info",
    "energy pack info",
    "bbu_firmware_status",
    "firmware_status",
)
_PACK_TROUBLE: Final = frozenset(
    # Of BBU_Firmware_Status and Firmware_Status, where they say Yes.
    {
        "replacement required",
        "battery pack missing",
        "pack is about to fail & should be replaced",
        "remaining capacity low",
        "no space to cache offload",
    }
)
_PCI = re.compile(r"([0-9a-fA-F]{1,4}):([0-9a-fA-F]{1,2}):([0-9a-fA-F]{1,2})[:.]([0-9a-fA-F]{1,2})")
_PASSING: Final = ("hba", "ehba", "jbod", "it")
_CONTROLLER_IN = re.compile(r"/c(\d+)")
_PRESERVED: Final = {"VD", "State"}
"""The columns of `show preservedcache`, whose table has no title in text."""


@dataclass(slots=True)
class Found:
    """What an answer says of one controller, before answers are put together.

    `lists_drives` and `lists_volumes` are true where the answer names all there are; `arrays` are the
    addresses of each drive group in the order of TOPOLOGY, `places` its rows, `caches` the ids of CacheCade
    volumes. Details and properties are laid over the rows at the end: some texts print them first.
    """

    controller: Controller
    listed: bool = False
    lists_drives: bool = False
    lists_volumes: bool = False
    drives: list[DriveEntry] = field(default_factory=list)
    volumes: list[VolumeEntry] = field(default_factory=list)
    arrays: dict[str, list[str]] = field(default_factory=dict)
    places: list[DriveEntry] = field(default_factory=list)
    details: list[DriveEntry] = field(default_factory=list)
    properties: dict[str, Row] = field(default_factory=dict)
    caches: set[str] = field(default_factory=set)
    conditions: list[Condition] = field(default_factory=list)


def found_in(answer: Answer, *, decimal: bool) -> Iterator[Found]:
    """One entry for the answer's controller, and one for each row of a System Overview."""
    overview = [row for section in answer.sections for row in section.rows if _is_overview(row)]
    if overview:
        yield from map(_overviewed, overview)
        return
    if answer.without_controller:
        return
    values = values_of(answer)
    found = Found(_controller(answer, values))
    for section in answer.sections:
        _read_section(section, answer, found, decimal=decimal)
    _settle(found)
    found.conditions += conditions_of(values)
    if answer.says.startswith("incomplete foreign"):
        found.conditions.append(Condition("foreign-config", answer.description or ""))
    described = _described(found.controller)
    nothing_there = answer.without_volumes or answer.without_foreign
    found.lists_drives = found.lists_drives or described or _asks(answer, r"(?:/eall)?/sall\s+show")
    found.lists_volumes = (
        found.lists_volumes or described or answer.without_volumes or _asks(answer, r"/vall\s+show")
    )
    parts = found.drives or found.volumes or found.arrays or found.caches or found.conditions
    found.listed = bool(parts) or described or nothing_there
    yield found


def is_decimal(answer: Answer) -> bool:
    """Whether a bare GB counts in thousands: HPE's storcli prints volumes in GiB beside drives in GB."""
    volumes = (row for section in answer.sections for row in section.rows if "DG/VD" in row)
    drives = [row for section in answer.sections for row in section.rows if "EID:Slt" in row]
    if any("iB" in row.get("Size", "") for row in drives):
        return False
    values = values_of(answer)
    model = values.get("Model") or values.get("Product Name") or ""
    return model.startswith("HPE ") or any("iB" in row.get("Size", "") for row in volumes)


def _is_overview(row: Row) -> bool:
    return ("Ctl" in row and "Model" in row) or ("Ctrl" in row and "Product Name" in row)


def _overviewed(row: Row) -> Found:
    """A row of System Overview: the model is printed without blanks and stays so."""
    word = stated(row.get("Hlth") or row.get("Status"))
    controller = Controller(
        index=row.get("Ctl") or row.get("Ctrl"),
        model=identity(row.get("Model") or row.get("Product Name")),
        serial=serial(row.get("SerialNumber")),
        pci=_pci(row.get("PCIAddress") or row.get("PCI Address")),
        state=controller_state(word),
        raw_state=word,
    )
    pack = pack_condition("BBU", row.get("BBU")) or pack_condition("Energy pack", row.get("EPack"))
    return Found(controller, listed=True, conditions=list(pack))


def values_of(answer: Answer) -> dict[str, str]:
    """The controller's own properties; those of drives and volumes have titles that say so."""
    values: dict[str, str] = {}
    for section in answer.sections:
        if not (path_address(section.title) or PROPERTIES_OF.fullmatch(section.title)):
            for key, value in section.values.items():
                values.setdefault(key, value)
    return values


def _controller(answer: Answer, values: Row) -> Controller:
    word = stated(values.get("Controller Status"))
    return Controller(
        index=stated(answer.controller) or _index_in(answer),
        model=identity(values.get("Model") or values.get("Product Name")),
        serial=serial(values.get("Serial Number")),
        firmware=identity(values.get("FW Version") or values.get("Firmware Version")),
        pci=_pci(values.get("PCI Address")) or _pci_numbers(values),
        state=controller_state(word),
        raw_state=word,
        levels=levels_in(values.get("RAID Level Supported") or values.get("Supported RAID Levels")),
        jbod=_jbod(answer, values),
    )


def _described(controller: Controller) -> bool:
    return bool(controller.model or controller.serial or controller.pci or controller.levels)


def _index_in(answer: Answer) -> str | None:
    """The index in the command or in a title, where the status block has none."""
    texts = (answer.command or "", *(section.title for section in answer.sections))
    return next((match[1] for text in texts if (match := _CONTROLLER_IN.search(text))), None)


def _pci(text: str | None) -> str | None:
    """`00:3b:00:00` and storcli2's `00:01:00:0` are domain, bus, device, function in hexadecimal."""
    match = _PCI.fullmatch((text or "").strip())
    return pci_text(*(int(part, 16) for part in match.groups())) if match else None


def _pci_numbers(values: Row) -> str | None:
    """The same from Bus Number, Device Number and Function Number, which are decimal."""
    bus, device, function = (number(values.get(f"{name} Number")) for name in ("Bus", "Device", "Function"))
    if bus is None or device is None or function is None or min(bus, device, function) < 0:
        return None
    return pci_text(max(number(values.get("Domain ID")) or 0, 0), bus, device, function)


def _jbod(answer: Answer, values: Row) -> bool | None:
    """Enable JBOD (SystemPD at Dell), a JBOD property, or a personality that passes drives through."""
    settings = [row for section in answer.sections for row in section.rows if row.get("Ctrl_Prop") == "JBOD"]
    told = values.get("Enable JBOD") or values.get("Enable SystemPD")
    told = told or next((row.get("Value") for row in settings), None)
    if told and told.lower() in ("yes", "on", "enabled", "no", "off", "disabled"):
        return told.lower() in ("yes", "on", "enabled")
    mode = values.get("Current Personality") or values.get("Controller Personality") or ""
    return True if mode.lower().startswith(_PASSING) else None


def _asks(answer: Answer, command: str) -> bool:
    return bool(answer.command and re.search(command, answer.command, re.IGNORECASE))


def _read_section(section: Section, answer: Answer, found: Found, *, decimal: bool) -> None:
    title = section.title
    if title.upper() in ("PD LIST", "DRIVE LIST"):
        found.lists_drives = True
    if title.upper() == "VD LIST":
        found.lists_volumes = True
    address = path_address(title)
    if address and section.values:
        found.details.append(drive_details(address, section.values, decimal=decimal))
        found.conditions += conditions_of(section.values, f"{address} ")
    if properties := PROPERTIES_OF.fullmatch(title):
        found.properties[properties[1]] = section.values
        found.conditions += conditions_of(section.values, f"VD {properties[1]} ")
    members = _MEMBERS_OF.fullmatch(title)
    for row in section.rows:
        _read_row(row, found, title=title, decimal=decimal, volume=members[1] if members else None)
        if (
            "VD" not in row
            and "Progress%" in row
            and (entry := drive_progress(row, f"{answer.says} {answer.command or ''}"))
        ):
            found.drives.append(entry)
    if title.lower() in _PACKS:
        found.conditions += _pack(title, section.rows)


def _settle(found: Found) -> None:
    """Put rows, details and properties together.

    TOPOLOGY names the drives only where no other table does (`/c0/dall show`), and those that are gone.
    """
    alone = not any(entry.drive.model or entry.drive.interface for entry in found.drives)
    found.drives += [one for one in found.places if alone or one.drive.address is None]
    found.drives += found.details
    rowless = dict(found.properties)
    for place, entry in enumerate(found.volumes):
        vd = entry.volume.id or ""
        if values := found.properties.get(vd):
            rowless.pop(vd, None)
            volume = volume_details(entry.volume, values)
            found.volumes[place] = replace(entry, volume=volume, exact="Number of Blocks" in values)
    for vd, values in rowless.items():
        if vd not in found.caches:
            found.volumes.append(VolumeEntry(volume_details(VirtualDrive(vd), values)))


def _read_row(row: Row, found: Found, *, title: str, decimal: bool, volume: str | None) -> None:
    if "EID:Slt" in row and "Progress%" not in row:
        passed = title.upper() == "JBOD LIST"
        if drive := drive_entry(row, decimal=decimal, passed=passed, volume=volume):
            found.drives.append(drive)
            if drive.drive.state == "foreign":
                found.conditions.append(Condition("foreign-config", f"{drive.drive.address} is foreign"))
            if drive.drive.state == "rebuilding":
                found.conditions.append(Condition("rebuild", f"{drive.drive.address} rebuilds"))
    elif "DG/VD" in row:
        if entry := volume_entry(row):
            found.volumes.append(entry)
        else:
            found.caches.add(row["DG/VD"].rpartition("/")[2])
    elif "EID:Slot" in row:
        _read_place(row, found, title=title, decimal=decimal)
    elif "VD" in row and ("preserved" in title.lower() or row.keys() == _PRESERVED):
        text = f"VD {row['VD']}: {row.get('State') or title}"
        found.conditions.append(Condition("preserved-cache", text))
    elif "VD" in row and "Progress%" in row and (progress := volume_progress(row)):
        found.volumes.append(progress)


def _read_place(row: Row, found: Found, *, title: str, decimal: bool) -> None:
    """A row of TOPOLOGY, or of FOREIGN CONFIGURATION, whose groups are no groups of this controller."""
    group, word = stated(row.get("DG")), row.get("State", "")
    if title.upper().startswith("FOREIGN") or drive_state(word) == "foreign" or "NoVDs" in row:
        text = " ".join(filter(None, (f"drive group {group}", one_line(row.get("Type")), row.get("Size"))))
        found.conditions.append(Condition("foreign-config", text))
        return
    if row.get("Type", "").upper() != "DRIVE":
        return
    entry = placed_drive(row, decimal=decimal)
    found.places.append(entry)
    if group is None:
        return
    if address := entry.drive.address:
        found.arrays.setdefault(group, []).append(address)


def _pack(title: str, rows: tuple[Row, ...]) -> Iterator[Condition]:
    for row in rows:
        told = row.get("Property", "").lower()
        if told in ("state", "battery state", "status"):
            yield from pack_condition(title, row.get("Value"))
        elif told in _PACK_TROUBLE and row.get("Value", "").lower() == "yes":
            yield Condition("battery", f"{row['Property']}: {row['Value']}")
        elif "Property" not in row:
            name = row.get("Model") or row.get("SubType") or ""
            yield from pack_condition(f"{title} {name}".strip(), row.get("State") or row.get("Status"))
