"""What MegaCli and MegaCli64 print, as the model of all RAID tools.

Read are the lists (AdpAllInfo, PDList, PDInfo, LDInfo, LdPdInfo, CfgDsply, ShowSummary, AdpGetPciInfo),
the battery, preserved cache and foreign configurations, progress reports, and how commands ended; a text
may hold a whole session. Sizes print GB and mean GiB. Whoever reads a machine wants an exit code at the
end: without it a list that was cut off between two drives cannot be told from a whole one.
"""

from dataclasses import replace
from typing import Final

from metal.drivers.parsed import Parsed
from metal.drivers.raid.listing import Controller, Listing, Outcome
from metal.drivers.raid.megacli.commands import Command, is_own, outcome_of, split, together
from metal.drivers.raid.megacli.controllers import gather, note_preserved, with_spares
from metal.drivers.raid.megacli.records import Reading, read
from metal.drivers.raid.session import Session
from metal.drivers.tool_text import Line, breaks_off, lines_of, shorten, unparsable
from specs.identity import serial_identity

NAME: Final = "megacli"
FILLER_SERIAL: Final = "1122334455667788"
"""What PERC 6 controllers without a serial print in its place."""

_STATE_KEYS: Final = {"drive": "firmware state", "volume": "state"}


def parse(text: str) -> Parsed[Listing]:
    """Read MegaCli's output; raise Unparsable for what is none, or is cut off inside an entry."""
    lines = lines_of(NAME, text)
    session, ignored, outcomes = Session(), list[str](), list[Outcome]()
    recognised = False
    end = next(line for line in reversed(lines) if line.words)
    for command in split(lines):
        reading = read(command)
        _refuse_cut_off(reading, command, end, broken=breaks_off(text))
        for report in reading.reports:
            gather(session, report, command)
        lists = any(record.kind == "volume" for report in reading.reports for record in report.records)
        own = reading.recognised or is_own(command, tuple(reading.statements))
        outcome = outcome_of(command, tuple(reading.statements), lists=lists) if own else None
        outcomes += [outcome] if outcome else []
        ignored += [command.prompt] if command.prompt else []
        ignored += reading.ignored
        note_preserved(session, reading)
        recognised = recognised or reading.recognised or command.code is not None or outcome is not None
    if not recognised:
        first = next(line for line in lines if line.words)
        raise unparsable(NAME, first, "a list of MegaCli or an exit code")
    controllers, placeholders = _without_fillers(tuple(with_spares(one) for one in session.done()))
    return Parsed(Listing(NAME, together(outcomes), controllers), shorten(ignored), placeholders)


def _refuse_cut_off(reading: Reading, command: Command, end: Line, *, broken: bool) -> None:
    """Refuse a text that ends inside an entry: one without its state, after others that have it."""
    if command.code is not None or command.lines[-1].number < end.number:
        return
    records = [record for report in reading.reports for record in report.records]
    if reading.heading is not None and reading.heading.number == end.number:
        raise unparsable(NAME, end, "what belongs to this adapter", "the end of the text")
    if broken and not records and any(report.lists_volumes for report in reading.reports):
        raise unparsable(NAME, end, "the virtual drives of this adapter")
    if not records:
        return
    last = records[-1]
    if (
        last.kind in {"volume", "member"}
        and set(last.fields) <= {"id", "arrays"}
        and last.line.number == end.number
    ):
        raise unparsable(NAME, end, "what belongs to this entry", "the end of the text")
    same = [record for record in records if record.kind == last.kind]
    key = _STATE_KEYS.get(last.kind, "")
    if key and key not in last.fields and any(key in one.fields for one in same):
        raise unparsable(NAME, end, f"the {key} of the {last.kind} of line {last.line.number}")
    if broken and key and len(same) > 1 and next(reversed(same[-2].fields)) not in last.fields:
        raise unparsable(NAME, end, f"the other keys of the {last.kind} of line {last.line.number}")


def _without_fillers(controllers: tuple[Controller, ...]) -> tuple[tuple[Controller, ...], tuple[str, ...]]:
    paths = tuple(
        f"controllers[{place}].serial"
        for place, one in enumerate(controllers)
        if one.serial is not None and _is_filler(one.serial)
    )
    cleared = tuple(
        replace(one, serial=None) if one.serial is not None and _is_filler(one.serial) else one
        for one in controllers
    )
    return cleared, paths


def _is_filler(serial: str) -> bool:
    return serial == FILLER_SERIAL or serial_identity(serial) is None
