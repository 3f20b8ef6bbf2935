"""The DHCPv6 server over loopback: what leaves when, and that no packet ends it."""

import asyncio
import contextlib
import socket
import threading
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network

import pytest

from pxe_edge.policy.dhcp6_views import Network6View, Range6
from pxe_edge.policy.networks import Link
from pxe_edge.policy.views import NetworkView, SiteView
from pxe_edge.servers.dhcp6 import Dhcp6Server, wanted_sockets
from pxe_edge.servers.errors import PortInUse
from pxe_edge.servers.memory import MemoryLeases6, MemoryView
from pxe_edge.servers.notes import Notes
from pxe_edge.servers.packets import advertised
from pxe_edge.wire import dhcp6
from pxe_edge.wire.dhcp6 import Association, LeasedAddress, Message, Relay

FAR = Network6View(
    "far6", "provisioning", IPv6Network("fd00:88::/64"),
    pool=(Range6(IPv6Address("fd00:88::100"), IPv6Address("fd00:88::1ff")),),
)  # fmt: skip
SITE = SiteView(
    "lab", discovery="hold", networks6=(FAR,), server_addresses6={"far6": IPv6Address("fd00:77::1")}
)
LINKS = {1: Link("lo", 1)}
DUID = b"\0\4" + bytes(16)
# RFC 8357: the test's relay has a port of its own and says so.
RELAYS = (Relay(0, IPv6Address("fd00:88::1"), IPv6Address("fe80::2"), ((dhcp6.RELAY_PORT, b"\0\0"),)),)


class GatedLeases(MemoryLeases6):
    """A store whose commits wait for `gate`; `refuses` are addresses that it knows another holder of."""

    def __init__(self):
        super().__init__()
        self.gate = threading.Event()
        self.broken = False
        self.refuses = frozenset()
        self.asked = threading.Event()

    def commit(self, rows):
        assert self.gate.wait(10)
        self.asked.set()
        if self.broken:
            raise OSError("disk full")
        super().commit(rows)
        return self.refuses


class Bench:
    """A server, and a relay that talks to it."""

    def __init__(self):
        self.store = GatedLeases()
        self.view = MemoryView(SITE)
        self.notes = Notes()
        self.server = Dhcp6Server(self.view, self.store, DUID, port=0, notes=self.notes)
        self.sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        self.sock.setblocking(False)
        self.sock.bind(("::1", 0))

    async def __aenter__(self):
        await self.server.start(LINKS)
        (opened,) = self.server._sockets.values()
        self.sock.connect(("::1", opened.sock.getsockname()[1]))
        return self

    async def __aexit__(self, *_):
        self.store.gate.set()
        await self.server.close()
        await self.server.close()
        self.sock.close()

    def send(self, number, kind, *options):
        identity = b"\0\3\0\1" + bytes((2, 0, 0, 0, 0, number))
        head = [(dhcp6.CLIENT_ID, identity)]
        if kind == dhcp6.REQUEST:
            head.append((dhcp6.SERVER_ID, DUID))
        wish = LeasedAddress(IPv6Address(f"fd00:88::1{number:02x}"))
        head.append(dhcp6.write_association(Association(1, addresses=(wish,))))
        self.sock.send(dhcp6.encode(Message(kind, number, (*head, *options), RELAYS)))

    async def receive(self):
        async with asyncio.timeout(5):
            data = await asyncio.get_running_loop().sock_recv(self.sock, 2000)
        message = dhcp6.decode(data)
        return message.transaction, message.kind


def run(scene):
    async def whole():
        async with Bench() as bench:
            await scene(bench)

    asyncio.run(whole())


def test_a_reply_waits_for_its_lease_and_an_advertise_does_not():
    async def scene(bench):
        bench.send(1, dhcp6.REQUEST)
        bench.send(2, dhcp6.SOLICIT)
        assert await bench.receive() == (2, dhcp6.ADVERTISE)
        assert bench.store.commits == []
        for number in range(3, 9):
            bench.send(number, dhcp6.REQUEST)
        bench.send(9, dhcp6.SOLICIT)
        assert await bench.receive() == (9, dhcp6.ADVERTISE)
        bench.store.gate.set()
        assert {await bench.receive() for _ in range(7)} == {(n, dhcp6.REPLY) for n in (1, 3, 4, 5, 6, 7, 8)}
        assert sum(map(len, bench.store.commits)) == 7

    run(scene)


@pytest.mark.parametrize("how", ["broken", "refused"])
def test_what_could_not_be_stored_is_not_answered(how):
    async def scene(bench):
        bench.store.broken = how == "broken"
        bench.store.refuses = frozenset({IPv6Address("fd00:88::101")}) if how == "refused" else frozenset()
        bench.store.gate.set()
        bench.send(1, dhcp6.REQUEST)
        assert await asyncio.to_thread(bench.store.asked.wait, 10)
        bench.send(2, dhcp6.SOLICIT)
        assert await bench.receive() == (2, dhcp6.ADVERTISE)
        bench.store.broken, bench.store.refuses = False, frozenset()
        bench.send(1, dhcp6.REQUEST)
        assert await bench.receive() == (1, dhcp6.REPLY)
        told = [each.reason for each in bench.notes.unanswered("02:00:00:00:00:01")]
        assert told == ["not-stored"]

    run(scene)


