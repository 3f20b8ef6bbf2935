"""A DHCP server that is not ours is heard on the link, with its address and MAC, and never ourselves."""

import asyncio
import os
import socket
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest

from pxe_edge.policy.networks import Link
from pxe_edge.policy.views import NetworkView, SiteView
from pxe_edge.servers import foreign as module
from pxe_edge.servers.foreign import ForeignServers
from pxe_edge.servers.notes import Notes
from pxe_edge.wire import dhcp
from pxe_edge.wire.frames import ETHERTYPE_IPV4, udp_frame

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="packet sockets need root")
OURS, OTHER = int(IPv4Address("127.0.0.1")), int(IPv4Address("10.77.1.3"))
BROADCAST = 0xFFFFFFFF
MAC, CLIENT = bytes.fromhex("525400000099"), b"\xff" * 6
LINKS = {1: Link("lo", 1, (IPv4Interface("127.0.0.1/8"),), bytes(6))}


def site(mode="full"):
    network = NetworkView("prov", "provisioning", IPv4Network("10.77.1.0/24"), interface="lo", mode=mode)
    return SiteView("lab", networks=(network,))


def answer(kind, server):
    options = {53: bytes((kind,)), 54: server.to_bytes(4, "big")}
    return dhcp.encode(dhcp.Packet(op=2, xid=1, chaddr=bytes(6), options=options)).data


def heard(frames, mode="full", expect=1):
    """What is noted of these frames, sent on the loopback link, which hands each back as a stranger's."""
    enough = asyncio.Event()

    class Counting(Notes):
        """Notes that say when enough was heard."""

        def foreign(self, *args, **more):
            super().foreign(*args, **more)
            if sum(server.count for server in self.foreign_servers()) >= expect:
                enough.set()

    async def run():
        notes = Counting()
        listener = ForeignServers(notes)
        listener.sync(site(mode), LINKS)
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
            for frame in frames:
                sock.sendto(frame, ("lo", ETHERTYPE_IPV4))
        async with asyncio.timeout(10):
            await enough.wait()
        listener.close()
        return notes.foreign_servers()

    return asyncio.run(run())


def frame(payload, *, source_port=67, target_port=68):
    return udp_frame(MAC, CLIENT, (OTHER, source_port), (BROADCAST, target_port), payload)


@pytest.mark.parametrize(("kind", "name"), [(dhcp.OFFER, "OFFER"), (dhcp.ACK, "ACK"), (dhcp.NAK, "NAK")])
def test_another_server_is_heard_by_its_broadcast_answers(kind, name):
    (server,) = heard([frame(answer(kind, OTHER))])

    assert (server.address, server.mac, server.seen_as) == ("10.77.1.3", "52:54:00:00:00:99", name)
    assert (server.interface, server.network, server.expected) == ("lo", "prov", False)


def test_in_proxy_mode_it_is_expected():
    (server,) = heard([frame(answer(dhcp.OFFER, OTHER))], mode="proxy")

    assert server.expected


def test_our_own_answers_other_ports_and_junk_are_no_server():
    frames = [
        frame(answer(dhcp.OFFER, OURS)),
        frame(answer(dhcp.OFFER, OTHER), source_port=68, target_port=67),
        frame(answer(dhcp.OFFER, OTHER), target_port=69),
        frame(b"junk"),
        frame(answer(dhcp.ACK, OTHER)),
    ]

    (server,) = heard(frames)

    assert (server.count, server.seen_as) == (1, "ACK")


def test_a_flood_is_read_only_in_part(monkeypatch):
    monkeypatch.setattr(module, "FRAMES_PER_S", 5)

    (server,) = heard([frame(answer(dhcp.OFFER, OTHER))] * 50, expect=5)

    assert server.count == 5
