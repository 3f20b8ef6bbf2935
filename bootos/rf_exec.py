#!/usr/bin/python3 -IS
"""rf-exec: the fence. Every command that changes a machine is started through it (DESIGN 5.1, 5.3).

    rf-exec --epoch N --step ID [--disk IDENTITY[:SIZE_BYTES]]... [--disk-open hold|check]
            [--timeout S] [--wait S] [--stdin] -- ARGV...
    rf-exec --status ID

Rules. An epoch lower than the highest seen is refused. A higher one first ends what lower ones still run,
and waits until it is gone. One step runs per machine. A step runs detached from whoever asked, with stdout,
stderr, progress.json and status.json in /run/rackflow/steps/ID; the same ID again follows the running step or
returns the finished one, never starts it anew. A step that the fence ended is finished too: another try is
another ID.

The highest epoch stands in /var/lib/rackflow/epoch where that folder exists (a deployed OS; fsynced), else in
/run/rackflow/epoch (the boot OS, where bring-up writes the seed's floor).

Disks. IDENTITY is a serial, a WWN, or md-uuid:xxxxxxxx:xxxxxxxx:xxxxxxxx:xxxxxxxx. Exactly one block device
must have it; it is opened O_EXCL, and identity and size are read again by the device number of that
descriptor. In ARGV an element {disk0} becomes its path, {disk0:p1} the path of its first partition;
RF_DISK_0 is the path, RF_DISK_IDENTITY_0 the identity. --disk-open hold (default) passes the exclusive
descriptor on in RF_DISK_FD_0: nobody else can claim the disk. --disk-open check closes it just before the
start, for tools that claim the disk themselves (mdadm, mkfs, wipefs) or have its partitions read again
(sgdisk).

A command may write JSON lines to the descriptor RF_PROGRESS_FD; the last one is in progress.json. Start and
end are told on the console. stdin goes through a memfd, never a file. Standard library only, Python 3.9 or
newer.

Exit codes: those of the command (128 + N after signal N), and with one JSON line on stderr
     64  wrong usage                                   77  disk refused: nothing was started
     66  --status: no such step                        78  the records of this machine cannot be read
     70  the step's supervisor died without a result   79  another step did not end within --wait
     75  epoch refused                                124  the command did not end within --timeout
     76  the same ID was used for another command     126  not executable; 127: no such program
"""
# ruff: noqa: PTH103, PTH105, PTH110, PTH112, PTH119, PTH123, PTH208 - see rf_records

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import sys
import time
from typing import NamedTuple, NoReturn

from bootos.rf_disk import Disk, fill_in, open_disk
from bootos.rf_fence import FENCE_WAIT_S, TERM_GRACE_S, admit, members, processes
from bootos.rf_records import EXIT_USAGE, Refused, System, load, locked, read, write_whole

EXIT_UNKNOWN_STEP, EXIT_LOST, EXIT_OTHER_COMMAND, EXIT_TIMEOUT = 66, 70, 76, 124
OUTPUT_BYTES_MAX = 16 * 1024 * 1024
PROGRESS_BYTES_MAX = 65536
STDIN_WAIT_S = 60.0
STEP_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
PR_SET_CHILD_SUBREAPER = 36
OPTIONS = ("--status", "--epoch", "--step", "--disk", "--disk-open", "--timeout", "--wait", "--stdin")
USAGE = "rf-exec --epoch N --step ID [--disk IDENTITY[:SIZE]]... [--timeout S] [--stdin] -- ARGV..."


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


# --- the supervisor's side ---


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
        tell(system, step, f"start {os.path.basename(argv[0])}")
        status = run_command(system, step, argv, disks, stdin)
    except BaseException as error:  # noqa: BLE001 - whatever it was, the status must say so
        status = {"exit": EXIT_LOST, "error": f"rf-exec: {type(error).__name__}: {error}"}
    finally:
        try:
            if os.path.exists(f"{folder}/fenced"):
                status["fenced"] = True
            tell(system, step, f"exit={status['exit']}")
            write_whole(f"{folder}/status.json", json.dumps({**status, "ended": time.time()}))
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
                return {
                    **status,
                    "exit": EXIT_TIMEOUT,
                    "error": "the command does not end, even after SIGKILL",
                }
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


