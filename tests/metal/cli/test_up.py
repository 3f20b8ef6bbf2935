"""`up` before it starts anything."""

import contextlib
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from metal.cli.up.parts import CONTROL_PORT
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


def test_the_edge_command_becomes_the_edge_and_says_in_one_sentence_which_port_is_taken(
    tmp_path: Path,
) -> None:
    argv = [sys.executable, "-m", "metal.cli", "edge", "--specs", "nowhere", "--data", str(tmp_path)]
    with socket.socket() as taken:
        with contextlib.suppress(OSError):  # somebody else has it: as good
            taken.bind(("127.0.0.1", CONTROL_PORT))
            taken.listen()
        done = subprocess.run(
            argv, cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False, timeout=60
        )

    assert done.returncode == 1
    (sentence,) = done.stderr.splitlines()
    assert f"TCP port {CONTROL_PORT} (API) is in use" in sentence
    assert "ss -ltnp" in sentence
