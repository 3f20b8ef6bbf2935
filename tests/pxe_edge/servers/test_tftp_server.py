"""The TFTP server over loopback: ports, options, windows, losses (facts T1-T9)."""

from functools import partial
from ipaddress import IPv4Interface, IPv4Network

import pytest

from pxe_edge.policy.networks import Link
from pxe_edge.policy.views import NetworkView
from pxe_edge.servers import tftp as server_module
from pxe_edge.wire import tftp
from pxe_edge.wire.tftp import Ack, Data, Error, OptionAck, ReadRequest
from tests.pxe_edge.servers.conftest import BIG
from tests.pxe_edge.servers.tftp_client import serve, until


def test_t1_a_transfer_has_its_own_port_and_strangers_do_not_disturb_it(root):
    async def talk(client, server):
        one, stranger, two = client(), client(), client()
        one.ask(ReadRequest("small", "octet"))
        assert await one.receive() == Data(1, b"x" * 512)
        assert one.came_from[1] != server.port
        for packet in (Ack(1), Data(1, b""), OptionAck({"tsize": "1"})):
            stranger.send(packet, one.came_from)
            assert (await stranger.receive()).code == tftp.UNKNOWN_TID
        stranger.send(Error(0, "never answered"), one.came_from)
        two.ask(ReadRequest("small", "octet"))
        await two.receive()
        assert two.came_from != one.came_from
        one.send(Ack(1))
        assert await one.receive() == Data(2, b"x" * 88)
        one.send(Ack(2))
        await until(lambda: server.transfers == 1)
        assert server.refused["unknown-transfer"] == 4

    serve(root, talk)


def test_t3_options_come_back_only_if_asked_for_whatever_their_case(root):
    async def talk(client, server):
        one = client()
        one.ask(b"\0\1small\0OCTET\0TSIZE\x000\0nonsense\x001\0BlkSize\x001000\0blksize\x008\0")
        assert await one.receive() == OptionAck({"tsize": "600", "blksize": "1000"})
        other = client()
        other.ask(ReadRequest("small", "octet", {"nonsense": "1", "blksize": "abc"}))
        assert await other.receive() == Data(1, b"x" * 512)

    serve(root, talk)


@pytest.mark.parametrize(
    ("mtu", "network_mtu", "subnet", "block"),
    [
        (1500, None, "127.0.0.0/8", 1468),
        (9000, None, "127.0.0.0/8", 8968),
        (9000, None, "10.0.0.0/8", 1468),  # a client behind a router
        (9000, 1400, "127.0.0.0/8", 1368),
        (1400, 1500, "127.0.0.0/8", 1368),
    ],
)
def test_t4_a_block_is_no_larger_than_a_packet_on_the_way_to_the_client(
    root, mtu, network_mtu, subnet, block
):
    async def talk(client, server):
        address = IPv4Interface(subnet.replace("0.0.0/8", "0.0.1/8"))
        network = NetworkView("n", "provisioning", IPv4Network("127.0.0.0/8"), mtu=network_mtu)
        server.follow({1: Link("lo", 1, (address,), mtu=mtu)}, [network])
        assert (await client().fetch("big", blksize=65464))[:2] == (BIG, {"blksize": str(block)})

    serve(root, talk)


@pytest.mark.parametrize(("name", "blocks"), [("small", 2), ("whole", 3), ("empty", 1)])
def test_t9_the_last_block_is_short_and_may_be_empty(root, name, blocks):
    async def talk(client, server):
        got, agreed, count = await client().fetch(name)
        assert (got, agreed, count) == ((root / name).read_bytes(), {}, blocks)
        await until(lambda: not server.transfers)
        assert not server._mappings._open

    serve(root, talk)


