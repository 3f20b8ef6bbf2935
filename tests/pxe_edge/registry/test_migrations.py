"""Databases of earlier versions: what is open in them goes on."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import select
from sqlalchemy.orm import Session

from pxe_edge.registry import tables
from pxe_edge.registry.database import migrate, open_engine


def test_open_jobs_of_the_first_tables_are_taken_along(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "old.sqlite")
    with engine.connect() as connection:
        config = Config()
        config.set_main_option("script_location", str(Path(tables.__file__).parent / "migrations"))
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.exec_driver_sql(
            "INSERT INTO hosts (id, name, own_name, phase, phase_since, boot_wish, last_job, created_at)"
            " VALUES ('h-1', 'a', 1, 'ready', '2026-11-25 12:00:00', 'none', 2, '2026-11-25 12:00:00')"
        )
        for no, state in ((1, "waiting-consent"), (2, "wanted")):
            connection.exec_driver_sql(
                "INSERT INTO jobs (host_id, no, verb, args, state, by, created_at, run_no, outcome)"
                " VALUES ('h-1', ?, 'apply', '{}', ?, 'ann', '2026-11-25 12:00:00', 1, '{}')",
                (no, state),
            )
        connection.exec_driver_sql(
            "INSERT INTO job_runs (host_id, job_no, run_no, state, attempts, next_try_at, created_at)"
            " VALUES ('h-1', 2, 1, 'pending', 0, '2026-11-25 12:00:00', '2026-11-25 12:00:00')"
        )
        connection.commit()
    migrate(engine)
    with Session(engine) as session:
        asked, wanted = session.get_one(tables.JobRow, ("h-1", 1)), session.get_one(tables.JobRow, ("h-1", 2))
        assert (asked.epoch, asked.waiting_since is not None, asked.lost_runs, asked.wait) == (
            0,
            True,
            0,
            None,
        )
        assert (wanted.epoch, wanted.waiting_since) == (None, None)
        assert session.scalars(select(tables.RunRow.kind)).all() == ["start"]
    engine.dispose()


def test_leases_of_earlier_versions_are_taken_along_and_one_per_client_stays_bound(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "old.sqlite")
    with engine.connect() as connection:
        config = Config()
        config.set_main_option("script_location", str(Path(tables.__file__).parent / "migrations"))
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
        for address, mac, state, until in (
            ("10.0.0.1", "m1", "bound", 10.0),
            ("10.0.0.2", "m1", "bound", 20.0),
            ("10.0.0.3", "m1", "declined", 30.0),
            ("10.0.0.4", "m2", "bound", 5.0),
        ):
            connection.exec_driver_sql(
                "INSERT INTO dhcp_leases VALUES (?, ?, 'prov', ?, ?, x'01', x'', x'', 'h')",
                (address, mac, state, until),
            )
        connection.commit()
    migrate(engine)
    with engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT address, state FROM dhcp_leases ORDER BY address").all()
    assert [tuple(row) for row in rows] == [
        ("10.0.0.1", "released"),
        ("10.0.0.2", "bound"),
        ("10.0.0.3", "declined"),
        ("10.0.0.4", "bound"),
    ]
    engine.dispose()
