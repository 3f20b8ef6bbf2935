"""The way into the boot OS: its machine lost power, hangs, was switched off, or runs something else.

Asked before each step that works in the boot OS, and when such a step finds it gone (DESIGN 4, 5.6). A boot
OS that reported in anew is gone on with; else power is read, and what is sent is journaled before it
goes out, at most three times per job. A machine that may serve a system which no one gave up is never
cycled; one that is off is switched on.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from metal.edge_client.runs import RunCalls
from metal.engine.around import Log, Surroundings
from metal.engine.cancel import clear_boot_flag
from metal.engine.claim import Claim, check
from metal.engine.connect import Address, bmc, boot_os, running_os
from metal.engine.power import act, set_boot
from metal.engine.waits import LOOK_S, Awaited, Pace, until_reached, wait_until
from metal.errors import RackflowError, Refused, Unreachable
from metal.planning.restarts import DESTROYING
from metal.protocols import BootFlags, PowerAction
from specs.phases import Phase
from specs.records import HostRecord, JournalRow

STEP: Final = "enter-boot-os"
"""Under which step recoveries stand in the journal."""
BOOT_STEP: Final = "boot-os"
"""The step of a plan that boots a running machine into the boot OS."""
GIVEN_UP: Final = frozenset({Phase.PROVISIONING, Phase.WIPING})
"""Phases that a plan was let into which gives up what the machine serves."""
FAILED: Final = frozenset({Phase.PROVISION_FAILED, Phase.WIPE_FAILED})
SENDS_MAX: Final = 3
BOOT_S: Final = 600.0
"""How long a machine that was started may take to report in, before it counts as hung: a server with much
memory tests it for minutes first."""
DEADLINE_S: Final = 2100.0
"""Of one way in altogether: three boots, or a person who has to find the power button."""
REACH_S: Final = 60.0
BEFORE_ACTING: Final = frozenset({"identity-unproven", "plan-moved"})
"""Why a step fails after its intent and before it sends anything: another machine, another disk."""
BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"


@dataclass(frozen=True, slots=True)
class Sight:
    """What one look at the machine showed, and when by the edge's clock."""

    at: datetime
    power: Literal["on", "off"]
    before_answers: bool
    """Whether the system answers that was up when the last action was to go out: it never went out."""


def decide(
    sight: Sight, quiet_from: datetime, sent_at: datetime | None, *, at_once: bool = False
) -> PowerAction | None:
    """What to send now: nothing while the machine may still be on its way."""
    if sight.power == "off":
        return "on"
    if sent_at is None:
        return "cycle" if at_once or _passed(quiet_from, sight.at, LOOK_S) else None
    # What answers from before the cycle says that the run died between noting it and sending it.
    return "cycle" if sight.before_answers or _passed(sent_at, sight.at, BOOT_S) else None


def _passed(since: datetime, now: datetime, seconds: float) -> bool:
    return (now - since).total_seconds() >= seconds


