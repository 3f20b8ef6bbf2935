"""Connections to a host's boot OS, its running system and its BMC.

A handshake costs a second under emulation, so a process keeps one shell per system of a host. It is
told by address and host key: a machine that booted anew reports new ones and gets a new shell. BMC
sessions are never kept: BMCs have few of them and the edge's lock covers one short use.

A BMC locks an account after a few wrong passwords. So a start tries each stored credential at most once
and gives up after two refusals; each refusal is told to the edge, which holds that credential back.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from metal.edge_client.runs import RunCalls
from metal.edge_client.wire import Conflict
from metal.errors import LeaseLost, RackflowError, Refused, Unreachable
from metal.protocols import Bmc, BootFlags, PowerAction, Shell
from metal.transport.ipmi import IpmiBmc
from metal.transport.ssh import SshShell
from specs.records import BmcCredential, HostRecord

Where = Literal["boot-os", "running-os"]
BMC_LOCK_S: Final = 60
"""How long a lock lives that its holder does not prolong."""
BMC_LOCK_RENEW_S: Final = 15.0
BMC_LOCK_WAIT_S: Final = 90.0
"""Longer than a lock lives: one that a dead run left behind is no reason to fail."""
BMC_LOCK_POLL_S: Final = 1.0
MOST_REFUSALS: Final = 2
"""Wrong logins of one start: BMCs lock an account after three (iDRAC, OpenBMC) or five."""
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
        self._proven: dict[str, Address] = {}

    def note_proof(self, at: Address) -> None:
        """Remember that this boot OS runs on the host itself; its host key dies with the boot."""
        with self._lock:
            self._proven[at.host_id] = at

    def is_proven(self, at: Address) -> bool:
        """Whether this very boot was proven in this process."""
        with self._lock:
            return self._proven.get(at.host_id) == at

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
            self._proven = {k: at for k, at in self._proven.items() if host not in (at.host, at.host_id)}
        for shell in shells:
            _close(shell)


SESSIONS: Final = Sessions(REAL)
"""The process's own: tasks exchange plain data, so an open connection has no other place to live."""


def boot_os(record: HostRecord) -> Address:
    """Where the boot OS is. Raises Unreachable when none is believed up."""
    boot = record.boot
    if boot is None or boot.address is None or boot.ssh_host_key is None:
        raise Unreachable(
            "no boot OS has reported in",
            host=record.name,
            reason="unreachable",
            hint=f"rackflow power status {record.name}, then rackflow console {record.name}",
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
            hint=f"rackflow console {record.name} shows how far it booted",
        )
    return Address(record.name, record.id, "running-os", str(address).partition("/")[0], str(key))


def boot_os_shell(edge: RunCalls, host: str, sessions: Sessions = SESSIONS) -> Shell:
    """Give the shell in the host's boot OS."""
    return sessions.shell(edge, boot_os(edge.host(host)))


def os_shell(edge: RunCalls, host: str, sessions: Sessions = SESSIONS) -> Shell:
    """Give the shell in the host's deployed system."""
    return sessions.shell(edge, running_os(edge.host(host)))


@dataclass(slots=True)
class BmcLock:
    """The host's BMC lock while it is held: prolonged by a thread, and known to be lost once it is."""

    take: Callable[[], list[BmcCredential]]
    host: str
    credentials: list[BmcCredential]
    clock: Callable[[], float]
    held_at: float
    lost: RackflowError | None = None
    _end: threading.Event = field(default_factory=threading.Event)

    def must_hold(self) -> None:
        """Raise when another may command the BMC by now: LeaseLost, Conflict, Unreachable."""
        if self.lost is not None:
            raise self.lost
        silent_s = self.clock() - self.held_at
        if silent_s > BMC_LOCK_S:
            raise Unreachable(
                f"the BMC lock could not be prolonged for {silent_s:.0f} s",
                host=self.host,
                reason="unreachable",
                hint="rackflow doctor shows whether the edge answers",
            )

    def prolong(self) -> None:
        """Prolong once; an edge that does not answer is asked again at the next turn."""
        asked_at = self.clock()
        try:
            self.take()
        except (Conflict, LeaseLost) as error:
            self.lost = error
        except RackflowError:
            return
        else:
            self.held_at = asked_at

    def keep(self) -> None:
        """Prolong until the end or the loss."""
        while self.lost is None and not self._end.wait(BMC_LOCK_RENEW_S):
            self.prolong()

    def end(self) -> None:
        """Stop prolonging."""
        self._end.set()


