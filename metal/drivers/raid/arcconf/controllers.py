"""Controllers out of arcconf's records: whose segments, volumes and drives belong together."""

import re
from collections import Counter
from dataclasses import replace

from metal.drivers.raid.arcconf.devices import (
    Location,
    Segment,
    drive_in_task,
    drive_of,
    is_drive,
    kept_for,
    named_members,
    reported_location,
    segment_of,
    told,
    volume_in_array,
    volume_in_task,
    volume_of,
)
from metal.drivers.raid.arcconf.records import Output, Record
from metal.drivers.raid.arcconf.vocabulary import (
    CACHE_STATES_GOOD,
    CONTROLLER_STATES,
    POWER_KEYS,
    POWER_STATES_GOOD,
)
from metal.drivers.raid.listing import Controller, Drive, VirtualDrive, pci_text
from metal.drivers.raid.session import Gathering
from metal.drivers.tool_text import number, one_line
from specs.identity import serial_identity

_PCI = re.compile(r"^(?:([0-9a-f]{1,4}):)?([0-9a-f]{1,2}):([0-9a-f]{1,2}):([0-9a-f]{1,2})$", re.IGNORECASE)
_BUILD = re.compile(r" ?[\[(][^\])]{0,40}[\])]$")
_WORD_IN_BRACKETS = re.compile(r"\(([A-Za-z ]{1,40})\)")
_PART = re.compile(r"\b(?:LD|PD) \d", re.IGNORECASE)


def controller_of(record: Record) -> Controller:
    """The controller of GETCONFIG, of a row of LIST, or of GETVERSION."""
    if record.kind == "listed":
        return _listed(record)
    fields = record.fields
    raw = told(fields.get("controller status"))
    return Controller(
        record.number,
        model=told(fields.get("controller model")),
        serial=serial_identity(one_line(fields.get("controller serial number"))),
        firmware=_firmware(fields.get("firmware")),
        pci=_pci(fields),
        state=CONTROLLER_STATES.get((raw or "").lower()),
        raw_state=raw,
        jbod=_passes_through(fields.get("controller mode")),
    )


def _listed(record: Record) -> Controller:
    """A row of LIST by its columns; the name takes what is too many, for names hold commas."""
    columns = [column.strip().lower() for column in record.fields["columns"].split(",")]
    cells = [cell.strip() for cell in record.fields["row"].split(",")]
    surplus = len(cells) - len(columns)
    if surplus > 0 and "name" in columns:
        place = columns.index("name")
        cells[place : place + surplus + 1] = [", ".join(cells[place : place + surplus + 1])]
    row = dict(zip(columns, cells, strict=False))
    raw = told(row.get("status"))
    return Controller(
        record.number,
        model=told(row.get("name")),
        serial=serial_identity(row.get("serialnumber") or row.get("serial number")),
        state=CONTROLLER_STATES.get((raw or "").lower()),
        raw_state=raw,
        jbod=_passes_through(row.get("mode")),
    )


def _firmware(text: str | None) -> str | None:
    """The version without its build, which stands in brackets of one kind or both."""
    words = told(text)
    while words and _BUILD.search(words):
        words = _BUILD.sub("", words)
    return words or None


def _pci(fields: dict[str, str]) -> str | None:
    """The address; its numbers are hexadecimal, and the domain may be missing from the key alone."""
    text = next((value for key, value in fields.items() if key.startswith("pci address")), "")
    match = _PCI.match(text.strip())
    if match is None:
        return None
    domain, bus, device, function = (int(part or "0", 16) for part in match.groups())
    return pci_text(domain, bus, device, function) if device < 32 and function < 8 else None


def _passes_through(mode: str | None) -> bool | None:
    """Whether drives can be passed through: in modes HBA and Mixed, not in a RAID mode."""
    lowered = (mode or "").lower()
    if "hba" in lowered or "mixed" in lowered:
        return True
    return False if "raid" in lowered or "volume" in lowered else None


