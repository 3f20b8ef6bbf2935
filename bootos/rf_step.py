"""rf-exec's supervisor: it runs one command to its end, apart from whoever asked, and notes how it went.

Not a program: a part of the one file that is installed as rf-exec (`bootos.one_file`).
"""
# ruff: noqa: PTH105, PTH110, PTH119, PTH123 - see rf_records

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import time
from typing import NamedTuple, NoReturn

from bootos.rf_disk import Disk
from bootos.rf_fence import EXIT_LOST, FENCE_WAIT_S, TERM_GRACE_S, members, processes, tell
from bootos.rf_records import System, load, write_whole

EXIT_TIMEOUT = 124
OUTPUT_BYTES_MAX = 16 * 1024 * 1024
PROGRESS_BYTES_MAX = 65536
PR_SET_CHILD_SUBREAPER = 36


class Step(NamedTuple):
    """What is asked for."""

    name: str
    epoch: int
    argv: list[str]
    disks: list[str]
    disk_open: str
    timeout_s: float
    wait_s: float
    stdin: bool

    def command(self) -> dict[str, object]:
        """What makes the same ID the same command; stdin may be a secret and has no part in it."""
        return {"argv": self.argv, "disks": self.disks, "disk_open": self.disk_open}


def supervise(
    system: System, step: Step, argv: list[str], disks: list[Disk], stdin: int, gate: int
) -> NoReturn:
    """Run the command to its end, apart from the caller; the result is status.json.

    The inherited gate is closed only when the records name this process, so that no fence can miss it; the
    inherited machine lock is held to the end.
    """
    folder = system.step(step.name)
    status: dict[str, object] = {"exit": EXIT_LOST}
    try:
        detach()
        started = processes(system.proc)[os.getpid()][3]
        meta = {**load(f"{folder}/meta.json"), "supervisor": os.getpid(), "supervisor_start": started}
        write_whole(f"{folder}/meta.json", json.dumps(meta))
        os.close(gate)
        tell(system, step.name, step.epoch, f"start {os.path.basename(argv[0])}")
        status = run_command(system, step, argv, disks, stdin)
    except BaseException as error:  # noqa: BLE001 - whatever it was, the status must say so
        status = {"exit": EXIT_LOST, "error": f"rf-exec: {type(error).__name__}: {error}"}
    finally:
        try:
            if os.path.exists(f"{folder}/fenced"):
                status["fenced"] = True
            tell(system, step.name, step.epoch, f"exit={status['exit']}")
            write_whole(f"{folder}/status.json", json.dumps({**status, "ended": time.time()}))
            if status.get("left"):
                outlast(system)
        finally:
            os._exit(0)  # never back into the caller's code, whatever the disk says


def detach() -> None:
    """A session of its own, no terminal, deaf to hang-ups; and the parent of all orphans of the command."""
    import ctypes  # noqa: PLC0415 - only the supervisor pays for it

    os.setsid()
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def run_command(
    system: System, step: Step, argv: list[str], disks: list[Disk], stdin: int
) -> dict[str, object]:
    """Start the command and copy its output and progress until it ends or its time is over."""
    folder = system.step(step.name)
    pipes = {name: os.pipe() for name in ("stdout", "stderr", "progress")}
    keep = [pipes["progress"][1]]
    env = {**os.environ, "RF_PROGRESS_FD": str(pipes["progress"][1]), "RF_STEP": step.name}
    for index, disk in enumerate(disks):
        env[f"RF_DISK_{index}"] = disk.path
        env[f"RF_DISK_IDENTITY_{index}"] = disk.identity
        if step.disk_open == "hold":
            env[f"RF_DISK_FD_{index}"] = str(disk.fd)
            keep.append(disk.fd)
        else:
            os.close(disk.fd)
    if os.path.exists(f"{folder}/fenced"):
        return {"exit": 128 + signal.SIGKILL, "error": "ended by a higher epoch before the start"}
    pid = os.fork()
    if pid == 0:
        execute(argv, env, keep, (stdin, pipes["stdout"][1], pipes["stderr"][1]))
    for fd in (*(writer for _reader, writer in pipes.values()), *keep[1:]):
        os.close(fd)  # the command's copies keep the disks claimed
    readers = {name: reader for name, (reader, _writer) in pipes.items()}
    return collect(system, folder, readers, pid, step.timeout_s)