def test_no_datagram_ends_the_server():
    async def scene(bench):
        bench.store.gate.set()
        wrapped = b"\x0c\0" + bytes(32) + b"\0\x09"
        for junk in (b"", b"\0", bytes(240), b"\xff" * 1400, b"\x01\0\0\1\0\3\0\1x", wrapped, wrapped * 40):
            bench.sock.send(junk)
        bench.send(1, dhcp6.SOLICIT, (6, b"\0"), (15, b"\xff"), (16, b"x"), (25, bytes(12)), (61, b"\0"))
        assert await bench.receive() == (1, dhcp6.ADVERTISE)
        assert bench.notes.count["damaged"] == 7

    run(scene)


def test_a_client_that_hammers_is_slowed_and_the_others_are_served():
    async def scene(bench):
        for _ in range(200):
            bench.send(1, dhcp6.SOLICIT)
        bench.send(2, dhcp6.SOLICIT)
        answers = [await bench.receive()]
        while answers[-1] != (2, dhcp6.ADVERTISE):
            answers.append(await bench.receive())
        assert len(answers) < 100
        assert bench.notes.count["rate-limited"] > 100

    run(scene)


def test_stored_leases_are_known_after_a_restart():
    async def scene(bench):
        bench.store.gate.set()
        bench.send(7, dhcp6.REQUEST)
        assert await bench.receive() == (7, dhcp6.REPLY)
        again = Dhcp6Server(bench.view, bench.store, DUID, port=0)
        await again.start(LINKS)
        assert [str(row.address) for row in again.table.rows()] == ["fd00:88::107"]
        await again.close()

    run(scene)


def test_a_machine_that_is_held_is_seen_and_counted():
    async def scene(bench):
        vendor = dhcp6.write_vendor_class(343, b"PXEClient:Arch:00007:UNDI:003016")
        bench.send(1, dhcp6.SOLICIT, vendor, (dhcp6.CLIENT_ARCH, b"\0\7"))
        bench.send(2, dhcp6.SOLICIT)
        assert await bench.receive() == (2, dhcp6.ADVERTISE)
        ((request, outcome),) = bench.view.sightings
        assert (request.mac, request.client, request.arch) == ("02:00:00:00:00:01", "pxe", 7)
        assert (request.network, outcome) == ("far6", "answer=none reason=awaiting-approval")
        (note,) = bench.notes.unanswered("02:00:00:00:00:01")
        assert (note.reason, note.count) == ("awaiting-approval", 1)

    run(scene)


def test_a_taken_port_is_one_clear_sentence():
    async def scene(bench):
        port = bench.sock.getpeername()[1]
        second = Dhcp6Server(bench.view, MemoryLeases6(), DUID, port=port)
        with pytest.raises(PortInUse, match=rf"UDP port {port} is in use.*ss -ulpn"):
            await second.start(LINKS)
        with contextlib.suppress(asyncio.CancelledError):
            await second.close()

    run(scene)


def network(name, interface, mode="full"):
    return Network6View(name, "provisioning", IPv6Network("fd00::/64"), interface=interface, mode=mode)


@pytest.mark.parametrize(
    ("networks", "wanted"),
    [
        ([("a", "full"), ("b", "reservations")], {("a", 2), ("b", 3)}),
        ([("a", "full"), (None, "full")], {(None, 0)}),
        ([("a", "off"), (None, "off")], set()),
        ([("gone", "full")], set()),
    ],
)
def test_which_sockets_a_site_needs(networks, wanted):
    links = {2: Link("a", 2), 3: Link("b", 3)}
    built = tuple(network(f"n{at}", *each) for at, each in enumerate(networks))
    assert wanted_sockets(SiteView("lab", networks6=built), links) == wanted


def test_advertisements_say_dhcpv6_and_the_prefix_where_the_link_is_ipv6():
    prefix = IPv6Network("fd00::/64")
    v4 = NetworkView("v4", "provisioning", FAR.subnet, interface="a")
    links = {2: Link("a", 2), 3: Link("b", 3)}
    both = advertised(SiteView("lab", networks=(v4,), networks6=(network("n", "b"),)), links)
    assert {name: (each.managed, each.prefixes) for name, each in both.items()} == {
        "a": (False, ()),
        "b": (True, (prefix,)),
    }
    six = replace(network("n", "a"), mtu=1400)
    shared = advertised(SiteView("lab", networks=(v4,), networks6=(six,)), links)
    assert (shared["a"].managed, shared["a"].prefixes, shared["a"].mtu) == (True, (prefix,), 1400)
    quiet = replace(six, router_advertisements=False)  # its own routers advertise, whatever IPv4 says
    assert advertised(SiteView("lab", networks=(v4,), networks6=(quiet,)), links) == {}
