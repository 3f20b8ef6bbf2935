"""The newest observation of each host: parts that a reading lacks are kept from the one before."""

import json
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pxe_edge.registry import hosts, timeline
from pxe_edge.registry.readings import PARTS, Identities, Reading
from pxe_edge.registry.tables import HostRow, ObservationRow
from specs.facts import Observation


def get(session: Session, host_id: str) -> Observation | None:
    """The newest observation of a host; a large one takes its time."""
    text = session.scalar(select(ObservationRow.value).where(ObservationRow.host_id == host_id))
    return Observation.model_validate(json.loads(text)) if text is not None else None


def store(session: Session, now: datetime, host: HostRow, new: Reading) -> None:
    """Keep a reading, and learn the host's identities from it."""
    text = new.text(_parts_before(session, host.id, [name for name in PARTS if name not in new.parts]))
    row = session.get(ObservationRow, host.id)
    if row is None:
        row = ObservationRow(host_id=host.id)
        session.add(row)
    row.at, row.value = new.at, text
    if new.identities is not None and new.seen_from == "boot-os":
        _learn(session, now, host, new.identities)
    session.flush()


def _parts_before(session: Session, host_id: str, lacking: Sequence[str]) -> dict[str, str]:
    """The stored text of these parts. SQLite takes it out, because it does so without the interpreter."""
    if not lacking:
        return {}
    columns = [func.json_extract(ObservationRow.value, f"$.{name}") for name in lacking]
    found = session.execute(select(*columns).where(ObservationRow.host_id == host_id)).one_or_none()
    return {name: text for name, text in zip(lacking, found or (), strict=False) if text is not None}


def _learn(session: Session, now: datetime, host: HostRow, seen: Identities) -> None:
    uuid, serial = seen.uuid, seen.serial
    host.manufacturer = seen.manufacturer or host.manufacturer
    others = [
        other
        for other in hosts.known(session, uuid=uuid, serial=serial, macs=seen.macs)
        if other.id != host.id
    ]
    if (
        others
        or (host.uuid and uuid and host.uuid != uuid)
        or (host.serial and serial and host.serial != serial)
    ):
        names = ", ".join(other.name for other in others) or "the host's own former reading"
        timeline.add(
            session,
            now,
            "conflict",
            f"facts claim identities of {names}; identities unchanged",
            host_id=host.id,
        )
        hosts.set_condition(
            session, now, host.id, "HardwareMatches", "False",
            reason="identity-conflict", message=f"facts claim identities of {names}",
        )  # fmt: skip
        return
    host.uuid, host.serial = host.uuid or uuid, host.serial or serial
    hosts.add_macs(session, host, seen.macs)