def gather(gathering: Gathering, output: Output) -> None:
    """Add what an output says of one controller."""
    for record in output.records:
        if record.kind in {"controller", "version"}:
            gathering.add_facts(controller_of(record))
            _controller_conditions(gathering, record.fields)
    part = bool(_PART.search(output.prompt or ""))
    _Assembly(gathering, output, part=part).assemble()


class _Assembly:
    """One output's arrays, volumes and drives, put together."""

    def __init__(self, gathering: Gathering, output: Output, *, part: bool) -> None:
        self.gathering = gathering
        self.output = output
        self.part = part
        self.by_serial: dict[str, str] = {}
        self.by_location: dict[Location, str] = {}
        self.by_device: dict[str, str] = {}
        self.unplaced: dict[object, Drive] = {}
        self.kept: dict[str, tuple[tuple[str, str], ...]] = {}

    def assemble(self) -> None:
        """Drives first, for segments name them."""
        self._drives()
        self._volumes()
        self._arrays()
        self._tasks()
        for drive in self.unplaced.values():
            self.gathering.add_drive(drive)

    def _drives(self) -> None:
        found = [(record, drive_of(record)) for record in self._of("drive") if is_drive(record)]
        known = self.gathering.drives
        if not self.part and any(drive.address in known for _, drive in found):
            known.clear()
        serials = Counter(drive.serial for _, drive in found)
        for record, drive in found:
            self.gathering.add_drive(drive)
            _drive_conditions(self.gathering, record.fields, drive)
            if drive.address is None:
                continue
            self.kept[drive.address] = kept_for(record.fields)
            if drive.serial and serials[drive.serial] == 1:
                self.by_serial[drive.serial] = drive.address
            location = reported_location(record)
            if location:
                self.by_location[location] = drive.address
            self.by_device[record.number or ""] = drive.address

    def _volumes(self) -> None:
        records = self._of("volume")
        ids = {record.number for record in records}
        known = self.gathering.volumes
        if self.output.lists_volumes and not self.part and (not ids or ids & known.keys()):
            known.clear()
        for record in records:
            volume = volume_of(record)
            members = dict.fromkeys(named_members(record))
            for address in [one for one in members if one not in self.gathering.drives]:
                self.gathering.add_drive(Drive(address))
            members |= dict.fromkeys(self._members(record, volume.id))
            arrays = [("array", number) for number in volume.groups]
            spares = self._spares(record, ("logical", volume.id or ""), *arrays)
            self.gathering.add_volume(replace(volume, members=tuple(members), spares=spares))
            stripes = record.fields.get("failed stripes") or record.fields.get("defunct stripes") or ""
            if stripes.lower() == "yes":
                self.gathering.add_condition("media-errors", f"logical device {volume.id}: failed stripes")

    def _arrays(self) -> None:
        """Arrays name volumes and drives; with one volume in it, the drives are that one's."""
        for record in self._of("array"):
            volumes = [volume_in_array(row) for row in record.rows if row.name == "logical"]
            named = [volume for volume in volumes if volume is not None]
            owner = named[0].id if len(named) == 1 else None
            members = self._members(record, owner)
            spares = self._spares(record, ("array", record.number or ""))
            for volume in named:
                known = self.gathering.volumes.get(volume.id or "")
                if known is None or not known.members:
                    volume = replace(volume, members=members)  # noqa: PLW2901
                volume = _without_overwriting(known, volume)  # noqa: PLW2901
                kept = tuple(dict.fromkeys((*volume.spares, *spares)))
                groups = volume.groups or ((record.number,) if record.number else ())
                self.gathering.add_volume(replace(volume, spares=kept, groups=groups))
            status = told(record.fields.get("status"))
            if status and status.lower() not in {"ok", "okay", "optimal"}:
                self.gathering.add_condition("other", f"array {record.number}: {status}")

    def _members(self, record: Record, owner: str | None) -> tuple[str, ...]:
        members = dict[str, None]()
        for row in record.rows:
            segment = segment_of(row) if row.name != "logical" else None
            member = self._place(segment, owner) if segment else None
            if segment and member and not segment.spare:
                members[member] = None
        return tuple(members)

    def _spares(self, record: Record, *named: tuple[str, str]) -> tuple[str, ...]:
        """Spares of a volume or array: those of its table, and drives that name its array or itself."""
        segments = (segment_of(row) for row in record.rows if row.name != "logical")
        found = [self._place(one, None) for one in segments if one and one.spare]
        found += [address for address, kept in self.kept.items() if {*kept} & {*named}]
        return tuple(dict.fromkeys(one for one in found if one))

    def _place(self, segment: Segment, owner: str | None) -> str | None:
        """The address of a segment's drive; where none is known, its place in words."""
        serial = segment.drive.serial or ""
        address = segment.address or self.by_serial.get(serial) or self.by_location.get(segment.location)
        if address is None and segment.device is not None:
            address = self.by_device.get(segment.device)
        if address is not None:
            known = self.gathering.drives.get(address)
            if known is None:
                self.gathering.add_drive(replace(segment.drive, address=address))
            elif segment.state == "rebuilding" and known.state in {None, "online"}:
                self.gathering.add_drive(replace(known, state="rebuilding"))
            return address
        if not serial and not segment.location:
            return None
        key: object = serial or segment.location
        drive = replace(segment.drive, volume=None if segment.spare else owner)
        known = self.unplaced.get(key)
        if known is not None and known.volume != drive.volume and known.volume and drive.volume:
            drive = replace(drive, volume=None)
        elif known is not None:
            drive = replace(drive, volume=drive.volume or known.volume)
        self.unplaced[key] = drive
        return ", ".join(f"{word.title()} {place}" for word, place in segment.location) or serial

    def _tasks(self) -> None:
        for record in self._of("volume-task"):
            volume = volume_in_task(record)
            if volume is not None:
                self.gathering.add_volume(volume)
        for record in self._of("drive-task"):
            drive = drive_in_task(record)
            if drive is not None:
                self.gathering.add_drive(drive)

    def _of(self, kind: str) -> list[Record]:
        return [record for record in self.output.records if record.kind == kind]


