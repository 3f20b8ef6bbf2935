"""rf-exec's fence: the highest epoch seen, and the end of everything that lower epochs still run.

Not a program: a part of the one file that is installed as rf-exec (`bootos.one_file`).
"""
# ruff: noqa: PTH110, PTH112, PTH208 - see rf_records

from __future__ import annotations

import contextlib
import json
import os
import signal
import time

from bootos.rf_records import (
    EXIT_BUSY,
    EXIT_EPOCH,
    EXIT_RECORDS,
    Refused,
    System,
    load,
    read,
    read_bytes,
    write_whole,
)

EXIT_LOST = 70
TERM_GRACE_S = 3.0
FENCE_WAIT_S = 60.0


def highest_epoch(system: System) -> int:
    """The highest epoch seen, wherever it stands: the lasting folder may have come after the first step."""
    found = [0]
    for path in (f"{system.lasting}/epoch", f"{system.run}/epoch"):
        text = read(path)
        if os.path.exists(path) and not text.isdigit():
            hint = "inspect the machine by hand"
            raise Refused(EXIT_RECORDS, f"{path} is damaged", found=text[:40], hint=hint)
        found.append(int(text or 0))
    return max(found)


def admit(system: System, epoch: int) -> None:
    """Refuse a lower epoch; remember a higher one and end what lower ones run. Called under the gate.

    A step whose supervisor was killed is ended too, whatever its epoch: its command may go on alone, with
    nobody who holds the machine's lock for it.
    """
    highest = highest_epoch(system)
    if epoch < highest:
        raise Refused(
            EXIT_EPOCH,
            "epoch refused",
            epoch=epoch,
            highest=highest,
            hint="another run holds this host's lease",
        )
    if epoch > highest:
        folder = system.lasting if os.path.isdir(system.lasting) else system.run
        write_whole(f"{folder}/epoch", f"{epoch}\n")
    for name in sorted(os.listdir(f"{system.run}/steps")):
        if system.is_open(name):
            meta = load(f"{system.step(name)}/meta.json")
            if int(str(meta.get("epoch", epoch))) < epoch:
                end_step(system, name, meta)
            elif not lives(system, meta) and system.is_open(name):  # the status is written before the end
                bury(system, name, meta)


def lives(system: System, meta: dict[str, object]) -> bool:
    """Whether the supervisor of a step is there; its number may have been given to another process."""
    pid, started = int(str(meta.get("supervisor", 0))), int(str(meta.get("supervisor_start", 0)))
    stat = read(f"{system.proc}/{pid}/stat").rpartition(")")[2].split() if pid else []
    return len(stat) > 19 and int(stat[19]) == started and stat[0] not in "ZX"


def tell(system: System, name: str, epoch: object, text: str) -> None:
    """One line on the console: who watches the serial line sees every command that changes the machine."""
    with contextlib.suppress(OSError):
        fd = os.open(system.console, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_APPEND)
        try:
            os.write(fd, f"rf-exec: epoch={epoch} step={name} {text}\n".encode())
        finally:
            os.close(fd)


def bury(system: System, name: str, meta: dict[str, object]) -> None:
    """End what a killed supervisor left running, and write down that nobody knows how far it came."""
    end_processes(system, name, meta)
    error = "the step's supervisor is gone and left no result; what it had started was ended"
    tell(system, name, meta.get("epoch"), f"exit={EXIT_LOST}")
    status = {"exit": EXIT_LOST, "lost": True, "error": error}
    write_whole(f"{system.step(name)}/status.json", json.dumps(status))


def processes(proc: str) -> dict[int, tuple[str, int, int, int]]:
    """Each process by its number as (state, parent, session, start time), from proc_pid_stat(5)."""
    table = {}
    for entry in os.listdir(proc):
        if entry.isdigit():
            fields = read(f"{proc}/{entry}/stat").rpartition(")")[2].split()
            if len(fields) > 19:
                table[int(entry)] = (fields[0], int(fields[1]), int(fields[3]), int(fields[19]))
    return table


def members(proc: str, supervisor: int, started: int, name: str = "") -> set[int]:
    """Live processes of a step: its session and all descendants; its supervisor adopts their orphans.

    Orphans of a supervisor that is gone are found by the step's `name` in their environment.
    """
    table = {pid: entry for pid, entry in processes(proc).items() if entry[0] not in "ZX"}
    if supervisor in table and table[supervisor][3] != started:
        return set()  # the number was given to another process, so the session is long empty
    found = {pid for pid, entry in table.items() if entry[2] == supervisor or pid == supervisor}
    if name and supervisor not in table:
        mark = f"RF_STEP={name}".encode()
        found |= {pid for pid in table if mark in read_bytes(f"{proc}/{pid}/environ").split(b"\0")}
    while True:
        more = {pid for pid, entry in table.items() if entry[1] in found} - found
        if not more:
            return found
        found |= more


def end_step(system: System, name: str, meta: dict[str, object]) -> None:
    """End all processes of an unfinished step of a lower epoch, and say that it was fenced."""
    write_whole(f"{system.step(name)}/fenced", "")
    end_processes(system, name, meta)
    if system.is_open(name):
        tell(system, name, meta.get("epoch"), f"exit={128 + signal.SIGKILL}")
        status = {"exit": 128 + signal.SIGKILL, "fenced": True}
        write_whole(f"{system.step(name)}/status.json", json.dumps(status))


def end_processes(system: System, name: str, meta: dict[str, object]) -> None:
    """TERM, then KILL, then wait until they are gone."""
    supervisor, started = int(str(meta.get("supervisor", 0))), int(str(meta.get("supervisor_start", 0)))
    begun = time.monotonic()
    while supervisor:
        alive = members(system.proc, supervisor, started, name)
        if not alive:
            return
        elapsed = time.monotonic() - begun
        if elapsed > FENCE_WAIT_S:
            hint = "they may hang in a device; power-cycle the machine"
            raise Refused(EXIT_BUSY, f"step {name} does not end", pids=sorted(alive), hint=hint)
        # the supervisor goes last: it adopts orphans and writes the status
        targets = alive - {supervisor} if elapsed < 2 * TERM_GRACE_S else alive
        for pid in targets:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM if elapsed < TERM_GRACE_S else signal.SIGKILL)
        time.sleep(0.05)
