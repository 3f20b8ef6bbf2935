"""`secret set|list`, `credentials`: named secrets in, BMC accounts out, both audited at the edge."""

import sys
from typing import Annotated

import typer

from metal.cli.groups import new_group
from metal.cli.output import line, say, show_json, show_table
from metal.edge_client import EdgeClient
from metal.errors import SpecError

group = new_group("Named secrets: set by standard input, read only by runs.")
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def read_value(prompt: str) -> str:
    """A secret typed at a terminal without echo, else the whole of standard input."""
    if sys.stdin.isatty():
        return str(typer.prompt(prompt, hide_input=True, err=True))
    return sys.stdin.read().removesuffix("\n")


@group.command("set")
def set_(name: str) -> None:
    """Set a secret; its value is read from standard input, so that no history or process list holds it."""
    value = read_value("value")
    if not value:
        raise SpecError(
            f"no value for secret {name} on standard input",
            hint=f"printf %s VALUE | rackflow secret set {name}",
        )
    with EdgeClient() as edge:
        version = edge.put_secret(name, value)
    say(f"secret:{name}@{version} is set")


@group.command("list")
def list_(*, json: Json = False) -> None:
    """List names and versions, never values."""
    with EdgeClient() as edge:
        known = edge.secrets()
    if json:
        show_json(known)
    else:
        show_table(("name", "version"), [(s["name"], s["version"]) for s in known])


def credentials(name: str, *, json: Json = False) -> None:
    """Show a host's BMC accounts in clear, for another client such as ipmitool. Audited."""
    with EdgeClient() as edge:
        known = edge.credentials(name)
    if json:
        show_json([c.model_dump(mode="json") for c in known])
        return
    show_table(
        ("state", "address", "user", "password"), [(c.state, c.address, c.user, c.password) for c in known]
    )
    if not known:
        line(f"{name} has no BMC credential yet")