@pytest.mark.parametrize("offload", [True, False])
@pytest.mark.parametrize("window", [2, 16, 64, 65535])
@pytest.mark.parametrize("block_bytes", [8, 1468])
def test_t6_windows_arrive_whole_and_in_order_with_and_without_offload(root, offload, window, block_bytes):
    async def talk(client, server):
        name, content = ("big", BIG) if block_bytes > 8 else ("small", b"x" * 600)
        got, agreed, _ = await client().fetch(name, windowsize=window, blksize=block_bytes)
        assert got == content
        assert agreed["windowsize"] == str(min(window, 64))

    serve(root, talk, offload=offload)


def test_t6_a_kernel_that_refuses_to_cut_a_window_gets_single_blocks(root):
    async def talk(client, server):
        one = client()
        one.ask(ReadRequest("big", "octet", {"windowsize": "8", "blksize": "1400"}))
        await one.receive()
        data = one_session(server).data
        data.sock = Refusing(data.sock)
        one.send(Ack(0))
        assert [(await one.receive()).block for _ in range(8)] == list(range(1, 9))
        assert not data.offload

    serve(root, talk)


class Refusing:
    """A socket of a device that can't cut datagrams."""

    def __init__(self, sock):
        self.sock = sock

    def __getattr__(self, name):
        return getattr(self.sock, name)

    def sendmsg(self, parts, ancillary, flags, peer):
        if ancillary:
            raise OSError(5, "Input/output error")
        return self.sock.sendmsg(parts, ancillary, flags, peer)


def one_session(server):
    (session,) = server._sessions.values()
    return session


def time_is_up(server):
    """The transfer's clock runs out, once the server's thread is done with what it sent last."""
    server._turns.hand(partial(setattr, one_session(server), "deadline", 0.0))


def test_t7_firmware_that_probes_the_size_and_refuses_leaves_nothing_behind(root):
    async def talk(client, server):
        probe, real = client(), client()
        probe.ask(ReadRequest("small", "octet", {"tsize": "0"}))
        assert (await probe.receive()).options == {"tsize": "600"}
        probe.send(Error(8, "user aborted"))
        await until(lambda: not server.transfers)
        assert await real.fetch("small", blksize=1400, windowsize=4) == (
            b"x" * 600,
            {"blksize": "1400", "windowsize": "4"},
            1,
        )

    serve(root, talk)


def test_t8_a_file_of_more_than_65535_blocks_arrives(tmp_path):
    content = bytes(range(256)) * (65600 * 8 // 256)

    async def talk(client, server):
        got, _, blocks = await client().fetch("long", blksize=8, windowsize=64)
        assert (got == content, blocks) == (True, 65601)

    (tmp_path / "long").write_bytes(content)
    serve(tmp_path, talk)


def test_t9_a_lost_packet_is_sent_again_and_a_late_last_ack_is_no_strangers(root, monkeypatch):
    monkeypatch.setattr(server_module, "_TICK_S", 0.02)
    monkeypatch.setattr(server_module, "_FORGET_EVERY", 1000)

    async def talk(client, server):
        one = client()
        one.ask(ReadRequest("small", "octet", {"timeout": "40"}))
        first = await one.receive()
        time_is_up(server)
        assert await one.receive() == first
        one.send(Ack(0))
        await one.receive()
        one.send(Ack(1))
        await one.receive()
        one.send(Ack(2))
        await until(lambda: not server.transfers)
        one.send(Ack(2))
        await until(lambda: server.refused["late"])
        assert not server.refused["unknown-transfer"]

    serve(root, talk)


def test_t9_a_client_that_fell_silent_is_given_up(root, monkeypatch):
    monkeypatch.setattr(server_module, "_TICK_S", 0.01)

    async def talk(client, server):
        one = client()
        one.ask(ReadRequest("small", "octet", {"timeout": "40"}))  # the clock is the test's
        await one.receive()
        one.send(Ack(0))
        for _ in range(6):
            assert await one.receive() == Data(1, b"x" * 512)
            time_is_up(server)
        await until(lambda: not server.transfers)

    serve(root, talk)
