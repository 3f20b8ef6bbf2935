"""Processes that outlive the command which started them, and how to find and end them again.

A process is remembered by its id *and* its start time (clock ticks since boot, /proc/PID/stat field 22) and
the boot it belongs to, so that a record left by a crash never ends a stranger which was given the same id.
"""

import contextlib
import json
import os
import select
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class ProcessRecord:
    """One process, told apart from every other that ever had or will have its id."""

    pid: int
    start_ticks: int
    boot_id: str

    @classmethod
    def of(cls, pid: int) -> "ProcessRecord | None":
        """The record of a process that runs now (a zombie does not run), else None."""
        ticks = start_ticks(pid)
        return None if ticks is None else cls(pid, ticks, boot_id())

    @classmethod
    def load(cls, path: Path) -> "ProcessRecord | None":
        """The record in a file; None when there is none, or when it can't be read as one."""
        try:
            raw = json.loads(path.read_text())
            return cls(int(raw["pid"]), int(raw["start_ticks"]), str(raw["boot_id"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def save(self, path: Path) -> None:
        """Write the record so that a reader sees the old or the new one, never half of it."""
        write_atomically(path, json.dumps(asdict(self)))

    def alive(self) -> bool:
        """Whether this very process still runs."""
        return self.boot_id == boot_id() and start_ticks(self.pid) == self.start_ticks


def boot_id() -> str:
    """The kernel's random name of this boot."""
    return BOOT_ID.read_text().strip()


def start_ticks(pid: int) -> int | None:
    """Start time of a process in clock ticks since boot; None when it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def write_atomically(path: Path, text: str, *, mode: int = 0o600) -> None:
    """Replace a small file in one step, readable by its owner only unless told otherwise."""
    fresh = path.with_name(f"{path.name}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
    fresh.replace(path)


def spawn(
    argv: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    pass_fd: int | None = None,
) -> int:
    """Start a program in a session of its own, stdout and stderr appended to `log`; return its id.

    posix_spawn and not Popen: the child is meant to stay when its starter is gone, and nobody holds an object
    whose end of life would complain about that. `pass_fd` arrives as descriptor 3.
    """
    actions: list[tuple[int, int, str, int, int] | tuple[int, int, int]] = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    if pass_fd is not None:
        actions.append((os.POSIX_SPAWN_DUP2, pass_fd, 3))
    return os.posix_spawnp(
        argv[0],
        list(argv),
        dict(os.environ if env is None else env),
        file_actions=actions,
        setsid=True,
        setsigmask=[],
        setsigdef=[signal.SIGPIPE, signal.SIGINT, signal.SIGTERM],
    )


def end(record: ProcessRecord, *, grace_s: float) -> None:
    """SIGTERM, and SIGKILL after `grace_s`; returns when the process is gone. `grace_s=0` kills at once."""
    try:
        descriptor = os.pidfd_open(record.pid)
    except ProcessLookupError:
        return
    try:
        if not record.alive():
            return
        for name, wait_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, 10.0)):
            if name == signal.SIGTERM and not grace_s:
                continue
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, name)
            if _gone(descriptor, wait_s):
                break
    finally:
        os.close(descriptor)
        reap(record.pid)


def _gone(descriptor: int, wait_s: float) -> bool:
    """Wait for a pidfd to report the end (it turns readable; poll, for it may be above select's 1024)."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    deadline = time.monotonic() + wait_s
    while (left_s := deadline - time.monotonic()) > 0:
        if poll.poll(left_s * 1000):
            return True
    return False


def reap(pid: int) -> None:
    """Collect a child of ours that has ended; nothing when it is not ours."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
