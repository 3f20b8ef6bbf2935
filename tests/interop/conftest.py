"""A bench of network namespaces: server, direct client, relay, and a client behind it.

    C: c0 10.99.0.10 --- S: br0 10.99.0.1 --- R: r1 10.99.0.2, r0 10.88.0.1 --- D: c0

Names are unique to the process, everything is taken down again. Without the right to make namespaces
the tests are skipped, saying so.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
DIRECT = {
    "name": "prov",
    "subnet": "10.99.0.0/24",
    "interface": "br0",
    "gateway": "10.99.0.1",
    "pool": "10.99.0.50-10.99.0.99",
}
RELAYED = {
    "name": "prov-b",
    "subnet": "10.88.0.0/24",
    "gateway": "10.88.0.1",
    "pool": "10.88.0.50-10.88.0.99",
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
R link add r0 type veth peer name c0 netns @D
R link set r0 up
R addr add 10.88.0.1/24 dev r0
D link set c0 up
S route add 10.88.0.0/24 via 10.99.0.2
"""


class Lab:
    """Namespaces by letter, and programs in them."""

    def __init__(self, folder):
        self.folder = folder
        self.prefix = f"rf{os.getpid()}"
        self.started = []

    def namespace(self, letter):
        return f"{self.prefix}-{letter}"

    def up(self):
        for letter in "SCRD":
            subprocess.run(["ip", "netns", "add", self.namespace(letter)], check=True, capture_output=True)
            self.ip(letter, "link set lo up")
        for line in LAYOUT.split("\n"):
            if line:
                self.ip(line[0], line[2:])
        self.run("R", "sysctl", "-qw", "net.ipv4.ip_forward=1")

    def down(self):
        for process in self.started:
            self.end(process)
        for letter in "SCRD":
            subprocess.run(["ip", "netns", "del", self.namespace(letter)], check=False, capture_output=True)

    def ip(self, letter, words):
        words = [self.namespace(word[1:]) if word.startswith("@") else word for word in words.split()]
        subprocess.run(["ip", "-n", self.namespace(letter), *words], check=True, capture_output=True)

    def inside(self, letter, *argv):
        return ["ip", "netns", "exec", self.namespace(letter), *argv]

    def run(self, letter, *argv, timeout=30, check=True):
        done = subprocess.run(
            self.inside(letter, *argv), capture_output=True, text=True, timeout=timeout, check=False
        )
        if check and done.returncode:
            pytest.fail(f"{argv} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done

    def start(self, letter, *argv, log):
        with log.open("ab") as out:
            process = subprocess.Popen(self.inside(letter, *argv), stdout=out, stderr=out, cwd=REPOSITORY)
        self.started.append(process)
        return process

    def end(self, process):
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)
        if process in self.started:
            self.started.remove(process)

    def edge_argv(self, site_file):
        program = str(Path(__file__).with_name("edge_process.py"))
        return ("env", f"PYTHONPATH={REPOSITORY}", sys.executable, program, str(site_file), str(self.folder))

    @contextlib.contextmanager
    def edge(self, **site):
        """The packet plane in S; gives the path of its log."""
        told = {"discovery": "register", "networks": [DIRECT, RELAYED], **site}
        site_file, log = self.folder / "site.json", self.folder / f"edge-{time.monotonic_ns()}.log"
        site_file.write_text(json.dumps(told))
        process = self.start("S", *self.edge_argv(site_file), log=log)
        try:
            self.wait_for(log, " ready", process)
            yield log
        finally:
            self.end(process)

    @staticmethod
    def wait_for(log, text, process=None, timeout=15.0):
        """Wait until a log matches a pattern; fails with the whole log."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            found = log.read_text(errors="replace")
            if re.search(text, found):
                return found
            if process is not None and process.poll() is not None:
                break
            time.sleep(0.05)
        pytest.fail(f"{text!r} did not appear within {timeout} s:\n{log.read_text(errors='replace')}")


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """The bench, up."""
    bench = Lab(tmp_path_factory.mktemp("interop"))
    try:
        bench.up()
    except (OSError, subprocess.CalledProcessError) as error:
        bench.down()
        pytest.skip(f"network namespaces can't be made here (run as root or under unshare -Urnm): {error}")
    yield bench
    bench.down()


@pytest.fixture(scope="session")
def edge(lab):
    """The packet plane with discovery `register`; its log."""
    with lab.edge() as log:
        yield log


@pytest.fixture
def need():
    """Skip unless a program is installed."""

    def check(program):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")

    return check
