"""The HTTP server's connections: slow, silent, too many, cut off, on IPv6, in the background (facts H1)."""

import asyncio
import errno
import os
import random
import re
import socket

import pytest

from pxe_edge.servers import http, http_stream
from pxe_edge.servers.background import Background
from pxe_edge.servers.errors import PortInUse
from pxe_edge.servers.files import FileTable, ServedFile
from pxe_edge.servers.http import HttpServer
from pxe_edge.servers.http_answer import Response

GET = b"GET /file HTTP/1.1\r\nHost: x\r\n\r\n"
LARGE = 16 << 20


@pytest.fixture
def served(tmp_path):
    """A folder with one file of random octets, and the server's handler over it."""
    content = random.Random(5).randbytes(3_000_001)
    (tmp_path / "file").write_bytes(content)
    with (tmp_path / "large").open("wb") as file:
        file.truncate(LARGE)
    table = FileTable(tmp_path)
    tasks = []

    async def handler(request):
        tasks.append(request)
        found = table.open(request.head.path)
        return Response(file=found) if isinstance(found, ServedFile) else Response(body=b"text")

    handler.content, handler.folder, handler.requests = content, tmp_path, tasks
    return handler


def serve(handler, talk):
    async def run():
        server = HttpServer(handler, port=0)
        await server.start()
        try:
            await talk(server)
            await until(lambda: not server._open)
            assert not server._per_address
        finally:
            await server.close()

    asyncio.run(run())


async def until(condition):
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - waits for a state of the server, with a deadline
            await asyncio.sleep(0.005)


async def connect(server, host="127.0.0.1", **settings):
    return await asyncio.open_connection(host, server.port, **settings)


async def answer(reader):
    """Status, headers and body of one answer."""
    async with asyncio.timeout(30):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.strip().split("\r\n")
        told = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        return int(first.split()[1]), told, await reader.readexactly(int(told.get("content-length", 0)))


async def rest(reader):
    """What comes until the connection ends, however it ends."""
    got = b""
    async with asyncio.timeout(30):
        try:
            while data := await reader.read(1 << 20):
                got += data
        except ConnectionError:
            pass
    return got


def test_requests_one_behind_the_other_are_answered_in_order(served):
    async def talk(server):
        reader, writer = await connect(server)
        writer.write(GET + GET.replace(b"GET", b"HEAD") + GET.replace(b"/file", b"/text"))
        assert (await answer(reader))[2] == served.content
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        assert f"Content-Length: {len(served.content)}\r\n" in head
        assert (await answer(reader))[2] == b"text"
        writer.close()

    serve(served, talk)


def test_a_request_may_come_octet_by_octet_and_name_no_port(served):
    async def talk(server):
        reader, writer = await connect(server)
        for octet in GET:
            writer.write(bytes((octet,)))
            await writer.drain()
            await asyncio.sleep(0)
        assert (await answer(reader))[0] == 200
        writer.close()

    serve(served, talk)


def test_every_answer_has_a_date(served):
    async def talk(server):
        reader, writer = await connect(server)
        writer.write(GET)
        assert (await answer(reader))[1]["date"].endswith(" GMT")
        writer.close()

    serve(served, talk)


def test_many_ranges_at_once_make_the_file(served):
    async def part(server, first, last):
        reader, writer = await connect(server)
        writer.write(GET[:-2] + b"Range: bytes=%d-%d\r\n\r\n" % (first, last))
        status, _, got = await answer(reader)
        writer.close()
        assert status == 206
        return got

    async def talk(server):
        size = 100_000
        ends = [(at, at + size - 1) for at in range(0, len(served.content), size)]
        parts = await asyncio.gather(*(part(server, *each) for each in ends))
        assert b"".join(parts) == served.content

    serve(served, talk)


