"""Hosts: lookup by any of their names, registration, naming, phases and conditions."""

import secrets
from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from pxe_edge.discovery.identify import KnownHost, Refusal, find
from pxe_edge.registry import timeline
from pxe_edge.registry.errors import ConflictError, NotFoundError
from pxe_edge.registry.site_tables import TimelineRow
from pxe_edge.registry.tables import BootRow, ConditionRow, FormerNameRow, HostRow, MacRow
from specs.identity import serial_in_uuid
from specs.phases import Phase, allowed
from specs.records import ConditionStatus


def get(session: Session, name: str) -> HostRow:
    """The host of this name or id, or of a name that it once had; 404 otherwise."""
    row = lookup(session, name)
    if row is None:
        raise NotFoundError(f"no host is called {name}", hint="rackflow hosts", host=name)
    return row


def lookup(session: Session, name: str) -> HostRow | None:
    """The host of this name, id or former name.

    Former names count because a run is told a name at its start, and a spec that is bound meanwhile
    renames the host.
    """
    row = _named(session, name)
    if row is not None:
        return row
    former = session.get(FormerNameRow, name)
    return session.get(HostRow, former.host_id) if former is not None else None


def _named(session: Session, name: str) -> HostRow | None:
    return session.scalar(select(HostRow).where((HostRow.name == name) | (HostRow.id == name)))


def by_mac(session: Session, mac: str) -> HostRow | None:
    """The host that has a NIC with this MAC."""
    return session.scalar(select(HostRow).join(MacRow, MacRow.host_id == HostRow.id).where(MacRow.mac == mac))


def of_machine(session: Session, mac: str, uuid: str | None) -> HostRow | None:
    """The host that a boot request is from: by MAC, by UUID, or by the serial that its UUID holds.

    The last is for hosts that were registered by serial alone and not seen yet.
    """
    host = by_mac(session, mac)
    if host is not None or uuid is None:
        return host
    host = session.scalar(select(HostRow).where(HostRow.uuid == uuid))
    serial = serial_in_uuid(uuid)
    if host is not None or serial is None:
        return host
    return session.scalar(
        select(HostRow).where(HostRow.uuid.is_(None), func.lower(HostRow.serial) == serial.lower())
    )


def macs_of(session: Session, host_id: str) -> tuple[str, ...]:
    """The MACs of a host, sorted."""
    return tuple(session.scalars(select(MacRow.mac).where(MacRow.host_id == host_id).order_by(MacRow.mac)))


def known(session: Session, *, uuid: str | None, serial: str | None, macs: Iterable[str]) -> list[KnownHost]:
    """The hosts that could be meant by these identities: those which share any of them."""
    ids = set(session.scalars(select(MacRow.host_id).where(MacRow.mac.in_(list(macs)))))
    if uuid is not None:
        ids.update(session.scalars(select(HostRow.id).where(HostRow.uuid == uuid)))
    if serial is not None:
        ids.update(session.scalars(select(HostRow.id).where(func.lower(HostRow.serial) == serial.lower())))
    rows = session.scalars(select(HostRow).where(HostRow.id.in_(ids)))
    return [KnownHost(h.id, h.name, h.uuid, h.serial, frozenset(macs_of(session, h.id))) for h in rows]


def register(
    session: Session,
    now: datetime,
    name: str,
    *,
    own_name: bool,
    uuid: str | None = None,
    serial: str | None = None,
    macs: Iterable[str] = (),
    by: str,
) -> HostRow:
    """Make a host; an identity or a name that another host has is refused."""
    wanted = tuple(macs)
    clash = find(known(session, uuid=uuid, serial=serial, macs=wanted), uuid=uuid, serial=serial, macs=wanted)
    if clash is not None:
        said = clash.message if isinstance(clash, Refusal) else f"the machine is host {clash.name} already"
        raise ConflictError(said, code="identity-conflict", hint="rackflow hosts", host=name)
    if _named(session, name) is not None:
        raise ConflictError(f"a host is called {name} already", code="name", hint="choose another", host=name)
    row = HostRow(
        id=f"h-{secrets.token_hex(4)}",
        name=name,
        own_name=own_name,
        phase=Phase.REGISTERED,
        phase_since=now,
        uuid=uuid,
        serial=serial,
        created_at=now,
    )
    session.execute(delete(FormerNameRow).where(FormerNameRow.name == name))
    session.add(row)
    session.flush()
    add_macs(session, row, wanted)
    timeline.add(session, now, "host", f"registered as {name} by {by}", host_id=row.id)
    return row


