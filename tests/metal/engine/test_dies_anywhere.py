"""A run, its machine or both die at every moment of every step; what follows converges and repeats nothing.

Moments: after the intent, before and in and after each command, before and after what is sent to the
BMC, before the outcome.
"""

import base64
import copy
from collections.abc import Callable
from dataclasses import replace
from typing import get_args

import pytest

from lab.raid import model
from lab.raid import ssacli as smart_array
from lab.raid.model import Drive
from metal.drivers.erasing import RF_WIPE
from metal.drivers.hardware import read_hardware
from metal.errors import RackflowError
from metal.planning.basis import basis_of
from metal.planning.plan import Plan, Step, StepKind
from metal.planning.restarts import RESTARTS, declared
from metal.planning.steps import make_plan
from metal.planning.wiping import make_wipe_plan
from metal.protocols import BootFlags
from specs.erasure import WipeWish
from specs.facts import Observation
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


def planned(rig, spec: dict, image: ImageRecord = IMAGE) -> Plan:
    """As the planner makes it, on this machine as it is."""
    rig.machine.macs = ("52:54:00:77:02:00",)
    hardware, _ = read_hardware(rig.machine, "52:54:00:77:02:00")
    update = {"spec": Host.model_validate(spec), "image": image, "secrets": {"disk": 1}}
    order = rig.edge.order_.model_copy(update=update)
    rig.edge.order_ = order
    seen = Observation(at=rig.edge.now, seen_from="boot-os", hardware=hardware)
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
            {"name": "vault", "size": "rest", "filesystem": "ext4", "mount": "/vault", "luks": KEY},
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
                    "mount": "/l",
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
        {"name": "data", "size": "rest", "filesystem": "ext4", "mount": "/data", "luks": BY_TPM,
         "preserve": True},
    ]}],
}  # fmt: skip

Death = Callable[[World], Callable[[], None]]
DEATHS: dict[str, Death] = {
    "the run": lambda world: world.kill,
    "the machine": lambda world: world.cut_power,
    "both": lambda world: world.cut_power_and_kill,
}


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
    "hardware": hardware,
    "mirror": mirror,
    "plain": plain,
    "restart": restart,
    "boot": boot,
    "deletion": deletion,
}
STORAGE = ("tpm2", "luks-open", "wipe", "write-image", "partition", "volume-group", "mkfs", "crypttab")
DISKS_ALONE = ("plain", "volumes", "preserved", "sealed", "old tables", "lvm root", "pools")
HOLD_S = {"the run": "60", "the machine": "0", "both": "60"}
"""Without patience a run ends as soon as its machine boots, and the next one goes on."""


def moments(job: str, whole: World) -> list[int]:
    """Each moment that differs from the one before it: between them the run only reads."""
    events = whole.events
    chosen = []
    for number, event in enumerate(events):
        after = events[number + 1].what if number + 1 < len(events) else ""
        same = event.what.startswith("after ") and after == "before the outcome"
        if same or (event.what.startswith("before ") and "the outcome" not in event.what and number):
            continue
        # The rest is as on the mirror.
        if job not in DISKS_ALONE or event.step.startswith(STORAGE):
            chosen.append(number)
    return chosen


def test_every_kind_of_step_is_walked(make_rig):
    kinds = {step.kind for make in JOBS.values() for step in make(make_rig()).plan.steps}
    # The set-up of a BMC is killed before each of its calls by test_bmc_kills.
    assert kinds == set(get_args(StepKind)) - {"bmc-address"}
    assert set(RESTARTS) == set(get_args(StepKind))


@pytest.mark.parametrize("death", DEATHS)
@pytest.mark.parametrize("job", JOBS)
def test_what_follows_a_death_converges_and_repeats_nothing(job, death, make_rig, monkeypatch):
    monkeypatch.setenv("RACKFLOW_HOLD_S", HOLD_S[death])
    whole = JOBS[job](make_rig())
    whole.drive()
    wrong = []
    for moment in moments(job, whole):
        event = whole.events[moment]
        world = JOBS[job](make_rig())
        world.die_at, world.how = moment, DEATHS[death](world)
        told = f"{death} died {event.what} of {event.step}"
        try:
            world.drive()
        except (RackflowError, AssertionError) as error:
            wrong.append(f"{told}: {error!r}")
            continue
        if world.state() != whole.state():
            wrong.append(f"{told}: {differing(world.state(), whole.state())}")
        if death == "the run" and world.rig.bmc.sent != whole.rig.bmc.sent:
            wrong.append(f"{told}: the BMC was sent {world.rig.bmc.sent}")
        wrong += [f"{told}: sent again: {line}" for line in world.late]
    assert wrong == []


@pytest.mark.parametrize("make", [wipe, wipe_active])
def test_a_wiped_host_has_blank_disks_a_report_of_each_and_a_bmc_that_insists_on_none(make, make_rig):
    world = make(make_rig())
    world.drive()
    assert [(disk.get("parts"), disk.get("member")) for disk in world.machine.disks.values()] == [
        ({}, None)
    ] * 2
    reports = [row.detail["wipe"] for row in world.rig.edge.rows if "wipe" in row.detail]
    assert [(one["identity"], one["method"]) for one in reports] == [
        ("RF-D0", "metadata"),
        ("RF-D1", "discard"),
    ]
    assert world.rig.bmc.flags.target == "none"
    assert world.running == "boot-os"


