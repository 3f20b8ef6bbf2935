"""Which tests may run side by side: `pytest -n 2 --dist loadgroup`, as `make test` does."""

import pytest

MACHINES = ("rack", "interop", "prefect")
"""Marks of tests that start virtual machines, networks of clients or a Prefect server."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what waits for machines into one lane, one after another, and each other file beside it.

    Those tests mostly wait, and two of them at once would make each other's machines slow; the others
    mostly compute. A file stays whole, for its fixtures are made once.
    """
    for item in items:
        heavy = any(item.get_closest_marker(mark) for mark in MACHINES)
        item.add_marker(pytest.mark.xdist_group("machines" if heavy else item.path.as_posix()))
