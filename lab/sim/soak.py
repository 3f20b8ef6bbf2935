"""The soak: machines live, jobs run, and at random something dies; in the end everything must be in sync.

Runs inside the namespace. Lives are driven as an operator would: power on, wait until the machine is active,
reinstall it. What failed is applied again and counted. After the last fault nothing dies any more, and a
deadline runs.
"""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from lab.errors import LabError
from lab.sim import fleet
from lab.sim.faults import STAGES, WEIGHTS, Fault, Faults, Wish
from lab.sim.site import SimSite, make_network
from lab.sim.witness import Witness, violations
from metal.errors import RackflowError
from specs.phases import Phase
from specs.records import HostRecord, JobRecord, Verb

LOOK_EVERY_S: Final = 1.5
TICK_S: Final = 0.05
POWER_STAGGER_S: Final = 1.0
OPEN: Final = frozenset({"wanted", "delivered", "claimed", "cancelling", "waiting"})
ASKED_BY: Final = "soak"


@dataclass(frozen=True)
class Options:
    """What is asked for."""

    data: Path
    kills: int = 200
    machines: int = 5
    seed: int = 1
    pace_s: float = 3.0
    patience_s: float = 12.0
    """How long a fault waits for the stage that it wishes to meet."""
    settle_s: float = 900.0
    longest_s: float = 7200.0


@dataclass
class Life:
    """One way of one machine to being in sync."""

    host: str
    began_s: float
    seconds: float | None = None


@dataclass
class Tally:
    """What happened."""

    faults: list[Fault] = field(default_factory=list)
    lives: list[Life] = field(default_factory=list)
    failed_jobs: list[dict[str, Any]] = field(default_factory=list)
    settled_s: float | None = None
    up_s: float = 0.0

    def open_life(self, host: str) -> Life | None:
        """The life of a host that has not come to its end."""
        return next((life for life in self.lives if life.host == host and life.seconds is None), None)


class Soak:
    """One soak."""

    def __init__(self, options: Options, say: Callable[[str], None]) -> None:
        self.options, self.say = options, say
        self.site = SimSite(options.data)
        self.witness = Witness(options.data / "witness.jsonl")
        self.machines = fleet.machines(options.machines, self.witness)
        self.tally = Tally()
        self._by_name = {machine.name: machine for machine in self.machines}
        self._known_failures: set[tuple[str, int]] = set()
        self._began = time.monotonic()

    @property
    def now_s(self) -> float:
        """Seconds since the site was up."""
        return time.monotonic() - self._began

    def run(self) -> dict[str, Any]:
        """All of it; the report."""
        make_network()
        started = time.monotonic()
        self.site.lay_out(fleet.specs(self.options.machines))
        try:
            self.site.start()
            self.tally.up_s = round(time.monotonic() - started, 1)
            self._began = time.monotonic()
            self.say(f"site up after {self.tally.up_s} s, {self.options.machines} machines")
            self._live()
            return self._report()
        finally:
            self.site.stop()
            for machine in self.machines:
                machine.turn_off()

    def _live(self) -> None:
        """Lives with faults, then lives to their end without."""
        faults = Faults(self.options.data, self.machines, self.options.seed, later)
        for machine in self.machines:
            self._begin(machine.name)
            machine.turn_on()
            time.sleep(POWER_STAGGER_S)
        wish, looked_s, busy, rows = self._wish(faults), 0.0, {}, 0
        while len(self.tally.faults) < self.options.kills and self.now_s < self.options.longest_s:
            if self.now_s - looked_s > LOOK_EVERY_S:
                busy, looked_s = self._turn(more=True), self.now_s
            progressed = len(self.witness.rows) > rows
            if faults.is_due(wish, busy, self.now_s, progressed=progressed):
                if struck := faults.strike(wish, busy, self.now_s):
                    self.tally.faults.append(struck)
                    met = ", ".join(struck.stages)
                    self.say(f"{len(self.tally.faults):4d} {struck.kind}: {struck.victim}; {met}")
                wish, rows = self._wish(faults), len(self.witness.rows)
            time.sleep(TICK_S)
        faults.end()
        self._settle()

    def _wish(self, faults: Faults) -> Wish:
        return faults.wish(self.now_s, self.options.pace_s, self.options.patience_s)

    def _settle(self) -> None:
        ended = self.now_s
        self.say(f"no more faults after {ended:.0f} s")
        while self.now_s - ended < self.options.settle_s:
            lived = not self._turn(more=False) and all(one.seconds is not None for one in self.tally.lives)
            if lived and self._all_in_sync():
                self.tally.settled_s = round(self.now_s - ended, 1)
                return
            time.sleep(LOOK_EVERY_S)

    def _begin(self, host: str) -> None:
        self.tally.lives.append(Life(host, self.now_s))

    def _turn(self, *, more: bool) -> dict[str, bool]:
        """Look at all hosts, end and begin lives; who has a job under way, and whether its BMC is known."""
        try:
            with self.site.edge() as edge:
                hosts = edge.hosts()
                jobs = {host.name: edge.jobs(host.name) for host in hosts}
                busy = {
                    host.name: host.bmc_address is not None
                    for host in hosts
                    if host.name in self._by_name and any(job.state in OPEN for job in jobs[host.name])
                }
                for host in hosts:
                    if host.name in self._by_name and host.name not in busy:
                        self._next(edge, host, jobs[host.name], more=more)
        except (RackflowError, OSError):
            return {}  # the edge is being started again
        return busy

    def _next(self, edge: Any, host: HostRecord, jobs: Sequence[JobRecord], *, more: bool) -> None:
        """A host without a job: its life has come to its end, or it needs a person."""
        newest = max(jobs, key=lambda job: job.no, default=None)
        life = self.tally.open_life(host.name)
        # A host may be in sync by its last verification, and the job that was to replace its system failed.
        failed = newest is not None and newest.state in ("failed", "cancelled", "waiting-consent")
        if in_sync(host) and not failed:
            if life is not None:
                life.seconds = round(self.now_s - life.began_s, 1)
            if more:
                edge.post_job(host.name, "reinstall", by=ASKED_BY)
                self._begin(host.name)
        elif newest is not None and failed:
            self._note_failure(host, newest)
            edge.post_job(host.name, _again(host, newest), by=ASKED_BY)
        elif host.phase in (Phase.ACTIVE, Phase.READY) and newest is not None:
            edge.post_job(host.name, "apply", by=ASKED_BY)

    def _note_failure(self, host: HostRecord, job: JobRecord) -> None:
        if (host.name, job.no) in self._known_failures:
            return
        self._known_failures.add((host.name, job.no))
        told = {
            "host": host.name,
            "job": job.no,
            "verb": job.verb,
            "reason": job.reason,
            "message": job.message,
        }
        self.tally.failed_jobs.append({"at_s": round(self.now_s, 1), "state": job.state, **told})
        said = (job.message or "")[:160]
        self.say(f"     {host.name}: job {job.no} ({job.verb}) {job.state}: {job.reason}: {said}")

    def _all_in_sync(self) -> bool:
        """By what the CLI says, and by the machines themselves."""
        try:
            told = json.loads(self.site.rackflow("hosts", "--json"))
        except LabError:
            return False
        said = {row["name"]: row for row in told}
        return all(name in said and _row_in_sync(said[name]) for name in self._by_name) and all(
            machine.serves for machine in self.machines
        )

    def _report(self) -> dict[str, Any]:
        found = violations(self.witness.rows)
        unknown = sorted(set(self.machines[0].unknown))
        report = {
            "options": {**asdict(self.options), "data": str(self.options.data)},
            "up_s": self.tally.up_s,
            "seconds": round(self.now_s, 1),
            "kills": dict(Counter(fault.kind for fault in self.tally.faults)),
            "stages": {kind: _stages(self.tally.faults, kind) for kind in WEIGHTS},
            "lives": len([life for life in self.tally.lives if life.seconds is not None]),
            "longest_life_s": max((life.seconds or 0.0 for life in self.tally.lives), default=0.0),
            "settled_s": self.tally.settled_s,
            "changes_seen": sum(row.event == "start" for row in self.witness.rows),
            "refused_by_the_fence": sum(row.event == "refused" for row in self.witness.rows),
            "failed_jobs": self.tally.failed_jobs,
            "violations": found,
            "not_simulated": unknown,
            "faults": [asdict(fault) for fault in self.tally.faults],
        }
        whole = len(self.tally.faults) == self.options.kills
        report["passed"] = self.tally.settled_s is not None and whole and not found and not unknown
        return report


