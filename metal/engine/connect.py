"""Connections to a host's boot OS, its running system and its BMC.

A handshake costs a second under emulation, so a process keeps one shell per system of a host. It is
told by address and host key: a machine that booted anew reports new ones and gets a new shell. BMC
sessions are never kept: BMCs have few of them and the edge's lock covers one short use.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from metal.edge_client.runs import RunCalls
from metal.edge_client.wire import Conflict
from metal.errors import RackflowError, Refused, Unreachable
from metal.protocols import Bmc, Shell
from metal.transport.ipmi import IpmiBmc
from metal.transport.ssh import SshShell
from specs.records import BmcCredential, HostRecord

Where = Literal["boot-os", "running-os"]
BMC_LOCK_S: Final = 60
BMC_LOCK_WAIT_S: Final = 90.0
"""Longer than a lock lives: one that a dead run left behind is no reason to fail."""
BMC_LOCK_POLL_S: Final = 1.0
MANAGEMENT_USER: Final = "rackflow"


class OpenShell(Protocol):
    """A shell that can be closed."""

    host: str

    def close(self) -> None:
        """End the connection."""


@dataclass(frozen=True, slots=True)
class Openers:
    """How connections are made; tests give their own."""

    ssh: Callable[["Address", str], Shell]
    ipmi: Callable[[str, BmcCredential], Bmc]


@dataclass(frozen=True, slots=True)
class Address:
    """Where one system of a host is reached, and by which key it is known."""

    host: str
    host_id: str
    where: Where
    address: str
    host_key: str

    @property
    def user(self) -> str:
        """Root in the boot OS, the management user in a deployed system."""
        return "root" if self.where == "boot-os" else MANAGEMENT_USER


def open_ssh(target: Address, private_key: str) -> Shell:
    """Connect by SSH."""
    return SshShell.connect(
        target.host,
        target.address,
        user=target.user,
        private_key=private_key,
        host_key=target.host_key,
        sudo=target.where == "running-os",
    )


def open_ipmi(host: str, credential: BmcCredential) -> Bmc:
    """Log in to a BMC over the LAN."""
    return IpmiBmc.connect(host, credential.address, user=credential.user, password=credential.password)


REAL: Final = Openers(open_ssh, open_ipmi)


class Sessions:
    """The shells that this process holds open."""

    def __init__(self, openers: Openers) -> None:
        self.openers = openers
        self._lock = threading.Lock()
        self._open: dict[tuple[str, Where], tuple[Address, Shell]] = {}

    def shell(self, edge: RunCalls, target: Address) -> Shell:
        """Give the shell to this address and key, opened if need be. Raises Unreachable, Refused."""
        with self._lock:
            kept = self._open.get((target.host_id, target.where))
        if kept is not None and kept[0] == target:
            return kept[1]
        shell = self.openers.ssh(target, edge.management_key())
        with self._lock:
            self._open[target.host_id, target.where] = (target, shell)
        if kept is not None:
            _close(kept[1])
        return shell

    def drop(self, host: str) -> None:
        """Close all shells of a host, given by name or id; its power was changed."""
        with self._lock:
            gone = [key for key, (at, _) in self._open.items() if host in (at.host, at.host_id)]
            shells = [self._open.pop(key)[1] for key in gone]
        for shell in shells:
            _close(shell)


SESSIONS: Final = Sessions(REAL)
"""The process's own: tasks exchange plain data, so an open connection has no other place to live."""


def boot_os(record: HostRecord) -> Address:
    """Where the boot OS is. Raises Unreachable when none is believed up."""
    boot = record.boot
    if boot is None or boot.address is None or boot.ssh_host_key is None:
        raise Unreachable(
            "no boot OS has reported in", host=record.name, reason="unreachable", hint="rackflow power status"
        )
    return Address(record.name, record.id, "boot-os", boot.address, boot.ssh_host_key)


def running_os(record: HostRecord) -> Address:
    """Where the deployed system is, known by the key that the installer made. Raises Unreachable."""
    installed = record.installed or {}
    system = record.os
    address = (system.address if system else None) or installed.get("address") or record.address
    key = installed.get("ssh_host_key") or (system.ssh_host_key if system else None)
    if address is None or key is None:
        raise Unreachable(
            "no deployed system has phoned home",
            host=record.name,
            reason="unreachable",
            hint="rackflow console shows how far it booted",
        )
    return Address(record.name, record.id, "running-os", str(address).partition("/")[0], str(key))


def boot_os_shell(edge: RunCalls, host: str, sessions: Sessions = SESSIONS) -> Shell:
    """Give the shell in the host's boot OS."""
    return sessions.shell(edge, boot_os(edge.host(host)))


def os_shell(edge: RunCalls, host: str, sessions: Sessions = SESSIONS) -> Shell:
    """Give the shell in the host's deployed system."""
    return sessions.shell(edge, running_os(edge.host(host)))


@contextmanager
def bmc(edge: RunCalls, host: str, *, owner: str, sessions: Sessions = SESSIONS) -> Iterator[Bmc]:
    """Log in to the host's BMC under its lock, with the first credential that it takes.

    Raises Refused (bmc-unverified) when it takes none, Unreachable when it does not answer.
    """
    credentials = lock_bmc(edge, host, owner=owner, ttl_s=BMC_LOCK_S)
    try:
        session = log_in(host, credentials, sessions.openers)
        try:
            yield session
        finally:
            with suppress(RackflowError):
                session.close()
    finally:
        with suppress(RackflowError):
            edge.bmc_unlock(host, owner=owner)


def lock_bmc(
    edge: RunCalls,
    host: str,
    *,
    owner: str,
    ttl_s: int,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> list[BmcCredential]:
    """Take the BMC's lock, and wait for it while another has it: a fleet's reading, or a run that died.

    Raises Conflict naming the holder when it is not free in time.
    """
    deadline = clock() + BMC_LOCK_WAIT_S
    while True:
        try:
            return edge.bmc_lock(host, owner=owner, ttl_s=ttl_s)
        except Conflict:
            if clock() > deadline:
                raise
        sleep(BMC_LOCK_POLL_S)


def log_in(host: str, credentials: list[BmcCredential], openers: Openers) -> Bmc:
    """Try credentials in their order; a refused or unanswered one leads to the next."""
    silent: Unreachable | None = None
    refused: Refused | None = None
    for credential in credentials:
        try:
            return openers.ipmi(host, credential)
        except Refused as error:
            refused = error
        except Unreachable as error:
            silent = error
    if refused is None and silent is not None:
        raise silent
    tried = ", ".join(f"{c.user}@{c.address} ({c.state})" for c in credentials) or "none known"
    raise Refused(
        f"the BMC takes no credential; tried {tried}",
        host=host,
        reason="bmc-unverified",
        hint="rackflow inspect sets the BMC up again in band",
    )


def _close(shell: Shell) -> None:
    close = getattr(shell, "close", None)
    if close is not None:
        with suppress(RackflowError, OSError):
            close()
