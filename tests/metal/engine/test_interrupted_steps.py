"""What a start finds that another left behind: its own traces are no movement, everybody else's are."""

import copy

import pytest

from metal.drivers.hardware import read_hardware
from metal.engine.claim import Claim
from metal.engine.steps import run_step
from metal.errors import Refused, Unreachable
from metal.planning.basis import basis_of
from metal.planning.plan import Destroyed, Plan, Step
from metal.protocols import Output
from specs.facts import Observation
from tests.metal.engine import whole_jobs

GIB = 1 << 30
DISK = {"identity": "RF-D0", "size_bytes": 8 * GIB}
LEAVES = ("hardware.disks.RF-D0.found", "hardware.disks.RF-D0.partitions")
IMAGE = {"image_digest": "sha256:1", "manifest_sha256": "ab", "manifest_url": "http://e/m", "size_bytes": GIB}
ROOT_UUID = "8d1f2c5e-6a0b-4c7d-9e3f-d3b1a212f001"


def planned(rig) -> Plan:
    """A wipe that finds nothing, then the image: the first step that writes is the image's."""
    hardware, _ = read_hardware(rig.machine, None)
    seen = Observation(at=rig.edge.now, seen_from="boot-os", hardware=hardware)
    erased = (Destroyed(serial="RF-D0", size_bytes=8 * GIB, found="blank"),)
    steps = (
        Step(id="wipe", kind="wipe", field="disks", reason="r", destructive=True, destroys=erased,
             leaves=LEAVES, args={"target": DISK, "method": "metadata"}),
        Step(id="write-image", kind="write-image", field="image", reason="r", destructive=True,
             leaves=LEAVES, restart="repeat", args={"target": DISK, **IMAGE, "root_uuid": ROOT_UUID}),
    )  # fmt: skip
    return Plan(
        host="web-01", host_id="h1", specset="s", spec="web-01", observed_at=None, seen_from="boot-os",
        steps=steps, basis=basis_of(seen, "hardware"),
    )  # fmt: skip


def run(rig, plan: Plan, step: str, *, job: int = 7, run_id: str = "run-1"):
    claim = Claim("web-01", job, run_id, 4)
    return run_step(rig.edge, claim, plan, step, log=rig.said.append, around=rig.around)


def lose_the_server(rig) -> None:
    """The image's server goes away after a part of the image was written."""
    obeys = rig.machine.changed

    def half(change):
        obeys(change)
        return (
            Output(change.argv, 69, "", "no answer, 9 times") if change.argv[0].endswith("rf-write") else None
        )

    rig.machine.on_change = half


def resume_name(rig) -> str:
    argv = [sent.change.argv for sent in rig.machine.sent if sent.change.argv[0].endswith("rf-write")][-1]
    return argv[argv.index("--resume") + 1]


def test_an_image_whose_server_went_away_is_gone_on_with(rig):
    plan = planned(rig)
    assert run(rig, plan, "wipe").message == "not needed"
    lose_the_server(rig)
    with pytest.raises(Unreachable):
        run(rig, plan, "write-image")
    rig.machine.on_change = rig.machine.changed
    assert run(rig, plan, "write-image").changed


def test_a_new_run_finds_its_jobs_traces_but_no_disk_that_was_swapped(rig):
    plan = planned(rig)
    lose_the_server(rig)
    with pytest.raises(Unreachable):
        run(rig, plan, "write-image")
    del rig.edge.rows[-1]  # the run died before it could write the outcome
    rig.machine.on_change = rig.machine.changed
    other = rig.machine.disks.pop("RF-D1")
    rig.machine.disks["RF-NEW"] = other
    with pytest.raises(Refused, match=r"hardware\.disks\.RF-D1: was .* is gone") as caught:
        run(rig, plan, "write-image", run_id="run-2")
    assert caught.value.reason == "plan-moved"
    assert "RF-D0" not in caught.value.message
    assert rig.machine.programs == ["/usr/lib/rackflow/rf-write", "true"]
    rig.machine.disks["RF-D1"] = rig.machine.disks.pop("RF-NEW")
    assert run(rig, plan, "write-image", run_id="run-2").changed


def test_a_disk_of_the_serial_but_another_size_is_not_written(rig):
    plan = planned(rig).model_copy(update={"basis": {"reads": "system"}})
    rig.machine.disks["RF-D0"]["size"] = 4 * GIB
    with pytest.raises(Refused, match=f"disk RF-D0 has {4 * GIB} bytes, the plan is for {8 * GIB}"):
        run(rig, plan, "write-image")
    assert rig.machine.sent == []


def keep_the_old_table(rig) -> None:
    """The kernel keeps the table that it knows until it is told to read again; sgdisk reads the disk."""
    obeys, disk, written = rig.machine.changed, rig.machine.disks["RF-D0"], []

    def half(change):
        if change.argv[0] == "blockdev" and written:
            disk["parts"] = written.pop()
        if change.argv[0] != "sgdisk":
            return obeys(change)
        if written:
            return Output(change.argv, 4, "", "Could not create partition 2 from 3 to 4")
        known = copy.deepcopy(disk["parts"])
        said = obeys(change)
        written.append(disk["parts"])
        disk["parts"] = known
        return said

    rig.machine.on_change = half


def test_a_table_that_the_kernel_did_not_take_is_read_anew_and_not_written_twice(rig):
    plan = whole_jobs.planned(rig, whole_jobs.PLAIN)
    for step in plan.steps[: [one.kind for one in plan.steps].index("partition")]:
        run(rig, plan, step.id)
    keep_the_old_table(rig)
    with pytest.raises(Refused, match="ran, and still: partition 1"):
        run(rig, plan, "partition:RF-D0")
    assert run(rig, plan, "partition:RF-D0").changed
    assert rig.machine.programs.count("sgdisk") == 1


