"""Host leases in a restored registry: each starts with a new epoch, and a held one is expired.

A snapshot is older than what happened after it. Machines, edge and Prefect agree on that past, but a process
that was cut off from the rack before the restore (an orphan of a run) does not. So every lease's epoch rises
by far more than any run could have raised it, and whoever still holds an old one is refused. A snapshot may
be restored again: then what ran since the restore before is refused too.
"""

import contextlib
import sqlite3
from pathlib import Path

EPOCH_STEP = 1000
REGISTRY = Path("edge") / "registry.sqlite"
LONG_AGO = "1970-01-01 00:00:00.000000"


def highest(data: Path) -> int:
    """The highest epoch that a data folder's registry gave out, read before a restore overwrites it."""
    path = data / REGISTRY
    if not path.exists():
        return 0
    with contextlib.closing(sqlite3.connect(path)) as database:
        try:
            return int(database.execute("SELECT max(epoch) FROM host_leases").fetchone()[0] or 0)
        except sqlite3.DatabaseError:
            return 0  # no table, or no registry that could be read: that is why it is restored


def renew(data: Path, *, above: int = 0) -> int:
    """Raise the epochs in a data folder's registry, which no process has open; the number of leases.

    They rise above the highest that the overwritten registry had given out, too.
    A lease that a run held is left with its holder and expired: the edge's sweeper then takes it as it takes
    any dead run's, and the job gets its next run.
    """
    path = data / REGISTRY
    if not path.exists():
        return 0
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        if not database.execute("PRAGMA table_info(host_leases)").fetchall():
            return 0
        database.execute("UPDATE host_leases SET expires = ? WHERE run_id IS NOT NULL", (LONG_AGO,))
        raised = "UPDATE host_leases SET epoch = max(epoch, ?) + ?"
        return database.execute(raised, (above, EPOCH_STEP)).rowcount
