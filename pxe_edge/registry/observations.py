"""The newest observation of each host: parts that a reading lacks are kept from the one before."""

from datetime import datetime

from sqlalchemy.orm import Session

from pxe_edge.registry import hosts, timeline
from pxe_edge.registry.tables import HostRow, ObservationRow
from specs.facts import Hardware, Observation
from specs.identity import mac_identity, serial_identity, uuid_identity


def get(session: Session, host_id: str) -> Observation | None:
    """The newest observation of a host."""
    row = session.get(ObservationRow, host_id)
    return Observation.model_validate(row.value) if row else None


def merge(before: Observation | None, new: Observation) -> Observation:
    """The new reading, with the parts it lacks from the one before."""
    if before is None:
        return new
    return new.model_copy(
        update={
            "hardware": new.hardware or before.hardware,
            "system": new.system or before.system,
            "bmc": new.bmc or before.bmc,
        }
    )


def store(session: Session, now: datetime, host: HostRow, new: Observation) -> None:
    """Keep a reading, and learn the host's identities from it."""
    merged = merge(get(session, host.id), new)
    row = session.get(ObservationRow, host.id)
    if row is None:
        row = ObservationRow(host_id=host.id, at=merged.at, value={})
        session.add(row)
    row.at, row.value = merged.at, merged.model_dump(mode="json")
    if new.hardware is not None and new.seen_from == "boot-os":
        _learn(session, now, host, new.hardware)
    session.flush()


def _learn(session: Session, now: datetime, host: HostRow, hardware: Hardware) -> None:
    uuid, serial = uuid_identity(hardware.uuid), serial_identity(hardware.serial)
    host.manufacturer = hardware.manufacturer or host.manufacturer
    macs = [mac for mac in (mac_identity(nic.mac) for nic in hardware.nics) if mac]
    others = [
        other for other in hosts.known(session, uuid=uuid, serial=serial, macs=macs) if other.id != host.id
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
    hosts.add_macs(session, host, macs)
