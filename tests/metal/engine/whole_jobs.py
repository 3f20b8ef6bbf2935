"""Whole jobs of one host, each over a machine of its own.

The walk of test_dies_anywhere kills each of them at every moment; other tests look at how they end.
"""

import base64
from dataclasses import replace

from lab.raid import model
from lab.raid import ssacli as smart_array
from lab.raid.model import Drive
from metal.drivers.erasing import RF_WIPE
from metal.drivers.hardware import read_hardware
from metal.planning.basis import basis_of
from metal.planning.plan import Plan, Step
from metal.planning.restarts import declared
from metal.planning.steps import make_plan
from metal.planning.wiping import make_wipe_plan
from metal.protocols import BootFlags
from specs.erasure import WipeWish
from specs.facts import Observation, SeenFrom
from specs.model import Host
from specs.phases import Phase
from specs.records import ImageRecord
from tests.metal.engine.raid_machine import RaidMachine
from tests.metal.engine.world import REPEATED, World

GIB, MIB = 1 << 30, 1 << 20
ROOT_UUID = "8d1f2c5e-6a0b-4c7d-9e3f-d3b1a212f001"
OLD_UUID = "11111111-2222-2222-3333-333344444444"
MEMBERS = [{"identity": name, "size_bytes": 8 * GIB} for name in ("RF-D0", "RF-D1")]
CONTENTS = (
    f"hardware.raids.{OLD_UUID}",
    *(f"hardware.disks.{disk}.{part}" for disk in ("RF-D0", "RF-D1") for part in ("found", "partitions")),
)
IMAGE = ImageRecord(
    name="debian-12", digest="sha256:" + "a" * 64, manifest_sha256="b" * 64, manifest_url="http://e/m",
    size_bytes=GIB, blob_bytes=GIB, format="raw",
    info={
        "partitions": [
            {"number": 14, "start_bytes": MIB, "size_bytes": 2 * MIB, "type_guid": "bios", "name": ""},
            {"number": 1, "start_bytes": 35 * MIB, "size_bytes": 984 * MIB, "type_guid": "x", "name": "root"},
        ],
        "root_partition": 1, "root_uuid": ROOT_UUID, "has_esp": True, "has_bios_boot": True,
        "sector_bytes": 512,
    },
)  # fmt: skip
COMMON = {
    "metadata": {"name": "web-01"},
    "image": "debian-12",
    "firmware": {"bootMode": "bios"},
    "users": [{"name": "ops", "sshKeys": ["ssh-ed25519 AAAAops"]}],
    "files": [{"path": "/etc/motd", "content": "hi"}, {"path": "/etc/issue", "content": "ho"}],
    "network": {
        "ethernets": {"nic0": {"match": {"macaddress": "52:54:00:77:02:00"}, "addresses": ["10.77.1.21/24"]}}
    },
}
DATA = {"name": "data", "size": "1GiB", "filesystem": "ext4", "mount": "/data"}
MIRROR = COMMON | {
    "raid": [{"name": "system", "level": "raid1", "drives": {"count": 2}}],
    "rootDevice": {"raid": "system"},
    "disks": [{"device": "root", "partitions": [DATA]}],
}
SHARES = {
    "name": "srv", "size": "50%", "filesystem": "btrfs", "mount": "/srv", "options": ["noatime"],
    "subvolumes": [{"name": "@home", "mount": "/home"}, {"name": "@log", "mount": "/var/log"}],
}  # fmt: skip
PLAIN = COMMON | {
    "rootDevice": {"serial": "RF-D0"},
    "disks": [{"device": "root", "partitions": [DATA, SHARES]}],
}


def planned(rig, spec: dict, image: ImageRecord = IMAGE, seen_from: SeenFrom = "boot-os") -> Plan:
    """As the planner makes it, on this machine as it is."""
    rig.machine.macs = ("52:54:00:77:02:00",)
    hardware, _ = read_hardware(rig.machine, "52:54:00:77:02:00")
    update = {"spec": Host.model_validate(spec), "image": image, "secrets": {"disk": 1}}
    order = rig.edge.order_.model_copy(update=update)
    rig.edge.order_ = order
    seen = Observation(at=rig.edge.now, seen_from=seen_from, hardware=hardware)
    plan = make_plan(order, seen)
    assert plan.blocked is None, [step.reason for step in plan.steps if step.blocked_by]
    return plan


OWN = (
    Step(id="old", kind="raid-delete", field="raid", reason="r", destructive=True, leaves=CONTENTS,
         args={"name": "old", "uuid": OLD_UUID, "members": MEMBERS}),
    Step(id="again", kind="restart-os", field="power", reason="r", where="bmc", reboot=True),
    Step(id="boot-os", kind="boot-os", field="power", reason="r", where="bmc", reboot=True),
)  # fmt: skip
"""Steps that no plan of these two has."""

