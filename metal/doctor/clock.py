"""Clocks: certificates, tokens and leases are judged by time, and a boot OS gets its time from the edge."""

import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Final

from metal.doctor.findings import Finding, failed, ok, skipped, warning
from metal.doctor.surroundings import Surroundings

SKEW_WARN_S: Final = 2.0
SKEW_FAIL_S: Final = 60.0
"""Certificates are back-dated by five minutes, boot tokens live for fifteen."""
RTC: Final = Path("/sys/class/rtc/rtc0/since_epoch")
MADE_S: Final = 1_764_547_200
"""2025-12-01: no clock that is right says an earlier day."""


def check_clock(around: Surroundings, rtc: Path = RTC) -> Iterator[Finding]:
    """This machine's clock against the edge's, and against its own battery-backed one."""
    yield judge_now(around.now())
    if around.edge is not None:
        if around.on_edge_host:
            yield skipped("edge's clock", "it is this machine's")
        else:
            yield judge_skew("edge's clock", around.edge.clock_ahead_s)
    try:
        battery = float(rtc.read_text())
    except (OSError, ValueError):
        yield skipped("hardware clock", "this machine shows none")
        return
    yield judge_rtc(battery, around.now())


def judge_now(now: float) -> Finding:
    """A clock before the software's own day was never set."""
    if now < MADE_S:
        said = f"it says {formatdate(now, usegmt=True)}"
        return failed("this machine's clock", said, "set it: systemctl restart systemd-timesyncd, or chrony")
    return ok("this machine's clock", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now)))


def judge_skew(name: str, ahead_s: float | None) -> Finding:
    """The verdict on another's clock."""
    if ahead_s is None:
        return skipped(name, "its answer carries no date")
    size = abs(ahead_s)
    way = "ahead of" if ahead_s > 0 else "behind"
    said = f"it is {size:.0f} s {way} this machine's"
    fix = "run a time service (chrony, systemd-timesyncd) on both, against the same server"
    if size >= SKEW_FAIL_S:
        return failed(name, f"{said}: certificates and boot tokens are judged wrongly", fix)
    if size >= SKEW_WARN_S:
        return warning(name, said, fix)
    return ok(name, "agrees with this machine's")


def judge_rtc(battery: float, now: float) -> Finding:
    """The verdict on the clock that the next boot starts from; local time there shows as whole hours."""
    size = abs(battery - now)
    if size < SKEW_WARN_S:
        return ok("hardware clock", "agrees with the system's")
    return warning("hardware clock", f"it is {size:.0f} s off the system's", "hwclock --systohc --utc")
