"""A Shell whose answers are written down beforehand: what is not in the script fails the test.

Bundles (`metal.drivers.bundle`) are answered query by query, so that a test scripts plain commands.
Changes are recorded and answered with success, or by `on_change`; files that were written can be read.
"""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from metal.protocols import Change, Command, Gone, Output, ProgressSink, WriteFile

_BUNDLE = "# rackflow bundle\n"


class UnexpectedCommandError(AssertionError):
    """The code under test asked for something that its test does not know."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One change, as it was sent."""

    change: Change
    step: str
    epoch: int


@dataclass
class FakeShell:
    """A scripted machine: argv -> Output (or its stdout), path -> content."""

    script: Mapping[tuple[str, ...], Output | str] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    host: str = "fake"
    on_change: Callable[[Change], Output | None] | None = None
    asked: list[tuple[str, ...]] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)

    @property
    def writes(self) -> int:
        """How many changes were sent."""
        return len(self.sent)

    def read(
        self,
        argv: tuple[str, ...],
        *,
        stdin: bytes | None = None,  # noqa: ARG002 - the protocol's shape
        timeout_s: int = 30,  # noqa: ARG002
        limit_bytes: int = 4 << 20,  # noqa: ARG002
    ) -> Output:
        """The scripted answer; a bundle is taken apart and put together again."""
        if argv[:2] == ("sh", "-c") and len(argv) == 3 and argv[2].startswith(_BUNDLE):
            return self._bundle(argv)
        self.asked.append(argv)
        return self._answer(argv)

    def read_file(self, path: str, *, limit_bytes: int = 1 << 20) -> bytes | None:  # noqa: ARG002
        """The scripted file; None when there is none."""
        return self.files.get(path)

    def change(
        self,
        change: Change,
        *,
        step: str,
        epoch: int,
        progress: ProgressSink | None = None,  # noqa: ARG002
        gone: Gone | None = None,  # noqa: ARG002
    ) -> Output:
        """Record the change; a written file is there afterwards."""
        self.sent.append(Sent(change, step, epoch))
        told = self.on_change(change) if self.on_change else None
        if isinstance(change, WriteFile):
            self.files[change.path] = change.content
        argv = change.argv if isinstance(change, Command) else ("write", change.path)
        return told or Output(argv, 0, "", "")

    def _answer(self, argv: tuple[str, ...]) -> Output:
        if argv not in self.script:
            known = "\n  ".join(shlex.join(each) for each in self.script)
            raise UnexpectedCommandError(f"unexpected: {shlex.join(argv)}\nscripted:\n  {known or 'nothing'}")
        answer = self.script[argv]
        return answer if isinstance(answer, Output) else Output(argv, 0, answer, "")

    def _bundle(self, argv: tuple[str, ...]) -> Output:
        out, err = "", ""
        for name, asked in _queries(argv[2]):
            self.asked.append(asked)
            answer = self._answer(asked)
            begin, end = f"\n\x1eb {name}\n", f"\n\x1ee {name} {answer.status}\n"
            out += begin + answer.stdout + end
            err += begin + answer.stderr + end
        return Output(argv, 0, out, err)


@lru_cache(maxsize=256)
def _queries(script: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Name and argv of each `q NAME TIMEOUT WORDS ARGV…` after the prologue."""
    words, found = shlex.split(script.partition("}\n")[2]), []
    while words:
        name, count = words[1], int(words[3])
        found.append((name, tuple(words[4 : 4 + count])))
        words = words[4 + count :]
    return tuple(found)
