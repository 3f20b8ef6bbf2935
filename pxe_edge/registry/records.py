"""Rows to the values that REST carries.

Hosts are read in a handful of queries for any number of them: `hosts` lists the fleet, and a query
per host and table would make that a second per hundred hosts.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pxe_edge.jobs.rules import FINAL
from pxe_edge.registry import addresses
from pxe_edge.registry import tables as t
from specs.phases import Phase
from specs.records import (
    BootRecord,
    Condition,
    Consent,
    HostRecord,
    JobRecord,
    JournalRow,
    LeaseRecord,
)

_BATCH = 500
"""Ids per IN list; SQLite takes 32766 variables, plans of short lists are cheaper."""
_Row = TypeVar("_Row")


@dataclass
class _Parts:
    """What hangs on a batch of hosts, by host id."""

    macs: dict[str, list[str]] = field(default_factory=dict)
    spec: dict[str, str] = field(default_factory=dict)
    conditions: dict[str, list[Condition]] = field(default_factory=dict)
    lease: dict[str, t.LeaseRow] = field(default_factory=dict)
    boots: dict[tuple[str, str], t.BootRow] = field(default_factory=dict)
    runs: dict[str, str | None] = field(default_factory=dict)
    fixed: dict[str, str] = field(default_factory=dict)


def _rows(session: Session, table: type[_Row], column: Any, ids: Sequence[str]) -> Iterable[_Row]:
    return session.scalars(select(table).where(column.in_(ids)))


def _read_parts(session: Session, ids: Sequence[str]) -> _Parts:
    parts = _Parts()
    for mac in _rows(session, t.MacRow, t.MacRow.host_id, ids):
        parts.macs.setdefault(mac.host_id, []).append(mac.mac)
    for binding in _rows(session, t.BindingRow, t.BindingRow.host_id, ids):
        parts.spec[binding.host_id] = binding.spec
    for c in _rows(session, t.ConditionRow, t.ConditionRow.host_id, ids):
        value = Condition.model_validate(
            {"type": c.type, "status": c.status, "reason": c.reason, "message": c.message, "since": c.since}
        )
        parts.conditions.setdefault(c.host_id, []).append(value)
    for lease in _rows(session, t.LeaseRow, t.LeaseRow.host_id, ids):
        parts.lease[lease.host_id] = lease
    parts.fixed = addresses.fixed(session, ids)
    newest = (
        select(func.max(t.BootRow.no))
        .where(t.BootRow.host_id.in_(ids), t.BootRow.reported_at.is_not(None))
        .group_by(t.BootRow.host_id, t.BootRow.kind)
    )
    for boot in session.scalars(select(t.BootRow).where(t.BootRow.no.in_(newest))):
        parts.boots[boot.host_id or "", boot.kind] = boot
    with_run = (
        select(t.JobRow.host_id, t.JobRow.run_id)
        .where(t.JobRow.host_id.in_(ids), t.JobRow.run_id.is_not(None))
        .order_by(t.JobRow.no)
    )
    for host_id, run_id in session.execute(with_run):
        parts.runs[host_id] = run_id
    return parts


def hosts(
    session: Session, rows: Sequence[t.HostRow], *, specset: str | None, now: datetime
) -> list[HostRecord]:
    """Records of these hosts, in their order, without their observations: see `host_texts`."""
    records = []
    for start in range(0, len(rows), _BATCH):
        batch = rows[start : start + _BATCH]
        parts = _read_parts(session, [h.id for h in batch])
        records += [_host(row, parts, specset, now) for row in batch]
    return records


def host(session: Session, row: t.HostRow, *, specset: str | None, now: datetime) -> HostRecord:
    """The record of one host, without its observation."""
    return hosts(session, [row], specset=specset, now=now)[0]


def _host(row: t.HostRow, parts: _Parts, specset: str | None, now: datetime) -> HostRecord:
    boot = parts.boots.get((row.id, "boot-os"))
    system = parts.boots.get((row.id, "os"))
    if boot is not None and system is not None and system.no > boot.no:
        boot = None
    lease = parts.lease.get(row.id)
    newest = boot or system
    spec = parts.spec.get(row.id)
    return HostRecord(
        id=row.id,
        name=row.name,
        phase=Phase(row.phase),
        reason=row.reason,
        message=row.message,
        macs=tuple(sorted(parts.macs.get(row.id, ()))),
        uuid=row.uuid,
        serial=row.serial,
        spec=spec,
        specset=specset if spec else None,
        conditions=tuple(sorted(parts.conditions.get(row.id, ()), key=lambda c: c.type)),
        lease=lease_record(lease, now),
        boot=boot_record(boot),
        os=boot_record(system),
        address=newest.address if newest else None,
        fixed_address=parts.fixed.get(row.id),
        bmc_address=row.bmc_address,
        installed=row.installed,
        last_job=row.last_job or None,
        last_run=parts.runs.get(row.id),
    )


def lease_record(row: t.LeaseRow | None, now: datetime) -> LeaseRecord | None:
    """The lease, if somebody holds it; an expired one is shown until it is handed on."""
    if row is None or row.run_id is None or row.job is None:
        return None
    return LeaseRecord(epoch=row.epoch, job=row.job, run_id=row.run_id, expires=row.expires or now)


def boot_record(row: t.BootRow | None) -> BootRecord | None:
    """One boot."""
    if row is None:
        return None
    return BootRecord(
        boot_no=row.no,
        kind="os" if row.kind == "os" else "boot-os",
        address=row.address,
        ssh_host_key=row.ssh_host_key,
        reported_at=row.reported_at,
        started_at=row.started_at,
    )


def job(row: t.JobRow, host_name: str, *, form: bool = False) -> JobRecord:
    """One job; `form` is whether the Site lets Prefect's UI ask for consent."""
    return JobRecord.model_validate(
        {
            "host": host_name,
            "host_id": row.host_id,
            "no": row.no,
            "verb": row.verb,
            "args": row.args,
            "state": row.state,
            "by": row.by,
            "created_at": row.created_at,
            "run_no": row.run_no,
            "run_id": row.run_id,
            "result": row.result,
            "reason": row.reason,
            "message": row.message,
            "next_step": row.next_step,
            "outcome": row.outcome,
            "plan": row.plan,
            "wait": row.wait,
            "lost_runs": row.lost_runs,
            "ask_in_ui": form and row.state not in FINAL,
            "consent_asked": row.waiting_since if row.state == "waiting-consent" else None,
        }
    )


def journal(row: t.JournalEntryRow) -> JournalRow:
    """One journal row."""
    return JournalRow.model_validate(
        {
            "no": row.no,
            "job": row.job,
            "epoch": row.epoch,
            "step": row.step,
            "kind": row.kind,
            "phase": row.phase,
            "plan": row.plan,
            "detail": row.detail,
            "at": row.at,
        }
    )


def consent(row: t.ConsentRow, host_name: str) -> Consent:
    """One consent."""
    return Consent(
        host=host_name,
        plan=row.plan,
        by=row.by,
        at=row.at,
        expires=row.expires,
        spent_by_job=row.spent_by_job,
    )
