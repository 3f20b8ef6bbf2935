"""Waiting for a machine that boots: a minute in this process, longer at the edge (DESIGN 4).

A run polls the host's record for `hold_s`. What takes longer is registered at the edge, and the run
ends (`JobWaits`): the edge starts the job's next run on the event, or at the wait's deadline so that
somebody looks at the machine. That run takes the same path, comes here again and goes on waiting for
the same thing: `since` and the overall deadline come from the journal, by the edge's clock.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

from metal.edge_client.runs import RunCalls
from metal.engine.claim import Claim
from metal.errors import JobWaits, LeaseLost, Refused, Unreachable, Wait
from specs.records import BootRecord, HostRecord, WaitEvent

OS_DEADLINE_S: Final = 600.0
LOOK_S: Final = 120.0
"""How often somebody looks at a machine that is waited for: one that was switched off does not come."""
POLL_S: Final = 0.5
TOO_LATE: Final[dict[WaitEvent, str]] = {
    "boot-os": "boot-os-timeout",
    "os": "os-timeout",
    "bmc": "unreachable",
}

T = TypeVar("T")

MayGoOn = Callable[[], None]
"""Raises LeaseLost or Cancelled when the run must stop; asked at each turn."""


def hold_s() -> float:
    """How long a run waits in its process: RACKFLOW_HOLD_S, else 60 s."""
    return float(os.environ.get("RACKFLOW_HOLD_S", "60"))


def utc_now() -> datetime:
    """This machine's time; asked only where the edge's is not known."""
    return datetime.now(UTC)


def nothing() -> None:
    """Look at nothing."""


@dataclass(frozen=True, slots=True)
class Pace:
    """By which clocks a wait goes; tests turn them by hand."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], datetime] = utc_now
    hold_s: float | None = None
    look_s: float = LOOK_S


@dataclass(frozen=True, slots=True)
class Awaited:
    """What is waited for: the first such event since then, until the deadline, by the edge's clock."""

    event: WaitEvent
    since: datetime
    deadline: datetime
    message: str

    @property
    def told(self) -> str:
        """What an operator reads while the job waits."""
        return f"{self.message}, until {self.deadline:%H:%M:%S} UTC at the latest"


def wait_for(
    edge: RunCalls,
    claim: Claim,
    *,
    event: WaitEvent,
    since: datetime,
    deadline: datetime,
    message: str,
    may_go_on: MayGoOn,
    look: Callable[[], None] = nothing,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], datetime] = utc_now,
    hold_s: float | None = None,
) -> BootRecord:
    """Wait for a report-in (boot-os) or phone-home (os) at or after `since`.

    `deadline` is the overall one, by the edge's clock. `look` runs at the start, which is at each run of the
    job, and every LOOK_S.
    Raises JobWaits when it takes longer than `hold_s`; Refused (boot-os-timeout, os-timeout) when the overall
    deadline has passed; LeaseLost when the edge is silent for longer than the lease may be unrenewed.
    """

    def reported(record: HostRecord) -> BootRecord | None:
        found = record.boot if event == "boot-os" else record.os
        return found if found and found.reported_at and found.reported_at >= since else None

    return wait_until(
        edge,
        claim,
        Awaited(event, since, deadline, message),
        reported,
        may_go_on=may_go_on,
        look=look,
        pace=Pace(clock, sleep, now, hold_s),
    )


def wait_until(
    edge: RunCalls,
    claim: Claim,
    awaited: Awaited,
    found: Callable[[HostRecord], T | None],
    *,
    may_go_on: MayGoOn,
    look: Callable[[], None] = nothing,
    pace: Pace | None = None,
) -> T:
    """Wait as `wait_for` does until `found` says so: for what the host's record alone does not show."""
    turn = _Turn(edge, claim, awaited, pace or Pace())
    while True:
        may_go_on()
        record = turn.record()
        if record is not None:
            seen = found(record)
            if seen is not None:
                return seen
            turn.in_time()
            if turn.look_is_due():
                look()
            turn.hand_over()
        turn.pace.sleep(POLL_S)


