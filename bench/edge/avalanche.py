"""A boot storm: perfdhcp starts all its clients at once, each backing off until it is served."""

from bench.edge import perfdhcp
from bench.edge.dhcp_peers import server
from bench.edge.loaders import warm_up
from bench.edge.ours import NAME
from bench.edge.results import Aim, Row
from bench.edge.run import Measured, Run, split

CLIENTS = (1_000, 3_000, 5_000)
AIMS = {1_000: Aim("ratio", "<=", 0.5), 3_000: Aim("ratio", "<=", 0.25), 5_000: Aim("ratio", "<=", 0.25)}
ORDER = ("Kea", NAME)


def steps(rounds: int) -> int:
    """How often `say` is called."""
    return rounds * len(ORDER) * len(CLIENTS)


def measure(run: Run) -> list[Row]:
    """One row per size, with how many were served."""
    rows = []
    for clients in CLIENTS[:2] if run.options.quick else CLIENTS:

        def once(name: str, clients: int = clients) -> Measured:
            with server(run.testbed, name) as subject:
                warm_up(run.testbed, name)
                with subject.cost() as cost:
                    seen = perfdhcp.avalanche(run.testbed, clients)
                return seen.seconds, cost[0].cpu_s / clients * 1e6, seen.note

        own, peers = split(run.rounds(ORDER, once))
        what = f"avalanche of {clients:,} clients"
        rows += [Row(what, "s", own, name, theirs, "µs", (AIMS[clients],)) for name, theirs in peers.items()]
    return rows
