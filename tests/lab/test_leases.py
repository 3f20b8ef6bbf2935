"""After a restore nobody who acted before it holds an epoch that is current, however often it is restored."""

import contextlib
import shutil
import sqlite3
from pathlib import Path

import pytest

from lab import leases
from lab.errors import LabError
from lab.rack import Rack
from lab.snapshots import Snapshot, _require_stopped, _restore_data


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with one lease, and a snapshot of it."""
    folder = tmp_path / "data"
    (folder / "edge").mkdir(parents=True)
    with contextlib.closing(sqlite3.connect(folder / leases.REGISTRY)) as database, database:
        database.execute("CREATE TABLE host_leases (host_id TEXT, epoch INTEGER, run_id TEXT, expires TEXT)")
        database.execute("INSERT INTO host_leases VALUES ('a', 7, 'run', '2999-01-01 00:00:00.000000')")
    shutil.copytree(folder, tmp_path / "snapshot" / "data")
    return folder


def claim(data: Path) -> int:
    """What each claim does: the next epoch."""
    with contextlib.closing(sqlite3.connect(data / leases.REGISTRY)) as database, database:
        database.execute("UPDATE host_leases SET epoch = epoch + 1")
        return int(database.execute("SELECT epoch FROM host_leases").fetchone()[0])


def test_a_run_of_an_earlier_restore_is_below_the_runs_of_a_later_one(tmp_path: Path, data: Path) -> None:
    rack, snapshot = Rack(tmp_path / "lab"), Snapshot(tmp_path / "snapshot")
    assert _restore_data(rack, snapshot, data) == 1
    orphan = [claim(data) for _ in range(3)][-1]
    _restore_data(rack, snapshot, data)
    assert claim(data) > orphan


def test_a_registry_that_cannot_be_read_is_no_reason_not_to_restore_it(tmp_path: Path, data: Path) -> None:
    (data / leases.REGISTRY).write_bytes(b"damaged" * 1000)
    _restore_data(Rack(tmp_path / "lab"), Snapshot(tmp_path / "snapshot"), data)
    assert claim(data) == 1008


@pytest.mark.parametrize("name", ["edge/registry.sqlite", "prefect/prefect.db"])
def test_nothing_is_copied_or_overwritten_under_a_process_that_writes_it(data: Path, name: str) -> None:
    _require_stopped(data)
    (data / name).parent.mkdir(exist_ok=True)
    with (data / name).open("ab"), pytest.raises(LabError, match="stop rackflow up"):
        _require_stopped(data)
