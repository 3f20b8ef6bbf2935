"""DHCP leases on disk: whole groups, durable before the ACKs leave.

The packet plane's one writer has a connection of its own and speaks SQL: the object mapper costs more
than everything else that is done for a lease. A group of up to 64 rows is one statement and so one
transaction, and the interpreter is free for packets while SQLite writes and syncs it. Checkpoints are
not done here, see `Database.checkpoint`.

Uniqueness is the database's: an address is a primary key, a hardware address has one bound row per
network by an index, and a row takes an address over only when nobody else holds it by then. What is
refused by one of them comes back to the server, which then sends no ACK.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from functools import cache
from ipaddress import IPv4Address
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from pxe_edge.policy.leases import LeaseRow
from pxe_edge.registry.database import Database, in_one
from pxe_edge.registry.site_tables import DhcpLeaseRow
from pxe_edge.wire.options import dotted

GROUP_ROWS: Final = 64
_COLUMNS: Final = LeaseRow._fields


class LeaseStore:
    """`pxe_edge.servers.ports.LeaseStore` over the registry."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def load(self) -> Sequence[LeaseRow]:
        """All stored rows."""
        with self._db.read() as session:
            return stored(session)

    def commit(self, rows: Iterable[LeaseRow]) -> frozenset[int]:
        """Store a group in one transaction; SQLite syncs it before this returns. Says what it refused."""
        newest = list({row.address: row for row in rows}.values())
        if not newest:
            return frozenset()
        with self._db.bare() as connection:
            now = self._db.now().timestamp()
            if len(newest) <= GROUP_ROWS:
                try:
                    if _upsert(connection, newest, now) == len(newest):
                        return frozenset()
                except sqlite3.IntegrityError:
                    pass  # nothing of the statement was kept
            return _one_by_one(connection, newest, now)


def _upsert(connection: sqlite3.Connection, rows: Sequence[LeaseRow], now: float) -> int:
    values: list[object] = []
    for row in rows:
        values.append(dotted(row.address))
        values += row[1:]
    values.append(now)
    return connection.execute(_statement(len(rows)), values).rowcount


@cache
def _statement(rows: int) -> str:
    one = f"({', '.join('?' * len(_COLUMNS))})"
    changed = ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS[1:])
    # Names are those of LeaseRow, nothing here is from outside.
    return (
        f"INSERT INTO dhcp_leases ({', '.join(_COLUMNS)}) VALUES {', '.join([one] * rows)} "  # noqa: S608
        f"ON CONFLICT (address) DO UPDATE SET {changed} WHERE dhcp_leases.mac = excluded.mac "
        "OR dhcp_leases.state = 'released' OR dhcp_leases.expires_at <= ?"
    )


def _one_by_one(connection: sqlite3.Connection, rows: Sequence[LeaseRow], now: float) -> frozenset[int]:
    # A large group, or one in which a row was refused: each row is kept or refused for itself.
    refused: set[int] = set()
    with in_one(connection):
        for row in rows:
            if row.state == "bound":
                _let_go(connection, row)
            if _upsert(connection, [row], now) != 1:
                refused.add(row.address)
    return frozenset(refused)


def _let_go(connection: sqlite3.Connection, row: LeaseRow) -> None:
    # What else the holder has here comes free: it moved, and this edge did not know.
    connection.execute(
        "UPDATE dhcp_leases SET state = 'released' "
        "WHERE mac = ? AND network = ? AND state = 'bound' AND address <> ?",
        (row.mac, row.network, dotted(row.address)),
    )


def stored(session: Session) -> list[LeaseRow]:
    """All stored leases, by address."""
    columns = (getattr(DhcpLeaseRow, name) for name in _COLUMNS)
    rows = (tuple(row) for row in session.execute(select(*columns)))
    return sorted(LeaseRow(int(IPv4Address(row[0])), *row[1:]) for row in rows)
