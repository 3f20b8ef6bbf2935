"""`lshw -json`: an object (to B.02.18), a list (from B.02.19), or something that is no JSON.

hw.cc of B.02.17 to B.02.19 puts commas by the number of children, not by those it prints: with `-class`
there are commas missing between objects and left over before brackets. Strings from SMBIOS are printed with
backslashes and tabs as they are. That is mended first; lines stay where they are.
"""

import re
from typing import Any, Final

from metal.drivers.identity.lshw.nodes import LIMIT_DEPTH, TEXTS, TOOL, Node
from metal.drivers.tool_text import Document, json_documents, unparsable

_TO_MEND = re.compile(r'"(?:[^"\\\n]|\\[^\n])*"?|\}(\s*)(?=\{)|,(\s*)(?=[\]},])')
_ESCAPE = re.compile(r"\\.")
_LIMIT: Final = 1 << 63


def read_json(text: str) -> tuple[tuple[Node, ...], tuple[str, ...]]:
    """The roots of the last whole machine in the text, or of all lists of devices, and ignored lines."""
    documents = json_documents(TOOL, mended(text))
    if not documents.found:
        raise unparsable(TOOL, 1, "JSON or XML of lshw", "neither")
    machine: tuple[Node, ...] | None = None
    devices: list[Node] = []
    for document in documents.found:
        entries = document.value if isinstance(document.value, list) else [document.value]
        found = tuple([_node(entry, document, 0) for entry in entries])
        if any(node.class_name == "system" and node.children for node in found):
            machine = found
        devices += found
    return machine if machine is not None else tuple(devices), documents.ignored


def mended(text: str) -> str:
    """The text with commas where JSON wants them, and strings that JSON can read."""
    return _TO_MEND.sub(_mend, text.replace("\r\n", "\n"))


def _mend(match: re.Match[str]) -> str:
    found = match[0]
    if found[0] == '"':
        if "\t" in found:
            found = found.replace("\t", " ")
        return _mend_string(found) if "\\" in found else found
    return f"}},{match[1]}" if found[0] == "}" else match[2]


def _mend_string(text: str) -> str:
    """A string with its lone backslashes doubled; pairs are taken first, so that they stay pairs."""
    return _ESCAPE.sub(lambda match: match[0] if match[0][1] in '"\\/bfnrtu' else f"\\{match[0]}", text)


def _node(entry: Any, document: Document, depth: int) -> Node:
    if not isinstance(entry, dict) or not isinstance(entry.get("id"), str) or depth > LIMIT_DEPTH:
        raise unparsable(TOOL, document.line, "a node with its id and class", type(entry).__name__)
    if not isinstance(entry.get("class"), str):
        raise unparsable(TOOL, document.line, f"the class of {entry['id']}", str(entry.get("class")))
    children = entry.get("children") or []
    if not isinstance(children, list):
        raise unparsable(TOOL, document.line, f"a list of what is below {entry['id']}", str(children))
    return Node(
        id=entry["id"],
        class_name=entry["class"],
        texts={key: entry[key].strip() for key in TEXTS if isinstance(entry.get(key), str)},
        logical_names=_names(entry.get("logicalname")),
        size=_size(entry.get("size")),
        settings=_settings(entry.get("configuration")),
        capabilities=frozenset(_settings(entry.get("capabilities"))),
        disabled=entry.get("disabled") is True,
        children=tuple([_node(child, document, depth + 1) for child in children]),
    )


def _names(value: object) -> tuple[str, ...]:
    names = value if isinstance(value, list) else [value]
    return tuple(name for name in names if isinstance(name, str))


def _settings(value: object) -> dict[str, str]:
    return {key: str(told) for key, told in value.items()} if isinstance(value, dict) else {}


def _size(value: object) -> int | None:
    sane = isinstance(value, int) and not isinstance(value, bool) and 0 < value < _LIMIT
    return value if sane and isinstance(value, int) else None
