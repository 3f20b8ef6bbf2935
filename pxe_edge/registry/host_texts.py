"""Hosts as JSON text: their records, each with its stored reading put in as the text that it is.

A list is made host by host, and a page ends before its readings make it large: no step holds the interpreter
for long, and no page costs more memory than it may, whatever the readings are.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from pxe_edge.registry import records
from pxe_edge.registry.tables import HostRow, ObservationRow

PAGE_HOSTS: Final = 250
PAGE_BYTES: Final = 2 << 20
"""Readings in one page, but for the one that goes beyond."""


def with_member(text: str, name: str, value: str) -> str:
    """A JSON object that is not empty, and one member more."""
    return f'{text[:-1]},"{name}":{value}}}'


def host(session: Session, row: HostRow, *, specset: str | None, now: datetime) -> str:
    """One host."""
    query = select(ObservationRow.value).where(ObservationRow.host_id == row.id)
    (text,) = _texts(session, [row], [session.scalar(query)], specset=specset, now=now)
    return text


def page(session: Session, after: str, *, specset: str | None, now: datetime) -> str:
    """Hosts by name, those behind `after`: `items`, and `next` if there may be more."""
    query = select(HostRow).where(HostRow.name > after).order_by(HostRow.name).limit(PAGE_HOSTS)
    rows = list(session.scalars(query))
    readings = _readings(session, after)
    shown = rows[: len(readings)]
    more = len(shown) < len(rows) or len(rows) == PAGE_HOSTS
    items = ",".join(_texts(session, shown, readings, specset=specset, now=now))
    return f'{{"items":[{items}],"next":{json.dumps(shown[-1].name if more else None)}}}'


def _readings(session: Session, after: str) -> list[str | None]:
    """The readings of a page, in its order, up to its size. The database is asked for no more of them."""
    query = (
        select(ObservationRow.value)
        .select_from(HostRow)
        .outerjoin(ObservationRow, ObservationRow.host_id == HostRow.id)
        .where(HostRow.name > after)
        .order_by(HostRow.name)
        .limit(PAGE_HOSTS)
        .execution_options(yield_per=1)
    )
    readings, size = [], 0
    with session.execute(query) as result:
        for (text,) in result:
            readings.append(text)
            size += len(text or "")
            if size >= PAGE_BYTES:
                break
    return readings


def _texts(
    session: Session,
    rows: Sequence[HostRow],
    readings: Sequence[str | None],
    *,
    specset: str | None,
    now: datetime,
) -> list[str]:
    told = records.hosts(session, rows, specset=specset, now=now)
    return [
        with_member(record.model_dump_json(exclude={"observation"}), "observation", reading or "null")
        for record, reading in zip(told, readings, strict=True)
    ]