def differing(found: dict, wanted: dict) -> dict:
    return {key: (found[key], wanted[key]) for key in wanted if found[key] != wanted[key]}


def test_a_root_in_a_volume_is_grown_to_the_plan_and_is_in_the_record(make_rig):
    world = lvm_root(make_rig())
    world.drive()
    step = next(one for one in world.plan.steps if one.kind == "partition")
    volume = world.machine.lvm.volume("system/root")
    assert volume["extents"] == volume["grown"] == step.args["root_volume"]["extents"] > 200
    assert world.machine.lvm.volume("system/swap")["extents"] == 10
    assert world.rig.edge.put["install"]["root_volume"]["pv_uuid"] == "pv-image"


def test_what_is_preserved_is_as_it_was_and_is_unlocked_by_its_id(make_rig):
    world = preserved(make_rig())
    before = copy.deepcopy(world.machine.disks["RF-D1"])
    world.drive()
    assert world.machine.disks["RF-D1"] == before
    texts = world.machine.guest["texts"]
    assert f"luks-vault UUID={OLD_UUID} /etc/rackflow/keys/vault.key luks,nofail" in texts["/etc/crypttab"]
    assert f"UUID={ROOT_UUID} /vault ext4" in texts["/etc/fstab"]
    assert texts["/etc/rackflow/keys/vault.key"] == "hunter2"


def test_the_tpm_opens_what_is_made_and_what_stays_and_no_key_lies_on_the_root(make_rig):
    world = sealed(make_rig())
    world.drive()
    disks, volume = world.machine.disks, world.machine.lvm.volume("old/data")
    headers = [*disks["RF-D0"]["parts"].values(), disks["RF-D1"]["parts"][1], volume["header"]]
    assert [one["tpm"] for one in headers if one.get("fstype") == "crypto_LUKS"] == ["its own"] * 3
    assert volume["header"]["uuid"] == ROOT_UUID
    texts = world.machine.guest["texts"]
    lines = [line for line in texts["/etc/crypttab"].splitlines() if line.startswith("luks-")]
    assert [line.split()[2:] for line in lines] == [["-", "luks,nofail,tpm2-device=auto,headless=yes"]] * 3
    assert not [path for path, text in texts.items() if "/keys/" in path or "hunter2" in text]


@pytest.mark.parametrize("broken", ["gone", "another key"])
def test_what_the_tpm_could_not_open_saves_the_root_from_being_erased(broken, make_rig):
    world = sealed(make_rig())
    if broken == "gone":
        world.machine.tpm = None
    else:
        world.machine.lvm.volume("old/data")["header"]["key"] = "another"
    world.machine.disks["RF-D0"] |= {"signature": "ext4", "parts": {1: {"size": GIB, "start": 2048}}}
    before = copy.deepcopy(world.machine.disks["RF-D0"])
    with pytest.raises(RackflowError) as raised:
        world.drive()
    failed = ("tpm2-missing", "tpm2") if broken == "gone" else ("step-failed", "luks-open:data")
    assert (raised.value.reason, world.rig.edge.rows[-1].step) == failed
    assert world.machine.disks["RF-D0"] == before


def test_what_is_preserved_and_does_not_open_saves_the_root_from_being_erased(make_rig):
    world = preserved(make_rig())
    world.machine.disks["RF-D1"]["parts"][1]["key"] = "another"
    world.machine.disks["RF-D0"] |= {"signature": "ext4", "parts": {1: {"size": GIB, "start": 2048}}}
    before = copy.deepcopy(world.machine.disks)
    with pytest.raises(RackflowError, match="could not open vault with its key"):
        world.drive()
    assert world.machine.disks == before


def test_an_image_that_could_ask_no_tpm_says_so(make_rig):
    world = sealed(make_rig())
    world.machine.guest["present"].pop("/usr/lib/x86_64-linux-gnu/libtss2-rc.so.0")
    with pytest.raises(RackflowError, match=r"the image has no libtss2-rc\.so\.0") as raised:
        world.drive()
    assert (raised.value.reason, world.rig.edge.rows[-1].step) == ("image-unfit", "crypttab")


@pytest.mark.parametrize(
    ("job", "tool", "package", "step"),
    [
        ("volumes", "lvm", "lvm2", "fstab"),
        ("pools", "thin_check", "thin-provisioning-tools", "fstab"),
        ("volumes", "systemd-cryptsetup", "systemd-cryptsetup", "crypttab"),
    ],
)
def test_an_image_that_could_not_mount_its_file_systems_says_so(job, tool, package, step, make_rig):
    world = JOBS[job](make_rig())
    present = world.machine.guest["present"]
    world.machine.guest["present"] = {path: here for path, here in present.items() if tool not in path}
    with pytest.raises(RackflowError, match=f"the image has no {package}") as raised:
        world.drive()
    assert (raised.value.reason, world.rig.edge.rows[-1].step) == ("image-unfit", step)
