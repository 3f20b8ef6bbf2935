"""A mirror is installed and then wiped, while first worker and run and then the edge die in an erasing.

Inside the namespace. The drives hang at a piece until what has to die is dead, so that each death meets the
middle of an erasing, on a computer of any speed. A person consents whenever the job asks, and only then.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from lab import parts
from lab.errors import LabError
from lab.sim import fleet
from lab.sim.disks import Disk
from lab.sim.site import KNOBS, SimSite, make_network
from lab.sim.soak import in_sync
from lab.sim.witness import Row, Witness, violations
from metal.edge_client import EdgeClient
from metal.errors import RackflowError
from specs.phases import Phase
from specs.records import JobRecord

NUMBER: Final = 2
"""The machine with two disks, which become a mirror."""
HANGS_AT: Final = (3, 5)
HOLD_S: Final = "20"
"""Longer than a simulated boot: each run of a flow that is saved is three seconds of CPU."""
POLL_S: Final = 0.2
ASKED_BY: Final = "ann"
FINAL: Final = frozenset({"done", "failed", "cancelled"})

T = TypeVar("T")


@dataclass(frozen=True)
class WipeOptions:
    """What is asked for."""

    data: Path
    longest_s: float = 300.0
    """From the site being up to the host being wiped."""


@dataclass
class Wiping:
    """One machine's way, from its installation to its reports."""

    options: WipeOptions
    say: Callable[[str], None]
    began: float = field(default_factory=time.monotonic)
    report: dict[str, Any] = field(default_factory=dict)
    edge: EdgeClient = field(init=False)
    consents: int = 0
    ends_at: float = 0.0

    def __post_init__(self) -> None:
        self.site = SimSite(self.options.data, {**KNOBS, "RACKFLOW_HOLD_S": HOLD_S})
        (self.options.data / "witness.jsonl").unlink(missing_ok=True)
        self.witness = Witness(self.options.data / "witness.jsonl")
        self.machine = fleet.machines(NUMBER, self.witness)[-1]

    @property
    def host(self) -> str:
        """The host's name."""
        return self.machine.name

    def run(self) -> dict[str, Any]:
        """All of it; the report."""
        make_network()
        self.site.lay_out(fleet.specs(NUMBER, destroy="ask"))
        try:
            self.site.start()
            self.ends_at = time.monotonic() + self.options.longest_s
            self._stage("site up")
            with self.site.edge() as self.edge:
                self._install()
                self._ask_for_wipe()
                self._kill_the_worker()
                self._kill_the_edge()
                self._see_the_end()
            return self.report
        finally:
            self.site.stop()
            self.machine.turn_off()

    # --- the way -------------------------------------------------------------------------------------------

    def _install(self) -> None:
        self.machine.turn_on()
        self._until("the inspection", lambda: self._phase() is Phase.READY and self._ended())
        self._stage("ready")
        self.edge.post_job(self.host, "apply", by=ASKED_BY)
        self._until("the installation to ask", self._asks)
        self._consent()
        self._until("the system", lambda: self.machine.serves and self._in_sync())
        self._stage("installed")

    def _ask_for_wipe(self) -> None:
        """The command must end with what the job asks, and nothing may be erased by then."""
        for disk, piece in zip(self.machine.disks, HANGS_AT, strict=True):
            disk.hangs_at = piece
        told = self.site.rackflow("wipe", self.host, "--method", "overwrite", "--yes", ends_with=4)
        self.report["unasked"] = len(self._erasings("start"))
        self.report["held"] = [not disk.content.blank for disk in self.machine.disks]
        self.report["shown"] = told
        self._stage("asked")

    def _kill_the_worker(self) -> None:
        """Worker and run die with the first disk half erased; what erases it lives on and is fenced later."""
        self._consent()
        disk = self.machine.disks[0]
        self._until("the first disk to hang", lambda: self._hangs(disk))
        self.report["killed"] = {"worker+run": len(parts.kill(self.options.data, "worker", "run"))}
        self._stage("worker killed")
        self.report["asked again"] = self._until("the job to ask again", self._asks)
        self.report["unasked again"] = len(self._erasings("start")) - 1
        self._consent()
        self._until("the old erasing to be fenced", lambda: self._erasings("end"))
        disk.hangs_at = None

    def _kill_the_edge(self) -> None:
        disk = self.machine.disks[1]
        self._until("the second disk to hang", lambda: self._hangs(disk) or (self._ended() and None))
        self.report["killed"]["edge"] = len(parts.kill(self.options.data, "edge"))
        self._until("the edge to be back", self._job)
        disk.hangs_at = None
        self._stage("edge killed")

    def _see_the_end(self) -> None:
        job = self._until("the job to end", self._ended)
        self._stage("ended")
        self.report["shown"] += "\n" + self.site.rackflow("host", self.host)
        self.report |= {
            "job": {"state": job.state, "result": job.result, "message": job.message, "runs": job.run_no},
            "consents": self.consents,
            "phase": self._phase().value,
            "wipes": [one.model_dump(mode="json") for one in self.edge.wipes(self.host, job=job.no)],
            "blank": [disk.content.blank and disk.array is None for disk in self.machine.disks],
            "erasings": [(list(row.disks), row.how, row.wrote) for row in self._erasings("end")],
            "violations": violations(self.witness.rows),
            "not_simulated": sorted(set(self.machine.unknown)),
        }
        self.report["passed"] = not self.report["violations"] and not self.report["not_simulated"]

    # --- looks ---------------------------------------------------------------------------------------------

    def _until(self, what: str, look: Callable[[], T | None]) -> T:
        """Look until something is true; an edge that is being started again is waited for."""
        while time.monotonic() < self.ends_at:
            try:
                if found := look():
                    return found
            except (RackflowError, OSError):
                pass
            time.sleep(POLL_S)
        raise LabError(f"waited for {what} in vain; {self._where()}")

    def _where(self) -> str:
        try:
            job = self._job()
        except (RackflowError, OSError) as error:
            return f"the edge: {error}"
        return f"machine {self.machine.state}, {job.verb} #{job.no} {job.state}: {job.message}" if job else ""

    def _job(self) -> JobRecord | None:
        return max(self.edge.jobs(self.host), key=lambda job: job.no, default=None)

    def _asks(self) -> str | None:
        job = self._job()
        return job.message if job is not None and job.state == "waiting-consent" else None

    def _ended(self) -> JobRecord | None:
        """The newest job once it has ended; what it asks meanwhile is answered."""
        job = self._job()
        if job is not None and job.state == "waiting-consent":
            self._consent()
        return job if job is not None and job.state in FINAL else None

    def _consent(self) -> None:
        self.edge.consent(self.host, plan=None, by=ASKED_BY)
        self.consents += 1

    def _phase(self) -> Phase:
        return self.edge.host(self.host).phase

    def _in_sync(self) -> bool:
        job = self._job()
        return job is not None and job.state == "done" and in_sync(self.edge.host(self.host))

    def _hangs(self, disk: Disk) -> bool:
        return disk.note is not None and disk.note[1] == disk.hangs_at

    def _erasings(self, event: str) -> list[Row]:
        wiping = "rf-wipe --method overwrite"
        return [row for row in self.witness.rows if row.event == event and row.command.startswith(wiping)]

    def _stage(self, name: str) -> None:
        seconds = round(time.monotonic() - self.began, 1)
        self.report.setdefault("seconds", {})[name] = seconds
        self.say(f"{seconds:6.1f} s  {name}")
