"""The registry's database: one file, many readers, one writer at a time.

SQLite in WAL mode lets readers go on while one transaction writes. Two writers would meet in
SQLITE_BUSY, so this process has one lock for all writes and never sees it. synchronous=FULL, because
a DHCP ACK or a lease epoch that was promised must survive a power cut.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.orm import Session, UOWTransaction

Touched = frozenset[str]
"""Ids of the hosts that a transaction wrote about."""
LONG_LOG_PAGES: Final = 16384
"""64 MiB: then the log is started anew even if writers must wait for it."""
_NET_PAGES: Final = 4 * LONG_LOG_PAGES
"""Where a commit checkpoints by itself: only a process in which nobody calls `checkpoint` gets there."""

_WAIT_FOR_READERS_MS: Final = 50


def _tune(connection: Any, _record: object) -> None:
    # The driver's own transaction handling would begin late and commit around DDL; we say BEGIN ourselves.
    connection.isolation_level = None
    for pragma in (
        "journal_mode=WAL",
        "foreign_keys=ON",
        "synchronous=FULL",
        "busy_timeout=5000",
        f"wal_autocheckpoint={_NET_PAGES}",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN")


def open_engine(path: Path) -> Engine:
    """Open (or make) the database file with our pragmas on each connection."""
    engine = create_engine(
        f"sqlite:///{path}",
        pool_size=20,
        max_overflow=60,
        hide_parameters=True,  # an error's text goes into the log, and a row may be about a secret
    )
    event.listen(engine, "connect", _tune)
    event.listen(engine, "begin", _begin)
    return engine


def _checkpoint(connection: sqlite3.Connection, how: str) -> int:
    _, pages, _ = connection.execute(f"PRAGMA wal_checkpoint({how})").fetchone()
    return int(pages)


def migrate(engine: Engine) -> None:
    """Bring the tables to this version's shape."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


class Database:
    """Sessions on the registry; `write` is exclusive in this process, `read` is not."""

    def __init__(self, path: Path, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        self._path = path
        self._lone: sqlite3.Connection | None = None
        self._checkpoints: sqlite3.Connection | None = None
        self._engine = open_engine(path)
        self._lock = threading.RLock()
        self._listeners: list[Callable[[Touched], None]] = []
        self.now = clock
        migrate(self._engine)

    def on_commit(self, listener: Callable[[Touched], None]) -> None:
        """Call `listener` after each committed write with the ids of the hosts that it touched."""
        self._listeners.append(listener)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session for reading; nothing that it changes is kept."""
        with Session(self._engine) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction: committed when the block ends well, rolled back when it raises."""
        touched: set[str] = set()

        def note(flushed: Session, _context: UOWTransaction) -> None:
            for row in (*flushed.new, *flushed.dirty, *flushed.deleted):
                host_id = getattr(row, "host_id", None) or getattr(row, "id", None)
                if isinstance(host_id, str):
                    touched.add(host_id)

        with self._lock:
            with Session(self._engine, expire_on_commit=False) as session:
                event.listen(session, "after_flush", note)
                with session.begin():
                    yield session
            for listener in self._listeners:
                listener(frozenset(touched))

    @contextmanager
    def bare(self) -> Iterator[sqlite3.Connection]:
        """A connection in SQL, with other writers of this process kept out: each statement is a transaction.

        For who writes so much that the object mapper's cost counts; several are one in `in_one`.
        """
        with self._lock:
            if self._lone is None:
                self._lone = self._connect()
            yield self._lone

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, check_same_thread=False)
        _tune(connection, None)
        return connection

    def checkpoint(self) -> int:
        """Copy the log into the database; how many pages the log has. For a thread that may wait.

        Writers go on meanwhile. Under unceasing writes the log can't start anew by itself: when it is
        long, the little that came in meanwhile is copied with the writers kept out.
        """
        if self._checkpoints is None:
            self._checkpoints = self._connect()
            self._checkpoints.execute(f"PRAGMA busy_timeout={_WAIT_FOR_READERS_MS}")
        pages = _checkpoint(self._checkpoints, "PASSIVE")
        if pages > LONG_LOG_PAGES:
            with self._lock:
                _checkpoint(self._checkpoints, "RESTART")
        return pages

    def close(self) -> None:
        """Close all connections; the WAL is checkpointed by the last one."""
        for connection in (self._lone, self._checkpoints):
            if connection is not None:
                connection.close()
        self._engine.dispose()


@contextmanager
def in_one(connection: sqlite3.Connection) -> Iterator[None]:
    """One transaction of a `bare` connection: all of the block, or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
