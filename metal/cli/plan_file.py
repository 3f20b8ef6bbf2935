"""Plans in a file: written by `plan --out`, read and compared by `apply FILE`. Pure.

A plan file is what a person reviewed, so what is applied is that and nothing else: the file is believed
only where its hash fits its content, and a plan made now from the newest reading must come out the same.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from metal.errors import SpecError
from metal.planning.plan import Plan

VERSION: Final = 1
MAX_BYTES: Final = 16 << 20
MAX_PLANS: Final = 1000
MAX_DEPTH: Final = 40
_SHOWN_CHARS: Final = 80
_NOT_COMPARED: Final = frozenset({"observed_at", "notes"})
"""The age of the reading, and remarks."""


class PlanFileError(SpecError):
    """A plan file that is not one, or was changed after it was written."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that is not as the file says."""

    field: str
    was: str
    is_: str

    def __str__(self) -> str:
        """As one line of a diff."""
        return f"{self.field}: was {self.was}, is {self.is_}"


def write(path: Path, plans: Sequence[Plan]) -> None:
    """Write plans with their hashes; the whole file or none of it."""
    body = {"version": VERSION, "plans": [{"hash": p.hash, **p.model_dump(mode="json")} for p in plans]}
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps(body, indent=2) + "\n")
    part.replace(path)


def read(path: Path) -> list[Plan]:
    """The plans of a file. Raises PlanFileError naming what is wrong and where."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise _bad(path, f"{size} bytes, at most {MAX_BYTES} are read")
        with path.open("rb") as source:
            data = source.read(MAX_BYTES + 1)
    except OSError as error:
        raise _bad(path, f"cannot be read: {error.strerror}") from error
    return parse(data, path)


def parse(data: bytes, path: Path) -> list[Plan]:
    """The plans in these bytes."""
    try:
        body = json.loads(data[: MAX_BYTES + 1].decode(), parse_constant=_no_constant)
    except RecursionError as error:
        raise _bad(path, f"nested deeper than {MAX_DEPTH} levels") from error
    except (UnicodeDecodeError, ValueError) as error:
        raise _bad(path, f"no JSON: {str(error)[:200]}") from error
    if _depth(body) > MAX_DEPTH:
        raise _bad(path, f"nested deeper than {MAX_DEPTH} levels")
    if not isinstance(body, dict) or set(body) != {"version", "plans"}:
        raise _bad(path, "expected an object with version and plans")
    if body["version"] != VERSION or isinstance(body["version"], bool):
        raise _bad(path, f"version {str(body['version'])[:20]!r}, expected {VERSION}")
    listed = body["plans"]
    if not isinstance(listed, list) or not 0 < len(listed) <= MAX_PLANS:
        raise _bad(path, f"plans: expected a list of 1 to {MAX_PLANS} plans")
    plans = [_plan(one, number, path) for number, one in enumerate(listed)]
    twice = {plan.host for plan in plans if [p.host for p in plans].count(plan.host) > 1}
    if twice:
        raise _bad(path, f"two plans for {', '.join(sorted(twice))}")
    return plans


def _plan(value: object, number: int, path: Path) -> Plan:
    if not isinstance(value, dict) or not isinstance(value.get("hash"), str):
        raise _bad(path, f"plans[{number}]: expected a plan with its hash")
    try:
        plan = Plan.model_validate_json(json.dumps({k: v for k, v in value.items() if k != "hash"}))
        found = plan.hash
    except (ValidationError, ValueError) as error:
        told = _first(error) if isinstance(error, ValidationError) else str(error)[:200]
        raise _bad(path, f"plans[{number}]: {told}") from error
    if found != value["hash"]:
        raise PlanFileError(
            f"{path}: plans[{number}] says hash {value['hash'][:12]!r} and has {found[:12]}: the file was "
            "changed, or another version wrote it",
            host=plan.host,
            reason="plan-moved",
            hint=f"rackflow plan {plan.host} --out {path}",
        )
    return plan


def _first(error: ValidationError) -> str:
    one = error.errors()[0]
    return f"{'.'.join(str(part) for part in one['loc'])[:120]}: {one['msg'][:200]}"


def _no_constant(word: str) -> object:
    raise ValueError(f"{word} is no JSON")


def _bad(path: Path, told: str) -> PlanFileError:
    return PlanFileError(f"{path}: {told}", hint=f"rackflow plan NAME --out {path} writes one")


def _depth(value: object) -> int:
    """How deep containers are nested, without recursion: the value comes from outside."""
    deepest, open_ = 0, [(value, 1)]
    while open_:
        one, depth = open_.pop()
        if isinstance(one, dict | list):
            deepest = max(deepest, depth)
            open_ += [(inner, depth + 1) for inner in (one.values() if isinstance(one, dict) else one)]
    return deepest


def compare(was: Plan, now: Plan) -> list[Difference]:
    """Every field in which two plans differ, by its path; steps by their ids."""
    before, after = _fields(was), _fields(now)
    paths = [*before, *(path for path in after if path not in before)]
    pairs = [(path, before.get(path, "nothing"), after.get(path, "nothing")) for path in paths]
    return [Difference(path, *_shortened(was_, is_)) for path, was_, is_ in pairs if was_ != is_]


def _shortened(was: str, is_: str) -> tuple[str, str]:
    """Two long values cut to the place where they part."""
    longest = max(len(was), len(is_))
    if longest <= _SHOWN_CHARS:
        return was, is_
    common = next(
        (at for at, (a, b) in enumerate(zip(was, is_, strict=False)) if a != b), min(len(was), len(is_))
    )
    start = max(0, min(common - _SHOWN_CHARS // 4, longest - _SHOWN_CHARS))
    lead = "…" if start else ""
    cut = [lead + text[start : start + _SHOWN_CHARS] for text in (was, is_)]
    return cut[0], cut[1]


def _fields(plan: Plan) -> dict[str, str]:
    body = {key: value for key, value in plan.model_dump(mode="json").items() if key not in _NOT_COMPARED}
    body["order of steps"] = [step["id"] for step in body["steps"]]
    body["steps"] = {step["id"]: step for step in body["steps"]}
    return dict(_leaves(body, ""))


def _leaves(value: Any, path: str) -> Iterator[tuple[str, str]]:
    inner = list(value.items()) if isinstance(value, dict) else []
    if isinstance(value, list) and any(isinstance(one, dict | list) for one in value):
        inner = list(enumerate(value))
    for key, one in inner:
        yield from _leaves(one, f"{path}.{key}" if path else str(key))
    if not inner:
        yield path, json.dumps(value, ensure_ascii=False)
