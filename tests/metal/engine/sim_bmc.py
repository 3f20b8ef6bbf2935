"""A BMC with both its sides, and the edge's real credential rows: what a set-up meets, without a machine.

In band it understands the lines of `ipmitool exec` that the set-up sends, over the LAN it takes logins, and
it locks an account after three wrong passwords, as real ones do. `Death` kills the run before its n-th call.
"""

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from metal.drivers.bmc.in_band import GUID, LAN, MC_INFO
from metal.drivers.bmc.setup import ASK, EXEC
from metal.edge_client.runs import RunCalls
from metal.edge_client.wire import Conflict
from metal.engine.connect import Openers, Sessions
from metal.errors import LeaseLost, Refused, Unreachable
from metal.protocols import Output
from metal.testing.fake_shell import FakeShell
from pxe_edge.registry import credentials, hosts
from pxe_edge.registry.errors import ConflictError
from pxe_edge.registry.registry import Registry
from specs.model import Host
from specs.phases import Phase
from specs.records import BmcCredential, BootRecord, HostRecord, LeaseGrant, SecretValue, WorkOrder

LOCKS_AFTER = 3
ADDRESS = "10.77.9.50"


class Killed(BaseException):
    """The process is gone: no handler of ours runs any more."""


@dataclass
class Death:
    """Dies before the n-th call; after that nothing of this process reaches anybody."""

    before: int = 1 << 30
    calls: int = 0
    trace: list[str] = field(default_factory=list)

    def passes(self, what: str) -> None:
        """One call of the run."""
        if self.calls >= self.before:
            raise Killed(what)
        self.calls += 1
        self.trace.append(what)


@dataclass
class Account:
    """One user slot."""

    name: str = ""
    password: str = ""
    enabled: bool = False
    administrator: bool = False
    wrong: int = 0

    @property
    def locked(self) -> bool:
        return self.wrong >= LOCKS_AFTER