def execute(
    argv: list[str], env: dict[str, str], keep: list[int], standard: tuple[int, int, int]
) -> NoReturn:
    """In the child: a process group of its own, the three streams, the descriptors to keep, exec."""
    try:
        os.setpgid(0, 0)
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        for target, fd in enumerate(standard):
            os.dup2(fd, target)
        for fd in keep:
            os.set_inheritable(fd, True)
        os.execvpe(argv[0], argv, env)  # noqa: S606 - running what it is given is what this program is for
    except OSError as error:
        os.write(2, f"rf-exec: {argv[0]}: {error.strerror}\n".encode())
        os._exit(127 if isinstance(error, FileNotFoundError) else 126)


def collect(
    system: System, folder: str, readers: dict[str, int], pid: int, timeout_s: float
) -> dict[str, object]:
    """Copy the streams into files until the command itself is gone, whatever it leaves running."""
    handle = os.pidfd_open(pid)
    streams = Streams(folder, readers)
    poller = select.poll()
    for fd in (*readers.values(), handle):
        poller.register(fd, select.POLLIN)
    deadline, signals = time.monotonic() + timeout_s, [signal.SIGTERM, signal.SIGKILL]
    status: dict[str, object] = {}
    ended = False
    while not ended:
        ready = [fd for fd, _event in poller.poll(200)]
        ended = ready == [handle]  # output that is ready is read before the end is believed
        for fd in ready:
            if fd != handle and not streams.take(fd):
                poller.unregister(fd)
        if time.monotonic() > deadline and not ended:
            status["timed_out_after_s"] = timeout_s
            if not signals:
                error = "the command does not end, even after SIGKILL; no other step starts before it has"
                return {**status, "exit": EXIT_TIMEOUT, "error": error, "left": sorted(rest(system))}
            kill_all(system, signals.pop(0))
            deadline = time.monotonic() + (TERM_GRACE_S if signals else FENCE_WAIT_S)
    _pid, code = os.waitpid(pid, 0)
    result = 128 + os.WTERMSIG(code) if os.WIFSIGNALED(code) else os.WEXITSTATUS(code)
    exit_code = EXIT_TIMEOUT if "timed_out_after_s" in status else result
    return {**status, **streams.cut(), "exit": exit_code}


class Streams:
    """The output of the command on its way into the step's files, each up to a limit: /run is memory."""

    def __init__(self, folder: str, readers: dict[str, int]) -> None:
        self._folder = folder
        self._names = {fd: name for name, fd in readers.items()}
        self._sizes = dict.fromkeys(readers.values(), 0)
        self._progress = b""

    def take(self, fd: int) -> bool:
        """Move what is ready; False at the end of the stream."""
        block = os.read(fd, 65536)
        name = self._names[fd]
        if name == "progress":
            *lines, rest = (self._progress + block).split(b"\n")
            self._progress = rest[-PROGRESS_BYTES_MAX:]
            self._note_progress(lines)
        else:
            room = max(0, OUTPUT_BYTES_MAX - self._sizes[fd])
            self._sizes[fd] += len(block)
            with open(f"{self._folder}/{name}", "ab") as stream:
                stream.write(block[:room])
        return bool(block)

    def cut(self) -> dict[str, object]:
        """Which streams were longer than what is kept."""
        over = {fd: size for fd, size in self._sizes.items() if size > OUTPUT_BYTES_MAX}
        return {f"{self._names[fd]}_bytes_lost": size - OUTPUT_BYTES_MAX for fd, size in over.items()}

    def _note_progress(self, lines: list[bytes]) -> None:
        for line in reversed(lines):
            with contextlib.suppress(ValueError):
                json.loads(line)
                partial = f"{self._folder}/progress.new"
                with open(partial, "wb") as stream:
                    stream.write(line)
                os.replace(partial, f"{self._folder}/progress.json")
                return


def rest(system: System) -> set[int]:
    """All live processes of this supervisor's step but itself."""
    own = os.getpid()
    return members(system.proc, own, processes(system.proc)[own][3]) - {own}


def outlast(system: System) -> None:
    """Hold the machine's lock while anything of the step lives: what hangs in a device may write later."""
    while rest(system):
        time.sleep(0.2)


def kill_all(system: System, number: int) -> None:
    """Send a signal to all processes of this supervisor's step but itself."""
    for pid in rest(system):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
