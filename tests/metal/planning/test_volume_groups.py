"""Volume groups: sizes, what is shown and done, and what is kept or refused where groups stand already."""

import pytest

from metal.planning.safety import written_disks
from metal.planning.steps import make_plan
from specs.facts import (
    Hardware,
    LogicalVolumeFact,
    PartitionFact,
    PhysicalVolumeFact,
    VolumeGroupFact,
)
from specs.model import Host
from specs.phases import Phase

MIB, GIB = 1 << 20, 1 << 30
KEPT_FS = "55555555-6666-4777-8888-999999999999"


def spec_with(hosts: dict[str, Host], volumes: list[dict], **part: object) -> Host:
    """A group over partitions of two data disks."""
    body = hosts["db-01"].model_dump(mode="json")
    disks = [
        {
            "device": {"serial": serial},
            "partitions": [{"name": f"pv{n}", "size": "rest", "lvm": {"vg": "sys"}} | part],
        }
        for n, serial in enumerate(("D1", "D2"))
    ]
    groups = [{"name": "sys", "logical_volumes": volumes}]
    return Host.model_validate({**body, "disks": disks, "volume_groups": groups})


def with_data_disks(hardware: Hardware, *, standing: bool = False, **group: object) -> Hardware:
    """Two disks beside the root's, blank or with a group on a partition of each."""
    root = hardware.disks[0]
    disks = []
    for n, serial in enumerate(("D1", "D2")):
        part = PartitionFact(
            number=1,
            device=f"/dev/vd{n}1",
            start_bytes=MIB,
            size_bytes=GIB,
            name=f"pv{n}",
            filesystem="LVM2_member",
        )
        seen = {"device": f"/dev/vd{n}", "serial": serial}
        if standing:
            seen |= {"partitions": (part,), "found": ("gpt with 1 partition",)}
        disks.append(root.model_copy(update=seen))
    fact = VolumeGroupFact(
        name="sys",
        uuid="VG1",
        extent_bytes=4 * MIB,
        physical_volumes=tuple(PhysicalVolumeFact(uuid=f"P{n}", device=f"/dev/vd{n}1") for n in (0, 1)),
        logical_volumes=(
            LogicalVolumeFact(
                name="data", uuid="L1", size_bytes=GIB, layout="linear", tags=(f"rackflow.fs.{KEPT_FS}",)
            ),
            LogicalVolumeFact(name="scratch", uuid="L2", size_bytes=64 * MIB, layout="linear"),
        ),
    ).model_copy(update=group)
    groups = (fact,) if standing else ()
    return hardware.model_copy(update={"disks": (root, *disks), "volume_groups": groups})


DATA = {"name": "data", "size": "rest", "filesystem": "xfs", "mount": "/data", "preserve": True}
SCRATCH = {"name": "scratch", "size": "64MiB", "filesystem": "ext4", "mount": "/scratch"}


