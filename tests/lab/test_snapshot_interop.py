"""A rack kept and brought back: a machine that runs firmware alone, its BMC, and a data folder."""

import contextlib
import sqlite3

import pytest

from lab import snapshots
from lab.errors import LabError
from lab.rack import Rack

pytestmark = pytest.mark.interop

MACHINE = {"memory_mib": 256, "disks": [{"bus": "virtio", "size": "64MiB", "serial": "RF-M1-D0"}]}
OPERATING_SYSTEM = b"installed"


@pytest.fixture
def data(tmp_path):
    """A data folder with a registry of two leases, one held."""
    folder = tmp_path / "data"
    (folder / "edge").mkdir(parents=True)
    (folder / "cache").mkdir()
    (folder / "cache" / "big").write_text("not state")
    with contextlib.closing(sqlite3.connect(folder / "edge" / "registry.sqlite")) as database, database:
        database.execute("CREATE TABLE host_leases (host_id TEXT, epoch INTEGER, run_id TEXT, expires TEXT)")
        database.execute("CREATE TABLE site_keys (purpose TEXT, key_id TEXT, sealed BLOB)")
        rows = [("a", 7, None, None), ("b", 3, "run", "2999-01-01 00:00:00.000000")]
        database.executemany("INSERT INTO host_leases VALUES (?, ?, ?, ?)", rows)
    return folder


def leases(data):
    with contextlib.closing(sqlite3.connect(data / "edge" / "registry.sqlite")) as database:
        return database.execute("SELECT * FROM host_leases ORDER BY host_id").fetchall()


def write(machine, data):
    with machine.disk(0).open("r+b") as stream:
        stream.write(data)


@pytest.fixture
def kept(rack, user, data):
    """A snapshot of a running machine, and a rack in which everything was changed since."""
    machine = rack.machine("m1")
    rack.button("m1", "on")
    write(machine, OPERATING_SYSTEM)
    info = snapshots.take(rack, "base", data)
    assert info.running == ("m1",)
    assert rack.status().machines[0].power == "on", "it goes on after the snapshot"
    rack.button("m1", "off")
    write(machine, b"destroyed")
    rack.fresh("m1")
    (data / "edge" / "late").write_text("after the snapshot")
    (data / "cache" / "big").write_text("newer")
    return info


def test_a_restore_brings_everything_back_as_often_as_wanted(rack, user, kept, data):
    machine = rack.machine("m1")
    for epoch in (1007, 2007):
        done = snapshots.restore(rack, "base", data)

        (status,) = rack.status().machines
        assert (status.power, status.bmc_address) == ("on", user.address)
        assert machine.disk(0).read_bytes()[: len(OPERATING_SYSTEM)] == OPERATING_SYSTEM
        assert machine.disk(0).stat().st_blocks * 512 < 1 << 20, "holes stay holes"
        assert "resumed from a snapshot" in (machine.directory / "bmc.log").read_text()
        assert not (data / "edge" / "late").exists()
        assert (data / "cache" / "big").read_text() == "newer"
        assert leases(data) == [("a", epoch, None, None), ("b", epoch, "run", "1970-01-01 00:00:00.000000")]
        assert done.leases == 2
        write(machine, b"destroyed")
        (data / "edge" / "late").write_text("again")


def test_a_machine_goes_on_where_it_was_and_does_not_boot(rack, kept, data):
    log = rack.machine("m1").serial_log

    snapshots.restore(rack, "base", None)

    kept_log = rack.directory / "snapshots" / "base" / "machines" / "m1" / "serial.log"
    assert log.read_bytes().count(b"SeaBIOS (version") == kept_log.read_bytes().count(b"SeaBIOS (version")
    rack.button("m1", "off")
    rack.button("m1", "on")
    assert rack.status().machines[0].power == "on", "and after that it boots as ever"


def test_another_rack_may_begin_from_the_same_snapshot(rack, kept, data, tmp_path):
    other = Rack(tmp_path / "other")
    rack.button("m1", "off")
    try:
        snapshots.restore(other, "base", tmp_path / "second", source=rack.directory)

        assert other.status().machines[0].power == "on"
        assert leases(tmp_path / "second")[0] == ("a", 1007, None, None)
    finally:
        other.down()


def test_a_snapshot_is_refused_while_the_registry_is_open(rack, data):
    with (data / "edge" / "registry.sqlite").open("rb"), pytest.raises(LabError, match="open"):
        snapshots.take(rack, "torn", data)

    assert "torn" not in [info.name for info in snapshots.listed(rack.directory)]


def test_a_name_that_is_no_snapshot_is_said(rack):
    with pytest.raises(LabError, match="not a snapshot"):
        snapshots.restore(rack, "never-taken", None)
    with pytest.raises(LabError, match="no name"):
        snapshots.restore(rack, "../machines", None)