@dataclass
class SimBmc:
    """State, its LAN side and what was done to it."""

    host: str = "web-01"
    guid_text: str | None = "7f3c1a52-6b0e-4d7a-9c11-0a5d31c0de02"
    mac: str | None = "02:bc:00:00:00:01"
    address: str = "0.0.0.0"
    static: bool = False
    sol: bool = False
    value: str | None = ""
    """What system info holds; None where there is no such parameter."""
    events: list[bytes] | None = None
    """The event log; None where it can't be written."""
    noisy: int = 0
    """How many events come right after those that are written."""
    users: dict[int, Account] = field(
        default_factory=lambda: {
            2: Account("ADMIN", "factory", enabled=True, administrator=True),
            3: Account(),
        }
    )
    logins: list[tuple[str, bool]] = field(default_factory=list)
    state: str = "on"
    obeys: bool = True
    refuses: str | None = None
    """A word: in-band lines with it are refused."""

    def given(self, name: str, password: str, address: str = ADDRESS) -> "SimBmc":
        """Set up by an earlier job."""
        self.users[3] = Account(name, password, enabled=True, administrator=True)
        self.address, self.static, self.sol = address, True, True
        return self

    @property
    def ever_locked(self) -> bool:
        return any(user.locked for user in self.users.values())  # nothing unlocks it here

    # --- in band ------------------------------------------------------------------------------------------

    def line(self, text: str) -> Output:  # noqa: C901, PLR0912 - one case per command
        """One line of `ipmitool exec`, or the words of one ipmitool."""
        words = shlex.split(text)
        if self.refuses is not None and self.refuses in text:
            return Output((), 1, "", f"{text}: refused (rsp=0xd6)")
        match words:
            case ["lan", "set", _, "ipsrc", "static"]:
                self.static = True
            case ["lan", "set", _, "ipaddr", address]:
                self.address = address
            case ["user", "set", "name", slot, name]:
                self.users.setdefault(int(slot), Account()).name = name
            case ["user", "enable", slot]:
                self.users[int(slot)].enabled = True
            case ["channel", "setaccess", _, slot, *_]:
                self.users[int(slot)].administrator = True
            case ["sol", "set", "enabled", "true", _]:
                self.sol = True
            case ["raw", "0x06", "0x47", *rest]:
                return self._password(bytes(int(word, 16) for word in rest))
            case ["raw", "0x06", "0x58", "0x03", _, _, size, *rest]:
                if self.value is None:
                    return Output((), 1, "", "Unable to send RAW command (rsp=0xc1): Invalid command")
                self.value = bytes(int(word, 16) for word in rest)[: int(size, 16)].decode()
            case ["raw", "0x0a", "0x44", *rest]:
                return self._event(bytes(int(word, 16) for word in rest))
            case ["lan", "set", *_] | ["sol", "payload", *_]:
                pass
            case _:
                raise AssertionError(text)
        return Output((), 0, "", "")

    def _event(self, record: bytes) -> Output:
        if self.events is None:
            return Output((), 1, "", "Unable to send RAW command (rsp=0xc1): Invalid command")
        self.events.append(record)
        if self.noisy:
            self.noisy -= 1
            self.events.append(bytes(16))
        return Output((), 0, " 01 00\n", "")

    def last_event(self) -> bytes | None:
        return self.events[-1] if self.events else None

    def _password(self, data: bytes) -> Output:
        user, text = self.users[data[0] & 0x3F], data[2:].rstrip(b"\0").decode()
        if data[1] == 2:
            user.password = text  # a locked account stays locked, as on the strictest BMCs
        elif user.password != text:
            return Output((), 1, "", "Unable to send RAW command (channel=0x0 rsp=0x80): Unknown")
        return Output((), 0, "\n", "")

    def answers(self) -> dict[tuple[str, ...], str]:
        source = "Static Address" if self.static else "DHCP Address"
        lan = (
            f"IP Address Source : {source}\nIP Address : {self.address}\nSubnet Mask : 255.255.255.0\n"
            f"MAC Address : {self.mac}\nDefault Gateway IP : 0.0.0.0\n"
        )
        guid = bytes.fromhex("521a3c7f0e6b7a4d9c110a5d31c0de02").hex(" ") if self.guid_text else ""
        access = "".join(self._access(slot, user) for slot, user in sorted(self.users.items()))
        return {
            MC_INFO.argv: "Firmware Revision : 1.02\nManufacturer ID : 674\n",
            GUID.argv: f" {guid}\n",
            LAN.argv: f"channel 1\n{lan}",
            ("ipmitool", "lan", "print", "1"): lan,
            ("ipmitool", "channel", "getaccess", "1"): access,
            ("ipmitool", "channel", "info", "1"): "    Access Mode : always available\n",
            ("ipmitool", "sol", "info", "1"): f"Enabled : {str(self.sol).lower()}\n",
        }

    @staticmethod
    def _access(slot: int, user: Account) -> str:
        able = "enabled" if user.administrator else "disabled"
        return (
            f"User ID : {slot}\nUser Name : {user.name}\n"
            f"Link Authentication : {able}\nIPMI Messaging : {able}\n"
            f"Privilege Level : {'ADMINISTRATOR' if user.administrator else 'NO ACCESS'}\n"
            f"Enable Status : {'enabled' if user.enabled else 'disabled'}\n\n"
        )

    # --- over the LAN -------------------------------------------------------------------------------------

    def log_in(self, host: str, credential: BmcCredential) -> "SimBmc":
        if credential.address != self.address or not self.static:
            raise Unreachable("nobody answers", host=host, reason="unreachable")
        user = next((u for u in self.users.values() if u.name == credential.user and u.name), None)
        able = user is not None and user.enabled and user.administrator and not user.locked
        right = able and user is not None and user.password == credential.password
        self.logins.append((credential.password, bool(right)))
        if not right:
            if user is not None:
                user.wrong += 1
            raise Refused("no", host=host, reason="bmc-unverified")
        assert user is not None
        user.wrong = 0
        return self

    def guid(self) -> str | None:
        return self.guid_text

    def lan_mac(self) -> str | None:
        return self.mac

    def read_proof(self) -> str | None:
        return self.value

    def close(self) -> None:
        return


@dataclass
class Lan:
    """A session, each command of which the run may die before."""

    bmc: SimBmc
    death: Death
    host: str = "web-01"

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            if name != "close":
                self.death.passes(f"lan {name}")
            return getattr(self.bmc, name)(*args)

        return call


class InBand(FakeShell):
    """The machine's boot OS; `bmc` is the BMC inside of it."""

    def __init__(self, bmc: SimBmc, death: Death) -> None:
        super().__init__({}, host="web-01")
        self.bmc, self.death = bmc, death
        self.told: list[str] = []

    def read(self, argv, *, stdin=None, timeout_s=30, limit_bytes=4 << 20) -> Output:
        self.death.passes("in band read")
        if argv == ASK:
            return self.bmc.line(stdin.decode())
        self.script = self.bmc.answers()
        return super().read(argv, timeout_s=timeout_s)

    def change(self, change, *, step, epoch, progress=None) -> Output:
        self.death.passes(f"in band {change.says}")
        lines = change.stdin.decode().splitlines() if change.argv == EXEC else [shlex.join(change.argv[1:])]
        self.told += lines
        super().change(change, step=step, epoch=epoch)
        return [self.bmc.line(line) for line in lines][-1]  # as `exec` does: the last line's status


