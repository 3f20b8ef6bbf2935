"""Writes the pages that are made from tables in code: `python docs/generate.py [--check]`.

Reasons, phases, spec fields, commands and the REST description have one source each; a page that is
written twice is wrong once. `tests/docs` runs the check.
"""  # noqa: INP001 - a script, no package

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import BaseModel
from typer.main import get_command

from lab.raid.proofs import PROOFS
from metal.cli.main import build
from metal.planning.restarts import ENTER, RESTARTS
from pxe_edge.api.app import create_app
from pxe_edge.jobs.causes import Rule
from pxe_edge.jobs.causes_stranger import STRANGER_RULES
from pxe_edge.jobs.causes_table import SECTIONS
from pxe_edge.policy.silences import SILENCES
from specs import model, site_model
from specs.load import json_schema
from specs.phases import CONDITIONS, DEADLINE_S, TRANSITIONS, Phase
from specs.reasons import REASONS

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parent
HEADER: Final = "<!-- Made by docs/generate.py; edit the table in the code, then run make docs. -->\n\n"
KINDS: Final = (model.Host, model.Profile, model.Site, model.Image)
SPECS_INTRO: Final = """# Spec files

YAML, one or more documents per file, anywhere under the spec folder.
Unknown keys are refused. Sizes carry a unit (`GiB MiB TiB`, `GB MB TB`, all exact).
`rackflow spec check` shows all findings with file and line; editors take
[the JSON Schema](../specs/schema/rackflow.schema.json). [specs/](../specs) is a complete example.
"""
SILENCES_INTRO: Final = """## Packets that get no answer

Each is counted, and logged once a minute per machine and reason: `dhcp=DISCOVER mac=… answer=none reason=…`.
`rackflow why MAC` tells the newest reason of a machine, `GET /v1/silences` those of all.
"""
CAUSES_INTRO: Final = """## What `rackflow why` says

It takes all that is known of a host at one moment (timeline, job, wait, lease, outbox, conditions, requests,
refusals, the end of the serial log) and asks these rules from the top. The first that holds is the `cause`;
its sentence and next step are filled with what was found. `reason` beside it is the code on record.
"""
RAID_PROVEN: Final = "## What is proven, and how"
RAID_INTRO: Final = """Nothing here has been proven on hardware. *Capture*: a tool's real output.
*Emulator*: the tool of `lab/raid`, in process, with the driver alone or with planner and engine.
*Virtual machine*: the same tool in a machine of the rack, whose volumes are disks that it starts from.
*Kernel device*: an array of a real kernel in the virtual rack. Made of `lab/raid/proofs.py` by `make docs`.
"""
PLACES: Final = {
    "name": "NAME",
    "again": "rackflow apply NAME",
    "cycle": "rackflow power cycle NAME",
    "plan": "PLAN",
    "image": "IMAGE",
    "secret": "SECRET",
    "mac": "MAC",
    **dict.fromkeys(("state", "ended", "phase_limit", "locked"), ""),
}
"""Places that have a word of their own; those that are often empty have none."""
PROFILE_MERGE: Final = """
Beside these, every field of a [Host](#host) but `match`.
Maps merge by key; `raid`, `users`, `partitions`, `subvolumes`,
`volumeGroups` and `logicalVolumes` by name, `files` by path, `disks` by device;
other lists are replaced; `null` removes.
"""
WORDS: Final = {
    "ipv4": "IPv4 address",
    "ipv4interface": "address/prefix",
    "ipv4network": "subnet",
    "ipv6": "IPv6 address",
    "ipv6interface": "IPv6 address/prefix",
    "ipv6network": "IPv6 subnet",
    "string": "text",
    "boolean": "true or false",
    "integer": "whole number",
}
PROBLEM: Final = {
    "title": "Problem",
    "description": "Every error (RFC 9457): what, on which host, and the next step as `hint`.",
    "type": "object",
    "required": ["title", "status", "code", "detail"],
    "properties": {
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "What programs compare."},
        "detail": {"type": "string"},
        "hint": {"type": ["string", "null"]},
        "host": {"type": ["string", "null"]},
        "findings": {"type": "array", "description": "Of a refused spec set.", "items": {"type": "object"}},
    },
}


