"""One site for all rack scenarios of a session: built once, brought up once, ended for sure."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import demo as lab_demo
from lab.demo import Demo, Machine
from lab.site import Site, management_key

DATA = Path(os.environ.get("RACKFLOW_RACK_DATA", lab_demo.CLONE / "build" / "rack"))


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The demo's site, fresh, with secret, image and specs, machines off."""
    demo = Demo(DATA)
    demo.data.mkdir(parents=True, exist_ok=True)
    image = lab_demo.build(demo)
    lab_demo.forget(demo)
    demo.python("-m", "lab", "up", "--rack", "lab/racks/demo.yaml", "--fresh")
    with lab_demo.running_site(demo) as process:
        try:
            lab_demo.prepare(demo, image)
            yield Site(demo, management_key(demo, tmp_path_factory.mktemp("key")))
        finally:
            lab_demo.stop(demo, process)


@pytest.fixture(scope="session")
def installed(site: Site) -> dict[str, Machine]:
    """Both machines of the demo, from the power button to in sync, side by side."""
    machines = [Machine(host) for host in lab_demo.MACHINES]
    lab_demo.press_buttons(site.demo, machines)
    lab_demo.watch(site.demo, machines)
    return {machine.host: machine for machine in machines}
