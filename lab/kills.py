"""Kill scenarios: from a snapshot, something dies in a chosen stage, and the machine must end in sync.

What happened is judged by witnesses that rackflow does not write: the serial console (`lab.witness`) and the
write counters of the virtual disks.
"""

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from lab import demo as lab_demo
from lab import parts, witness
from lab.demo import CLONE, MACHINES, Demo
from lab.site import Failed, Site, eventually
from metal.errors import RackflowError
from specs.phases import Phase
from specs.records import HostRecord

Stage = Literal["BMC initialisation", "partitioning", "image write", "first boot"]
Kind = Literal["worker", "worker and run", "edge", "Prefect server", "machine"]

SNAPSHOT: Final[dict[Stage, str]] = {
    "BMC initialisation": "reported",
    "partitioning": "ready",
    "image write": "ready",
    "first boot": "ready",
}
"""`reported`: the boot OS has reported in and no run has begun; `ready`: BMC and hardware known, no spec."""
MARK: Final[dict[Stage, str]] = {
    "BMC initialisation": r"step=\d+-bmc-2-\S+ start",
    "partitioning": r"step=\d+-partition-\S+ start sgdisk",
    "image write": r"step=\d+-write-image-\S+ start",
    "first boot": r"(?s)step=\d+-power-leave-\S+ exit=0.*Linux version",
}
"""What the serial console says when a stage has begun."""
WRITTEN_BYTES: Final = 96 << 20
"""How much of the image is on the disk when the image write is hit."""
KILLED: Final[dict[Kind, tuple[str, ...]]] = {
    "worker": ("worker",),
    "worker and run": ("worker", "run"),
    "edge": ("edge",),
    "Prefect server": ("prefect",),
}
NOTICED: Final = re.compile(r"\S+ run .* is lost|step (enter-boot-os|power-again)$")
"""Lines of timeline and journal by which a death was first seen; a first boot is waited for in any case."""
TOLD: Final = ("sgdisk", "rf-write")
"""What the console must have told of each installation: a witness that slept has seen nothing wrong."""
MARK_S: Final = 240.0
CONVERGE_S: Final = 900.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one scenario showed; seconds count from the kill."""

    noticed_s: float | None
    converged_s: float
    written_bytes: int
    violations: tuple[str, ...]


@dataclass
class Bench:
    """The rack and its snapshots."""

    demo: Demo
    host: str = "db-01"

    @property
    def machine(self) -> str:
        """The machine that the host is."""
        return MACHINES[self.host]

    @property
    def serial_log(self) -> Path:
        """The machine's serial console, from its first power-on."""
        return self.demo.data / "lab" / "machines" / self.machine / "serial.log"

    def lab(self, *argv: str) -> str:
        """A command of the rack."""
        return self.demo.python("-m", "lab", *argv)

    def snapshot(self, name: str) -> None:
        """Keep machines, disks, BMCs and the data folder; the site must be down."""
        self.lab("snapshot", name, "--data", str(self.demo.data))

    def restore(self, name: str) -> None:
        """Take all of it back."""
        self.lab("restore", name, "--data", str(self.demo.data))

    def written(self) -> int:
        """Bytes written to the machine's disks in its life, as QEMU counts them."""
        told = json.loads(self.lab("counters", self.machine, "--json"))
        return sum(int(disk["bytes_written"]) for disk in told["machines"][self.machine].values())

    @contextmanager
    def site(self, *, paused_worker: bool = False) -> Iterator[Site]:
        """The running site; `paused_worker` lets it take no run."""
        with lab_demo.running_site(self.demo) as process:
            try:
                if paused_worker:
                    for pid in parts.pids(self.demo.data, "worker"):
                        os.kill(pid, signal.SIGSTOP)
                yield Site(self.demo, self.demo.data / "no-key")
            finally:
                if paused_worker:  # it would not hear that it shall end
                    parts.kill(self.demo.data, "worker")
                end(process)

    def record(self) -> HostRecord | None:
        """The only machine that is on, as the edge has it."""
        with self.demo.edge() as edge:
            return next(iter(edge.hosts()), None)

    def make_snapshots(self, image: Path) -> None:
        """From blank machines to both snapshots, with a Site and an image, and no host spec."""
        with self.site(paused_worker=True) as site:
            self.demo.rackflow("secret", "set", "ops-password", stdin=lab_demo.OPS_PASSWORD)
            self.demo.rackflow("image", "add", "debian-12", "--file", str(image))
            publish_without_hosts(site)
            self.lab("button", self.machine, "on")
            eventually("report-in", lambda: (found := self.record()) and found.boot, 240)
        self.snapshot("reported")
        with self.site():
            eventually("ready", lambda: (found := self.record()) and found.phase is Phase.READY, 300)
        self.snapshot("ready")

    def run(self, kind: Kind | None, stage: Stage) -> Outcome:
        """One scenario; without a kind nothing is killed, which gives what the counters show undisturbed."""
        self.restore(SNAPSHOT[stage])
        before, offset = self.written(), self.serial_log.stat().st_size
        with self.site() as site:
            site.publish({})
            self._await(stage, offset)
            killed_at = datetime.now(UTC)
            if kind is not None:
                self._kill(kind, stage)
            eventually("in sync", self._in_sync, CONVERGE_S)
            ended_at = datetime.now(UTC)
            noticed = self._noticed(killed_at)
            row = site.apply(self.host)
            if (row["result"], row["writes"]) != ("in-sync", 0):
                raise Failed(f"not in sync: {row}")
            seen = witness.commands(self.serial_log.read_text(errors="replace"))
            written = self.written() - before
        seconds = (ended_at - killed_at).total_seconds()
        broken = (*witness.violations(seen), *witness.untold(seen, TOLD))
        return Outcome(noticed, seconds, written, broken)

    def _await(self, stage: Stage, offset: int) -> None:
        mark = re.compile(MARK[stage])

        def begun() -> bool:
            with self.serial_log.open("rb") as log:
                log.seek(offset)
                return mark.search(log.read().decode(errors="replace")) is not None

        eventually(f"{stage} begins", begun, MARK_S, every_s=0.05)
        if stage == "image write":
            base = self.written()
            eventually("some of the image", lambda: self.written() - base > WRITTEN_BYTES, 60)

    def _kill(self, kind: Kind, stage: Stage) -> None:
        if kind != "machine":
            strike(self.demo.data, kind, stage)
            return
        # Before its BMC is known nobody could switch it on again: there the power comes back by itself.
        back = ("--back-after", "3") if stage == "BMC initialisation" else ()
        self.lab("fault", self.machine, "power-cut", *back)

    def _in_sync(self) -> bool:
        try:
            with self.demo.edge() as edge:
                found = next((host for host in edge.hosts() if host.name == self.host), None)
                if found is None or found.last_job is None:
                    return False
                job = edge.job(self.host, found.last_job)
        except RackflowError:
            return False  # the edge may be what was killed
        if job.state in ("failed", "cancelled"):
            raise Broken(f"job {job.no} is {job.state}: {job.message}")
        synced = any(one.type == "InSync" and one.status == "True" for one in found.conditions)
        return found.phase is Phase.ACTIVE and synced and job.state == "done"

    def _noticed(self, killed_at: datetime) -> float | None:
        """Seconds until the timeline or the journal first said that something was lost or waited for."""
        with self.demo.edge() as edge:
            told = [(e.at, f"{e.kind} {e.text}") for e in edge.timeline(self.host)]
            told += [(row.at, f"step {row.step}") for row in edge.journal_rows(self.host)]
        after = [at for at, said in told if at > killed_at and NOTICED.match(said)]
        return (min(after) - killed_at).total_seconds() if after else None


class Broken(RuntimeError):
    """The job has ended otherwise than in sync: waiting longer is of no use."""


def strike(data: Path, kind: Kind, stage: Stage) -> None:
    """Kill -9 what the scenario names. Raises Failed where it is not there: nothing would be shown.

    In its first boot a machine may be waited for without a flow run.
    """
    missing = [part for part in KILLED[kind] if not parts.pids(data, part)]
    if missing and (missing != ["run"] or stage != "first boot"):
        raise Failed(f"there is no {' and no '.join(missing)} to kill")
    parts.kill(data, *KILLED[kind])


def publish_without_hosts(site: Site) -> None:
    """The committed Site and image, and no host: what is found is registered and nothing more."""
    tree = site.demo.data / "specs"
    shutil.rmtree(tree, ignore_errors=True)
    ignore = shutil.ignore_patterns("*.py", "__pycache__", "schema", "hosts")
    shutil.copytree(CLONE / "specs", tree, ignore=ignore)
    site.rackflow("spec", "publish", str(tree), "--dirty", "--force")


def end(process: subprocess.Popen[bytes]) -> None:
    """End `rackflow up` and all that it started."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
