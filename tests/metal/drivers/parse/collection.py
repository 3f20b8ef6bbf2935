"""The collection of captured outputs: its cases, and how an expectation is compared.

An expectation names part of what must be read. `__items__` are elements of a list in any order,
`__len__` its length, `__none__` what no element may look like, `__any__` several readings of which one
holds. Sizes may differ by 1 %, ids in case and punctuation.
"""

import itertools
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CAPTURES = Path(os.environ.get("RACKFLOW_CAPTURES", Path(__file__).parents[4].parent / "shared" / "captures"))
ABSENT = f"no captured outputs at {CAPTURES}: set RACKFLOW_CAPTURES to their folder"
IDS = ("wwn", "mac", "uuid", "guid")


@dataclass(frozen=True)
class Case:
    """One captured output and what is expected of it; `skipped` says why it counts for nothing."""

    path: str
    tool: str
    expect: dict[str, Any] | None
    unparsable: bool
    skipped: str | None

    @property
    def text(self) -> str:
        return (CAPTURES / self.path).read_bytes().decode(errors="replace")


def cases() -> list[Case]:
    """All cases of the collection, in order of path; none where there is no collection."""
    found = {}
    for page in sorted((CAPTURES / "expected").glob("*.json")):
        found.update(json.loads(page.read_text()))
    return [
        Case(path, one["tool"], one.get("expect"), bool(one.get("unparsable")), one.get("skip"))
        for path, one in sorted(found.items())
    ]


def differences(expected: Any, got: Any, path: str = "") -> list[str]:
    """What does not fit, each with its path; empty where `got` fits."""
    if isinstance(expected, dict) and "__any__" in expected:
        readings = [differences(one, got, path) for one in expected["__any__"]]
        return [] if [] in readings else readings[0]
    if isinstance(expected, dict) and expected.keys() & {"__items__", "__len__", "__none__"}:
        return list(_in_list(expected, got, path))
    if isinstance(expected, dict):
        return _in_object(expected, got, path)
    if isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        pairs = enumerate(zip(expected, got, strict=True))
        return list(itertools.chain.from_iterable(differences(a, b, f"{path}[{n}]") for n, (a, b) in pairs))
    if not isinstance(expected, list) and _same(expected, got, path.rpartition(".")[2].partition("[")[0]):
        return []
    return [f"{path}: expected {expected!r}, got {got!r}"]


def _in_object(expected: dict[str, Any], got: Any, path: str) -> list[str]:
    if not isinstance(got, dict):
        return [f"{path}: expected an object, got {got!r}"]
    told = []
    for key, value in expected.items():
        where = f"{path}.{key}" if path else key
        told += differences(value, got[key], where) if key in got else [f"{where}: missing"]
    return told


def _in_list(expected: dict[str, Any], got: Any, path: str) -> Iterator[str]:
    if not isinstance(got, list):
        yield f"{path}: expected a list, got {got!r}"
        return
    length = expected.get("__len__")
    if length is not None and length != len(got):
        yield f"{path}: expected {length} elements, got {len(got)}"
    for refused in expected.get("__none__", []):
        if any(not differences(refused, one) for one in got):
            yield f"{path}: there must be nothing like {refused!r}"
    fits = []
    for item in expected.get("__items__", []):
        name = path.rpartition(".")[2]
        places = {n for n, one in enumerate(got) if not differences(item, one, name)}
        fits.append(places)
        if not places:
            nearest = min((differences(item, one, path) for one in got), key=len, default=[f"{path}: empty"])
            yield from nearest
    if length is not None and all(fits) and not _one_each(fits, {}):
        yield f"{path}: several expected elements fit only one and the same"


def _one_each(fits: list[set[int]], taken: dict[int, int]) -> bool:
    """Whether each expected element can have an element of its own (augmenting paths)."""

    def place(item: int, seen: set[int]) -> bool:
        for spot in fits[item] - seen:
            seen.add(spot)
            if spot not in taken or place(taken[spot], seen):
                taken[spot] = item
                return True
        return False

    return all(place(item, set()) for item in range(len(fits)))


def _same(expected: Any, got: Any, key: str) -> bool:
    if isinstance(expected, bool) or isinstance(got, bool):
        return expected is got
    if isinstance(expected, int | float) and isinstance(got, int | float):
        return abs(got - expected) <= abs(expected) / 100 if key.endswith("_bytes") else got == expected
    if key in IDS and isinstance(expected, str) and isinstance(got, str):
        return _plain(expected) == _plain(got)
    return type(expected) is type(got) and expected == got


def _plain(text: str) -> str:
    text = text.strip().lower()
    for prefix in ("wwn-0x", "naa.", "0x"):
        text = text.removeprefix(prefix)
    return "".join(c for c in text if c not in ":-. ")