KEY = {"key": {"secret": "disk"}}
VAULT = {
    "name": "vault",
    "size": "rest",
    "filesystem": "ext4",
    "mount": "/vault",
    "luks": KEY,
    "preserve": True,
}
PRESERVED = COMMON | {
    "files": [*COMMON["files"], {"path": "/vault/conf/a", "content": "a"}],
    "rootDevice": {"serial": "RF-D0"},
    "disks": [{"device": "root"}, {"device": {"serial": "RF-D1"}, "partitions": [VAULT]}],
}
VOLUMES = COMMON | {
    "rootDevice": {"serial": "RF-D0"},
    "disks": [
        {"device": "root", "partitions": [
            {"name": "root", "size": "2GiB", "mount": "/"},
            {"name": "pv0", "size": "rest", "lvm": {"vg": "sys"}},
        ]},
        {"device": {"serial": "RF-D1"}, "partitions": [
            {"name": "var", "size": "1GiB", "filesystem": "ext4", "mount": "/var", "lvm": {"vg": "sys"}},
            {"name": "pv1", "size": "4GiB", "lvm": {"vg": "sys"}},
            {"name": "vault", "size": "rest", "filesystem": "ext4", "mount": "/opt/vault", "luks": KEY},
        ]},
    ],
    "volumeGroups": [{"name": "sys", "logicalVolumes": [
        {"name": "srv", "size": "1GiB", "filesystem": "btrfs", "mount": "/srv",
         "subvolumes": [{"name": "a"}]},
        {"name": "data", "size": "rest", "filesystem": "btrfs", "mount": "/data", "luks": KEY},
    ]}],
}  # fmt: skip

MBR_IMAGE = IMAGE.model_copy(update={"info": {
    "partition_table": "mbr", "active_partition": 1, "sector_bytes": 512,
    "partitions": [
        {"number": 1, "start_bytes": MIB, "size_bytes": 980 * MIB, "type_guid": "0x83", "name": ""},
    ],
    "root_partition": 1, "root_uuid": ROOT_UUID, "has_esp": False, "has_bios_boot": True,
}})  # fmt: skip
OLD_TABLES = COMMON | {
    "rootDevice": {"serial": "RF-D0"},
    "disks": [
        {"device": "root", "partitions": [{"name": "root", "size": "4GiB", "mount": "/"}, DATA]},
        {
            "device": {"serial": "RF-D1"},
            "table": "mbr",
            "partitions": [
                {"name": "log", "size": "1GiB", "filesystem": "ext4", "mount": "/var/log"},
                {"name": "srv", "size": "rest", "filesystem": "ext4", "mount": "/srv"},
            ],
        },
    ],
}

ROOT_VOLUME = {
    "vg": "system", "vg_uuid": "vg-system", "lv": "root", "lv_uuid": "system-root", "pv_uuid": "pv-image",
    "filesystem": "ext4", "extent_bytes": 4 * MIB, "first_extent_bytes": MIB, "extents": 200,
    "other_extents": 10, "problem": None,
}  # fmt: skip
LVM_IMAGE = IMAGE.model_copy(update={"info": IMAGE.info | {"root_volume": ROOT_VOLUME}})

POOLS = COMMON | {
    "rootDevice": {"serial": "RF-D0"},
    "disks": [
        {"device": "root"},
        {"device": {"serial": "RF-D1"}, "partitions": [{"name": "pv", "size": "rest", "lvm": {"vg": "sys"}}]},
    ],
    "volumeGroups": [
        {
            "name": "sys",
            "thinPools": [{"name": "pool", "size": "4GiB"}],
            "logicalVolumes": [
                {"name": "thin", "size": "20GiB", "thinPool": "pool", "filesystem": "ext4", "mount": "/thin"},
                {
                    "name": "locked",
                    "size": "9GiB",
                    "thinPool": "pool",
                    "filesystem": "ext4",
                    "mount": "/usr/local",
                    "luks": KEY,
                },
                {"name": "whole", "size": "rest", "filesystem": "ext4", "mount": "/whole"},
            ],
        }
    ],
}
BY_TPM = KEY | {"tpm2": "require"}
SEALED = COMMON | {
    "rootDevice": {"serial": "RF-D0"},
    "disks": [
        {"device": "root", "partitions": [
            {"name": "root", "size": "2GiB", "mount": "/"},
            {"name": "new", "size": "rest", "filesystem": "ext4", "mount": "/new", "luks": BY_TPM},
        ]},
        {"device": {"serial": "RF-D1"}, "partitions": [
            VAULT | {"size": "2GiB", "luks": BY_TPM},
            {"name": "pv1", "size": "rest", "lvm": {"vg": "old"}},
        ]},
    ],
    "volumeGroups": [{"name": "old", "logicalVolumes": [
        {"name": "data", "size": "rest", "filesystem": "ext4", "mount": "/home", "luks": BY_TPM,
         "preserve": True},
    ]}],
}  # fmt: skip


