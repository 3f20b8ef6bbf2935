"""Controllers out of the reports of MegaCli's commands, one after the other."""

import re
from dataclasses import replace
from typing import Final

from metal.drivers.raid.listing import Controller, Level, pci_text
from metal.drivers.raid.megacli.commands import Command
from metal.drivers.raid.megacli.devices import drive_of, missing_drive, task_of, volume_of
from metal.drivers.raid.megacli.records import Reading, Record, Report
from metal.drivers.raid.megacli.vocabulary import CONTROLLER_STATES, COUNTED_TROUBLE, LEVEL_WORDS
from metal.drivers.raid.session import Gathering, Session
from metal.drivers.tool_text import Line, number, one_line

_PART_OPTION = re.compile(r"\s-?L(?:DInfo\s+-?L)?\d", re.IGNORECASE)
_BUS_IN_NAME = re.compile(r" ?\(Bus [^)]{0,40}\)$")
_ADAPTER = re.compile(r"Adapter ?:? ?(\d{1,4})\b", re.IGNORECASE)
_PRESERVED: Final = "data in cache for offline or missing"
_LEVEL_WORD = re.compile(r"RAID\s?-?(\d\w?)(?=\b|RAID)", re.IGNORECASE)


def gather(session: Session, report: Report, command: Command) -> None:
    """Add what a command says of an adapter to what is known of it."""
    if not report.shown or not (
        report.index is not None or report.records or report.facts or report.conditions
    ):
        return
    index = report.index if report.index is not None else session.only_index()
    gathering = session.controller(index)
    gathering.add_facts(_controller(index, report.facts))
    for condition in report.conditions:
        gathering.add_condition(condition.kind, condition.text)
    _gather_conditions(gathering, report.facts)
    _gather_volumes(gathering, report, command)
    _gather_drives(gathering, report)


def _controller(index: str | None, facts: dict[str, str]) -> Controller:
    state = one_line(facts.get("status"))
    jbod = facts.get("enable jbod", "").lower()
    return Controller(
        index,
        model=_BUS_IN_NAME.sub("", one_line(facts.get("product name") or facts.get("productname")) or "")
        or None,
        serial=one_line(facts.get("serial no")),
        firmware=one_line(facts.get("fw version")),
        pci=_pci(facts),
        state=CONTROLLER_STATES.get((state or "").lower()),
        raw_state=state,
        levels=_levels(facts.get("raid level supported")),
        jbod=jbod in {"yes", "enabled"} if jbod in {"yes", "no", "enabled", "disabled"} else None,
    )


def _pci(facts: dict[str, str]) -> str | None:
    """The address of -AdpGetPciInfo, whose numbers are hexadecimal without a sign of it."""
    parts = [facts.get(f"{part} number", "") for part in ("bus", "device", "function")]
    if not all(re.fullmatch(r"[0-9a-fA-F]{1,2}", part) for part in parts):
        return None
    return pci_text(0, *(int(part, 16) for part in parts))


def _levels(text: str | None) -> tuple[Level, ...]:
    found = (LEVEL_WORDS.get(word.lower()) for word in _LEVEL_WORD.findall(text or ""))
    return tuple(dict.fromkeys(level for level in found if level))


def _gather_conditions(gathering: Gathering, facts: dict[str, str]) -> None:
    for key, value in facts.items():
        count = number(value) or 0
        if key in {"memory correctable errors", "memory uncorrectable errors"} and count:
            gathering.add_condition("memory-errors", f"{key}: {count}")
        elif key in COUNTED_TROUBLE and count:
            gathering.add_condition("other", f"{COUNTED_TROUBLE[key]}: {count}")
        elif key == "any offline vd cache preserved" and value.lower() == "yes":
            gathering.add_condition("preserved-cache", "cache of an offline virtual drive is preserved")


