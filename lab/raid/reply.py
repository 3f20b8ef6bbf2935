"""What an emulated tool answers, and the one call that every family's file has."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from lab.raid.model import Controller, Effect


@dataclass(frozen=True)
class Reply:
    """Output and status of one call, what it did to block devices, and how long it takes in the real world.

    `asks` says that the tool waits for an answer on its standard input: with none it would hang for good.
    """

    stdout: str
    stderr: str = ""
    status: int = 0
    effects: tuple[Effect, ...] = field(default_factory=tuple)
    takes_s: float = 0.0
    asks: bool = False


class Emulator(Protocol):
    """One family's tool. `controllers` are all of the machine; it sees those of its family alone."""

    def run(self, argv: Sequence[str], controllers: Sequence[Controller], stdin: str | None = None) -> Reply:
        """Answer one call, changing the controllers' state. Never raises, whatever is asked."""
