"""`rackflow`: the commands an operator types, as `metal.cli.commands` lists them."""

import os
import sys
from typing import Annotated

import typer

from metal.cli.commands import ENTRIES
from metal.cli.output import exit_code, show_error
from metal.errors import RackflowError


def build(word: str | None = None) -> typer.Typer:
    """The CLI: with the command of one word alone, or with all where the word is none of them."""
    app = typer.Typer(
        name="rackflow",
        help="Bare-metal provisioning: host specs in git, one front door, flow runs that converge.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(root)
    for entry in [one for one in ENTRIES if one.name == word] or ENTRIES:
        entry.add_to(app)
    return app


def root(
    *,
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False,
) -> None:
    """Bare-metal provisioning: host specs in git, one front door, flow runs that converge."""
    if version:
        from importlib.metadata import version as installed  # noqa: PLC0415 - costs 20 ms, asked for once

        typer.echo(installed("rackflow"))
        raise typer.Exit


def main() -> None:
    """Run the CLI; our errors become one message and an exit code, never a traceback."""
    # An ordinary user's PATH lacks sbin, where mkfs, depmod and dnsmasq are.
    os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    try:
        build(sys.argv[1] if len(sys.argv) > 1 else None)()
    except RackflowError as error:
        show_error(error)
        sys.exit(exit_code(error))
    except KeyboardInterrupt:
        sys.exit(130)