def _gather_volumes(gathering: Gathering, report: Report, command: Command) -> None:
    """Add volumes; a list that names known ones again, or that is empty, replaces what is known."""
    records = [record for record in report.records if record.kind == "volume"]
    ids = {record.fields.get("id", "") for record in records}
    part = bool(_PART_OPTION.search(command.prompt or ""))
    lists = report.lists_volumes or bool(records)
    if lists and not part and (not ids or ids & gathering.volumes.keys()):
        gathering.volumes.clear()
    members = _members(report)
    for record in records:
        volume = volume_of(record)
        gathering.add_volume(replace(volume, members=tuple(members.get(volume.id or "", ()))))
        _volume_conditions(gathering, record)
    for record in report.records:
        if record.kind == "task":
            gathering.add_volume(task_of(record))


def _members(report: Report) -> dict[str, dict[str, None]]:
    """Addresses of the drives that stand under each volume; a spare that stands there is none of it."""
    found: dict[str, dict[str, None]] = {}
    for record in report.records:
        drive = drive_of(record) if record.kind == "drive" and record.owners else None
        if drive and drive.address and drive.state != "spare":
            for owner in record.owners:
                found.setdefault(owner, {})[drive.address] = None
    return found


def _volume_conditions(gathering: Gathering, record: Record) -> None:
    fields, name = record.fields, f"virtual drive {record.fields.get('id')}"
    default, current = fields.get("default cache policy", ""), fields.get("current cache policy", "")
    if default.lower().startswith("writeback") and current.lower().startswith("writethrough"):
        gathering.add_condition("cache", f"{name}: writes through the cache, set to write back")
    if fields.get("bad blocks exist", "").lower() == "yes":
        gathering.add_condition("media-errors", f"{name}: bad blocks exist")


def _gather_drives(gathering: Gathering, report: Report) -> None:
    """Add drives; a list of drives alone is a full one (-PDList) where it names known drives again."""
    found = [(record, drive_of(record)) for record in report.records if record.kind == "drive"]
    known = [drive.address for _, drive in found if drive and drive.address in gathering.drives]
    full = all(not record.owners and "firmware state" in record.fields for record, _ in found)
    if known and full and report.index is not None:
        gathering.drives.clear()
    for record, drive in found:
        if drive is not None:
            gathering.add_drive(drive)
            _drive_conditions(gathering, record, drive.address or "a drive")
    for record in report.records:
        if record.kind == "member":
            gathering.add_drive(replace(missing_drive(record), volume=_only(record.owners)))


def with_spares(controller: Controller) -> Controller:
    """The controller with dedicated spares under the volumes whose arrays they are kept for."""
    kept = [one for one in controller.drives if one.state == "spare" and one.groups and one.address]
    volumes = tuple(
        replace(
            volume,
            spares=tuple(one.address for one in kept if one.address and {*one.groups} & {*volume.groups}),
        )
        for volume in controller.volumes
    )
    return replace(controller, volumes=volumes) if kept else controller


def _only(owners: tuple[str, ...]) -> str | None:
    return owners[0] if len(owners) == 1 else None


def _drive_conditions(gathering: Gathering, record: Record, name: str) -> None:
    fields = record.fields
    if fields.get("foreign state", "").lower() == "foreign":
        gathering.add_condition("foreign-config", f"{name} holds a foreign configuration")
    media = number(fields.get("media error count")) or 0
    if media:
        gathering.add_condition("media-errors", f"{name}: {media} media errors")
    predicted = number(fields.get("predictive failure count")) or 0
    if predicted or fields.get("drive has flagged a s.m.a.r.t alert", "").lower() == "yes":
        gathering.add_condition("predictive-failure", f"{name}: failure predicted ({predicted} times)")


def note_preserved(session: Session, reading: Reading) -> None:
    """A refusal because of preserved cache tells of that cache, too."""
    if not any(_PRESERVED in line.words.lower() for line in reading.statements):
        return
    index = next((one for one in map(_adapter_in, reading.statements) if one), session.only_index())
    session.controller(index).add_condition("preserved-cache", "cache of an offline or missing virtual drive")


def _adapter_in(line: Line) -> str | None:
    match = _ADAPTER.match(line.words)
    return match[1] if match else None
