"""What every test of the model stands on: ready data folders, and the engine at the model's pace."""

import asyncio
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from metal.engine import connect, plans, waits
from tests.model.edge import ready_host
from tests.model.runs import short_plan


@pytest.fixture(scope="session")
def templates() -> Iterator[Path]:
    """A data folder per `lifecycle.destroy`; in memory where that is, as each write is synced."""
    memory = Path("/dev/shm")  # noqa: S108 - a folder of its own is made in it
    folder = Path(tempfile.mkdtemp(prefix="rackflow-model-", dir=memory if memory.is_dir() else None))
    for destroy in ("ask", "allow"):
        ready_host(folder / destroy, destroy)
    yield folder
    shutil.rmtree(folder)


async def at_once(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Stands for a thread pool: one thing happens at a time here, and a hop costs more than most calls."""
    return call(*args, **kwargs)


def without_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The edge's threads."""
    monkeypatch.setattr("fastapi.routing.run_in_threadpool", at_once)
    monkeypatch.setattr("fastapi.dependencies.utils.run_in_threadpool", at_once)
    monkeypatch.setattr(asyncio, "to_thread", at_once)


@pytest.fixture(autouse=True)
def pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few turns per wait, so that an example is short; the model's plan in the place of the planner's."""
    without_threads(monkeypatch)
    monkeypatch.setattr(plans, "make_plan", short_plan)
    monkeypatch.setattr(waits, "POLL_S", 5.0)
    monkeypatch.setattr(sys.modules["metal.engine.power"], "POLL_S", 5.0)
    monkeypatch.setattr(connect, "BMC_LOCK_POLL_S", 10.0)
    monkeypatch.setattr(connect.BmcLock, "keep", lambda _lock: None)  # its thread knows no simulated time
    monkeypatch.setenv("RACKFLOW_HOLD_S", "20")
