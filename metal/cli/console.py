"""`console NAME`: the serial log of the newest boot, followed; `--release` frees the BMC's one session."""

import sys
import time
from typing import Annotated

import typer

from metal.cli.output import say
from metal.edge_client import EdgeClient
from metal.errors import SpecError


def console(
    name: str,
    *,
    release: Annotated[
        bool, typer.Option("--release", help="Free the BMC's session for 10 minutes.")
    ] = False,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Go on as the machine writes.")] = True,
    boot: Annotated[int | None, typer.Option(help="Number of an earlier boot.")] = None,
) -> None:
    """Show a host's serial console as the broker reads it."""
    with EdgeClient() as edge:
        if release:
            answer = edge.release_console(name)
            say(f"{name}: the console session is free until {answer.get('released_until')}")
            return
        boots = edge.boots(name)
        if not boots:
            raise SpecError(f"{name} has no recorded boot yet", hint=f"rackflow why {name}")
        number = boot if boot is not None else boots[-1]["boot_no"]
        offset = 0
        while True:
            data = edge.console(name, number, offset=offset)
            sys.stdout.buffer.write(data)
            sys.stdout.flush()
            offset += len(data)
            if not data and not follow:
                return
            if not data:
                time.sleep(0.5)
                newest = edge.boots(name)[-1]["boot_no"]
                if boot is None and newest != number:
                    say(f"--- boot {newest}")
                    number, offset = newest, 0
