"""`parse`: what rackflow reads in a tool's output, by the code that reads machines."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from metal.cli.output import EXIT_FAILED, show_json
from metal.drivers.tools import find_tool
from metal.errors import SpecError, Unparsable


def parse(
    tool: Annotated[str, typer.Argument(help="The tool that printed it, such as storcli or dmidecode.")],
    file: Annotated[str, typer.Argument(help="Its captured output; - for standard input.")],
) -> None:
    """Print as JSON what is read in a captured output; exit 1 and one line for one that is not understood."""
    reader = find_tool(tool)
    try:
        text = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise SpecError(f"{file} cannot be read: {error.strerror}") from error
    try:
        value = reader.parse(text.decode(errors="replace")).as_json()
    except Unparsable as error:
        sys.stderr.write(f"Unparsable: {error.message}\n")
        raise typer.Exit(EXIT_FAILED) from None
    show_json(value)
