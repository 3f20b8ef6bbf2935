"""A plan for people: rows for a terminal, markdown for an artifact, the shape of `plan --json`."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from metal.planning.plan import UNKNOWN, Plan, Step
from specs.facts import Hardware, Nic
from specs.sizes import human_size

HEADER: Final = ("step", "field", "from", "to", "erases", "why", "min")

_MARKDOWN_SPECIAL: Final = str.maketrans({"|": "\\|", "\n": " ", "\r": " ", "<": "&lt;", "`": "'"})


def table_rows(plan: Plan) -> list[tuple[str, ...]]:
    """One row per step, under HEADER."""
    return [
        (
            step.id,
            step.field,
            step.old or "",
            step.new or "",
            _erases(step),
            _why(step),
            f"{step.minutes:.1f}",
        )
        for step in plan.steps
    ]


def summary(plan: Plan) -> str:
    """The plan in one line."""
    if plan.in_sync:
        return f"{plan.host}: in sync" + (f" ({'; '.join(plan.notes)})" if plan.notes else "")
    steps = f"{len(plan.steps)} step{'' if len(plan.steps) == 1 else 's'}"
    told = [f"{'wipe in ' if plan.wipe else ''}{steps}, about {minutes(plan):.1f} min"]
    erased = erased_disks(plan)
    told += [f"erases {', '.join(erased)}"] if erased else []
    told += [f"{len(plan.drift)} differences that are not repaired"] if plan.drift else []
    told += [f"blocked: {plan.blocked}"] if plan.blocked else []
    return f"{plan.host}: {'; '.join(told)}"


def standing(plan: Plan) -> str:
    """How a host stands to its spec, as its condition InSync says it."""
    pending = (f"{len(plan.steps)} steps pending",) if plan.steps else ()
    return "; ".join((*pending, *plan.drift)) or "in sync (0 changes)"


def asked_again(plan: Plan) -> str:
    """Options by which `rackflow plan` makes such a plan from a new reading: a wipe, no installation."""
    words = ["--reinstall"] if plan.reinstall else []
    if plan.wipe is not None:
        words += ["--wipe", *(("--method", plan.wipe.method) if plan.wipe.method else ())]
        words += [] if plan.wipe.disks == "all" else [w for disk in plan.wipe.disks for w in ("--disk", disk)]
    return " ".join((*words, "--refresh"))


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
    parts = [f"**{safe(summary(plan))}**", f"plan `{plan.hash}`, seen from {plan.seen_from}"]
    parts += [f"root disk: {safe(', '.join(plan.root_disks))}"] if plan.root_disks else []
    if plan.steps:
        parts.append(safe_table(HEADER, table_rows(plan)))
    if erased_disks(plan):
        parts.append("Erased, and what was found there:")
        found = [
            (one.serial, human_size(one.size_bytes), one.found)
            for step in plan.steps
            for one in step.destroys
        ]
        parts.append(safe_table(("disk", "size", "found"), found))
    block = diff_block(plan)
    if block:
        parts.append(f"```diff\n{block.replace('```', '')}\n```")
    parts += [f"- {safe(note)}" for note in plan.notes]
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
        "root_disks": list(plan.root_disks),
        "steps": steps,
        "drift": list(plan.drift),
        "notes": list(plan.notes),
    }


def artifact_key(kind: str, host: str) -> str:
    """A key as Prefect wants it, lower case letters, digits and dashes; a host's name may have dots."""
    return re.sub(r"[^a-z0-9-]+", "-", f"{kind}-{host}".lower())


def _erases(step: Step) -> str:
    return "; ".join(f"{one.serial} {human_size(one.size_bytes)}: {one.found}" for one in step.destroys)


def _why(step: Step) -> str:
    return f"{step.reason} [{step.blocked_by}]" if step.blocked_by else step.reason


def safe_table(header: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A markdown table whose cells can't break it."""
    lines = [header, ["---"] * len(header), *body]
    return "\n".join("| " + " | ".join(safe(cell) for cell in line) + " |" for line in lines)


def safe(text: str) -> str:
    """Facts come from machines: they must not become markup or break the table."""
    return text.translate(_MARKDOWN_SPECIAL)


def hardware_markdown(hardware: Hardware, unknown: Mapping[str, str]) -> str:
    """The facts of one machine as a Prefect artifact shows them; what could not be read is listed last."""
    memory = human_size(hardware.memory_bytes) if hardware.memory_bytes is not None else UNKNOWN
    facts = {
        "maker": hardware.manufacturer,
        "product": hardware.product,
        "serial": hardware.serial,
        "UUID": hardware.uuid,
        "firmware": hardware.firmware,
        "processor": hardware.cpu_model,
        "sockets / cores / threads": f"{_or_unknown(hardware.cpu_sockets)} / "
        f"{_or_unknown(hardware.cpu_cores)} / {_or_unknown(hardware.cpu_threads)}",
        "memory": memory,
        "TPM": hardware.tpm,
    }
    if hardware.bmc:
        facts["BMC"] = f"{hardware.bmc.address or 'no address'}, MAC {hardware.bmc.mac or UNKNOWN}"
        facts["BMC firmware"] = hardware.bmc.firmware
    parts = [safe_table(("fact", "value"), [(name, _or_unknown(value)) for name, value in facts.items()])]
    nics = [
        (nic.name, nic.mac, _link(nic), nic.driver or UNKNOWN, "yes" if nic.booted else "")
        for nic in hardware.nics
    ]
    parts.append(safe_table(("NIC", "MAC", "link", "driver", "booted"), nics))
    disks = [
        (
            disk.device,
            disk.identity or "none",
            human_size(disk.size_bytes),
            f"{disk.transport or UNKNOWN}, {disk.medium}",
            disk.model or "",
            "; ".join(disk.found) or "blank",
        )
        for disk in hardware.disks
    ]
    parts.append(safe_table(("disk", "identity", "size", "kind", "model", "content"), disks))
    if hardware.raids:
        raids = [
            (array.name or array.uuid, array.level, human_size(array.size_bytes), ", ".join(array.members))
            for array in hardware.raids
        ]
        parts.append(safe_table(("array", "level", "size", "members"), raids))
    parts += [f"- {safe(path)} is not known: {safe(why)}" for path, why in sorted(unknown.items())]
    return "\n\n".join(parts) + "\n"


def _link(nic: Nic) -> str:
    if nic.link is None:
        return UNKNOWN
    return f"up, {nic.speed_mbps} Mb/s" if nic.link and nic.speed_mbps else "up" if nic.link else "down"


def _or_unknown(value: object) -> str:
    return UNKNOWN if value is None else str(value)