def _without_overwriting(known: VirtualDrive | None, volume: VirtualDrive) -> VirtualDrive:
    """A volume of an array where the volume itself was not printed; else what was printed of it."""
    return volume if known is None else replace(known, members=known.members or volume.members)


def _drive_conditions(gathering: Gathering, fields: dict[str, str], drive: Drive) -> None:
    name = f"drive {drive.address}"
    smart = [fields.get(key, "").lower() for key in ("s.m.a.r.t.", "pfa", "ssd smart trip wearout")]
    warnings = number(fields.get("s.m.a.r.t. warnings")) or 0
    predicted = number(fields.get("predictive failures")) or number(fields.get("smart warning count")) or 0
    if warnings or predicted or any(value in {"yes", "true"} for value in smart):
        gathering.add_condition("predictive-failure", f"{name}: failure predicted")
    for key in ("media failures", "medium error count"):
        media = number(fields.get(key)) or 0
        if media:
            gathering.add_condition("media-errors", f"{name}: {key} {media}")
    if drive.state == "foreign" or fields.get("drive has stale ris data", "").lower() == "true":
        gathering.add_condition("foreign-config", f"{name}: configuration of another controller")


def _controller_conditions(gathering: Gathering, fields: dict[str, str]) -> None:
    heat = _WORD_IN_BRACKETS.search(fields.get("temperature", ""))
    if heat and heat[1].lower() != "normal":
        gathering.add_condition("temperature", f"controller: {fields['temperature']}")
    for key, value in fields.items():
        power = key in POWER_KEYS or re.match(r"controller (?:battery|zmm) information status$", key)
        if power and value.lower() not in POWER_STATES_GOOD:
            gathering.add_condition("battery", f"{key}: {value}")
    if fields.get("over temperature", "").lower() == "yes":
        gathering.add_condition("battery", "over temperature: Yes")
    cache = fields.get("cache status", "") or fields.get("cache state", "")
    if cache.lower() not in CACHE_STATES_GOOD:
        gathering.add_condition("cache", f"cache: {cache}")
    defunct = number(fields.get("defunct disk drive count")) or 0
    if defunct:
        gathering.add_condition("other", f"defunct disk drives: {defunct}")
