"""What pydantic found wrong, in an operator's words: place, expected against got, the likely fix.

pydantic reports one error per branch of a union and names branches in the error's path; here the paths
are laid over the YAML tree, so that what is not in the file drops out and the branches of one field
become one finding.
"""

import types
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from specs.records import Finding
from specs.tree import Path, Tree, join

_EXPECTED: Final[dict[str, str]] = {
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "ip_v4_address": "an IPv4 address such as 10.77.1.21",
    "ip_v4_interface": "an IPv4 address with prefix such as 10.77.1.21/24",
    "ip_v4_network": "an IPv4 network such as 10.77.1.0/24",
    "ip_v6_address": "an IPv6 address such as fd00:77::21",
    "ip_v6_interface": "an IPv6 address with prefix such as fd00:77::21/64",
    "ip_v6_network": "an IPv6 network such as fd00:77::/64",
}

_PATTERNS: Final[dict[str, str]] = {
    "^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$": "a name of a-z, 0-9, '-' and '.', at most 63 characters",
    "^[A-Za-z0-9]([A-Za-z0-9.-]{0,252})$": "a host name such as web-01.example.net",
    "^sha256:[0-9a-f]{64}$": "sha256: and 64 lower-case hex digits",
    "^0[0-7]{3,4}$": 'a file mode such as "0644"',
    r"^/[^\x00]*$": "an absolute path",
    "^[A-Za-z0-9@_][A-Za-z0-9@._-]{0,254}$": "a subvolume's name of A-Z, a-z, 0-9, '@', '.', '_' and '-'",
    "^[a-z_][a-z0-9_-]{0,31}$": "a user name of a-z, 0-9, '_' and '-', at most 32 characters",
}

_SHAPE_ERRORS: Final = frozenset(_EXPECTED) | {"literal_error", "is_instance_of"}


def explain(model: type[BaseModel], tree: Tree, error: ValidationError, *, partial: bool) -> list[Finding]:
    """Turn every error into a finding.

    `partial` is for documents that others complete (a Profile, a Host that extends one): a missing field
    is judged after merging.
    """
    unions: dict[Path, list[tuple[Path, ErrorDetails]]] = {}
    findings: list[Finding] = []
    for detail in error.errors(include_url=False):
        path, branch_at = _lay_over(tree, detail)
        if partial and _may_come_later(tree, path, detail):
            continue
        if branch_at is None:
            findings.append(_finding(model, tree, path, [detail]))
        else:
            unions.setdefault(branch_at, []).append((path, detail))
    for branch_at, branches in unions.items():
        findings += _union_findings(model, tree, branch_at, branches)
    return findings


