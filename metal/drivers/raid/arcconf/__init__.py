"""What arcconf prints (Adaptec, ServeRAID, SmartRAID, Cisco 24G), as the model of all RAID tools.

Read are LIST, GETCONFIG with its parts, GETSTATUS, GETVERSION, and how commands ended; a text may hold a
whole session. GETCONFIG does not say which controller it is of: outputs are told apart by the serial, or by
the command line before them, and the index stays unknown unless LIST names the serial.
"""

import re
from typing import Final

from metal.drivers.parsed import Parsed
from metal.drivers.raid.arcconf.controllers import controller_of, gather
from metal.drivers.raid.arcconf.devices import is_drive
from metal.drivers.raid.arcconf.records import Output, Reading, is_open, read
from metal.drivers.raid.arcconf.vocabulary import FAILED, FAILURE, NOTHING_THERE
from metal.drivers.raid.listing import Controller, Listing, Outcome
from metal.drivers.raid.session import Gathering
from metal.drivers.tool_text import Line, breaks_off, lines_of, shorten, unparsable

NAME: Final = "arcconf"
_NUMBER_TYPED = re.compile(r"arcconf\S*\s+\w+\s+(\d{1,4})\b", re.IGNORECASE)


def parse(text: str) -> Parsed[Listing]:
    """Read arcconf's output; raise Unparsable for what is none, or is cut off inside an entry."""
    lines = lines_of(NAME, text)
    reading = read(lines)
    if not reading.recognised:
        first = next(line for line in lines if line.words)
        raise unparsable(NAME, first, "a list of arcconf, or how a command of it ended")
    _refuse_cut_off(reading, lines, broken=breaks_off(text))
    controllers = _Controllers()
    for output in reading.outputs:
        controllers.add(output)
    outcome = _together([one for output in reading.outputs if (one := _outcome(output))])
    found = tuple(gathering.done() for gathering in controllers.gatherings)
    return Parsed(Listing(NAME, outcome, found), shorten(reading.ignored))


def _refuse_cut_off(reading: Reading, lines: tuple[Line, ...], *, broken: bool) -> None:
    """Refuse a text that ends inside an entry; every whole output says at its end how it ended."""
    last = reading.outputs[-1] if reading.outputs else None
    if last is None or last.ended:
        return
    end = next(line for line in reversed(lines) if line.words)
    _refuse_broken_line(last, end, broken=broken)
    if not last.records and not last.sentences and last.controllers_found:
        raise unparsable(NAME, end, "what was found on the controllers", "the end of the text")
    if not last.records:
        return
    record = last.records[-1]
    if record.kind == "volume" and not any(key.startswith("status of logical") for key in record.fields):
        raise unparsable(NAME, end, f"the status of the logical device of line {record.line.number}")
    if record.kind == "drive" and (not record.words or (is_drive(record) and "state" not in record.fields)):
        raise unparsable(NAME, end, f"the state of the device of line {record.line.number}")
    if record.kind == "controller" and "firmware" not in record.fields:
        raise unparsable(NAME, end, f"the firmware of the controller of line {record.line.number}")
    if record.kind.endswith("-task") and record.fields and "percentage complete" not in record.fields:
        raise unparsable(NAME, end, f"how far the task of line {record.line.number} is")


def _refuse_broken_line(last: Output, end: Line, *, broken: bool) -> None:
    """Refuse a text whose last line is open, begins something, or has no end where an end must follow."""
    if is_open(end):
        raise unparsable(NAME, end, "a closing bracket")
    if not end.words.strip("-="):
        raise unparsable(NAME, end, "what the ruler is drawn for", "the end of the text")
    if broken and last.controllers_found is not None:
        raise unparsable(NAME, end, "'Command completed successfully.' at the end")


class _Controllers:
    """The controllers of a session: by serial, else by index, else by the number that was typed."""

    def __init__(self) -> None:
        self.gatherings: list[Gathering] = []
        self.by_serial: dict[str, Gathering] = {}
        self.by_number: dict[str, Gathering] = {}
        self.numbered: set[int] = set()

    def add(self, output: Output) -> None:
        """Add an output to the controllers that it is of."""
        kinds = {record.kind for record in output.records}
        for record in output.records:
            if record.kind in {"listed", "version"}:
                facts = controller_of(record)
                self._of(facts, record.number).add_facts(facts)
        if kinds & {"listed", "version"} or not (kinds or output.lists_volumes or output.lists_drives):
            return
        facts = next(
            (controller_of(one) for one in output.records if one.kind == "controller"), Controller(None)
        )
        typed = _NUMBER_TYPED.search(output.prompt or "")
        gather(self._of(facts, typed[1] if typed else None), output)

    def _of(self, facts: Controller, number: str | None) -> Gathering:
        found = (
            self.by_serial.get(facts.serial or "") or self.by_number.get(number or "") or self._last(number)
        )
        if found is None or (facts.serial and (found.controller.serial or facts.serial) != facts.serial):
            found = Gathering(Controller(facts.index))
            self.gatherings.append(found)
        if facts.serial:
            self.by_serial[facts.serial] = found
        if number:
            self.by_number[number] = found
            self.numbered.add(id(found))
        return found

    def _last(self, number: str | None) -> Gathering | None:
        """The controller of the output before, where nothing says that it is another."""
        last = self.gatherings[-1] if self.gatherings else None
        if last is None or (last.controller.index is not None and len(self.gatherings) > 1):
            return None
        return None if number is not None and id(last) in self.numbered else last


def _outcome(output: Output) -> Outcome | None:
    """How a command ended; None where it does not say, or says only that there is nothing."""
    texts = _sentences(output)
    if output.completed:
        return Outcome(ok=True)
    failures = [text for text in texts if FAILURE.search(text) and not NOTHING_THERE.search(text)]
    if not output.failed and not failures:
        return None
    reasons = [text for text in texts if not FAILED.match(text)]
    if output.controllers_found == 0 or (reasons and all(NOTHING_THERE.search(text) for text in reasons)):
        return None
    real = [text for text in failures if not FAILED.match(text)]
    message = next(iter(real or reversed(reasons)), None) or next(iter(texts), None)
    return Outcome(ok=False, message=(message or "").removeprefix("Error:").strip() or None)


def _sentences(output: Output) -> tuple[str, ...]:
    """The sentences of an output, those that were wrapped made whole."""
    found: list[str] = []
    last = 0
    for line in output.sentences:
        words = " ".join(line.words.split())
        if found and line.number == last + 1 and words[:1].islower():
            found[-1] += f" {words}"
        else:
            found.append(words)
        last = line.number
    return tuple(found)


def _together(outcomes: list[Outcome]) -> Outcome | None:
    failed = next((one for one in outcomes if not one.ok), None)
    return failed or next(iter(outcomes), None)
