"""A plan for people: rows for a terminal, markdown for an artifact, the shape of `plan --json`."""

from collections.abc import Sequence
from typing import Any, Final

from metal.planning.plan import Plan, Step
from specs.sizes import human_size

HEADER: Final = ("#", "step", "change", "erases", "why", "minutes")

_MARKDOWN_SPECIAL: Final = str.maketrans({"|": "\\|", "\n": " ", "\r": " ", "<": "&lt;", "`": "'"})


def rows(plan: Plan) -> list[tuple[str, ...]]:
    """One row per step, under HEADER."""
    return [
        (str(number), step.id, _change(step), _erases(step), _why(step), _minutes(step.minutes))
        for number, step in enumerate(plan.steps, start=1)
    ]


def summary(plan: Plan) -> str:
    """The plan in one line."""
    if plan.in_sync:
        return f"{plan.host}: in sync" + (f" ({'; '.join(plan.notes)})" if plan.notes else "")
    told = [f"{len(plan.steps)} steps, about {_minutes(minutes(plan))} min"]
    erased = erased_disks(plan)
    told += [f"erases {', '.join(erased)}"] if erased else []
    told += [f"{len(plan.drift)} differences that are not repaired"] if plan.drift else []
    told += [f"blocked: {plan.blocked}"] if plan.blocked else []
    return f"{plan.host}: {'; '.join(told)}"


def minutes(plan: Plan) -> float:
    """How long the plan takes, by guess."""
    return sum(step.minutes for step in plan.steps)


def erased_disks(plan: Plan) -> list[str]:
    """Every disk that loses its content, in the plan's order."""
    return list(dict.fromkeys(one.serial for step in plan.steps for one in step.destroys))


def diff_block(plan: Plan) -> str:
    """The change as `-` and `+` lines, drift as `!` lines."""
    lines = []
    for step in plan.steps:
        lines += [f"- {step.field or step.kind}: {step.old}"] if step.old else []
        lines += [f"+ {step.field or step.kind}: {step.new}"] if step.new else []
    lines += [f"! {drift}" for drift in plan.drift]
    return "\n".join(line.replace("\n", " ") for line in lines)


def markdown(plan: Plan) -> str:
    """The whole plan as a Prefect artifact shows it."""
    parts = [f"**{_safe(summary(plan))}**", f"plan `{plan.hash}`, seen from {plan.seen_from}"]
    if plan.steps:
        parts.append(_table(HEADER, rows(plan)))
    if erased_disks(plan):
        parts.append("Erased, and what was found there:")
        found = [
            (one.serial, human_size(one.size_bytes), one.found)
            for step in plan.steps
            for one in step.destroys
        ]
        parts.append(_table(("disk", "size", "found"), found))
    block = diff_block(plan)
    if block:
        parts.append(f"```diff\n{block.replace('```', '')}\n```")
    parts += [f"- {_safe(note)}" for note in plan.notes]
    return "\n\n".join(parts) + "\n"


def as_json(plan: Plan) -> dict[str, Any]:
    """One host of `plan --json`."""
    keys = {"id", "kind", "field", "old", "new", "reason", "destructive", "destroys", "reboot", "minutes"}
    steps = [step.model_dump(mode="json", include={*keys, "blocked_by"}) for step in plan.steps]
    return {
        "name": plan.host,
        "hash": plan.hash,
        "observed_at": plan.observed_at,
        "in_sync": plan.in_sync,
        "steps": steps,
        "drift": list(plan.drift),
        "notes": list(plan.notes),
    }


def _change(step: Step) -> str:
    if step.old and step.new:
        return f"{step.old} -> {step.new}"
    return step.new or (f"remove {step.old}" if step.old else "")


def _erases(step: Step) -> str:
    return "; ".join(f"{one.serial} {human_size(one.size_bytes)}: {one.found}" for one in step.destroys)


def _why(step: Step) -> str:
    return f"{step.reason} [{step.blocked_by}]" if step.blocked_by else step.reason


def _minutes(value: float) -> str:
    return f"{value:.1f}"


def _table(header: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *body]
    return "\n".join("| " + " | ".join(_safe(cell) for cell in line) + " |" for line in lines)


def _safe(text: str) -> str:
    """Facts come from machines: they must not become markup or break the table."""
    return text.translate(_MARKDOWN_SPECIAL)