def kill_all(system: System, number: int) -> None:
    """Send a signal to all processes of this supervisor's step but itself."""
    own = os.getpid()
    for pid in members(system.proc, own, processes(system.proc)[own][3]) - {own}:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def tell(system: System, step: Step, text: str) -> None:
    """One line on the console: who watches the serial line sees every command that changes the machine."""
    with contextlib.suppress(OSError):
        fd = os.open(system.console, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_APPEND)
        try:
            os.write(fd, f"rf-exec: epoch={step.epoch} step={step.name} {text}\n".encode())
        finally:
            os.close(fd)


# --- the caller's side ---


def begin(system: System, step: Step) -> None:
    """Start the step, unless this ID is known: then there is something to follow already."""
    os.makedirs(f"{system.run}/steps", mode=0o700, exist_ok=True)
    gate, wait_s = f"{system.run}/gate", FENCE_WAIT_S + 30

    def holder() -> dict[str, object]:
        return {"held_by": [name for name in os.listdir(f"{system.run}/steps") if system.is_open(name)]}

    with locked(gate, wait_s, dict):
        admit(system, step.epoch)
        if known(system, step):
            return
    # Before any lock: a caller that went silent while it sends must not keep a higher epoch out.
    stdin = read_stdin() if step.stdin else os.open("/dev/null", os.O_RDONLY)
    with locked(f"{system.run}/machine", step.wait_s, holder), locked(gate, wait_s, dict) as gate_fd:
        admit(system, step.epoch)  # while we waited, a higher epoch or the same step may have come
        if known(system, step):
            return
        disks = [open_disk(system, wish) for wish in step.disks]
        argv = fill_in(system, step.argv, disks)
        make_folder(system, step)
        if os.fork() == 0:
            supervise(system, step, argv, disks, stdin, gate_fd)
        for fd in (stdin, *(disk.fd for disk in disks)):
            os.close(fd)


def known(system: System, step: Step) -> bool:
    """Whether this ID exists; for another command it is refused."""
    meta = load(f"{system.step(step.name)}/meta.json")
    if meta and any(meta.get(key) != value for key, value in step.command().items()):
        hint = "give another command another --step"
        error = "this step ID was used for another command"
        raise Refused(EXIT_OTHER_COMMAND, error, step=step.name, hint=hint)
    return bool(meta)


def make_folder(system: System, step: Step) -> None:
    """The step's folder with its meta.json, before anything runs."""
    folder = system.step(step.name)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    for name in ("stdout", "stderr"):
        with open(f"{folder}/{name}", "wb"):
            pass
    meta = {"step": step.name, "epoch": step.epoch, **step.command(), "started": time.time()}
    write_whole(f"{folder}/meta.json", json.dumps(meta))


def read_stdin() -> int:
    """All of stdin in memory: it may be a secret, and it must outlive the SSH session."""
    fd = os.memfd_create("rf-exec-stdin")
    block = b"-"
    while block:
        if not select.select([0], [], [], STDIN_WAIT_S)[0]:
            raise Refused(EXIT_USAGE, f"nothing came on stdin for {STDIN_WAIT_S:g} s, nor its end")
        block = os.read(0, 65536)
        os.write(fd, block)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def follow(system: System, step: Step) -> int:
    """Relay output until the step has ended; the exit code is the command's."""
    folder = system.step(step.name)
    at = {"stdout": 0, "stderr": 0}
    over = False
    while not over:
        alive = wait_a_moment(system, load(f"{folder}/meta.json"))
        over = not system.is_open(step.name)
        for target, name in ((1, "stdout"), (2, "stderr")):
            at[name] += relay(f"{folder}/{name}", at[name], target)
        if not over and not alive and system.is_open(step.name):
            raise Refused(EXIT_LOST, "the step's supervisor is gone and left no result", step=step.name)
    status = load(f"{folder}/status.json")
    if {"error", "fenced", "timed_out_after_s"} & set(status):
        os.write(2, (json.dumps({"step": step.name, **status}, sort_keys=True) + "\n").encode())
    return int(str(status.get("exit", EXIT_LOST)))


