"""The generated pages are current, and every command, field and reason stands on one of them."""

import subprocess
import sys
from pathlib import Path

import pytest

from metal.cli.main import app
from specs.reasons import REASONS
from typer.main import get_command

ROOT = Path(__file__).parents[2]


def test_generated_pages_agree_with_their_tables() -> None:
    done = subprocess.run(
        [sys.executable, "docs/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr


def leaves(command, path=()):
    """Full names of all commands."""
    inner = getattr(command, "commands", None)
    if not inner:
        return [" ".join(path)]
    return [name for word, one in inner.items() for name in leaves(one, (*path, word) if word != "show" else path)]


@pytest.mark.parametrize("name", leaves(get_command(app)))
def test_every_command_is_documented(name: str) -> None:
    assert f"`rackflow {name}`" in (ROOT / "docs" / "commands.md").read_text()


def test_every_reason_has_a_sentence_and_a_next_step() -> None:
    bare = [r.code for r in REASONS.values() if not (r.sentence.endswith(".") and r.next_step)]

    assert bare == []