@dataclass(slots=True)
class Entry:
    """One way into the boot OS of a claimed host."""

    edge: RunCalls
    claim: Claim
    around: Surroundings
    log: Log
    plan: str | None = None
    step: str = STEP
    at_once: bool = False
    """Whether the step itself asks for the boot: then nobody is waited for first, and any system may go."""
    writes: int = 0
    _is_back: bool = False
    """Whether the boot OS that was lost answers again: it was the network."""

    @property
    def host(self) -> str:
        """The host's name."""
        return self.claim.host

    def ensure(self, *, trusted: bool = True) -> int:
        """Have the boot OS up and answering. Gives how much was sent.

        Raises JobWaits while it is on its way; Refused (boot-os-lost, boot-os-timeout); Unreachable.
        `trusted` takes the boot OS that this process has worked in for up until a step finds otherwise.
        """
        kept = self.around.memory.of(self.claim)
        record = self.edge.host(self.host)
        boot_no = record.boot.boot_no if record.boot else None
        if boot_no is not None and ((trusted and boot_no == kept.boot_no) or self.answers(record)):
            self._settle(record)
            return self.writes
        self.around.sessions.drop(self.host)
        rows = self._open_rows()
        if not rows:
            self.log(f"{self.host}: the boot OS does not answer")
            rows = (self._note({"lost": boot_no}),)
        since = _newer_than(record, rows[0].at)
        deadline = rows[0].at + timedelta(seconds=DEADLINE_S)
        wait_until(
            self.edge,
            self.claim,
            Awaited("boot-os", since, deadline, "waits for the boot OS to report in"),
            lambda seen: self._is_back or _reported(seen, since) or None,
            may_go_on=self._may_go_on,
            look=self._look,
            pace=Pace(self.around.clock, self.around.sleep, self.around.now),
        )
        until_reached(self._reach, deadline_s=REACH_S, clock=self.around.clock, sleep=self.around.sleep)
        self._settle(self.edge.host(self.host))
        return self.writes

    def answers(self, record: HostRecord) -> bool:
        """Whether the boot OS on record answers under its key."""
        try:
            self.around.sessions.shell(self.edge, boot_os(record)).read(("true",))
        except (Unreachable, Refused):
            return False
        return True

    def is_under_way(self) -> bool:
        """Whether a run of this job has set out for the boot OS and not arrived."""
        return bool(self._open_rows())

    def is_lost(self) -> bool:
        """Whether the boot OS that this process works in is gone: another reported in, or none answers."""
        record = self.edge.host(self.host)
        kept = self.around.memory.of(self.claim)
        if record.boot is None or record.boot.boot_no != kept.boot_no:
            return True
        return not self.answers(record)

    def _reach(self) -> None:
        record = self.edge.host(self.host)
        if not self.answers(record):
            raise Unreachable(
                "the boot OS has reported in and does not answer", host=self.host, reason="unreachable"
            )

    def _settle(self, record: HostRecord) -> None:
        """Go on in this boot OS; what was asked for has come."""
        assert record.boot is not None  # it has just answered
        self.around.memory.of(self.claim).booted(record.boot.boot_no)
        rows = self._open_rows() if self.step == STEP else ()
        if rows:
            if _sent(rows):  # the boot that came may be another one than that which the flag was set for
                clear_boot_flag(self.edge, self.claim, list(rows), log=self.log, around=self.around)
            told = {"boot": record.boot.boot_no, "writes": self.writes}
            self._note(told, phase="done")
            self.log(f"{self.host}: goes on in the boot OS of boot {record.boot.boot_no}")

    # --- a look, and what follows from it ------------------------------------------------------------------

    def _look(self) -> None:
        """Read the power, and send what is due; a BMC that does not answer is looked at again later."""
        record = self.edge.host(self.host)
        if not self.at_once and record.boot is not None and self.answers(record):
            self._is_back = True
            return
        if record.bmc_address is None:
            self.log(f"{self.host}: no BMC is known; somebody has to start the machine")
            return
        rows = self._open_rows()
        sent = _sent(rows)
        try:
            sight = self._sight(record, sent)
        except (Unreachable, Refused) as error:
            self.log(f"{self.host}: the power cannot be read: {error.message}")
            return
        action = decide(sight, rows[0].at, sent[-1].at if sent else None, at_once=self.at_once)
        if action is None:
            return
        try:
            self._send(record, action)
        except Unreachable as error:  # noted as sent if it may have gone out: the next look goes by that
            self.log(f"{self.host}: whether power {action} was done is not known: {error.message}")

    def _sight(self, record: HostRecord, sent: Sequence[JournalRow]) -> Sight:
        with self._bmc() as session:
            state = session.power()
        row = self._note({"power": state})
        before = str(sent[-1].detail.get("boot_id") or "") if sent else ""
        answers = bool(before) and state == "on" and boot_id(self.edge, record, self.around) == before
        return Sight(row.at, state, answers)

    def _send(self, record: HostRecord, action: PowerAction) -> None:
        """Wish the boot OS at the edge, PXE once at the BMC; say what goes out, then send it."""
        self._may_send(record, action)
        self.edge.boot_wish(self.host, "boot-os", epoch=self.claim.epoch)
        before = boot_id(self.edge, record, self.around) if self.at_once and action == "cycle" else None
        with self._bmc() as session:
            self.writes += set_boot(session, self.host, BootFlags("pxe", persistent=False, efi=_efi(record)))
            self._note({"sent": action, "boot_id": before})
            self.writes += act(session, self.host, action, sleep=self.around.sleep).writes
        self.log(f"{self.host}: power {action}, to boot the boot OS")
        self.around.sessions.drop(self.host)
        self.around.memory.of(self.claim).powered()

    def _may_send(self, record: HostRecord, action: PowerAction) -> None:
        rows = self.edge.journal_rows(self.host, job=self.claim.job)
        times = len(_sent([row for row in rows if row.step == self.step]))
        if times >= SENDS_MAX:
            raise Refused(
                f"the machine was started {times} times and no boot OS reported in",
                host=self.host,
                reason="boot-os-timeout",
                hint=f"rackflow console {self.host}",
            )
        if action == "cycle" and not (self.at_once or may_cycle(record, self._destroyers(record, rows))):
            raise Refused(
                "the boot OS is gone, the machine is on, and it may serve a system that nobody gave up",
                host=self.host,
                reason="boot-os-lost",
                hint=f"rackflow power cycle {self.host}",
            )

    def _destroyers(self, record: HostRecord, own: Sequence[JournalRow]) -> Sequence[JournalRow]:
        """Give the rows that tell whether disks were given up: after a failure another job's."""
        return self.edge.journal_rows(self.host) if record.phase in FAILED else own

    def _bmc(self) -> Any:
        owner = f"{self.claim.run_id}:{self.step}"
        return bmc(self.edge, self.host, owner=owner, sessions=self.around.sessions, epoch=self.claim.epoch)

    def _may_go_on(self) -> None:
        with suppress(Unreachable):
            check(self.edge, self.claim)

    def _open_rows(self) -> tuple[JournalRow, ...]:
        """This way's rows since its last outcome, oldest first."""
        rows = [row for row in self.edge.journal_rows(self.host, job=self.claim.job) if row.step == self.step]
        last = max((row.no for row in rows if row.phase != "intent"), default=-1)
        return tuple(row for row in rows if row.no > last)

    def _note(self, detail: dict[str, Any], phase: Literal["intent", "done"] = "intent") -> JournalRow:
        return self.edge.journal(
            self.host,
            epoch=self.claim.epoch,
            job=self.claim.job,
            step=self.step,
            kind=self.step,
            phase=phase,
            plan=self.plan,
            detail=detail,
        )


