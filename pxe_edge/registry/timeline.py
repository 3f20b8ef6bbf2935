"""The history of hosts, machines and the site: one line per event, also for each secret handed out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, insert, or_, select
from sqlalchemy.orm import Session

from pxe_edge.registry.site_tables import TimelineRow
from pxe_edge.registry.tables import MacRow
from specs.records import TimelineEntry

KEEP = 200_000
"""Rows kept; the oldest go first."""
_TRIM_EVERY = 1000


def add(
    session: Session,
    now: datetime,
    kind: str,
    text: str,
    *,
    host_id: str | None = None,
    mac: str | None = None,
    detail: dict[str, Any] | None = None,
) -> None:
    """Append one line; never put a secret's value into text or detail."""
    row = TimelineRow(at=now, subject=host_id, mac=mac, kind=kind, text=text, detail=detail or {})
    session.add(row)
    session.flush()
    if row.no % _TRIM_EVERY == 0:
        newest = session.scalar(select(func.max(TimelineRow.no))) or 0
        session.execute(delete(TimelineRow).where(TimelineRow.no <= newest - KEEP))


@dataclass(frozen=True, slots=True)
class Line:
    """One line, for `add_all`."""

    at: datetime
    kind: str
    text: str
    host_id: str | None = None
    mac: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


def add_all(session: Session, lines: Sequence[Line]) -> None:
    """Append many lines in one statement."""
    if not lines:
        return
    before = session.scalar(select(func.max(TimelineRow.no))) or 0
    values = [
        {"at": line.at, "subject": line.host_id, "mac": line.mac, "kind": line.kind, "text": line.text,
         "detail": dict(line.detail)}
        for line in lines
    ]  # fmt: skip
    session.execute(insert(TimelineRow), values)
    if (before + len(lines)) // _TRIM_EVERY != before // _TRIM_EVERY:
        session.execute(delete(TimelineRow).where(TimelineRow.no <= before + len(lines) - KEEP))


def of_host(
    session: Session, host_id: str, *, after: int = 0, limit: int = 500
) -> list[tuple[int, TimelineEntry]]:
    """A host's lines, with those of its MACs from before it was a host, oldest first."""
    macs = select(MacRow.mac).where(MacRow.host_id == host_id)
    query = (
        select(TimelineRow)
        .where(or_(TimelineRow.subject == host_id, TimelineRow.mac.in_(macs)), TimelineRow.no > after)
        .order_by(TimelineRow.no.desc())
        .limit(limit)
    )
    return _entries(list(reversed(session.scalars(query).all())))


def of_mac(session: Session, mac: str, *, limit: int = 200) -> list[tuple[int, TimelineEntry]]:
    """The lines of a machine that is no host yet."""
    query = select(TimelineRow).where(TimelineRow.mac == mac).order_by(TimelineRow.no.desc()).limit(limit)
    return _entries(list(reversed(session.scalars(query).all())))


def of_site(session: Session, *, after: int = 0, limit: int = 500) -> list[tuple[int, TimelineEntry]]:
    """All lines after a number, for polling."""
    query = select(TimelineRow).where(TimelineRow.no > after).order_by(TimelineRow.no).limit(limit)
    return _entries(session.scalars(query).all())


def _entries(rows: Sequence[TimelineRow]) -> list[tuple[int, TimelineEntry]]:
    return [(r.no, TimelineEntry(at=r.at, kind=r.kind, text=r.text, detail=r.detail)) for r in rows]
