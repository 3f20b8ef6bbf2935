"""What surrounds a run: clock, connections, and what one process remembers of hosts between steps."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from metal.drivers.guest.facts import Reading
from metal.engine.claim import Claim
from metal.engine.connect import SESSIONS, Sessions
from metal.engine.waits import utc_now
from specs.records import SecretValue, WorkOrder

Log = Callable[[str], None]


@dataclass(slots=True)
class Kept:
    """What one process remembers of a host between steps; dropped when its power or its disks change."""

    boot_no: int | None = None
    """The boot OS that this process has worked in."""
    assembled_in: int | None = None
    """The boot in which this process has seen to the arrays of its job."""
    fenced: bool = False
    """Whether this process has ended what earlier runs left running on the machine."""
    reading: tuple[str, Reading] | None = None
    mounted: bool | None = None
    """Whether the deployed root is mounted in the boot OS; None until it was looked at."""
    observed: tuple[str, float] | None = None
    """When this run read the host itself: the observation's time, and our clock."""
    basis_held: bool = False
    """Whether this process has seen that the machine is where the plan expects it."""
    volume_disks: dict[str, str] = field(default_factory=dict)
    """Volumes of hardware controllers, by name, and the identities of the disks that show them."""
    answering: frozenset[str] | None = None
    """The families of hardware RAID that this boot has controllers of; None until all were asked."""
    order: WorkOrder | None = None
    secrets: dict[str, SecretValue] = field(default_factory=dict)

    def booted(self, boot_no: int | None) -> None:
        """Forget what held in an earlier boot: mounts are gone, and somebody may have swapped a disk."""
        if boot_no == self.boot_no:
            return
        self.volume_disks.clear()
        self.answering = None
        if self.boot_no is not None:
            self.reading, self.mounted, self.observed, self.basis_held = None, None, None, False
        self.boot_no = boot_no

    def powered(self) -> None:
        """Forget what a change of power ends."""
        self.mounted, self.reading = None, None


@dataclass(slots=True)
class Memory:
    """What this process remembers of hosts between the steps of one run."""

    by_run: dict[tuple[str, str], Kept] = field(default_factory=dict)

    def of(self, claim: Claim) -> Kept:
        """What is remembered for a claim; another run's memory of the host is forgotten."""
        key = (claim.host, claim.run_id)
        if key not in self.by_run:
            self.by_run = {k: v for k, v in self.by_run.items() if k[0] != claim.host}
            self.by_run[key] = Kept()
        return self.by_run[key]

    def forget(self, host: str) -> None:
        """Drop what is remembered of a host."""
        self.by_run = {k: v for k, v in self.by_run.items() if k[0] != host}


MEMORY: Final = Memory()
"""The process's own, as the open connections are (see `connect.SESSIONS`)."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Clock, connections and memory of a run; tests give their own."""

    sessions: Sessions = SESSIONS
    memory: Memory = field(default_factory=lambda: MEMORY)
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], datetime] = utc_now
    """The time of day, where the edge's is not known."""


REAL: Final = Surroundings()
