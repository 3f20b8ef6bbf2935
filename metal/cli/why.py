"""`why`: the timeline of a host and the one sentence why it is where it is."""

from typing import Annotated

import typer

from metal.cli.output import line, show_json, show_table
from metal.edge_client import EdgeClient


def why(
    what: Annotated[str, typer.Argument(help="Host name, MAC or address.")],
    *,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say why a host is where it is, and what happened to it."""
    with EdgeClient() as edge:
        answer = edge.why(what)
    if json:
        show_json(answer)
        return
    rows = [(e["at"][:19], e["kind"], e["text"]) for e in answer.get("timeline", [])]
    show_table(("when", "what", "detail"), rows)
    line(f"{answer.get('host') or what}: {answer['sentence']}")
    if answer.get("next"):
        line(f"next: {answer['next']}")
