"""The subject: `rackflow edge --specs DIR --data DIR`, the whole product, without Prefect."""

import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bench.edge.testbed import POOL, PREFIX, SERVER, SERVER_LINK, SUBNET, Subject, Testbed

NAME = "ours"
SITE_NAME = "bench"
CONTROL_PORT, BOOT_PORT = 8443, 8080
SITE = f"""
apiVersion: rackflow/v1
kind: Site
metadata: {{name: {SITE_NAME}}}
discovery: register
networks:
  - name: prov
    purpose: provisioning
    subnet: {SUBNET}/{PREFIX}
    interface: {SERVER_LINK}
    gateway: {SERVER}
    pool: [{POOL[0]}-{POOL[1]}]
    dns: [{SERVER}]
    conflictProbe: false
"""
"""No probe before an offer: none of the peers is asked for one (Kea cannot, the others are told not to)."""


def lay_out(folder: Path) -> tuple[Path, Path]:
    """Blank data folder and spec folder of a site."""
    specs, data = folder / "specs", folder / "data"
    shutil.rmtree(specs, ignore_errors=True)
    shutil.rmtree(data / "edge", ignore_errors=True)
    specs.mkdir(parents=True)
    (data / "boot").mkdir(parents=True, exist_ok=True)
    (specs / "site.yaml").write_text(SITE)
    return specs, data


@contextmanager
def edge(
    testbed: Testbed, *, env: Mapping[str, str] | None = None, cpu: int | None = None, keep: bool = False
) -> Iterator[Subject]:
    """A running edge on a blank data folder, or on the one that is there."""
    specs, data = testbed.folder / "specs", testbed.folder / "data"
    if not keep:
        specs, data = lay_out(testbed.folder)
    argv = (sys.executable, "-m", "metal.cli", "edge", "--specs", str(specs), "--data", str(data))

    def ready(started: Subject) -> bool:
        return all(started.listens(*port) for port in (("udp", 67), ("udp", 69), ("tcp", BOOT_PORT)))

    with testbed.subject(NAME, argv, ready, env=env, cpu=cpu) as subject:
        yield subject
