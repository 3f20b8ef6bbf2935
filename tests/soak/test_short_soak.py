"""The soak's short form: a real site, simulated machines, ten deaths; `make soak` is the long one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

KILLS = 10
PROJECT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.prefect, pytest.mark.timeout(900)]


def test_ten_kills_end_in_sync(tmp_path: Path) -> None:
    argv = [
        "soak",
        "--data",
        str(tmp_path),
        "--kills",
        str(KILLS),
        "--machines",
        "3",
        "--pace",
        "3",
        "--patience",
        "6",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "lab.sim", *argv, "--seed", "7", "--settle", "500"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-3000:]}"
    report = json.loads((tmp_path / "soak.json").read_text())
    assert sum(report["kills"].values()) == KILLS
    assert report["lives"] >= 3
    assert report["changes_seen"] > 0
    assert report["violations"] == []
