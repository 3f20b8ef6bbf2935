"""Merging Profiles into Hosts, on trees, so that a merged field still knows its file and line.

The rules are those of the spec contract: maps merge by key; raid, users, partitions, subvolumes, volume
groups and logical volumes by name; files by path; disks by device; other lists are replaced; null removes.
`extends` is applied in order, the host wins.
"""

from collections.abc import Mapping
from typing import Final

from specs.explain import suggestion
from specs.records import Finding
from specs.tree import Tree

MERGE_KEYS: Final[dict[str, str]] = {
    "raid": "name",
    "users": "name",
    "partitions": "name",
    "subvolumes": "name",
    "volumeGroups": "name",
    "logicalVolumes": "name",
    "thinPools": "name",
    "files": "path",
    "disks": "device",
}
"""Lists whose items are merged, and the key that says which items are the same."""

_OF_A_DOCUMENT: Final = frozenset({"apiVersion", "kind", "metadata", "match", "extends"})


def merge(base: Tree, over: Tree, field: str = "") -> Tree:
    """Lay `over` on `base`; what `over` gives wins, what it leaves out stays."""
    if isinstance(base.value, dict) and isinstance(over.value, dict):
        merged = dict(base.value)
        for key, above in over.value.items():
            below = merged.get(key)
            if above.value is None:
                merged.pop(key, None)
            else:
                merged[key] = above if below is None else merge(below, above, key)
        return Tree(merged, over.mark, over.key_mark)
    if isinstance(base.value, list) and isinstance(over.value, list) and field in MERGE_KEYS:
        return Tree(_merge_items(base.value, over.value, MERGE_KEYS[field]), over.mark, over.key_mark)
    return over


def _merge_items(base: list[Tree], over: list[Tree], key: str) -> list[Tree]:
    merged = list(base)
    for above in over:
        wanted = _identity(above, key)
        for position, below in enumerate(merged):
            if wanted is not None and _identity(below, key) == wanted:
                merged[position] = merge(below, above)
                break
        else:
            merged.append(above)
    return merged


def _identity(item: Tree, key: str) -> str | None:
    named = item.get(key)
    return repr(named.plain()) if named else None


def extended(host: Tree, profiles: Mapping[str, Tree]) -> tuple[Tree, list[Finding]]:
    """The host with all its Profiles merged in, and findings for unknown Profiles and cycles."""
    findings: list[Finding] = []
    merged = _extend(host, profiles, (), findings)
    return merged, findings


def _extend(
    document: Tree, profiles: Mapping[str, Tree], chain: tuple[str, ...], findings: list[Finding]
) -> Tree:
    result: Tree | None = None
    names = document.get("extends")
    for named in names.value if names and isinstance(names.value, list) else []:
        name = str(named.value)
        if name in chain:
            circle = " -> ".join((*chain[chain.index(name) :], name))
            findings.append(named.at.finding(f"extends goes in a circle: {circle}", "remove one of them"))
        elif name not in profiles:
            known = ", ".join(sorted(profiles)) or "none"
            hint = suggestion(name, profiles) or f"known profiles: {known}"
            findings.append(named.at.finding(f"no Profile is called {name!r}", hint))
        else:
            below = _fields_only(_extend(profiles[name], profiles, (*chain, name), findings))
            result = below if result is None else merge(result, below)
    return document if result is None else merge(result, document)


def _fields_only(profile: Tree) -> Tree:
    fields = profile.value if isinstance(profile.value, dict) else {}
    kept = {key: below for key, below in fields.items() if key not in _OF_A_DOCUMENT}
    return Tree(kept, profile.mark, profile.key_mark)
