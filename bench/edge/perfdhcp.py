"""perfdhcp, Kea's load generator: its command lines, and what it prints. It is always a relay."""

import re
from dataclasses import dataclass

from bench.edge.testbed import LOAD_LINK, SERVER, BenchError, Testbed, program

CLIENTS = 200_000
OPTIONS = (
    # The port of the switch (sub-options 1 and 2), and what a UEFI PXE client sends.
    "82,0108657468302f3030310206000102030405",
    "60,505845436c69656e743a417263683a30303030373a554e44493a303033303136",
    "93,0007",
    "94,010310",
)
_FIGURES = {
    "sent": re.compile(r"sent packets: (\d+)"),
    "received": re.compile(r"received packets: (\d+)"),
    "delay": re.compile(r"avg delay: ([\d.]+) ms"),
}
_TWICE = re.compile(r"non unique addresses: (\d+)")
_TOOK = re.compile(r"It took ([\d:.]+) to provision (\d+) clients")


@dataclass(frozen=True)
class Seen:
    """One run at a fixed rate."""

    sent: int
    """DISCOVERs."""
    completed: int
    """ACKs."""
    delay_ms: float
    """REQUEST to ACK, the average."""

    @property
    def lost_share(self) -> float:
        """Of all exchanges that were begun, those that did not come to their ACK."""
        return 1 - self.completed / self.sent if self.sent else 1.0


@dataclass(frozen=True)
class Storm:
    """One avalanche."""

    seconds: float
    clients: int
    served: int
    twice: int
    """Addresses that more than one client was given."""

    @property
    def note(self) -> str:
        """How many were served."""
        doubled = f", {self.twice} addresses given twice" if self.twice else ""
        return f"{self.served:,} of {self.clients:,} served{doubled}"


def read_rate(text: str) -> Seen:
    """The statistics of both halves of an exchange."""
    first, second = (_half(text, name) for name in ("DISCOVER-OFFER", "REQUEST-ACK"))
    return Seen(int(first["sent"]), int(second["received"]), second["delay"])


def _half(text: str, name: str) -> dict[str, float]:
    _, found, rest = text.partition(f"***Statistics for: {name}***")
    if not found:
        raise BenchError(f"perfdhcp printed nothing of {name}: {text[-400:]}")
    part = rest.partition("***Statistics for:")[0]
    matches = {key: pattern.search(part) for key, pattern in _FIGURES.items()}
    return {key: float(match[1]) if match else 0.0 for key, match in matches.items()}


def read_avalanche(text: str) -> Storm:
    """Seconds until all were served, and whether all were."""
    found, twice = _TOOK.search(text), _TWICE.findall(text)
    if found is None or not twice:
        raise BenchError(f"perfdhcp did not end its avalanche: {text[-400:]}")
    seconds = 0.0
    for part in found[1].split(":"):
        seconds = seconds * 60 + float(part)
    acknowledged = int(_half(text, "REQUEST-ACK")["received"])
    return Storm(seconds, int(found[2]), acknowledged, int(twice[-1]))


def rate(testbed: Testbed, per_s: int, seconds: int, *, base: int) -> Seen:
    """Begin so many exchanges a second; `base` tells the clients of one run from those of another."""
    argv = (
        "-r",
        str(per_s),
        "-R",
        str(CLIENTS),
        "-p",
        str(seconds),
        "-W",
        "1000000",
        "-d",
        "1",
        "-g",
        "single",
    )
    return read_rate(_run(testbed, *argv, base=base, timeout_s=seconds + 60))


def avalanche(testbed: Testbed, clients: int) -> Storm:
    """All clients at once, with back-off, until the last one is served."""
    argv = ("--scenario", "avalanche", "-R", str(clients), "-u")
    return read_avalanche(_run(testbed, *argv, base=1, timeout_s=300))


def _run(testbed: Testbed, *argv: str, base: int, timeout_s: float) -> str:
    binary, env = program("kea-admin", "usr/sbin/perfdhcp")
    mac = f"mac=02:{base:02x}:00:00:00:00"
    options = [word for option in OPTIONS for word in ("-o", option)]
    own = ("-4", "-l", LOAD_LINK, "-b", mac, *argv, *options, SERVER)
    # It ends with 3 when packets were lost, and that is what is measured.
    done = testbed.run("load", binary, *own, env=env, timeout_s=timeout_s)
    if done.returncode not in (0, 3):
        raise BenchError(f"perfdhcp ended with {done.returncode}: {done.stderr.strip()[-400:]}")
    return done.stdout
