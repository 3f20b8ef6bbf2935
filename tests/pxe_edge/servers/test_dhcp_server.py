"""The DHCP server over loopback: what leaves when, and that no packet ends it."""

import asyncio
import socket
import threading
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest

from pxe_edge.policy.networks import Link
from pxe_edge.policy.views import AddressRange, NetworkView, SiteView
from pxe_edge.servers.dhcp import DhcpServer, wanted_sockets
from pxe_edge.servers.errors import PortInUse
from pxe_edge.servers.memory import MemoryLeases, MemoryView
from pxe_edge.wire import dhcp
from pxe_edge.wire.dhcp import Packet
from pxe_edge.wire.options import dotted

RELAY = IPv4Address("127.0.0.1")
POOL = (AddressRange(IPv4Address("127.1.0.1"), IPv4Address("127.1.0.250")),)
NETWORK = NetworkView("far", "provisioning", IPv4Network("127.0.0.0/8"), pool=POOL)
LINKS = {1: Link("lo", 1, (IPv4Interface("127.0.0.1/8"),))}


class GatedLeases(MemoryLeases):
    """A store whose commits wait for `gate`."""

    def __init__(self):
        super().__init__()
        self.gate = threading.Event()
        self.broken = False
        self.taken = frozenset()
        self.refused = threading.Event()

    def commit(self, rows):
        assert self.gate.wait(10)
        if self.broken:
            self.refused.set()
            raise OSError("disk full")
        rows = tuple(rows)
        return super().commit(rows) or self.taken.intersection(row.address for row in rows)


class Bench:
    """A server, and a relay that talks to it from its own port (RFC 8357)."""

    def __init__(self):
        self.store = GatedLeases()
        self.view = MemoryView(SiteView("lab", discovery="hold", networks=(NETWORK,)))
        self.server = DhcpServer(self.view, self.store, port=0, links=lambda: LINKS)
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setblocking(False)
        self.sock.bind(("127.0.0.1", 0))

    async def __aenter__(self):
        await self.server.start()
        (opened,) = self.server._sockets.values()
        self.sock.connect(("127.0.0.1", opened.getsockname()[1]))
        return self

    async def __aexit__(self, *_):
        self.store.gate.set()
        await self.server.close()
        self.sock.close()

    def send(self, number, kind, **options):
        values = {53: bytes((kind,)), 82: b"\x13\0", **{int(k[1:]): v for k, v in options.items()}}
        chaddr = bytes((2, 0, 0, 0, 0, number))
        packet = Packet(op=1, xid=number, chaddr=chaddr, giaddr=int(RELAY), options=values)
        self.sock.send(dhcp.encode(packet).data)

    def request(self, number):
        self.send(number, dhcp.REQUEST, o54=RELAY.packed, o50=IPv4Address(f"127.1.0.{number}").packed)

    async def octets(self):
        async with asyncio.timeout(5):
            return await asyncio.get_running_loop().sock_recv(self.sock, 2000)

    async def receive(self):
        packet = dhcp.decode(await self.octets())
        return packet.xid, packet.message_type


def test_an_ack_waits_for_its_lease_and_an_offer_does_not():
    async def run():
        async with Bench() as bench:
            bench.request(1)
            bench.send(2, dhcp.DISCOVER)
            assert await bench.receive() == (2, dhcp.OFFER)
            assert bench.store.commits == []
            for number in range(3, 9):
                bench.request(number)
            bench.send(9, dhcp.DISCOVER)
            assert await bench.receive() == (9, dhcp.OFFER)
            bench.store.gate.set()
            assert {await bench.receive() for _ in range(7)} == {(n, dhcp.ACK) for n in (1, 3, 4, 5, 6, 7, 8)}
            # What gathered while the first commit was under way is one group.
            assert [len(group) for group in bench.store.commits] == [1, 6]

    asyncio.run(run())


def test_what_could_not_be_stored_is_not_acknowledged():
    async def run():
        async with Bench() as bench:
            bench.store.broken = True
            bench.store.gate.set()
            bench.request(1)
            bench.send(2, dhcp.DISCOVER)
            assert await bench.receive() == (2, dhcp.OFFER)
            assert await asyncio.to_thread(bench.store.refused.wait, 10)
            bench.store.broken = False
            bench.request(1)
            assert await bench.receive() == (1, dhcp.ACK)
            assert len(bench.store.commits) == 1

    asyncio.run(run())


def test_no_datagram_ends_the_server():
    async def run():
        async with Bench() as bench:
            bench.store.gate.set()
            for junk in (b"", b"\0", bytes(240), bytes(300), b"\xff" * 1400):
                bench.sock.send(junk)
            bench.send(1, dhcp.DISCOVER, o61=b"", o93=b"\0", o97=b"", o77=b"\xff", o57=b"x", o55=b"\0\xff")
            assert await bench.receive() == (1, dhcp.OFFER)

    asyncio.run(run())


def test_stored_leases_are_known_after_a_restart():
    async def run():
        async with Bench() as bench:
            bench.store.gate.set()
            bench.request(7)
            assert await bench.receive() == (7, dhcp.ACK)
            again = DhcpServer(bench.view, bench.store, port=0, links=lambda: LINKS)
            await again.start()
            assert [dotted(row.address) for row in again.table.rows()] == ["127.1.0.7"]
            await again.close()

    asyncio.run(run())