def test_parts_that_one_connection_takes_of_one_file_are_one_line_in_the_log(served, caplog):
    caplog.set_level("INFO", logger="pxe_edge.servers.http")

    async def talk(server):
        reader, writer = await connect(server)
        for target, wanted in ((b"/file", "0-9"), (b"/file", "20-24"), (b"/large", "0-0"), (b"/file", None)):
            more = f"Range: bytes={wanted}\r\n".encode() if wanted else b""
            writer.write(b"GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n" % (target, more))
            assert (await answer(reader))[0] == (206 if wanted else 200)
        writer.write(GET[:-2] + b"Range: bytes=5-5\r\n\r\n")
        await answer(reader)
        writer.close()

    serve(served, talk)

    lines = [re.sub(" ms=.*", "", line) for line in caplog.messages if line.startswith("http=GET")]
    assert lines == [
        "http=GET path=/file client=127.0.0.1 status=206 parts=2 bytes=15",
        "http=GET path=/large client=127.0.0.1 status=206 parts=1 bytes=1",
        f"http=GET path=/file client=127.0.0.1 status=200 bytes={len(served.content)}",
        "http=GET path=/file client=127.0.0.1 status=206 parts=1 bytes=1",
    ]


def test_a_file_keeps_its_version_and_one_that_is_cut_short_ends_the_connection(served):
    async def talk(server):
        # Small buffers, so that the file is not in the kernel's before it is replaced.
        reader, writer = await slow_reader(server, b"/large")
        await reader.readexactly(1000)
        (served.folder / ".new").write_bytes(b"new")
        (served.folder / ".new").rename(served.folder / "large")
        assert len(await rest(reader)) > LARGE - 1000 - 65536
        writer.close()
        with (served.folder / "large").open("wb") as file:
            file.truncate(LARGE)
        reader, writer = await slow_reader(server, b"/large")
        await reader.readexactly(1000)
        os.truncate(served.folder / "large", 0)
        assert len(await rest(reader)) < LARGE - 1000
        writer.close()

    serve(served, talk)


async def slow_reader(server, path):
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", server.port))
    reader, writer = await asyncio.open_connection(sock=sock, limit=65536)
    writer.write(GET[:-2].replace(b"/file", path) + b"Connection: close\r\n\r\n")
    return reader, writer


def test_a_file_wakes_its_task_once_however_often_the_socket_fills(served, monkeypatch):
    """What a gigabyte costs is the number of wake-ups: the selector is told of a file once."""
    told = []

    async def run():
        loop = asyncio.get_running_loop()
        add = loop.add_writer
        monkeypatch.setattr(loop, "add_writer", lambda *given: (told.append(given[0]), add(*given)))
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        with ours, theirs, (served.folder / "file").open("rb") as file:
            sending = asyncio.create_task(http_stream.Stream(ours).send_file(file, 0, len(served.content)))
            got = b""
            while len(got) < len(served.content):
                got += await loop.sock_recv(theirs, 65536)
            assert await sending == len(got)
        assert got == served.content

    asyncio.run(run())
    assert len(told) == 1


def test_a_reader_that_stalls_is_dropped(served, monkeypatch):
    monkeypatch.setattr(http_stream, "STALL_S", 0.2)

    async def talk(server):
        reader, writer = await slow_reader(server, b"/large")
        await reader.readexactly(1000)
        await until(lambda: not server._open)
        writer.close()

    serve(served, talk)


