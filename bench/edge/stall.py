"""How long the packet loop stands still while the API works: a DISCOVER every 5 ms, and its answer's time.

The API meanwhile takes facts of 1 MiB, the most that a body may have, and tells the list of 10,000 hosts
page by page. Without the API's load the same probe shows what this machine does by itself.
"""

import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

from bench.edge import ours
from bench.edge.loaders import Exchanges, dhcp_load
from bench.edge.results import Aim, Figure, Row
from bench.edge.run import MIB, Run
from bench.edge.testbed import SERVER, BenchError, Subject
from pxe_edge.registry.registry import open_registry
from pxe_edge.registry.tables import HostRow, MacRow
from specs.phases import Phase

HOSTS = 10_000
PROBE_US = 5_000
CLIENTS = 500
"""A client asks once in 2.5 s then, which no rate limit minds."""
LOOK_S = 0.5
AIM = (Aim("value", "<=", 20),)


def steps(rounds: int) -> int:
    """How often `say` is called."""
    return 1 + 2 * rounds


def measure(run: Run) -> list[Row]:
    """The longest answer time, with an idle API and with a busy one."""
    seconds = 5.0 if run.options.quick else 20.0
    idle, busy, mib = [], [], []
    run.say(f"registering {HOSTS:,} hosts")
    _, data = ours.lay_out(run.testbed.folder)
    register(data)
    with ours.edge(run.testbed, keep=True) as subject:
        dhcp_load(run.testbed, times="offer", first=1, clients=CLIENTS, probe_us=PROBE_US, seconds=1)
        for number in range(run.options.rounds):
            run.say(f"API idle, round {number + 1}")
            idle.append(probe(run, seconds))
            run.say(f"API busy, round {number + 1}")
            seen, highest = probe_under_load(run, subject, data, seconds)
            busy.append(seen)
            mib.append(highest)
        subject.check()
    what = "longest wait for an OFFER, API"
    return [
        Row(f"{what} idle", "ms", longest(idle)),
        Row(f"{what} busy (facts of 1 MiB, {HOSTS:,} hosts)", "ms", longest(busy), aims=AIM),
        Row(
            "memory, highest while the API is busy, with the reader of large bodies",
            "MiB",
            Figure(tuple(mib)),
        ),
    ]


def longest(seen: list[Exchanges]) -> Figure:
    """The longest waits; unanswered probes are told."""
    middle = sorted(seen, key=lambda one: one.longest_offer_ms)[len(seen) // 2]
    return Figure(tuple(one.longest_offer_ms for one in seen), note=middle.note)


def register(data: Path) -> None:
    """Hosts in the registry before the edge opens it, as rows: one by one they would take minutes."""
    registry = open_registry(data)
    now = registry.now()
    try:
        with registry.db.write() as session:
            for number in range(HOSTS):
                name = f"bench-{number:05}"
                row = HostRow(id=name, name=name, phase=Phase.REGISTERED, phase_since=now, created_at=now)
                mac = f"52:54:0a:{number >> 16:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"
                session.add(row)
                session.add(MacRow(mac=mac, host_id=name))
    finally:
        registry.db.close()


def probe(run: Run, seconds: float) -> Exchanges:
    """One DISCOVER every 5 ms."""
    return dhcp_load(run.testbed, times="offer", first=1, clients=CLIENTS, probe_us=PROBE_US, seconds=seconds)


def probe_under_load(run: Run, subject: Subject, data: Path, seconds: float) -> tuple[Exchanges, float]:
    """The same while the API is asked, and the most memory; what it was asked goes into the notes."""
    with ThreadPoolExecutor(2) as pool:
        load = pool.submit(api_load, run, data, seconds + 2)
        highest = pool.submit(highest_mib, subject, load)
        seen = probe(run, seconds)
        done = load.result()
    if done.returncode:
        raise BenchError(f"the API's load failed: {done.stderr.strip()[-400:]}")
    run.notes.append(f"API load in {seconds:.0f} s: {done.stdout.strip()}")
    return seen, highest.result()


def highest_mib(subject: Subject, load: Future[subprocess.CompletedProcess[str]]) -> float:
    """The most memory of the server and its children, looked at twice a second until the load ends."""
    highest = subject.rss_bytes
    while wait([load], timeout=LOOK_S).not_done:
        highest = max(highest, subject.rss_bytes)
    return highest / MIB


def api_load(run: Run, data: Path, seconds: float) -> subprocess.CompletedProcess[str]:
    """The clients of the API, in the load's namespace."""
    edge = data / "edge"
    url = f"https://{SERVER}:{ours.CONTROL_PORT}"
    token = (edge / "tokens" / "admin").read_text().strip()
    own = (url, str(edge / "tls" / "ca.pem"), token, str(seconds), "50")
    return run.testbed.run("load", sys.executable, "-m", "bench.edge.api_load", *own, timeout_s=seconds + 120)
