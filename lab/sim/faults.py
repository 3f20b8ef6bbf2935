"""Faults of a soak: which process or machine dies, at random but from a seed.

A fault strikes while something is under way; what was under way is noted, so that the table says what the
kills met. Processes are killed with -9 and started again by `rackflow up`, as by any supervisor.
"""

import contextlib
import os
import random
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lab import parts
from lab.sim.machine import Machine

WEIGHTS: Final[dict[str, int]] = {
    "worker": 4,
    "worker+runs": 4,
    "edge": 4,
    "prefect": 3,
    "machine": 4,
    "bmc": 2,
    "frozen runs": 3,
}
"""Kind -> how often, among all."""
OF_RUNS: Final = frozenset({"worker", "worker+runs", "frozen runs"})
"""Kinds that wait until a flow run is there: a worker that is killed before it took one meets nothing."""
BMC_SILENT_S: Final = (3.0, 15.0)
FROZEN_S: Final = (18.0, 40.0)
"""Longer than a lease lives: who wakes up then is an older writer beside a newer one."""
POWER_BACK_S: Final = (0.5, 4.0)
STAGES: Final = ("BMC set-up", "partitioning", "image write", "first boot", "other")


@dataclass(frozen=True)
class Wish:
    """The next fault: what dies, from when on, and while which stage if it comes in time."""

    kind: str
    stage: str
    from_s: float
    until_s: float
    """When it strikes whatever is under way."""


@dataclass(frozen=True)
class Fault:
    """One fault that struck."""

    at_s: float
    kind: str
    victim: str
    stages: tuple[str, ...]
    """What the machines were doing: that of the victim, or of all."""


class Faults:
    """Strikes. `busy` names the machines with a job under way, and says whether the site knows their BMC."""

    def __init__(
        self,
        data: Path,
        machines: Sequence[Machine],
        seed: int,
        call_later: Callable[[float, Callable[[], None]], None],
    ) -> None:
        self._data = data
        self._machines = {machine.name: machine for machine in machines}
        self._random = random.Random(seed)
        self._call_later = call_later

    def wish(self, now_s: float, pace_s: float, patience_s: float) -> Wish:
        """The next one: kind, stage and time come from the seed, what it meets from what happens."""
        kind = self._random.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        stage = self._random.choice(STAGES)
        from_s = now_s + self._random.uniform(0.3, 1.7) * pace_s
        return Wish(kind, stage, from_s, from_s + patience_s)

    def is_due(self, wish: Wish, busy: Mapping[str, bool], now_s: float, *, progressed: bool) -> bool:
        """Whether its time has come, and a machine is at the wished stage or the patience is over.

        Then it waits once more as long for any change since the last fault, so that a slow computer is not
        kept from ever getting anywhere.
        """
        if not busy or now_s < wish.from_s:
            return False
        patience_s = (wish.until_s - wish.from_s) * (1 if progressed else 2)
        met = any(stage_of(self._machines[name]) == wish.stage for name in busy)
        return met or now_s > wish.from_s + patience_s

    def strike(self, wish: Wish, busy: Mapping[str, bool], now_s: float) -> Fault | None:
        """One fault; None when what should die is not there just now."""
        at_s = round(now_s, 1)
        if wish.kind not in ("machine", "bmc"):
            if wish.kind in OF_RUNS and not parts.pids(self._data, "run"):
                return None
            stages = tuple(sorted({stage_of(self._machines[name]) for name in busy}))
            struck = self._freeze() if wish.kind == "frozen runs" else self._kill(wish.kind)
            return Fault(at_s, wish.kind, f"{struck} processes", stages) if struck else None
        running = [self._machines[name] for name in sorted(busy) if self._machines[name].is_on]
        if not running:
            return None
        fitting = [machine for machine in running if stage_of(machine) == wish.stage]
        machine = self._random.choice(fitting or running)
        stage = (stage_of(machine),)
        if wish.kind == "machine":
            self._cut(machine, comes_back=not busy[machine.name])
        else:
            machine.go_deaf(self._random.uniform(*BMC_SILENT_S))
        return Fault(at_s, wish.kind, machine.name, stage)

    def _kill(self, kind: str) -> int:
        return len(parts.kill(self._data, *{"worker+runs": ("worker", "run")}.get(kind, (kind,))))

    def _freeze(self) -> int:
        """Stop all flow runs where they are, as a paused virtual machine would, and let them go on later."""
        frozen = parts.pids(self._data, "run")
        _signal(frozen, signal.SIGSTOP)
        self._call_later(self._random.uniform(*FROZEN_S), lambda: _signal(frozen, signal.SIGCONT))
        return len(frozen)

    def _cut(self, machine: Machine, *, comes_back: bool) -> None:
        """Pull the plug; power comes back by itself every other time, else somebody has to switch it on.

        Without a known BMC nobody could: then it always comes back.
        """
        machine.turn_off()
        if self._random.random() < 0.5 or comes_back:
            self._call_later(self._random.uniform(*POWER_BACK_S), machine.turn_on)

    def end(self) -> None:
        """All faults stop: every BMC hears again, every process goes on."""
        for machine in self._machines.values():
            machine.hear_again()
        _signal(parts.pids(self._data, "run"), signal.SIGCONT)


def _signal(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def stage_of(machine: Machine) -> str:
    """What a machine is at, in the words of the plan's four stages."""
    command = machine.running or ""
    if command.startswith("ipmitool"):
        return "BMC set-up"
    if command.startswith("rf-write"):
        return "image write"
    if command.startswith(("sgdisk", "mkfs", "rf-wipe", "mdadm", "blkdiscard", "e2fsck", "resize2fs")):
        return "partitioning"
    return "first boot" if machine.starts_system else "other"
