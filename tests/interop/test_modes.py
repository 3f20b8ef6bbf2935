"""What the edge answers in each mode and under each `discovery`, seen on the wire by a second codec.

The clients here are PXE firmware in so far as a server can tell: messages with options 60, 93, 94, 97.
"""

import itertools
import re
import time

import pytest

from tests.interop import wire
from tests.interop.netns import DIRECT, RELAYED, SERVER
from tests.interop.wire import Message, encode

pytestmark = pytest.mark.interop

NUMBER = itertools.count(1)
PARAMETERS = bytes((1, 3, 6, 12, 15, 28, 43, 54, 60, 66, 67, 97))
OTHER_SERVER = (
    *("dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--port=0", "--bind-interfaces", "--no-ping"),
    *("--interface=c0", "--dhcp-range=10.99.0.100,10.99.0.150,255.255.255.0", "--dhcp-authoritative"),
)


class Firmware:
    """A UEFI machine's PXE ROM, as far as DHCP goes, on R's interface of the edge's link."""

    def __init__(self, lab, watch, arch=7):
        self.lab, self.watch = lab, watch
        self.mac = (0x525400AA0000 + next(NUMBER)).to_bytes(6, "big")
        self.xid = next(NUMBER)
        self.pxe = {
            60: f"PXEClient:Arch:{arch:05}:UNDI:003016".encode(),
            93: arch.to_bytes(2, "big"),
            94: bytes((1, 3, 16)),
            97: b"\0" + self.mac * 2 + bytes(4),
            55: PARAMETERS,
            57: (1472).to_bytes(2, "big"),
        }

    @property
    def name(self):
        return self.mac.hex(":")

    def say(self, kind, *, ciaddr="0.0.0.0", target=None, **options):
        """Send one message; to everybody, or unicast to `target`, an (address, port, MAC)."""
        told = {53: bytes((kind,)), **self.pxe, **{int(code[1:]): value for code, value in options.items()}}
        message = Message(xid=self.xid, mac=self.mac, ciaddr=ciaddr, options=told, flags=0x8000)
        address, port, mac = target or ("255.255.255.255", 67, b"\xff" * 6)
        ports = (4011 if port == 4011 else 68, port)
        how = {"source": ciaddr, "target": address, "ports": ports, "source_mac": self.mac, "target_mac": mac}
        self.lab.send("R", "r1", encode(message), **how)

    def answers(self, kind, count=1):
        """The first `count` answers of a kind that come back."""

        def enough(seen):
            mine = [m for m in seen if m.op == 2 and m.mac == self.mac and m.kind == kind]
            return mine if len(mine) >= count else None

        return self.watch.wait_all(enough, what=f"{count} {kind}")

    def is_ignored_while(self, other):
        """Whether nothing comes back, while another client's later DISCOVER is answered."""
        self.say(wire.DISCOVER)
        other.say(wire.DISCOVER)
        other.answers("OFFER")
        return not [m for m in self.watch.dhcp() if m.op == 2 and m.mac == self.mac]


class Plain(Firmware):
    """A client that is no firmware."""

    def __init__(self, lab, watch):
        super().__init__(lab, watch)
        self.pxe = {55: bytes((1, 3, 6))}


@pytest.fixture
def watch(lab):
    """The edge's link as R sees it."""
    with lab.watch("R", "r1") as seen:
        yield seen


def test_off_serves_who_was_added_and_is_silent_to_the_other(lab, watch):
    known, stranger = Firmware(lab, watch), Firmware(lab, watch)
    with lab.edge(name="off", discovery="off") as edge:
        edge.cli("host", "add", "rack1-01", "--mac", known.name)
        assert stranger.is_ignored_while(Plain(lab, watch))
        deadline = time.monotonic() + 10
        while not (offers := asked(known)) and time.monotonic() < deadline:
            time.sleep(0.2)
        why = edge.why(stranger.name)

    assert offers[0].file == b"snponly.efi"
    assert re.search("discovery", why)
    assert "rackflow host add" in why


def asked(machine):
    """Offers that a DISCOVER brought within a second."""
    machine.say(wire.DISCOVER)
    try:
        return machine.answers("OFFER")
    except AssertionError:
        return []


