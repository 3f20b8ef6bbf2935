"""The TFTP server over loopback: ports, strangers, limits, files that are not to be had (facts T1-T11)."""

import asyncio
import os
import socket
from ipaddress import IPv4Interface, IPv4Network

import pytest

from pxe_edge.policy.networks import Link
from pxe_edge.policy.views import NetworkView
from pxe_edge.servers import tftp as server_module
from pxe_edge.servers.peers import counted_as
from pxe_edge.servers.tftp import MAX_PER_ADDRESS, TftpServer
from pxe_edge.wire import tftp
from pxe_edge.wire.tftp import Ack, Data, Error, OptionAck, ReadRequest, WriteRequest

BIG = bytes(range(251)) * 1000


class Client:
    """One UDP port, IPv4 or IPv6."""

    def __init__(self, server_port, host="127.0.0.1", own=None):
        self.sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setblocking(False)
        self.sock.bind((own or host, 0))
        self.to = (host, server_port)
        self.came_from = None

    def send(self, packet, to=None):
        data = packet if isinstance(packet, bytes) else tftp.encode(packet)
        self.sock.sendto(data, to or self.came_from or self.to)

    def ask(self, packet):
        self.send(packet, self.to)

    async def receive(self):
        async with asyncio.timeout(5):
            data, self.came_from = await asyncio.get_running_loop().sock_recvfrom(self.sock, 65536)
        return tftp.decode(data)

    async def fetch(self, name, **options):
        """A whole file, as RFC 7440 wants it fetched; what was agreed on, and how many blocks came."""
        self.ask(ReadRequest(name, "octet", {key: str(value) for key, value in options.items()}))
        agreed, got, blocks, packet = {}, b"", 0, await self.receive()
        if isinstance(packet, OptionAck):
            agreed = dict(packet.options)
            self.send(Ack(0))
            packet = await self.receive()
        size, window = int(agreed.get("blksize", 512)), int(agreed.get("windowsize", 1))
        while True:
            assert isinstance(packet, Data), packet
            assert packet.block == blocks + 1 & 0xFFFF
            got, blocks = got + packet.payload, blocks + 1
            if len(packet.payload) < size:
                self.send(Ack(packet.block))
                return got, agreed, blocks
            if blocks % window == 0:
                self.send(Ack(packet.block))
            packet = await self.receive()


@pytest.fixture
def root(tmp_path):
    boot = tmp_path / "boot"
    (boot / "bootos").mkdir(parents=True)
    (boot / "small").write_bytes(b"x" * 600)
    (boot / "whole").write_bytes(b"x" * 1024)
    (boot / "empty").write_bytes(b"")
    (boot / "big").write_bytes(BIG)
    (boot / "bootos" / "kernel").write_bytes(b"k" * 10)
    (boot / ".partial.7").write_bytes(b"half")
    (tmp_path / "secret").write_bytes(b"s")
    (boot / "leak").symlink_to("../secret")
    (boot / "alias").symlink_to("small")
    os.mkfifo(boot / "pipe")
    return boot


def serve(root, talk, **settings):
    async def run():
        server = TftpServer(root, port=0, **settings)
        server.start()
        clients = []

        def client(*where, **more):
            clients.append(Client(server.port, *where, **more))
            return clients[-1]

        try:
            await talk(client, server)
        finally:
            server.close()
            for each in clients:
                each.sock.close()

    asyncio.run(run())


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - waits for a state of the server, with a deadline
            await asyncio.sleep(0.005)


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
        one.ask(ReadRequest("small", "octet", {"timeout": "1"}))
        first = await one.receive()
        session = one_session(server)
        session.deadline = 0.0  # a second later
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
        one.ask(ReadRequest("small", "octet"))
        for _ in range(6):
            assert await one.receive() == Data(1, b"x" * 512)
            one_session(server).deadline = 0.0
        await until(lambda: not server.transfers)

    serve(root, talk)