def test_another_job_writes_the_image_anew(rig):
    """It wiped the disk first: chunks that an earlier job wrote are not there any more."""
    plan = planned(rig)
    run(rig, plan, "write-image")
    first = resume_name(rig)
    again = plan.model_copy(update={"specset": "s2", "basis": {"reads": "system"}})
    run(rig, again, "write-image", job=8)
    assert resume_name(rig) != first


def test_members_of_an_array_that_is_deleted_are_guarded_by_size(rig):
    members = [{"identity": name, "size_bytes": 8 * GIB} for name in ("RF-D0", "RF-D1")]
    rig.machine.disks["RF-D0"]["signature"] = rig.machine.disks["RF-D1"]["signature"] = "linux_raid_member"
    args = {"name": "old", "uuid": "00" * 16, "members": members}
    step = Step(
        id="raid-delete:old", kind="raid-delete", field="raid", reason="r", destructive=True, args=args
    )
    plan = planned(rig).model_copy(update={"steps": (step,)})

    def cleared(change):
        for guard in change.disks:
            rig.machine.disks[guard.identity]["signature"] = None

    rig.machine.on_change = cleared
    run(rig, plan, "raid-delete:old")
    guards = [disk for sent in rig.machine.sent for disk in sent.change.disks]
    assert [(disk.identity, disk.size_bytes) for disk in guards] == [("RF-D0", 8 * GIB), ("RF-D1", 8 * GIB)]


def test_a_thin_volume_that_is_listed_and_does_not_open_is_made_again_with_its_pool(rig):
    """LVM was killed between its own metadata and the pool's; what opens is left as it is."""
    plan = whole_jobs.planned(rig, whole_jobs.POOLS)
    for step in plan.steps[: [one.kind for one in plan.steps].index("volume-group")]:
        run(rig, plan, step.id)
    obeys, killed = rig.machine.changed, []

    def half(change):
        if "--thinpool" in change.argv and not killed:
            killed.append(change)
            rig.machine.tear = True
            obeys(change)
            raise Unreachable("the run died", host="web-01")
        return obeys(change)

    rig.machine.on_change = half
    with pytest.raises(Unreachable):
        run(rig, plan, "volume-group:sys")
    assert rig.machine.lvm.volume("sys/thin")["unsent"]
    assert run(rig, plan, "volume-group:sys").changed
    assert "unsent" not in rig.machine.lvm.volume("sys/thin")
    removed = [sent.change.argv[-1] for sent in rig.machine.sent if "lvremove" in sent.change.argv]
    assert removed == ["sys/pool"]
    assert run(rig, plan, "mkfs:thin").changed


KEPT = {"name": "data", "size": "rest", "filesystem": "ext4", "mount": "/data", "preserve": True}
SUBVOLUMES = {"filesystem": "btrfs", "subvolumes": [{"name": "@a", "mount": "/a"}]}


@pytest.mark.parametrize(
    ("held", "says"),
    [
        (["mkfs.ext4"], None),
        (["mkfs.xfs"], "wrong fs type"),  # the spec says ext4: nothing would mount it
    ],
)
def test_a_volume_that_stays_mounts_as_the_spec_says_before_anything_is_erased(rig, held, says):
    """No reading shows what is in it: after the installation it would be too late."""
    part = {"size": 7 * GIB, "start": 2048, "partlabel": "pv1", "fstype": "LVM2_member", "uuid": "pv-1"}
    rig.machine.disks["RF-D1"]["parts"] = {1: part}
    volume = {"extents": 100, "tags": [f"rackflow.fs.{ROOT_UUID}"], "made": held}
    group = {"uuid": "vg-old", "extent": 4 << 20, "pvs": {"sdb1": "pv-1"}, "lvs": {"data": volume}}
    rig.machine.lvm.groups["old"] = group
    spec = whole_jobs.COMMON | {
        "rootDevice": {"serial": "RF-D0"},
        "disks": [
            {"device": {"serial": "RF-D1"},
             "partitions": [{"name": "pv1", "size": "rest", "lvm": {"vg": "old"}}]}
        ],
        "volumeGroups": [{"name": "old", "logicalVolumes": [KEPT]}],
    }  # fmt: skip
    first_of(rig, whole_jobs.planned(rig, spec), says)


@pytest.mark.parametrize(
    ("held", "says"), [(["@a", "@b"], None), (["@b"], "Could not access {mount}/@a: No such file")]
)
def test_what_stays_has_the_subvolumes_that_will_be_mounted(rig, held, says):
    part = {
        "size": 7 * GIB,
        "start": 2048,
        "partlabel": "data",
        "fstype": "btrfs",
        "uuid": whole_jobs.OLD_UUID,
    }
    rig.machine.disks["RF-D1"]["parts"] = {1: part | {"subvolumes": held}}
    parts = [KEPT | SUBVOLUMES]
    disks = [{"device": {"serial": "RF-D1"}, "partitions": parts}]
    spec = whole_jobs.COMMON | {"rootDevice": {"serial": "RF-D0"}, "disks": disks}
    first_of(rig, whole_jobs.planned(rig, spec), says)
    assert rig.machine.disks["RF-D1"]["parts"][1]["subvolumes"] == held


def first_of(rig, plan: Plan, says: str | None) -> None:
    """The step that mounts what stays: it goes before all that destroys."""
    ids = [step.id for step in plan.steps]
    assert ids.index("mounts:data") < next(n for n, step in enumerate(plan.steps) if step.destructive)
    if says is None:
        run(rig, plan, "mounts:data")
        return
    with pytest.raises(Refused) as caught:
        run(rig, plan, "mounts:data")
    assert says in str(caught.value)