def mirror(rig) -> World:
    return World(rig, planned(rig, MIRROR))


def plain(rig) -> World:
    """A disk that holds something, so that the wipe has something to do."""
    rig.machine.disks["RF-D0"] |= {"signature": "ext4", "parts": {1: {"size": GIB, "start": 2048}}}
    return World(rig, planned(rig, PLAIN))


def alone(step: Step, **more) -> Plan:
    fields = {"host": "web-01", "host_id": "h1", "specset": "s", "spec": "web-01", "observed_at": None}
    fields |= {"seen_from": "boot-os", "basis": {"reads": "system"}, "steps": (declared(step),)}
    return Plan(**(fields | more))


def restart(rig) -> World:
    return World(rig, alone(OWN[1]), running="os")


def boot(rig) -> World:
    return World(rig, alone(OWN[2]), running="os")


def deletion(rig) -> World:
    """An array that somebody else made, assembled."""
    array = {"uuid": OLD_UUID, "name": "old", "knames": ["sda", "sdb"], "size": GIB, "parts": {}}
    rig.machine.array = array
    for disk in rig.machine.disks.values():
        disk["member"] = array
    hardware, _ = read_hardware(rig.machine, None)
    seen = Observation(at=rig.edge.now, seen_from="boot-os", hardware=hardware)
    return World(rig, alone(OWN[0], basis=basis_of(seen, "hardware")))


DRIVES = tuple(
    Drive(1, n, f"ZC1{n:05}", f"5000c500{n:08x}", "EG000600JWJNP", "HP", "HPD3", size_bytes=8 * GIB)
    for n in range(3)
)
HARDWARE = COMMON | {
    "raid": [{"name": "system", "level": "raid1", "drives": {"count": 2}, "spares": 1}],
    "rootDevice": {"raid": "system"},
    "disks": [{"device": "root", "partitions": [DATA]}],
}


def hardware(rig) -> World:
    """A controller whose drives an old volume and its spare take up."""
    one = smart_array.controller([replace(drive) for drive in DRIVES])
    model.create(one, "raid0", one.drives[:2], name="", spares=[])
    model.set_spare(one.drives[2], one.drives[0].group)
    rig.machine = RaidMachine(one, root_uuid=ROOT_UUID)
    return World(rig, planned(rig, HARDWARE))


def volumes(rig) -> World:
    """One group over three partitions of two disks."""
    return World(rig, planned(rig, VOLUMES))


def old_tables(rig) -> World:
    """An image with an MBR that is grown and added to, and a data disk that is cut by one."""
    root = {"size": 980 * MIB, "start": 2048, "fstype": "ext4", "uuid": ROOT_UUID}
    rig.machine.image_parts = {1: root | {"parttype": "0x83", "partuuid": "0badcafe-01"}}
    for disk in rig.machine.disks.values():
        disk |= {"signature": "ext4", "parts": {1: {"size": GIB, "start": 2048}}}
    return World(rig, planned(rig, OLD_TABLES, MBR_IMAGE))


def lvm_root(rig) -> World:
    """An image with its root in a logical volume; the machine has a foreign group of another name."""
    root = {"size": 984 * MIB, "start": 71680, "fstype": "LVM2_member", "uuid": "pv-image"}
    rig.machine.image_parts[1] = root
    volumes = {name: {"extents": n, "tags": [], "made": None} for name, n in (("root", 200), ("swap", 10))}
    image = {"uuid": "vg-system", "extent": 4 * MIB, "pvs": {1: "pv-image"}, "lvs": volumes}
    rig.machine.image_groups = {"system": image}
    rig.machine.disks["RF-D0"] |= {"signature": "ext4", "parts": {1: {"size": GIB, "start": 2048}}}
    return World(rig, planned(rig, PLAIN, LVM_IMAGE))


def pools(rig) -> World:
    """A thin pool, volumes in it, and one beside it."""
    return World(rig, planned(rig, POOLS))


def preserved(rig) -> World:
    """An encrypted partition that stays, and that the same key opens."""
    key = base64.b64encode(b"hunter2").decode()
    rig.machine.disks["RF-D1"]["parts"] = {
        1: {
            "size": 8 * GIB - 2 * MIB, "start": 2048, "partlabel": "vault", "fstype": "crypto_LUKS",
            "uuid": OLD_UUID, "label": f"rf.{ROOT_UUID}", "key": key,
        }
    }  # fmt: skip
    return World(rig, planned(rig, PRESERVED))


BLANKED = COMMON | {
    "rootDevice": {"serial": "RF-D0"},
    "disks": [{"device": "root"}, {"device": {"serial": "RF-D1"}, "wipe": "discard"}],
}


