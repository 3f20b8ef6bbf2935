"""Waiting for a machine that boots: for its report-in or phone-home at the edge, with a deadline."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Final, TypeVar

from metal.edge_client.runs import RunCalls
from metal.errors import Refused, Unreachable
from specs.records import BootRecord, HostRecord

BOOT_OS_DEADLINE_S: Final = 600.0
OS_DEADLINE_S: Final = 600.0
POLL_S: Final = 0.5

T = TypeVar("T")

MayGoOn = Callable[[], None]
"""Raises LeaseLost or Cancelled when the run must stop; asked at each turn."""


def wait_boot_os(
    edge: RunCalls,
    host: str,
    *,
    since: datetime,
    may_go_on: MayGoOn,
    deadline_s: float = BOOT_OS_DEADLINE_S,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> BootRecord:
    """Wait until a boot OS reported in since then, by the edge's clock. Raises Refused (boot-os-timeout)."""
    return _wait(
        edge, host, lambda record: record.boot, "boot-os-timeout", since, may_go_on, deadline_s, clock, sleep
    )


def wait_os(
    edge: RunCalls,
    host: str,
    *,
    since: datetime,
    may_go_on: MayGoOn,
    deadline_s: float = OS_DEADLINE_S,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> BootRecord:
    """Wait until the deployed system phoned home since then. Raises Refused (os-timeout)."""
    return _wait(
        edge, host, lambda record: record.os, "os-timeout", since, may_go_on, deadline_s, clock, sleep
    )


def _wait(  # noqa: PLR0917 - only called by the two above
    edge: RunCalls,
    host: str,
    pick: Callable[[HostRecord], BootRecord | None],
    reason: str,
    since: datetime,
    may_go_on: MayGoOn,
    deadline_s: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> BootRecord:
    deadline = clock() + deadline_s
    while True:
        may_go_on()
        try:
            found = pick(edge.host(host))
        except Unreachable:
            found = None  # an edge that restarts meanwhile is no reason to give a machine up
        if found is not None and found.reported_at is not None and found.reported_at >= since:
            return found
        if clock() > deadline:
            raise Refused(
                f"nothing was heard of the machine within {deadline_s:.0f} s",
                host=host,
                reason=reason,
                hint=f"rackflow console {host}",
            )
        sleep(POLL_S)


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
