"""A fleet: reading and checking the specs of 1,000 hosts, and planning them all."""

from datetime import UTC, datetime

import yaml

from bench.row import Row, best_s, tell
from metal.planning.steps import make_plan
from specs.facts import Disk, Hardware, Nic, Observation
from specs.load import load_files, resolve
from specs.model import Host
from specs.phases import Phase
from specs.records import HostRecord, ImageRecord, WorkOrder

HOSTS = 1000
PROFILE = """
apiVersion: rackflow/v1
kind: Profile
metadata: {name: web}
firmware: {bootMode: bios}
raid: [{name: system, level: raid1, drives: {media: ssd, count: 2}}]
rootDevice: {raid: system}
disks: [{device: root, partitions: [{name: root, size: 20GiB, filesystem: ext4, mount: /}]}]
image: debian-12
users: [{name: ops, sudo: true}]
"""
IMAGE = """
apiVersion: rackflow/v1
kind: Image
metadata: {name: debian-12}
source: {upload: true}
os: {family: debian, version: "12"}
"""
SPEC = """
apiVersion: rackflow/v1
kind: Host
metadata: {{name: web-{0:04}}}
extends: [web]
match: {{serial: "S{0:04}"}}
network: {{ethernets: {{nic0: {{match: {{role: pxe}}, dhcp4: true}}}}}}
"""
SEEN = Observation(
    at=datetime(2026, 1, 1, tzinfo=UTC),
    seen_from="boot-os",
    hardware=Hardware(
        firmware="bios",
        nics=(Nic(name="eth0", mac="52:54:00:00:00:00", booted=True),),
        disks=tuple(
            Disk(device=f"/dev/sd{letter}", serial=f"D{letter}", size_bytes=480 * 10**9, medium="ssd")
            for letter in "ab"
        ),
    ),
)
STORED = ImageRecord(
    name="debian-12",
    digest="sha256:" + "a" * 64,
    manifest_sha256="b" * 64,
    manifest_url="http://10.77.1.1:8080/images/a/manifest.json",
    size_bytes=1 << 30,
    blob_bytes=1 << 28,
    format="qcow2",
    info={
        "partitions": [
            {"number": 1, "start_bytes": 1 << 20, "size_bytes": 1 << 29, "type_guid": "root", "name": "root"}
        ],
        "root_partition": 1,
        "root_uuid": "11111111-2222-4333-8444-555555555555",
        "has_esp": False,
        "has_bios_boot": True,
        "sector_bytes": 512,
    },
)


def files() -> dict[str, str]:
    """One file per host, as a repository has them."""
    hosts = {f"hosts/{n:04}.yaml": SPEC.format(n) for n in range(HOSTS)}
    return hosts | {"profiles/web.yaml": PROFILE, "images/debian-12.yaml": IMAGE}


def plan(spec: Host) -> str:
    """One host's plan; its hash."""
    record = HostRecord(id=spec.name, name=spec.name, phase=Phase.READY)
    order = WorkOrder(host=record, spec=spec, image=STORED, management_key="ssh-ed25519 AAAAsite")
    made = make_plan(order, SEEN)
    assert made.blocked is None, made.blocked
    return made.hash


def main() -> None:
    """Three times: bare YAML, our loading, planning."""
    texts = files()
    specs = resolve(load_files(texts))
    assert not specs.findings, specs.findings[:3]
    loading_s = best_s(lambda: resolve(load_files(texts)), 2)
    bare_s = best_s(lambda: [yaml.safe_load(text) for text in texts.values()], 2)
    planning_s = best_s(lambda: [plan(spec) for spec in specs.hosts.values()], 2)
    tell(
        [
            Row(f"load, check, merge {HOSTS} specs", loading_s, "in all", "yaml.safe_load alone", bare_s),
            Row(f"plan {HOSTS} hosts", planning_s, "in all"),
        ]
    )


if __name__ == "__main__":
    main()
