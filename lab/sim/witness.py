"""The witness: every change that a simulated machine saw, written by the machine itself, and its judgement.

It knows nothing of rackflow's journal. A row is one change's start or end, or a power command; the rules
are those of DESIGN 4 and 5: one writer, no older one after a newer, nothing finished done again.
"""

import json
import re
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

STEP = re.compile(r"(?P<job>\d+)-(?P<name>.+)-(?P<writer>[0-9a-f]{8})-(?P<number>\d+)")
DESTRUCTIVE = (
    "rf-wipe",
    "sgdisk",
    "rf-write",
    "mkfs.",
    "mkswap",
    "blkdiscard",
    "mdadm --create",
    "mdadm --zero",
)
GO_ON = ("rf-write", "rf-wipe")
"""They may start again and find everything in place: then they write nothing."""

Event = Literal["start", "end", "refused", "power"]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the witness."""

    at_s: float
    machine: str
    boot: int
    """Which start of the machine it was in."""
    event: Event
    epoch: int = 0
    step: str = ""
    command: str = ""
    disks: tuple[str, ...] = ()
    exit: int | None = None
    how: str = ""
    """How it ended: done, fenced, cut; of a refusal the reason; of a power command who gave it."""
    wrote: int = 0
    """Chunks of an image that it wrote, or pieces of a disk that it erased."""

    @property
    def destructive(self) -> bool:
        """Whether the command destroys what was on a disk."""
        return self.command.startswith(DESTRUCTIVE)


class Witness:
    """Takes rows, keeps them in order, appends each to a file."""

    def __init__(self, path: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._stream = path.open("a", buffering=1) if path else None
        self.rows: list[Row] = []

    def note(self, machine: str, boot: int, event: Event, **said: object) -> None:
        """Take one row."""
        row = Row(time.time(), machine, boot, event, **said)  # type: ignore[arg-type]
        with self._lock:
            self.rows.append(row)
            if self._stream is not None:
                self._stream.write(json.dumps(asdict(row)) + "\n")


def violations(rows: Sequence[Row]) -> list[str]:
    """Everything that must never be, machine by machine."""
    machines = sorted({row.machine for row in rows})
    return [found for name in machines for found in _of_machine([r for r in rows if r.machine == name])]


def _of_machine(rows: list[Row]) -> list[str]:
    return [
        *_two_writers(rows),
        *_older_after_newer(rows),
        *_taking_turns(rows),
        *_again(rows),
        *_power(rows),
    ]


def _two_writers(rows: list[Row]) -> Iterator[str]:
    running: dict[str, Row] = {}
    boot = 0
    for row in rows:
        if row.boot != boot:
            boot, running = row.boot, {}
        if row.event == "start":
            for other in running.values():
                yield f"{row.machine}: {_told(row)} started while {_told(other)} ran"
            running[row.step] = row
        elif row.event == "end":
            running.pop(row.step, None)


def _older_after_newer(rows: list[Row]) -> Iterator[str]:
    highest: Row | None = None
    for row in rows:
        if row.event != "start":
            continue
        if highest is not None and row.epoch < highest.epoch:
            yield f"{row.machine}: {_told(row)} started after {_told(highest)}"
        if highest is None or row.epoch > highest.epoch:
            highest = row


def _taking_turns(rows: list[Row]) -> Iterator[str]:
    """Two connections that act in turns within one epoch are two processes that both think they may."""
    left: dict[tuple[int, int], list[str]] = {}
    for row in rows:
        named = STEP.fullmatch(row.step)
        if row.event != "start" or named is None:
            continue
        seen = left.setdefault((row.boot, row.epoch), [])
        if named["writer"] in seen[:-1]:
            yield f"{row.machine}: {_told(row)} by a writer that another had taken over from"
        if named["writer"] not in seen:
            seen.append(named["writer"])


def _again(rows: list[Row]) -> Iterator[str]:
    """A destructive command that ended well, once more in the same job.

    The image writer and an overwriting may start again and find everything in place.
    """
    finished: dict[tuple[str, str, str, tuple[str, ...]], Row] = {}
    for row in rows:
        named = STEP.fullmatch(row.step)
        if named is None or row.event != "end" or not row.destructive or row.exit != 0:
            continue
        key = (named["job"], named["name"], row.command, row.disks)
        before = finished.get(key)
        if before is not None and (row.wrote or not row.command.startswith(GO_ON)):
            yield f"{row.machine}: {_told(row)} was finished at {before.at_s:.1f} and done again"
        finished[key] = row


def _power(rows: list[Row]) -> Iterator[str]:
    """A power command over the LAN while a destructive command runs: somebody else works on the machine."""
    running: dict[str, Row] = {}
    for row in rows:
        if row.event == "start" and row.destructive:
            running[row.step] = row
        elif row.event == "end":
            running.pop(row.step, None)
        elif row.event == "power" and row.how == "lan" and row.command != "on":
            for other in running.values():
                yield f"{row.machine}: power {row.command} over the LAN while {_told(other)} ran"


def _told(row: Row) -> str:
    return f"{row.command.split(' ')[0]} of {row.step} (epoch {row.epoch}, boot {row.boot})"
