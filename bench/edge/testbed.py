"""Server and load generator in network namespaces of their own, joined by a veth pair.

    server: s0 10.77.0.1/12  ------  load: l0 10.77.0.2/12

The whole bench runs inside one user, network, mount and pid namespace (that of the virtual rack), so it
needs no root, meets nobody's ports, and its end ends everything that was started in it.
"""

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.edge import processes

CLONE = Path(__file__).parents[2]
PEERS = CLONE / "build" / "tools" / "peers"
SERVER, LOAD = "10.77.0.1", "10.77.0.2"
CLIENTS, FIRST_CLIENT = "10.78.0.0/16", "10.78.0.1"
"""Addresses of clients that need one each; all of them are the load generator's."""
SERVER_LINK, LOAD_LINK = "s0", "l0"
SUBNET, NETMASK, PREFIX = "10.64.0.0", "255.240.0.0", 12
POOL = ("10.64.1.0", "10.71.255.255")
"""Half a million addresses: room for 100,000 leases and for whoever asks while they are there."""
LINES = f"""
netns add server
netns add load
-n server link set lo up
-n load link set lo up
-n server link add {SERVER_LINK} type veth peer name {LOAD_LINK} netns load
-n server addr add {SERVER}/{PREFIX} dev {SERVER_LINK}
-n load addr add {LOAD}/{PREFIX} dev {LOAD_LINK}
-n server link set {SERVER_LINK} up
-n load link set {LOAD_LINK} up
-n load route add local {CLIENTS} dev lo
-n server route add {CLIENTS} via {LOAD}
"""
START_S = 300.0
STOP_S = 15.0
LOOK_S = 0.1


class BenchError(Exception):
    """Something of the bench itself does not work; the message says what."""


class MissingError(BenchError):
    """A program that can't be had here; the table shows the sentence."""


def program(package: str, path: str) -> tuple[str, dict[str, str]]:
    """A peer's program and the environment that lets it find its libraries."""
    root = PEERS / package
    if not (root / path).is_file():
        raise MissingError(f"{package} is not unpacked: scripts/setup --bench")
    folders = sorted(str(folder) for folder in root.glob("usr/lib/*-linux-gnu"))
    return str(root / path), {"LD_LIBRARY_PATH": ":".join(folders)} if folders else {}


@dataclass(frozen=True)
class Cost:
    """What a subject used from one moment to another."""

    seconds: float
    cpu_s: float


@dataclass
class Subject:
    """A server under measurement."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def family(self) -> list[processes.Stat]:
        """Its processes."""
        return processes.family(processes.all_stats(), self.process.pid)

    @property
    def rss_bytes(self) -> int:
        """Its memory now."""
        return processes.rss_bytes(self.family())

    @contextmanager
    def cost(self) -> Iterator[list[Cost]]:
        """Measure a block; the list holds its cost afterwards."""
        cost: list[Cost] = []
        cpu_s, began = processes.cpu_s(self.family()), time.monotonic()
        yield cost
        cost.append(Cost(time.monotonic() - began, processes.cpu_s(self.family()) - cpu_s))
        self.check()

    def listens(self, kind: str, port: int) -> bool:
        """Whether somebody in its namespace has a UDP or TCP port open."""
        tables = (Path(f"/proc/{self.process.pid}/net/{kind}{family}") for family in ("", "6"))
        return any(table.exists() and is_open(table.read_text(), kind, port) for table in tables)

    def check(self) -> None:
        """Fail with its last words if it has ended."""
        if self.process.poll() is not None:
            raise BenchError(f"{self.name} ended with {self.process.returncode}: {self.last_words()}")

    def last_words(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-800:].strip()


def is_open(table: str, kind: str, port: int) -> bool:
    """Whether a table of /proc/net has a socket that waits for anybody at this port."""
    waiting = "07" if kind == "udp" else "0A"
    rows = (line.split() for line in table.splitlines()[1:])
    return any(row[1].endswith(f":{port:04X}") and row[3] == waiting for row in rows)


@dataclass
class Testbed:
    """The two namespaces, and who runs in them."""

    folder: Path
    """Data of subjects, on a real disk: leases are synced to it."""
    subjects: list[Subject] = field(default_factory=list)

    def up(self) -> None:
        """Make namespaces and link."""
        for line in LINES.strip().splitlines():
            done = subprocess.run(["ip", *line.split()], capture_output=True, text=True, check=False)
            if done.returncode:
                raise BenchError(f"the namespaces could not be made: ip {line}: {done.stderr.strip()}")

    def run(
        self, where: str, *argv: str, env: Mapping[str, str] | None = None, timeout_s: float = 300.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in a namespace to its end, whatever its exit code."""
        return subprocess.run(
            ["ip", "netns", "exec", where, *argv],
            env=os.environ | (env or {}),
            cwd=CLONE,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    @contextmanager
    def subject(
        self,
        name: str,
        argv: Sequence[str],
        ready: Callable[[Subject], bool],
        *,
        env: Mapping[str, str] | None = None,
        cpu: int | None = None,
    ) -> Iterator[Subject]:
        """A server in its namespace, from the moment it answers; on one processor if `cpu` says so."""
        log = self.folder / f"{name}.log"
        pinned = ["taskset", "-c", str(cpu)] if cpu is not None else []
        with log.open("wb") as out:
            process = subprocess.Popen(
                ["ip", "netns", "exec", "server", *pinned, *argv],
                env=os.environ | (env or {}),
                cwd=CLONE,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        subject = Subject(name, process, log)
        self.subjects.append(subject)
        try:
            self.wait(subject, ready)
            yield subject
        finally:
            self.end(subject)

    def wait(self, subject: Subject, ready: Callable[[Subject], bool], timeout_s: float = START_S) -> None:
        """Until it answers."""
        ends_at = time.monotonic() + timeout_s
        while not ready(subject):
            subject.check()
            if time.monotonic() > ends_at:
                raise BenchError(
                    f"{subject.name} did not answer within {timeout_s:.0f} s: {subject.last_words()}"
                )
            time.sleep(LOOK_S)

    def end(self, subject: Subject) -> None:
        """SIGTERM to the server and what it started, then SIGKILL; children die with it."""
        if subject not in self.subjects:
            return
        self.subjects.remove(subject)
        members = [stat.pid for stat in subject.family()]
        subject.process.terminate()
        try:
            subject.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            subject.process.kill()
            subject.process.wait()
        for pid in set(members) & set(processes.all_stats()):
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                continue

    def down(self) -> None:
        """End every server that still runs and take the namespaces away."""
        for subject in list(self.subjects):
            self.end(subject)
        for name in ("server", "load"):
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
