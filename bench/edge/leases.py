"""DHCP with a table that is not empty: 5,000 exchanges by new clients on top of 1,000 to 100,000 leases."""

from bench.edge.dhcp_peers import server
from bench.edge.loaders import dhcp_load, warm_up
from bench.edge.ours import NAME
from bench.edge.results import Aim, Figure, Row
from bench.edge.run import Measured, Run, figure
from bench.edge.testbed import BenchError

WINDOW = 64
HELD = (1_000, 10_000, 100_000)
SAMPLE = 5_000
ORDER = ("Kea", NAME, "dnsmasq -ro")
MOST = {"dnsmasq -ro": 10_000}
"""dnsmasq looks through a list of its leases for each packet: 100,000 of them would take minutes to make."""
FLAT = Aim("value", ">=", 0.9)
"""Flat: what is left of the rate at 100,000 leases."""


def steps(rounds: int) -> int:
    """How often `say` is called."""
    return rounds * len(ORDER)


def measure(run: Run) -> list[Row]:
    """Rows by number of leases, and how flat ours is."""
    heights = HELD[:2] if run.options.quick else HELD
    taken: dict[str, dict[int, list[Measured]]] = {name: {held: [] for held in heights} for name in ORDER}
    failed: dict[str, str] = {}
    for number in range(run.options.rounds):
        for name in ORDER:
            run.say(f"{name}, round {number + 1}")
            try:
                _climb(run, name, taken[name])
            except BenchError as error:
                if name == NAME:
                    raise
                failed[name] = str(error)
    rows = [
        Row(
            f"exchanges at {held:,} leases",
            "/s",
            figure(taken[NAME][held]),
            name,
            figure(taken[name][held], failed.get(name, _not_asked(name, held))),
            "µs",
        )
        for name in ORDER
        if name != NAME
        for held in heights
    ]
    return [*rows, _flatness(taken[NAME])]


def _not_asked(name: str, held: int) -> str:
    return "not taken: its list is searched for each packet" if held > MOST.get(name, HELD[-1]) else ""


def _climb(run: Run, name: str, taken: dict[int, list[Measured]]) -> None:
    """One server from empty to full, a sample at each height."""
    first = 10_000
    with server(run.testbed, name) as subject:
        warm_up(run.testbed, name)
        there = 0
        for held, samples in taken.items():
            if held > MOST.get(name, HELD[-1]):
                return
            dhcp_load(run.testbed, first=first + there, window=WINDOW, exchanges=held - there)
            with subject.cost() as cost:
                seen = dhcp_load(run.testbed, first=first + held, window=WINDOW, exchanges=SAMPLE)
            there = held + SAMPLE
            samples.append((seen.per_s, cost[0].cpu_s / max(1, seen.count) * 1e6, seen.note))


def _flatness(taken: dict[int, list[Measured]]) -> Row:
    """The rate with most leases as a share of that with the fewest, round by round."""
    few, many = min(taken), max(taken)
    pairs = zip(taken[few], taken[many], strict=True)
    shares = tuple(late[0] / early[0] for early, late in pairs if early[0])
    return Row(f"rate at {many:,} leases as a share of that at {few:,}", "", Figure(shares), aims=(FLAT,))