@pytest.mark.parametrize(
    ("per_minute", "gets_all"), [(http_stream.LEAST_BYTES // 100, False), (300_000, True)]
)
def test_a_reader_may_be_slow_but_not_crawl(served, monkeypatch, per_minute, gets_all):
    clock = [0.0]
    monkeypatch.setattr(http_stream, "monotonic", lambda: clock[0])
    monkeypatch.setattr(http_stream, "STALL_S", 1.0)

    async def run():
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        with ours, theirs, (served.folder / "file").open("rb") as file:
            for sock in (ours, theirs):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            size = len(served.content)
            sending = asyncio.create_task(http_stream.Stream(ours).send_file(file, 0, size))
            got = minute = 0
            while got < size and not sending.done():
                got += len(await asyncio.get_running_loop().sock_recv(theirs, 2048))
                if got - minute >= per_minute:
                    minute, clock[0] = got, clock[0] + 1.1
                await asyncio.sleep(0)
            if gets_all:
                assert await sending == size
            else:
                with pytest.raises(TimeoutError):
                    await sending

    asyncio.run(run())


def test_who_says_nothing_or_half_a_head_is_dropped(served, monkeypatch):
    monkeypatch.setattr(http, "HEAD_TIMEOUT_S", 0.05)

    async def talk(server):
        for said in (b"", GET[:10]):
            reader, writer = await connect(server)
            writer.write(said)
            assert await rest(reader) == b""
            writer.close()
        assert served.requests == []

    serve(served, talk)


def test_a_head_that_never_ends_is_refused_in_time_for_the_client_to_read_it(served):
    async def talk(server):
        reader, writer = await connect(server)
        writer.write(b"GET / HTTP/1.1\r\nX: " + b"a" * 300_000)
        assert (await rest(reader)).startswith(b"HTTP/1.1 431 ")
        writer.close()

    serve(served, talk)


def test_when_all_connections_are_taken_the_longest_idle_one_gives_way(served, monkeypatch):
    monkeypatch.setattr(http, "MAX_CONNECTIONS", 2)

    async def talk(server):
        first, second, third = [await connect(server) for _ in range(2)], None, None
        for reader, writer in first:
            writer.write(GET)
            assert (await answer(reader))[0] == 200
        second = await connect(server)
        second[1].write(GET)
        assert (await answer(second[0]))[0] == 200
        assert await rest(first[0][0]) == b""
        third = await connect(server)
        third[1].write(GET)
        assert (await answer(third[0]))[0] == 200
        assert await rest(first[1][0]) == b""
        for _, writer in (*first, second, third):
            writer.close()

    serve(served, talk)


def test_when_all_connections_are_busy_a_new_one_is_turned_away(served, monkeypatch):
    monkeypatch.setattr(http, "MAX_CONNECTIONS", 1)

    async def talk(server):
        busy, writer = await slow_reader(server, b"/large")
        await busy.readexactly(1000)
        reader, other = await connect(server)
        assert (await answer(reader))[0] == 503
        other.close()
        writer.transport.abort()

    serve(served, talk)


def test_ipv6_clients_are_served_and_told_an_address_in_brackets(served):
    async def talk(server):
        if len(server._listening) < 2:
            pytest.skip("this host has no IPv6")
        reader, writer = await connect(server, "::1")
        writer.write(GET)
        assert (await answer(reader))[2] == served.content
        assert (str(served.requests[0].peer), served.requests[0].local) == ("::1", f"[::1]:{server.port}")
        writer.close()

    serve(served, talk)


def test_a_host_without_ipv6_serves_ipv4(served, monkeypatch):
    real = http._listen

    def listen(host, port):
        if ":" in host:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return real(host, port)

    async def talk(server):
        reader, writer = await connect(server)
        writer.write(GET)
        assert (await answer(reader))[0] == 200
        writer.close()

    monkeypatch.setattr(http, "_listen", listen)
    serve(served, talk)


def test_a_failing_handler_costs_its_connection_only(served):
    async def broken(request):
        if request.head.path == "/broken":
            raise RuntimeError("a bug")
        return await served(request)

    async def talk(server):
        reader, writer = await connect(server)
        writer.write(GET.replace(b"/file", b"/broken"))
        assert await rest(reader) == b""
        writer.close()
        reader, writer = await connect(server)
        writer.write(GET)
        assert (await answer(reader))[0] == 200
        writer.close()

    serve(broken, talk)


def test_in_the_background_it_serves_beside_a_loop_that_is_busy_and_tells_what_kept_it_from_starting(served):
    async def run():
        server = HttpServer(served, port=0)
        background = Background(server, "files")
        await background.start()
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
            client.sendall(GET)  # this loop does not turn meanwhile
            got = b""
            while len(got) < len(served.content):
                got += client.recv(1 << 20)
            background.check()
            second = Background(HttpServer(served, port=server.port), "second")
            with pytest.raises(PortInUse):
                await second.start()
            await second.close()
        await background.close()
        background.check()

    asyncio.run(run())