def wipe(rig, **more) -> World:
    """A host whose disks are erased: a system on one, half of an array that nobody assembled on the other."""
    rig.machine.macs = ("52:54:00:77:02:00",)
    rig.machine.disks["RF-D0"] |= {"signature": "ext4", "parts": {1: {"size": GIB, "start": 2048}}}
    rig.machine.disks["RF-D1"]["member"] = {"uuid": OLD_UUID, "name": "old", "knames": ["sdb"], "size": GIB}
    rig.bmc.flags = BootFlags("disk", persistent=True, efi=False)
    hardware, _ = read_hardware(rig.machine, "52:54:00:77:02:00")
    rig.edge.order_ = rig.edge.order_.model_copy(update={"spec": Host.model_validate(BLANKED)})
    seen_from = "running-os" if more else "boot-os"
    seen = Observation(at=rig.edge.now, seen_from=seen_from, hardware=hardware)
    plan = make_wipe_plan(rig.edge.order("web-01"), seen, WipeWish())
    assert [step.kind for step in plan.steps if step.kind != "boot-os"] == ["wipe", "wipe", "boot-order"]
    rewritten = (*REPEATED, RF_WIPE)  # a report that got lost is made anew: nothing was written since
    return World(rig, plan, phase=Phase.WIPING, repeated=rewritten, **more)


def wipe_active(rig) -> World:
    """The same of a host whose system runs until then."""
    return wipe(rig, running="os")


KEPT_ARRAY = COMMON | {
    "rootDevice": {"serial": "RF-D0"},
    "raid": [{"name": "homes", "level": "raid1", "drives": {"serials": ["RF-D1", "RF-D2"], "count": 2}}],
    "disks": [{"device": "root"}, {"device": {"raid": "homes"}, "partitions": [
        {"name": "home", "size": "2GiB", "filesystem": "ext4", "mount": "/home", "preserve": True},
        {"name": "scratch", "size": "rest", "filesystem": "ext4", "mount": "/scratch"},
    ]}],
}  # fmt: skip


def kept_array(rig) -> World:
    """Homes on an array that stays: the running system has assembled it, the boot OS has not."""
    disks = rig.machine.disks
    disks["RF-D2"] = {"kname": "sdc", "size": 8 * GIB, "parts": {}}
    uuid = "11111111:22222222:33333333:44444444"
    home = {"size": 2 * GIB, "start": 2048, "partlabel": "home", "fstype": "ext4", "uuid": OLD_UUID}
    scratch = {"size": 5 * GIB, "start": 4196352, "partlabel": "scratch", "fstype": "ext4"}
    parts = {1: home, 2: scratch | {"uuid": ROOT_UUID.replace("8", "9")}}
    array = {"uuid": uuid, "name": "homes", "parts": parts, "size": 8 * GIB - MIB, "knames": ["sdb", "sdc"]}
    disks["RF-D1"]["member"] = disks["RF-D2"]["member"] = rig.machine.array = array
    plan = planned(rig, KEPT_ARRAY, seen_from="running-os")
    rig.machine.array = None
    return World(rig, plan, running="os")


def sealed(rig) -> World:
    """A TPM that is to open what is made, and what an earlier one opened: in a partition and in a volume."""
    key = base64.b64encode(b"hunter2").decode()
    header = {"fstype": "crypto_LUKS", "uuid": OLD_UUID, "key": key, "tpm": "of another board"}
    vault = {"size": 2 * GIB, "start": 2048, "partlabel": "vault", "label": f"rf.{ROOT_UUID}", **header}
    behind = {"size": 5 * GIB, "start": 4196352, "partlabel": "pv1", "fstype": "LVM2_member", "uuid": "pv-1"}
    rig.machine.tpm = "its own"
    rig.machine.disks["RF-D1"]["parts"] = {1: vault, 2: behind}
    volume = {"extents": 100, "tags": [f"rackflow.fs.{OLD_UUID}"], "made": ["mkfs.ext4"]}
    volume["header"] = {**header, "uuid": ROOT_UUID}
    group = {"uuid": "vg-old", "extent": 4 * MIB, "pvs": {"sdb2": "pv-1"}, "lvs": {"data": volume}}
    rig.machine.lvm.groups["old"] = group
    return World(rig, planned(rig, SEALED))


JOBS = {
    "wipe": wipe,
    "wipe-active": wipe_active,
    "sealed": sealed,
    "volumes": volumes,
    "old tables": old_tables,
    "lvm root": lvm_root,
    "pools": pools,
    "preserved": preserved,
    "kept array": kept_array,
    "hardware": hardware,
    "mirror": mirror,
    "plain": plain,
    "restart": restart,
    "boot": boot,
    "deletion": deletion,
}