def join(session: Session, now: datetime, *, mac: str, uuid: str | None, serial: str | None) -> None:
    """Make one host of two that a report-in shows to be one machine, both of them only announced so far.

    A machine registered by serial cannot be recognised by its DHCP request, so somebody approves its MAC;
    what it reports then names both. Nothing else is ever merged: hosts with anything known of them that
    differs are a conflict, which a person decides.
    """
    approved = by_mac(session, mac)
    others = [one for one in known(session, uuid=uuid, serial=serial, macs=()) if not one.macs]
    if approved is None or len(others) != 1 or not _only_a_mac(session, approved):
        return
    awaited = session.get_one(HostRow, others[0].id)
    if awaited.phase != Phase.REGISTERED or awaited.last_job:
        return
    for table in (BootRow, MacRow):
        session.execute(update(table).where(table.host_id == approved.id).values(host_id=awaited.id))
    session.execute(update(TimelineRow).where(TimelineRow.subject == approved.id).values(subject=awaited.id))
    session.delete(approved)
    session.flush()
    session.expire_all()
    awaited.boot_wish = "boot-os"
    said = f"{mac}, approved as {approved.name}, is {awaited.name}: it reports serial {serial}, UUID {uuid}"
    timeline.add(session, now, "host", said, host_id=awaited.id, mac=mac)


def _only_a_mac(session: Session, host: HostRow) -> bool:
    untouched = host.phase == Phase.REGISTERED and not host.last_job and not host.own_name
    return untouched and host.uuid is None and host.serial is None and len(macs_of(session, host.id)) == 1


def add_macs(session: Session, host: HostRow, macs: Iterable[str]) -> list[str]:
    """Give MACs to a host; return those that another host has, which are left there."""
    foreign = []
    for mac in macs:
        there = session.get(MacRow, mac)
        if there is None:
            session.add(MacRow(mac=mac, host_id=host.id))
        elif there.host_id != host.id:
            foreign.append(mac)
    session.flush()
    return foreign


def rename(session: Session, now: datetime, host: HostRow, name: str, *, own_name: bool) -> None:
    """Give a host another name and keep the old one as a way to find it; 409 when another host has it."""
    if host.name == name:
        host.own_name = own_name
        return
    if _named(session, name) is not None:
        raise ConflictError(f"another host is called {name}", code="name", host=host.name)
    timeline.add(session, now, "host", f"renamed from {host.name} to {name}", host_id=host.id)
    session.execute(delete(FormerNameRow).where(FormerNameRow.name == name))
    session.merge(FormerNameRow(name=host.name, host_id=host.id))
    host.name = name
    host.own_name = own_name
    session.flush()


def set_phase(
    session: Session,
    now: datetime,
    host: HostRow,
    phase: Phase,
    *,
    reason: str | None = None,
    message: str | None = None,
) -> None:
    """Move a host to a phase if the table of transitions allows it; 409 otherwise."""
    if not allowed(Phase(host.phase), phase):
        raise ConflictError(
            f"{host.name} is {host.phase}, from which {phase} is no transition",
            code="phase",
            hint="see the table of phases in docs/ARCHITECTURE.md",
            host=host.name,
        )
    if host.phase != phase:
        timeline.add(
            session, now, "phase", f"{host.phase} -> {phase}" + (f": {message or reason}" if reason else ""),
            host_id=host.id, detail={"reason": reason},
        )  # fmt: skip
        host.phase_since, host.phase_stood_s = now, 0.0
    host.phase, host.reason, host.message = phase, reason, message


def set_condition(
    session: Session,
    now: datetime,
    host_id: str,
    type_: str,
    status: ConditionStatus,
    *,
    reason: str = "ok",
    message: str = "",
) -> None:
    """Set a condition; `since` moves only when the status changes."""
    row = session.get(ConditionRow, (host_id, type_))
    if row is None:
        row = ConditionRow(host_id=host_id, type=type_, status="", since=now)
        session.add(row)
    if row.status != status:
        row.since = now
    row.status, row.reason, row.message = status, reason, message
    session.flush()
