"""DHCP leases on disk: whole groups, durable before the ACKs leave."""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address

from sqlalchemy import delete, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.orm import Session

from pxe_edge.policy.leases import LeaseRow, LeaseState
from pxe_edge.registry.database import Database
from pxe_edge.registry.site_tables import DhcpLeaseRow


class LeaseStore:
    """`pxe_edge.servers.ports.LeaseStore` over the registry."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def load(self) -> Sequence[LeaseRow]:
        """All stored rows."""
        with self._db.read() as session:
            return stored(session)

    def commit(self, rows: Iterable[LeaseRow]) -> None:
        """Store a group in one transaction; SQLite syncs it before this returns."""
        newest = {row.address: row for row in rows}
        if not newest:
            return
        with self._db.write() as session:
            for row in newest.values():
                session.execute(
                    delete(DhcpLeaseRow).where(
                        DhcpLeaseRow.network == row.network,
                        DhcpLeaseRow.mac == row.mac,
                        DhcpLeaseRow.address != str(row.address),
                        DhcpLeaseRow.state != "declined",  # in quarantine whatever its finder has now
                    )
                )
            values = [_columns(row) for row in newest.values()]
            statement = insert(DhcpLeaseRow)
            changed = {name: statement.excluded[name] for name in values[0] if name != "address"}
            session.execute(statement.on_conflict_do_update(index_elements=["address"], set_=changed), values)


def _columns(row: LeaseRow) -> dict[str, object]:
    return {
        "address": str(row.address),
        "mac": row.mac,
        "network": row.network,
        "state": row.state,
        "expires_at": row.expires_at,
        "client_id": row.client_id,
        "circuit_id": row.circuit_id,
        "remote_id": row.remote_id,
        "host_name": row.host_name,
    }


def stored(session: Session) -> list[LeaseRow]:
    """All stored leases, by address."""
    rows = session.scalars(select(DhcpLeaseRow))
    return sorted((_value(row) for row in rows), key=lambda lease: lease.address)


def _value(row: DhcpLeaseRow) -> LeaseRow:
    state: LeaseState = row.state  # type: ignore[assignment]  # written from a LeaseState
    return LeaseRow(
        address=IPv4Address(row.address),
        mac=row.mac,
        network=row.network,
        state=state,
        expires_at=row.expires_at,
        client_id=row.client_id,
        circuit_id=row.circuit_id,
        remote_id=row.remote_id,
        host_name=row.host_name,
    )
