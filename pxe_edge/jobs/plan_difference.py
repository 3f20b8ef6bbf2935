"""What differs between two stored plans, in words: for a person whose consent was for the other one.

Plans are opaque JSON to the edge; of what it finds in one it takes what has the known shape.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

_MOST: Final = 12
"""Lines shown of each kind: the sentence stands in a terminal."""


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Steps and destroyed disks that the second plan has and the first has not, and the other way."""
    steps_before, steps_after = _steps(before), _steps(after)
    disks_before, disks_after = _disks(before), _disks(after)
    parts = [
        _listed("also erases", [disks_after[key] for key in disks_after if key not in disks_before]),
        _listed("no longer erases", [disks_before[key] for key in disks_before if key not in disks_after]),
        _listed("adds the steps", [step for step in steps_after if step not in steps_before]),
        _listed("lacks the steps", [step for step in steps_before if step not in steps_after]),
    ]
    return "; ".join(part for part in parts if part) or "has the same steps, planned on another reading"


def _listed(what: str, items: list[str]) -> str:
    more = f" and {len(items) - _MOST} more" if len(items) > _MOST else ""
    return f"{what} {', '.join(items[:_MOST])}{more}" if items else ""


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    return (one for one in value if isinstance(one, dict)) if isinstance(value, list) else iter(())


def _steps(plan: Mapping[str, Any]) -> list[str]:
    return [_step(step) for step in _dicts(plan.get("steps"))]


def _step(step: dict[str, Any]) -> str:
    old, new = step.get("old"), step.get("new")
    change = f" ({old or 'nothing'} -> {new or 'nothing'})" if old or new else ""
    return f"{step.get('id') or step.get('kind')}{change}"


def _disks(plan: Mapping[str, Any]) -> dict[str, str]:
    """Serial of each disk that the plan destroys -> how it is named to people."""
    destroyed = (disk for step in _dicts(plan.get("steps")) for disk in _dicts(step.get("destroys")))
    return {
        str(disk.get("serial")): f"{disk.get('serial')} (holds {disk.get('found') or 'nothing known'})"
        for disk in destroyed
    }
