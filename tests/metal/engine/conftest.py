"""An edge and a machine in memory, for the engine: what is sent changes what is read afterwards."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from metal.edge_client.runs import RunCalls
from metal.engine.claim import Claim
from metal.engine.connect import Openers, Sessions
from metal.engine.steps import Memory, Surroundings
from metal.errors import LeaseLost, Refused, Unreachable
from metal.protocols import BootFlags
from metal.testing.fake_machine import FakeMachine
from specs.model import Host
from specs.phases import Phase
from specs.records import (
    BmcCredential,
    BootRecord,
    Consent,
    HostRecord,
    JobRecord,
    JournalRow,
    LeaseGrant,
    SecretValue,
    WorkOrder,
)

T0 = datetime(2026, 11, 25, 12, tzinfo=UTC)
ROOT_UUID = "8d1f2c5e-6a0b-4c7d-9e3f-d3b1a212f001"
GIB = 1 << 30
MIB = 1 << 20
SITE_KEY = "ssh-ed25519 AAAAsite"
HOST_KEY = "ssh-ed25519 AAAAhost"
NO_FLAGS = BootFlags("none", persistent=False, efi=False)
CLAIM = Claim("web-01", 7, "run-1", 4)


@dataclass
class FakeEdge:
    """The calls of a run, answered from memory. `calls` has their names in order."""

    record: HostRecord
    order_: WorkOrder
    rows: list[JournalRow] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    credentials_: list[BmcCredential] = field(default_factory=list)
    epoch: int = 4
    cancelling: bool = False
    silent: bool = False
    now: datetime = T0
    put: dict[str, Any] = field(default_factory=dict)
    given: list[Consent] = field(default_factory=list)
    verb: str = "apply"

    def host(self, name: str) -> HostRecord:
        return self.record

    def order(self, name: str) -> WorkOrder:
        return self.order_.model_copy(update={"host": self.record})

    def renew(self, host: str, *, epoch: int, run_id: str) -> LeaseGrant:
        self.calls.append("renew")
        if self.silent:
            raise Unreachable("no edge")
        if epoch < self.epoch:
            raise LeaseLost("held by run-2", host=host, reason="lease-lost")
        return LeaseGrant(epoch=epoch, ttl_s=90, cancelling=self.cancelling)

    def journal_rows(self, host: str, *, job: int | None = None) -> list[JournalRow]:
        return [row for row in self.rows if job is None or row.job == job]

    def journal(self, host: str, **row: Any) -> JournalRow:
        self.now += timedelta(seconds=1)
        self.calls.append(f"journal {row['step']} {row['phase']}")
        self.rows.append(JournalRow(no=len(self.rows), at=self.now, **row))
        return self.rows[-1]

    def management_key(self) -> str:
        return "PEM"

    def secret(self, name: str) -> SecretValue:
        self.calls.append(f"secret {name}")
        return SecretValue(name=name, version=1, value="hunter2")

    def install_token(self, host: str, *, epoch: int, job: int) -> dict[str, Any]:
        return {"token": "t0ken", "phone_home": "http://10.77.1.1:8080/v1/phone-home"}

    def put_install_record(self, host: str, record: dict[str, Any], *, epoch: int) -> None:
        self.put["install"] = record

    def put_observation(self, host: str, observation: Any, *, epoch: int | None = None) -> HostRecord:
        self.put["observation"] = (observation, epoch)
        return self.record

    def put_condition(self, host: str, type_: str, **said: Any) -> None:
        self.put[type_] = said

    def expect_os(self, name: str, *, epoch: int) -> int:
        """Number the boot that is about to start."""
        self.expected_os = getattr(self, "expected_os", 0) + 1
        return self.expected_os

    def boot_wish(self, host: str, wish: str, *, epoch: int) -> None:
        self.calls.append(f"boot-wish {wish}")

    def job(self, host: str, number: int) -> JobRecord:
        return JobRecord(
            host=host, host_id="h1", no=number, verb=self.verb, state="claimed", by="t", created_at=T0
        )

    def wait(self, host: str, number: int, **asked: Any) -> bool:
        self.calls.append(f"wait {asked['event']}")
        self.put["wait"] = asked
        return False

    bmc_login = RunCalls.bmc_login

    def json(self, method: str, path: str, **_more: Any) -> dict[str, Any]:
        self.calls.append(f"{method} {path}")
        return {}

    def consents(self, host: str, plan: str, *, job: int | None = None) -> list[Consent]:
        return [one for one in self.given if one.plan == plan]

    def bmc_lock(self, host: str, *, owner: str, ttl_s: int, epoch: int | None = None) -> list[BmcCredential]:
        self.calls.append("lock")
        return list(self.credentials_)

    def bmc_unlock(self, host: str, *, owner: str) -> None:
        self.calls.append("unlock")

    def bmc_candidate(self, host: str, **asked: Any) -> BmcCredential:
        self.calls.append("candidate")
        found = BmcCredential(
            address=asked["address"], user=asked["user"], password="new-secret-1234", state="candidate"
        )
        self.credentials_.append(found)
        return found

    def bmc_promote(self, host: str, *, epoch: int, user: str) -> None:
        self.calls.append("promote")


@dataclass
class FakeBmc:
    """A BMC over the LAN: power, flags, identity, and who may log in."""

    host: str = "web-01"
    state: str = "on"
    flags: BootFlags = NO_FLAGS
    uuid: str | None = "guid-1"
    mac: str | None = "02:bc:00:00:00:01"
    proof: str | None = None
    passwords: set[str] = field(default_factory=lambda: {"good"})
    sent: list[str] = field(default_factory=list)
    obeys: bool = True

    def log_in(self, host: str, credential: BmcCredential) -> "FakeBmc":
        if credential.password not in self.passwords:
            raise Refused("no", host=host, reason="bmc-unverified")
        return self

    def power(self):
        return self.state

    def set_power(self, action: str) -> None:
        self.sent.append(action)
        if self.obeys:
            self.state = "off" if action in ("off", "soft") else "on"

    def boot_flags(self) -> BootFlags:
        return self.flags

    def set_boot_flags(self, flags: BootFlags) -> None:
        self.sent.append(f"boot {flags.target}")
        self.flags = flags if self.obeys else self.flags

    def guid(self) -> str | None:
        return self.uuid

    def lan_mac(self) -> str | None:
        return self.mac

    def read_proof(self) -> str | None:
        return self.proof

    def close(self) -> None:
        return


@dataclass
class Rig:
    """Edge, machine and BMC, and the surroundings of a run over them."""

    edge: FakeEdge
    machine: FakeMachine
    bmc: FakeBmc
    around: Surroundings
    clock: list[float]
    said: list[str] = field(default_factory=list)


BOOT = BootRecord(
    boot_no=1, kind="boot-os", address="10.77.1.50", ssh_host_key=HOST_KEY, reported_at=T0, started_at=T0
)
SPEC = {
    "metadata": {"name": "web-01"},
    "users": [
        {"name": "ops", "sshKeys": ["ssh-ed25519 AAAAops"], "sudo": True, "passwordFrom": {"secret": "ops"}}
    ],
    "files": [{"path": "/etc/motd", "content": "hi"}],
}
BMC_CURRENT = BmcCredential(address="10.77.9.50", user="rackflow", password="good", state="current")


@pytest.fixture
def make_rig() -> Callable[[], Rig]:
    """Make as many rigs as a test asks for."""
    return new_rig


@pytest.fixture
def rig() -> Rig:
    return new_rig()


def new_rig() -> Rig:
    record = HostRecord(id="h1", name="web-01", phase=Phase.READY, boot=BOOT, bmc_address="10.77.9.50")
    order = WorkOrder(
        host=record,
        spec=Host.model_validate(SPEC),
        specset="set-1",
        addresses={"bmc": "10.77.9.50/24"},
        management_key=SITE_KEY,
        phone_home_url="http://10.77.1.1:8080/v1/phone-home",
        secrets={"ops": 1},
    )
    edge = FakeEdge(record, order, credentials_=[BMC_CURRENT])
    machine = FakeMachine({"RF-D0": 8 * GIB, "RF-D1": 8 * GIB}, root_uuid=ROOT_UUID)
    bmc = FakeBmc()
    clock = [1000.0]

    def sleep(seconds: float) -> None:
        clock[0] += seconds
        edge.now += timedelta(seconds=seconds)

    sessions = Sessions(Openers(ssh=lambda _at, _key: machine, ipmi=bmc.log_in))
    sessions.is_proven = lambda _at: True  # the proof of identity has tests of its own
    around = Surroundings(sessions, Memory(), clock=lambda: clock[0], sleep=sleep, now=lambda: edge.now)
    return Rig(edge, machine, bmc, around, clock)
