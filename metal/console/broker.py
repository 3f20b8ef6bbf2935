"""The broker: asks the edge which consoles to read, holds one session each, keeps one log per boot.

The log goes to a file first and from there to the edge, so that an edge that is away costs nothing:
what it lacks is sent when it is back, from the offset it names.
"""

import logging
import select
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from metal.console.sol import SolSession, deactivate
from metal.edge_client import EdgeClient
from metal.errors import RackflowError, Refused
from specs.records import BmcCredential

POLL_S: Final = 2.0
RETRY_S: Final = 10.0
REFUSED_S: Final = 60.0
"""Until the edge is asked again for a password, after the BMC refused one."""
LOG_LIMIT_BYTES: Final = 16 << 20
"""A boot that writes more is cut: a machine in a crash loop must not fill the disk."""

log = logging.getLogger("rackflow.console")


@dataclass
class Console:
    """One host's console: its session, the boot that is being logged, what the edge has of each log."""

    host: str
    host_id: str
    boot_no: int
    session: SolSession | None = None
    not_before: float = 0.0
    send_not_before: float = 0.0
    sent_bytes: dict[int, int] = field(default_factory=dict)
    """Boot number -> bytes that the edge has; of earlier boots only while it lacks some."""
    pending: bytearray = field(default_factory=bytearray)


class Broker:
    """Runs until `stop`; every edge or BMC error is logged and retried, none ends it."""

    def __init__(
        self,
        edge: EdgeClient,
        logs: Path,
        *,
        session: Callable[[BmcCredential], SolSession] = SolSession,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._edge = edge
        self._logs = logs
        self._session = session
        self._clock = clock
        self._consoles: dict[str, Console] = {}
        self._stop = threading.Event()

    def stop(self) -> None:
        """End after the current turn."""
        self._stop.set()

    def run(self) -> None:
        """Poll the edge, read consoles, send what came."""
        next_poll = 0.0
        while not self._stop.is_set():
            if self._clock() >= next_poll:
                next_poll = self._clock() + POLL_S
                self._guarded("poll", self.poll)
            self.read(timeout_s=0.5)
            self.send_all()
        for console in self._consoles.values():
            self._close(console)

    def poll(self) -> None:
        """Take the edge's list: open what is new, close what was released or is gone."""
        wanted = {str(row["host_id"]): row for row in self._edge.consoles()}
        for host_id in set(self._consoles) - set(wanted):
            self._close(self._consoles.pop(host_id))
        for host_id, row in wanted.items():
            self._follow(host_id, row)

    def _follow(self, host_id: str, row: dict[str, Any]) -> None:
        boot_no = int(row["boot_no"])
        console = self._consoles.setdefault(host_id, Console(str(row["host"]), host_id, boot_no))
        console.host = str(row["host"])
        if console.boot_no != boot_no:
            self._keep(console)
            console.boot_no = boot_no
        if released(row.get("released_until"), datetime.now(UTC)):
            self._close(console)
        elif console.session is None and row.get("bmc") and self._clock() >= console.not_before:
            self._guarded(console.host, partial(self._open, console))

    def _open(self, console: Console) -> None:
        console.not_before = self._clock() + RETRY_S
        current = [c for c in self._edge.credentials(console.host, purpose="console") if c.state == "current"]
        if not current:
            return
        if not deactivate(current[0]):
            # Told, so that the edge holds the password back: repeated, it would lock the account for all.
            console.not_before = self._clock() + REFUSED_S
            self._edge.bmc_login(console.host, current[0], "refused", owner="console")
            log.warning("console=refused host=%s bmc=%s", console.host, current[0].address)
            return
        session = self._session(current[0])
        session.open()
        console.session = session
        log.info("console=open host=%s bmc=%s", console.host, current[0].address)

    def _close(self, console: Console) -> None:
        if console.session is not None:
            console.session.close()
            console.session = None
            log.info("console=closed host=%s", console.host)

    def read(self, *, timeout_s: float) -> None:
        """Read whatever the sessions have; a session that ended is opened again after a pause."""
        open_ = {c.session.fileno(): c for c in self._consoles.values() if c.session is not None}
        if not open_:
            self._stop.wait(timeout_s)
            return
        ready, _, _ = select.select(list(open_), [], [], timeout_s)
        for descriptor in ready:
            console = open_[descriptor]
            assert console.session is not None
            data = console.session.read()
            if data is None:
                self._close(console)
                console.not_before = self._clock() + RETRY_S
            elif data:
                console.pending += data

    def send_all(self) -> None:
        """Keep what was read, and send the edge what it lacks, of earlier boots first."""
        for console in self._consoles.values():
            self._guarded(console.host, partial(self._keep, console))
            if self._clock() < console.send_not_before:
                continue
            for boot_no in sorted(console.sent_bytes):
                if not self._guarded(console.host, partial(self._send, console, boot_no)):
                    console.send_not_before = self._clock() + RETRY_S
                    break

    def _log(self, console: Console, boot_no: int) -> Path:
        return self._logs / console.host_id / f"{boot_no}.log"

    def _keep(self, console: Console) -> None:
        """Append what was read to the current boot's file."""
        if not console.pending:
            return
        path = self._log(console, console.boot_no)
        path.parent.mkdir(parents=True, exist_ok=True)
        room = LOG_LIMIT_BYTES - (path.stat().st_size if path.exists() else 0)
        with path.open("ab") as out:
            out.write(console.pending[: max(room, 0)])
        console.pending.clear()
        console.sent_bytes.setdefault(console.boot_no, 0)

    def _send(self, console: Console, boot_no: int) -> None:
        """Send what the edge lacks of one log; an earlier boot's is forgotten once it is whole there."""
        path = self._log(console, boot_no)
        size = path.stat().st_size
        while console.sent_bytes[boot_no] < size:
            with path.open("rb") as kept:
                kept.seek(console.sent_bytes[boot_no])
                block = kept.read(512 << 10)
            try:
                self._edge.put_console(console.host, boot_no, console.sent_bytes[boot_no], block)
            except Refused:
                # The edge has another length (it or we restarted): learn it by reading, once.
                there = len(self._edge.console(console.host, boot_no, limit_bytes=LOG_LIMIT_BYTES))
                if there == console.sent_bytes[boot_no]:
                    raise
                console.sent_bytes[boot_no] = there
                continue
            console.sent_bytes[boot_no] += len(block)
        if boot_no != console.boot_no:
            del console.sent_bytes[boot_no]

    @staticmethod
    def _guarded(what: str, act: Callable[[], None]) -> bool:
        try:
            act()
        except (RackflowError, OSError) as error:
            log.warning("console=failed about=%s error=%s", what, error)
            return False
        return True


def released(until: str | None, now: datetime) -> bool:
    """Whether an operator's client has the session now."""
    return until is not None and datetime.fromisoformat(until) > now
