"""The machines of a simulated site, their image and their specs, all derived from a number each."""

import asyncio
import subprocess
import threading
import uuid
from pathlib import Path
from typing import Literal

from lab.definition import BmcIdentity, Disk, MachineDefinition, Nic, Smbios
from lab.image.disk import MIB, layout, sgdisk_argv
from lab.sim.disks import Image, Part
from lab.sim.machine import Machine
from lab.sim.witness import Witness

Destroy = Literal["allow", "ask"]
EDGE_ADDRESS = "10.77.1.2"
EDGE_URL = f"http://{EDGE_ADDRESS}:8080"
NETWORKS = ("10.77.1.0/24", "10.77.9.0/24")
"""All addresses of these are this host's own: machines and BMCs bind to theirs."""
IMAGE_BYTES = 64 * MIB
CHUNK_BYTES = 4 * MIB
ROOT_UUID = "8d1f2c5e-6a0b-4c7d-9e3f-5a5a5a5a5a5a"
DISK_GUID = "5A5A5A5A-0000-4000-8000-000000000000"
NAMESPACE = uuid.UUID("5a5a5a5a-1111-4111-8111-111111111111")
TYPES = {
    "EF02": "21686148-6449-6e6f-744e-656564454649",
    "EF00": "c12a7328-f81f-11d2-ba4b-00a0c93ec93b",
    "8304": "4f68bce3-e8cd-4db1-96e7-fbcaf984b709",
}
GIB = 1 << 30
MOST_MACHINES = 40
EXT4_SUPERBLOCK_AT, EXT4_MAGIC_AT, EXT4_UUID_AT, EXT4_LABEL_AT = 1024, 56, 104, 120


def definition(number: int) -> MachineDefinition:
    """Machine `number` from 1 on: odd ones have one disk, even ones two that become a mirror."""
    name = f"sim-{number:02d}"
    mirrored = number % 2 == 0
    disks = tuple(
        Disk("sata" if mirrored else "virtio", 8 * GIB, f"{name.upper()}-D{n}", None)
        for n in range(2 if mirrored else 1)
    )
    return MachineDefinition(
        name=name,
        firmware="uefi" if mirrored else "bios",
        memory_mib=4096,
        cpus=2,
        nics=(Nic("virtio-net-pci", f"52:54:00:5a:00:{number:02x}", "prov", rom=True),),
        disks=disks,
        smbios=Smbios("Simulated", "Server", f"SIM{number:04d}", uuid.uuid5(NAMESPACE, name)),
        bmc=BmcIdentity("ADMIN", "factory-secret", f"02:bc:5a:00:00:{number:02x}"),
    )


def image() -> Image:
    """What the image's bytes hold."""
    parts = tuple(
        Part(
            number=one.number,
            start_bytes=one.offset_bytes,
            size_bytes=one.size_bytes,
            type_guid=TYPES[one.type_code],
            part_uuid=f"{DISK_GUID[:-2]}{one.number:02d}".lower(),
            name=one.name,
            filesystem={"root": "ext4", "esp": "vfat"}.get(one.name),
            fs_uuid={"root": ROOT_UUID, "esp": "5A5A-5A5A"}.get(one.name),
            label={"root": "root"}.get(one.name),
        )
        for one in layout(IMAGE_BYTES).partitions
    )
    return Image(IMAGE_BYTES, parts, ROOT_UUID)


def write_image(path: Path) -> None:
    """The raw image: a real table, the root's superblock, and a few bytes in each chunk."""
    plan = layout(IMAGE_BYTES)
    with path.open("wb") as stream:
        stream.truncate(IMAGE_BYTES)
        for start in range(2 * MIB, IMAGE_BYTES, CHUNK_BYTES):
            stream.seek(start)
            stream.write(f"chunk {start}".encode())
        superblock = plan.root.offset_bytes + EXT4_SUPERBLOCK_AT
        for at, value in (
            (EXT4_MAGIC_AT, b"\x53\xef"),
            (EXT4_UUID_AT, uuid.UUID(ROOT_UUID).bytes),
            (EXT4_LABEL_AT, b"root"),
        ):
            stream.seek(superblock + at)
            stream.write(value)
    subprocess.run(sgdisk_argv(plan, DISK_GUID, str(path)), check=True, capture_output=True)


def machines(count: int, witness: Witness) -> list[Machine]:
    """Machines that are off, with blank disks and factory BMCs; their BMCs share one event loop."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="bmcs", daemon=True).start()
    unknown: list[str] = []
    return [
        Machine(definition(n), f"10.77.1.{100 + n}", EDGE_URL, image(), witness, loop, unknown)
        for n in range(1, count + 1)
    ]


def specs(count: int, destroy: Destroy = "allow") -> dict[str, str]:
    """The site's spec files by name."""
    return {"site.yaml": SITE, "image.yaml": IMAGE} | {
        f"{definition(n).name}.yaml": _host(n, destroy) for n in range(1, count + 1)
    }


def _host(number: int, destroy: Destroy) -> str:
    made = definition(number)
    text = HOST.format(
        name=made.name,
        serial=made.smbios.serial,
        mode=made.firmware,
        mac=made.nics[0].mac,
        address=f"10.77.1.{160 + number}/24",
        destroy=destroy,
    )
    if len(made.disks) == 1:
        return f"{text}rootDevice: {{serial: {made.disks[0].serial}}}\n"
    return (
        f"{text}raid:\n  - {{name: system, level: raid1, drives: {{transport: sata, count: 2}}}}\n"
        "rootDevice: {raid: system}\n"
    )


HOST = """\
apiVersion: rackflow/v1
kind: Host
metadata: {{name: {name}}}
match: {{serial: {serial}}}
firmware: {{bootMode: {mode}}}
image: simulated
disks:
  - device: root
    partitions:
      - {{name: root, size: 2GiB, filesystem: ext4, mount: /}}
      - {{name: data, size: rest, filesystem: ext4, mount: /data}}
network:
  ethernets:
    nic0:
      match: {{macaddress: "{mac}"}}
      addresses: [{address}]
users:
  - name: ops
    sudo: true
    sshKeys: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGyQxhswuyuiFMGyCyG0rs22aJnaVTH9oYFx+YvMzuu5 ops"]
files: [{{path: /etc/motd, content: "{name}"}}]
lifecycle: {{destroy: {destroy}, takeDisks: true}}
"""
SITE = """\
apiVersion: rackflow/v1
kind: Site
metadata: {name: default}
discovery: register
networks:
  - name: prov
    purpose: provisioning
    subnet: 10.77.1.0/24
    interface: prov0
    gateway: 10.77.1.1
    pool: [10.77.1.50-10.77.1.99]
    dns: []
  - {name: bmc, purpose: bmc, subnet: 10.77.9.0/24, gateway: 10.77.9.1, pool: [10.77.9.50-10.77.9.99]}
boot: {order: disk-first, loader: ipxe}
bmc: {user: rackflow, network: bmc}
"""
IMAGE = """\
apiVersion: rackflow/v1
kind: Image
metadata: {name: simulated}
source: {upload: true}
format: raw
os: {family: debian, version: "12", bootModes: [bios, uefi], cloudInit: false, rootFilesystem: {label: root}}
"""
