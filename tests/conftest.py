"""Which tests run side by side under `pytest -n 2`, as `make test` starts it."""

import random
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pyghmi.ipmi.private import session as pyghmi_session

ROOT = Path(__file__).parents[1]
MACHINES = re.compile(r"pytest\.mark\.(rack|interop|prefect)\b")
"""Marks of tests that start virtual machines, networks of clients or a Prefect server."""


@cache
def lane(file: str) -> str:
    """All files that wait for machines are one lane, each other file is one of its own."""
    return "machines" if MACHINES.search((ROOT / file).read_text()) else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Put what waits for machines into one process, one test after another, and the rest beside it.

    Those tests mostly wait, and two of them at once would make each other's machines slow; the others
    mostly compute. Groups by mark (`--dist loadgroup`) are not told apart by xdist 3.8 under pytest 9.
    """
    from xdist.scheduler import LoadScopeScheduling  # noqa: PLC0415 - only where xdist runs

    class Lanes(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return lane(nodeid.partition("::")[0])

    return Lanes(config, log)


@pytest.fixture(scope="session", autouse=True)
def pyghmi_has_dice_of_its_own() -> None:
    """Keep pyghmi's thread, which lives on after its tests, from the numbers that Hypothesis draws with.

    Hypothesis takes it for the test that the state of `random` changes while values are drawn.
    """
    pyghmi_session.random = random.Random()
