"""A rack in a directory: bring it up, look at it, work in it, take it down.

`up` is idempotent and mends: what runs stays, what died is started again, and a half-built rack is built
anew. `down` needs nothing but the id of the namespace's init.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab import control
from lab.accel import accelerator
from lab.bmc.counters import Counters, Counts
from lab.definition import DEFAULT_RACK, RackDefinition, load
from lab.errors import LabError
from lab.faults import Fault
from lab.machine import Machine, require
from lab.namespace import Namespace
from lab.network import bmc_netns, relay_command
from lab.processes import ProcessRecord, spawn, write_atomically

REPOSITORY = Path(__file__).resolve().parent.parent
BMC_START_TIMEOUT_S = 60.0
"""A BMC is ready when its machine has the memory of a snapshot."""
NETWORK_TIMEOUT_S = 60.0
RELAY = "relay"
BUTTONS = ("on", "off", "reset")


@dataclass(frozen=True)
class MachineStatus:
    """What `status` knows of one machine; power None: its BMC does not run."""

    name: str
    power: str | None
    firmware: str
    bmc_address: str | None
    serial_log: str
    faults: tuple[str, ...] = ()
    accounts: dict[str, dict[str, float]] = field(default_factory=dict)
    """Wrong passwords and lockouts per BMC user slot, since the BMC process began."""


@dataclass(frozen=True)
class RackStatus:
    """The whole rack; no machines when it has never been up."""

    up: bool
    directory: str
    machines: tuple[MachineStatus, ...]


class Rack:
    """The rack that lives in `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = Path(os.path.abspath(directory))  # noqa: PTH100 -- resolve() would follow links
        self.namespace = Namespace(self.directory)

    @property
    def definition_path(self) -> Path:
        """The definition the rack was brought up with."""
        return self.directory / "rack.yaml"

    @property
    def _built_path(self) -> Path:
        """Names the namespace whose network is complete."""
        return self.directory / "built.json"

    def up(self, definition: Path = DEFAULT_RACK, *, fresh: bool = False) -> bool:
        """Bring the rack up; False when it was up already and nothing had to be done."""
        rack = load(definition)
        require(rack.machines)
        self.directory.mkdir(parents=True, exist_ok=True)
        with self.locked():
            if fresh or not self._complete():
                self._down()
            elif load(self.definition_path) != rack:
                raise LabError(
                    f"the rack in {self.directory} is up with another definition", "python -m lab down"
                )
            built = self._complete()
            if not built:
                if fresh:
                    self._forget()
                self._build(rack, definition.read_text())
            started = [self._ensure_relay()] + [self._ensure_bmc(machine.name) for machine in rack.machines]
            self._wait_for_bmcs(rack)
            return not built or any(started)

    def down(self) -> bool:
        """End everything; whether there was anything. The disks and what the BMCs remember stay."""
        if not self.directory.exists():
            return False
        with self.locked():
            return self._down()

    def status(self) -> RackStatus:
        """What runs."""
        up = self._complete()
        if not self.definition_path.exists():
            return RackStatus(up, str(self.directory), ())
        machines = tuple(
            self._machine_status(machine.name) for machine in load(self.definition_path).machines
        )
        return RackStatus(up, str(self.directory), machines)

    def command(self, argv: list[str], *, ns: str = "edge") -> list[str]:
        """The argv that runs `argv` inside, in the network namespace `ns`; signals and exit code pass."""
        return self.namespace.command(argv, netns=ns)

    def machine(self, name: str) -> Machine:
        """A machine's files and sockets."""
        if not self.definition_path.exists():
            raise LabError(f"the rack in {self.directory} has never been up", "python -m lab up")
        return Machine(load(self.definition_path).machine(name), self.directory / "machines" / name)

    def button(self, name: str, what: str) -> None:
        """Press a button of the front panel: on, off (hold: power cut), reset; returns when it is done."""
        if what not in BUTTONS:
            raise LabError(f"no button {what!r}", f"one of: {', '.join(BUTTONS)}")
        self.ask(name, what)

    def fresh(self, name: str) -> None:
        """Make a machine as delivered: blank disks and NVRAM, factory BMC."""
        if self.namespace.record():
            self.ask(name, "fresh")
        else:
            machine = self.machine(name)
            machine.bmc_state.unlink(missing_ok=True)
            machine.blank()

    def fault(self, name: str, fault: Fault) -> None:
        """Break something of a machine; returns when it is broken."""
        self.ask(name, "fault", kind=fault.kind, options=dict(fault.options))

    def mend(self, name: str, kind: str | None = None) -> None:
        """Clear a machine's faults of a kind, or all."""
        self.ask(name, "mend", kind=kind)

    def counters(self, name: str) -> dict[str, Counts]:
        """What a machine has written to each disk in its life, now."""
        machine = self.machine(name)
        if not self.namespace.record():
            return Counters.load(machine.counters, len(machine.definition.disks)).totals()
        return {disk: Counts(**row) for disk, row in self.ask(name, "counters")["disks"].items()}

    def ask(self, name: str, what: str, **more: object) -> dict[str, Any]:
        """Ask a machine's BMC process over its control socket; what it answers."""
        machine = self.machine(name)
        try:
            return control.ask(machine.control, what, more)
        except OSError as error:
            raise LabError(f"the BMC of {name} does not answer: {error}", "python -m lab up") from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One `up` or `down` at a time."""
        with (self.directory / "lock").open("w") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(f"waiting for another command on {self.directory}", file=sys.stderr)
                fcntl.flock(stream, fcntl.LOCK_EX)
            yield

    def _complete(self) -> bool:
        """Whether the namespace runs and its network was built to the end."""
        record = self.namespace.record()
        return record is not None and ProcessRecord.load(self._built_path) == record

    def _down(self) -> bool:
        was_up = self.namespace.stop()
        self._built_path.unlink(missing_ok=True)
        shutil.rmtree(self.directory / "run", ignore_errors=True)
        return was_up

    def _forget(self) -> None:
        """Remove disks, NVRAM, logs and what the BMCs remember."""
        shutil.rmtree(self.directory / "machines", ignore_errors=True)

    def _build(self, rack: RackDefinition, text: str) -> None:
        for name in ("run", "logs", "machines"):
            (self.directory / name).mkdir(exist_ok=True)
        write_atomically(self.definition_path, text)
        self._accelerator()
        record = self.namespace.start()
        try:
            self._cable()
        except BaseException:
            self.namespace.stop()
            raise
        for machine in rack.machines:
            (self.directory / "machines" / machine.name / "control.sock").unlink(missing_ok=True)
        record.save(self._built_path)

    def _cable(self) -> None:
        argv = self.command([sys.executable, "-m", "lab.network", str(self.definition_path)], ns="-")
        done = subprocess.run(
            argv, cwd=REPOSITORY, capture_output=True, text=True, timeout=NETWORK_TIMEOUT_S, check=False
        )
        if done.returncode:
            raise LabError(done.stderr.strip() or "the rack's network could not be built")

    def _accelerator(self) -> str:
        return accelerator(self.directory / "accelerator.json")

    def _ensure_relay(self) -> bool:
        return self._ensure(RELAY, relay_command(Path("/run/dnsmasq.pid")), "rtr")

    def _ensure_bmc(self, name: str) -> bool:
        directory = self.directory / "machines" / name
        arguments = [str(self.definition_path), name, str(directory), self._accelerator()]
        return self._ensure(bmc_netns(name), [sys.executable, "-m", "lab.bmc", *arguments], bmc_netns(name))

    def _ensure(self, name: str, argv: list[str], netns: str) -> bool:
        """Start a part of the rack unless it runs; whether it was started."""
        path = self._part_record(name)
        record = ProcessRecord.load(path)
        if record and record.alive():
            return False
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        argv = self.command(argv, ns=netns)
        started = ProcessRecord.of(spawn(argv, log=self._part_log(name), env=environment))
        if started:
            started.save(path)
        return True

    def _wait_for_bmcs(self, rack: RackDefinition) -> None:
        deadline = time.monotonic() + BMC_START_TIMEOUT_S
        for machine in rack.machines:
            while not self._answers(machine.name):
                record = ProcessRecord.load(self._part_record(bmc_netns(machine.name)))
                if not record or not record.alive() or time.monotonic() > deadline:
                    log = self._part_log(bmc_netns(machine.name))
                    raise LabError(f"the BMC of {machine.name} did not start", f"see {log}")
                time.sleep(0.05)

    def _answers(self, name: str) -> bool:
        try:
            control.ask(self.machine(name).control, "status")
        except OSError:
            return False
        return True

    def _part_record(self, name: str) -> Path:
        return self.directory / "run" / f"{name}.json"

    def _part_log(self, name: str) -> Path:
        return self.directory / "logs" / f"{name}.log"

    def _machine_status(self, name: str) -> MachineStatus:
        machine = self.machine(name)
        answer: dict[str, Any] = {}
        if self.namespace.record():
            with suppress(OSError):
                answer = control.ask(machine.control, "status", timeout_s=5)
        return MachineStatus(
            name,
            answer.get("power"),
            machine.definition.firmware,
            answer.get("bmc_address"),
            str(machine.serial_log),
            tuple(answer.get("faults", ())),
            answer.get("accounts", {}),
        )
