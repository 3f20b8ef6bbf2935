"""A TFTP client for the tests of the server, and a server to talk to."""

import asyncio
import socket
from unittest.mock import patch

from pxe_edge.policy import transfer
from pxe_edge.servers.tftp import TftpServer
from pxe_edge.wire import tftp
from pxe_edge.wire.tftp import Ack, Data, OptionAck, ReadRequest


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
        async with asyncio.timeout(30):
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


def serve(root, talk, **settings):
    """Talk to a server that repeats nothing by itself: a busy computer may take a client's second away."""

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

    with patch.object(transfer, "FIRST_WAIT_S", 40.0):
        asyncio.run(run())


async def until(condition):
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - waits for a state of the server, with a deadline
            await asyncio.sleep(0.005)