@pytest.mark.parametrize(
    ("request_packet", "code"),
    [
        (ReadRequest("missing", "octet"), 1),
        (ReadRequest("bootos", "octet"), 1),
        (ReadRequest("/", "octet"), 1),
        (ReadRequest(".", "octet"), 1),
        (ReadRequest("pipe", "octet"), 1),
        (ReadRequest(".partial.7", "octet"), 1),
        (ReadRequest("../secret", "octet"), 2),
        (ReadRequest("..\\secret", "octet"), 2),
        (ReadRequest("/../../secret", "octet"), 2),
        (ReadRequest("bootos/../../secret", "octet"), 2),
        (ReadRequest("leak", "octet"), 2),
        (ReadRequest("\xff\xfe", "octet"), 1),
        (ReadRequest("a" * 600, "octet"), 1),
        (ReadRequest("small", "netascii"), 4),
        (ReadRequest("small", "mail"), 4),
        (WriteRequest(), 2),
        (b"\0\2small\0octet\0", 2),
        (b"\0\1small\0octet\0blksize\x001468", 4),
        (b"\0\1small", 4),
    ],
)
def test_t10_every_request_gets_at_least_an_error(root, request_packet, code):
    async def talk(client, server):
        one = client()
        one.ask(request_packet)
        answer = await one.receive()
        assert (type(answer), answer.code) == (Error, code)
        assert not server.transfers

    serve(root, talk)


@pytest.mark.parametrize("name", ["small", "/small", "//small", "alias", "\\small", "./small"])
def test_t10_names_as_loaders_write_them(root, name):
    async def talk(client, server):
        assert (await client().fetch(name))[0] == b"x" * 600

    serve(root, talk)


def test_t10_a_transfer_keeps_the_version_that_it_began_with(root):
    async def talk(client, server):
        one, two = client(), client()
        one.ask(ReadRequest("small", "octet"))
        await one.receive()
        (root / ".new").write_bytes(b"y" * 700)
        (root / ".new").rename(root / "small")
        assert (await two.fetch("small"))[0] == b"y" * 700
        one.send(Ack(1))
        assert await one.receive() == Data(2, b"x" * 88)

    serve(root, talk)


def test_t10_a_file_that_is_cut_short_under_a_transfer_ends_it_and_not_the_server(root):
    async def talk(client, server):
        one = client()
        one.ask(ReadRequest("big", "octet", {"blksize": "1000"}))
        await one.receive()
        os.truncate(root / "big", 0)
        one.send(Ack(0))
        answer = await one.receive()
        assert (type(answer), answer.code) == (Error, tftp.NOT_DEFINED)
        assert (await client().fetch("small"))[0] == b"x" * 600

    serve(root, talk)


def test_t11_a_repeated_request_gets_the_same_answer_from_the_same_port(root):
    async def talk(client, server):
        one = client()
        for options in ({"tsize": "0"}, {}):
            one.ask(ReadRequest("small", "octet", options))
            first, port = await one.receive(), one.came_from
            one.ask(ReadRequest("small", "octet", options))
            assert (await one.receive(), one.came_from) == (first, port)
            assert server.transfers == 1

    serve(root, talk)


def test_t11_another_request_from_the_same_port_takes_the_place_of_the_first(root):
    async def talk(client, server):
        one = client()
        one.ask(ReadRequest("small", "octet"))
        await one.receive()
        old = one.came_from
        one.ask(ReadRequest("bootos/kernel", "octet"))
        assert await one.receive() == Data(1, b"k" * 10)
        assert (one.came_from != old, server.transfers) == (True, 1)

    serve(root, talk)


