"""TFTP: lock-step and with windows, near and at 5 ms, few clients and a thousand.

Lock-step is what firmware and iPXE do: a block, an acknowledgement, the next block. Each client has an
address of its own. The figure is what all clients together got per second.
"""

import struct
from dataclasses import dataclass

from bench.edge.loaders import Transfers, tftp_load
from bench.edge.ours import NAME
from bench.edge.results import Aim, Figure, Row
from bench.edge.run import MIB, Measured, Run, split
from bench.edge.testbed import BenchError
from bench.edge.tftp_peers import folder, server

ONE_CPU = 1
"""The processor of a server that is measured on one; its load has the others."""
RTT_US = 5000
FILES = {"loader.bin": 256 << 10, "one.bin": MIB, "kernel.bin": 30 * MIB}


@dataclass(frozen=True)
class Case:
    """One line of comparisons."""

    what: str
    file: str
    clients: int
    transfers: int
    order: tuple[str, ...]
    windowsize: int = 1
    delay_us: int = 0
    one_cpu: bool = False


ALL = ("tftpd-hpa", NAME, "dnsmasq", "atftpd", "tftpy")
CASES = (
    Case("lock-step, 1 client", "one.bin", 1, 48, ALL),
    Case("lock-step, 16 clients", "one.bin", 16, 96, ALL),
    Case("lock-step, 64 clients", "one.bin", 64, 192, ALL),
    Case("lock-step on one core, 1 client", "one.bin", 1, 48, ("dnsmasq", NAME), one_cpu=True),
    Case("lock-step on one core, 16 clients", "one.bin", 16, 96, ("dnsmasq", NAME), one_cpu=True),
    Case("lock-step on one core, 64 clients", "one.bin", 64, 192, ("dnsmasq", NAME), one_cpu=True),
    Case("windowsize 16, 1 client", "kernel.bin", 1, 6, ("atftpd", NAME), windowsize=16),
    Case("windowsize 16, 64 clients", "one.bin", 64, 512, ("atftpd", NAME), windowsize=16),
    Case("1,000 clients at once", "loader.bin", 1000, 1000, ("dnsmasq", NAME, "atftpd"), windowsize=1),
)
AIMS = {
    "tftpd-hpa": (Aim("ratio", ">=", 1.0),),
    "one core": (Aim("ratio", ">=", 0.8),),
    "window": (Aim("ratio", ">=", 1.4),),
    "far": (Aim("ratio", ">=", 10),),
    "failed": (Aim("value", "<=", 0),),
}
FAR = ("tftpd-hpa", "dnsmasq", "atftpd")


def steps(rounds: int) -> int:
    """How often `say` is called."""
    return rounds * (sum(len(case.order) for case in CASES) + len(FAR) + 1)


def measure(run: Run) -> list[Row]:
    """All cases, and what a round-trip time of 5 ms leaves."""
    lay_out(run)
    rows: list[Row] = []
    for case in CASES:
        rows += _rows(run, case)
    return rows + _far(run)


def lay_out(run: Run) -> None:
    """Files whose words hold their own offset, so that the load sees a block in the wrong place."""
    place = folder(run.testbed)
    place.mkdir(parents=True, exist_ok=True)
    for name, size in FILES.items():
        count = size // 8
        (place / name).write_bytes(struct.pack(f"<{count}Q", *range(0, size, 8)))


def _rows(run: Run, case: Case) -> list[Row]:
    failures: list[float] = []

    def once(name: str) -> Measured:
        seen, each = transfer(run, case, name)
        if name == NAME:
            failures.append(seen.failed + seen.wrong)
        return seen.per_s / MIB, each, seen.note

    own, peers = split(run.rounds(case.order, once))
    rows = [
        Row(case.what, "MiB/s", own, name, theirs, "ms/MiB", _aims(case, name))
        for name, theirs in peers.items()
    ]
    if case.clients == 1000:
        rows.append(Row("of 1,000 clients at once, failed", "", Figure(tuple(failures)), aims=AIMS["failed"]))
    return rows


def _aims(case: Case, name: str) -> tuple[Aim, ...]:
    if case.one_cpu:
        return AIMS["one core"]
    if case.windowsize > 1:
        return AIMS["window"]
    return AIMS.get(name, ()) if case.clients < 1000 else ()


def transfer(run: Run, case: Case, name: str) -> tuple[Transfers, float]:
    """One measurement; what it saw and the server's processor time per MiB in ms."""
    share = 4 if run.options.quick and case.transfers > case.clients else 1
    with server(run.testbed, name, cpu=ONE_CPU if case.one_cpu else None) as subject:
        wanted = {
            "size": FILES[case.file],
            "clients": case.clients,
            "transfers": max(case.clients, case.transfers // share),
            "windowsize": case.windowsize,
            "delay_us": case.delay_us,
        }
        warm = tftp_load(run.testbed, "loader.bin", size=FILES["loader.bin"], windowsize=case.windowsize)
        if not warm.count:
            raise BenchError(f"{name} serves no file: {warm.reason}")
        with subject.cost() as cost:
            seen = tftp_load(run.testbed, case.file, apart=case.one_cpu, **wanted)
    return seen, cost[0].cpu_s * 1000 / max(1, seen.bytes / MIB)


def _far(run: Run) -> list[Row]:
    """A client 5 ms away: ours with windows against servers in lock-step, and against atftpd's windows."""
    near = {"file": "loader.bin", "clients": 1, "transfers": 4, "delay_us": RTT_US}

    def once(name: str) -> Measured:
        window = 16 if name in (NAME, "atftpd") else 1
        case = Case("far", order=(), windowsize=window, **near)  # type: ignore[arg-type]  # a plain dict
        seen, each = transfer(run, case, name)
        return seen.per_s / MIB, each, f"windowsize {seen.windowsize}"

    own, peers = split(run.rounds((*FAR, NAME), once))
    what = "one client, round trip 5 ms"
    return [
        Row(what, "MiB/s", own, name, theirs, "ms/MiB", () if name == "atftpd" else AIMS["far"])
        for name, theirs in peers.items()
    ]
