"""A real site for simulated machines, in a network namespace of its own: `rackflow up` and its client.

Everything here runs inside the namespace (`lab.namespace`), so that ports and addresses are nobody else's.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lab.demo import CLONE
from lab.errors import LabError
from lab.sim import fleet
from metal.cli.up.command import LAST_LINE
from metal.edge_client import EdgeClient
from metal.edge_client.wire import EdgeAddress

KNOBS: Mapping[str, str] = {
    "RACKFLOW_LEASE_TTL_S": "15",
    "RACKFLOW_RETRY_BASE_S": "1",
    "RACKFLOW_SWEEP_S": "2",
    "RACKFLOW_UNCLAIMED_S": "60",
    "RACKFLOW_HOLD_S": "4",
}
"""Times of the product, small: a soak is about what follows what, not about how long a person waits."""
UP_S = 180.0
STOP_S = 40.0


@dataclass
class SimSite:
    """One data folder and the `rackflow up` that serves it."""

    data: Path
    knobs: Mapping[str, str] = field(default_factory=lambda: KNOBS)
    process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """Environment of every command of the site."""
        return (
            os.environ
            | {"RACKFLOW_DATA": str(self.data)}
            | {k: os.environ.get(k, v) for k, v in self.knobs.items()}
        )

    @property
    def log(self) -> Path:
        """What `rackflow up` says."""
        return self.data / "up.log"

    def lay_out(self, specs: Mapping[str, str]) -> None:
        """A blank data folder with a boot folder that names a boot OS, the image and the specs."""
        for part in ("edge", "prefect", "logs", "specs", "images"):
            shutil.rmtree(self.data / part, ignore_errors=True)
        self.log.unlink(missing_ok=True)
        bootos = self.data / "boot" / "bootos"
        bootos.mkdir(parents=True, exist_ok=True)
        for name in ("vmlinuz", "initrd"):
            (bootos / name).write_text("not fetched by simulated machines\n")
        current = {"kernel": "bootos/vmlinuz", "initrds": ["bootos/initrd"], "kernel_args": "console=ttyS0"}
        (bootos / "current.json").write_text(json.dumps(current))
        fleet.write_image(self.data / "image.raw")
        folder = self.data / "specs"
        folder.mkdir()
        for name, text in specs.items():
            (folder / name).write_text(text)

    def start(self) -> None:
        """Start the site, wait until it serves, give it image and specs."""
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "metal.cli", "up"],
                cwd=CLONE,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        ends_at = time.monotonic() + UP_S
        while LAST_LINE not in self.log.read_text(errors="replace"):
            if self.process.poll() is not None or time.monotonic() > ends_at:
                raise LabError(f"rackflow up did not come up: {self.log.read_text(errors='replace')[-800:]}")
            time.sleep(0.2)
        self.rackflow("image", "add", "simulated", "--file", str(self.data / "image.raw"), "--format", "raw")
        self.rackflow("spec", "publish", str(self.data / "specs"), "--dirty")

    def rackflow(self, *argv: str, ends_with: int = 0) -> str:
        """Run the CLI, which must end with this code; its stdout."""
        done = subprocess.run(
            [sys.executable, "-m", "metal.cli", *argv],
            cwd=CLONE,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != ends_with:
            raise LabError(f"rackflow {' '.join(argv)} ended with {done.returncode}: {done.stderr[-600:]}")
        return done.stdout

    def edge(self) -> EdgeClient:
        """A client with an operator's rights."""
        edge = self.data / "edge"
        return EdgeClient(
            EdgeAddress("https://127.0.0.1:8443", edge / "tls" / "ca.pem", edge / "tokens" / "admin")
        )

    def stop(self) -> None:
        """End it."""
        if self.process is None:
            return
        try:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(STOP_S)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            self.process.kill()


def make_network() -> None:
    """The edge's interface, and every other address of both networks on the loopback."""
    lines = [
        "link set lo up",
        "link add prov0 type veth peer name sim0",
        "link set sim0 up",
        f"addr add {fleet.EDGE_ADDRESS}/24 dev prov0",
        "link set prov0 up",
        *(f"route add local {network} dev lo" for network in fleet.NETWORKS),
    ]
    done = subprocess.run(
        ["ip", "-batch", "-"], input="\n".join(lines) + "\n", text=True, capture_output=True, check=False
    )
    if done.returncode:
        raise LabError(f"the namespace's network could not be made: {done.stderr.strip()}")
