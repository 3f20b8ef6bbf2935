"""Every tool whose output we read, by the name that `rackflow parse` takes.

A parser takes the whole text and gives a `Parsed` value, or raises Unparsable; nothing else.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from metal.drivers.parsed import Parsed
from metal.drivers.raid import md_text
from metal.errors import SpecError


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool: its name, the parser, and the names of relatives that speak the same."""

    name: str
    parse: Callable[[str], Parsed[Any]]
    also: tuple[str, ...] = ()
    reads: str = ""
    """Which outputs, in a few words, for the help and the docs."""


TOOLS: Final[tuple[Tool, ...]] = (
    Tool("mdadm", md_text.parse, reads="--detail, --examine, --export, --scan, /proc/mdstat"),
)

BY_NAME: Final[Mapping[str, Tool]] = {name: tool for tool in TOOLS for name in (tool.name, *tool.also)}


def find_tool(name: str) -> Tool:
    """Give the tool of a name. Raises SpecError with those there are."""
    tool = BY_NAME.get(name.lower())
    if tool is None:
        known = ", ".join(sorted(tool.name for tool in TOOLS))
        raise SpecError(f"no parser for {name!r}", hint=f"known: {known}")
    return tool
