"""HTTP: one file of 1 GiB, whole and in parts, by one client and by 64, against nginx with one worker."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.edge import ours
from bench.edge.loaders import without_groups
from bench.edge.ours import BOOT_PORT, NAME
from bench.edge.results import Aim, Row
from bench.edge.run import MIB, Measured, Run, split
from bench.edge.testbed import SERVER, BenchError, Subject, Testbed, program

FILE, SIZE = "image.bin", 1 << 30
URL = f"http://{SERVER}:{BOOT_PORT}/{FILE}"
STREAMS = (1, 64)
AIMS = (Aim("ratio", ">=", 0.9), Aim("cpu", "<=", 1.3))
ORDER = ("nginx", NAME)
UNITS = {"B": 1, "KB": 1 << 10, "MB": MIB, "GB": 1 << 30, "TB": 1 << 40}
_READ = re.compile(r"(\d+) requests in ([\d.]+)(ms|s|m), ([\d.]+)([KMGT]?B) read")
_BAD = re.compile(r"Non-2xx or 3xx responses: (\d+)")
_ERRORS = re.compile(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)")
CONFIG = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr warn; user root;
events {{ worker_connections 4096; }}
http {{
    access_log off; sendfile on; tcp_nopush on; default_type application/octet-stream;
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
    uwsgi_temp_path {folder}; scgi_temp_path {folder};
    server {{ listen {server}:{port}; root {root}; }}
}}
"""


@dataclass(frozen=True)
class Read:
    """What wrk saw."""

    bytes: int
    seconds: float
    failed: int

    @property
    def note(self) -> str:
        """Whatever went wrong."""
        return f"{self.failed} failed" if self.failed else ""


def read_wrk(text: str) -> Read:
    """The summary that wrk prints."""
    found = _READ.search(text)
    if found is None:
        raise BenchError(f"wrk printed no summary: {text[-400:]}")
    seconds = float(found[2]) * {"ms": 0.001, "s": 1, "m": 60}[found[3]]
    bad, errors = _BAD.search(text), _ERRORS.search(text)
    failed = (int(bad[1]) if bad else 0) + (sum(int(count) for count in errors.groups()) if errors else 0)
    return Read(int(float(found[4]) * UNITS[found[5]]), seconds, failed)


def steps(rounds: int) -> int:
    """How often `say` is called."""
    return rounds * len(STREAMS) * 2 * len(ORDER)


def measure(run: Run) -> list[Row]:
    """Whole and parts, one stream and many."""
    make_file(root(run.testbed) / FILE)
    rows = []
    for streams in STREAMS:
        for parts in (False, True):

            def once(name: str, streams: int = streams, *, parts: bool = parts) -> Measured:
                with server(run.testbed, name) as subject:
                    wrk(run, 1, 1.0, parts=parts)
                    with subject.cost() as cost:
                        seen = wrk(run, streams, run.options.seconds, parts=parts)
                each = cost[0].cpu_s * 1e9 / max(1, seen.bytes)
                return seen.bytes / seen.seconds / MIB, each, seen.note

            own, peers = split(run.rounds(ORDER, once))
            part = "parts of 16 MiB" if parts else "whole"
            what = f"1 GiB file, {part}, {streams} stream{'s' * (streams > 1)}"
            rows += [Row(what, "MiB/s", own, name, theirs, "s/GB", AIMS) for name, theirs in peers.items()]
    return rows


def root(testbed: Testbed) -> Path:
    """What both serve."""
    return testbed.folder / "data" / "boot"


def make_file(file: Path) -> None:
    """The file, with content, so that it is in memory and has no holes."""
    if file.exists() and file.stat().st_size == SIZE:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    block = bytes(range(256)) * (MIB // 256)
    with file.open("wb") as out:
        for _ in range(SIZE // MIB):
            out.write(block)


@contextmanager
def server(testbed: Testbed, name: str) -> Iterator[Subject]:
    """The peer, or ours, on the same port."""
    if name == NAME:
        with ours.edge(testbed) as subject:
            yield subject
        return
    binary, env = program("nginx", "usr/sbin/nginx")
    folder = testbed.folder / "nginx"
    folder.mkdir(exist_ok=True)
    config = folder / "nginx.conf"
    config.write_text(CONFIG.format(folder=folder, server=SERVER, port=BOOT_PORT, root=root(testbed)))
    argv = (binary, "-c", str(config), "-e", "stderr", "-p", str(folder))

    def ready(started: Subject) -> bool:
        return started.listens("tcp", BOOT_PORT)

    with testbed.subject(name, argv, ready, env={**env, **without_groups()}) as subject:
        yield subject


def wrk(run: Run, streams: int, seconds: float, *, parts: bool) -> Read:
    """Read the file over and over."""
    binary, env = program("wrk", "usr/bin/wrk")
    script = ("-s", str(Path(__file__).with_name("ranges.lua"))) if parts else ()
    own = ("-t", "1", "-c", str(streams), "-d", f"{int(seconds)}s", "--timeout", "60s")
    done = run.testbed.run("load", binary, *own, *script, URL, env=env, timeout_s=seconds + 120)
    if done.returncode:
        raise BenchError(f"wrk ended with {done.returncode}: {done.stderr.strip()[-400:]}")
    return read_wrk(done.stdout)
