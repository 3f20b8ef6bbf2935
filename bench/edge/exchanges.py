"""DHCP: full exchanges by new clients, with the options of a PXE client and option 82 in each packet.

Closed loop: 64 exchanges are always under way, by our own load. Open loop: perfdhcp begins so many a second,
and the rate is raised until one in a hundred is lost.
"""

from bench.edge import perfdhcp
from bench.edge.dhcp_peers import PEERS, server
from bench.edge.loaders import dhcp_load, warm_up
from bench.edge.ours import NAME
from bench.edge.results import Aim, Row
from bench.edge.run import Measured, Run, split

WINDOW = 64
CLIENTS_FROM = 1000
AGAINST_KEA = (Aim("ratio", ">=", 2.0, 1.2), Aim("cpu", "<=", 0.3, 0.45))
AIMS = {
    "Kea": AGAINST_KEA,
    "Kea, quiet": AGAINST_KEA,
    "dnsmasq -ro": (Aim("ratio", ">=", 4.0, 2.5),),
}
ORDER = ("Kea", NAME, "Kea, quiet", "dnsmasq -ro", "dnsmasq", "ISC dhcpd")
OPEN_ORDER = ("Kea", NAME, "dnsmasq -ro", "ISC dhcpd")
FIRST_RATE = {"Kea": 1000, NAME: 1000, "dnsmasq -ro": 500, "ISC dhcpd": 250}
STEP, SLOWEST, LOSS = 1.25, 50, 0.01


def steps(rounds: int) -> int:
    """How often `say` is called."""
    return rounds * (len(ORDER) + len(OPEN_ORDER))


def measure(run: Run) -> list[Row]:
    """Both loops."""
    return closed_loop(run) + open_loop(run)


def closed_loop(run: Run) -> list[Row]:
    """Exchanges per second with 64 under way."""

    def once(name: str) -> Measured:
        with server(run.testbed, name) as subject:
            warm_up(run.testbed, name)
            with subject.cost() as cost:
                seen = dhcp_load(run.testbed, first=CLIENTS_FROM, window=WINDOW, seconds=run.options.seconds)
            return seen.per_s, cost[0].cpu_s / max(1, seen.count) * 1e6, seen.note

    own, peers = split(run.rounds(ORDER, once))
    what = f"exchanges, {WINDOW} under way"
    assert set(peers) == set(PEERS)
    return [Row(what, "/s", own, name, theirs, "µs", AIMS.get(name, ())) for name, theirs in peers.items()]


def open_loop(run: Run) -> list[Row]:
    """The highest rate at which perfdhcp loses less than one in a hundred."""

    def once(name: str) -> Measured:
        return _highest(run, name)

    own, peers = split(run.rounds(OPEN_ORDER, once))
    what = "perfdhcp, highest rate under 1 % loss"
    return [Row(what, "/s", own, name, theirs, "µs") for name, theirs in peers.items()]


def _highest(run: Run, name: str) -> Measured:
    """Raise the rate until it is too much twice (one loss may be the machine's); lower it if it begins so."""
    seconds = int(run.options.seconds)
    best: Measured = (0.0, 0.0, "none without loss")
    rate, failed, base = float(FIRST_RATE[name]), 0, 1
    with server(run.testbed, name) as subject:
        warm_up(run.testbed, name)
        while failed < 2 and rate >= SLOWEST:
            with subject.cost() as cost:
                seen = perfdhcp.rate(run.testbed, int(rate), seconds, base=base)
            base += 1
            if seen.lost_share < LOSS:
                each = cost[0].cpu_s / max(1, seen.completed) * 1e6
                best = (seen.completed / seconds, each, f"delay {seen.delay_ms:.1f} ms")
                rate, failed = rate * STEP, 0
            elif best[0]:
                failed += 1
            else:
                rate /= 2
    return best
