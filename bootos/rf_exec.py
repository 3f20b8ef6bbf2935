#!/usr/bin/python3 -IS
"""rf-exec: the fence. Every command that changes a machine is started through it (DESIGN 5.1, 5.3).

    rf-exec --epoch N --step ID [--disk IDENTITY[:SIZE_BYTES]]... [--disk-open hold|check]
            [--timeout S] [--wait S] [--stdin] -- ARGV...
    rf-exec --status ID

Rules. An epoch lower than the highest seen is refused. A higher one first ends what lower ones still run,
and waits until it is gone. One step runs per machine. A step runs detached from whoever asked, with stdout,
stderr, progress.json and status.json in /run/rackflow/steps/ID; the same ID again follows the running step or
returns the finished one, never starts it anew. A step that the fence ended is finished too: another try is
another ID. What a killed supervisor leaves running is ended before anything else starts, and a command that
survives its SIGKILL (it hangs in a device) keeps everything else waiting.

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
# ruff: noqa: PTH103, PTH112, PTH123, PTH208 - see rf_records

from __future__ import annotations

import json
import os
import re
import select
import sys
import time

from bootos.rf_disk import fill_in, open_disk
from bootos.rf_fence import EXIT_LOST, FENCE_WAIT_S, admit, lives
from bootos.rf_records import EXIT_USAGE, Refused, System, load, locked, write_whole
from bootos.rf_step import Step, supervise

EXIT_UNKNOWN_STEP, EXIT_OTHER_COMMAND = 66, 76
STDIN_WAIT_S = 60.0
STEP_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
OPTIONS = ("--status", "--epoch", "--step", "--disk", "--disk-open", "--timeout", "--wait", "--stdin")
USAGE = "rf-exec --epoch N --step ID [--disk IDENTITY[:SIZE]]... [--timeout S] [--stdin] -- ARGV..."


def begin(system: System, step: Step) -> None:
    """Start the step, unless this ID is known: then there is something to follow already."""
    os.makedirs(f"{system.run}/steps", mode=0o700, exist_ok=True)
    gate, wait_s = f"{system.run}/gate", FENCE_WAIT_S + 30

    def holder() -> dict[str, object]:
        names = sorted(os.listdir(f"{system.run}/steps"))
        return {"held_by": [name for name in names if lives(system, load(f"{system.step(name)}/meta.json"))]}

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
        if not over and not alive:
            with locked(f"{system.run}/gate", FENCE_WAIT_S + 30, dict):
                admit(system, step.epoch)  # ends what it left running, and writes down that it is lost
    status = load(f"{folder}/status.json")
    if {"error", "fenced", "timed_out_after_s"} & set(status):
        os.write(2, (json.dumps({"step": step.name, **status}, sort_keys=True) + "\n").encode())
    return int(str(status.get("exit", EXIT_LOST)))


def wait_a_moment(system: System, meta: dict[str, object]) -> bool:
    """Wait until the supervisor has ended, for a tenth of a second at most; whether it lives."""
    pid = int(str(meta.get("supervisor", 0)))
    if not pid:  # forked, and about to write who it is
        time.sleep(0.01)
        return True
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        return lives(system, meta) and not select.select([handle], [], [], 0.1)[0]
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
    meta = load(f"{folder}/meta.json")
    alive = lives(system, meta)  # before the status, which is written before the end
    status, progress = (load(f"{folder}/{part}.json") for part in ("status", "progress"))
    told = {"step": name, "running": alive and not status, "lost": not alive and not status}
    line = json.dumps({**told, "meta": meta, "status": status, "progress": progress}, sort_keys=True)
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
