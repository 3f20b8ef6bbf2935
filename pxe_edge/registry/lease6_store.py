"""IPv6 leases on disk: whole groups, durable before the Replies leave; and the server's identifier.

An address is a primary key, and a row takes one over only when nobody else holds it by then: what is
refused so comes back to the server, which then sends no Reply.
"""

import os
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import fields
from ipaddress import IPv6Address
from pathlib import Path
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from pxe_edge.policy.dhcp6_leases import Lease6Row
from pxe_edge.policy.leases import LeaseState
from pxe_edge.registry.database import Database, in_one
from pxe_edge.registry.site_tables import Dhcp6LeaseRow
from pxe_edge.wire import duid

DUID_FILE: Final = "dhcp6.duid"
_COLUMNS: Final = tuple(field.name for field in fields(Lease6Row))
_CHANGED: Final = ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS[1:])
# Names are those of Lease6Row, nothing here is from outside.
_UPSERT: Final = (
    f"INSERT INTO dhcp6_leases ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))}) "  # noqa: S608
    f"ON CONFLICT (address) DO UPDATE SET {_CHANGED} WHERE dhcp6_leases.mac = excluded.mac "
    "OR dhcp6_leases.state = 'released' OR dhcp6_leases.expires_at <= ?"
)


class Lease6Store:
    """`pxe_edge.servers.ports.Lease6Store` over the registry."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def load(self) -> Sequence[Lease6Row]:
        """All stored rows."""
        with self._db.read() as session:
            return stored(session)

    def commit(self, rows: Iterable[Lease6Row]) -> frozenset[IPv6Address]:
        """Store a group in one transaction; SQLite syncs it before this returns. Says what it refused."""
        newest = list({row.address: row for row in rows}.values())
        if not newest:
            return frozenset()
        with self._db.bare() as connection, in_one(connection):
            now = self._db.now().timestamp()
            kept = [connection.execute(_UPSERT, (*_values(row), now)).rowcount for row in newest]
        return frozenset(row.address for row, count in zip(newest, kept, strict=True) if count != 1)


def _values(row: Lease6Row) -> tuple[object, ...]:
    return (str(row.address), *(getattr(row, name) for name in _COLUMNS[1:]))


def stored(session: Session) -> list[Lease6Row]:
    """All stored leases, by address."""
    return sorted(map(_value, session.scalars(select(Dhcp6LeaseRow))), key=lambda lease: lease.address)


def _value(row: Dhcp6LeaseRow) -> Lease6Row:
    state: LeaseState = row.state  # type: ignore[assignment]  # written from a LeaseState
    return Lease6Row(
        address=IPv6Address(row.address),
        mac=row.mac,
        network=row.network,
        state=state,
        expires_at=row.expires_at,
        duid=row.duid,
        iaid=row.iaid,
        interface_id=row.interface_id,
        remote_id=row.remote_id,
    )


def server_duid(folder: Path) -> bytes:
    """The server's identifier, made once: clients hold on to the server whose identifier they know."""
    path = folder / DUID_FILE
    if path.exists():
        found = bytes.fromhex(path.read_text().strip())
        if found:
            return duid.read(found).raw
    made = duid.of_server(secrets.token_bytes(16))
    part = path.with_suffix(".new")
    with part.open("w") as file:
        file.write(made.hex() + "\n")
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    return made
