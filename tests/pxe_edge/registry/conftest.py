"""A registry in a temporary folder, under a clock that the test moves."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pxe_edge.registry.registry import Registry, open_registry

SITE = """
apiVersion: rackflow/v1
kind: Site
metadata: {name: t1}
discovery: register
networks:
  - {name: prov, purpose: provisioning, subnet: 10.77.1.0/24, pool: [10.77.1.50-10.77.1.99]}
  - {name: bmc, purpose: bmc, subnet: 10.77.9.0/24, pool: [10.77.9.50-10.77.9.52], exclude: [10.77.9.51]}
  - {name: os, purpose: os, subnet: 10.1.1.0/24, pool: [10.1.1.20-10.1.1.29]}
bmc: {user: rackflow, network: bmc}
"""


@dataclass
class Clock:
    """A clock that stands still until it is moved."""

    now: datetime = datetime(2026, 11, 25, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def registry(tmp_path: Path, clock: Clock) -> Iterator[Registry]:
    opened = open_registry(tmp_path, clock=clock)
    opened.publish_files({"site.yaml": SITE}, author="test")
    yield opened
    opened.db.close()
