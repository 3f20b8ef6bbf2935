"""PXE requests of unknown machines: bounded, oldest out; none of them is a host."""

from datetime import datetime

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from pxe_edge.registry import timeline
from pxe_edge.registry.site_tables import SightingRow

MAX_SIGHTINGS = 4096
_REASON_CHARS = 40


def note(
    session: Session,
    now: datetime,
    *,
    mac: str,
    uuid: str | None,
    arch: str | None,
    network: str | None,
    outcome: str,
) -> None:
    """Count a PXE request; the first one of a machine is a line of its history.

    `outcome` is what the packet plane says of its answer, in pairs. A request by HTTP knows no network:
    that of the DHCP request before it stays.
    """
    row = session.get(SightingRow, mac)
    if row is None:
        row = SightingRow(mac=mac, first_at=now, last_at=now, count=0)
        session.add(row)
        timeline.add(
            session,
            now,
            "sighting",
            f"PXE request of {mac} on {network or 'an unknown network'}: {outcome}",
            mac=mac,
        )
    row.last_at, row.count = now, row.count + 1
    row.uuid, row.arch, row.network, row.reason = (
        uuid or row.uuid,
        arch or row.arch,
        network or row.network,
        _reason(outcome),
    )
    session.flush()
    surplus = (session.scalar(select(func.count()).select_from(SightingRow)) or 0) - MAX_SIGHTINGS
    if surplus > 0:
        oldest = select(SightingRow.mac).order_by(SightingRow.last_at).limit(surplus)
        session.execute(delete(SightingRow).where(SightingRow.mac.in_(oldest)))


def _reason(outcome: str) -> str:
    """The reason code that `why` looks up; for a machine that was answered, what it was given."""
    words = dict(word.split("=", 1) for word in outcome.split() if "=" in word)
    given = (words.get("reason"), words.get("boot"), words.get("answer"))
    return next((word for word in given if word), outcome)[:_REASON_CHARS]


def forget(session: Session, mac: str) -> None:
    """A machine that became a host is no sighting any more."""
    session.execute(delete(SightingRow).where(SightingRow.mac == mac))


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
