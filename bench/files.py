"""The boot plane: CPU time to send a 64 MiB file, against the standard library's server.

On loopback the clock measures the client that copies the bytes, so the server's CPU time is compared:
that is what runs out when a rack boots at once. The client is a process of its own.
"""

import asyncio
import functools
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from bench.row import ROUNDS, Row, tell
from pxe_edge.policy.views import SiteView
from pxe_edge.servers.boot_plane import BootPlane
from pxe_edge.servers.http import HttpServer
from pxe_edge.servers.memory import MemoryBoot, MemoryView

SIZE_BYTES = 64 << 20
FETCHES = 8
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


def cpu_s(port: int) -> float:
    """This process's CPU seconds for one file, while another process fetches it several times."""
    times = []
    for _ in range(ROUNDS):
        with subprocess.Popen(
            [sys.executable, "-m", "bench.files", str(port)], stdin=subprocess.DEVNULL
        ) as client:
            began = time.process_time()
            if client.wait(60):
                sys.exit("the client failed")
            times.append(time.process_time() - began)
    return min(times) / FETCHES


def main() -> None:
    """Both servers, the same client and file."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "blob").write_bytes(bytes(SIZE_BYTES))
        with our_port(folder) as port:
            ours_s = cpu_s(port)
        with their_port(folder) as port:
            theirs_s = cpu_s(port)
    tell([Row(f"send {SIZE_BYTES >> 20} MiB, CPU time", ours_s, "each", "http.server", theirs_s)])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        for _ in range(FETCHES):
            fetch(int(sys.argv[1]))
    else:
        main()
