"""The avalanche: clients start all at once, the edge is killed with SIGKILL among their ACKs, and comes back.

Each round brings new clients, kills in their storm or in that of those who ask again, starts the edge on
the same data, and asks again for everybody of the round and for some of those before. A witness that knows
only the answers judges: nothing that was ACKed is gone, and no address is given twice.
"""

import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Final

from lab.demo import CLONE
from lab.errors import LabError
from lab.sim.dhcp_storm import Client, Storm
from lab.sim.lease_witness import LeaseWitness
from metal.edge_client import EdgeClient
from metal.edge_client.wire import EdgeAddress

SERVER, RELAY = IPv4Address("10.77.1.1"), IPv4Address("10.128.0.2")
EDGE: Final = (sys.executable, "-m", "pxe_edge")
READY: Final = "event=packets"
START_S: Final = 180.0
OLDER_ASKED: Final = 300
"""Clients of earlier rounds that ask again in each round; all do at the end."""
LATEST_S: Final = 0.03
"""The longest that a kill comes after the ACK it waits for: some commits' time."""
REBOOTING: Final = 0.5
"""Part of those with a lease who ask for it by INIT-REBOOT; the others discover."""
SITE: Final = f"""\
apiVersion: rackflow/v1
kind: Site
metadata: {{name: avalanche}}
discovery: register
networks:
  - {{name: prov, purpose: provisioning, subnet: 10.77.1.0/24, interface: prov0,
     pool: [10.77.1.50-10.77.1.99]}}
  - {{name: racks, purpose: provisioning, subnet: 10.128.0.0/12, gateway: {RELAY}, relays: [{RELAY}],
     pool: [10.128.1.0-10.143.255.254], lease: 4h}}
"""


@dataclass(frozen=True)
class StormOptions:
    """What is asked for."""

    data: Path
    kills: int = 50
    clients: int = 1500
    """New clients per round."""
    seed: int = 1
    edge: Sequence[str] = EDGE
    """How the edge is started; a test gives one with a fault."""


@dataclass
class Round:
    """What one kill met."""

    kill: int
    among: str
    acked: int
    """ACKs that came out of this storm before it."""
    asking: int
    restart_s: float


