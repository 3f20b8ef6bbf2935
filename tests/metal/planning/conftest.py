"""The demo's specs on machines like those of the demo rack, as facts."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from specs.facts import Disk, Hardware, Nic, Observation
from specs.load import load_tree, resolve
from specs.model import Host
from specs.phases import Phase
from specs.records import HostRecord, ImageRecord, WorkOrder

MIB = 1 << 20
GIB = 1 << 30
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)

IMAGE = ImageRecord(
    name="debian-12",
    digest="sha256:" + "a" * 64,
    manifest_sha256="b" * 64,
    manifest_url="http://10.77.1.1:8080/images/a/manifest.json",
    size_bytes=GIB,
    blob_bytes=300 * MIB,
    format="qcow2",
    info={
        "partitions": [
            {"number": 14, "start_bytes": MIB, "size_bytes": 2 * MIB, "type_guid": "bios", "name": ""},
            {"number": 15, "start_bytes": 3 * MIB, "size_bytes": 32 * MIB, "type_guid": "esp", "name": ""},
            {
                "number": 1,
                "start_bytes": 35 * MIB,
                "size_bytes": 980 * MIB,
                "type_guid": "root",
                "name": "root",
            },
        ],
        "root_partition": 1,
        "root_uuid": "11111111-2222-4333-8444-555555555555",
        "has_esp": True,
        "has_bios_boot": True,
        "sector_bytes": 512,
    },
)

HARDWARE = {
    "web-01": Hardware(
        serial="RF-M2-0001",
        firmware="uefi",
        nics=(
            Nic(name="eth0", mac="52:54:00:77:02:00", booted=True),
            Nic(name="eth1", mac="52:54:00:77:02:01"),
        ),
        disks=tuple(
            Disk(device=f"/dev/sd{letter}", serial=f"RF-M2-D{n}", size_bytes=8 * GIB, transport="sata")
            for n, letter in enumerate("ab")
        ),
    ),
    "db-01": Hardware(
        serial="RF-M1-0001",
        firmware="bios",
        nics=(
            Nic(name="eth0", mac="52:54:00:77:01:00", booted=True),
            Nic(name="eth1", mac="52:54:00:77:01:01"),
        ),
        disks=(Disk(device="/dev/vda", serial="RF-M1-D0", size_bytes=8 * GIB, transport="virtio"),),
    ),
}

MakeOrder = Callable[..., WorkOrder]
Observe = Callable[[Hardware], Observation]


@pytest.fixture(scope="session")
def hosts() -> dict[str, Host]:
    specs = resolve(load_tree(Path(__file__).parents[3] / "specs"))
    assert specs.findings == ()
    return dict(specs.hosts)


@pytest.fixture(scope="session")
def image() -> ImageRecord:
    return IMAGE


@pytest.fixture
def hardware() -> dict[str, Hardware]:
    return dict(HARDWARE)


@pytest.fixture
def make_order(hosts: dict[str, Host]) -> MakeOrder:
    def make(
        name: str, *, spec: Host | None = None, phase: Phase = Phase.READY, **changes: object
    ) -> WorkOrder:
        order = WorkOrder(
            host=HostRecord(id=f"id-{name}", name=name, phase=phase),
            spec=spec or hosts[name],
            specset="set-1",
            image=IMAGE,
            secrets={"ops-password": 3},
            management_key="ssh-ed25519 AAAAsite",
            phone_home_url="https://10.77.1.1:8443/v1/phone-home",
        )
        # As it comes over the wire: the planner must not depend on what JSON cannot carry.
        return WorkOrder.model_validate_json(order.model_copy(update=changes).model_dump_json())

    return make


@pytest.fixture
def observe() -> Observe:
    def from_boot_os(seen: Hardware) -> Observation:
        return Observation(at=NOW, seen_from="boot-os", hardware=seen)

    return from_boot_os
