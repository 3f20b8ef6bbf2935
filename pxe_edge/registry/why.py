"""Why a host, a MAC or an address is where it is: reads the rows, `pxe_edge.jobs.causes_table` decides."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from pxe_edge.jobs import causes_serial, causes_table
from pxe_edge.jobs.causes import Asked, Cause, Erased, Refused, Run, Situation
from pxe_edge.jobs.causes_stranger import Stranger, explain_stranger
from pxe_edge.jobs.leases import TTL_S
from pxe_edge.registry import (
    binding,
    console_logs,
    credentials,
    hosts,
    jobs,
    leases,
    noticed,
    records,
    runs,
    timeline,
)
from pxe_edge.registry.errors import NotFoundError
from pxe_edge.registry.registry import Registry, utc_now
from pxe_edge.registry.site_tables import Dhcp6LeaseRow, DhcpLeaseRow, ImageRow, PlanRow, SightingRow
from pxe_edge.registry.site_view import bootos_view
from pxe_edge.registry.specsets import Current
from pxe_edge.registry.tables import AddressRow, BmcLockRow, BootRow, HostRow, JobRow, JournalEntryRow, MacRow
from pxe_edge.servers.ports import PacketNotes
from specs.durations import seconds
from specs.identity import mac_identity
from specs.model import Host, SecretRef
from specs.phases import Phase
from specs.records import TimelineEntry
from specs.sizes import human_size

_HISTORY: Final = 200
_STEPS: Final = 200
_REQUEST_KINDS: Final = ("dhcp", "http", "tftp")
_ERASED_SHOWN: Final = 8
_TEXT: Final = 200
_AWAITED: Final = 50


@dataclass(frozen=True, slots=True)
class Around:
    """What stands beside the database: the clock, the data folder, the current set, Prefect."""

    now: datetime = field(default_factory=utc_now)
    data: Path | None = None
    current: Current | None = None
    boot_os_built: bool = True
    prefect_answers: bool = True
    lease_ttl_s: int = TTL_S
    run_states: Mapping[str, str] = field(default_factory=dict)
    """State type of flow runs, as Prefect told it last."""
    notes: PacketNotes | None = None
    """What the packet plane noticed."""


def around(registry: Registry) -> Around:
    """The surroundings of a registry."""
    return Around(
        now=registry.now(),
        data=registry.data,
        current=registry.current,
        boot_os_built=bootos_view(registry.data / "boot") is not None,
        prefect_answers=registry.may_hand_on(),
        lease_ttl_s=registry.timing.lease_ttl_s,
        run_states=registry.run_states(),
        notes=registry.notes,
    )


def explain(session: Session, what: str, beside: Around | None = None) -> dict[str, Any]:
    """Find what is meant and explain it; 404 when the edge never saw it."""
    beside = beside or Around()
    mac = mac_identity(what)
    host = hosts.lookup(session, what) or (hosts.by_mac(session, mac) if mac else None)
    if host is None and _is_address(what):
        host, mac = _behind(session, what)
    if host is not None:
        history = timeline.of_host(session, host.id, limit=_HISTORY)
        situation = read(session, host, beside, [entry for _, entry in history])
        return _answer(host.name, causes_table.explain(situation), history)
    stranger = _stranger(session, what, mac, beside)
    if stranger is None:
        raise NotFoundError(
            "never seen here",
            hint="is its NIC on a network of the Site? rackflow leases",
            host=what,
        )
    cause = explain_stranger(stranger)
    return _answer(None, cause, timeline.of_mac(session, mac) if mac else [])


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _behind(session: Session, address: str) -> tuple[HostRow | None, str | None]:
    address = str(ip_address(address))  # one spelling of an IPv6 address
    lease = session.get(DhcpLeaseRow, address) or session.get(Dhcp6LeaseRow, address)
    if lease is not None:
        return hosts.by_mac(session, lease.mac), lease.mac
    kept = session.get(AddressRow, address)
    boot = session.scalar(
        select(BootRow).where(BootRow.address == address).order_by(BootRow.no.desc()).limit(1)
    )
    host_id = kept.host_id if kept else boot.host_id if boot else None
    return (session.get(HostRow, host_id) if host_id else None), None


def _newest_lease(session: Session, mac: str) -> DhcpLeaseRow | Dhcp6LeaseRow | None:
    """The lease of either family that ends last."""
    ours, ours6 = select(DhcpLeaseRow), select(Dhcp6LeaseRow)
    found = (
        session.scalar(ours.where(DhcpLeaseRow.mac == mac).order_by(DhcpLeaseRow.expires_at.desc()).limit(1)),
        session.scalar(
            ours6.where(Dhcp6LeaseRow.mac == mac).order_by(Dhcp6LeaseRow.expires_at.desc()).limit(1)
        ),
    )
    return max((row for row in found if row is not None), key=lambda row: row.expires_at, default=None)


def _stranger(session: Session, what: str, mac: str | None, beside: Around) -> Stranger | None:
    server = noticed.server_at(beside.notes, what, mac)
    if mac is None:
        return Stranger(now=beside.now, mac=what, server=server) if server is not None else None
    seen = session.get(SightingRow, mac)
    lease = _newest_lease(session, mac)
    refused = _refused([entry for _, entry in timeline.of_mac(session, mac)])
    ignored = noticed.ignored(beside.notes, [mac])
    if seen is None and lease is None and server is None and not refused and not ignored:
        return None
    until = datetime.fromtimestamp(lease.expires_at, beside.now.tzinfo) if lease else None
    return Stranger(
        now=beside.now,
        mac=mac,
        count=seen.count if seen else 0,
        answer=seen.reason if seen else None,
        last_at=seen.last_at if seen else None,
        refused=refused,
        address=lease.address if lease else None,
        leased_at=until - timedelta(seconds=_lease_s(beside, lease.network)) if lease and until else None,
        leased_until=until,
        ignored=ignored,
        awaited=_awaited(session, beside.current),
        server=server,
    )


def _lease_s(beside: Around, network: str) -> int:
    networks = beside.current.site.networks if beside.current else ()
    return next((seconds(one.lease) for one in networks if one.name == network), 0)


def _awaited(session: Session, current: Current | None) -> tuple[str, ...]:
    """Hosts and specs of which only the serial is known."""
    bare = select(HostRow.name).where(
        HostRow.uuid.is_(None),
        HostRow.serial.is_not(None),
        HostRow.phase == Phase.REGISTERED,
        HostRow.id.not_in(select(MacRow.host_id)),
    )
    names = list(session.scalars(bare.order_by(HostRow.name).limit(_AWAITED)))
    bound = binding.bindings(session)
    announced = current.announced.by_serial.values() if current else ()
    alone = (name for name in announced if name not in bound and not _has_more(current, name))
    return (*names, *sorted(alone)[:_AWAITED])


def _has_more(current: Current | None, name: str) -> bool:
    spec = current.spec(name) if current else None
    return spec is not None and spec.match is not None and bool(spec.match.mac or spec.match.uuid)


def read(session: Session, host: HostRow, beside: Around, history: list[TimelineEntry]) -> Situation:
    """The snapshot of one host."""
    open_row, ended_row = _jobs(session, host)
    about = open_row or ended_row
    set_id = beside.current.id if beside.current else None
    spec = beside.current.spec(binding.spec_name(session, host.id)) if beside.current else None
    image = spec.image if spec else None
    lock = session.get(BmcLockRow, host.id)
    return Situation(
        now=beside.now,
        host=records.hosts(session, [host], specset=set_id, now=beside.now)[0],
        phase_since=host.phase_since,
        job=records.job(open_row, host.name) if open_row else None,
        ended=records.job(ended_row, host.name) if ended_row else None,
        run=_run(session, open_row, beside.run_states) if open_row else None,
        lease=leases.read(session, host.id),
        lease_ttl_s=beside.lease_ttl_s,
        journal=_journal(session, host, about) if about else (),
        asked=_asked(history),
        refused=_refused(history),
        console=_console(session, host, beside.data) if beside.data else None,
        boot_os_built=beside.boot_os_built,
        prefect_answers=beside.prefect_answers,
        erased=_erased(session, open_row.plan) if open_row and open_row.plan else (),
        consent_asked=open_row.waiting_since if open_row else None,
        image=image,
        image_state=_image_state(session, image),
        secrets_missing=_missing(spec, credentials.secret_versions(session)),
        bmc_locked_by=lock.owner if lock and lock.expires > beside.now else None,
        ignored=noticed.ignored(beside.notes, hosts.macs_of(session, host.id)),
        discovery=beside.current.site.discovery if beside.current else "hold",
    )


def _jobs(session: Session, host: HostRow) -> tuple[JobRow | None, JobRow | None]:
    """The job that has not ended, and the newest that has."""
    there = jobs.unfinished(session, host.id)
    ended = select(JobRow).where(JobRow.host_id == host.id, JobRow.ended_at.is_not(None))
    return (there[-1] if there else None), session.scalar(ended.order_by(JobRow.no.desc()).limit(1))


def _run(session: Session, job: JobRow, states: Mapping[str, str]) -> Run | None:
    row = runs.present(session, job)
    if row is None:
        return None
    return Run(
        no=row.run_no,
        state=row.state,
        created_at=row.created_at,
        next_try_at=row.next_try_at,
        delivered_at=row.delivered_at,
        attempts=row.attempts,
        error=row.error[:_TEXT] if row.error else None,
        prefect_state=states.get(job.run_id) if job.run_id else None,
    )


def _journal(session: Session, host: HostRow, job: JobRow) -> tuple[Any, ...]:
    query = (
        select(JournalEntryRow)
        .where(JournalEntryRow.host_id == host.id, JournalEntryRow.job == job.no)
        .order_by(JournalEntryRow.no.desc())
        .limit(_STEPS)
    )
    return tuple(records.journal(row) for row in reversed(session.scalars(query).all()))


def _asked(history: list[TimelineEntry]) -> tuple[Asked, ...]:
    """Boot requests out of the history: `ipxe request of MAC: answer=OFFER boot=…`."""
    found = []
    for entry in history:
        if entry.kind in _REQUEST_KINDS and " request of " in entry.text:
            who, _, outcome = entry.text.partition(": ")
            pairs = dict(word.split("=", 1) for word in outcome.split() if "=" in word)
            client = who.split()[0]
            if client != "plain":
                found.append(Asked(entry.at, entry.kind, client, pairs))
    return tuple(found)


def _refused(history: list[TimelineEntry]) -> tuple[Refused, ...]:
    return tuple(Refused(entry.at, entry.text[:_TEXT]) for entry in history if entry.kind == "refused")


def _console(session: Session, host: HostRow, data: Path) -> causes_serial.Console | None:
    """The end of the newest serial log that holds anything."""
    boots = session.scalars(
        select(BootRow).where(BootRow.host_id == host.id).order_by(BootRow.no.desc()).limit(3)
    )
    for boot in boots:
        size = console_logs.size(data, host.id, boot.no)
        if size:
            start = max(0, size - causes_serial.TAIL_BYTES)
            end = console_logs.read(data, host.id, boot.no, start, causes_serial.TAIL_BYTES)
            kind = "os" if boot.kind == "os" else "boot-os"
            return causes_serial.Console(
                boot.no, "os" if kind == "os" else "boot-os", causes_serial.clean(end)
            )
    return None


def _erased(session: Session, plan_hash: str) -> tuple[Erased, ...]:
    """What a stored plan erases; its body is another version's, perhaps, so every part is looked for."""
    row = session.get(PlanRow, plan_hash)
    found: dict[str, Erased] = {}
    for step in (row.body.get("steps") or []) if row else []:
        for disk in (step.get("destroys") or []) if isinstance(step, Mapping) else []:
            serial, size = str(disk.get("serial"))[:_TEXT], disk.get("size_bytes")
            shown = human_size(size) if isinstance(size, int) and size > 0 else "unknown size"
            found[serial] = Erased(serial, shown, str(disk.get("found") or "blank")[:_TEXT])
    return tuple(found.values())[:_ERASED_SHOWN]


