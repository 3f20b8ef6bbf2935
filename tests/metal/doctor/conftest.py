"""Surroundings as a value: a site of two networks, an edge, this machine's interfaces."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest

from metal.doctor.kernel import Link
from metal.doctor.surroundings import EdgeSeen, Surroundings
from metal.edge_client.wire import EdgeAddress
from specs.site_model import Site

NOW = 1_790_000_000.0
SITE = Site.model_validate(
    {
        "metadata": {"name": "lab"},
        "discovery": "register",
        "networks": [
            {
                "name": "prov",
                "purpose": "provisioning",
                "subnet": "10.99.0.0/24",
                "interface": "br0",
                "gateway": "10.99.0.1",
                "pool": ["10.99.0.50-10.99.0.99"],
            },
            {"name": "prov-b", "purpose": "provisioning", "subnet": "10.88.0.0/24", "relays": ["10.88.0.1"]},
        ],
    }
)
SERVER = IPv4Address("10.99.0.1")
BR0 = Link("br0", True, True, "02:00:00:00:00:01", 1500, "bridge", (IPv4Interface("10.99.0.1/24"),))


@pytest.fixture
def around(tmp_path: Path) -> Surroundings:
    return Surroundings(
        address=EdgeAddress("https://127.0.0.1:8443", tmp_path / "ca.pem", tmp_path / "token"),
        data=tmp_path,
        site=SITE,
        edge=EdgeSeen("set-1", (), {"prov": SERVER, "prov-b": SERVER}, {}, {}, 0.0),
        links={"br0": BR0},
        on_edge_host=True,
        now=lambda: NOW,
    )


def with_edge(around: Surroundings, **changed: object) -> Surroundings:
    """The same surroundings with another edge."""
    assert around.edge is not None
    return replace(around, edge=replace(around.edge, **changed))
