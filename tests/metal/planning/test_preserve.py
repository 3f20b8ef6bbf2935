"""Data that a spec says to preserve outlives every plan, also where the machine does not show it."""

import pytest

from metal.planning.steps import make_plan
from specs.facts import Hardware, PartitionFact, RaidArray
from specs.model import Host
from specs.phases import Phase

DATA = {
    "device": {"raid": "data"},
    "partitions": [{"name": "data", "size": "rest", "filesystem": "xfs", "mount": "/data", "preserve": True}],
}
PART = PartitionFact(number=1, device="/dev/md0p1", start_bytes=1 << 20, size_bytes=1 << 30, name="data")


def spec_with(hosts: dict[str, Host], level: str = "raid1") -> Host:
    body = hosts["web-01"].model_dump(mode="json")
    drives = {"serials": ["D2", "D3"], "count": 2}
    data = {"name": "data", "level": level, "drives": drives}
    system = {"name": "system", "level": "raid1", "drives": {"serials": ["RF-M2-D0", "RF-M2-D1"], "count": 2}}
    return Host.model_validate({**body, "raid": [system, data], "disks": [DATA]})


def with_data_disks(hardware: Hardware, *found: str) -> Hardware:
    disk = hardware.disks[0]
    more = tuple(
        disk.model_copy(update={"device": f"/dev/sd{n}", "serial": f"D{n}", "found": found}) for n in (2, 3)
    )
    return hardware.model_copy(update={"disks": (*hardware.disks, *more)})


def array(level: str = "raid1", parts: tuple[PartitionFact, ...] = (PART,)) -> RaidArray:
    return RaidArray(
        name="data", driver="md", uuid="u", level=level, device="/dev/md0", size_bytes=4 << 30,
        members=("D2", "D3"), partitions=parts,
    )  # fmt: skip


def test_an_array_that_the_boot_os_did_not_assemble_is_not_taken_for_an_empty_one(
    hosts, hardware, make_order, observe
) -> None:
    """The boot OS assembles none: only the members' superblocks say that there is data."""
    seen = with_data_disks(hardware["web-01"], "linux_raid_member of any:data")
    plan = make_plan(make_order("web-01", spec=spec_with(hosts)), observe(seen))
    assert plan.blocked == "layout-impossible"
    (reason,) = [step.reason for step in plan.steps if step.blocked_by]
    assert "data holds data to preserve (linux_raid_member of any:data)" in reason
    assert "its array is not assembled" in reason


def test_members_that_are_blank_are_built_as_the_spec_asks(hosts, hardware, make_order, observe) -> None:
    plan = make_plan(
        make_order("web-01", spec=spec_with(hosts)), observe(with_data_disks(hardware["web-01"]))
    )
    assert plan.blocked is None
    assert "raid-create:data" in [step.id for step in plan.steps]


def test_an_array_of_another_level_that_holds_data_to_preserve_is_not_deleted(
    hosts, hardware, make_order, observe
) -> None:
    seen = with_data_disks(hardware["web-01"], "held by md0").model_copy(update={"raids": (array(),)})
    order = make_order("web-01", spec=spec_with(hosts, level="raid0"), phase=Phase.ACTIVE)
    plan = make_plan(order, observe(seen), reinstall=True)
    assert plan.blocked == "layout-impossible"
    assert "data is raid1 and holds data to preserve, wished raid0" in plan.steps[0].reason


@pytest.mark.parametrize("assembled", [True, False])
def test_a_partition_to_preserve_on_the_roots_array_refuses_the_image(
    hosts, hardware, make_order, observe, assembled
) -> None:
    keep = {"name": "keep", "size": "1GiB", "filesystem": "ext4", "mount": "/keep", "preserve": True}
    body = hosts["web-01"].model_dump(mode="json")
    spec = Host.model_validate({**body, "disks": [{"device": "root", "partitions": [keep]}]})
    seen = hardware["web-01"]
    if assembled:
        held = PART.model_copy(update={"name": "keep"})
        root = array(parts=(held,)).model_copy(update={"name": "system", "members": ("RF-M2-D0", "RF-M2-D1")})
        seen = seen.model_copy(update={"raids": (root,)})
    else:
        member = ("linux_raid_member of any:system",)
        seen = seen.model_copy(
            update={"disks": tuple(one.model_copy(update={"found": member}) for one in seen.disks)}
        )
    plan = make_plan(make_order("web-01", spec=spec), observe(seen))
    assert plan.blocked == "layout-impossible"
