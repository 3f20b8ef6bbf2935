"""Faults of a soak: which process or machine dies, at random but from a seed.

A fault strikes while something is under way; what was under way is noted, so that the table says what the
kills met. Processes are killed with -9 and started again by `rackflow up`, as by any supervisor.
"""

import random
from collections.abc import Callable, Sequence
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
}
"""Kind -> how often, among all."""
BMC_SILENT_S: Final = (3.0, 15.0)
POWER_BACK_S: Final = (0.5, 4.0)
STAGES: Final = ("BMC set-up", "partitioning", "image write", "first boot", "other")


@dataclass(frozen=True)
class Fault:
    """One fault that struck."""

    at_s: float
    kind: str
    victim: str
    stages: tuple[str, ...]
    """What the machines were doing: that of the victim, or of all."""


class Faults:
    """Strikes. `busy` names the machines with a job under way."""

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

    def wait_s(self, pace_s: float) -> float:
        """How long until the next one."""
        return self._random.uniform(0.3, 1.7) * pace_s

    def strike(self, busy: Sequence[str], at_s: float) -> Fault | None:
        """One fault; None when what should die is not there just now."""
        kind = self._random.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        if kind in ("machine", "bmc"):
            running = [name for name in sorted(busy) if self._machines[name].is_on]
            if not running:
                return None
            machine = self._machines[self._random.choice(running)]
            stage = (stage_of(machine),)
            if kind == "machine":
                self._cut(machine)
            else:
                machine.go_deaf(self._random.uniform(*BMC_SILENT_S))
            return Fault(at_s, kind, machine.name, stage)
        stages = tuple(sorted({stage_of(self._machines[name]) for name in busy}))
        killed = parts.kill(self._data, *{"worker+runs": ("worker", "run")}.get(kind, (kind,)))
        return Fault(at_s, kind, f"{len(killed)} processes", stages) if killed else None

    def _cut(self, machine: Machine) -> None:
        """Pull the plug; every other time power comes back by itself, else somebody has to switch it on."""
        machine.turn_off()
        if self._random.random() < 0.5:
            self._call_later(self._random.uniform(*POWER_BACK_S), machine.turn_on)

    def end(self) -> None:
        """All faults stop: every BMC hears again."""
        for machine in self._machines.values():
            machine.hear_again()


def stage_of(machine: Machine) -> str:
    """What a machine is at, in the words of the plan's four stages."""
    command = machine.running or ""
    if command.startswith("ipmitool"):
        return "BMC set-up"
    if command.startswith("rf-write"):
        return "image write"
    if command.startswith(("sgdisk", "mkfs", "wipefs", "mdadm", "blkdiscard", "e2fsck", "resize2fs")):
        return "partitioning"
    return "first boot" if machine.state in ("post", "pxe") and machine.installed else "other"
