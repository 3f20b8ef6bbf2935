"""What stays on a machine and would be torn, or found twice by the system that is installed."""

import pytest

from metal.planning.plan import Plan
from metal.planning.steps import make_plan
from specs.facts import (
    Disk,
    Hardware,
    LogicalVolumeFact,
    PartitionFact,
    PhysicalVolumeFact,
    RaidArray,
    VolumeGroupFact,
)
from specs.model import Host
from tests.metal.planning.test_lvm_root import VOLUME

GIB, MIB = 1 << 30, 1 << 20
ROOT_UUID = "11111111-2222-4333-8444-555555555555"
ROOT = {"root_device": {"serial": "RF-M1-D0"}}
ERASED = {"disks": [{"device": {"serial": "OLD"}, "partitions": [{"name": "x", "size": "rest"}]}]}


def part(device: str, **more: object) -> PartitionFact:
    return PartitionFact(number=1, device=device, start_bytes=MIB, size_bytes=GIB, **more)


def disk(device: str, serial: str, *parts: PartitionFact, **more: object) -> Disk:
    return Disk(device=device, serial=serial, size_bytes=8 * GIB, partitions=parts, found=("gpt",), **more)


def group(name: str, *devices: str) -> VolumeGroupFact:
    return VolumeGroupFact(
        name=name,
        uuid=f"VG-{name}",
        extent_bytes=4 * MIB,
        physical_volumes=tuple(PhysicalVolumeFact(uuid=f"P{one}", device=one) for one in devices),
        logical_volumes=(LogicalVolumeFact(name="data", uuid="L9", size_bytes=GIB, layout="linear"),),
    )


@pytest.fixture
def planned(make_order, observe, hardware, hosts, image):
    def plan(
        *more: Disk,
        groups=(),
        raids=(),
        info: dict | None = None,
        unknown: dict | None = None,
        **spec: object,
    ) -> Plan:
        seen: Hardware = hardware["db-01"]
        root = seen.disks[0].model_copy(update={"partitions": (part("/dev/vda1"),)})
        facts = {"disks": (root, *more), "raids": raids, "volume_groups": groups}
        seen = seen.model_copy(update=facts)
        body = hosts["db-01"].model_dump(mode="json") | {"disks": []} | ROOT | spec
        told = image.model_copy(update={"info": image.info | (info or {})})
        order = make_order("db-01", spec=Host.model_validate(body), image=told)
        return make_plan(order, observe(seen).model_copy(update={"unknown": unknown or {}}))

    return plan


def reasons(plan: Plan) -> str:
    assert plan.blocked == "foreign-content"
    return "; ".join(step.reason for step in plan.steps if step.blocked_by)


def test_another_disk_with_the_image_s_root_is_refused_unless_it_is_erased(planned) -> None:
    """Two hosts of one image, a disk of the one put into the other: it is chance which one is mounted."""
    old = disk("/dev/vdb", "OLD", part("/dev/vdb1", filesystem="ext4", fs_uuid=ROOT_UUID.upper()))
    told = reasons(planned(old))
    assert f"the image's root is found by {ROOT_UUID.upper()}, which /dev/vdb1 bears too" in told
    assert "stays on /dev/vdb OLD 8 GiB, gpt; the machine could start from either" in told
    assert planned(old, **ERASED).blocked is None


def test_half_of_a_file_system_over_two_disks_is_told(planned) -> None:
    old = [
        disk(f"/dev/vd{c}", f"OLD{c}", part(f"/dev/vd{c}1", filesystem="zfs_member", fs_uuid="77"))
        for c in "bc"
    ]
    shown = RaidArray(
        name="v", driver="storcli", uuid="77", level="raid1", size_bytes=GIB, controller="c", members=("D",),
        device="/dev/vdb", partitions=old[0].partitions,
    )  # fmt: skip
    erased = {"device": {"serial": "OLDb"}, "partitions": [{"name": "x", "size": "rest"}]}
    for raids in ((), (shown,)):  # what a controller shows is seen as a disk and as an array
        notes = planned(*old, raids=raids, disks=[erased]).notes
        assert ["zfs_member 77 is on /dev/vdc OLDc" in note for note in notes] == [True], notes


