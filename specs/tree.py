"""YAML text to a tree of values that know where they stand.

pydantic says which field is wrong; an operator needs the file, line and column. PyYAML's composer keeps
marks and its constructor drops them, so values are built here from composed nodes. The same trees are
merged by `specs.profiles`, and a merged value still knows the file it came from.

Rules that differ from PyYAML's YAML 1.1, each after a spec that was read wrongly in silence:
`52:54:00:17:01:00` is a MAC and not a number in base 60, `0644` is text and not 420, `0x5000…` is a WWN,
`2026-11-25` is text. Aliases are refused: they make a few lines expand without bound, and Profiles exist.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import yaml
from yaml.events import AliasEvent
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from specs.records import Finding

MAX_FILE_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 32
MAX_NODES: Final = 50_000
MAX_DOCUMENTS: Final = 1000

Scalar = str | int | float | bool | None
Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a spec file; `path` is the field's path inside its document."""

    file: str
    line: int
    column: int
    path: str

    def finding(self, message: str, hint: str | None = None, *, path: str | None = None) -> Finding:
        """A finding at this place."""
        return Finding(
            file=self.file,
            line=self.line,
            column=self.column,
            path=self.path if path is None else path,
            message=message,
            hint=hint,
        )


@dataclass(frozen=True, slots=True)
class Tree:
    """One YAML value with its place; `key_mark` is where its key stands, for values of a mapping."""

    value: "Scalar | dict[str, Tree] | list[Tree]"
    mark: Mark
    key_mark: Mark | None = None

    @property
    def at(self) -> Mark:
        """Where a reader looks for this field: its key, else the value."""
        return self.key_mark or self.mark

    def get(self, *path: str | int) -> "Tree | None":
        """The value at a path; None where the path leaves the tree."""
        here: Tree | None = self
        for part in path:
            here = here.child(part) if here else None
        return here

    def nearest(self, *path: str | int) -> "Tree":
        """The value at a path, else its nearest existing parent."""
        here = self
        for part in path:
            below = here.child(part)
            if below is None:
                return here
            here = below
        return here

    def child(self, part: str | int) -> "Tree | None":
        """One step down."""
        if isinstance(self.value, dict) and isinstance(part, str):
            return self.value.get(part)
        if isinstance(self.value, list) and isinstance(part, int) and 0 <= part < len(self.value):
            return self.value[part]
        return None

    def plain(self) -> Any:
        """The value without places and without nulls of mappings: null says that a field is not given."""
        if isinstance(self.value, dict):
            return {key: below.plain() for key, below in self.value.items() if below.value is not None}
        if isinstance(self.value, list):
            return [below.plain() for below in self.value]
        return self.value


def join(path: str, part: str | int) -> str:
    """`users` and 0 make `users[0]`; `users[0]` and `name` make `users[0].name`."""
    if isinstance(part, int):
        return f"{path}[{part}]"
    return f"{path}.{part}" if path else part


class _RefusedYaml(yaml.error.MarkedYAMLError):
    """Well-formed YAML that specs do not use; `hint` says what to write instead."""

    def __init__(self, problem: str, node: Any, hint: str) -> None:
        super().__init__(problem=problem, problem_mark=node.start_mark)
        self.hint = hint


class _Loader(yaml.SafeLoader):
    """SafeLoader with bounds, without aliases, with the scalar rules of the module's docstring."""

    # Own resolvers; assigned here so that SafeLoader's stay as they are.
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's shape

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._nodes = 0

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, AliasEvent):
            raise _RefusedYaml(
                f"alias *{event.anchor} is not read in specs",
                event,
                "put shared fields into a Profile and name it in extends",
            )
        self._nodes += 1
        self._depth += 1
        if self._depth > MAX_DEPTH or self._nodes > MAX_NODES:
            limit = (
                f"more than {MAX_DEPTH} levels deep"
                if self._depth > MAX_DEPTH
                else f"more than {MAX_NODES} values"
            )
            raise _RefusedYaml(f"{limit}: this is no spec", event, "split the file")
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


for _tag, _pattern, _first in (
    (
        "bool",
        r"^(?:yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF)$",
        "yYnNtTfFoO",
    ),
    ("int", r"^[-+]?(?:0|[1-9][0-9]*)$", "-+0123456789"),
    ("float", r"^[-+]?(?:0|[1-9][0-9]*)\.[0-9]+$", "-+0123456789"),
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("merge", r"^(?:<<)$", "<"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first))


