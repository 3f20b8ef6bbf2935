"""PXE requests of unknown machines: bounded, oldest out; none of them is a host."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.sqlite import Insert, insert
from sqlalchemy.orm import Session

from pxe_edge.registry import timeline
from pxe_edge.registry.site_tables import SightingRow

MAX_SIGHTINGS = 4096
_REASON_CHARS = 40


@dataclass(frozen=True, slots=True)
class Request:
    """A PXE request of a machine that is no host; `outcome` is what the packet plane says of its answer."""

    at: datetime
    mac: str
    uuid: str | None
    arch: str | None
    network: str | None
    """A request by HTTP knows none: that of the DHCP request before it stays."""
    outcome: str


def note(session: Session, requests: Sequence[Request]) -> None:
    """Count PXE requests, in their order; the first one of a machine is a line of its history.

    Two statements for all of them: in a boot storm there are hundreds a second, beside the leases.
    """
    macs = {request.mac for request in requests}
    known = set(session.scalars(select(SightingRow.mac).where(SightingRow.mac.in_(macs))))
    first = {request.mac: request for request in reversed(requests) if request.mac not in known}
    lines = [
        timeline.Line(
            at=request.at,
            kind="sighting",
            text=f"PXE request of {mac} on {request.network or 'an unknown network'}: {request.outcome}",
            mac=mac,
        )
        for mac, request in reversed(first.items())
    ]
    timeline.add_all(session, lines)
    session.execute(_COUNT, [_columns(request) for request in requests])
    surplus = (session.scalar(select(func.count()).select_from(SightingRow)) or 0) - MAX_SIGHTINGS
    if surplus > 0:
        oldest = select(SightingRow.mac).order_by(SightingRow.last_at).limit(surplus)
        session.execute(delete(SightingRow).where(SightingRow.mac.in_(oldest)))


def _columns(request: Request) -> dict[str, object]:
    return {
        "mac": request.mac,
        "uuid": request.uuid,
        "arch": request.arch,
        "network": request.network,
        "reason": _reason(request.outcome),
        "first_at": request.at,
        "last_at": request.at,
        "count": 1,
    }


def _count() -> Insert:
    statement = insert(SightingRow)
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=["mac"],
        set_={
            "last_at": new.last_at,
            "count": SightingRow.count + 1,
            "uuid": func.coalesce(new.uuid, SightingRow.uuid),
            "arch": func.coalesce(new.arch, SightingRow.arch),
            "network": func.coalesce(new.network, SightingRow.network),
            "reason": new.reason,
        },
    )


_COUNT: Final = _count()


def _reason(outcome: str) -> str:
    """The reason code that `why` looks up; for a machine that was answered, what it was given."""
    words = dict(word.split("=", 1) for word in outcome.split() if "=" in word)
    given = (words.get("reason"), words.get("boot"), words.get("answer"))
    return next((word for word in given if word), outcome)[:_REASON_CHARS]


def forget(session: Session, macs: Collection[str]) -> None:
    """Machines that became hosts are no sightings any more."""
    if macs:
        session.execute(delete(SightingRow).where(SightingRow.mac.in_(macs)))


def newest(session: Session, limit: int) -> list[SightingRow]:
    """The machines that asked last."""
    return list(session.scalars(select(SightingRow).order_by(SightingRow.last_at.desc()).limit(limit)))


def shown(row: SightingRow) -> dict[str, object]:
    """A sighting as REST carries it."""
    return {
        "mac": row.mac,
        "uuid": row.uuid,
        "arch": row.arch,
        "network": row.network,
        "reason": row.reason,
        "first_at": row.first_at.isoformat(),
        "last_at": row.last_at.isoformat(),
        "count": row.count,
    }
