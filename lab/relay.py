"""Relays TCP ports of the host into the rack, so that a browser on the host reaches what runs inside.

One process and no middleman: a socket belongs for good to the network namespace it was made in. So the
listening sockets are made first, on the host; then the process joins the rack's user, mount and network
namespace, and every connection it makes from then on starts inside. It ends with the rack.
"""

import argparse
import asyncio
import contextlib
import functools
import os
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import enter
from lab.errors import LabError
from lab.namespace import Namespace

BLOCK_BYTES = 1 << 16
CONNECT_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Forward:
    """Connections to `listen` on the host continue to `to` inside the rack."""

    listen: tuple[str, int]
    to: tuple[str, int]


def parse_endpoint(text: str) -> tuple[str, int]:
    """HOST:PORT."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise argparse.ArgumentTypeError(f"expected HOST:PORT, got {text!r}")
    return host.strip("[]"), int(port)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--listen and --to come in pairs."""
    for name in ("--listen", "--to"):
        parser.add_argument(name, type=parse_endpoint, action="append", required=True, metavar="HOST:PORT")
    parser.add_argument("--ns", default="edge")


def forwards(options: argparse.Namespace) -> list[Forward]:
    """The pairs of the command line."""
    if len(options.listen) != len(options.to):
        raise LabError(f"{len(options.listen)} --listen and {len(options.to)} --to", "give them in pairs")
    return [Forward(listen, to) for listen, to in zip(options.listen, options.to, strict=True)]


def command(directory: Path, pairs: Sequence[Forward], *, ns: str = "edge") -> list[str]:
    """The argv of a relay process: until SIGTERM or the rack's end, run in the repository."""
    argv = [sys.executable, "-m", "lab", "relay", "--dir", str(directory), "--ns", ns]
    for pair in pairs:
        argv += ["--listen", f"{pair.listen[0]}:{pair.listen[1]}", "--to", f"{pair.to[0]}:{pair.to[1]}"]
    return argv


def _listen(pair: Forward) -> socket.socket:
    family = socket.AF_INET6 if ":" in pair.listen[0] else socket.AF_INET
    try:
        return socket.create_server(pair.listen, family=family)
    except OSError as error:
        host, port = pair.listen
        raise LabError(
            f"cannot listen on {host}:{port}: {error.strerror}", "end what uses it, or choose another"
        ) from error


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One direction; the end of the input is handed on as a half-close."""
    while block := await reader.read(BLOCK_BYTES):
        writer.write(block)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


async def splice(pair: Forward, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One accepted connection, until both directions have ended or one is broken."""
    writers = [writer]
    with contextlib.suppress(OSError):
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            inner_reader, inner_writer = await asyncio.open_connection(*pair.to)
        writers.append(inner_writer)
        await asyncio.gather(_leg(reader, inner_writer, writers), _leg(inner_reader, writer, writers))
    for each in writers:
        each.close()


async def _leg(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, both: Sequence[asyncio.StreamWriter]
) -> None:
    """One direction; when it breaks, it breaks the other one too."""
    try:
        await pump(reader, writer)
    except OSError:
        for each in both:
            each.transport.abort()


async def serve(listeners: Sequence[tuple[Forward, socket.socket]], rack_pidfd: int) -> None:
    """Until a signal, or the end of the rack."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_reader(rack_pidfd, stop.set)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    servers = [
        await asyncio.start_server(functools.partial(splice, pair), sock=listener)
        for pair, listener in listeners
    ]
    await stop.wait()
    loop.remove_reader(rack_pidfd)
    for server in servers:
        server.close()


def run(namespace: Namespace, pairs: Sequence[Forward], netns: str) -> int:
    """Listen here, join there, relay."""
    record = namespace.record()
    if record is None:
        raise LabError(f"the rack in {namespace.directory} is not up", "python -m lab up")
    listeners = [(pair, _listen(pair)) for pair in pairs]
    pidfd = os.pidfd_open(record.pid)
    try:
        enter.join(record.pid, ("user", "mnt"))
        enter.join_netns(netns)
    except OSError as error:
        raise LabError(f"cannot enter {netns} of the rack: {error}") from error
    for pair in pairs:
        print(
            f"relaying {pair.listen[0]}:{pair.listen[1]} to {pair.to[0]}:{pair.to[1]} in {netns}", flush=True
        )
    asyncio.run(serve(listeners, pidfd))
    return 0
