"""The boot plane: one 64 MiB file to one client, against the standard library's server."""

import asyncio
import functools
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from bench.row import Row, best_s, tell
from pxe_edge.policy.views import SiteView
from pxe_edge.servers.boot_plane import BootPlane
from pxe_edge.servers.http import HttpServer
from pxe_edge.servers.memory import MemoryBoot, MemoryView

SIZE_BYTES = 64 << 20
START_S = 10


class Quiet(SimpleHTTPRequestHandler):
    """The peer, without its log lines."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def our_port(folder: Path) -> Iterator[int]:
    """The boot plane in a thread."""
    plane = BootPlane(MemoryView(SiteView("bench")), MemoryBoot(), boot_dir=folder, images_dir=folder)
    loop, server, ready = asyncio.new_event_loop(), HttpServer(plane, port=0), threading.Event()

    async def begin() -> None:
        await server.start()
        ready.set()

    def run() -> None:
        loop.run_until_complete(begin())
        loop.run_forever()

    thread = threading.Thread(target=run)
    thread.start()
    if not ready.wait(START_S):
        raise TimeoutError("the boot plane did not start")
    yield server.port
    asyncio.run_coroutine_threadsafe(server.close(), loop).result(START_S)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@contextmanager
def their_port(folder: Path) -> Iterator[int]:
    """`python -m http.server`, in a thread."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def fetch(port: int) -> None:
    """One GET, read to its end and counted."""
    into = bytearray(1 << 20)
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"GET /blob HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        count = 0
        while got := client.recv_into(into):
            count += got
    assert count > SIZE_BYTES, f"{count} of {SIZE_BYTES} bytes came"


def main() -> None:
    """Both servers, the same client and file."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "blob").write_bytes(bytes(SIZE_BYTES))
        with our_port(folder) as port:
            ours_s = best_s(lambda: fetch(port))
        with their_port(folder) as port:
            theirs_s = best_s(lambda: fetch(port))
    tell([Row(f"send {SIZE_BYTES >> 20} MiB over HTTP", ours_s, "each", "http.server", theirs_s)])


if __name__ == "__main__":
    main()
