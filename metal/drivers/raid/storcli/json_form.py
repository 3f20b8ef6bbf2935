"""storcli's `J` form: `{"Controllers": [{"Command Status": {…}, "Response Data": {…}}]}`.

The objects below Response Data are named as the titles of the text form are, except that storcli2
lists volumes and drives as objects of objects: these get the titles that storcli gives them.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from metal.drivers.raid.storcli.answers import TOOL, Answer, Section, stated
from metal.drivers.raid.storcli.rows import address_text
from metal.drivers.tool_text import Document, Documents, shorten, unparsable

_DEPTH: Final = 8
"""Deeper than any section; what is nested deeper is left out."""
_VOLUME = re.compile(r"(?:\d+|-|F)?\s*/\s*\d{1,6}")
_ADDRESS = re.compile(r"\s*(\d*)\s*:\s*(\d+)\s*")


def json_answers(documents: Documents) -> tuple[tuple[Answer, ...], tuple[str, ...]]:
    """All answers of all documents, and what was read past."""
    answers: list[Answer] = []
    strange: list[str] = []
    known = False
    for document in documents.found:
        controllers = document.value.get("Controllers") if isinstance(document.value, dict) else None
        if isinstance(controllers, list):
            known = True
            answers += (_answer(document, one) for one in controllers)
        else:
            strange.append(_told(document.value))
    if not known:
        first = documents.found[0]
        raise unparsable(TOOL, first.line, 'an object with "Controllers"', _told(first.value))
    return tuple(answers), shorten([*documents.ignored, *strange])


def _answer(document: Document, value: Any) -> Answer:
    status = value.get("Command Status") if isinstance(value, dict) else None
    if not isinstance(status, dict):
        raise unparsable(TOOL, document.line, 'controllers with a "Command Status"', _told(value))
    if "Status" not in status:
        raise unparsable(TOOL, document.line, 'a "Status" in each Command Status', _told(status))
    sections = (*_sections("", status, _DEPTH), *_sections("", value.get("Response Data"), _DEPTH))
    _refuse_strange_rows(document, sections)
    return Answer(
        _text(status.get("Controller")),
        _text(status.get("Status")),
        _text(status.get("Description")),
        None,
        sections,
    )


def _refuse_strange_rows(document: Document, sections: tuple[Section, ...]) -> None:
    """Refuse drives and volumes whose address or id cannot be read, rather than leave them out."""
    for section in sections:
        for row in section.rows:
            place, volume = stated(row.get("EID:Slt")), row.get("DG/VD")
            if place and address_text(place) is None:
                raise unparsable(TOOL, document.line, "an enclosure and slot such as 252:0", place)
            if volume is not None and not _VOLUME.fullmatch(volume):
                raise unparsable(TOOL, document.line, "a group and volume such as 0/239", volume)


def _told(value: Any) -> str:
    """What a value is, in a few words: its keys, or its type."""
    keys = ", ".join(map(str, list(value)[:5])) if isinstance(value, dict) else ""
    return f"an object with {keys}" if keys else f"a value of type {type(value).__name__}"


def _text(value: Any) -> str | None:
    """A scalar as the text form prints it; None for what is no scalar."""
    if value is None or isinstance(value, dict | list):
        return None
    if isinstance(value, bool):
        return "Yes" if value else "No"
    return str(value).strip()


def _scalars(value: Mapping[str, Any]) -> dict[str, str]:
    return {str(key).strip(): text for key, one in value.items() if (text := _text(one)) is not None}


def _sections(title: str, value: Any, depth: int) -> Iterator[Section]:
    if depth <= 0:
        return
    if isinstance(value, dict):
        if scalars := _scalars(value):
            yield Section(title, scalars)
        for key, one in value.items():
            yield from _sections(str(key).strip(), one, depth - 1)
    elif isinstance(value, list):
        objects = [one for one in value if isinstance(one, dict)]
        flat = [one for one in objects if not _is_nested(one)]
        yield Section(title, {}, tuple(map(_scalars, flat)))
        for one in objects:
            if _is_nested(one):
                yield from _of_object(title, one, depth - 1)


def _is_nested(value: Mapping[str, Any]) -> bool:
    return any(isinstance(one, dict | list) for one in value.values())


def _of_object(title: str, value: Mapping[str, Any], depth: int) -> Iterator[Section]:
    """One volume or drive of storcli2 (`VD Info`, `PDs`, `VD Properties`; `Drive Information`, …)."""
    volume, drive = value.get("VD Info"), value.get("Drive Information")
    if isinstance(volume, dict):
        vd = (_text(volume.get("DG/VD")) or "").rpartition("/")[2]
        yield Section("VD Info", {}, (_scalars(volume),))
        yield from _sections(f"PDs for VD {vd}", value.get("PDs"), depth)
        properties = value.get("VD Properties")
        yield Section(f"VD{vd} Properties", _scalars(properties) if isinstance(properties, dict) else {})
    elif isinstance(drive, dict):
        yield Section("Drive Information", {}, (_scalars(drive),))
        found = _ADDRESS.fullmatch(_text(drive.get("EID:Slt")) or "")
        details = value.get("Drive Detailed Information")
        if found and isinstance(details, dict):
            enclosure = f"/e{found[1]}" if found[1] else ""
            for section in _sections("", details, depth):
                yield Section(f"Drive /cx{enclosure}/s{found[2]} - Detailed Information", section.values)
    else:
        yield from _sections(title, dict(value), depth)