def test_hold_shows_the_machine_and_serves_it_once_it_is_approved(lab, watch):
    held = Firmware(lab, watch)
    with lab.edge(name="hold", discovery="hold") as edge:
        assert held.is_ignored_while(Plain(lab, watch))
        assert f"rackflow host approve {held.name}" in edge.why(held.name)
        edge.cli("host", "approve", held.name)
        deadline = time.monotonic() + 10
        while not (offers := asked(held)) and time.monotonic() < deadline:
            time.sleep(0.2)

    assert offers[0].file == b"snponly.efi"


@pytest.mark.parametrize("discovery", ["inspect", "register"])
def test_strangers_get_loaders_and_others_get_addresses(lab, watch, discovery):
    with lab.edge(name=discovery, discovery=discovery):
        machine, plain = Firmware(lab, watch), Plain(lab, watch)
        foreign = Firmware(lab, watch, arch=27)  # RISC-V: there is no loader for it
        for client in (machine, plain, foreign):
            client.say(wire.DISCOVER)
        offers = {client: client.answers("OFFER")[0] for client in (machine, plain, foreign)}

    assert offers[machine].file == b"snponly.efi"
    assert offers[machine].siaddr == SERVER
    for client in (plain, foreign):
        assert offers[client].yiaddr.startswith("10.99.0.")
        assert (offers[client].file, offers[client].options.get(67)) == (b"", None)


def test_reservations_answers_only_who_is_reserved(lab, watch):
    known, stranger = Firmware(lab, watch), Firmware(lab, watch)
    reserved = [{"mac": known.name, "address": "10.99.0.20"}]
    network = DIRECT | {"mode": "reservations", "reservations": reserved}
    with lab.edge(name="reservations", networks=[network, RELAYED]) as edge:
        assert stranger.is_ignored_while(known)
        assert known.answers("OFFER")[0].yiaddr == "10.99.0.20"
        assert edge.why(stranger.name)


def test_proxy_adds_the_loader_to_another_servers_address(lab, watch):
    """P6: the offer without address from port 67, the file again from port 4011."""
    network = {key: value for key, value in DIRECT.items() if key != "pool"} | {"mode": "proxy"}
    machine, plain = Firmware(lab, watch), Plain(lab, watch)
    leases = f"--dhcp-leasefile={lab.folder / 'proxied.leases'}"
    with (
        lab.edge(name="proxy", networks=[network]),
        lab.running("C", *OTHER_SERVER, leases, ready="DHCP, IP range", name="dnsmasq"),
    ):
        machine.say(wire.DISCOVER)
        proxy, other = sorted(machine.answers("OFFER", 2), key=lambda offer: offer.yiaddr)
        request = {"_50": bytes(map(int, other.yiaddr.split("."))), "_54": other.options[54]}
        machine.say(wire.REQUEST, **request)
        machine.answers("ACK")
        with lab.has_address("R", other.yiaddr):
            machine.say(wire.REQUEST, ciaddr=other.yiaddr, target=(SERVER, 4011, lab.mac("S", "br0")))
            acks = machine.answers("ACK", 2)
        plain.say(wire.DISCOVER)
        plain.answers("OFFER")

    assert (proxy.yiaddr, proxy.address(54), proxy.siaddr) == ("0.0.0.0", SERVER, SERVER)
    assert proxy.options[60] == b"PXEClient"
    assert proxy.options[97] == machine.pxe[97]
    assert 51 not in proxy.options
    told = next(ack for ack in acks if ack.source_port == 4011)
    assert (told.target, told.target_port, told.file) == (other.yiaddr, 4011, b"snponly.efi")
    assert [ack.address(54) for ack in acks].count(SERVER) == 1  # the REQUEST to the other is not ours
    assert [m.address(54) for m in watch.dhcp() if m.mac == plain.mac and m.op == 2] == ["10.99.0.10"]


def test_off_mode_leaves_the_link_to_others(lab, watch):
    quiet = [DIRECT | {"mode": "off"}, RELAYED | {"relays": ["10.99.0.2"]}]
    machine = Firmware(lab, watch)
    with lab.edge(name="mode-off", networks=quiet):
        machine.say(wire.DISCOVER)
        relayed = Message(xid=7, mac=b"\2\0\0\0\0\7", giaddr="10.99.0.2", options={53: b"\1"})
        ports = {"ports": (67, 67), "source_mac": lab.mac("R", "r1"), "target_mac": lab.mac("S", "br0")}
        lab.send("R", "r1", encode(relayed), source="10.99.0.2", target=SERVER, **ports)
        watch.wait(lambda m: m.kind == "OFFER" and m.xid == 7)

    assert not [m for m in watch.dhcp() if m.op == 2 and m.mac == machine.mac]
