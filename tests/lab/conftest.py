"""A BMC without sockets: the controller and the LAN side over fakes of the three ports."""

import hmac
import ipaddress
import os
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.bmc import kcs, rmcp
from lab.bmc.completion import Completion
from lab.bmc.controller import Controller
from lab.bmc.lan import LanServer
from lab.bmc.session import Session
from lab.bmc.state import BmcState
from lab.bmc.table import COMMANDS
from lab.definition import DEFAULT_RACK, load
from lab.rack import Rack

CLIENT = ("192.0.2.1", 40000)


@dataclass
class FakeChassis:
    """Power that only remembers what it was asked."""

    is_on: bool = False
    asked: list[str] = field(default_factory=list)

    def power(self, *, on: bool) -> None:
        self.is_on = on
        self.asked.append("on" if on else "off")

    def cycle(self) -> None:
        self.asked.append("cycle")

    def reset(self) -> None:
        self.asked.append("reset")

    def press_power_button(self) -> None:
        self.asked.append("soft")

    def interrupt(self) -> None:
        self.asked.append("nmi")

    def boot_order_changed(self) -> None:
        self.asked.append("boot order")


@dataclass
class FakeLan:
    """An interface that counts how often it was told to change."""

    mac: bytes = b"\x02\xbc\x00\x00\x01\x01"
    changes: int = 0

    def current(self) -> tuple[ipaddress.IPv4Interface | None, ipaddress.IPv4Address | None]:
        return None, None

    def settings_changed(self) -> None:
        self.changes += 1


@dataclass
class FakeSol:
    """The console's holder."""

    holder: Session | None = None

    def activate(self, session: Session) -> None:
        self.holder = session

    def deactivate(self) -> None:
        self.holder = None


@dataclass
class Bench:
    """One BMC and what came out of it."""

    chassis: FakeChassis
    lan_port: FakeLan
    controller: Controller
    lan: LanServer
    sent: list[bytes]
    log: list[str]
    saves: list[int]

    def in_band(self, netfn: int, command: int, *data: int) -> tuple[Completion, bytes]:
        """Ask as the operating system does."""
        return self.controller.handle(COMMANDS, netfn, command, bytes(data), None)

    def ask(self, datagram: bytes) -> bytes:
        """Send a datagram that has one answer."""
        self.sent.clear()
        self.lan.receive(datagram, CLIENT)
        (answer,) = self.sent
        return answer


@pytest.fixture
def make_bench() -> Callable[[], Bench]:
    """A maker, for tests that need a new BMC per example."""

    def make() -> Bench:
        sent: list[bytes] = []
        log: list[str] = []
        saves: list[int] = []
        chassis, port = FakeChassis(), FakeLan()
        controller = Controller(
            identity=load(DEFAULT_RACK).machine("m1"),
            state=BmcState.factory("ADMIN", "factory-M1"),
            save=lambda: saves.append(1),
            chassis=chassis,
            lan=port,
            sol=FakeSol(),
            restart=lambda: None,
            clock=lambda: 1000.0,
        )
        lan = LanServer(controller, COMMANDS, lambda data, _to: sent.append(data), log.append)
        return Bench(chassis, port, controller, lan, sent, log, saves)

    return make


@pytest.fixture
def bench(make_bench: Callable[[], Bench]) -> Bench:
    return make_bench()


class Console:
    """The other end of RMCP+, written from the specification with hashlib's names only."""

    def __init__(self, bench: Bench, *, suite: int = 17, console_id: int = 0xA0A2A3A4) -> None:
        self._bench = bench
        self._suite = next(each for each in rmcp.SUITES if each.number == suite)
        self._digest = {3: "sha1", 17: "sha256"}[suite]
        self._mac: Callable[[bytes, bytes], bytes] = lambda key, data: hmac.digest(key, data, self._digest)
        self._id = console_id.to_bytes(4, "little")
        self._sequence = 0
        self.session_id = 0
        self.keys: rmcp.SessionKeys | None = None

    def open(self) -> int:
        """Open Session; the status."""
        auth, integrity, confidentiality = self._suite.algorithms
        algorithms = b"".join(
            bytes((kind, 0, 0, 8, number, 0, 0, 0))
            for kind, number in enumerate((auth, integrity, confidentiality))
        )
        payload = self._bench.ask(rmcp.plain(0x10, b"\x00\x04\x00\x00" + self._id + algorithms))[16:]
        if not payload[1]:
            self.session_id = int.from_bytes(payload[8:12], "little")
        return payload[1]

    def login(self, user: str, password: str, *, role: int = 4) -> int:
        """RAKP 1 to 4; the first status that is not 0, or 0 with the session open."""
        if status := self.open():
            return status
        number, name = self.session_id.to_bytes(4, "little"), user.encode()
        random = bytes(range(16))
        tail = bytes((role, len(name))) + name
        rakp2 = self._bench.ask(
            rmcp.plain(0x12, b"\0\0\0\0" + number + random + bytes((role, 0, 0, len(name))) + name)
        )
        payload = rakp2[16:]
        if payload[1]:
            return payload[1]
        bmc_random, guid, code = payload[8:24], payload[24:40], payload[40:]
        key = password.encode().ljust(20, b"\0")
        self.bmc_is_right = code == self._mac(key, self._id + number + random + bmc_random + guid + tail)
        proof = self._mac(key, bmc_random + self._id + tail)
        rakp4 = self._bench.ask(rmcp.plain(0x14, b"\0\0\0\0" + number + proof))[16:]
        if rakp4[1]:
            return rakp4[1]
        sik = self._mac(key, random + bmc_random + tail)
        assert rakp4[8:] == self._mac(sik, random + number + guid)[: self._suite.code_bytes]
        self.keys = rmcp.SessionKeys(
            self._suite, self._mac(sik, b"\x01" * 20), self._mac(sik, b"\x02" * 20)[:16]
        )
        return 0

    def datagram(self, netfn: int, command: int, *data: int) -> bytes:
        """A sealed request."""
        assert self.keys
        self._sequence += 1
        head, body = bytes((0x20, netfn << 2)), bytes((0x81, self._sequence % 64 << 2, command, *data))
        message = head + bytes((-sum(head) & 0xFF,)) + body + bytes((-sum(body) & 0xFF,))
        return self.keys.seal(0, self.session_id, self._sequence, message)

    def ask(self, netfn: int, command: int, *data: int) -> tuple[int, bytes]:
        """Completion code and data of a command in the session."""
        assert self.keys
        packet = rmcp.decode(self._bench.ask(self.datagram(netfn, command, *data)))
        assert isinstance(packet, rmcp.Packet)
        message = self.keys.open(packet)
        return message[6], message[7:-1]


