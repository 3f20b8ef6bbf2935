"""The clock of machines that go on after a restore: theirs stood still as long as the snapshot lay there.

QEMU's real-time clock follows the host, but a running kernel looks at it only when it boots or wakes up. So
the lab does what an administrator would: it logs in, with the management key of the restored data folder, and
sets the time. A machine that nobody can log in to keeps its old time, and the restore says so.
"""

import contextlib
import os
import selectors
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.definition import MachineDefinition
from lab.leases import REGISTRY
from lab.rack import Rack
from pxe_edge.registry.sealing import Sealed, site_seal

TIMEOUT_S = 20
BOOT_OS_USER = "root"
MANAGEMENT_USER = "rackflow"
"""Who the management key logs in as: in the boot OS, in a deployed system."""
SSH_OPTIONS = (
    *("-q", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"),
    *("-o", "BatchMode=yes", "-o", "ConnectTimeout=5"),
)
SCRIPT = """
date +%s
read seconds
{ date -u -s "@$seconds" || sudo -n date -u -s "@$seconds"; } >/dev/null 2>&1
"""
"""Tells the guest's time, then takes ours: a login may take seconds, so ours is asked for when it is due."""


@dataclass(frozen=True)
class ClockSet:
    """What was done to one machine's clock; behind_s None: nobody could log in."""

    machine: str
    behind_s: float | None


def set_clocks(rack: Rack, machines: Sequence[MachineDefinition], data: Path) -> list[ClockSet]:
    """Set the time of these running machines, side by side.

    Each login costs a guest seconds, so the likely ones come first.
    """
    key = management_key(data)
    behind: dict[str, float] = {}
    if key is not None:
        ways = {machine.name: logins(data, machine) for machine in machines}
        with _key_file(key) as path:
            for likely in (True, False):
                left = {name: ways[name][likely] for name in ways if name not in behind}
                behind |= _first_logins(_Logins(rack, path, left))
    return [ClockSet(machine.name, behind.get(machine.name)) for machine in machines]


def management_key(data: Path) -> str | None:
    """The site's private key; None in a data folder without a registry."""
    if not (data / REGISTRY).exists():
        return None
    with contextlib.closing(sqlite3.connect(data / REGISTRY)) as database:
        row = database.execute("SELECT key_id, sealed FROM site_keys WHERE purpose = 'management'").fetchone()
    return row and site_seal(data / "edge" / "site.key").open(Sealed(*row), "site-key:management")


def logins(data: Path, machine: MachineDefinition) -> dict[bool, list[str]]:
    """user@address of a machine: under True the likely ones.

    The boot OS has its DHCP lease, a deployed system the address of its spec; the other way round it happens.
    """
    macs = [nic.mac for nic in machine.nics]
    marks = ", ".join("?" for _ in macs)
    leased = f"SELECT address FROM dhcp_leases WHERE mac IN ({marks})"  # noqa: S608 -- question marks only
    own = (
        "SELECT DISTINCT address FROM addresses JOIN host_macs USING (host_id)"  # noqa: S608 -- the same
        f" WHERE mac IN ({marks}) AND key != 'bmc'"
    )
    with contextlib.closing(sqlite3.connect(data / REGISTRY)) as database:
        users = {BOOT_OS_USER: leased, MANAGEMENT_USER: own}
        found = {user: [row[0] for row in database.execute(query, macs)] for user, query in users.items()}
    boot_os, deployed = found[BOOT_OS_USER], found[MANAGEMENT_USER]
    return {
        True: [f"{BOOT_OS_USER}@{each}" for each in boot_os]
        + [f"{MANAGEMENT_USER}@{each}" for each in deployed],
        False: [f"{MANAGEMENT_USER}@{each}" for each in boot_os]
        + [f"{BOOT_OS_USER}@{each}" for each in deployed],
    }


class _Logins:
    """A client for every address and user of every machine, all at once: which one answers is not known."""

    def __init__(self, rack: Rack, key: Path, candidates: Mapping[str, Sequence[str]]) -> None:
        self.waiting = selectors.DefaultSelector()
        self.machines = len(candidates)
        self._clients: list[subprocess.Popen[bytes]] = []
        for machine, ways in candidates.items():
            for way in ways:
                argv = rack.command(["ssh", *SSH_OPTIONS, "-i", str(key), way, SCRIPT])
                client = subprocess.Popen(
                    argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
                )
                assert client.stdout is not None
                self._clients.append(client)
                self.waiting.register(client.stdout, selectors.EVENT_READ, (machine, client))

    def end(self) -> None:
        """End every client that is still there."""
        self.waiting.close()
        for client in self._clients:
            client.kill()
            client.communicate()


def _first_logins(logins: _Logins) -> dict[str, float]:
    """Seconds that each machine's clock was behind; the first client that is let in sets it."""
    behind: dict[str, float] = {}
    ends_at = time.monotonic() + TIMEOUT_S
    try:
        while logins.waiting.get_map() and (left_s := ends_at - time.monotonic()) > 0:
            for key, _ in logins.waiting.select(left_s):
                machine, client = key.data
                logins.waiting.unregister(key.fileobj)
                if machine not in behind and (line := client.stdout.readline()):
                    now = time.time()
                    client.communicate(f"{now:.0f}\n".encode(), timeout=TIMEOUT_S)
                    if client.returncode == 0:
                        behind[machine] = now - float(line)
                if len(behind) == logins.machines:
                    return behind
    finally:
        logins.end()
    return behind


@contextlib.contextmanager
def _key_file(key: str) -> Iterator[Path]:
    """The key in a file, as ssh wants it; gone when the block ends."""
    descriptor, name = tempfile.mkstemp(prefix="lab-key-")
    path = Path(name)
    try:
        with os.fdopen(descriptor, "w") as stream:
            stream.write(key)
        yield path
    finally:
        path.unlink()
