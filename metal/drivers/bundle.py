"""Many readings in one round trip.

A machine under emulation, or behind a slow link, takes 0.3-0.7 s per SSH command; an inventory asks
twenty questions. They are sent as one shell script whose prologue is constant and whose only data are
quoted argvs. Around each answer the script prints a marker on both streams, so that the answers are
taken apart again with their statuses, and a tool that is missing, hangs or talks noise spoils only
its own section.
"""

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from metal.protocols import Output, Shell

HEADER: Final = "# rackflow bundle"
"""First line of each bundle; FakeShell knows it and answers query by query."""

_PROLOGUE: Final = (
    HEADER + "\n"
    r"""q() { n=$1; t=$2; shift 3; printf '\n\036b %s\n' "$n"; printf '\n\036b %s\n' "$n" >&2
timeout "$t" "$@" </dev/null; s=$?; printf '\n\036e %s %s\n' "$n" "$s"
printf '\n\036e %s %s\n' "$n" "$s" >&2; }
"""
)
_NAME = re.compile(r"^[a-z0-9-]+$")
NOT_ANSWERED: Final = 255


@dataclass(frozen=True, slots=True)
class Query:
    """One reading: a name for its section, and a command that changes nothing."""

    name: str
    argv: tuple[str, ...]
    timeout_s: int = 10


def script(queries: Iterable[Query]) -> str:
    """The bundle's shell text; each argv is quoted whole."""
    lines = []
    for query in queries:
        if not _NAME.match(query.name):
            raise ValueError(f"a query's name is lower case words with dashes, got {query.name!r}")
        # The count of words is for readers of the script: FakeShell takes it apart by it.
        lines.append(f"q {query.name} {query.timeout_s} {len(query.argv)} {shlex.join(query.argv)}\n")
    return _PROLOGUE + "".join(lines)


def read_bundle(shell: Shell, queries: Iterable[Query]) -> dict[str, Output]:
    """Ask all at once; every query has an Output, status 255 where no answer came back whole."""
    asked = tuple(queries)
    patience_s = 20 + sum(query.timeout_s for query in asked)
    said = shell.read(("sh", "-c", script(asked)), timeout_s=min(patience_s, 180))
    return split(asked, said)


def split(queries: Iterable[Query], said: Output) -> dict[str, Output]:
    """Take a bundle's answer apart."""
    return {query.name: _section(query, said) for query in queries}


def _section(query: Query, said: Output) -> Output:
    stdout = _between(query.name, said.stdout)
    stderr = _between(query.name, said.stderr)
    if stdout is None:
        tail = said.stderr.strip().splitlines()[-1:] or ["no answer"]
        return Output(query.argv, NOT_ANSWERED, "", f"the answer is missing or cut off: {tail[0]}")
    return Output(query.argv, stdout[1], stdout[0], stderr[0] if stderr else "")


def _between(name: str, text: str) -> tuple[str, int] | None:
    begin = f"\n\x1eb {name}\n"
    _, found, rest = text.partition(begin)
    end = re.search(rf"\n\x1ee {re.escape(name)} (\d{{1,3}})(?:\n|$)", rest) if found else None
    return (rest[: end.start()], int(end[1])) if end else None