def test_so_is_one_that_may_never_be_written(planned) -> None:
    stick = disk("/dev/sdb", "STICK", part("/dev/sdb1", fs_uuid=ROOT_UUID), removable=True, transport="usb")
    assert "stays on /dev/sdb STICK" in reasons(planned(stick))


def test_a_second_physical_volume_of_the_image_is_refused_although_lvm_shows_one_group(planned) -> None:
    """LVM shows the group on one of the two, here on the one that is erased."""
    info = {"root_volume": VOLUME}
    both = {"filesystem": "LVM2_member", "fs_uuid": "PV1"}
    copy = disk("/dev/vdb", "OLD", part("/dev/vdb1", **both))
    groups = (group("system", "/dev/vda1"),)
    told = reasons(planned(copy, info=info, groups=groups))
    assert "the image's root is found by PV1, which /dev/vdb1 bears too" in told
    assert planned(copy, info=info, groups=groups, **ERASED).blocked is None


def test_a_group_of_the_spec_has_no_namesake_on_a_disk_that_stays(planned) -> None:
    """LVM in the installed system opens neither of two groups of one name."""
    disks = [
        {"device": {"serial": "D1"}, "partitions": [{"name": "pv", "size": "rest", "lvm": {"vg": "sys"}}]}
    ]
    volumes = [{"name": "sys", "logical_volumes": [{"name": "v", "size": "1GiB", "filesystem": "ext4"}]}]
    spec = {"disks": disks, "volume_groups": volumes}
    mine = disk("/dev/vdc", "D1")
    other = disk("/dev/vdb", "OLD", part("/dev/vdb1", filesystem="LVM2_member"))
    groups = (group("sys", "/dev/vdb1"),)
    told = reasons(planned(mine, other, groups=groups, **spec))
    assert "the spec has a volume group sys, and one of that name stays on /dev/vdb OLD" in told
    assert planned(mine, other, groups=groups, **spec | {"disks": disks + ERASED["disks"]}).blocked is None
    renamed = (group("another", "/dev/vdb1"),)
    assert planned(mine, other, groups=renamed, **spec).blocked is None


def test_a_group_that_reaches_over_a_container_is_not_torn(planned) -> None:
    old = disk("/dev/vdb", "OLD", part("/dev/vdb1", filesystem="LVM2_member"))
    told = reasons(planned(old, groups=(group("far", "/dev/vdb1", "/dev/mapper/crypt"),), **ERASED))
    assert "volume group far also lies on disks that stay: /dev/mapper/crypt" in told
    lost = (group("far", "/dev/vdb1", "[unknown]"),)  # its other disk is gone already
    assert planned(old, groups=lost, **ERASED).blocked is None


def test_a_group_over_a_controller_s_volume_that_stays_is_not_torn(planned) -> None:
    old = disk("/dev/vdb", "OLD", part("/dev/vdb1", filesystem="LVM2_member"))
    shown = disk("/dev/sdc", "VOL", wwn="6000c5")
    array = RaidArray(
        name="data", driver="storcli", uuid="6000c5", level="raid5", device="/dev/sdc", size_bytes=8 * GIB,
        members=("hidden",), controller="0000:03:00.0",
    )  # fmt: skip
    told = reasons(
        planned(old, shown, raids=(array,), groups=(group("far", "/dev/vdb1", "/dev/sdc"),), **ERASED)
    )
    assert "volume group far also lies on disks that stay: /dev/sdc VOL" in told


def test_where_groups_were_not_read_no_physical_volume_is_erased_beside_disks_that_stay(planned) -> None:
    old = disk("/dev/vdb", "OLD", part("/dev/vdb1", filesystem="LVM2_member"))
    other = disk("/dev/vdc", "STAYS")
    unknown = {"hardware.volume_groups": "lvm: exit status 124"}
    told = reasons(planned(old, other, unknown=unknown, **ERASED))
    assert "/dev/vdb OLD 8 GiB, gpt holds a physical volume, and its group may lie on other disks too" in told
    assert "the groups were not read (lvm: exit status 124)" in told
    assert planned(old, unknown=unknown, **ERASED).blocked is None
    assert planned(other, unknown=unknown).blocked is None