@dataclass(frozen=True, slots=True)
class Parsed:
    """The documents of one file and what is wrong with its YAML."""

    trees: tuple[Tree, ...]
    findings: tuple[Finding, ...]


def parse(file: str, content: str | bytes) -> Parsed:
    """Parse one file: every document up to the first syntax error, and that error as a finding."""
    size_bytes = len(content.encode(errors="replace") if isinstance(content, str) else content)
    if size_bytes > MAX_FILE_BYTES:
        return _only(file, 1, 1, f"{size_bytes} bytes, at most {MAX_FILE_BYTES} are read", "split the file")
    try:
        text = content if isinstance(content, str) else content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1 if isinstance(content, bytes) else 1
        return _only(file, line, 1, f"expected UTF-8 text, got byte {error.object[error.start]:#04x}", None)
    trees: list[Tree] = []
    findings: list[Finding] = []
    try:
        for node in _documents(text):
            tree = _build(file, node, "", findings, None)
            if tree.value is not None:
                trees.append(tree)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        said = ", ".join(part for part in (error.context, error.problem) if part)
        hint = error.hint if isinstance(error, _RefusedYaml) else "check indentation, quotes and brackets"
        findings += _only(file, line, column, f"not YAML that can be read: {said}", hint).findings
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        findings += _only(file, line, 1, f"a character that YAML forbids: {error.reason}", None).findings
    return Parsed(tuple(trees), tuple(findings))


def _only(file: str, line: int, column: int, message: str, hint: str | None) -> Parsed:
    return Parsed((), (Mark(file, line, column, "").finding(message, hint),))


def _documents(text: str) -> Iterator[Node]:
    loader = _Loader(text)
    try:
        for count in range(MAX_DOCUMENTS + 1):
            if not loader.check_node():
                return
            node = loader.get_node()
            assert node is not None  # check_node has just said that there is one
            if count == MAX_DOCUMENTS:
                raise _RefusedYaml(f"more than {MAX_DOCUMENTS} documents", node, "split the file")
            yield node
    finally:
        loader.dispose()


def _build(file: str, node: Node, path: str, findings: list[Finding], key_mark: Mark | None) -> Tree:
    mark = Mark(file, node.start_mark.line + 1, node.start_mark.column + 1, path)
    if isinstance(node, MappingNode):
        return Tree(_mapping(file, node, path, findings), mark, key_mark)
    if isinstance(node, SequenceNode):
        below = [
            _build(file, item, join(path, index), findings, None) for index, item in enumerate(node.value)
        ]
        return Tree(below, mark, key_mark)
    return Tree(_scalar(node, mark, findings), mark, key_mark)


def _mapping(file: str, node: MappingNode, path: str, findings: list[Finding]) -> dict[str, Tree]:
    found: dict[str, Tree] = {}
    for key_node, value_node in node.value:
        mark = Mark(file, key_node.start_mark.line + 1, key_node.start_mark.column + 1, path)
        if not isinstance(key_node, ScalarNode):
            findings.append(mark.finding("a key must be text", "write key: value"))
            continue
        key = str(key_node.value)
        mark = Mark(file, mark.line, mark.column, join(path, key))
        if key_node.tag.endswith(":merge"):
            findings.append(mark.finding("merge keys (<<) are not read in specs", "use extends"))
        elif key in found:
            first = found[key].at
            findings.append(mark.finding(f"{key!r} is given twice, first in line {first.line}", "keep one"))
        else:
            found[key] = _build(file, value_node, join(path, key), findings, mark)
    return found


def _scalar(node: Node, mark: Mark, findings: list[Finding]) -> Scalar:
    text = str(node.value)
    kind = str(node.tag).removeprefix("tag:yaml.org,2002:")
    read = _SCALARS.get(kind)
    if read is None:
        findings.append(mark.finding(f"tag {node.tag!r} is not read in specs", "remove the tag"))
        return None
    try:
        return read(text)
    except ValueError as error:  # int() has a bound of 4300 digits; an explicit !!int takes any text
        findings.append(mark.finding(f"expected a number, got {text[:40]!r}: {error}"))
        return None


_SCALARS: Final[dict[str, Callable[[str], Scalar]]] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": lambda text: text.lower() in ("yes", "true", "on"),
    "null": lambda _: None,
}