class CredentialEdge:
    """The edge's calls of a set-up, over real rows of a registry."""

    def __init__(
        self, registry: Registry, name: str, *, spec: Host | None = None, trust: str = "proof"
    ) -> None:
        self.registry, self.name, self.spec, self.trust = registry, name, spec, trust
        self.death = Death()
        self.reported: list[tuple[str, str]] = []
        self.secrets = {"bmc": "Spec-chosen-1"}
        self.boot_no = 1
        with registry.db.write() as session:
            self.id = hosts.register(session, registry.now(), name, own_name=True, by="test").id

    def host(self, _name: str) -> HostRecord:
        self.death.passes("host")
        boot = BootRecord(
            boot_no=self.boot_no, kind="boot-os", address="10.77.1.50",
            ssh_host_key=f"ssh-ed25519 boot{self.boot_no}", started_at=self.registry.now(),
        )  # fmt: skip
        known = any(c.state == "current" for c in self.known())
        address = ADDRESS if known else None
        return HostRecord(id=self.id, name=self.name, phase=Phase.INSPECTING, boot=boot, bmc_address=address)

    def order(self, name: str) -> WorkOrder:
        record = self.host(name)
        return WorkOrder(
            host=record, spec=self.spec, addresses={"bmc": f"{ADDRESS}/24"}, discovery="register"
        )

    def renew(self, _host: str, *, epoch: int, run_id: str) -> LeaseGrant:
        self.death.passes("renew")
        return LeaseGrant(epoch=epoch, ttl_s=90)

    def management_key(self) -> str:
        self.death.passes("management key")
        return "PEM"

    def secret(self, name: str) -> SecretValue:
        self.death.passes("secret")
        return SecretValue(name=name, version=1, value=self.secrets[name])

    def put_condition(self, *_args: Any, **_more: Any) -> None:
        self.death.passes("condition")

    def bmc_lock(
        self, _name: str, *, owner: str, ttl_s: int, epoch: int | None = None
    ) -> list[BmcCredential]:
        self.death.passes("lock")
        with self.registry.db.write() as session:
            row = hosts.get(session, self.name)
            return credentials.to_try(session, self.registry.now(), self.registry.seal, row)

    def bmc_unlock(self, _name: str, *, owner: str) -> None:
        self.death.passes("unlock")

    def bmc_candidate(
        self, _name: str, *, epoch: int, address: str, user: str, password: str | None
    ) -> BmcCredential:
        self.death.passes("candidate")
        about = {"address": address, "user": user, "password": password}
        try:
            with self.registry.db.write() as session:
                row = hosts.get(session, self.name)
                return credentials.candidate(session, self.registry.now(), self.registry.seal, row, **about)
        except ConflictError as error:
            raise Conflict(error.detail, host=self.name, reason=error.code) from error

    def bmc_promote(self, _name: str, *, epoch: int, user: str) -> None:
        self.death.passes("promote")
        with self.registry.db.write() as session:
            row = hosts.get(session, self.name)
            credentials.promote(session, self.registry.now(), self.registry.seal, row, user=user)

    bmc_login = RunCalls.bmc_login

    def json(self, _method: str, path: str, *, json: dict[str, Any]) -> dict[str, Any]:
        what = path.rsplit("/", 1)[1]
        self.death.passes(what)
        self.reported.append((what, json["result"]))
        if what == "login":
            with self.registry.db.write() as session:
                credentials.note_login(session, self.registry.now(), hosts.get(session, self.name), **json)
        trusted = json.get("result") == "proven" or (json.get("result") == "no-place" and self.trust == "lan")
        return {"may_send_secrets": trusted}

    def known(self) -> list[BmcCredential]:
        """What the registry has, read by the test."""
        with self.registry.db.read() as session:
            return credentials.of_host(session, self.registry.seal, hosts.get(session, self.name))

    def epoch_lost(self) -> None:
        """Another run holds the host from now on."""

        def renew(*_args: Any, **_more: Any) -> LeaseGrant:
            raise LeaseLost("held by run-2", host=self.name, reason="lease-lost")

        self.renew = renew  # type: ignore[method-assign]


def sessions(edge: CredentialEdge, inside: SimBmc, outside: SimBmc | None = None) -> tuple[Sessions, InBand]:
    """Connections of one process: the BMC in the machine, and the one on the LAN where it is another."""
    shell = InBand(inside, edge.death)

    def log_in(host: str, credential: BmcCredential) -> Lan:
        edge.death.passes("lan login")
        return Lan((outside or inside).log_in(host, credential), edge.death)

    return Sessions(Openers(ssh=lambda _at, _key: shell, ipmi=log_in)), shell
