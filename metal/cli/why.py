"""`why`: the history of a host and the one sentence why it is where it is."""

from typing import Annotated

import typer

from metal.cli.job_words import run_url
from metal.cli.output import line, show_json, show_table
from metal.edge_client import EdgeClient


def why(
    what: Annotated[str, typer.Argument(help="Host name, MAC or address.")],
    *,
    history: Annotated[int, typer.Option(help="Lines of history to show, newest last.", min=0)] = 15,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say why a host is where it is and what to do next, after what happened to it last."""
    with EdgeClient() as edge:
        answer = edge.why(what)
    if json:
        show_json(answer)
        return
    timeline = answer.get("timeline", [])
    shown = timeline[-history:] if history else []
    if shown:
        show_table(("when", "what", "detail"), [(e["at"][:19], e["kind"], e["text"]) for e in shown])
    if shown and len(timeline) > len(shown):
        line(f"… {len(timeline) - len(shown)} earlier lines: --history 200")
    line(f"{answer.get('host') or what}: {answer['sentence']}", bold=True)
    if answer.get("next"):
        line(f"next: {answer['next']}")
    if url := run_url(answer.get("run_id")):
        line(f"run: {url}")