def in_sync(host: HostRecord) -> bool:
    """Active and in sync, by the record."""
    return host.phase is Phase.ACTIVE and any(
        c.type == "InSync" and c.status == "True" for c in host.conditions
    )


def _again(host: HostRecord, job: JobRecord) -> Verb:
    """What an operator asks for after a job that failed."""
    if host.phase in (Phase.REGISTERED, Phase.INSPECT_FAILED):
        return "inspect"
    return "reinstall" if job.verb == "reinstall" and host.phase is Phase.ACTIVE else "apply"


def _row_in_sync(row: dict[str, Any]) -> bool:
    return bool(row["phase"] == "active" and row["conditions"].get("InSync") == "True")


def _stages(faults: Sequence[Fault], kind: str) -> dict[str, int]:
    count = Counter(stage for fault in faults if fault.kind == kind for stage in fault.stages)
    return {stage: count[stage] for stage in STAGES if count[stage]}


def later(delay_s: float, call: Callable[[], None]) -> None:
    """Run a call after a while, in a thread of its own."""
    timer = threading.Timer(delay_s, call)
    timer.daemon = True
    timer.start()


def table(report: dict[str, Any]) -> str:
    """The report for a person."""
    lines = [f"{'kind':<12} {'kills':>5}  " + "  ".join(f"{stage:>12}" for stage in STAGES)]
    for kind in WEIGHTS:
        counts = "  ".join(f"{report['stages'][kind].get(stage, 0):>12}" for stage in STAGES)
        lines.append(f"{kind:<12} {report['kills'].get(kind, 0):>5}  {counts}")
    failed = Counter(job["reason"] for job in report["failed_jobs"])
    settled = "not in time" if report["settled_s"] is None else f"{report['settled_s']:.0f} s"
    lines += [
        "",
        f"lives {report['lives']}, the longest {report['longest_life_s']:.0f} s",
        f"in sync after the last fault: {settled}",
        f"changes {report['changes_seen']}, refused by the fence {report['refused_by_the_fence']}",
        f"violations seen by the witness: {len(report['violations'])}",
        f"jobs that failed and were applied again: {dict(failed) or 'none'}",
        *report["violations"],
        *(f"not simulated: {one}" for one in report["not_simulated"]),
        "passed" if report["passed"] else "FAILED",
    ]
    return "\n".join(lines)