@dataclass
class EdgeProcess:
    """The edge, as `rackflow edge --specs DIR --data DIR` runs it, killed and started on the same data."""

    options: StormOptions
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """What it says."""
        return self.options.data / "edge.log"

    def lay_out(self) -> None:
        """Blank data and a site with one large network behind a relay."""
        for part in ("edge", "boot", "images", "specs"):
            shutil.rmtree(self.options.data / part, ignore_errors=True)
        (self.options.data / "specs").mkdir(parents=True)
        (self.options.data / "specs" / "site.yaml").write_text(SITE)
        self.log.unlink(missing_ok=True)

    def start(self) -> float:
        """Start it and wait until it serves; seconds that it took."""
        began = time.monotonic()
        with self.log.open("ab") as log:
            said_before = log.tell()
            folders = ("--data", str(self.options.data), "--specs", str(self.options.data / "specs"))
            self.process = subprocess.Popen(
                [*self.options.edge, *folders], cwd=CLONE, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        while READY.encode() not in self._said(said_before):
            if self.process.poll() is not None or time.monotonic() - began > START_S:
                raise LabError(f"the edge did not start: {self._said(said_before)[-800:].decode()}")
            time.sleep(0.02)
        return time.monotonic() - began

    def kill(self) -> None:
        """SIGKILL, as the kernel's out-of-memory killer does it."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def client(self) -> EdgeClient:
        """The API with an operator's rights."""
        edge = self.options.data / "edge"
        return EdgeClient(
            EdgeAddress("https://127.0.0.1:8443", edge / "tls" / "ca.pem", edge / "tokens" / "admin")
        )

    def _said(self, offset: int) -> bytes:
        with self.log.open("rb") as log:
            log.seek(offset)
            return log.read()


@dataclass
class Killer:
    """Kills the edge so many ACKs into a storm, and a little later: mostly between a commit and its ACKs."""

    edge: EdgeProcess
    after_acks: int
    delay_s: float
    _due: float | None = None

    def __call__(self, acked: int) -> bool:
        """Whether it has struck."""
        if acked >= self.after_acks and self._due is None:
            self._due = time.monotonic() + self.delay_s
        if self._due is None or time.monotonic() < self._due:
            return False
        self.edge.kill()
        return True


@dataclass
class Avalanche:
    """All rounds."""

    options: StormOptions
    say: Callable[[str], None]
    witness: LeaseWitness = field(default_factory=LeaseWitness)
    rounds: list[Round] = field(default_factory=list)

    def run(self) -> dict[str, Any]:
        """Until all kills are struck, or something was broken; the report."""
        make_network()
        edge = EdgeProcess(self.options)
        edge.lay_out()
        dice = random.Random(self.options.seed)
        clients: list[Client] = []
        began = time.monotonic()
        try:
            edge.start()
            storm = Storm(RELAY, SERVER, self.witness)
            for number in range(1, self.options.kills + 1):
                clients += self._round(number, edge, storm, dice, clients)
                if self.witness.violations:
                    break
            else:
                self._ask_again(storm, clients, dice)
                self._compare(edge)
            storm.close()
        finally:
            edge.kill()
        return self._report(time.monotonic() - began)

    def _round(
        self, number: int, edge: EdgeProcess, storm: Storm, dice: random.Random, older: list[Client]
    ) -> list[Client]:
        first = len(older)
        fresh = [Client(n) for n in range(first, first + self.options.clients)]
        among = dice.choice(("new clients", "clients that ask again"))
        if among == "new clients":
            storming = fresh
        else:
            storm.run(fresh)
            storming = [*fresh, *dice.sample(older, min(len(older), OLDER_ASKED))]
            self._prepare(storming, dice)
        killer = Killer(edge, dice.randrange(1, len(storming)), dice.uniform(0.0, LATEST_S))
        acked = storm.run(storming, struck=killer)
        edge.kill()  # the storm may have been over before its time came
        restart_s = edge.start()
        self._compare(edge)
        if not self.witness.violations:
            self._ask_again(storm, [*fresh, *dice.sample(older, min(len(older), OLDER_ASKED))], dice)
        self.rounds.append(Round(number, among, acked, len(storming), round(restart_s, 2)))
        self.say(
            f"{number:3d} killed after {acked} of {len(storming)} ACKs to {among}, back in {restart_s:.1f} s,"
            f" {len(self.witness.held(time.time()))} leases, {len(self.witness.violations)} broken"
        )
        return fresh

    def _ask_again(self, storm: Storm, clients: Sequence[Client], dice: random.Random) -> None:
        self._prepare(clients, dice)
        storm.run(clients)

    def _prepare(self, clients: Sequence[Client], dice: random.Random) -> None:
        # Who holds a lease asks for it as a started OS does, or discovers as firmware does; the others go on.
        now = time.time()
        for client in clients:
            promise = self.witness.of(client.mac, now)
            if promise is not None and dice.random() < REBOOTING:
                client.reboot(int(IPv4Address(promise.address)))
            elif promise is None and client.state == "requesting":
                client.go_on()
            else:
                client.restart()

    def _compare(self, edge: EdgeProcess) -> None:
        with edge.client() as client:
            self.witness.listed(client.leases(), time.time())

    def _report(self, seconds: float) -> dict[str, Any]:
        held = len(self.witness.held(time.time()))
        done = len(self.rounds) == self.options.kills
        wanted = len(self.rounds) * self.options.clients
        return {
            "passed": not self.witness.violations and done and held == wanted,
            "kills": len(self.rounds),
            "acks": self.witness.acks,
            "leases": held,
            "clients": wanted,
            "seconds": round(seconds, 1),
            "violations": [str(violation) for violation in self.witness.violations[:50]],
            "rounds": [round_.__dict__ for round_ in self.rounds],
        }


def make_network() -> None:
    """The edge's interface, and the relay's address on the loopback of the namespace."""
    lines = [
        "link set lo up",
        "link add prov0 type veth peer name rack0",
        "link set rack0 up",
        f"addr add {SERVER}/24 dev prov0",
        "link set prov0 up",
        f"addr add {RELAY}/32 dev lo",
    ]
    done = subprocess.run(
        ["ip", "-batch", "-"], input="\n".join(lines) + "\n", text=True, capture_output=True, check=False
    )
    if done.returncode:
        raise LabError(f"the namespace's network could not be made: {done.stderr.strip()}")


def summary(report: dict[str, Any]) -> str:
    """The report in a few lines."""
    counts = f"{report['acks']} ACKs, {report['leases']} leases of {report['clients']} clients"
    lines = [
        f"{report['kills']} kills in {report['seconds']} s, {counts}",
        *report["violations"],
        "no acknowledged lease is gone, no address was given twice" if report["passed"] else "FAILED",
    ]
    return "\n".join(lines)
