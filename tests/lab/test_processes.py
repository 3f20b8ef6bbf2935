"""Processes are found again by id and start time, and ended only if they are the ones."""

import signal
import subprocess
import sys

import pytest

from lab.processes import ProcessRecord, end, spawn


@pytest.fixture
def sleeper(tmp_path):
    pid = spawn(["sleep", "60"], log=tmp_path / "log")
    record = ProcessRecord.of(pid)
    assert record
    yield record
    end(record, grace_s=0)


def test_a_record_survives_its_file_and_ends_its_process(sleeper, tmp_path):
    sleeper.save(tmp_path / "record.json")
    loaded = ProcessRecord.load(tmp_path / "record.json")
    assert loaded == sleeper
    assert loaded.alive()

    end(loaded, grace_s=5)

    assert not sleeper.alive()


def test_a_stranger_with_the_same_id_is_left_alone(sleeper):
    stale = ProcessRecord(sleeper.pid, sleeper.start_ticks - 1, sleeper.boot_id)
    assert not stale.alive()

    end(stale, grace_s=0)

    assert sleeper.alive()


def test_one_that_ignores_sigterm_is_killed(tmp_path):
    ignore = f"import signal; signal.signal({signal.SIGTERM:d}, signal.SIG_IGN)"
    deaf = f"{ignore}; import time; print('deaf', flush=True); time.sleep(60)"
    log = tmp_path / "log"
    record = ProcessRecord.of(spawn([sys.executable, "-c", deaf], log=log))
    assert record
    subprocess.run(["sh", "-c", f"until grep -q deaf {log}; do :; done"], check=True, timeout=20)

    end(record, grace_s=0.1)

    assert not record.alive()


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"pid": "x"}'])
def test_a_damaged_record_is_no_record(tmp_path, text):
    (tmp_path / "r").write_text(text)

    assert ProcessRecord.load(tmp_path / "r") is None
