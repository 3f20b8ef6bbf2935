"""The state machine: one job, and any order of calls, deaths, lost answers and commands around it."""

import itertools
import shutil
import sys
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.model.edge import copied
from tests.model.prefect_double import TERMINAL, FlowRun
from tests.model.processes import Process, Violation
from tests.model.world import AT_REST, World

WHICH = st.integers(min_value=0, max_value=7)
CALLS = st.sampled_from([1, 1, 2, 3, 5, 8, 13, 21, 34, 60])
AT = st.sampled_from(["", "rf-exec", "rf-exec", "POST /v1/hosts/web-01/journal", "bmc", "PUT", "POST"])
"""At which call something happens: the next one of this kind; "" is where the process stands."""
SECONDS = st.sampled_from([1.0, 5.0, 30.0, 100.0, 130.0, 700.0])


class Faults(RuleBasedStateMachine):
    """A world, and what may happen to it. Class attributes are set by the test that runs it."""

    templates: ClassVar[Path]
    examples: ClassVar[int] = 0
    ends: ClassVar[dict[str, int]] = {}
    numbers: ClassVar[Any] = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        self.world: World | None = None

    @initialize(
        kind=st.sampled_from([("ask", "ntfs"), ("allow", None), ("allow", "ntfs")]),
        calls=st.integers(min_value=0, max_value=230),
        consents=st.booleans(),
    )
    def post(self, kind: tuple[str, str | None], calls: int, consents: bool) -> None:  # noqa: FBT001
        """A person wants the host installed, may consent where that is asked, and so much goes well."""
        Faults.examples += 1
        Violation.seen = False
        self.folder = copied(self.templates / kind[0], self.templates / f"run-{next(self.numbers)}")
        self.world = World(self.folder, *kind)
        self.world.post()
        for _ in range(20):
            calls -= self.world.go_well(calls)
            waits = self.world.state() == "waiting-consent"
            if calls <= 0 or (waits and not consents):
                return
            if waits:
                self.world.consent()

    # --- what runs do ---

    @classmethod
    def focused(cls, *names: str) -> "type[Faults]":
        """The same with these rules alone: what is looked for is found sooner."""
        known = {one.function.__name__ for one in cls.setup_state().rules}
        assert known >= set(names)
        # One rule that is always possible has to stay.
        return type("Focused", (cls,), dict.fromkeys(known - {"round", *names}))

    @property
    def w(self) -> World:
        assert self.world is not None
        return self.world

    def _live(self) -> list[Process]:
        return [p for p in self.w.processes if p.alive and not p.paused] if self.world else []

    def _runs(self, *states: str) -> list[FlowRun]:
        return [r for r in self.w.prefect.runs.values() if r.state in states] if self.world else []

    @precondition(lambda self: self._live())
    @rule(which=WHICH, calls=CALLS)
    def go(self, which: int, calls: int) -> None:
        """Some calls of one process; it is waited for while it sleeps."""
        self.w.go(self._pick(self._live(), which), calls)

    @precondition(lambda self: self._live())
    @rule(calls=CALLS)
    def newest_goes(self, calls: int) -> None:
        """The same of the newest process, which is the one that should get on."""
        self.w.go(self._live()[-1], calls)

    @precondition(lambda self: self._live())
    @rule(calls=st.integers(min_value=1, max_value=40))
    def newest_goes_far(self, calls: int) -> None:
        self.w.go(self._live()[-1], calls)

    @precondition(lambda self: self._live())
    @rule(which=WHICH, at=AT)
    def lose_answer(self, which: int, at: str) -> None:
        """A call takes effect and its answer gets lost."""
        process = self._pick(self._live(), which)
        self.w.go_to(process, at)
        if process.runnable:
            self.w.step(process, lose=True)

    @precondition(lambda self: self._live())
    @rule(which=WHICH, told=st.booleans(), at=AT)
    def kill(self, which: int, told: bool, at: str) -> None:  # noqa: FBT001
        """Kill -9; Prefect learns of it only while the worker lives."""
        process = self._pick(self._live(), which)
        self.w.go_to(process, at)
        self.w.trail.append(f"kill p{process.number} {told=}")
        process.kill()
        run = self.w.prefect.by_id(process.run_id)
        if told and run is not None and run.state == "RUNNING":
            self.w.prefect.says(run, "CRASHED")

    @precondition(lambda self: self._live())
    @rule(which=WHICH, at=AT, others=st.integers(0, 80), then=st.integers(0, 4))
    def stall(self, which: int, at: str, others: int, then: int) -> None:
        """A process stops so long that the job goes on without it; then it may go on as if nothing was."""
        process = self._pick(self._live(), which)
        self.w.go_to(process, at)
        self.w.trail.append(f"pause p{process.number}")
        process.paused = True
        for _ in range(4):
            self.w.forward(50.0)
            self.w.round()
        live = self._live()
        if live:
            self.w.go(live[-1], others)
        if then:
            self.w.trail.append(f"wake p{process.number}")
            process.paused = False
            self.w.go(process, then)

    @precondition(lambda self: self.world and any(p.paused and p.alive for p in self.w.processes))
    @rule(which=WHICH)
    def wake(self, which: int) -> None:
        process = self._pick([p for p in self.w.processes if p.paused and p.alive], which)
        self.w.trail.append(f"wake p{process.number}")
        process.paused = False

    # --- Prefect ---

    @precondition(lambda self: self._runs("PENDING", "SCHEDULED"))
    @rule(which=WHICH)
    def start(self, which: int) -> None:
        self.w.start(self._pick(self._runs("PENDING", "SCHEDULED"), which))

    @precondition(lambda self: self._runs("SCHEDULED"))
    @rule(which=WHICH)
    def stuck_pending(self, which: int) -> None:
        """The worker took it and died."""
        self.w.pick(self._pick(self._runs("SCHEDULED"), which))
        self.w.forward(130.0)
        self.w.sweep()

    @precondition(lambda self: self._runs(*TERMINAL))
    @rule(which=WHICH)
    def start_again(self, which: int) -> None:
        """A retry from the UI, or a process that starts late: a second process of one run."""
        run = self._pick(self._runs(*TERMINAL), which)
        self.w.trail.append(f"start again {run.key}")
        self.w.prefect.says(run, "RUNNING")
        self.w.spawn(run)

    @precondition(lambda self: self._runs("RUNNING"))
    @rule(which=WHICH)
    def retried_in_ui(self, which: int) -> None:
        """Prefect calls a run crashed, and a person starts it again before the sweeper looks."""
        run = self._pick(self._runs("RUNNING"), which)
        self.w.trail.append(f"retried {run.key}")
        self.w.spawn(run)

    @precondition(lambda self: self._runs("RUNNING"))
    @rule(which=WHICH, swept=st.booleans())
    def called_dead(self, which: int, swept: bool) -> None:  # noqa: FBT001
        """Prefect calls a run crashed whose process lives (measured: no heartbeat in time)."""
        run = self._pick(self._runs("RUNNING"), which)
        self.w.trail.append(f"called dead {run.key}")
        self.w.prefect.says(run, "CRASHED")
        if swept:
            self.w.sweep()

    @precondition(lambda self: self._runs("RUNNING", "SCHEDULED", "PENDING"))
    @rule(which=WHICH, how=st.sampled_from(["kills", "says", *[""] * 6]))
    def cancel_in_ui(self, which: int, how: str) -> None:
        """Prefect's cancel: the worker ends the process, or is away and only the state is there."""
        if not how:
            return
        kills = how == "kills"
        run = self._pick(self._runs("RUNNING", "SCHEDULED", "PENDING"), which)
        self.w.trail.append(f"cancel in UI {run.key}")
        self.w.prefect.says(run, "CANCELLED" if kills else "CANCELLING")
        for process in self.w.processes:
            if kills and process.run_id == run.id:
                process.kill()

    @precondition(lambda self: self.world is not None)
    @rule(losses=st.sampled_from([0, 0, 1, 2]), down=st.booleans())
    def prefect_fails(self, losses: int, down: bool) -> None:  # noqa: FBT001
        self.w.prefect.lose_answers, self.w.prefect.down = losses, down

    @precondition(lambda self: self.world is not None)
    @rule()
    def prefect_away(self) -> None:
        """Prefect is away for minutes, and nobody can say who lives."""
        self.w.trail.append("prefect is away")
        self.w.prefect.down = True
        for _ in range(3):
            self.w.forward(60.0)
            self.w.round()

    # --- edge, machine, time, people ---

    @precondition(lambda self: self.world is not None)
    @rule()
    def round(self) -> None:
        """An outbox round, a sweeper round, and a worker that starts what it finds."""
        self.w.round()

    @precondition(lambda self: self.world is not None)
    @rule(seconds=SECONDS)
    def time_passes(self, seconds: float) -> None:
        self.w.trail.append(f"{seconds:g} s pass")
        self.w.forward(seconds)

    @precondition(lambda self: self.world is not None)
    @rule(stays_down=st.booleans())
    def edge_dies(self, stays_down: bool) -> None:  # noqa: FBT001
        self.w.trail.append("the edge dies")
        self.w.edge.down()
        if not stays_down:
            self.w.edge.up()

    @precondition(lambda self: self.world and not self.w.edge.running)
    @rule()
    def edge_returns(self) -> None:
        self.w.edge.up()

    @precondition(lambda self: self.world is not None)
    @rule(what=st.sampled_from(["cut", "reset", "hang", *[""] * 5]))
    def machine_fails(self, what: str) -> None:
        if not what:
            return
        self.w.trail.append(f"the machine: {what}")
        machine = self.w.machine
        if what == "hang":
            machine.hung = machine.system != "off"
        elif what == "reset" and machine.system != "off":
            machine.cycle()
        else:
            machine.power_off()

    @precondition(lambda self: self.world and self.w.edge.running and self.w.state() == "waiting-consent")
    @rule(late=st.booleans())
    def consent(self, late: bool) -> None:  # noqa: FBT001
        """A person consents, or comes when the wait is over."""
        if late:
            self.w.forward_days(8)
            self.w.round()
        self.w.consent()
        self.w.trail.append(f"consent {late=}")
        self.w.round()

    @precondition(lambda self: self.world and self.w.edge.running and self.w.state() == "waiting-consent")
    @rule()
    def consent_runs_out(self) -> None:
        """A person consents, and no worker is there for more than a week."""
        self.w.consent()
        self.w.trail.append("consent, and a week")
        self.w.forward_days(8)
        self.w.round()

    @precondition(lambda self: self.world and self.w.edge.running)
    @rule()
    def consent_to_another_plan(self) -> None:
        self.w.consent("f" * 64)

    @precondition(lambda self: self.world and self.w.edge.running and self.w.state() not in AT_REST)
    @rule(how=st.sampled_from(["cancel", "release", *[""] * 6]))
    def stop(self, how: str) -> None:
        """A person ends the job; most do not."""
        if not how:
            return
        self.w.trail.append(how)
        self.w.cancel() if how == "cancel" else self.w.release()

    def _pick(self, things: list[Any], which: int) -> Any:
        return things[which % len(things)]

    def teardown(self) -> None:
        """Faults end: the job must end too."""
        if self.world is None:
            return
        try:
            if Violation.seen:
                return
            end = self.world.settle()
            if end == "waiting-consent":
                self.world.consent()
                end = self.world.settle()
            self.ends[end] = self.ends.get(end, 0) + 1
        finally:
            if Violation.seen:
                sys.stdout.write("\n".join([*self.world.trail[-120:], repr(self.world.processes), ""]))
            self.world.close()
            shutil.rmtree(self.folder, ignore_errors=True)
