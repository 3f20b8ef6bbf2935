"""The TFTP server over loopback: ports, strangers, limits, and files that are not to be had."""

import asyncio
import os
import socket

import pytest

from pxe_edge.servers.tftp import MAX_PER_ADDRESS, TftpServer
from pxe_edge.wire import tftp
from pxe_edge.wire.tftp import Ack, Data, Error, ReadRequest, WriteRequest


class Client:
    """One UDP port."""

    def __init__(self, server_port):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setblocking(False)
        self.sock.bind(("127.0.0.1", 0))
        self.to = ("127.0.0.1", server_port)
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


@pytest.fixture
def root(tmp_path):
    boot = tmp_path / "boot"
    (boot / "bootos").mkdir(parents=True)
    (boot / "small").write_bytes(b"x" * 600)
    (boot / "bootos" / "kernel").write_bytes(b"k" * 10)
    (tmp_path / "secret").write_bytes(b"s")
    (boot / "leak").symlink_to("../secret")
    (boot / "alias").symlink_to("small")
    os.mkfifo(boot / "pipe")
    return boot


def serve(root, talk):
    async def run():
        server = TftpServer(root, port=0)
        server.start()
        clients = []

        def client():
            clients.append(Client(server.port))
            return clients[-1]

        try:
            await talk(client, server)
        finally:
            server.close()
            for each in clients:
                each.sock.close()

    asyncio.run(run())


def test_a_transfer_has_its_own_port_and_strangers_do_not_disturb_it(root):
    async def talk(client, server):
        one, stranger = client(), client()
        one.ask(ReadRequest("small", "octet"))
        assert await one.receive() == Data(1, b"x" * 512)
        assert one.came_from[1] != server.port
        stranger.send(Ack(1), one.came_from)
        assert (await stranger.receive()).code == tftp.UNKNOWN_TID
        one.send(Ack(1))
        assert await one.receive() == Data(2, b"x" * 88)
        one.send(Ack(2))
        await until(lambda: not server._sessions)

    serve(root, talk)


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - waits for a state of the server, with a deadline
            await asyncio.sleep(0.005)


def test_a_repeated_request_gets_the_same_answer_from_the_same_port(root):
    async def talk(client, server):
        one = client()
        one.ask(ReadRequest("small", "octet", {"tsize": "0"}))
        first, port = await one.receive(), one.came_from
        one.ask(ReadRequest("small", "octet", {"tsize": "0"}))
        assert (await one.receive(), one.came_from) == (first, port)
        assert len(server._sessions) == 1

    serve(root, talk)


def test_firmware_that_probes_the_size_and_refuses_leaves_nothing_behind(root):
    async def talk(client, server):
        probe, real = client(), client()
        probe.ask(ReadRequest("small", "octet", {"tsize": "0"}))
        assert (await probe.receive()).options == {"tsize": "600"}
        probe.send(Error(8, "user aborted"))
        real.ask(ReadRequest("small", "octet", {"blksize": "1400"}))
        assert (await real.receive()).options == {"blksize": "1400"}
        await until(lambda: len(server._sessions) == 1)

    serve(root, talk)


@pytest.mark.parametrize(
    ("request_packet", "code"),
    [
        (ReadRequest("missing", "octet"), 1),
        (ReadRequest("bootos", "octet"), 1),
        (ReadRequest("pipe", "octet"), 1),
        (ReadRequest("../secret", "octet"), 2),
        (ReadRequest("/../../secret", "octet"), 2),
        (ReadRequest("leak", "octet"), 2),
        (ReadRequest("\xff\xfe", "octet"), 1),
        (ReadRequest("a" * 600, "octet"), 2),
        (ReadRequest("small", "netascii"), 4),
        (ReadRequest("small", "mail"), 4),
        (WriteRequest(), 2),
        (b"\0\1small\0octet\0blksize\x001468", 4),
        (b"\0\1small", 4),
    ],
)
def test_every_request_gets_at_least_an_error(root, request_packet, code):
    async def talk(client, server):
        one = client()
        one.ask(request_packet)
        answer = await one.receive()
        assert (type(answer), answer.code) == (Error, code)
        assert not server._sessions

    serve(root, talk)


@pytest.mark.parametrize("name", ["small", "/small", "alias", "\\small", "bootos\\kernel", "/bootos/kernel"])
def test_names_as_loaders_write_them(root, name):
    async def talk(client, server):
        one = client()
        one.ask(ReadRequest(name, "octet"))
        assert isinstance(await one.receive(), Data)

    serve(root, talk)


def test_transfers_per_address_are_capped_and_come_free(root):
    async def talk(client, server):
        busy = [client() for _ in range(MAX_PER_ADDRESS)]
        for each in busy:
            each.ask(ReadRequest("small", "octet"))
            await each.receive()
        late = client()
        late.ask(ReadRequest("small", "octet"))
        assert (await late.receive()).code == tftp.NOT_DEFINED
        busy[0].send(Error(0, "bye"))
        await until(lambda: len(server._sessions) < MAX_PER_ADDRESS)
        late.ask(ReadRequest("small", "octet"))
        assert isinstance(await late.receive(), Data)

    serve(root, talk)


def test_junk_is_not_answered_and_ends_nothing(root):
    async def talk(client, server):
        one = client()
        for junk in (b"", b"\0\3\0", b"\0\4\0", b"\0\3\0\1abc", b"\0\x05\0\0x\0", b"\xff" * 50):
            one.ask(junk)
        one.ask(ReadRequest("small", "octet"))
        assert await one.receive() == Data(1, b"x" * 512)

    serve(root, talk)
