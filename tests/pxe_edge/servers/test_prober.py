"""The probe before an offer, on the loopback link: an answer, none, a proxy, more than can wait."""

import asyncio
import os
import socket
import struct
import time
from ipaddress import IPv4Interface, IPv4Network

import pytest

from pxe_edge.policy.networks import Link, serve_site
from pxe_edge.policy.probes import PROXY_ANSWERS, WAIT_S
from pxe_edge.policy.views import NetworkView, SiteView
from pxe_edge.servers.prober import MAX_HELD, Prober
from pxe_edge.wire import arp

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="packet sockets need root")
ADDRESS, HOLDER = 0x0A4D0110, bytes.fromhex("525400000099")
LINK = Link("lo", 1, (IPv4Interface("127.0.0.1/8"),), bytes(6))


def networks(**more):
    network = NetworkView("prov", "provisioning", IPv4Network("10.77.1.0/24"), interface="lo", **more)
    return serve_site(SiteView("lab", networks=(network,))).networks


def answer(address, mac=HOLDER):
    """A reply to us, which the loopback link hands to every packet socket."""
    head = bytes(6) + mac + struct.pack("!HHHBBH", arp.ETHERTYPE_ARP, 1, 0x0800, 6, 4, arp.REPLY)
    frame = head + mac + address.to_bytes(4, "big") + bytes(6) + bytes(4)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
        sock.sendto(frame, ("lo", arp.ETHERTYPE_ARP))


def talk(what, **more):
    async def run():
        prober = Prober(time.time)
        prober.sync(networks(**more), [LINK])
        try:
            async with asyncio.timeout(10):
                return await what(prober)
        finally:
            prober.close()

    return asyncio.run(run())


async def held(prober, address=ADDRESS):
    """Who has the address, and how long that took."""
    said, began = asyncio.get_running_loop().create_future(), time.monotonic()
    prober.hold(LINK, address, said.set_result)
    await asyncio.sleep(0)
    return said, began


def test_nobody_answers_and_the_offer_goes_on_in_time():
    async def what(prober):
        assert not prober.is_clear(LINK, ADDRESS, time.time())
        said, began = await held(prober)
        assert await said is None
        assert time.monotonic() - began >= WAIT_S * 0.9
        assert prober.is_clear(LINK, ADDRESS, time.time())

    talk(what)


def test_who_answers_is_named_at_once_and_to_the_next_who_asks():
    async def what(prober):
        said, _ = await held(prober)
        answer(ADDRESS)
        assert await said == HOLDER
        assert not prober.is_clear(LINK, ADDRESS, time.time())
        again, _ = await held(prober)
        assert await again == HOLDER

    talk(what)


def test_what_was_asked_ahead_waits_for_nothing():
    async def what(prober):
        prober.ask_ahead(LINK, [ADDRESS, ADDRESS + 1])
        later = time.time() + WAIT_S
        assert prober.is_clear(LINK, ADDRESS, later)
        assert not prober.is_clear(LINK, ADDRESS + 2, later)

    talk(what)


def test_a_router_that_answers_for_all_is_told_of_once_and_not_believed(caplog):
    async def what(prober):
        addresses = range(ADDRESS, ADDRESS + PROXY_ANSWERS + 3)
        for address in addresses:
            said, _ = await held(prober, address)
            answer(address)
            last = await said
        assert last is None
        assert prober.is_clear(LINK, ADDRESS, time.time() + WAIT_S)

    talk(what)
    assert caplog.text.count("probe=proxy-arp") == 1


def test_when_too_many_wait_the_next_offers_leave_unprobed_and_are_counted():
    async def what(prober):
        for number in range(MAX_HELD):
            prober.hold(LINK, ADDRESS + number, lambda _: None)
        assert prober.is_clear(LINK, ADDRESS + MAX_HELD, time.time())
        assert prober.unprobed == 1
        assert not prober.is_clear(LINK, ADDRESS, time.time())

    talk(what)


@pytest.mark.parametrize("more", [{"conflict_probe": False}, {"mode": "proxy"}])
def test_a_network_that_is_not_probed_holds_nothing(more):
    async def what(prober):
        assert prober.is_clear(LINK, ADDRESS, time.time())

    talk(what, **more)
