"""How long a thread waits for the interpreter while the API works: what packets wait for, at most.

A thread gives its turn up and asks for it again, all the time, while the API takes facts of 1 MiB and tells
the list of 10,000 hosts. What is counted of each wait is the processor time that this process's other threads
used meanwhile, so a busy machine changes little. Some of it was no wait at all (SQLite and TLS work beside
the interpreter): the figure is an upper bound. `make bench-edge ONLY=stall` measures the same from outside,
by the clock.
"""

import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.edge import ours, stall
from bench.row import Row, tell
from pxe_edge import allocator, process
from pxe_edge.api import app, server, tls
from pxe_edge.registry.registry import open_registry

SECONDS = 20
HOSTS_WITH_FACTS = 50
START_S = 1.0


@contextmanager
def api(data: Path) -> Iterator[str]:
    """The API of a site with 10,000 hosts, in a thread of this process, set as the edge sets itself."""
    stall.register(data)
    registry = open_registry(data)
    registry.publish_files({"site.yaml": ours.SITE.replace(ours.SERVER_LINK, "lo")}, author="bench")
    listening = server.bind(0)
    certificate, key = tls.ensure(data / "edge" / "tls", {"127.0.0.1"}, registry.now())
    thread = server.ApiThread(app.create_app(registry), listening, certificate=certificate, key=key)
    thread.start()
    time.sleep(START_S)
    process.prefer_packets()
    yield f"https://127.0.0.1:{listening[0].getsockname()[1]}"
    thread.stop(5)
    registry.db.close()


def waits(load: subprocess.Popen[bytes]) -> list[float]:
    """Processor seconds of the other threads during each wait, until the load ends; sorted."""
    seen = []
    while load.poll() is None:
        for _ in range(100):
            before = time.process_time() - time.thread_time()
            time.sleep(0)
            seen.append(time.process_time() - time.thread_time() - before)
    return sorted(seen)


def main() -> None:
    """Three rows: the longest turn of the others, and two percentiles."""
    allocator.keep_little()
    logging.basicConfig(level=logging.WARNING)
    with tempfile.TemporaryDirectory() as folder, api(Path(folder)) as url:
        edge = Path(folder) / "edge"
        token = (edge / "tokens" / "admin").read_text().strip()
        argv = (url, str(edge / "tls" / "ca.pem"), token, str(SECONDS), str(HOSTS_WITH_FACTS))
        with subprocess.Popen(
            [sys.executable, "-m", "bench.edge.api_load", *argv], stdout=subprocess.PIPE
        ) as load:
            seen = waits(load)
            done = load.stdout.read().decode().strip() if load.stdout else ""
        if load.returncode:
            sys.exit("the API's load failed")
        at = {"longest": -1, "p99.9": len(seen) * 999 // 1000, "p99": len(seen) * 99 // 100}
        what = "turn of the API's threads"
        tell([Row(f"{what}, {name} ({done})", seen[place], "") for name, place in at.items()])


if __name__ == "__main__":
    main()
