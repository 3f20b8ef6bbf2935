"""Every command that a next step or a hint names exists, with the options it is given."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from typer.main import get_command

from metal.cli.main import build
from pxe_edge.jobs.causes_stranger import STRANGER_RULES
from pxe_edge.jobs.causes_table import RULES
from specs.reasons import REASONS

ROOT: Final = Path(__file__).parents[2]
COMMAND: Final = re.compile(r"\brackflow((?: (?:\{?[A-Za-z_.]+\}?|--?[a-z-]+))+)")
HINT: Final = re.compile(r'hint=f?"([^"]*\brackflow [^"]*)"')
CLI: Final[Any] = get_command(build())
STEPS: Final = {
    **{f"cause {rule.code}": rule.next_step for rule in RULES},
    **{f"stranger {rule.code}": rule.next_step for rule in STRANGER_RULES},
    **{f"reason {reason.code}": reason.next_step for reason in REASONS.values()},
}


def missing(text: str) -> Iterator[str]:
    """What these words say of `rackflow` and the CLI does not have."""
    for found in COMMAND.finditer(text):
        words, command = found[1].split(), CLI
        while words and hasattr(command, "commands") and words[0] in command.commands:
            command = command.commands[words.pop(0)]
        if command is CLI:
            yield found[0]
            continue
        options = {name for parameter in command.params for name in parameter.opts}
        yield from (f"{found[0]}: {word}" for word in words if word.startswith("--") and word not in options)


@pytest.mark.parametrize("where", STEPS)
def test_a_next_step_names_commands_that_exist(where: str) -> None:
    assert list(missing(STEPS[where])) == []


def test_the_hints_of_errors_name_commands_that_exist() -> None:
    hints = [
        (path.relative_to(ROOT), hint)
        for folder in ("metal", "pxe_edge", "tasks", "flows")
        for path in (ROOT / folder).rglob("*.py")
        for hint in HINT.findall(path.read_text())
    ]

    assert len(hints) > 20
    assert [(str(path), hint) for path, hint in hints if list(missing(hint))] == []


def test_a_command_that_is_not_there_is_found() -> None:
    assert list(missing("rackflow host {name}, then rackflow conjure {name}")) == ["rackflow conjure {name}"]
    assert list(missing("rackflow plan {name} --magic")) == ["rackflow plan {name} --magic: --magic"]