@dataclass(slots=True)
class _Turn:
    """One process's part of a wait."""

    edge: RunCalls
    claim: Claim
    awaited: Awaited
    pace: Pace
    _held_from: float = field(init=False)
    _heard_at: float = field(init=False)
    _looked_at: float | None = None
    _ahead: timedelta | None = None
    """The edge's time at our clock's zero, as an offset from `awaited.since`."""

    def __post_init__(self) -> None:
        self._held_from = self._heard_at = self.pace.clock()

    def record(self) -> HostRecord | None:
        """The host as the edge has it; None while it does not answer. Raises LeaseLost after too long."""
        try:
            record = self.edge.host(self.claim.host)
        except Unreachable as error:
            silent_s = self.pace.clock() - self._heard_at
            if silent_s > self.claim.stop_after_s:
                raise LeaseLost(
                    f"the edge has not answered for {silent_s:.0f} s: {error.message}",
                    host=self.claim.host,
                    reason="lease-lost",
                ) from error
            return None
        self._heard_at = self.pace.clock()
        if self._ahead is None:
            self._ahead = self._elapsed(record)
        return record

    def now(self) -> datetime:
        """The edge's time."""
        assert self._ahead is not None, "asked after the edge has answered once"
        return self.awaited.since + self._ahead + timedelta(seconds=self.pace.clock())

    def _elapsed(self, record: HostRecord) -> timedelta:
        """Take the edge's time from the lease, which it renewed just now: it expires one ttl later."""
        lease = record.lease
        if lease is not None and lease.run_id == self.claim.run_id:
            now = lease.expires - timedelta(seconds=self.claim.ttl_s)
        else:
            now = self.pace.now()
        return now - self.awaited.since - timedelta(seconds=self.pace.clock())

    def in_time(self) -> None:
        """Raise Refused once the overall deadline has passed."""
        if self.now() < self.awaited.deadline:
            return
        waited_s = (self.awaited.deadline - self.awaited.since).total_seconds()
        raise Refused(
            f"nothing was heard of the machine within {waited_s:.0f} s: {self.awaited.message}",
            host=self.claim.host,
            reason=TOO_LATE[self.awaited.event],
            hint=f"rackflow console {self.claim.host}",
        )

    def look_is_due(self) -> bool:
        """Whether to look at the machine now: at the start, and every LOOK_S."""
        now = self.pace.clock()
        if self._looked_at is not None and now - self._looked_at < self.pace.look_s:
            return False
        self._looked_at = now
        return True

    def hand_over(self) -> None:
        """After `hold_s` register the wait. Raises JobWaits, unless the event has come meanwhile."""
        patience_s = self.pace.hold_s if self.pace.hold_s is not None else hold_s()
        if self.pace.clock() - self._held_from < patience_s:
            return
        next_look = min(self.awaited.deadline, self.now() + timedelta(seconds=self.pace.look_s))
        wait = Wait(self.claim.host, self.awaited.event, self.awaited.since, next_look, self.awaited.told)
        try:
            seen = self.edge.wait(
                wait.host,
                self.claim.job,
                epoch=self.claim.epoch,
                run_id=self.claim.run_id,
                event=wait.event,
                since=wait.since,
                deadline=wait.deadline,
                message=wait.message,
            )
        except Unreachable:
            return  # the lease's own deadline ends this
        if not seen:
            raise JobWaits(wait)
        self._held_from = self.pace.clock()


def until_reached(
    call: Callable[[], T],
    *,
    deadline_s: float = 60.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Call until the machine answers: a phone-home may come a second before its SSH server listens."""
    deadline = clock() + deadline_s
    while True:
        try:
            return call()
        except Unreachable:
            if clock() > deadline:
                raise
        sleep(POLL_S)
