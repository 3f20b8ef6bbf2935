"""All parts together: what may happen to them, what must always hold, and how it ends when faults end."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.model.clock import Clock
from tests.model.edge import HOST, EdgePart
from tests.model.machine import Machine
from tests.model.prefect_double import TERMINAL, FlowRun, PrefectDouble
from tests.model.processes import Process, Violation
from tests.model.runs import reconcile

ENDED = frozenset({"done", "failed", "cancelled"})
AT_REST = ENDED | {"waiting-consent"}
ROUND_S = 30.0
TICK_S = 5.0
CALLS_AT_ONCE = 600
CONSENT_S = 7 * 86400.0


@dataclass
class Bounds:
    """How soon a job must end once faults have ended: before a phase's deadline (90 minutes) ends it.

    The longest that may lie before its end is five back-offs (930 s) and a way into the boot OS (2100 s).
    A round is short while a process sleeps.
    """

    rounds: int = 5000
    hours: float = 1.4


class World:
    """One host, one job, and everything that may go wrong around them."""

    def __init__(self, data: Path, destroy: str, content: str | None = "ntfs") -> None:
        self.clock = Clock()
        self.needs_consent = destroy == "ask" or content is not None
        self.prefect = PrefectDouble(self.clock)
        self.edge = EdgePart(data, self.clock, self.prefect)
        self.machine = Machine(self.clock, self.edge, self.why_not)
        self.machine.disk.signature = content
        self.machine.system, self.machine.boots, self.machine.reported = "boot-os", 1, True
        self.processes: list[Process] = []
        self.job = 0
        self.worker_alive = True
        self.consented: dict[str, Any] = {}
        """Plan hash -> when a person consented; the model's own book."""
        self.spent_in_time: set[str] = set()
        self.trail: list[str] = []

    def close(self) -> None:
        for process in self.processes:
            process.kill()
        self.edge.close()

    # --- what a person does ---

    def post(self) -> None:
        told = self.edge.call("POST", f"/v1/hosts/{HOST}/jobs", {"verb": "apply", "by": "ops"}, scope="admin")
        self.job = told["no"]

    def state(self) -> str:
        return str(self.edge.job_row(self.job)["state"])

    def consent(self, plan: str | None = None) -> None:
        """Consent to the waiting plan, or to another one by its hash."""
        row = self.edge.job_row(self.job)
        waiting = row["plan"] if row["state"] == "waiting-consent" else None
        said = self.edge.call(
            "POST", "/v1/consents", {"host": HOST, "plan": plan, "by": "ops"}, scope="admin"
        )
        if "plan" in said and "expires" in said:
            self.consented[said["plan"]] = self.clock.now
            if plan is not None and waiting is not None and plan != waiting:
                raise Violation(f"a consent for {plan} was taken while {waiting} waits")

    def cancel(self) -> None:
        self.edge.call("POST", f"/v1/hosts/{HOST}/jobs/{self.job}/cancel", scope="admin")

    def release(self) -> None:
        self.edge.call("POST", f"/v1/hosts/{HOST}/release", {"by": "ops"}, scope="admin")

    # --- Prefect and its worker ---

    def deliver(self) -> None:
        if self.edge.running:
            self.edge.loop.run_until_complete(self.edge.courier.deliver())

    def sweep(self) -> None:
        if self.edge.running:
            self.edge.sweeper.end_waits()
            before = (self.edge.lease(), self.edge.job_row(self.job)["run_no"])
            self.edge.loop.run_until_complete(self.edge.sweeper.sweep())
            after = (self.edge.lease(), self.edge.job_row(self.job)["run_no"])
            if self.prefect.down and before != after and self.state() not in ENDED:
                raise Violation(f"handed on while Prefect is away: {before}, then {after}")

    def pick(self, run: FlowRun) -> None:
        """The worker takes a run; nothing of it lives yet."""
        if run.state == "SCHEDULED":
            self.prefect.says(run, "PENDING")

    def start(self, run: FlowRun) -> Process:
        """A process of the run starts."""
        if run.state not in TERMINAL:
            self.prefect.says(run, "RUNNING")
        run.starts += 1
        return self.spawn(run)

    def spawn(self, run: FlowRun) -> Process:
        job = int(run.parameters["job"])
        number = len(self.processes) + 1

        def body(process: Process) -> str:
            return reconcile(process, job, self.edge, self.machine, self.clock, run)

        process = Process(number, run.id, self.clock, body)
        self.processes.append(process)
        process.start()
        return process

    def ended(self, process: Process) -> None:
        """Prefect hears how a process ended, if it is there and nothing else was said of the run."""
        run = self.prefect.by_id(process.run_id)
        if run is None or self.prefect.down or run.state != "RUNNING" or process.ended == "killed":
            return
        said = {"applied": "COMPLETED", "waits": "COMPLETED", "cancelled": "CANCELLED", "suspended": "PAUSED"}
        self.prefect.says(run, said.get(process.ended or "", "FAILED"))

    # --- time ---

    def step(self, process: Process, *, lose: bool = False) -> None:
        label = process.step(lose=lose)
        self.trail.append(f"p{process.number} {label}{' (lost)' if lose else ''}")
        if process.ended is not None:
            self.trail.append(f"p{process.number} ended: {process.ended}")
            self.ended(process)
        self.check()

    def go(self, process: Process, calls: int) -> int:
        """So many calls of one process; how many it made. It is waited for while it sleeps."""
        for made in range(calls):
            if not process.alive:
                return made
            if not process.runnable:
                assert process.call is not None
                self.forward(max(0.1, (process.call.wake_at or 0.0) - self.clock.seconds()))
            self.step(process)
        return calls

    def go_to(self, process: Process, kind: str) -> None:
        """Let a process go on to its next call of a kind, as far as that is near."""
        for _ in range(60):
            if process.call is None or process.call.label.startswith(kind):
                return
            self.go(process, 1)

    def go_well(self, calls: int) -> int:
        """Without any fault: a round, and so many calls of the present run; how many it made."""
        self.round()
        live = [process for process in self.processes if process.alive]
        return self.go(live[-1], calls) if live else 1

    def forward(self, seconds: float) -> None:
        """Let time pass: the machine goes on, keepers renew."""
        left = seconds
        while left > 0:
            self.clock.forward(min(TICK_S, left))
            left -= TICK_S
            self.machine.tick()
            self._renew()
        self.check()

    def _renew(self) -> None:
        for process in self.processes:
            keeper, claim = process.keeper, process.claim
            if not process.alive or process.paused or keeper is None:
                continue
            every_s = getattr(claim, "renew_every_s", 20.0)
            if self.clock.seconds() - process.renewed_at >= every_s:
                process.renewed_at = self.clock.seconds()
                keeper.renew()

    # --- what must hold ---

    def why_not(self, job: int, step: str) -> str | None:
        """Why a destructive step may not run now, by the model's own books; None when it may."""
        if step in {_plain(one) for one in self.edge.done_steps(job)}:
            return f"finished step {step} is carried out again"
        if not self.needs_consent:
            return None
        plan = str(self.edge.job_row(job)["plan"])
        if plan not in self.consented:
            return f"nobody consented to plan {plan[:12]}"
        age_s = (self.clock.now - self.consented[plan]).total_seconds()
        late = age_s > CONSENT_S and plan not in self.spent_in_time
        return f"the consent to {plan[:12]} has expired" if late else None

    def check(self) -> None:
        """What holds after every call and every while."""
        for plan in self.consented.keys() - self.spent_in_time:
            age_s = (self.clock.now - self.consented[plan]).total_seconds()
            if age_s <= CONSENT_S and self.edge.spent(plan, self.job):
                self.spent_in_time.add(plan)
        self.edge.check()

    # --- the end ---

    def heal(self) -> None:
        """Faults end: everything is there and goes on."""
        self.edge.up()
        self.prefect.down, self.prefect.lose_answers = False, 0
        self.worker_alive = True
        for process in self.processes:
            process.paused = False

    def run_out(self, process: Process) -> None:
        """Let a process go on until it sleeps or ends."""
        for _ in range(CALLS_AT_ONCE):
            if not process.runnable:
                return
            self.step(process)
        raise Violation(f"{process} makes calls without end: {self.trail[-6:]}")

    def round(self) -> None:
        """One round of outbox, sweeper and worker."""
        self.deliver()
        self.sweep()
        if self.prefect.down:
            return
        for run in list(self.prefect.runs.values()):
            if run.state in ("SCHEDULED", "PENDING") and not self._lives(run):
                self.start(run)

    def forward_days(self, days: float) -> None:
        """A long time in which nothing but the edge is awake."""
        self.clock.forward(days * 86400)
        self.machine.tick()

    def settle(self, bounds: Bounds | None = None) -> str:
        """With faults ended, go on fairly until the job is at rest; Violation when it never is."""
        limit = bounds or Bounds()
        self.heal()
        began = self.clock.now
        for _ in range(limit.rounds):
            self.round()
            for process in list(self.processes):
                self.run_out(process)
            if self.state() in AT_REST and not any(p.alive for p in self.processes):
                return self.state()
            if (self.clock.now - began).total_seconds() > limit.hours * 3600:
                break
            self.forward(self._until_next())
        raise Violation(
            f"job {self.job} does not end: {self.state()}, {self.processes}, {self.machine.system}"
        )

    def _lives(self, run: FlowRun) -> bool:
        return any(p.alive and p.run_id == run.id for p in self.processes)

    def _until_next(self) -> float:
        now = self.clock.seconds()
        waking = [p.call.wake_at - now for p in self.processes if p.alive and p.call and p.call.wake_at]
        return max(0.5, min([ROUND_S, *waking]))


def _plain(step: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", step)