def wait_a_moment(system: System, meta: dict[str, object]) -> bool:
    """Wait until the supervisor has ended, for a tenth of a second at most; whether it lives."""
    pid, started = int(str(meta.get("supervisor", 0))), int(str(meta.get("supervisor_start", 0)))
    if not pid:  # forked, and about to write who it is
        time.sleep(0.01)
        return True
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        stat = read(f"{system.proc}/{pid}/stat").rpartition(")")[2].split()
        if len(stat) <= 19 or int(stat[19]) != started:
            return False
        return not select.select([handle], [], [], 0.1)[0]
    finally:
        os.close(handle)


def relay(path: str, offset: int, target: int) -> int:
    """Copy what was added to a file since; the number of bytes."""
    with open(path, "rb") as stream:
        stream.seek(offset)
        block = stream.read()
    done = 0
    while done < len(block):
        done += os.write(target, block[done:])
    return done


def show_status(system: System, name: str) -> int:
    """Print what is known of a step as JSON."""
    folder = system.step(name)
    if not os.path.isdir(folder):
        raise Refused(EXIT_UNKNOWN_STEP, "no such step", step=name)
    parts = {part: load(f"{folder}/{part}.json") for part in ("meta", "status", "progress")}
    line = json.dumps({"step": name, "running": system.is_open(name), **parts}, sort_keys=True)
    os.write(1, (line + "\n").encode())
    return 0


def parse(arguments: list[str]) -> Step | str:
    """The step to run, or the name of the step whose status is asked for.

    By hand: argparse and what it imports would double the start of every step on an emulated CPU.
    """
    given: dict[str, str] = {}
    disks: list[str] = []
    rest = list(arguments)
    while rest and rest[0] != "--":
        option, equals, value = rest.pop(0).partition("=")
        if option not in OPTIONS:
            raise Refused(EXIT_USAGE, f"unknown argument {option!r}", usage=USAGE)
        if option != "--stdin" and not equals:
            value = rest.pop(0) if rest else ""
        if option == "--disk":
            disks.append(value)
        else:
            given[option] = value
    name = given.get("--status", given.get("--step", ""))
    if not re.fullmatch(STEP_PATTERN, name):
        raise Refused(EXIT_USAGE, f"expected an ID like {STEP_PATTERN}, got {name!r}", usage=USAGE)
    if "--status" in given:
        return name
    argv = rest[1:]
    disk_open = given.get("--disk-open", "hold")
    if not argv or not given.get("--epoch", "").isdecimal() or disk_open not in {"hold", "check"}:
        raise Refused(
            EXIT_USAGE, "expected --epoch N, --disk-open hold|check, a command after --", usage=USAGE
        )
    try:
        timeout_s, wait_s = float(given.get("--timeout", "3600")), float(given.get("--wait", "600"))
    except ValueError:
        raise Refused(EXIT_USAGE, "--timeout and --wait: expected seconds", usage=USAGE) from None
    return Step(
        name=name,
        epoch=int(given["--epoch"]),
        argv=argv,
        disks=disks,
        disk_open=disk_open,
        timeout_s=timeout_s,
        wait_s=wait_s,
        stdin="--stdin" in given,
    )


def main(arguments: list[str], system: System = System()) -> int:  # noqa: B008 - an immutable default
    """Run or follow a step, or show its status."""
    try:
        asked = parse(arguments)
        if isinstance(asked, str):
            return show_status(system, asked)
        begin(system, asked)
        return follow(system, asked)
    except Refused as refusal:
        os.write(2, (refusal.line + "\n").encode())
        return refusal.code
    except BrokenPipeError:
        return EXIT_LOST  # nobody listens any more; the step goes on


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
