"""Memory of the edge: idle, at the height of a storm, and over a million exchanges."""

from pathlib import Path

from bench.edge import ours, perfdhcp
from bench.edge.loaders import dhcp_load, warm_up
from bench.edge.results import Aim, Figure, Row
from bench.edge.run import MIB, Run
from bench.edge.testbed import Subject

PARTS = 10
CLIENTS = 50_000
"""They come again and again, so that after the first parts no lease is new."""
STORM = 5_000
AIM = (Aim("value", "<=", 200),)
GROWTH = (Aim("value", "<=", 2),)
"""No growth: what the last half of the exchanges adds. Less can't be told from an allocator's noise."""


def steps(_rounds: int) -> int:
    """How often `say` is called."""
    return PARTS + 2


def measure(run: Run) -> list[Row]:
    """One edge from its start on."""
    part = max(1, run.options.exchanges // PARTS)
    run.say("idle")
    with ours.edge(run.testbed) as subject:
        warm_up(run.testbed, ours.NAME)
        idle = subject.rss_bytes / MIB
        run.say(f"storm of {STORM:,}")
        storm = perfdhcp.avalanche(run.testbed, STORM)
        peak = peak_mib(subject)
        after, lost = [], 0
        for number in range(PARTS):
            run.say(f"exchanges, part {number + 1} of {PARTS}")
            seen = dhcp_load(run.testbed, first=10_000, clients=CLIENTS, exchanges=part)
            lost += seen.lost
            after.append(subject.rss_bytes / MIB)
    half = after[PARTS // 2 - 1]
    total = part * PARTS
    each = ", ".join(f"{value:.0f}" for value in after)
    return [
        Row("memory, idle", "MiB", Figure((idle,)), aims=AIM),
        Row(f"memory, highest in a storm of {STORM:,}", "MiB", Figure((peak,), note=storm.note), aims=AIM),
        Row(
            f"memory after {total:,} exchanges",
            "MiB",
            Figure((after[-1],), note=f"after each tenth: {each}; {lost} lost"),
            aims=AIM,
        ),
        Row(f"growth in the last {total // 2:,} exchanges", "MiB", Figure((after[-1] - half,)), aims=GROWTH),
    ]  # fmt: skip


def peak_mib(subject: Subject) -> float:
    """The most that its first process ever held (VmHWM)."""
    text = Path(f"/proc/{subject.process.pid}/status").read_text()
    return read_peak_kib(text) / 1024


def read_peak_kib(text: str) -> int:
    """VmHWM of /proc/PID/status."""
    line = next(line for line in text.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1])
