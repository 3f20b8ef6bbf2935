"""MegaCli's command lines: options in any case, with or without their dash, values glued on or behind.

`-r5[32:0,32:1]`, `-r5 [32:0,32:1]`, `cfgldadd`, `-L0,2`, `-aALL` are all taken, as public transcripts
show; what is no option of MegaCli ends the reading, and nothing is done then.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

ADDRESS = re.compile(r"(\d{0,5}):(\d{1,4})$")
_LIST = r"(all|\d{1,4}(?:,\d{1,4})*)"
_BRACKETS = r"\[([^\]]*)\]"
_VALUES = tuple(
    (name, re.compile(pattern + "$"))
    for name, pattern in (
        ("adapters", "a" + _LIST),
        ("volumes", "l" + _LIST),
        ("drives", "physdrv" + _BRACKETS),
        ("array-drives", r"array(\d{1,3})" + _BRACKETS),
        ("arrays", "array" + _LIST),
        ("level-drives", r"r(\d{1,2})" + _BRACKETS),
        ("level", r"r(\d{1,2})"),
        ("size", r"sz(\d{1,12})(?:mb?)?"),
        ("strip", r"strpsz(\d{1,5})(?:kb?)?"),
        ("spares", "hsp" + _BRACKETS),
        ("after", r"afterld(\d{1,4})"),
        ("number", r"([01])"),
    )
)
_WORDS = (
    "wt wb nora ra adra direct cached cachedbadbbu nocachedbadbbu force silent nolog set rmv get start stop",
    "showprog dedicated enclaffinity nonrevertible undo scan clear import dsply preview enablejbod name",
    "getbbustatus getbbucapacityinfo getbbudesigninfo getbbuproperties cache full immediate",
)
WORDS = frozenset(word for row in _WORDS for word in row.split())
"""Options without a value, and words that say which part of a command is meant."""


class Unreadable(Exception):
    """The command line holds a word that is none of MegaCli's."""


@dataclass
class Line:
    """A command line: its command, its words, and its values as texts."""

    command: str
    words: set[str] = field(default_factory=set)
    values: dict[str, str] = field(default_factory=dict)
    arrays: list[str] = field(default_factory=list)
    """Drives of -Array0, -Array1 and so on, in the order in which they stand."""
    name: str | None = None

    def numbers(self, what: str) -> list[int] | None:
        """The numbers of a value; None for all, and [] where the option is missing."""
        text = self.values.get(what)
        if text == "all":
            return None
        return [int(one) for one in text.split(",")] if text else []


def read(argv: Sequence[str]) -> Line:
    """Take a command line apart, without the program. Raises Unreadable."""
    tokens = _glued(argv)
    line = Line(tokens[0].lower().removeprefix("-") if tokens else "")
    rest = iter(tokens[1:])
    for token in rest:
        word = token.lower().removeprefix("-")
        if word == "name":
            line.name = next(rest, None)
        elif word in WORDS:
            line.words.add(word)
        elif not _take_value(line, word):
            raise Unreadable(token)
    return line


def _take_value(line: Line, word: str) -> bool:
    for name, pattern in _VALUES:
        match = pattern.match(word)
        if match is None:
            continue
        if name == "array-drives":
            line.arrays.append(match[2])
        elif name == "level-drives":
            line.values |= {"level": match[1], "drives": match[2]}
        else:
            line.values[name] = match[1]
        return True
    return False


def _glued(argv: Sequence[str]) -> list[str]:
    """The words, each with the bracket that stands behind it."""
    tokens: list[str] = []
    for word in argv:
        if word.startswith("[") and tokens:
            tokens[-1] += word
        else:
            tokens.append(word)
    return tokens


def addresses(text: str) -> list[tuple[int | None, int]] | None:
    """Enclosures and slots out of brackets; None where one is no address."""
    found = []
    for one in text.replace(" ", "").split(","):
        match = ADDRESS.match(one)
        if match is None:
            return None
        found.append((int(match[1]) if match[1] else None, int(match[2])))
    return found
