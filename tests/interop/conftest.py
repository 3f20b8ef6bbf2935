"""The bench for all interop tests; each module starts the edges that it needs.

Without the right to make namespaces the tests are skipped, saying so.
"""

import contextlib
import itertools
import shutil

import pytest

from tests.interop.machines import PLACES, Machine
from tests.interop.netns import BEHIND, DHCRELAY, DHCRELAY_READY, PATH, Lab
from tests.interop.talk import Talk

NUMBER = itertools.count(1)


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


@pytest.fixture(scope="module", autouse=True)
def at_home(lab):
    """C and D with the addresses that the bench gave them: the module before may have taken them away."""
    for letter, address in (("C", "10.99.0.10/24"), ("D", "10.88.0.10/24")):
        lab.ip(letter, f"addr replace {address} dev c0")
    lab.ip("D", f"route replace default via {BEHIND}")


@pytest.fixture(scope="session")
def need():
    """Fail, naming scripts/setup, unless a program is there: a test that is left out proves nothing."""

    def check(program):
        if shutil.which(program, path=PATH) is None:
            pytest.fail(f"{program} is missing: run scripts/setup")

    return check


@pytest.fixture
def watch(lab):
    """The edge's link, and the relay's uplink, as R sees it."""
    with lab.watch("R", "r1") as seen:
        yield seen


@pytest.fixture
def new(lab, watch):
    """Makes fresh clients, whose frames go out on R's interface of the edge's link."""
    with contextlib.ExitStack() as stack:

        def make():
            talk = Talk(lab, watch, next(NUMBER))
            stack.callback(talk.close)
            return talk

        yield make


@pytest.fixture
def client(new):
    """One fresh client."""
    return new()


@pytest.fixture(params=list(PLACES))
def place(request, lab, need):
    """Where a machine is plugged in: the edge's link, or the link behind dhcrelay."""
    if request.param == "direct":
        yield PLACES["direct"]
        return
    need("dhcrelay")
    with lab.running("R", *DHCRELAY, ready=DHCRELAY_READY, name="dhcrelay"):
        yield PLACES["relayed"]


@pytest.fixture
def machine(lab, place, tmp_path, need):
    """A new machine, off."""
    need("qemu-system-x86_64")
    return Machine(lab, place, tmp_path)
