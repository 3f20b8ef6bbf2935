"""A run, its machine or both die at every moment of every step; what follows converges and repeats nothing.

Moments: after the intent, before and in and after each command, before and after what is sent to the
BMC, before the outcome.
"""

import copy
from collections.abc import Callable
from typing import get_args

import pytest

from metal.drivers.guest.facts import RELABELS
from metal.drivers.guest.fstab import PATIENCE
from metal.drivers.guest.phone_home import RELABEL
from metal.errors import RackflowError
from metal.planning.plan import StepKind
from metal.planning.restarts import RESTARTS
from tests.metal.engine.whole_jobs import (
    GIB,
    JOBS,
    OLD_UUID,
    ROOT_UUID,
    kept_array,
    lvm_root,
    preserved,
    sealed,
    wipe,
    wipe_active,
)
from tests.metal.engine.world import World

Death = Callable[[World], Callable[[], None]]
DEATHS: dict[str, Death] = {
    "the run": lambda world: world.kill,
    "the machine": lambda world: world.cut_power,
    "both": lambda world: world.cut_power_and_kill,
}
STORAGE = (
    *("tpm2", "luks-open", "wipe", "write-image", "partition", "volume-group", "mkfs", "crypttab", "fill"),
    *("mounts", "accounts-in", "files-in"),
)
DISKS_ALONE = ("plain", "volumes", "preserved", "kept array", "sealed", "old tables", "lvm root", "pools")
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


@pytest.mark.parametrize(
    ("job", "folders"),
    [
        ("plain", {"/home", "/var/log"}),
        ("volumes", {"/var", "/opt/vault"}),
        ("old tables", {"/var/log"}),
        ("lvm root", {"/home", "/var/log"}),
        ("pools", {"/usr/local"}),
        ("mirror", set()),
    ],
)
def test_what_would_be_hidden_is_taken_over_at_the_end(job, folders, make_rig):
    world = JOBS[job](make_rig())
    world.drive()
    assert world.machine.filled == folders
    kinds = [step.kind for step in world.plan.steps]
    assert all(kinds.index("management") < n for n, kind in enumerate(kinds) if kind == "fill")


@pytest.mark.parametrize(
    ("make", "steps"),
    [
        (preserved, {"files-in:vault": ["/vault/conf/a"]}),
        (sealed, {"accounts-in:data": ["ops", "rackflow"]}),
        (kept_array, {"accounts-in:home": ["ops", "rackflow"]}),
    ],
)
def test_accounts_and_files_are_set_in_what_stays_before_it_hides_them(make, steps, make_rig):
    world = make(make_rig())
    world.drive()
    told = {
        step.id: [one.get("path") or one["name"] for one in (*step.args["accounts"], *step.args["files"])]
        for step in world.plan.steps
        if step.kind == "in-mount" and not step.id.startswith("mounts:")
    }
    assert told == steps
    ids = [step.id for step in world.plan.steps]
    assert ids.index("fstab") < ids.index(next(iter(steps))) < ids.index("host-key")
    if make is sealed:
        assert ids.index("accounts-in:data") < ids.index("users")


def test_what_is_preserved_is_as_it_was_and_is_unlocked_by_its_id(make_rig):
    world = preserved(make_rig())
    before = copy.deepcopy(world.machine.disks["RF-D1"])
    world.drive()
    assert world.machine.disks["RF-D1"] == before
    texts = world.machine.guest["texts"]
    line = f"luks-vault UUID={OLD_UUID} /etc/rackflow/keys/vault.key luks,nofail,{PATIENCE}"
    assert line in texts["/etc/crypttab"]
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
    how = f"luks,nofail,{PATIENCE},tpm2-device=auto,headless=yes"
    assert [line.split()[2:] for line in lines] == [["-", how]] * 3
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


def test_an_image_whose_lvm_would_look_at_its_builder_s_disks_alone_says_so(make_rig):
    world = JOBS["volumes"](make_rig())
    world.machine.guest["present"]["/etc/lvm/devices/system.devices"] = True
    with pytest.raises(RackflowError, match="it would see none of its new groups") as raised:
        world.drive()
    assert (raised.value.reason, world.rig.edge.rows[-1].step) == ("image-unfit", "fstab")


@pytest.mark.parametrize("labels", [True, False])
def test_a_system_with_selinux_labels_what_the_job_has_written(labels, make_rig):
    """Without labels sshd would be denied the keys; a system without SELinux gets no such file."""
    world = JOBS["plain"](make_rig())
    world.machine.guest["present"][RELABELS] = labels
    world.drive()
    assert (RELABEL in world.machine.guest["files"]) is labels


def test_what_a_killed_job_has_left_in_dev_is_in_no_group_s_way(make_rig):
    """LVM makes no group of a name that is in /dev; only a restart would have cleared it."""
    world = JOBS["volumes"](make_rig())
    world.machine.folders = {"/dev/sys", "/dev/other"}
    world.drive()
    assert world.machine.folders == {"/dev/other"}
    assert list(world.machine.lvm.groups) == ["sys"]


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