@contextmanager
def bmc_lock(
    edge: RunCalls,
    host: str,
    *,
    owner: str,
    epoch: int | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[BmcLock]:
    """Hold the BMC's lock, and wait for it while another has it: a fleet's reading, or a run that died.

    With an epoch the edge refuses a run whose lease is lost, also when it prolongs (DESIGN 5.3); and two
    processes of one run are two holders by it, of which the earlier may not give back what the later has.
    Raises Conflict naming the holder when it is not free in time, LeaseLost.
    """
    holder = owner if epoch is None else f"{owner}@{epoch}"

    def take() -> list[BmcCredential]:
        more = {} if epoch is None else {"epoch": epoch}
        return edge.bmc_lock(host, owner=holder, ttl_s=BMC_LOCK_S, **more)

    lock = _wait_for_lock(take, host, clock, sleep)
    thread = threading.Thread(target=lock.keep, name=f"bmc-lock-{host}", daemon=True)
    thread.start()
    try:
        yield lock
    finally:
        lock.end()
        thread.join(timeout=5)
        with suppress(RackflowError):
            edge.bmc_unlock(host, owner=holder)


def _wait_for_lock(
    take: Callable[[], list[BmcCredential]],
    host: str,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> BmcLock:
    deadline = clock() + BMC_LOCK_WAIT_S
    while True:
        asked_at = clock()
        try:
            return BmcLock(take, host, take(), clock, asked_at)
        except Conflict:
            if clock() > deadline:
                raise
        sleep(BMC_LOCK_POLL_S)


@contextmanager
def bmc(
    edge: RunCalls,
    host: str,
    *,
    owner: str,
    sessions: Sessions = SESSIONS,
    epoch: int | None = None,
) -> Iterator[Bmc]:
    """Log in to the host's BMC under its lock, with the first credential that it takes.

    Raises Refused (bmc-unverified) when it takes none, Unreachable when it does not answer.
    """
    with bmc_lock(edge, host, owner=owner, epoch=epoch) as lock:
        session = log_in(edge, host, lock.credentials, sessions.openers, owner=owner)
        try:
            yield LockedBmc(session, lock)
        finally:
            with suppress(RackflowError):
                session.close()


class LockedBmc:
    """A BMC session that changes nothing once its lock is lost: a process may have stood still meanwhile."""

    def __init__(self, session: Bmc, lock: BmcLock) -> None:
        self._session, self.lock = session, lock
        self.host = session.host

    def power(self) -> Literal["on", "off"]:
        """Read the power."""
        return self._session.power()

    def set_power(self, action: PowerAction) -> None:
        """Change the power."""
        self.lock.must_hold()
        self._session.set_power(action)

    def boot_flags(self) -> BootFlags:
        """Read the boot override."""
        return self._session.boot_flags()

    def set_boot_flags(self, flags: BootFlags) -> None:
        """Set the boot override."""
        self.lock.must_hold()
        self._session.set_boot_flags(flags)

    def guid(self) -> str | None:
        """Read the GUID."""
        return self._session.guid()

    def lan_mac(self) -> str | None:
        """Read the MAC."""
        return self._session.lan_mac()

    def read_proof(self) -> str | None:
        """Read what was written in band; None where this BMC has no place for it."""
        read = getattr(self._session, "read_proof", None)
        return None if read is None else read()

    def last_event(self) -> bytes | None:
        """Read the last record of the event log; None where this BMC shows none."""
        read = getattr(self._session, "last_event", None)
        return None if read is None else read()

    def close(self) -> None:
        """End the session."""
        self._session.close()


def log_in(
    edge: RunCalls, host: str, credentials: list[BmcCredential], openers: Openers, *, owner: str
) -> Bmc:
    """Try credentials in their order, each once; a refused or unanswered one leads to the next.

    What is refused is told to the edge, and after two refusals nothing more is tried.
    """
    silent: Unreachable | None = None
    tried: list[BmcCredential] = []
    mute: set[str] = set()
    for credential in credentials:
        if credential.address in mute:
            continue
        try:
            return openers.ipmi(host, credential)
        except Refused:
            tried.append(credential)
            with suppress(RackflowError):
                edge.bmc_login(host, credential, "refused", owner=owner)
            if len(tried) == MOST_REFUSALS:
                break
        except Unreachable as error:
            silent = error
            mute.add(credential.address)
    if not tried and silent is not None:
        raise silent
    told = ", ".join(f"{c.user}@{c.address} ({c.state})" for c in tried)
    raise Refused(
        f"the BMC takes no credential; tried {told}"
        if tried
        else "no credential of the BMC may be tried now",
        host=host,
        reason="bmc-unverified",
        hint=f"rackflow why {host} says what was refused, and what helps",
    )


def _close(shell: Shell) -> None:
    close = getattr(shell, "close", None)
    if close is not None:
        with suppress(RackflowError, OSError):
            close()
