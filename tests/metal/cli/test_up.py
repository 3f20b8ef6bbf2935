"""`up` before it starts anything."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.metal.cli.conftest import Rackflow


def test_a_taken_port_is_refused_in_one_sentence_before_anything_starts(
    rackflow: Rackflow, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RACKFLOW_DATA", str(tmp_path / "data"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr("metal.cli.up.command.PREFECT_PORT", port)
        said = rackflow("up")

    assert said.code == 1
    first, *rest = said.err.splitlines()
    assert first == f"error: port {port} on 127.0.0.1, which Prefect needs, is in use"
    assert rest == [f"  next: is rackflow up already running? ss -ltnp sport = :{port}"]
    assert not (tmp_path / "data").exists()


def test_the_edge_command_becomes_the_edge(tmp_path: Path) -> None:
    """Its exit code and its one sentence come through: no spec folder, exit 2."""
    argv = [sys.executable, "-m", "metal.cli", "edge", "--specs", "nowhere", "--data", str(tmp_path)]
    env = os.environ | {"RACKFLOW_DATA": str(tmp_path)}
    done = subprocess.run(
        argv, cwd=Path(__file__).parents[3], env=env, capture_output=True, text=True, check=False, timeout=60
    )

    assert (done.returncode, done.stderr) == (2, "pxe_edge: there is no spec folder nowhere\n")
