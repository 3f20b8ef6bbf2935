"""What storcli is asked, and its answers joined into controllers.

Five readings, of which the first one says what there is and the others must then say all of it:

    controllers   /call show all             model, PCI address, drives, drive groups, volumes, capabilities
    drives        /call/eall/sall show all   serials, WWNs, sizes in sectors, of drives in enclosures
    direct        /call/sall show all        the same of drives without an enclosure (EID ` :0`)
    volumes       /call/vall show all        members, strip, NAA ids, sizes in blocks
    pinned        /call show preservedcache  volumes that are gone and whose cache is kept

`Status` alone is no evidence: a Success may hold no controller, a Failure all data (a stale foreign
configuration, ErrCd 59), and one drive that does not answer (ErrCd 46) hides the details of all others. So
what counts is whether each drive and volume of the first reading has its details.
"""

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from metal.drivers.bundle import Query
from metal.drivers.raid.family import answer_of
from metal.drivers.raid.listing import Condition, Controller
from metal.drivers.raid.session import without_placeholders
from metal.drivers.raid.storcli import merge
from metal.drivers.raid.storcli.answers import TOOL, Answer, outcome
from metal.drivers.raid.storcli.forms import answers_of
from metal.drivers.raid.storcli.reading import PROPERTIES_OF, values_of
from metal.drivers.raid.storcli.rows import path_address
from metal.drivers.tool_text import unparsable
from metal.protocols import Output

_ASKED: Final[Mapping[str, tuple[tuple[str, ...], int]]] = {
    "controllers": (("/call", "show", "all"), 40),
    "drives": (("/call/eall/sall", "show", "all"), 40),
    "direct": (("/call/sall", "show", "all"), 20),
    "volumes": (("/call/vall", "show", "all"), 30),
    "pinned": (("/call", "show", "preservedcache"), 20),
}
_IR_DRIVERS: Final = ("mpt2sas", "mpt3sas")
"""Kernel drivers of HBAs: storcli lists them, but makes no volume there, also where the firmware is IR."""
_PASSING: Final = ("hba", "it-mode")
PASSED_THROUGH: Final = "HBA personality: no volumes; the system sees the drives as they are"


def queries(family: str, tool: str) -> tuple[Query, ...]:
    """All readings; `nolog` keeps storcli from writing a log where it is called (the RAM disk)."""
    return tuple(
        Query(f"{family}-{name}", (tool, *words, "nolog", "J"), timeout_s)
        for name, (words, timeout_s) in _ASKED.items()
    )


def joined(family: str, answers: Mapping[str, Output]) -> tuple[Controller, ...]:
    """The controllers that volumes can be made on. Raises Unparsable where something is missing."""
    read = {name: _read(answers, f"{family}-{name}") for name in _ASKED}
    if not read["controllers"]:
        raise unparsable(TOOL, None, "what controllers there are", "no answer at all")
    listed = [answer for answer in read["controllers"] if not answer.without_controller]
    passed_by = {answer.controller for answer in listed if _is_foreign_ground(answer)}
    passing = {answer.controller for answer in listed if _passes_through(answer)}
    kept = {name: [one for one in said if one.controller not in passed_by] for name, said in read.items()}
    kept["controllers"] = [answer for answer in listed if answer.controller not in passed_by]
    kept["pinned"] = [_titled(answer) for answer in kept["pinned"]]
    for answer in kept["controllers"]:
        if not _describes(answer):
            found = answer.description or answer.status or ""
            raise unparsable(TOOL, None, f"what controller {answer.controller} is", found)
    if not kept["controllers"]:
        return ()
    seen, _ = without_placeholders(merge.controllers([one for said in kept.values() for one in said]))
    for controller in seen:
        if controller.index not in passing:
            _refuse_hidden_drives(controller, [*kept["drives"], *kept["direct"]])
            _refuse_hidden_volumes(controller, kept["volumes"])
    return tuple(_bare(one) if one.index in passing else one for one in seen)


def _read(answers: Mapping[str, Output], name: str) -> tuple[Answer, ...]:
    text, said = answer_of(answers, name), answers[name]
    if not said.stdout.strip():
        told = " ".join(text.split()) or f"nothing (status {said.status})"
        raise unparsable(TOOL, None, f"an answer to {shlex.join(said.argv)}", told)
    return answers_of(text)[0]


def _is_foreign_ground(answer: Answer) -> bool:
    """Whether it is an HBA with IT or IR firmware: another tool's, or nobody's.

    Seen as Driver Name = mpt3sas with the models LSI3008-IT, LSI3008-IR, HBA 9400-16i and UCSC-SAS-M5HD.
    """
    values = values_of(answer)
    driver = (values.get("Driver Name") or "").lower()
    model = (values.get("Model") or values.get("Product Name") or "").upper()
    if driver:
        return driver in _IR_DRIVERS
    return model.endswith(("-IT", "-IR")) or model.startswith("HBA ")


def _passes_through(answer: Answer) -> bool:
    """Whether a RAID controller is set to be an HBA (`Current Personality = HBA-Mode`)."""
    values = values_of(answer)
    mode = values.get("Current Personality") or values.get("Controller Personality") or ""
    return mode.strip().lower().startswith(_PASSING)


def _bare(controller: Controller) -> Controller:
    """A controller that passes all through: known to be there, so that its drives are plain disks."""
    told = Condition("advisory", PASSED_THROUGH)
    return replace(controller, drives=(), volumes=(), levels=(), conditions=(*controller.conditions, told))


def _describes(answer: Answer) -> bool:
    values = values_of(answer)
    return bool(values.get("Model") or values.get("Product Name"))


def _titled(answer: Answer) -> Answer:
    """The answer to `show preservedcache`, under the title by which its rows are read."""
    sections = (
        replace(section, title="Preserved Cache") if any("VD" in row for row in section.rows) else section
        for section in answer.sections
    )
    return replace(answer, sections=tuple(sections))


def _refuse_hidden_drives(controller: Controller, answers: Sequence[Answer]) -> None:
    told = set(_detailed(controller, answers))
    for drive in controller.drives:
        if drive.address is not None and drive.address not in told:
            what = f"details of drive {drive.address} of controller {controller.index}"
            raise unparsable(TOOL, None, what, _why(controller, answers))


def _detailed(controller: Controller, answers: Iterable[Answer]) -> Iterator[str]:
    for answer in _of(controller, answers):
        for section in answer.sections:
            address = path_address(section.title)
            if address is not None and section.values:
                yield address


def _refuse_hidden_volumes(controller: Controller, answers: Sequence[Answer]) -> None:
    told = {
        match[1]
        for answer in _of(controller, answers)
        for section in answer.sections
        if section.values and (match := PROPERTIES_OF.fullmatch(section.title))
    }
    for volume in controller.volumes:
        if volume.id is not None and volume.id not in told:
            what = f"properties of volume {volume.id} of controller {controller.index}"
            raise unparsable(TOOL, None, what, _why(controller, answers))


def _of(controller: Controller, answers: Iterable[Answer]) -> Iterator[Answer]:
    return (answer for answer in answers if answer.controller in (None, controller.index))


def _why(controller: Controller, answers: Iterable[Answer]) -> str:
    """What the tool gives as the reason: the first failed row of the answers, or their description."""
    own = list(_of(controller, answers))
    for answer in own:
        for section in answer.sections:
            for row in section.rows:
                if row.get("Status", "").lower().startswith("fail"):
                    return " ".join(filter(None, (row.get("Drive"), row.get("ErrCd"), row.get("ErrMsg"))))
    failed = outcome(own)
    return failed.message or "a failure" if failed is not None and not failed.ok else "none"
