"""A process of a flow run: real code that stops at every call to the edge, the machine or the clock.

It is a greenlet, so that exactly one thing happens at a time and a test decides what: the next call is
made, made and its answer lost, or never made because the process was killed. What a call does is done by
the test's side. A killed process runs its `finally` blocks, as Python must, but no call of theirs is made:
to the world it is a kill -9.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import greenlet
import httpx

from metal.errors import RackflowError
from tests.model.clock import Clock


class Violation(AssertionError):
    """An invariant of the model does not hold. `seen` keeps the end of an example from hiding it."""

    seen: ClassVar[bool] = False

    def __init__(self, told: str) -> None:
        super().__init__(told)
        Violation.seen = True


class Killed(BaseException):
    """Raised in a process that does not exist any more."""


@dataclass
class Call:
    """What a process is about to do; `lost` is what it sees when the answer gets lost."""

    label: str
    act: Callable[[], Any]
    lost: Callable[[], Exception] | None = None
    wake_at: float | None = None


class Process:
    """One process of a flow run."""

    def __init__(self, number: int, run_id: str, clock: Clock, body: Callable[["Process"], str]) -> None:
        self.number, self.run_id = number, run_id
        self.call: Call | None = None
        self.ended: str | None = None
        self.dead = False
        self.paused = False
        """Stopped (SIGSTOP, a machine that hangs): nothing of it goes on until it is told to."""
        self.calls = 0
        self.epoch: int | None = None
        self.keeper: Any = None
        self.claim: Any = None
        self.said: list[str] = []
        self.renewed_at = 0.0
        self._clock = clock
        self._hub = greenlet.getcurrent()
        self._greenlet = greenlet.greenlet(self._run)
        self._body = body

    def __repr__(self) -> str:
        at = self.ended or (self.call.label if self.call else "not started")
        return f"<process {self.number} epoch {self.epoch} at {at}>"

    def seconds(self) -> float:
        return self._clock.seconds()

    @property
    def alive(self) -> bool:
        return not self.dead and self.ended is None

    @property
    def runnable(self) -> bool:
        if not self.alive or self.paused or self.call is None:
            return False
        return self.call.wake_at is None or self._clock.seconds() >= self.call.wake_at

    # --- the test's side ---

    def start(self) -> None:
        """Run to the first call."""
        self._resume()

    def step(self, *, lose: bool = False) -> str:
        """Make the next call, and run to the one after it; `lose` loses the answer on its way back."""
        call = self.call
        assert call is not None
        self.calls += 1
        value: Any = None
        error: Exception | None = None
        try:
            value = call.act()
        except (RackflowError, httpx.HTTPError, TransportLost) as raised:
            error = raised
        if lose and call.lost is not None:
            error = call.lost()
        self._resume(value, error)
        return call.label

    def kill(self) -> None:
        """End it at once."""
        if not self.alive:
            return
        self.dead = True
        if self._greenlet.dead or not self._greenlet:
            return
        self._greenlet.throw(Killed())

    def _resume(self, *value: Any) -> None:
        self._hub = greenlet.getcurrent()
        self._greenlet.switch(*value)

    # --- the process's side ---

    def ask(
        self,
        label: str,
        act: Callable[[], Any],
        *,
        lost: Callable[[], Exception] | None = None,
        wake_at: float | None = None,
    ) -> Any:
        """Stop here until the test lets the call be made."""
        if self.dead:
            raise Killed
        self.call = Call(label, act, lost, wake_at)
        value, error = self._hub.switch()
        self.call = None
        if self.dead:
            raise Killed
        if error is not None:
            raise error
        return value

    def sleep(self, seconds: float) -> None:
        self.ask(f"sleep {seconds:g}", lambda: None, wake_at=self._clock.seconds() + seconds)

    def _run(self, *_: Any) -> None:
        try:
            self.ended = self._body(self)
        except Killed:
            self.ended = "killed"
        except Violation:
            raise
        self.call = None


class TransportLost(Exception):
    """The SSH connection ended before the answer came."""
