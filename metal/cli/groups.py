"""Command groups whose first word may be a name: `host add …` is a command, `host web-01` shows one."""

from typing import Any

import typer
from typer.core import TyperGroup


class NameOrCommand(TyperGroup):
    """A group where an unknown first word is the argument of `show`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Insert `show` before a name."""
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            args = ["show", *args]
        return super().resolve_command(ctx, args)


def new_group(help_: str, cls: type[TyperGroup] = TyperGroup, **kwargs: Any) -> typer.Typer:
    """A group of commands, the same everywhere: help when empty, no markup, no completion options."""
    return typer.Typer(help=help_, cls=cls, no_args_is_help=True, rich_markup_mode=None, **kwargs)
