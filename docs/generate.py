"""Writes the pages that are made from tables in code: `python docs/generate.py [--check]`.

Reasons, phases, spec fields, commands and the REST description have one source each; a page that is
written twice is wrong once. `tests/docs` runs the check.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from typer.main import get_command

from metal.cli.main import app as cli
from pxe_edge.api.openapi import description as rest_description
from specs.model import Host, Image, Profile, Site
from specs.phases import CONDITIONS, DEADLINE_S, TRANSITIONS, Phase
from specs.reasons import REASONS

HERE: Final = Path(__file__).parent
HEADER: Final = "<!-- Made by docs/generate.py; edit the table in the code, then run make docs. -->\n\n"


def reasons_page() -> str:
    """One row per reason code."""
    rows = "".join(f"| `{r.code}` | {r.sentence} | {r.next_step} |\n" for r in REASONS.values())
    intro = "What `rackflow why NAME` says, and what `reason` holds in REST and `--json`.\n\n"
    return f"{HEADER}# Reason codes\n\n{intro}| code | what it means | next step |\n|---|---|---|\n{rows}"


def phases_page() -> str:
    """Phases, their transitions, deadlines, conditions."""
    rows = "".join(f"| {t.before} | {t.after} | {t.cause} |\n" for t in TRANSITIONS)
    limits = ", ".join(f"{phase} {seconds // 60} min" for phase, seconds in DEADLINE_S.items())
    names = ", ".join(phase.value for phase in Phase)
    return (
        f"{HEADER}# Phases of a host\n\nPhases: {names}.\n\n| from | to | what makes it happen |\n|---|---|---|\n"
        f"{rows}\nDeadlines: {limits}.\n\nBeside the phase stand the conditions {', '.join(CONDITIONS)}, each "
        f"True, False or Unknown with reason, message and since.\n"
    )


def specs_page() -> str:
    """Every field of every kind of document, from the models."""
    parts = [HEADER, "# Spec files\n\nYAML, camelCase; unknown keys are refused. Sizes carry a unit (GiB, GB).\n"]
    for kind in (Host, Profile, Site, Image):
        schema = kind.model_json_schema(by_alias=True)
        parts.append(f"\n## {kind.__name__}\n\n{first_line(kind.__doc__)}\n\n| field | type | default |\n|---|---|---|\n")
        parts += [f"| `{name}` | {type_} | {default} |\n" for name, type_, default in fields(schema, schema, "")]
    return "".join(parts)


def fields(schema: dict[str, Any], root: dict[str, Any], prefix: str) -> Iterator[tuple[str, str, str]]:
    """Dotted name, type and default of each field below a schema."""
    required = set(schema.get("required", ()))
    for name, field in schema.get("properties", {}).items():
        path = f"{prefix}{name}"
        default = "required" if name in required else f"`{json.dumps(field.get('default'))}`"
        yield path, describe(field, root), default
        for inner in objects(field, root):
            suffix = "[]." if field.get("type") == "array" else "."
            yield from fields(inner, root, path + suffix)


def resolved(field: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    """The schema behind a reference."""
    if "$ref" in field:
        found: dict[str, Any] = root["$defs"][field["$ref"].rsplit("/", 1)[1]]
        return found
    return field


def objects(field: dict[str, Any], root: dict[str, Any]) -> list[dict[str, Any]]:
    """Object schemas that a field may hold."""
    options = field.get("anyOf") or field.get("oneOf") or [field.get("items", field)]
    options = [option.get("items", option) if isinstance(option, dict) else option for option in options]
    found = [resolved(option, root) for option in options if isinstance(option, dict)]
    return [option for option in found if option.get("properties")]


def describe(field: dict[str, Any], root: dict[str, Any]) -> str:
    """The type of a field in a few words."""
    if options := field.get("anyOf") or field.get("oneOf"):
        return " or ".join(dict.fromkeys(describe(option, root) for option in options))
    if "$ref" in field:
        return str(resolved(field, root).get("title", "object"))
    if "enum" in field:
        return " \\| ".join(f"`{value}`" for value in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    if field.get("type") == "array":
        return f"list of {describe(field.get('items', {}), root)}"
    return str(field.get("type", "any"))


def first_line(text: str | None) -> str:
    """The first sentence of a docstring."""
    return (text or "").strip().splitlines()[0] if text else ""


def commands_page() -> str:
    """Every command with its arguments and options."""
    parts = [HEADER, "# Commands\n\nExit codes: 0 done or in sync, 1 failed, 2 usage or invalid spec, 3 changes "]
    parts.append("pending (`plan`), 4 waiting for consent, 5 edge or Prefect not reached.\n")
    for path, command in walk(get_command(cli), "rackflow"):
        if hasattr(command, "commands"):
            continue
        parts.append(f"\n## `{path}`\n\n{command.help or ''}\n\n")
        for parameter in command.params:
            if parameter.name in {"help"}:
                continue
            names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
            text = getattr(parameter, "help", None) or parameter.param_type_name
            parts.append(f"- {names}: {text}\n")
    return "".join(parts)


def walk(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """All commands below one, by their full names."""
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        shown = path if name == "show" else f"{path} {name}"
        yield from walk(inner, shown)


PAGES: Final[dict[str, Callable[[], str]]] = {
    "reasons.md": reasons_page,
    "phases.md": phases_page,
    "specs.md": specs_page,
    "commands.md": commands_page,
    "openapi.json": lambda: json.dumps(rest_description(), indent=1, sort_keys=True) + "\n",
}


def stale() -> list[str]:
    """Names of pages that differ from what their tables say."""
    return [name for name, make in PAGES.items() if not same(HERE / name, make())]


def same(path: Path, text: str) -> bool:
    """Whether the file holds this text."""
    return path.exists() and path.read_text() == text


def main() -> None:
    """Write the pages, or only check them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    if parser.parse_args().check:
        names = stale()
        sys.exit(f"stale pages: {', '.join(names)}; run make docs" if names else 0)
    for name, make in PAGES.items():
        (HERE / name).write_text(make())


if __name__ == "__main__":
    main()
