"""What a check finds, and how checks run: side by side, each with a time-out, a crash being a finding."""

import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

Status = Literal["ok", "warning", "failed", "skipped"]
GROUPS: Final = (
    "edge", "tls", "clock", "ports", "rights", "networks", "routes", "dhcp", "boot", "path", "prefect",
    "images", "bmc",
)  # fmt: skip
"""In the order in which a site is put right: what stands first often explains what follows."""
TIMEOUT_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's answer."""

    status: Status
    name: str
    message: str
    next: str = ""
    """What to do; empty where nothing is to be done."""


@dataclass(frozen=True, slots=True)
class Reported:
    """A finding with the group that it is shown in."""

    group: str
    finding: Finding


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to look at; it gives a finding per thing that it looked at."""

    group: str
    name: str
    run: Callable[[], Iterable[Finding]]
    timeout_s: float = TIMEOUT_S


def ok(name: str, message: str) -> Finding:
    """All is well."""
    return Finding("ok", name, message)


def warning(name: str, message: str, next_: str = "") -> Finding:
    """It works, and will not for long, or not for all."""
    return Finding("warning", name, message, next_)


def failed(name: str, message: str, next_: str) -> Finding:
    """Machines will not boot, or jobs not run, until this is put right."""
    return Finding("failed", name, message, next_)


def skipped(name: str, message: str, next_: str = "") -> Finding:
    """Not looked at, and why not."""
    return Finding("skipped", name, message, next_)


def why(error: Exception) -> str:
    """An error in one line; many of httpx's say nothing but their name."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def run_checks(checks: Sequence[Check], on_end: Callable[[Check], None] = lambda _: None) -> list[Reported]:
    """Run all at once; the findings come in the order of the checks.

    A thread that hangs in a system call can't be ended: it is a daemon, and left behind at its time-out.
    """
    ended: queue.Queue[tuple[int, tuple[Finding, ...]]] = queue.Queue()
    started = time.monotonic()
    for number, check in enumerate(checks):
        threading.Thread(target=_run, args=(number, check, ended), daemon=True, name=check.name).start()
    found: dict[int, tuple[Finding, ...]] = {}
    while len(found) < len(checks):
        waits = [check.timeout_s for number, check in enumerate(checks) if number not in found]
        try:
            number, findings = ended.get(timeout=max(0.0, started + min(waits) - time.monotonic()))
        except queue.Empty:
            elapsed = time.monotonic() - started
            late = [n for n, check in enumerate(checks) if n not in found and check.timeout_s <= elapsed]
            for number in late:
                found[number] = (_late(checks[number]),)
                on_end(checks[number])
            continue
        if number not in found:
            found[number] = findings
            on_end(checks[number])
    return [Reported(check.group, f) for number, check in enumerate(checks) for f in found[number]]


def _run(number: int, check: Check, ended: "queue.Queue[tuple[int, tuple[Finding, ...]]]") -> None:
    try:
        findings = tuple(check.run())
    except Exception as error:  # noqa: BLE001 - whatever it is, the other checks count all the same
        broke = f"the check itself broke: {why(error)}"
        findings = (failed(check.name, broke, "report this with the output of rackflow doctor --json"),)
    ended.put((number, findings))


def _late(check: Check) -> Finding:
    said = f"no result within {check.timeout_s:.0f} s"
    return failed(check.name, said, "look whether machine or network is overloaded, and run it again")