@pytest.fixture
def console_on() -> Callable[..., Any]:
    return Console


class InBand:
    """What QEMU is to a BMC: the guest's side of the in-band wire."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(10)
        directory = os.open(path.parent, os.O_PATH)
        self._socket.connect(f"/proc/self/fd/{directory}/{path.name}")
        os.close(directory)

    def request(self, netfn: int, command: int, *data: int) -> bytes:
        """Completion code and data."""
        self._socket.sendall(kcs.request(7, netfn, command, bytes(data)))
        decoder, answers = kcs.Decoder(), []
        while not answers:
            answers = decoder.feed(self._socket.recv(1024))
        (answer,) = answers
        assert (answer.sequence, answer.netfn, answer.command) == (7, netfn | 1, command)
        return answer.data

    def ask(self, netfn: int, command: int, *data: int) -> bytes:
        """Data of a request that the BMC must grant."""
        answer = self.request(netfn, command, *data)
        assert answer[0] == 0, f"{netfn:#x} {command:#x}: {answer[0]:#x}"
        return answer[1:]

    def close(self) -> None:
        self._socket.close()


@dataclass(frozen=True)
class Account:
    """Where and as whom a client of the BMC logs in."""

    address: str = "10.77.9.11"
    name: str = "rackflow"
    password: str = "Un-guessable-20-byte"


@pytest.fixture(scope="module")
def rack(request, tmp_path_factory):
    """A rack with one machine; a module's MACHINE changes its definition."""
    directory = tmp_path_factory.mktemp("lab")
    raw = yaml.safe_load(DEFAULT_RACK.read_text())
    raw["machines"] = [raw["machines"][0] | getattr(request.module, "MACHINE", {})]
    definition = directory / "one.yaml"
    definition.write_text(yaml.safe_dump(raw))
    rack = Rack(directory / "rack")
    rack.up(definition)
    yield rack
    rack.down()


@pytest.fixture
def in_band(rack):
    guest = InBand(rack.machine("m1").directory / "ipmi.sock")
    yield guest
    guest.close()


@pytest.fixture(scope="module")
def user(rack):
    """A user and an address, made in band as the boot OS makes them."""
    account = Account()
    guest = InBand(rack.machine("m1").directory / "ipmi.sock")
    guest.ask(0x06, 0x45, 3, *account.name.encode().ljust(16, b"\0"))
    guest.ask(0x06, 0x47, 0x83, 2, *account.password.encode())
    guest.ask(0x06, 0x43, 0xB1, 3, 4)
    guest.ask(0x06, 0x47, 3, 1)
    guest.ask(0x06, 0x58, 0xC0, *b"proof")
    guest.ask(0x0C, 0x01, 1, 6, 255, 255, 255, 0)
    guest.ask(0x0C, 0x01, 1, 12, 10, 77, 9, 1)
    guest.ask(0x0C, 0x01, 1, 3, *map(int, account.address.split(".")))
    guest.close()
    deadline = time.monotonic() + 10
    while rack.status().machines[0].bmc_address != account.address:
        assert time.monotonic() < deadline
    return account


@pytest.fixture
def ipmitool(rack, user):
    """Run ipmitool in the edge's namespace."""

    def run(*words, user=user.name, password=None, suite=17, tries=1, wait_s=10, address=user.address):
        argv = ["ipmitool", "-I", "lanplus", "-H", address, "-U", user, "-E", "-C", str(suite)]
        argv += ["-N", str(wait_s), "-R", str(tries), *words]
        environment = {**os.environ, "IPMI_PASSWORD": password or Account.password}
        return subprocess.run(
            rack.command(argv), env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    return run
