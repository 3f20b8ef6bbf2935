"""The pages agree with the code, and every command, field and reason stands on one of them."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from metal.cli.main import build
from specs.load import json_schema
from specs.reasons import REASONS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "bootos/**/*.md", "lab/**/*.md", "bench/*.md")
    for path in ROOT.glob(pattern)
)
WRITTEN_ONLY = {"RACKFLOW_SITE"}
"""`rackflow up` sets it for people who look at a part's environment; nothing reads it."""
LINK = re.compile(r"\]\(([^)#\s]+)?(#[^)\s]+)?\)")


def test_generated_pages_agree_with_their_tables() -> None:
    done = subprocess.run(
        [sys.executable, "docs/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")


def leaves(command: Any, path: tuple[str, ...] = ()) -> list[tuple[str, Any]]:
    """Full names of all commands; `host NAME` is the hidden `host show`."""
    inner = getattr(command, "commands", None)
    if not inner:
        return [(" ".join(path), command)]
    return [
        leaf for word, one in inner.items() for leaf in leaves(one, path if word == "show" else (*path, word))
    ]


def test_every_command_has_help_and_a_section() -> None:
    page = (DOCS / "commands.md").read_text()

    assert [name for name, command in leaves(get_command(build())) if not command.help] == []
    assert [name for name, _ in leaves(get_command(build())) if f"## `rackflow {name}`" not in page] == []


def test_every_option_has_help() -> None:
    bare = [
        f"{name} {parameter.name}"
        for name, command in leaves(get_command(build()))
        for parameter in command.params
        if parameter.param_type_name == "option" and not getattr(parameter, "help", None)
    ]

    assert bare == []


def test_every_field_of_a_spec_file_is_in_its_table() -> None:
    page = (DOCS / "specs.md").read_text()
    sections = {head.split("\n", 1)[0]: head for head in page.split("\n## ")[1:]}
    missing = [
        f"{shape}.{field}"
        for shape, schema in json_schema()["$defs"].items()
        for field in schema["properties"]
        if f"| `{field}` |" not in sections[shape] and not (shape == "Profile" and in_host(sections, field))
    ]

    assert missing == []


def in_host(sections: dict[str, str], field: str) -> bool:
    """A Profile's page refers to Host for the fields that both have."""
    return f"| `{field}` |" in sections["Host"]


def test_every_reason_is_a_sentence_with_a_next_step_and_stands_on_its_page() -> None:
    page = (DOCS / "reasons.md").read_text()
    bare = [r.code for r in REASONS.values() if not (r.sentence.endswith(".") and r.next_step)]

    assert bare == []
    assert [code for code in REASONS if f"| `{code}` |" not in page] == []


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for target, anchor in LINK.findall(page.read_text()):
        if target.startswith(("http:", "https:", "mailto:")):
            continue
        file = (page.parent / target).resolve() if target else page
        if not file.exists() or (anchor and file.suffix == ".md" and anchor[1:] not in anchors(file)):
            broken.append(target + anchor)

    assert broken == []


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^a-z0-9_-]", "", head.lower().replace(" ", "-")) for head in heads}


def test_every_variable_of_the_environment_that_is_read_stands_in_the_guide() -> None:
    rooms = ("pxe_edge", "metal", "tasks", "flows", "bootos")
    sources = [path.read_text() for room in rooms for path in (ROOT / room).rglob("*.py")]
    read = {name for text in sources for name in re.findall(r"\"(RACKFLOW_[A-Z_]+)\"", text)}
    guide = (DOCS / "guide.md").read_text()

    assert {"RACKFLOW_HOLD_S", "RACKFLOW_SWEEP_S"} <= read
    assert sorted(name for name in read - WRITTEN_ONLY if f"`{name}`" not in guide) == []