def _image_state(session: Session, name: str | None) -> str | None:
    row = session.get(ImageRow, name) if name else None
    if row is None:
        return None
    return f"{row.state}: {row.error}" if row.error else row.state


def _missing(spec: Host | None, known: Mapping[str, int]) -> tuple[str, ...]:
    """Names of secrets that the spec uses and nobody has set."""
    return tuple(sorted({name for name in _secret_names(spec) if name not in known})) if spec else ()


def _secret_names(value: Any) -> set[str]:
    if isinstance(value, SecretRef):
        return {value.secret}
    if isinstance(value, Mapping):
        return {name for one in value.values() for name in _secret_names(one)}
    if isinstance(value, list | tuple):
        return {name for one in value for name in _secret_names(one)}
    if hasattr(type(value), "model_fields"):
        return {name for field_ in type(value).model_fields for name in _secret_names(getattr(value, field_))}
    return set()


def _answer(host: str | None, cause: Cause, rows: list[tuple[int, TimelineEntry]]) -> dict[str, Any]:
    """What REST carries. `reason` is the code on record, `cause` the rule that held."""
    return {
        "host": host,
        "reason": cause.reason or "ok",
        "cause": cause.code,
        "sentence": cause.sentence,
        "next": cause.next_step,
        "since": cause.since,
        "until": cause.until,
        "run_id": cause.run_id,
        "timeline": [entry.model_dump(mode="json") for _, entry in rows],
    }
