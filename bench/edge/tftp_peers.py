"""TFTP servers to measure against, each serving the same folder as ours."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bench.edge import ours
from bench.edge.dhcp_peers import DNSMASQ, Command
from bench.edge.loaders import without_groups
from bench.edge.testbed import SERVER, MissingError, Subject, Testbed, program

MOST_CLIENTS = 4096
TFTPY = "import sys, tftpy; tftpy.TftpServer(sys.argv[1]).listen(sys.argv[2], 69)"


def tftpd_hpa(folder: Path) -> Command:
    """tftpd-hpa, which forks for each transfer."""
    binary, env = program("tftpd-hpa", "usr/sbin/in.tftpd")
    own = ("--foreground", "--listen", "--secure", "--user", "root", "--address", f"{SERVER}:69")
    return Command((binary, *own, str(folder)), {**env, **without_groups()})


def atftpd(folder: Path) -> Command:
    """atftpd, a thread for each transfer; the one peer with windows."""
    binary, env = program("atftpd", "usr/sbin/atftpd")
    own = ("--daemon", "--no-fork", "--port", "69", "--bind-address", SERVER, "--user", "root.root")
    quiet = ("--maxthread", str(MOST_CLIENTS), "--verbose=0", "--logfile", "-")
    return Command((binary, *own, *quiet, str(folder)), env)


def dnsmasq(folder: Path) -> Command:
    """The TFTP server of dnsmasq, one process."""
    if not DNSMASQ.exists():
        raise MissingError("dnsmasq-base is not installed: scripts/setup")
    own = ("--no-daemon", "--conf-file=/dev/null", "--port=0", "--pid-file=", "--quiet-tftp")
    tftp = ("--enable-tftp", f"--tftp-root={folder}", f"--tftp-max={MOST_CLIENTS}", "--tftp-no-fail")
    return Command((str(DNSMASQ), *own, *tftp))


def tftpy(folder: Path) -> Command:
    """The server of tftpy, the usual choice in Python."""
    return Command((sys.executable, "-c", TFTPY, str(folder), SERVER))


PEERS: Mapping[str, Callable[[Path], Command]] = {
    "tftpd-hpa": tftpd_hpa,
    "atftpd": atftpd,
    "dnsmasq": dnsmasq,
    "tftpy": tftpy,
}
"""Peers by the name that the table shows."""


def folder(testbed: Testbed) -> Path:
    """What is served: the boot folder of our data folder, for everybody."""
    return testbed.folder / "data" / "boot"


@contextmanager
def server(testbed: Testbed, name: str, *, cpu: int | None = None) -> Iterator[Subject]:
    """A peer, or ours, on one processor if `cpu` says which."""
    if name == ours.NAME:
        with ours.edge(testbed, cpu=cpu) as subject:
            yield subject
        return
    command = PEERS[name](folder(testbed))

    def ready(started: Subject) -> bool:
        return started.listens("udp", 69)

    with testbed.subject(f"{name}-tftp", command.argv, ready, env=command.env, cpu=cpu) as subject:
        yield subject
