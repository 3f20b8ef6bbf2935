"""The bench and one edge for all interop tests; tests that need another site start an edge of their own.

Without the right to make namespaces the tests are skipped, saying so.
"""

import shutil

import pytest

from tests.interop.netns import PATH, Lab


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """The bench, up."""
    bench = Lab(tmp_path_factory.mktemp("interop"))
    try:
        bench.up()
    except OSError as error:
        bench.down()
        pytest.skip(f"network namespaces can't be made here (run as root or under unshare -Urnm): {error}")
    yield bench
    bench.down()


@pytest.fixture(scope="session")
def need():
    """Fail, naming scripts/setup, unless a program is there: a test that is left out proves nothing."""

    def check(program):
        if shutil.which(program, path=PATH) is None:
            pytest.fail(f"{program} is missing: run scripts/setup")

    return check
