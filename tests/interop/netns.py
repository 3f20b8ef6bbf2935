"""A bench of network namespaces, with the edge in one of them.

    C: c0 10.99.0.10 --- S: br0 10.99.0.1 --- R: r1 10.99.0.2, r0 10.88.0.1 --- D: c0 10.88.0.10

C is on the edge's link, D behind a relay. Names are unique to the process, and everything is taken
down again. The edge is the program an operator starts: `rackflow edge --specs DIR --data DIR`, alone,
without Prefect.
"""

import contextlib
import ctypes
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml

from tests.interop.wire import Watch, frame

REPOSITORY = Path(__file__).parents[2]
SERVER, RELAY, BEHIND = "10.99.0.1", "10.99.0.2", "10.88.0.1"
TOOLS = REPOSITORY / "build" / "tools" / "root"
"""Programs whose packages would start a daemon: unpacked by scripts/setup, not installed."""
PATH = f"{TOOLS}/usr/sbin:{TOOLS}/usr/bin:{os.environ['PATH']}:/usr/sbin"
DIRECT = {
    "name": "prov",
    "purpose": "provisioning",
    "subnet": "10.99.0.0/24",
    "interface": "br0",
    "gateway": SERVER,
    "pool": ["10.99.0.50-10.99.0.99"],
}
RELAYED = {
    "name": "prov-b",
    "purpose": "provisioning",
    "subnet": "10.88.0.0/24",
    "gateway": BEHIND,
    "pool": ["10.88.0.50-10.88.0.99"],
}
LAYOUT = """
S link add br0 type bridge forward_delay 0
S link set br0 up
S addr add 10.99.0.1/24 dev br0
S link add s0 type veth peer name c0 netns @C
S link set s0 master br0 up
C link set c0 up
C addr add 10.99.0.10/24 dev c0
S link add s1 type veth peer name r1 netns @R
S link set s1 master br0 up
R link set r1 up
R addr add 10.99.0.2/24 dev r1
R link add br1 type bridge forward_delay 0
R link set br1 up
R addr add 10.88.0.1/24 dev br1
R link add r0 type veth peer name c0 netns @D
R link set r0 master br1 up
D link set c0 up
D addr add 10.88.0.10/24 dev c0
D route add default via 10.88.0.1
S route add 10.88.0.0/24 via 10.99.0.2
"""
DHCRELAY = ("dhcrelay", "-4", "-d", "-a", "-m", "append", "-id", "br1", "-iu", "r1", SERVER)
DHCRELAY_READY = "Sending on   Socket/fallback"
CLI = (sys.executable, "-m", "metal.cli")
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class Lab:
    """Namespaces by letter, and programs in them."""

    def __init__(self, folder):
        self.folder = folder
        self.prefix = f"rf{os.getpid()}"
        self.started = []
        self.serving = None, contextlib.ExitStack()

    def namespace(self, letter):
        """The full name."""
        return f"{self.prefix}-{letter}"

    def up(self, letters="SCRD", layout=LAYOUT):
        """Make namespaces and links."""
        for letter in letters:
            subprocess.run(["ip", "netns", "add", self.namespace(letter)], check=True, capture_output=True)
            self.ip(letter, "link set lo up")
        for line in layout.split("\n"):
            if line:
                self.ip(line[0], line[2:])
        if "R" in letters:
            self.run("R", "sysctl", "-qw", "net.ipv4.ip_forward=1")

    def down(self, letters="SCRD"):
        """End what runs, and remove everything."""
        self.quiet()
        for process in list(self.started):
            self.end(process)
        for letter in letters:
            subprocess.run(["ip", "netns", "del", self.namespace(letter)], check=False, capture_output=True)

    def ip(self, letter, words):
        """`ip` in a namespace; @X is the name of namespace X."""
        words = [self.namespace(word[1:]) if word.startswith("@") else word for word in words.split()]
        done = subprocess.run(
            ["ip", "-n", self.namespace(letter), *words], check=False, capture_output=True, text=True
        )
        if done.returncode:
            raise OSError(f"ip {' '.join(words)} in {letter}: {done.stderr.strip()}")

    def inside(self, letter, *argv):
        """The command line that runs a program in a namespace."""
        return ["ip", "netns", "exec", self.namespace(letter), *argv]

    def run(self, letter, *argv, timeout=90, check=True, env=None):
        """Run a program to its end; a failure shows what it said."""
        told = os.environ | {"PATH": PATH} | (env or {})
        done = subprocess.run(
            self.inside(letter, *argv), capture_output=True, text=True, timeout=timeout, check=False, env=told
        )
        if check and done.returncode:
            pytest.fail(f"{argv} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done

    def start(self, letter, *argv, log, env=None):
        """Start a program that the test or the bench ends."""
        told = os.environ | {"PATH": PATH} | (env or {})
        with log.open("ab") as out:
            argv = self.inside(letter, *argv)
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=REPOSITORY, env=told
            )
        self.started.append(process)
        return process

    def end(self, process):
        """End one that was started."""
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(8)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)
        if process in self.started:
            self.started.remove(process)

    @contextlib.contextmanager
    def running(self, letter, *argv, ready, name, timeout=15.0):
        """A program until the block ends, once its log matches `ready`; gives the log."""
        log = self.folder / f"{name}-{time.monotonic_ns()}.log"
        process = self.start(letter, *argv, log=log)
        try:
            wait_for(log, ready, process, timeout)
            yield log
        finally:
            self.end(process)

    def socket(self, letter, *kind):
        """A socket of a namespace: a thread goes there, opens it, and ends; the socket stays."""
        made = []

        def enter():
            with Path("/var/run/netns", self.namespace(letter)).open() as there:
                if _libc.setns(there.fileno(), _CLONE_NEWNET):
                    made.append(OSError(ctypes.get_errno(), "setns"))
                    return
            made.append(socket.socket(*kind))

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        if isinstance(made[0], OSError):
            raise made[0]
        return made[0]

    @contextlib.contextmanager
    def watch(self, letter, interface):
        """Everything that passes an interface while the block runs."""
        sock = self.socket(letter, socket.AF_PACKET, socket.SOCK_RAW, 0)  # deaf until it has its interface
        sock.bind((interface, 3))
        seen = Watch(sock)
        try:
            yield seen
        finally:
            seen.close()

    def send(self, letter, interface, payload, **how):
        """Put one DHCP payload on the wire in a frame; see `wire.frame` for `how`."""
        with self.socket(letter, socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
            sock.sendto(frame(payload, **how), (interface, 0x0800))

    @contextlib.contextmanager
    def has_address(self, letter, address):
        """Let a namespace answer ARP for one more address, on every link that it has."""
        self.ip(letter, f"addr add {address}/32 dev lo")
        try:
            yield
        finally:
            self.ip(letter, f"addr del {address}/32 dev lo")

    def mac(self, letter, interface):
        """The hardware address of an interface."""
        with self.socket(letter, socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
            sock.bind((interface, 0))
            return sock.getsockname()[4]

    def serve(self, name, **told):
        """The edge of this name: the one that runs, if it is that, else a new one in its place."""
        if self.serving[0] is None or self.serving[0].name != name:
            self.quiet()
            stack = contextlib.ExitStack()
            self.serving = stack.enter_context(self.edge(name=name, **told)), stack
        return self.serving[0]

    def quiet(self):
        """End what `serve` started."""
        _, stack = self.serving
        self.serving = None, contextlib.ExitStack()
        stack.close()

    @contextlib.contextmanager
    def edge(self, *, name="edge", letter="S", files=None, hosts=(), **site):
        """The edge, serving: `site` are fields of the Site document, `files` go into the boot folder."""
        self.quiet()
        edge = Edge(self, letter, name)
        folder = edge.folder
        edge.write(*hosts, **site)
        for path, data in (files or {}).items():
            (folder / "data" / "boot" / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / "data" / "boot" / path).write_bytes(data)
        try:  # one that did not come up in time may still do so, and would be in the way of the next
            edge.start()
            yield edge
        finally:
            edge.stop()


class Edge:
    """One edge with its folders; what it said is in `log`."""

    def __init__(self, lab, letter, name):
        self.lab, self.letter, self.name = lab, letter, name
        self.folder = folder = lab.folder / f"{name}-{time.monotonic_ns()}"
        self.data, self.specs, self.log = folder / "data", folder / "specs", folder / "edge.log"
        self.process = None

    def write(self, *hosts, **site):
        """Write the spec folder."""
        self.specs.mkdir(parents=True, exist_ok=True)
        told = {"discovery": "register", "networks": [DIRECT, RELAYED], **site}
        document = {"apiVersion": "rackflow/v1", "kind": "Site", "metadata": {"name": "default"}, **told}
        (self.specs / "site.yaml").write_text(yaml.safe_dump_all([document, *hosts], sort_keys=False))

    def start(self):
        """Start it, and wait until it serves packets."""
        argv = [
            sys.executable,
            "-m",
            "metal.cli",
            "edge",
            "--specs",
            str(self.specs),
            "--data",
            str(self.data),
        ]
        self.log.touch()
        self.process = self.lab.start(self.letter, *argv, log=self.log)
        wait_for(self.log, r"event=packets", self.process, 240)

    def stop(self):
        """End it as systemd would."""
        if self.process is not None:
            self.lab.end(self.process)

    def says(self, pattern, timeout):
        """Wait for words in its log."""
        return wait_for(self.log, pattern, self.process, timeout)

    def said(self):
        """Its whole log."""
        return self.log.read_text(errors="replace")

    def cli(self, *argv, check=True):
        """A command of the operator's, on the edge's machine."""
        env = {"RACKFLOW_DATA": str(self.data)}
        return self.lab.run(self.letter, *CLI, *argv, env=env, check=check, timeout=100)

    def leases(self):
        """`rackflow leases --json`."""
        return json.loads(self.cli("leases", "--json").stdout)

    def why(self, what):
        """The sentence of `rackflow why`."""
        answer = json.loads(self.cli("why", what, "--json").stdout)
        return f"{answer['sentence']} {answer.get('next') or ''}"


def wait_for(log, text, process=None, timeout=15.0):
    """Wait until a log matches a pattern; fails with the whole log."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        ended = process is not None and process.poll() is not None  # before the log: its last words count
        found = log.read_text(errors="replace")
        if re.search(text, found, re.MULTILINE):
            return found
        if ended:
            break
        time.sleep(0.03)
    pytest.fail(f"{text!r} did not appear within {timeout} s:\n{log.read_text(errors='replace')}")