def table(header: tuple[str, ...], rows: Sequence[Sequence[str]]) -> str:
    """A markdown table."""
    lines = [header, ("---",) * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def reasons_page() -> str:
    """One row per reason code."""
    rows = [(f"`{r.code}`", r.sentence, step(r.next_step)) for r in REASONS.values()]
    intro = "Why a host is where it is: told by `rackflow why NAME`, held by `reason` in REST and `--json`.\n"
    codes = table(("code", "what it means", "next step"), rows)
    packets = [
        (f"`{r.code}`", r.sentence, cell(step(r.next_step)))
        for r in SILENCES.values()
        if r.code not in REASONS
    ]
    silent = f"\n{SILENCES_INTRO}\n{table(('code', 'why', 'what to do'), packets)}"
    causes = f"\n{CAUSES_INTRO}{''.join(cause_sections())}"
    return f"{HEADER}# Reason codes\n\n{intro}\n{codes}{silent}{causes}"


def cause_sections() -> Iterator[str]:
    """What `why` can say, in the order in which it asks."""
    sections: list[tuple[str, Sequence[Rule[Any]]]] = [
        *SECTIONS,
        ("A machine that is no host", STRANGER_RULES),
    ]
    for title, rules in sections:
        rows = [
            (f"`{r.code}`", r.when, cell(places(r.sentence)), cell(step(places(r.next_step)))) for r in rules
        ]
        yield f"\n### {title}\n\n{table(('cause', 'when', 'sentence', 'next step'), rows)}"


def places(text: str) -> str:
    """Words with the places that facts take, in italics; the host's name as in every other page."""
    for place, word in PLACES.items():
        text = text.replace(f"{{{place}}}", word)
    return re.sub(r"\{(\w+)\}", lambda found: f"*{found[1].replace('_', ' ')}*", text)


def step(text: str) -> str:
    """A next step, its commands as code."""
    paths = sorted((path for path, _ in walk(get_command(build()), "rackflow")), key=len, reverse=True)[:-1]
    command = rf"(?:{'|'.join(map(re.escape, paths))})(?: \*?[A-Z]\w+\*?| --[a-z-]+(?: \d+)?)*"
    return re.sub(command, lambda found: f"`{found[0]}`", text)


def phases_page() -> str:
    """Phases with their ways out, deadlines, conditions."""
    parts = [
        f"{HEADER}# Phases of a host\n\nOnly the edge writes one. A host takes these ways and no other:\n\n"
    ]
    rows = [(f"`{t.before}`", f"`{t.after}`", t.cause) for t in TRANSITIONS]
    parts.append(table(("from", "to", "what makes it happen"), rows))
    limits = [(f"`{phase}`", f"{seconds // 60} min") for phase, seconds in DEADLINE_S.items()]
    parts.append(
        f"\n## Deadlines\n\nA host that stays longer fails.\n\n{table(('phase', 'at most'), limits)}"
    )
    others = [phase.value for phase in Phase if phase not in {t.before for t in TRANSITIONS}]
    parts.append(f"\nPhases without a way out: {', '.join(f'`{name}`' for name in others)}.\n")
    names = ", ".join(f"`{name}`" for name in CONDITIONS)
    parts.append(
        f"\n## Conditions\n\nBeside the phase stand {names}, "
        "each `True`, `False` or `Unknown` with reason, message and since.\n"
    )
    return "".join(parts)


JOURNAL_INTRO: Final = """# What a new start does with a step

Each step writes an intent into the registry before it acts, and an outcome after it.
A run may die at any moment; the job's next run reads the journal and goes on.
A step whose `done` stands there is never begun again.
An intent without an outcome is judged by the kind of its step:

- **observe**: the machine is read. As wished is done; as before is done now; what this plan left half done on
  disks that it destroys is cleared and done again; anything else stops the job (`plan-moved`).
- **repeat**: the same is done again, to the same disk and with the same content.
- **ask**: nothing is done until a person consents anew (`rackflow approve NAME`).

Where the boot OS is gone, it is entered again first (`enter-boot-os` in the journal), three times at most.
"""


def journal_page() -> str:
    """One row per kind of step."""
    rows = [(f"`{one.kind}`", f"**{one.restart}**", one.does) for one in RESTARTS.values()]
    body = table(("kind of step", "restart", "what a new start does"), rows)
    return f"{HEADER}{JOURNAL_INTRO}{ENTER}\n\n{body}"


def specs_page() -> str:
    """Every field of every kind of document and every shape that they use."""
    meanings: dict[str, dict[str, str]] = yaml.safe_load((HERE / "fields.yaml").read_text())
    schema = json_schema()
    parts = [f"{HEADER}{SPECS_INTRO}"]
    rows = [(f"[{kind.__name__}](#{kind.__name__.lower()})", first_line(kind.__doc__)) for kind in KINDS]
    parts.append(f"\n{table(('kind', 'what it says'), rows)}")
    kinds = [kind.__name__ for kind in KINDS]
    parts += [shape_section(name, schema, meanings) for name in kinds]
    parts.append("\n# Shapes\n\nWhat the fields above hold.\n")
    parts += [shape_section(name, schema, meanings) for name in sorted(set(schema["$defs"]) - set(kinds))]
    return "".join(parts)


def shape_section(name: str, schema: dict[str, Any], meanings: dict[str, dict[str, str]]) -> str:
    """One shape as a heading, its sentence and its table."""
    shape: type[BaseModel] = getattr(model, name, None) or getattr(site_model, name)
    properties = schema["$defs"][name]["properties"]
    if name == "Profile":
        properties = {field: about for field, about in properties.items() if field in meanings[name]}
    required = set(schema["$defs"][name].get("required", ())) - {"kind"}
    rows = []
    for field, about in properties.items():
        default = "**required**" if field in required else default_of(about)
        rows.append((f"`{field}`", type_of(about), default, meaning(shape, field, meanings)))
    head = f"\n## {name}\n\n{first_line(shape.__doc__)}\n\n"
    listed = table(("field", "type", "default", "what it means"), rows)
    return head + listed + (PROFILE_MERGE if name == "Profile" else "")


def meaning(shape: type[BaseModel], field: str, meanings: dict[str, dict[str, str]]) -> str:
    """The line of docs/fields.yaml for a field, own or inherited."""
    for owner in shape.__mro__:
        if text := meanings.get(owner.__name__, {}).get(field):
            return text
    sys.exit(f"docs/fields.yaml has no line for {shape.__name__}.{field}: say what it means")


def default_of(field: dict[str, Any]) -> str:
    """A default as one would write it; nothing where leaving it out means nothing."""
    default = field.get("default")
    if default in (None, [], {}) or isinstance(default, dict):
        return ""
    return f"`{default}`" if isinstance(default, str) else f"`{json.dumps(default)}`"


def type_of(field: dict[str, Any]) -> str:
    """The type of a field in a few words; shapes are links."""
    if options := field.get("anyOf") or field.get("oneOf"):
        told = [type_of(option) for option in options if option.get("type") != "null"]
        return " or ".join(dict.fromkeys(told))
    if "$ref" in field:
        name = field["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{name.lower()})"
    if values := field.get("enum") or [field[key] for key in ("const",) if key in field]:
        return " ".join(f"`{value}`" for value in values)
    if field.get("type") == "array":
        return f"list of {type_of(field.get('items', {}))}"
    if field.get("type") == "object":
        inner = field.get("additionalProperties")
        return f"map of {type_of(inner)}" if isinstance(inner, dict) else "map"
    word = str(field.get("format") or field.get("type"))
    return WORDS.get(word, word)


def first_line(text: str | None) -> str:
    """The first paragraph of a docstring, as one line."""
    return " ".join((text or "").strip().split("\n\n")[0].split())


def commands_page() -> str:
    """Every command with its arguments and options."""
    commands = [
        (path, one) for path, one in walk(get_command(build()), "rackflow") if not hasattr(one, "commands")
    ]
    codes = [
        ("0", "done, in sync"),
        ("1", "failed"),
        ("2", "usage, or invalid spec"),
        ("3", "changes pending (`plan`)"),
        ("4", "waiting for consent"),
        ("5", "edge or Prefect not reached"),
    ]
    parts = [f"{HEADER}# Commands\n\n", table(("exit code", "meaning"), codes)]
    parts.append("\n`--json` prints the result as JSON on stdout; progress and errors go to stderr.\n\n")
    rows = [(f"[`{path}`](#{anchor(path)})", cell(first_line(one.help))) for path, one in commands]
    parts.append(table(("command", "what it does"), rows))
    for path, one in commands:
        parts.append(f"\n## `{path}`\n\n{(one.help or '').strip()}\n\n```\n{usage(path, one)}\n```\n")
        shown = [
            option_row(p) for p in one.params if getattr(p, "help", None) or p.param_type_name == "option"
        ]
        if shown:
            parts.append(f"\n{table(('parameter', 'default', 'what'), shown)}")
    return "".join(parts)


def anchor(heading: str) -> str:
    """GitHub's anchor of a heading."""
    return "".join(c for c in heading.lower().replace(" ", "-") if c.isalnum() or c in "-_")


def cell(text: str) -> str:
    """Text that does not end its table cell."""
    return text.replace("|", "\\|")


def usage(path: str, command: Any) -> str:
    """One line as the help shows it."""
    words = [path]
    if any(p.param_type_name == "option" for p in command.params):
        words.append("[OPTIONS]")
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            name = parameter.name.upper() + ("..." if parameter.nargs == -1 else "")
            words.append(name if parameter.required else f"[{name}]")
    return " ".join([*words, *(["[...]"] if command.allow_extra_args else [])])


def option_row(parameter: Any) -> tuple[str, str, str]:
    """One parameter."""
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    if parameter.param_type_name == "argument":
        names = f"`{parameter.name.upper()}`"
    default = "**required**" if parameter.required else ""
    if not parameter.required and parameter.default not in (None, False, ()):
        default = f"`{str(parameter.default).lower() if parameter.default is True else parameter.default}`"
    return names, default, cell(getattr(parameter, "help", None) or "")


def walk(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """All commands below one, by their full names."""
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from walk(inner, path if name == "show" else f"{path} {name}")


def rest_description() -> dict[str, Any]:
    """The control plane as OpenAPI, with the one shape of every error."""
    described = create_app().openapi()
    shapes = described.setdefault("components", {}).setdefault("schemas", {})
    shapes["Problem"] = PROBLEM
    for unused in ("HTTPValidationError", "ValidationError"):
        shapes.pop(unused, None)
    answer = {"schema": {"$ref": "#/components/schemas/Problem"}}
    for methods in described["paths"].values():
        for operation in methods.values():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = {
                "description": "Refused: 401 no token, 403 scope, 404, 409 conflict, 410 used, 422 findings.",
                "content": {"application/problem+json": answer},
            }
    return described


def as_json(value: Any) -> str:
    """JSON as committed: stable and readable in a diff."""
    return json.dumps(value, indent=1, sort_keys=True) + "\n"


def raid_page() -> str:
    """The page on RAID as it is written, its last part from the table of proofs."""
    written = (HERE / "raid.md").read_text().partition(RAID_PROVEN)[0]
    rows = [
        (f"`{family}`", one.operation, " ".join(one.levels), one.how, f"`{file_of(one.test)}`")
        for family in dict.fromkeys(name for one in PROOFS for name in one.families)
        for one in PROOFS
        if family in one.families
    ]
    proven = table(("family", "operation", "levels", "how", "test"), rows)
    return f"{written}{RAID_PROVEN}\n\n{RAID_INTRO}\n{proven}"


def file_of(test: str) -> str:
    """The name of a test's file, which is enough to find it by."""
    return test.partition("::")[0].rpartition("/")[2]


PAGES: Final[dict[Path, Callable[[], str]]] = {
    HERE / "reasons.md": reasons_page,
    HERE / "phases.md": phases_page,
    HERE / "journal.md": journal_page,
    HERE / "raid.md": raid_page,
    HERE / "specs.md": specs_page,
    HERE / "commands.md": commands_page,
    HERE / "openapi.json": lambda: as_json(rest_description()),
    ROOT / "specs" / "schema" / "rackflow.schema.json": lambda: json.dumps(json_schema(), indent=2) + "\n",
}


def stale() -> list[str]:
    """Names of pages that differ from what their tables say."""
    return [path.name for path, make in PAGES.items() if not path.exists() or path.read_text() != make()]


def main() -> None:
    """Write the pages, or only check them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a page is stale")
    if parser.parse_args().check:
        names = stale()
        sys.exit(f"stale pages: {', '.join(names)}; run make docs" if names else 0)
    for path, make in PAGES.items():
        path.write_text(make())


if __name__ == "__main__":
    main()
