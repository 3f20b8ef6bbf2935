"""The registry as one object: database, seal, data folder, and the current spec set in memory."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path

from sqlalchemy.orm import Session

from pxe_edge.jobs.timing import Timing
from pxe_edge.registry import binding, credentials, host_texts, records, specsets, timeline, tokens
from pxe_edge.registry.database import Database
from pxe_edge.registry.interfaces import own_addresses, server_addresses, url_host
from pxe_edge.registry.sealing import Seal, site_seal
from pxe_edge.registry.specsets import Current, Given
from pxe_edge.registry.tables import HostRow, JobRow
from pxe_edge.servers.ports import PacketNotes
from specs.records import HostRecord, JobRecord, SpecSetRecord
from specs.shapes import IpAddress


def utc_now() -> datetime:
    """The clock of production."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the edge listens."""

    control: int = 8443
    boot: int = 8080
    """What machines are told; an nginx listens there when `boot_proxy` is set."""
    boot_proxy: tuple[str, int] | None = None
    """Where the boot plane listens for that nginx."""


@dataclass
class Registry:
    """What the API and the packet plane share. Open it with `open_registry`."""

    db: Database
    seal: Seal
    data: Path
    ports: Ports
    management_public: str = ""
    current: Current | None = None
    addresses: dict[str, IpAddress] = field(default_factory=dict)
    timing: Timing = field(default_factory=Timing)
    may_hand_on: Callable[[], bool] = lambda: False
    """Whether lost runs are handed on: Prefect has answered within the last minute. The sweeper sets it."""
    run_states: Callable[[], Mapping[str, str]] = dict
    """State type of flow runs as Prefect told it last, for `why`. The sweeper sets it."""
    notes: PacketNotes | None = None
    """What the packet plane noticed: silences, other DHCP servers. The edge's process sets it."""
    _publishing: threading.RLock = field(default_factory=threading.RLock)
    _listeners: list[Callable[[Current], None]] = field(default_factory=list)

    def now(self) -> datetime:
        """The registry's clock."""
        return self.db.now()

    @property
    def specset(self) -> str | None:
        """The id of the current set."""
        return self.current.id if self.current else None

    @property
    def boot_url(self) -> str:
        """Where machines reach the boot plane: by the first provisioning network's address."""
        first = next(iter(self.addresses.values()), IPv4Address("127.0.0.1"))
        return f"http://{url_host(first)}:{self.ports.boot}"

    def where(self) -> tuple[str, str | None] | None:
        """Site name and current set for the outbox; None before the first publish."""
        return (self.current.site.metadata.name, self.current.id) if self.current else None

    def host_page(self, session: Session, after: str) -> str:
        """One page of all hosts under the current set, as JSON."""
        return host_texts.page(session, after, specset=self.specset, now=self.now())

    def host_text(self, session: Session, row: HostRow) -> str:
        """The record of one host under the current set, as JSON."""
        return host_texts.host(session, row, specset=self.specset, now=self.now())

    def host_record(self, session: Session, row: HostRow) -> HostRecord:
        """The record of one host under the current set, without its observation."""
        return records.host(session, row, specset=self.specset, now=self.now())

    @property
    def consent_form(self) -> bool:
        """Whether a plan that waits for consent is shown as a form in Prefect's UI."""
        return self.current is None or self.current.site.consent_form

    def job_record(self, row: JobRow, host: HostRow) -> JobRecord:
        """The record of one job under the current set."""
        return records.job(row, host.name, form=self.consent_form)

    def on_current(self, listener: Callable[[Current], None]) -> None:
        """Call `listener` with each set that becomes current, and at once if one is."""
        self._listeners.append(listener)
        if self.current is not None:
            listener(self.current)

    def publish(
        self, set_id: str, *, by: str = "publish", expected_current: str | None = None
    ) -> SpecSetRecord:
        """Make a stored set current: bindings, addresses, due jobs in one transaction; then the views."""
        with self._publishing:
            with self.db.read() as session:
                current = specsets.read_current(specsets.get(session, set_id))
            with self.db.write() as session:
                specsets.require_current(session, expected_current, or_already=current.id)
                row = specsets.make_current(session, self.now(), current.id)
                bound = binding.publish(session, self.now(), current)
                binding.post_due(session, self.now(), bound, current, by)
                record = specsets.record(row)
            self._take(current)
            return record

    def publish_files(self, given: Given, *, author: str) -> SpecSetRecord:
        """Check, store and make current in one go; for `edge --specs DIR`."""
        checked = specsets.check(given)
        with self.db.write() as session:
            specsets.store(session, self.now(), checked, commit=None, author=author, dirty=True)
        return self.publish(checked.id)

    def read_addresses(self) -> None:
        """Ask the kernel for the edge's own addresses on the site's networks."""
        own = own_addresses()
        # A host has loopback at least: nothing read means that reading failed, so what was read last stays.
        if self.current is not None and own:
            self.addresses = server_addresses(self.current.site, own)

    def _take(self, current: Current) -> None:
        self.current = current
        self.read_addresses()
        for listener in self._listeners:
            listener(current)

    def host_ready(self, session: Session, host: HostRow) -> None:
        """After a host became ready: post the apply job that its spec wants without a command."""
        binding.post_due(session, self.now(), [host], self.current, "discovery")

    def resume(self) -> None:
        """Take up the set that was current when the edge stopped."""
        with self.db.read() as session:
            row = specsets.current_row(session)
            if row is not None:
                self._take(specsets.read_current(row))


def open_registry(
    data: Path,
    *,
    ports: Ports | None = None,
    clock: Callable[[], datetime] = utc_now,
    timing: Timing | None = None,
) -> Registry:
    """Open the registry of a data folder; makes database, site key, tokens and management key when new."""
    folder = data / "edge"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    database = Database(folder / "registry.sqlite", clock=clock)
    registry = Registry(
        database, site_seal(folder / "site.key"), data, ports or Ports(), timing=timing or Timing()
    )
    with database.write() as session:
        tokens.ensure_files(session, clock(), folder / "tokens")
        registry.management_public = credentials.management_key(session, clock(), registry.seal).public
        timeline.add(session, clock(), "edge", "the edge started")
    registry.resume()
    return registry
