"""Power and boot override over the BMC: read, act if need be, read back. Each under the BMC's lock."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

from metal.edge_client.runs import RunCalls
from metal.engine.claim import Claim
from metal.engine.connect import SESSIONS, Sessions, bmc
from metal.errors import Refused
from metal.protocols import Bmc, BootFlags, PowerAction

SETTLE_S: Final[dict[PowerAction, float]] = {"on": 30, "off": 30, "soft": 300, "cycle": 60, "reset": 30}
"""How long a machine may take to show the state that was asked for; soft waits for its OS."""
POLL_S: Final = 0.5
STEP: Final = "power"
"""The journal's step of a power job that sent what a reading does not show."""
ONCE: Final[frozenset[PowerAction]] = frozenset({"cycle", "reset"})
"""Actions that a reading of the power does not show."""


@dataclass(frozen=True, slots=True)
class PowerOutcome:
    """What was seen and done."""

    before: Literal["on", "off"]
    after: Literal["on", "off"]
    writes: int

    @property
    def changed(self) -> bool:
        """Whether anything was sent."""
        return self.writes > 0


def nothing(_action: PowerAction) -> None:
    """Note nothing."""


def power_once(
    edge: RunCalls,
    claim: Claim,
    action: PowerAction | Literal["status"],
    *,
    sessions: Sessions = SESSIONS,
    sleep: Callable[[float], None] = time.sleep,
) -> PowerOutcome:
    """Do what a power job asks for; a cycle or reset goes out once, however many tries and runs that takes.

    It is noted just before it is sent: a BMC that shares the machine's NIC goes silent with it, and a try
    that ends so must not be followed by another cycle of a machine that is starting, but by "on".
    """
    rows = [row for row in edge.journal_rows(claim.host, job=claim.job) if row.step == STEP]
    sent_before = action in ONCE and any(row.detail.get("sent") for row in rows)

    def note(sent: PowerAction) -> None:
        if sent in ONCE:
            said = {"sent": sent, "says": f"power {sent}"}
            edge.journal(
                claim.host,
                epoch=claim.epoch,
                job=claim.job,
                step=STEP,
                kind=STEP,
                phase="intent",
                detail=said,
            )

    outcome = power(
        edge,
        claim.host,
        "on" if sent_before else action,
        owner=claim.run_id,
        sessions=sessions,
        sleep=sleep,
        epoch=claim.epoch,
        note=note,
    )
    return replace(outcome, writes=outcome.writes + 1) if sent_before else outcome


def power(
    edge: RunCalls,
    host: str,
    action: PowerAction | Literal["status"],
    *,
    owner: str,
    sessions: Sessions = SESSIONS,
    sleep: Callable[[float], None] = time.sleep,
    epoch: int | None = None,
    note: Callable[[PowerAction], None] = nothing,
) -> PowerOutcome:
    """Bring the power to where the action wants it. Raises Refused when the machine does not follow.

    The lock is prolonged as long as this takes; with an epoch the edge refuses a run whose lease is lost.
    """
    with bmc(edge, host, owner=owner, sessions=sessions, epoch=epoch) as session:
        outcome = act(session, host, action, sleep=sleep, note=note)
    if outcome.changed:
        sessions.drop(host)
    return outcome


def act(
    session: Bmc,
    host: str,
    action: PowerAction | Literal["status"],
    *,
    sleep: Callable[[float], None],
    note: Callable[[PowerAction], None] = nothing,
) -> PowerOutcome:
    """Read, act, wait for the state; `cycle` and `reset` of a machine that is off are `on`.

    `note` is told what goes out, just before it does.
    """
    before = session.power()
    if action == "status":
        return PowerOutcome(before, before, 0)
    needed = _needed(before, action)
    if needed is None:
        return PowerOutcome(before, before, 0)
    note(needed)
    session.set_power(needed)
    wanted: Literal["on", "off"] = "off" if needed in ("off", "soft") else "on"
    after, writes = session.power(), 1
    turns = int(SETTLE_S[needed] / POLL_S)
    for turn in range(turns):
        if after == wanted:
            return PowerOutcome(before, after, writes)
        sleep(POLL_S)
        after = session.power()
        if turn == turns // 2 and wanted == "on" and after == "off":
            session.set_power("on")  # it was cut meanwhile, or this BMC's cycle ends with off
            writes += 1
    raise Refused(
        f"power {needed} was sent, and the machine is still {after} after {SETTLE_S[needed]:.0f} s",
        host=host,
        reason="refused",
        hint=f"rackflow power status {host}",
    )


def set_boot(session: Bmc, host: str, flags: BootFlags) -> int:
    """Set the boot override unless it is so; read it back. Gives the number of writes."""
    if session.boot_flags() == flags:
        return 0
    session.set_boot_flags(flags)
    seen = session.boot_flags()
    if seen != flags:
        raise Refused(
            f"the BMC keeps another boot override: set {flags}, read back {seen}", host=host, reason="refused"
        )
    return 1


def _needed(before: Literal["on", "off"], action: PowerAction) -> PowerAction | None:
    if before == "off":
        return "on" if action in ("on", "cycle", "reset") else None
    return None if action == "on" else action