def test_a_machine_that_is_held_is_seen_with_its_network():
    async def run():
        async with Bench() as bench:
            bench.send(1, dhcp.DISCOVER, o60=b"PXEClient:Arch:00007:UNDI:003016", o93=b"\0\7")
            bench.send(2, dhcp.DISCOVER)
            assert await bench.receive() == (2, dhcp.OFFER)
            ((request, outcome),) = bench.view.sightings
            assert (request.mac, request.client, request.arch) == ("02:00:00:00:00:01", "pxe", 7)
            assert (request.network, outcome) == ("far", "answer=none reason=awaiting-approval")

    asyncio.run(run())


def test_a_taken_port_is_one_clear_sentence():
    async def run():
        async with Bench() as bench:
            port = bench.sock.getpeername()[1]
            second = DhcpServer(bench.view, MemoryLeases(), port=port, links=lambda: LINKS)
            with pytest.raises(PortInUse, match=rf"UDP port {port} is in use.*ss -ulpn"):
                await second.start()
            await second.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("networks", "wanted"),
    [
        ([("a", "full"), ("b", "full")], {("a", 67), ("b", 67)}),
        ([("a", "full"), (None, "full")], {(None, 67)}),
        ([("a", "proxy"), (None, "off")], {("a", 67), ("a", 4011)}),
        ([], set()),
    ],
)
def test_which_sockets_a_site_needs(networks, wanted):
    built = tuple(
        NetworkView(f"n{at}", "provisioning", IPv4Network("10.0.0.0/8"), interface=interface, mode=mode)
        for at, (interface, mode) in enumerate(networks)
    )
    assert wanted_sockets(SiteView("lab", networks=built)) == wanted


def test_a_client_that_took_another_server_tells_of_it():
    async def run():
        async with Bench() as bench:
            bench.store.gate.set()
            bench.send(1, dhcp.DISCOVER)
            assert await bench.receive() == (1, dhcp.OFFER)
            bench.send(1, dhcp.REQUEST, o54=bytes((10, 9, 9, 9)), o50=bytes((10, 9, 9, 50)))
            bench.send(2, dhcp.DISCOVER)
            assert await bench.receive() == (2, dhcp.OFFER)
            (server,) = bench.server._notes.foreign_servers()
            assert (server.address, server.mac, server.seen_as) == ("10.9.9.9", None, "REQUEST")
            (note,) = bench.server._notes.unanswered("02:00:00:00:00:01")
            assert (note.reason, "server=10.9.9.9" in note.detail) == ("chose-another-server", True)

    asyncio.run(run())


def test_a_client_that_never_takes_our_offers_is_told_of_until_it_does():
    async def run():
        async with Bench() as bench:
            bench.store.gate.set()
            notes = bench.server._notes
            for number in range(3):
                assert notes.unanswered("02:00:00:00:00:01") == (), number
                bench.send(1, dhcp.DISCOVER)
                assert await bench.receive() == (1, dhcp.OFFER)
            (note,) = notes.unanswered("02:00:00:00:00:01")
            assert (note.reason, note.network) == ("offers-not-requested", "far")
            bench.request(1)
            assert await bench.receive() == (1, dhcp.ACK)
            assert notes.unanswered("02:00:00:00:00:01") == ()

    asyncio.run(run())


def test_a_changed_site_is_taken_up_between_two_packets_and_no_lease_is_lost():
    async def run():
        async with Bench() as bench:
            bench.store.gate.set()
            bench.request(7)
            assert await bench.receive() == (7, dhcp.ACK)
            moved = replace(NETWORK, pool=(AddressRange(IPv4Address("127.2.0.1"), IPv4Address("127.2.0.9")),))
            bench.view.swap(SiteView("lab", discovery="hold", networks=(moved, replace(NETWORK, name="x"))))
            bench.send(8, dhcp.DISCOVER)
            data = await bench.octets()
            assert data[16:20] == bytes((127, 2, 0, 1))
            assert [dotted(row.address) for row in bench.server.table.rows()] == ["127.1.0.7"]
            bench.view.swap(SiteView("lab", discovery="hold", networks=(NETWORK,)))
            bench.request(7)
            assert await bench.receive() == (7, dhcp.ACK)

    asyncio.run(run())


def test_what_the_storage_refuses_is_not_acknowledged_and_noted():
    async def run():
        async with Bench() as bench:
            bench.store.gate.set()
            bench.store.taken = frozenset({int(IPv4Address("127.1.0.1"))})
            bench.request(1)
            bench.request(2)
            assert await bench.receive() == (2, dhcp.ACK)
            (note,) = bench.server._notes.unanswered("02:00:00:00:00:01")
            assert note.reason == "not-stored"

    asyncio.run(run())


def test_one_machine_that_floods_is_limited_and_others_are_served():
    async def run():
        async with Bench() as bench:
            bench.store.gate.set()
            for _ in range(60):
                bench.send(1, dhcp.DISCOVER)
            bench.send(2, dhcp.DISCOVER)
            got = []
            while (2, dhcp.OFFER) not in got:
                got.append(await bench.receive())
            assert got.count((1, dhcp.OFFER)) == 40
            assert bench.server._notes.counts()["rate-limited"] == 20

    asyncio.run(run())
