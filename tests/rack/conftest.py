"""One site for all rack scenarios of a session: built once, brought up once, ended for sure."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lab import demo as lab_demo
from lab.demo import Demo, Machine

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("RACKFLOW_RACK_DATA", ROOT / "build" / "rack"))


@dataclass
class Site:
    """A running site inside the rack, driven as an operator drives it."""

    demo: Demo

    def rackflow(self, *argv: str, stdin: str | None = None, ok: tuple[int, ...] = (0,)) -> str:
        """The CLI's stdout."""
        return self.demo.rackflow(*argv, stdin=stdin, ok=ok)

    def json(self, *argv: str, ok: tuple[int, ...] = (0,)) -> Any:
        """The CLI's JSON."""
        return json.loads(self.rackflow(*argv, "--json", ok=ok))

    def inside(self, *argv: str, timeout_s: int = 60) -> subprocess.CompletedProcess[str]:
        """A command in the edge's namespace, as another machine of the site would run it."""
        return subprocess.run(
            [sys.executable, "-m", "lab", "exec", "--ns", "edge", "--", *argv],
            cwd=ROOT,
            env=self.demo.environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def wait(self, what: str, condition: Any, deadline_s: float) -> Any:
        """Wait for a state, with a deadline."""
        ends_at = time.monotonic() + deadline_s
        while not (found := condition()):
            assert time.monotonic() < ends_at, f"not within {deadline_s} s: {what}"
            time.sleep(0.5)
        return found


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """The demo's site, fresh, with secret, image and specs, machines off."""
    demo = Demo(DATA)
    demo.data.mkdir(parents=True, exist_ok=True)
    image = lab_demo.build(demo)
    lab_demo.forget(demo)
    demo.python("-m", "lab", "up", "--rack", "lab/racks/demo.yaml", "--fresh")
    with lab_demo.running_site(demo) as process:
        try:
            lab_demo.prepare(demo, image)
            yield Site(demo)
        finally:
            lab_demo.stop(demo, process)


@pytest.fixture(scope="session")
def installed(site: Site) -> dict[str, Machine]:
    """Both machines of the demo, from the power button to in sync, side by side."""
    machines = [Machine(host) for host in lab_demo.MACHINES]
    lab_demo.press_buttons(site.demo, machines)
    lab_demo.watch(site.demo, machines)
    return {machine.host: machine for machine in machines}
