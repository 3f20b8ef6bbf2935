"""The relay's splice, over loopback: half-closes pass, broken ends end both."""

import argparse
import asyncio
import functools

import pytest

from lab.relay import Forward, parse_endpoint, splice


async def relayed(handler):
    """A server with `handler`, and a relay in front of it; the relay's port."""
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    forward = Forward(("127.0.0.1", 0), server.sockets[0].getsockname())
    front = await asyncio.start_server(functools.partial(splice, forward), "127.0.0.1", 0)
    return server, front, front.sockets[0].getsockname()[1]


def run(handler, client):
    async def scenario():
        server, front, port = await relayed(handler)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            async with asyncio.timeout(10):
                return await client(reader, writer)
        finally:
            writer.close()
            front.close()
            server.close()
            await asyncio.gather(*(t for t in asyncio.all_tasks() if t is not asyncio.current_task()))

    return asyncio.run(scenario())


def test_an_answer_after_the_request_has_ended_arrives_whole():
    async def count(reader, writer):
        size = len(await reader.read())
        writer.write(b"x" * size)
        writer.close()

    async def client(reader, writer):
        writer.write(b"y" * 300_000)
        writer.write_eof()
        return len(await reader.read())

    assert run(count, client) == 300_000


def test_both_directions_at_once_as_a_websocket_has_them():
    async def echo(reader, writer):
        while line := await reader.readline():
            writer.write(line)
        writer.close()

    async def client(reader, writer):
        got = []
        for word in (b"one\n", b"two\n"):
            writer.write(word)
            got.append(await reader.readline())
        return got

    assert run(echo, client) == [b"one\n", b"two\n"]


def test_nobody_inside_ends_the_connection():
    async def scenario():
        forward = Forward(("127.0.0.1", 0), ("127.0.0.1", 1))
        front = await asyncio.start_server(functools.partial(splice, forward), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*front.sockets[0].getsockname())
        async with asyncio.timeout(10):
            rest = await reader.read()
        writer.close()
        front.close()
        return rest

    assert asyncio.run(scenario()) == b""


def test_endpoints():
    assert parse_endpoint("127.0.0.1:4200") == ("127.0.0.1", 4200)
    assert parse_endpoint("[::1]:80") == ("::1", 80)
    for text in ("4200", "host:", ":80", "host:0", "host:65536", "host:-1"):
        with pytest.raises(argparse.ArgumentTypeError):
            parse_endpoint(text)