def suggestion(got: object, known: Iterable[str]) -> str | None:
    """`did you mean rootDevice?` for a near miss, else None."""
    near = get_close_matches(str(got), sorted(known), n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else None


def _lay_over(tree: Tree, detail: ErrorDetails) -> tuple[Path, Path | None]:
    """The error's path as it stands in the file, and where a union branched off it, if one did."""
    here, path, branch_at = tree, Path(), None
    loc = detail["loc"]
    for position, part in enumerate(loc):
        below = here.child(part)
        if below is not None:
            here, path = below, (*path, part)
        elif detail["type"] == "missing" and position == len(loc) - 1:
            path = (*path, part)
        elif branch_at is None:
            branch_at = path
    return path, branch_at


def _may_come_later(tree: Tree, path: Path, detail: ErrorDetails) -> bool:
    if detail["type"] == "missing":
        return path[:1] != ("metadata",)
    here = tree.get(*path)
    return detail["type"] == "value_error" and here is not None and isinstance(here.value, dict)


def _union_findings(
    model: type[BaseModel], tree: Tree, at: Path, branches: list[tuple[Path, ErrorDetails]]
) -> list[Finding]:
    deeper = [
        (path, detail) for path, detail in branches if path != at or detail["type"] not in _SHAPE_ERRORS
    ]
    here = tree.get(*at)
    if here is not None and isinstance(here.value, dict) and deeper:
        return [_finding(model, tree, path, [detail]) for path, detail in deeper]
    return [_finding(model, tree, at, [detail for _, detail in branches])]


def _finding(model: type[BaseModel], tree: Tree, path: Path, details: list[ErrorDetails]) -> Finding:
    here = tree.get(*path)
    first = details[0]
    if first["type"] == "missing":
        parent = tree.nearest(*path[:-1])
        field = join(parent.at.path, path[-1])
        return parent.at.finding(f"{path[-1]} is missing", f"add {path[-1]}", path=field)
    assert here is not None  # `_lay_over` only yields paths of the tree, but for missing keys
    if first["type"] == "extra_forbidden":
        known = set(fields_at(model, path[:-1]))
        meant = suggestion(path[-1], known) or f"known here: {', '.join(sorted(known))}"
        return here.at.finding(f"unknown key {str(path[-1])!r}", meant)
    texts = list(dict.fromkeys(_expectation(detail) for detail in details))
    hints = (hint for detail in details if (hint := _hint(detail, here)))
    complete = [text for text in texts if not text.startswith("expected ")]
    if complete:
        return here.at.finding("; ".join(complete), next(hints, None))
    expected = " or ".join(text.removeprefix("expected ").split(", got ")[0] for text in texts)
    return here.at.finding(f"expected {expected}, got {_got(here)}", next(hints, None))


def _expectation(detail: ErrorDetails) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in _EXPECTED:
        return f"expected {_EXPECTED[kind]}"
    if kind == "literal_error":
        return f"expected {str(context['expected']).replace(chr(39), '')}"
    if kind == "string_pattern_mismatch":
        pattern = str(context["pattern"])
        return f"expected {_PATTERNS.get(pattern, f'text matching {pattern}')}"
    if kind == "too_short":
        return f"expected at least {context['min_length']}"
    if kind == "value_error":
        return str(context["error"])
    said = detail["msg"]
    return f"{said[:1].lower()}{said[1:]}, got {str(detail['input'])[:60]!r}"


def _hint(detail: ErrorDetails, here: Tree) -> str | None:
    if detail["type"] == "literal_error":
        known = str(detail["ctx"]["expected"]).replace("'", "").replace(" or ", ", ").split(", ")
        return suggestion(here.value, known) if isinstance(here.value, str) else None
    if detail["type"] == "string_type" and isinstance(here.value, bool | int | float):
        return "put it in quotes"
    return None


def _got(here: Tree) -> str:
    if isinstance(here.value, dict):
        return "a mapping"
    if isinstance(here.value, list):
        return "a list"
    if isinstance(here.value, bool):
        return "true" if here.value else "false"
    if isinstance(here.value, str):
        return repr(here.value[:60])
    return f"the number {here.value}" if here.value is not None else "nothing"


def fields_at(model: type[BaseModel], path: Path) -> tuple[str, ...]:
    """The keys that a spec may have at a path, as they are written in YAML."""
    annotations: list[Any] = [model]
    for part in path:
        annotations = [below for one in annotations for below in _step(one, part)]
    return tuple(name for one in annotations for kind in _unwrap(one) for name in _aliases(kind))


def _unwrap(annotation: Any) -> Iterator[Any]:
    """The plain types inside Annotated and Union."""
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        for one in get_args(annotation):
            yield from _unwrap(one)
    elif hasattr(annotation, "__metadata__"):
        yield from _unwrap(get_args(annotation)[0])
    else:
        yield annotation


def _aliases(kind: Any) -> Mapping[str, Any]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {field.alias or name: field.annotation for name, field in kind.model_fields.items()}
    return {}


def _step(annotation: Any, part: str | int) -> Iterator[Any]:
    for kind in _unwrap(annotation):
        origin, arguments = get_origin(kind), get_args(kind)
        if isinstance(part, str) and part in _aliases(kind):
            yield _aliases(kind)[part]
        elif origin is dict and isinstance(part, str):
            yield arguments[1]
        elif origin in (tuple, list) and isinstance(part, int):
            yield arguments[0]
