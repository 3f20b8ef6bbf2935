"""A command line of storcli, taken apart.

    storcli64 /c0/e252/s4-6 show all nolog J      storcli64 /c0 /e252 /s4 set good force
    storcli64 /c0 add vd r5 size=100GB drives=252:4-6,8 spares=252:7

Words count in any case of letters. Parts of an address may stand apart; numbers may be `all`, a list or a
range. `J`, `nolog`, `page=` and `logfile` may stand at the end of any command.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

_KINDS: Final = {
    "": "controller",
    "s": "drive",
    "e": "enclosure",
    "v": "volume",
    "d": "group",
    "f": "foreign",
}
_ADDRESS: Final = re.compile(
    r"/c(?P<c>[0-9,-]{1,40}|all)"
    r"(?:(?:/e(?P<e>[0-9,-]{1,40}|all))?(?:/s(?P<s>[0-9,-]{1,80}|all))?"
    r"|/(?P<other>[vdf])(?P<number>[0-9,-]{1,80}|all)|/(?P<pack>bbu|cv|ep))",
)
_RANGE: Final = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")
_MOST: Final = 1024
"""No list of numbers is longer: ids are below it, and a range of all numbers is no address."""


class Malformed(Exception):
    """The grammar has no such line; the text is what follows "syntax error, "."""


Numbers = tuple[int, ...] | None
"""None is `all`."""


@dataclass(frozen=True)
class Request:
    """What a line asks of what; `words` are in lower case, `raw` as they were written."""

    second: bool
    kind: str = "system"
    controllers: Numbers = None
    enclosures: Numbers = ()
    numbers: Numbers = ()
    words: tuple[str, ...] = ()
    raw: tuple[str, ...] = ()
    as_json: bool = False

    def begins(self, *words: str) -> bool:
        """Whether the words are these and perhaps more."""
        return self.words[: len(words)] == words

    def option(self, name: str) -> str | None:
        """The value of `name=value` as it was written; None where it is not there."""
        for word in self.raw:
            key, found, value = word.partition("=")
            if found and key.lower() == name:
                return value
        return None


def parse(argv: Sequence[str]) -> Request:
    """Take a line apart. Raises Malformed."""
    second = PurePosixPath(argv[0] if argv else "storcli64").name.lower().endswith("cli2")
    words, as_json = _without_flags([str(word) for word in argv[1:]])
    address = ""
    while words and words[0].startswith("/"):
        address += words.pop(0).lower()
    if any(word.startswith("/") for word in words):
        raise Malformed("unexpected TOKEN_SLASH, expecting $end")
    lower = tuple(word.lower() for word in words)
    if not address:
        return Request(second, words=lower, raw=tuple(words), as_json=as_json)
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise Malformed("unexpected TOKEN_UNKNOWN")
    kind, numbers = _kind(match)
    enclosures: Numbers = numbers_of(match["e"]) if match["e"] else ()
    return Request(second, kind, numbers_of(match["c"]), enclosures, numbers, lower, tuple(words), as_json)


def _kind(match: re.Match[str]) -> tuple[str, Numbers]:
    if match["pack"]:
        return "pack", ()
    if match["other"]:
        return _KINDS[match["other"]], numbers_of(match["number"])
    if match["s"]:
        return "drive", numbers_of(match["s"])
    return ("enclosure", ()) if match["e"] else ("controller", ())


def _without_flags(words: list[str]) -> tuple[list[str], bool]:
    as_json = False
    while words and (last := words[-1].lower()):
        if last == "j":
            as_json = True
        elif not (last in ("nolog", "noaso") or last.startswith(("page", "logfile"))):
            break
        words = words[:-1]
    return words, as_json


def numbers_of(text: str) -> Numbers:
    """`0-3,5` as numbers, None for `all`. Raises Malformed."""
    return None if text == "all" else tuple(_listed(text))


def _listed(text: str) -> Iterator[int]:
    for part in text.split(","):
        match = _RANGE.fullmatch(part)
        if match is None:
            raise Malformed(f"unexpected {part or '$end'}, expecting TOKEN_NUMBER")
        first, last = int(match[1]), int(match[2] or match[1])
        if not first <= last < first + _MOST:
            raise Malformed(f"unexpected {part}, expecting TOKEN_NUMBER")
        yield from range(first, last + 1)


def places_of(text: str) -> tuple[tuple[int | None, int], ...]:
    """`252:4-6,8` as enclosures and slots: one without an enclosure is in the last one named.

    Raises Malformed.
    """
    places: list[tuple[int | None, int]] = []
    enclosure: int | None = None
    for part in text.split(","):
        before, found, slots = part.rpartition(":")
        if found:
            if before and not _RANGE.fullmatch(before):
                raise Malformed(f"unexpected {part}")
            enclosure = int(before) if before.isdigit() else None
        places += [(enclosure, slot) for slot in _listed(slots)]
        if len(places) > _MOST:
            raise Malformed("unexpected list of drives")
    return tuple(places)
