"""What a machine's serial console says was done to it: a witness that knows nothing of rackflow's journal.

`rf-exec` tells the start and the end of every command that changes the machine on the console. From these
lines alone follows whether two writers were there at once, and whether a finished step was done again.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LINE: Final = re.compile(
    r"rf-exec: epoch=(?P<epoch>\d+) step=(?P<step>\S+) (?:start (?P<program>\S+)|exit=(?P<exit>\d+))"
    r"|(?P<boot>\[ +0\.000000\] Linux version )"
)
STEP: Final = re.compile(r"(?P<job>\d+)-(?P<name>.+)-(?P<process>[0-9a-f]{8})-(?P<number>\d+)")
ONCE: Final = ("sgdisk", "rf-wipe", "mkfs.")
"""Programs whose step reads before it acts: finished once, they have nothing to do a second time.

`rf-write` is none of them: after a crash between its end and the journal's row it starts again, finds every
chunk in place and writes none. The disks' write counters judge it.
"""


@dataclass(slots=True)
class Command:
    """One command of one step, as the console told it."""

    boot: int
    epoch: int
    job: int
    step: str
    process: str
    program: str
    status: int | None = None
    """Its exit status; None when the console never told an end."""
    outlasted: int | None = None
    """The higher epoch that had started something before this command's end was told."""


def commands(text: str) -> list[Command]:
    """All commands on a console, in order; `boot` counts the kernels that started before."""
    found: list[Command] = []
    running: dict[str, Command] = {}
    boot = 0
    for line in LINE.finditer(text):
        if line["boot"]:
            boot += 1
            running.clear()
            continue
        named = STEP.fullmatch(line["step"])
        if line["program"] is None:
            ended = running.pop(line["step"], None)
            if ended is not None:
                ended.status = int(line["exit"])
                ended.outlasted = found[-1].epoch if found[-1].epoch > ended.epoch else None
        elif named is not None:
            one = Command(
                boot, int(line["epoch"]), int(named["job"]), named["name"], named["process"], line["program"]
            )
            running[line["step"]] = one
            found.append(one)
    return found


def read(serial_log: Path) -> list[Command]:
    """The commands of a machine's whole life."""
    return commands(serial_log.read_text(errors="replace"))


def violations(seen: list[Command]) -> list[str]:
    """Everything that must never be: a second writer, an older one after a newer, a finished step again."""
    return [*_second_writers(seen), *_again(seen)]


def untold(seen: list[Command], programs: Iterable[str]) -> list[str]:
    """Programs of which the console told no good end: where they must have run, it is no witness.

    A power cut takes the end's line with it, also of a command that had done its work.
    """
    last = max((one.boot for one in seen), default=0)
    told = {one.program for one in seen if one.status == 0 or (one.status is None and one.boot < last)}
    return [
        f"the console tells of no {program} that ended well" for program in programs if program not in told
    ]


def _second_writers(seen: list[Command]) -> Iterator[str]:
    highest = 0
    for before, one in zip([None, *seen], seen, strict=False):
        if one.epoch < highest:
            yield f"epoch {one.epoch} started {one.program} of {one.step} after epoch {highest} had"
        highest = max(highest, one.epoch)
        still = before is not None and before.boot == one.boot and before.status is None
        if still and before is not None and before.epoch == one.epoch:
            yield f"{one.program} of {one.step} started while {before.program} of {before.step} ran"
        if one.outlasted is not None:
            yield f"{one.program} of {one.step}, epoch {one.epoch}, ended after epoch {one.outlasted} began"


def _again(seen: list[Command]) -> Iterator[str]:
    finished: dict[tuple[int, str, str], str] = {}
    for one in seen:
        what = (one.job, one.step, one.program)
        if not one.program.startswith(ONCE):
            continue
        if finished.get(what, one.process) != one.process:
            yield f"{one.program} of step {one.step} of job {one.job} was finished and is done again"
        if one.status == 0:
            finished.setdefault(what, one.process)
