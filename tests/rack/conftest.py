"""One site for all rack scenarios of a session: built once, brought up once, ended for sure."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab import demo as lab_demo
from lab.demo import Demo, Machine
from lab.site import Site, management_key
from tests.rack.secret_scan import Scan

DATA = Path(os.environ.get("RACKFLOW_RACK_DATA", lab_demo.CLONE / "build" / "rack"))


@pytest.fixture(scope="session")
def running() -> Iterator[contextlib.ExitStack]:
    """What ends the session's site: at the session's end, or before a module that wants the rack alone."""
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture(scope="session")
def alone(running: contextlib.ExitStack) -> Callable[[], Demo]:
    """Give the rack to who asks: the session's site is ended, and scenarios after it may not ask for it."""

    def take() -> Demo:
        running.close()
        DATA.mkdir(parents=True, exist_ok=True)
        demo = Demo(DATA)
        demo.data.mkdir(exist_ok=True)
        return demo

    return take


@pytest.fixture(scope="session")
def site(running: contextlib.ExitStack, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The demo's site, fresh, with secret, image and specs, machines off."""
    demo = Demo(DATA)
    demo.data.mkdir(parents=True, exist_ok=True)
    image = lab_demo.build(demo)
    lab_demo.forget(demo)
    demo.python("-m", "lab", "up", "--rack", "lab/racks/demo.yaml", "--fresh")
    process = running.enter_context(lab_demo.running_site(demo))
    running.callback(lab_demo.stop, demo, process)
    lab_demo.prepare(demo, image)
    return Site(demo, management_key(demo, tmp_path_factory.mktemp("key")))


@pytest.fixture(scope="session")
def whole_life(site: Site) -> Scan:
    """Looks for secrets from before the first power-on."""
    scan = Scan.of_site(site, list(lab_demo.MACHINES))
    scan.start()
    return scan


@pytest.fixture(scope="session")
def installed(site: Site, whole_life: Scan) -> dict[str, Machine]:
    """Both machines of the demo, from the power button to in sync, side by side."""
    machines = [Machine(host) for host in lab_demo.MACHINES]
    lab_demo.press_buttons(site.demo, machines)
    lab_demo.watch(site.demo, machines)
    return {machine.host: machine for machine in machines}
