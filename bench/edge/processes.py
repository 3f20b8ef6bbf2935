"""What a process and its children cost, from /proc: processor time and memory."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Stat:
    """The fields of /proc/PID/stat that are wanted here."""

    pid: int
    parent: int
    cpu_s: float
    """Of this process, all its threads, and its children that have ended and were waited for."""
    rss_bytes: int


def read_stat(line: str) -> Stat:
    """Take a line of /proc/PID/stat apart; the name in it may hold spaces and brackets (proc(5))."""
    head, _, tail = line.rpartition(")")
    fields = tail.split()
    ticks = sum(int(fields[index]) for index in (11, 12, 13, 14))
    return Stat(int(head.split()[0]), int(fields[1]), ticks / TICKS_PER_S, int(fields[21]) * PAGE_BYTES)


def all_stats() -> dict[int, Stat]:
    """Every process that is there now."""
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            stat = read_stat((folder / "stat").read_text())
        except OSError:  # it has ended meanwhile
            continue
        found[stat.pid] = stat
    return found


def family(stats: dict[int, Stat], root: int) -> list[Stat]:
    """A process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for stat in stats.values():
        children.setdefault(stat.parent, []).append(stat.pid)
    members, ahead = [], [root]
    while ahead:
        pid = ahead.pop()
        if pid in stats:
            members.append(stats[pid])
            ahead += children.get(pid, [])
    return members


def cpu_s(members: Iterable[Stat]) -> float:
    """Processor seconds of a family: the living by themselves, the dead by their parents' account."""
    return sum(stat.cpu_s for stat in members)


def rss_bytes(members: Iterable[Stat]) -> int:
    """Resident memory of a family; pages that its processes share count once for each."""
    return sum(stat.rss_bytes for stat in members)