def may_cycle(record: HostRecord, rows: Sequence[JournalRow]) -> bool:
    """Whether a cycle costs nobody anything: its disks were begun to be erased, or there is nothing to boot.

    `rows` are the journal of the job; of all jobs where provisioning or a wipe has failed, which they also do
    before anything is erased: the system that was to be replaced then serves on.
    """
    if record.phase in GIVEN_UP or _erased(rows):
        return True
    seen = record.observation
    if seen is None or seen.hardware is None or "hardware.disks" in seen.unknown:
        return False
    return not any(disk.partitions or disk.found for disk in seen.hardware.disks)


def _erased(rows: Sequence[JournalRow]) -> bool:
    """Whether a step may have begun to erase: an intent says so, unless the step was refused after it."""
    begun = [row for row in rows if row.kind in DESTROYING]
    refused = [row for row in begun if row.phase == "failed" and row.detail.get("reason") in BEFORE_ACTING]
    return sum(row.phase == "intent" for row in begun) > len(refused)


def boot_id(edge: RunCalls, record: HostRecord, around: Surroundings) -> str | None:
    """The id of the boot that answers now, in the boot OS or the deployed system; None when neither does."""
    for where in (boot_os, running_os):
        with suppress(RackflowError):
            at: Address = where(record)
            text = around.sessions.shell(edge, at).read_file(BOOT_ID)
            if text:
                return text.decode(errors="replace").strip()
    return None


def _sent(rows: Sequence[JournalRow]) -> list[JournalRow]:
    return [row for row in rows if row.detail.get("sent")]


def _reported(record: HostRecord, since: datetime) -> bool:
    boot = record.boot
    return boot is not None and boot.reported_at is not None and boot.reported_at >= since


def _newer_than(record: HostRecord, first: datetime) -> datetime:
    """From when on a report-in is another one than that of the boot OS which is gone."""
    if record.boot is None or record.boot.reported_at is None:
        return first
    return record.boot.reported_at + timedelta(microseconds=1)


def _efi(record: HostRecord) -> bool:
    """Whether the machine starts by UEFI, as it was last read."""
    seen = record.observation
    return bool(seen and seen.hardware and seen.hardware.firmware == "uefi")
