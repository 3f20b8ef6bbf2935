"""`lshw -xml`: a `<list>` of nodes, or one `<node>`.

A document type is refused before it is read: lshw writes none, and entities are how XML is made to grow.
"""

from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat

from metal.drivers.identity.lshw.nodes import LIMIT_DEPTH, TEXTS, TOOL, Node
from metal.drivers.tool_text import Line, number, shorten, unparsable

XML_STARTS: Final = ("<?xml", "<list", "<node")
_LIMIT_DIGITS: Final = 18


@dataclass(slots=True)
class _Growing:
    """A node whose end has not come yet."""

    id: str
    class_name: str
    disabled: bool
    texts: dict[str, str] = field(default_factory=dict)
    logical_names: list[str] = field(default_factory=list)
    size: int | None = None
    settings: dict[str, str] = field(default_factory=dict)
    capabilities: set[str] = field(default_factory=set)
    children: list[Node] = field(default_factory=list)

    def done(self) -> Node:
        return Node(
            self.id,
            self.class_name,
            self.texts,
            tuple(self.logical_names),
            self.size,
            self.settings,
            frozenset(self.capabilities),
            self.disabled,
            tuple(self.children),
        )


class _Reader:
    """Builds nodes as expat meets their tags; `line` is where the current document begins."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.roots: list[Node] = []
        self._open: list[_Growing] = []
        self._depth = 0
        self._text: list[str] = []
        self._parser = expat.ParserCreate("utf-8")
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text.append
        self._parser.StartDoctypeDeclHandler = self._refuse
        self._parser.EntityDeclHandler = self._refuse

    def feed(self, line: Line) -> bool:
        """Take a line; tell whether the document is complete."""
        started = self._depth > 0 or bool(self.roots)
        try:
            self._parser.Parse(f"{line.text}\n".encode("utf-8", "replace"), False)
        except expat.ExpatError as error:
            raise unparsable(TOOL, line, f"XML ({expat.ErrorString(error.code)})") from None
        return self._depth == 0 and (started or bool(self.roots) or "<list" in line.text)

    def _refuse(self, *_: object) -> None:
        raise unparsable(TOOL, self.line, "XML without a document type or entities", "one of them")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        self._text.clear()
        if self._depth > LIMIT_DEPTH or (self._depth == 1 and tag not in ("list", "node")):
            raise unparsable(TOOL, self.line, "a list of nodes as lshw nests them", f"<{tag}>")
        if tag == "node":
            if not attributes.get("id") or not attributes.get("class"):
                raise unparsable(TOOL, self.line, "a node with its id and class", str(attributes))
            disabled = attributes.get("disabled") == "true"
            self._open.append(_Growing(attributes["id"], attributes["class"], disabled))
        elif self._open and tag == "setting":
            self._open[-1].settings[attributes.get("id", "")] = attributes.get("value", "")
        elif self._open and tag == "capability":
            self._open[-1].capabilities.add(attributes.get("id", ""))

    def _end(self, tag: str) -> None:
        self._depth -= 1
        told = "".join(self._text).strip()
        self._text.clear()
        if tag == "node":
            node = self._open.pop().done()
            (self._open[-1].children if self._open else self.roots).append(node)
        elif self._open and tag in TEXTS:
            self._open[-1].texts[tag] = told
        elif self._open and tag == "logicalname":
            self._open[-1].logical_names.append(told)
        elif self._open and tag == "size" and len(told) <= _LIMIT_DIGITS:
            self._open[-1].size = number(told)


def read_xml(lines: tuple[Line, ...]) -> tuple[tuple[Node, ...], tuple[str, ...]]:
    """The roots of the last document in the text, and the lines around it."""
    roots: tuple[Node, ...] | None = None
    reader: _Reader | None = None
    ignored: list[str] = []
    for line in lines:
        if reader is None and not line.words.startswith(XML_STARTS):
            ignored.append(line.words)
            continue
        reader = reader or _Reader(line)
        if reader.feed(Line(line.number, line.text.lstrip()) if reader.line is line else line):
            roots, reader = tuple(reader.roots), None
    if reader is not None:
        raise unparsable(TOOL, lines[-1], "</list> or </node>", "the end of the text")
    if roots is None:
        raise unparsable(TOOL, lines[0], "a <list> or <node>")
    return roots, shorten(ignored)
