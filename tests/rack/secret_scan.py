"""Searches a site's whole life for its secrets: files, databases, logs, process lists, kernel command lines.

    scan = Scan.of_site(site, ["web-01"])
    scan.start()
    …                                  # a life, from power-on to active, repairs, rotation
    report = scan.finish()
    assert report.clean, report.text()

It knows the secrets by opening the registry with the site's key, as nobody but the edge does, and it reads
everything else as bytes. A report names place, kind and encoding, never a value; a place of which nothing
was seen makes it unclean too: what looked nowhere proves nothing.
"""

import base64
import mmap
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from lab.errors import LabError
from lab.rack import Rack
from lab.site import SSH_OPTIONS, Site
from metal.engine.connect import Address, boot_os, running_os
from metal.errors import RackflowError
from specs.records import HostRecord
from tests.rack.site_secrets import STORES, Secrets

SAMPLE_S: Final = 0.1
GUEST_SAMPLE_S: Final = 0.3
LOOK_FOR_GUESTS_S: Final = 2.0

PLACES: Final[Mapping[str, tuple[str, ...]]] = {
    "logs of parts": ("logs/*", "*.log", "lab/*.log", "lab/logs/*"),
    "Prefect's database and results": ("prefect/**/*",),
    "registry": ("edge/registry.sqlite*",),
    "serial logs": ("edge/consoles/**/*", "logs/console/**/*", "lab/machines/*/*.log"),
}
"""Kind of place -> globs under the data folder. Disks and BMC memories are left out: secrets belong there."""
HOST_PROCESSES: Final = "process list of the site's machine"
GUEST_KINDS: Final = {
    "cmdline": "process list of a guest",
    "kernel": "kernel command line of a guest",
    "step": "rf-exec's step files",
}

WATCHER: Final = r"""
import base64, glob, re, sys, time
root, every, rounds = ROOT, EVERY, ROUNDS
seen = {}
def tell(kind, path, data):
    print(kind, path.replace(" ", "_"), base64.b64encode(data).decode(), flush=True)
def read(path):
    try:
        with open(path, "rb") as file:
            return file.read(1 << 20)
    except OSError:
        return b""
while rounds:
    rounds -= 1
    for path in glob.glob(root + "/proc/[0-9]*/cmdline"):
        data = read(path)
        if data and data not in seen:
            seen[data] = 1
            tell("cmdline", path, data)
    for kind, pattern in (("kernel", "/proc/cmdline"), ("step", "/run/rackflow/steps/*/*")):
        for path in glob.glob(root + pattern):
            data = b"" if "/progress" in path else read(path)
            if data and seen.get(path) != data:
                seen[path] = data
                tell(kind, path, data)
    hashes = re.findall(rb"^[^:\n]+:(\$[^:\n]+)", read(root + "/etc/shadow"), re.M)
    for found in hashes:
        if found not in seen:
            seen[found] = 1
            tell("shadow", "/etc/shadow", found)
    time.sleep(every)
"""
"""Runs in a guest, from stdin; one line per new thing: kind, path, content in base64."""


@dataclass(frozen=True, order=True)
class Hit:
    """A secret where it must not be."""

    place: str
    where: str
    kind: str
    form: str

    def __str__(self) -> str:
        return f"{self.kind} ({self.form}) in {self.place}: {self.where}"


@dataclass(frozen=True)
class Report:
    """What was searched for, where, and what was found."""

    hits: tuple[Hit, ...]
    kinds: Mapping[str, int]
    searched: Mapping[str, int]
    unseen: tuple[str, ...]

    @property
    def clean(self) -> bool:
        """Whether nothing was found, and each kind of place was looked at."""
        return not self.hits and not self.unseen

    def text(self) -> str:
        """For people: never a value."""
        lines = [f"FOUND {hit}" for hit in self.hits]
        lines += [f"NOT SEEN {place}" for place in self.unseen]
        lines.append("searched for: " + ", ".join(f"{n} x {kind}" for kind, n in sorted(self.kinds.items())))
        lines += [f"  in {place}: {size} bytes" for place, size in sorted(self.searched.items())]
        return "\n".join(lines)


@dataclass(frozen=True)
class Guest:
    """A system that can be looked into: how its watcher is started, by argv with the program on stdin."""

    name: str
    argv: Callable[[], tuple[str, ...] | None]
    """None while nothing of it is up."""


