"""`rackflow`: the commands an operator types. This file only lists them; each topic has its own."""

import os
import sys
from typing import Annotated

import typer

from metal.cli import (
    apply,
    consenting,
    console,
    doctor,
    ending,
    hosts,
    images,
    networks,
    parse,
    parts,
    plans,
    power,
    secret,
    site,
    specs_command,
    why,
)
from metal.cli.output import exit_code, show_error
from metal.cli.up.command import up
from metal.errors import RackflowError

app = typer.Typer(
    name="rackflow",
    help="Bare-metal provisioning: host specs in git, one front door, flow runs that converge.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.command()(up)
app.command()(parts.edge)
app.command()(parts.worker)
app.command("hosts")(hosts.hosts)
app.add_typer(hosts.group, name="host")
app.add_typer(specs_command.group, name="spec")
app.command()(plans.plan)
app.command()(apply.apply)
app.command()(consenting.approve)
app.command()(ending.cancel)
app.command()(ending.release)
app.add_typer(power.group, name="power")
app.command()(power.inspect)
app.command()(why.why)
app.command()(networks.networks)
app.command()(networks.leases)
app.command()(networks.sightings)
app.command()(doctor.doctor)
app.command()(parse.parse)
app.add_typer(site.group, name="site")
app.add_typer(secret.group, name="secret")
app.command()(secret.credentials)
app.command()(console.console)
app.add_typer(images.group, name="image")
app.add_typer(parts.bootos_group, name="bootos")
app.add_typer(parts.lab_group, name="lab")


@app.callback()
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
        app()
    except RackflowError as error:
        show_error(error)
        sys.exit(exit_code(error))
    except KeyboardInterrupt:
        sys.exit(130)
