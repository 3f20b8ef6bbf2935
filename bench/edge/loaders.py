"""The load generators: C files beside this one, compiled at their first use, and what they print."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.edge.testbed import CLONE, LOAD, SERVER, BenchError, MissingError, Testbed

BUILT = CLONE / "build" / "bench"
COMPILER = ("cc", "-O2")


def loader(name: str, *flags: str) -> str:
    """The program built from `NAME.c`."""
    source, program = Path(__file__).with_name(f"{name}.c"), BUILT / name
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        BUILT.mkdir(parents=True, exist_ok=True)
        argv = [*COMPILER, *flags, "-o", str(program), str(source)]
        try:
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            raise MissingError("there is no C compiler: scripts/setup --bench") from None
        if done.returncode:
            raise BenchError(f"{source.name} does not compile: {done.stderr[-800:]}")
    return str(program)


def without_groups() -> dict[str, str]:
    """The environment of a server that refuses to run because it can't drop its groups."""
    return {"LD_PRELOAD": loader("no_groups", "-shared", "-fPIC")}


@dataclass(frozen=True)
class Exchanges:
    """What the DHCP load saw."""

    count: int
    seconds: float
    repeats: int
    lost: int
    naks: int
    doubled: int
    p50_ms: float
    p99_ms: float
    longest_offer_ms: float

    @property
    def per_s(self) -> float:
        """Full exchanges per second."""
        return self.count / self.seconds

    @property
    def note(self) -> str:
        """Percentiles, and whatever went wrong."""
        wrong = {
            "repeated": self.repeats,
            "lost": self.lost,
            "NAK": self.naks,
            "given twice": self.doubled,
        }
        said = [f"{count} {what}" for what, count in wrong.items() if count]
        return ", ".join([f"p50 {self.p50_ms:.1f} ms, p99 {self.p99_ms:.1f} ms", *said])


def read_exchanges(text: str, times: str = "exchange") -> Exchanges:
    """The line that dhcp_load prints; `times` names the answer that the percentiles are of."""
    told: dict[str, Any] = json.loads(text)
    return Exchanges(
        count=told["exchanges"],
        seconds=told["seconds"],
        repeats=told["repeats"],
        lost=told["lost"],
        naks=told["naks"],
        doubled=told["doubled"],
        p50_ms=told[f"{times}_us"]["p50"] / 1000,
        p99_ms=told[f"{times}_us"]["p99"] / 1000,
        longest_offer_ms=told["offer_us"]["max"] / 1000,
    )


def dhcp_argv(**wanted: float) -> list[str]:
    """The command line of the DHCP load."""
    return [loader("dhcp_load"), SERVER, LOAD, *(f"{name}={value}" for name, value in wanted.items())]


def dhcp_load(testbed: Testbed, *, times: str = "exchange", **wanted: float) -> Exchanges:
    """Run the DHCP load to its end."""
    done = testbed.run("load", *dhcp_argv(**wanted), timeout_s=1800)
    if done.returncode:
        raise BenchError(f"dhcp_load ended with {done.returncode}: {done.stderr.strip()}")
    return read_exchanges(done.stdout, times)


def warm_up(testbed: Testbed, name: str) -> None:
    """A few exchanges that count for nothing; a server that answers none of them does not work here."""
    if not dhcp_load(testbed, first=1, window=8, exchanges=300).count:
        raise BenchError(f"{name} answers no exchange")


@dataclass(frozen=True)
class Transfers:
    """What the TFTP load saw."""

    count: int
    failed: int
    reason: str
    repeats: int
    wrong: int
    """Blocks and ends that were not the file's."""
    bytes: int
    seconds: float
    windowsize: int

    @property
    def per_s(self) -> float:
        """Bytes per second of all clients together."""
        return self.bytes / self.seconds

    @property
    def note(self) -> str:
        """Whatever went wrong."""
        wrong = {"repeated": self.repeats, f"failed ({self.reason})": self.failed, "wrong": self.wrong}
        return ", ".join(f"{count} {what}" for what, count in wrong.items() if count)


def read_transfers(text: str) -> Transfers:
    """The line that tftp_load prints."""
    told: dict[str, Any] = json.loads(text)
    names = ("failed", "reason", "repeats", "wrong", "bytes", "seconds", "windowsize")
    return Transfers(count=told["transfers"], **{name: told[name] for name in names})


def tftp_load(testbed: Testbed, file: str, *, apart: bool = False, **wanted: int) -> Transfers:
    """Run the TFTP load to its end; `apart` keeps it off the processor of a server on one."""
    pinned = ("taskset", "-c", "0") if apart else ()
    words = [f"{name}={value}" for name, value in wanted.items()]
    done = testbed.run("load", *pinned, loader("tftp_load"), SERVER, file, *words)
    if done.returncode:
        raise BenchError(f"tftp_load ended with {done.returncode}: {done.stderr.strip()}")
    return read_transfers(done.stdout)
