"""The edge as a process: what it says when it cannot start, and that it ends when told to."""

import json
import signal
import ssl
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

from pxe_edge.command import main
from tests.free_port import free_port
from tests.queueing import queued_s

START_S = 90
"""An edge starts in two seconds; on a computer that is busy with other work in thirty and more."""


def start(data: Path, port: int, *more: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "pxe_edge", "--data", str(data), "--port", str(port), *more]
    return subprocess.Popen(argv, stderr=subprocess.PIPE, text=True)


def health(data: Path, port: int) -> dict[str, object]:
    deadline = time.monotonic() + START_S
    while True:
        try:
            trust = ssl.create_default_context(cafile=str(data / "edge" / "tls" / "ca.pem"))
            with urllib.request.urlopen(
                f"https://127.0.0.1:{port}/v1/healthz", context=trust, timeout=5
            ) as answer:
                return dict(json.load(answer))
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def stopped(process: subprocess.Popen[str], limit_s: float) -> str:
    """Tell it to end, which it must within so many seconds in which it could run; what it has said."""
    began, queued = time.monotonic(), queued_s(process.pid)
    process.send_signal(signal.SIGTERM)
    while time.monotonic() - began - (max(queued, queued_s(process.pid)) - queued) < limit_s:
        with suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=0.1)[1]
    raise AssertionError(f"it runs {limit_s} s after it was told to end")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "no Site document"),
        ({"a.yaml": "kind: Host\nmetadata: {name: a}\nhostnam: b\n"}, "a.yaml:3:"),
        (None, "there is no spec folder"),
    ],
)
def test_a_folder_that_is_no_good_set(tmp_path: Path, files: dict[str, str] | None, said: str) -> None:
    folder = tmp_path / "specs"
    if files is not None:
        folder.mkdir()
        for name, text in files.items():
            (folder / name).write_text(text)
    process = start(tmp_path / "data", free_port(), "--specs", str(folder))
    _, errors = process.communicate(timeout=START_S)
    assert process.returncode == 2
    assert said in errors
    assert "Traceback" not in errors


def test_it_waits_for_a_first_set_refuses_a_second_edge_and_ends_in_time(tmp_path: Path) -> None:
    port = free_port()
    process = start(tmp_path / "data", port)
    try:
        assert health(tmp_path / "data", port) == {"ok": True, "site": None, "specset": None}
        for other_port, said in ((port, f"TCP port {port}"), (free_port(), "another edge runs on")):
            second = start(tmp_path / "data", other_port)
            _, errors = second.communicate(timeout=START_S)
            assert (second.returncode, said in errors, "Traceback" in errors) == (1, True, False), errors
        errors = stopped(process, 5)
        assert process.returncode == 0
        assert "event=stopped clean=True" in errors
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("port", ["0", "99999", "x", "²"])
def test_a_port_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str], port: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--data", str(tmp_path), "--port", port])
    assert ended.value.code == 2
    assert "expected a TCP port from 1 to 65535" in capsys.readouterr().err


def test_a_registry_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "edge").mkdir()
    (tmp_path / "edge" / "registry.sqlite").write_bytes(b"no database\n" * 500)
    process = start(tmp_path, free_port())
    _, errors = process.communicate(timeout=START_S)
    assert (process.returncode, "Traceback" in errors) == (1, False)
    assert "can't be used: " in errors


def test_a_time_in_the_environment_that_is_none_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RACKFLOW_LEASE_TTL_S", "soon")
    assert main(["--data", str(tmp_path), "--port", str(free_port())]) == 2
    assert "RACKFLOW_LEASE_TTL_S: expected whole seconds" in capsys.readouterr().err
    assert not (tmp_path / "edge").exists()