def test_t11_transfers_per_address_are_capped_and_come_free(root):
    async def talk(client, server):
        busy = [client() for _ in range(MAX_PER_ADDRESS)]
        for each in busy:
            each.ask(ReadRequest("small", "octet"))
            await each.receive()
        late = client()
        late.ask(ReadRequest("small", "octet"))
        assert (await late.receive()).code == tftp.NOT_DEFINED
        assert (await client(own="127.0.0.2").fetch("small"))[0] == b"x" * 600
        busy[0].send(Error(0, "bye"))
        await until(lambda: server.transfers < MAX_PER_ADDRESS)
        late.ask(ReadRequest("small", "octet"))
        assert isinstance(await late.receive(), Data)

    serve(root, talk)


def test_t11_a_full_table_drops_who_never_acknowledged_and_nobody_else(root, monkeypatch):
    monkeypatch.setattr(server_module, "MAX_TRANSFERS", 2)
    monkeypatch.setattr(server_module, "_UNPROVEN_S", 0.0)

    async def talk(client, server):
        real, forged, third, fourth = (client(own=f"127.0.0.{n}") for n in range(2, 6))
        real.ask(ReadRequest("small", "octet"))
        assert (await real.receive()).block == 1
        real.send(Ack(1))
        assert (await real.receive()).block == 2
        forged.ask(ReadRequest("small", "octet"))
        await forged.receive()
        third.ask(ReadRequest("small", "octet"))
        assert (await third.receive()).block == 1
        third.send(Ack(1))
        assert (await third.receive()).block == 2
        fourth.ask(ReadRequest("small", "octet"))
        assert (await fourth.receive()).code == tftp.NOT_DEFINED
        real.send(Ack(2))
        await until(lambda: server.transfers == 1)

    serve(root, talk)


def test_what_is_made_is_served_where_there_is_no_file_and_knows_the_address_that_was_asked(root):
    def made(name, local):
        return f"for {local}".encode() if name in ("grub/grub.cfg", "small") else None

    async def talk(client, server):
        assert (await client().fetch("grub/grub.cfg"))[0] == b"for 127.0.0.1"
        assert (await client().fetch("small"))[0] == b"x" * 600

    serve(root, talk, made=made)


def test_junk_is_not_answered_and_ends_nothing(root):
    async def talk(client, server):
        one = client()
        for junk in (b"", b"\0\3\0", b"\0\4\0", b"\0\3\0\1abc", b"\0\x05\0\0x\0", b"\xff" * 50):
            one.ask(junk)
        one.ask(ReadRequest("small", "octet"))
        assert await one.receive() == Data(1, b"x" * 512)
        assert server.refused["not-a-request"] == 6

    serve(root, talk)


def test_a_request_to_a_broadcast_address_is_not_answered(root):
    async def talk(client, server):
        one = client()
        one.sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        one.send(ReadRequest("small", "octet"), ("127.255.255.255", server.port))
        await until(lambda: server.refused["sent-to-broadcast"])
        assert not server.transfers

    serve(root, talk)


def test_ipv6_clients_are_served_from_the_address_that_they_asked(root):
    async def talk(client, server):
        if len(server._listening) < 2:
            pytest.skip("this host has no IPv6")
        one = client("::1")
        assert (await one.fetch("big", blksize=65464, windowsize=16))[:2] == (
            BIG,
            {"blksize": "1448", "windowsize": "16"},
        )
        assert one.came_from[0] == "::1"

    serve(root, talk)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (("10.0.0.1", 5), ("10.0.0.1", 6), True),
        (("10.0.0.1", 5), ("10.0.0.2", 5), False),
        (("2001:db8::1", 5, 0, 0), ("2001:db8::ffff:1", 6, 0, 0), True),
        (("2001:db8::1", 5, 0, 0), ("2001:db8:0:1::1", 5, 0, 0), False),
        (("fe80::1", 5, 0, 2), ("fe80::2", 5, 0, 2), False),
        (("fe80::1", 5, 0, 2), ("fe80::1", 5, 0, 3), False),
    ],
)
def test_limits_count_an_ipv6_network_as_one_client(one, other, same):
    assert (counted_as(one) == counted_as(other)) is same