def test_a_group_spans_disks_and_its_sizes_are_whole_extents(hosts, hardware, make_order, observe) -> None:
    volumes = [
        {"name": "a", "size": "1001MiB", "filesystem": "xfs", "mount": "/a"},
        {"name": "b", "size": "25%", "filesystem": "btrfs", "mount": "/b"},
        {"name": "c", "size": "rest"},
    ]
    seen = with_data_disks(hardware["db-01"])
    plan = make_plan(make_order("db-01", spec=spec_with(hosts, volumes)), observe(seen))
    assert plan.blocked is None
    step = plan.step("volume-group:sys")
    assert [(one["target"]["identity"], one["number"]) for one in step.args["pvs"]] == [("D1", 1), ("D2", 1)]
    each = (8 * GIB - 2 * MIB - MIB) // (4 * MIB)  # LVM keeps the first MiB of a partition
    extents = [one["extents"] for one in step.args["volumes"]]
    assert extents == [251, (2 * each - 251) // 4, 2 * each - 251 - (2 * each - 251) // 4]
    order = [one.id for one in plan.steps]
    assert order.index("partition:D2") < order.index("volume-group:sys") < order.index("mkfs:a")
    assert "mkfs:c" not in order
    assert {"D1", "D2"} <= set(written_disks(plan))


def test_a_preserved_volume_stays_and_is_mounted_by_the_id_it_bears(
    hosts, hardware, make_order, observe
) -> None:
    seen = with_data_disks(hardware["db-01"], standing=True)
    order = make_order("db-01", spec=spec_with(hosts, [DATA, SCRATCH]), phase=Phase.ACTIVE)
    plan = make_plan(order, observe(seen), reinstall=True)
    assert plan.blocked is None
    touched = {step.id for step in plan.steps if step.destructive}
    assert touched == {"wipe:RF-M1-D0", "write-image", "partition:RF-M1-D0", "mkfs:scratch"}
    assert plan.step("mkfs:scratch").args["group"]["uuid"] == "VG1"
    mounts = {one["mount"]: one for one in plan.step("fstab").args["mounts"]}
    assert mounts["/data"]["fs_uuid"] == KEPT_FS
    assert "fs_uuid" not in mounts["/scratch"]


def test_a_volume_that_somebody_else_made_is_mounted_by_its_device(
    hosts, hardware, make_order, observe
) -> None:
    made = (LogicalVolumeFact(name="data", uuid="L1", size_bytes=GIB, layout="linear"),)
    seen = with_data_disks(hardware["db-01"], standing=True, logical_volumes=made)
    plan = make_plan(make_order("db-01", spec=spec_with(hosts, [DATA])), observe(seen))
    assert plan.blocked is None
    (mount,) = plan.step("fstab").args["mounts"]
    assert (mount["device"], mount.get("fs_uuid")) == ("/dev/sys/data", None)


@pytest.mark.parametrize(
    ("group", "message"),
    [
        ({"name": "other"}, "group sys holds data to preserve, and is not on pv0, pv1; seen there: other on"),
        (
            {"physical_volumes": (PhysicalVolumeFact(uuid="P0", device="/dev/vd01"),)},
            "group sys holds data to preserve, and is not on pv0, pv1",
        ),
        ({"logical_volumes": ()}, "group sys holds data to preserve and no logical volume data; it has none"),
    ],
)
def test_a_group_that_is_not_the_one_to_preserve_is_refused(
    group, message, hosts, hardware, make_order, observe
) -> None:
    seen = with_data_disks(hardware["db-01"], standing=True, **group)
    plan = make_plan(make_order("db-01", spec=spec_with(hosts, [DATA])), observe(seen))
    assert plan.blocked == "layout-impossible"
    assert message in plan.steps[0].reason


def test_a_group_of_the_same_name_on_other_disks_is_no_part_of_it(
    hosts, hardware, make_order, observe
) -> None:
    """It is neither taken for the spec's nor touched; nor is a second one made beside it."""
    seen = with_data_disks(hardware["db-01"])
    other = VolumeGroupFact(
        name="sys",
        uuid="VG9",
        extent_bytes=4 * MIB,
        physical_volumes=(PhysicalVolumeFact(uuid="P9", device="/dev/vd9"),),
        logical_volumes=(LogicalVolumeFact(name="data", uuid="L9", size_bytes=GIB, layout="linear"),),
    )
    disk = seen.disks[0].model_copy(update={"device": "/dev/vd9", "serial": "D9"})
    seen = seen.model_copy(update={"disks": (*seen.disks, disk), "volume_groups": (other,)})
    plan = make_plan(make_order("db-01", spec=spec_with(hosts, [DATA])), observe(seen))
    assert plan.blocked == "foreign-content"
    assert "one of that name stays on /dev/vd9 D9" in plan.steps[0].reason
    assert "D9" not in written_disks(plan)
    apart = other.model_copy(update={"name": "sys2"})
    plan = make_plan(
        make_order("db-01", spec=spec_with(hosts, [DATA])),
        observe(seen.model_copy(update={"volume_groups": (apart,)})),
    )
    assert plan.blocked is None
    assert "volume-group:sys" in [step.id for step in plan.steps]
    assert "D9" not in written_disks(plan)


def test_a_group_of_which_a_part_would_stay_is_not_torn(hosts, hardware, make_order, observe) -> None:
    seen = with_data_disks(hardware["db-01"], standing=True)
    body = hosts["db-01"].model_dump(mode="json")
    disks = [{"device": {"serial": "D1"}, "partitions": [{"name": "x", "size": "rest"}]}]
    plan = make_plan(make_order("db-01", spec=Host.model_validate({**body, "disks": disks})), observe(seen))
    assert plan.blocked == "foreign-content"
    assert "volume group sys also lies on disks that stay: /dev/vd1 D2" in plan.steps[0].reason


@pytest.mark.parametrize(
    ("volumes", "message"),
    [
        ([{"name": "a", "size": "17GiB"}], "volumes of group sys need 17 GiB, it has 16 GiB"),
        (
            [{"name": "a", "size": "200MiB", "filesystem": "xfs", "mount": "/a"}],
            "sys/a would get 200 MiB, the least of xfs is 300 MiB",
        ),
    ],
)
def test_volumes_that_do_not_fit_are_refused_before_anything(
    volumes, message, hosts, hardware, make_order, observe
) -> None:
    seen = with_data_disks(hardware["db-01"])
    plan = make_plan(make_order("db-01", spec=spec_with(hosts, volumes)), observe(seen))
    assert plan.blocked == "layout-impossible"
    assert message in plan.steps[0].reason


def test_a_volume_that_never_held_anything_is_made_anew_and_one_too_small_is_refused(
    hosts, hardware, make_order, observe
) -> None:
    """A job that died after it made the volume has left it empty: that is nothing to preserve."""
    tagged = LogicalVolumeFact(
        name="data", uuid="L1", size_bytes=GIB, layout="linear", tags=("rackflow.fs.none",)
    )
    seen = with_data_disks(hardware["db-01"], standing=True, logical_volumes=(tagged,))
    plan = make_plan(make_order("db-01", spec=spec_with(hosts, [DATA])), observe(seen))
    assert plan.blocked is None
    assert plan.step("mkfs:data").args["group"]["uuid"] == "VG1"
    (mount,) = plan.step("fstab").args["mounts"]
    assert not {"fs_uuid", "device"} & mount.keys()
    small = tagged.model_copy(update={"size_bytes": 64 * MIB})
    seen = with_data_disks(hardware["db-01"], standing=True, logical_volumes=(small,))
    plan = make_plan(make_order("db-01", spec=spec_with(hosts, [DATA])), observe(seen))
    assert plan.blocked == "layout-impossible"
    assert "sys/data would get 64 MiB, the least of xfs is 300 MiB" in plan.steps[0].reason


def test_what_others_put_into_a_volume_is_preserved_although_a_job_made_it_empty(
    hosts, hardware, make_order, observe
) -> None:
    raw = {"name": "data", "size": "rest"}
    made = make_plan(
        make_order("db-01", spec=spec_with(hosts, [raw, SCRATCH])),
        observe(with_data_disks(hardware["db-01"])),
    )
    told = {one["name"]: one.get("raw") for one in made.step("volume-group:sys").args["volumes"]}
    assert told == {"data": True, "scratch": None}
    theirs = LogicalVolumeFact(
        name="data", uuid="L1", size_bytes=GIB, layout="linear", tags=("rackflow.raw",)
    )
    seen = with_data_disks(hardware["db-01"], standing=True, logical_volumes=(theirs,))
    plan = make_plan(make_order("db-01", spec=spec_with(hosts, [DATA])), observe(seen))
    assert plan.blocked is None
    assert [step.id for step in plan.steps if step.kind == "mkfs"] == []