class Scan:
    """Samples from `start` on; `finish` searches everything that was seen, and all files, for all secrets."""

    def __init__(
        self, data: Path, guests: tuple[Guest, ...] = (), *, proc: Path = Path("/proc"), root: str = ""
    ) -> None:
        self._data, self._guests, self._proc, self._root = data, guests, proc, root
        self.secrets = Secrets(data)
        self._seen: dict[tuple[str, str], set[bytes]] = {}
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._threads: list[threading.Thread] = []
        self._watchers: list[subprocess.Popen[str]] = []

    @classmethod
    def of_site(cls, site: Site, hosts: list[str]) -> "Scan":
        """A scan of a rack's site and of the boot OS and the system of these hosts."""
        guests = []
        for host in hosts:
            guests.append(Guest(f"boot OS of {host}", _way_in(site, host, boot_os, ())))
            guests.append(Guest(f"system of {host}", _way_in(site, host, running_os, ("sudo", "-n"))))
        return cls(site.demo.data, tuple(guests))

    def start(self) -> None:
        """Begin to sample processes, here and in the guests."""
        work: list[tuple[str, Callable[[], None]]] = [("scan-processes", self._processes)]
        work.append(("scan-secrets", self._collect))
        work += [(f"scan-{guest.name}", partial(self._watch, guest)) for guest in self._guests]
        for name, target in work:
            thread = threading.Thread(target=target, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def finish(self) -> Report:
        """Stop sampling, search, report."""
        self._end.set()
        for watcher in self._watchers:
            watcher.kill()
        for thread in self._threads:
            thread.join(timeout=30)
        self.secrets.collect()
        needles = {text: (s.kind, form) for s in self.secrets for form, text in reversed(s.forms().items())}
        searched: dict[str, int] = {}
        hits: set[Hit] = set()
        for place, where, content in self._contents():
            searched[place] = searched.get(place, 0) + len(content)
            found = [about for text, about in needles.items() if content.find(text) >= 0]
            hits |= {Hit(place, where, kind, form) for kind, form in found}
        wanted = {*PLACES, HOST_PROCESSES, *(GUEST_KINDS.values() if self._guests else ())}
        kinds: dict[str, int] = {}
        for secret in self.secrets:
            kinds[secret.kind] = kinds.get(secret.kind, 0) + 1
        return Report(tuple(sorted(hits)), kinds, searched, tuple(sorted(wanted - searched.keys())))

    def saw(self, place: str, text: bytes) -> bool:
        """Whether something with this text was sampled."""
        with self._lock:
            return any(text in data for (p, _), found in self._seen.items() if p == place for data in found)

    # --- sampling -----------------------------------------------------------------------------------------

    def _note(self, place: str, where: str, data: bytes) -> None:
        with self._lock:
            self._seen.setdefault((place, where), set()).add(data)

    def _processes(self) -> None:
        while not self._end.is_set():
            for path in self._proc.glob("[0-9]*/cmdline"):
                try:
                    data = path.read_bytes()
                except OSError:
                    continue
                if data:
                    self._note(HOST_PROCESSES, Path(data.split(b"\0")[0].decode(errors="replace")).name, data)
            self._end.wait(SAMPLE_S)

    def _collect(self) -> None:
        """Secrets that live for a part of the time: candidates, passwords before a rotation."""
        while not self._end.wait(1.0):
            try:
                self.secrets.collect()
            except sqlite3.Error:
                continue  # a registry that is being made, or restored

    def _watch(self, guest: Guest) -> None:
        program = (
            WATCHER.replace("ROOT", repr(self._root))
            .replace("EVERY", repr(GUEST_SAMPLE_S))
            .replace("ROUNDS", "10**9")
        )
        while not self._end.is_set():
            argv = guest.argv()
            if argv is not None:
                self._follow(guest, argv, program)
            self._end.wait(LOOK_FOR_GUESTS_S)

    def _follow(self, guest: Guest, argv: tuple[str, ...], program: str) -> None:
        pipe = subprocess.PIPE
        with subprocess.Popen(argv, text=True, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL) as watcher:
            self._watchers.append(watcher)
            assert watcher.stdin is not None
            assert watcher.stdout is not None
            try:
                watcher.stdin.write(program)
                watcher.stdin.close()
            except OSError:
                return
            for line in watcher.stdout:
                kind, _, rest = line.strip().partition(" ")
                path, _, data = rest.partition(" ")
                content = base64.b64decode(data)
                if kind == "shadow":
                    self.secrets.add("hash in /etc/shadow", content)
                elif kind in GUEST_KINDS:
                    self._note(GUEST_KINDS[kind], f"{guest.name} {path}", content)
                if self._end.is_set():
                    watcher.kill()

    # --- searching ----------------------------------------------------------------------------------------

    def _contents(self) -> Iterator[tuple[str, str, "bytes | mmap.mmap"]]:
        with self._lock:
            sampled = [(place, where, set(found)) for (place, where), found in self._seen.items()]
        for place, where, found in sampled:
            yield place, where, b"\0".join(found)
        stores = {path for pattern in STORES for path in self._data.glob(pattern)}
        done: set[Path] = set()
        for place, patterns in PLACES.items():
            for path in sorted({p for pattern in patterns for p in self._data.glob(pattern)} - stores - done):
                done.add(path)
                if not path.is_file() or path.is_symlink() or not path.stat().st_size:
                    continue
                name = str(path.relative_to(self._data))
                with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
                    database = view[:15] == b"SQLite format 3"
                    yield place, name, view
                if database:
                    yield place, f"{name} (cells)", _cells(path)


def _way_in(
    site: Site, host: str, where: Callable[[HostRecord], Address], prefix: tuple[str, ...]
) -> Callable[[], tuple[str, ...] | None]:
    """How to run a program from stdin in what is up of a host: by ssh from the edge's side of the rack."""

    def argv() -> tuple[str, ...] | None:
        try:
            with site.demo.edge() as edge:
                at = where(edge.host(host))
            way = (
                *SSH_OPTIONS,
                "-o",
                "ConnectTimeout=10",
                "-o",
                "ServerAliveInterval=5",
                "-i",
                str(site.key),
            )
            rack = Rack(Path(site.demo.environment["RACKFLOW_LAB"]))
            client = ["ssh", *SSH_OPTIONS, *way, f"{at.user}@{at.address}"]
            return tuple(rack.command([*client, *prefix, "python3", "-u", "-"]))
        except (RackflowError, LabError, OSError):
            return None  # the edge is down, or the host not there yet: nothing to look into

    return argv


def _cells(path: Path) -> bytes:
    """All values of a database: in its pages a long one is cut where an overflow page begins."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as db:
        db.text_factory = bytes
        names = [row[0].decode() for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = bytearray()
        for name in names:
            quoted = name.replace('"', '""')
            for row in db.execute(f'SELECT * FROM "{quoted}"'):  # noqa: S608 - a name of the database itself
                found += b"\0".join(value for value in row if isinstance(value, bytes)) + b"\0"
    return bytes(found)
