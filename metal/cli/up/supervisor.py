"""Keeps parts running: start, restart with back-off, stop by SIGTERM and after 10 s by SIGKILL.

Each part is the leader of its own process group, so that what it started ends with it. Idle Prefect
workers were seen to ignore SIGTERM for minutes, hence the deadline.
"""

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from metal.cli.up.parts import Part
from metal.errors import RackflowError

BACKOFF_S: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
HEALTHY_AFTER_S: Final = 60.0
POLL_S: Final = 0.1
DIE_WITH_US: Final = ("setpriv", "--pdeathsig")
"""A supervisor that is killed with SIGKILL must not leave parts behind that hold its ports."""


@dataclass
class Running:
    """One part's process and its record of restarts."""

    part: Part
    log: Path
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    restarts: int = 0
    not_before: float = 0.0
    history: list[str] = field(default_factory=list)


class Supervisor:
    """Runs parts until told to stop. `say` gets one line per event that an operator wants to see."""

    def __init__(self, logs: Path, say: Callable[[str], None]) -> None:
        self._logs = logs
        self._say = say
        self._parts: list[Running] = []
        self._stop = threading.Event()

    def start(self, part: Part, *, ready_s: float = 90.0) -> None:
        """Start a part and wait until its port answers; raises with the end of its log when it does not."""
        self._logs.mkdir(parents=True, exist_ok=True)
        running = Running(part, self._logs / f"{part.name}.log")
        self._parts.append(running)
        logged_before = running.log.stat().st_size if running.log.exists() else 0
        self._spawn(running)
        deadline = time.monotonic() + ready_s
        while not is_ready(running, logged_before):
            assert running.process is not None
            if self._stop.is_set():
                return
            if running.process.poll() is not None or time.monotonic() > deadline:
                raise RackflowError(
                    f"{part.name} did not come up: {tail(running.log)}",
                    hint=f"see {running.log}",
                )
            self._stop.wait(POLL_S)
        self._say(f"{part.name}: running, log {running.log}")

    def watch(self) -> None:
        """Restart what dies, until stopped."""
        while not self._stop.wait(0.5):
            now = time.monotonic()
            for running in self._parts:
                self._check(running, now)

    def stop(self) -> None:
        """Ask to end; `watch` returns and `close` ends the parts."""
        self._stop.set()

    def close(self) -> None:
        """End all parts: SIGTERM to each, last started first; SIGKILL to what is left after its grace."""
        self._stop.set()
        for running in reversed(self._parts):
            terminate(running)
        asked_at = time.monotonic()
        for running in reversed(self._parts):
            finish(running, max(0.1, asked_at + running.part.grace_s - time.monotonic()))
        self._parts.clear()

    def _check(self, running: Running, now: float) -> None:
        process = running.process
        if process is not None and process.poll() is None:
            if running.restarts and now - running.started_at > HEALTHY_AFTER_S:
                running.restarts = 0
            return
        if process is not None:
            delay_s = BACKOFF_S[min(running.restarts, len(BACKOFF_S) - 1)]
            running.not_before = now + delay_s
            running.process = None
            self._say(
                f"{running.part.name}: ended with {process.returncode}, starting again in {delay_s:.0f} s"
            )
            kill_group(process)
        if now >= running.not_before:
            running.restarts += 1
            self._spawn(running)

    def _spawn(self, running: Running) -> None:
        part = running.part
        with running.log.open("ab") as log:
            running.process = subprocess.Popen(
                (*DIE_WITH_US, part.orphan_signal, "--", *part.argv),
                env=os.environ | part.env,
                cwd=part.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        running.started_at = time.monotonic()


def is_ready(running: Running, logged_before: int) -> bool:
    """Whether the part shows that it serves: its port answers, its text stands in this start's log."""
    part = running.part
    if part.ready_port is not None and not port_open(part.ready_port):
        return False
    if part.ready_text is None:
        return True
    with running.log.open("rb") as log:
        log.seek(logged_before)
        return part.ready_text.encode() in log.read()


def terminate(running: Running) -> None:
    """SIGTERM to the part's group."""
    if running.process is not None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.process.pid, signal.SIGTERM)


def finish(running: Running, wait_s: float) -> None:
    """Wait for a part that was asked to end, then SIGKILL its group; afterwards it is gone for sure."""
    process = running.process
    if process is None:
        return
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(wait_s)
    kill_group(process)
    process.wait()
    running.process = None


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL whatever is left of the group: a flow run must not outlive its worker unseen."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def port_open(port: int) -> bool:
    """Whether something accepts on 127.0.0.1:port."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def tail(log: Path, lines: int = 8) -> str:
    """The last lines of a log, for an error message."""
    with contextlib.suppress(OSError):
        return " | ".join(log.read_text(errors="replace").splitlines()[-lines:]) or "it said nothing"
    return "it left no log"
