"""The one command that makes a file system which takes several tools (see `stack_program`)."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from metal.drivers.guest.document import PYTHON, program
from metal.drivers.partitions import Target
from metal.protocols import Command

PLACE: Final = "{device}"
"""Stands for the innermost device in what is run on it."""


@dataclass(frozen=True, slots=True)
class Mounted:
    """What is run on a mounted file system; `{mount}` stands for where."""

    filesystem: str
    run: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Stack:
    """What is made, from the partition up."""

    says: str
    make: tuple[tuple[str, ...], ...] = ()
    mounted: Mounted | None = None

    def command(self, target: Target, number: int) -> Command:
        """Give the command for a partition of a guarded disk."""
        body: dict[str, Any] = {
            "program": program("stack_program", "metal.drivers.storage"),
            "layers": [],
            "make": _lists(self.make),
            "mounted": {"filesystem": self.mounted.filesystem, "run": _lists(self.mounted.run)}
            if self.mounted
            else None,
            "mark": [],
        }
        return Command(
            argv=(*PYTHON, f"{{disk0:p{number}}}"),
            says=self.says,
            stdin=json.dumps(body).encode(),
            disks=(target.guard,),
            timeout_s=600,
        )


def _lists(argvs: Iterable[tuple[str, ...]]) -> list[list[str]]:
    return [list(argv) for argv in argvs]
