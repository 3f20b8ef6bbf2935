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

from bootos.rf_records import EXIT_BUSY, EXIT_EPOCH, EXIT_RECORDS, Refused, System, load, read, write_whole

TERM_GRACE_S = 3.0
FENCE_WAIT_S = 60.0


def epoch_file(system: System) -> str:
    """Where the highest epoch is kept."""
    return f"{system.lasting if os.path.isdir(system.lasting) else system.run}/epoch"


def admit(system: System, epoch: int) -> None:
    """Refuse a lower epoch; remember a higher one and end what lower ones run. Called under the gate."""
    path = epoch_file(system)
    text = read(path)
    if os.path.exists(path) and not text.isdigit():
        raise Refused(EXIT_RECORDS, f"{path} is damaged", found=text[:40], hint="inspect the machine by hand")
    highest = int(text or 0)
    if epoch < highest:
        raise Refused(
            EXIT_EPOCH,
            "epoch refused",
            epoch=epoch,
            highest=highest,
            hint="another run holds this host's lease",
        )
    if epoch > highest:
        write_whole(path, f"{epoch}\n")
    for name in sorted(os.listdir(f"{system.run}/steps")):
        if system.is_open(name):
            meta = load(f"{system.step(name)}/meta.json")
            if int(str(meta.get("epoch", epoch))) < epoch:
                end_step(system, name, meta)


def processes(proc: str) -> dict[int, tuple[str, int, int, int]]:
    """Each process by its number as (state, parent, session, start time), from proc_pid_stat(5)."""
    table = {}
    for entry in os.listdir(proc):
        if entry.isdigit():
            fields = read(f"{proc}/{entry}/stat").rpartition(")")[2].split()
            if len(fields) > 19:
                table[int(entry)] = (fields[0], int(fields[1]), int(fields[3]), int(fields[19]))
    return table


def members(proc: str, supervisor: int, started: int) -> set[int]:
    """Live processes of a step: its session and all descendants; its supervisor adopts their orphans."""
    table = {pid: entry for pid, entry in processes(proc).items() if entry[0] not in "ZX"}
    if supervisor in table and table[supervisor][3] != started:
        return set()  # the number was given to another process, so the session is long empty
    found = {pid for pid, entry in table.items() if entry[2] == supervisor or pid == supervisor}
    while True:
        more = {pid for pid, entry in table.items() if entry[1] in found} - found
        if not more:
            return found
        found |= more


def end_step(system: System, name: str, meta: dict[str, object]) -> None:
    """End all processes of an unfinished step: TERM, then KILL, then wait until they are gone."""
    supervisor, started = int(str(meta.get("supervisor", 0))), int(str(meta.get("supervisor_start", 0)))
    write_whole(f"{system.step(name)}/fenced", "")
    begun = time.monotonic()
    while supervisor:
        alive = members(system.proc, supervisor, started)
        if not alive:
            break
        elapsed = time.monotonic() - begun
        if elapsed > FENCE_WAIT_S:
            hint = "they may hang in a device; power-cycle the machine"
            raise Refused(
                EXIT_BUSY, f"step {name} of a lower epoch does not end", pids=sorted(alive), hint=hint
            )
        # the supervisor goes last: it adopts orphans and writes the status
        targets = alive - {supervisor} if elapsed < 2 * TERM_GRACE_S else alive
        for pid in targets:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM if elapsed < TERM_GRACE_S else signal.SIGKILL)
        time.sleep(0.05)
    if system.is_open(name):
        status = {"exit": 128 + signal.SIGKILL, "fenced": True}
        write_whole(f"{system.step(name)}/status.json", json.dumps(status))
