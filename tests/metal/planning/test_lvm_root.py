"""Images whose root is a logical volume: what it is grown to, and what would make its group ambiguous."""

from typing import Any

import pytest

from metal.planning.disks import Refusal
from metal.planning.layout import MIB, ImageLayout, read_image
from metal.planning.plan import Plan
from metal.planning.steps import make_plan
from specs.facts import Disk, Hardware, PartitionFact, PhysicalVolumeFact, VolumeGroupFact
from specs.model import Host

GIB = 1 << 30
VOLUME: dict[str, Any] = {
    "vg": "system", "vg_uuid": "VG1", "lv": "root", "lv_uuid": "LV1", "pv_uuid": "PV1", "filesystem": "xfs",
    "extent_bytes": 4 * MIB, "first_extent_bytes": MIB, "extents": 200, "other_extents": 30, "problem": None,
}  # fmt: skip


def planned(make_order, observe, hardware: Hardware, hosts, image, name: str = "db-01", **more: Any) -> Plan:
    held = image.model_copy(update={"info": {**image.info, "root_volume": VOLUME | more.pop("volume", {})}})
    body = hosts[name].model_dump(mode="json") | {"disks": more.pop("disks", [])} | more
    return make_plan(make_order(name, spec=Host.model_validate(body), image=held), observe(hardware))


def test_the_volume_takes_what_its_partition_and_the_group_s_others_leave(
    make_order, observe, hardware, hosts, image
) -> None:
    disks = [{"device": "root", "partitions": [
        {"name": "root", "size": "4GiB", "mount": "/"},
        {"name": "data", "size": "rest", "filesystem": "ext4", "mount": "/data"},
    ]}]  # fmt: skip
    plan = planned(make_order, observe, hardware["db-01"], hosts, image, disks=disks)
    assert plan.blocked is None
    step = plan.step("partition:RF-M1-D0")
    assert step.args["root_volume"]["extents"] == (4 * GIB - MIB) // (4 * MIB) - 30 == 993
    assert (step.new or "").startswith("root 4 GiB (system/root), data ")
    record = plan.step("install-record").args["root_volume"]
    assert record == {key: VOLUME[key] for key in ("vg", "lv", "vg_uuid", "lv_uuid", "pv_uuid", "filesystem")}


def test_alone_it_takes_the_disk(make_order, observe, hardware, hosts, image) -> None:
    step = planned(make_order, observe, hardware["db-01"], hosts, image).step("partition:RF-M1-D0")
    assert step.args["root"]["size_bytes"] is None
    room = 8 * GIB - MIB - 35 * MIB
    assert step.args["root_volume"]["extents"] == (room - MIB) // (4 * MIB) - 30


@pytest.mark.parametrize("problem", ["it lies on 2 partitions", "logical volume pool is not linear"])
def test_a_group_that_cannot_be_grown_is_unfit(problem: str, image) -> None:
    found = read_image({**image.info, "root_volume": VOLUME | {"problem": problem}}, 512)
    assert isinstance(found, Refusal)
    assert found.reason == "image-unfit"
    assert f"is in volume group system, which cannot be grown: {problem}" in found.message
    assert isinstance(read_image({**image.info, "root_volume": VOLUME}, 512), ImageLayout)


def with_namesake(hardware: Hardware) -> Hardware:
    """Another disk with a group of the image's name: the last system's."""
    part = PartitionFact(number=1, device="/dev/vdb1", start_bytes=MIB, size_bytes=GIB)
    disk = Disk(device="/dev/vdb", serial="OLD", size_bytes=8 * GIB, partitions=(part,), found=("gpt",))
    group = VolumeGroupFact(
        name="system",
        uuid="VG1",
        extent_bytes=4 * MIB,
        physical_volumes=(PhysicalVolumeFact(uuid="PV1", device="/dev/vdb1"),),
    )
    return hardware.model_copy(update={"disks": (*hardware.disks, disk), "volume_groups": (group,)})


def test_a_namesake_that_stays_is_refused_and_one_that_is_erased_is_not(
    make_order, observe, hardware, hosts, image
) -> None:
    seen = with_namesake(hardware["db-01"])
    root = {"root_device": {"serial": "RF-M1-D0"}}
    plan = planned(make_order, observe, seen, hosts, image, **root)
    assert plan.blocked == "foreign-content"
    assert "the image has its root in volume group system, and one of that name stays on /dev/vdb OLD" in (
        plan.steps[0].reason
    )
    disks = [{"device": {"serial": "OLD"}, "partitions": [{"name": "x", "size": "rest"}]}]
    assert planned(make_order, observe, seen, hosts, image, disks=disks, **root).blocked is None


def test_a_group_of_the_spec_has_another_name_than_the_image_s(
    make_order, observe, hardware, hosts, image
) -> None:
    disks = [{"device": "root", "partitions": [
        {"name": "root", "size": "4GiB", "mount": "/"},
        {"name": "pv", "size": "rest", "lvm": {"vg": "system"}},
    ]}]  # fmt: skip
    plan = planned(make_order, observe, hardware["db-01"], hosts, image, disks=disks)
    assert plan.blocked == "layout-impossible"
    assert "system is the volume group of the image's own root" in plan.steps[0].reason


def test_software_raid_below_it_is_refused(make_order, observe, hardware, hosts, image) -> None:
    plan = planned(make_order, observe, hardware["web-01"], hosts, image, "web-01")
    assert plan.blocked == "unsupported"
    assert "image debian-12 has its root on LVM, and system is software RAID" in plan.steps[0].reason
