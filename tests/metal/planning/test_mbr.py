"""MBR: four partitions, 32-bit sectors, no names; and images that bring one."""

from typing import Any

import pytest

from metal.planning.disks import Refusal
from metal.planning.layout import MIB, DiskPlan, ImageLayout, lay_out_data, lay_out_root, read_image
from metal.planning.plan import Plan
from metal.planning.steps import make_plan
from specs.facts import Disk, Hardware, PartitionFact
from specs.model import Host, Partition

GIB, TIB = 1 << 30, 1 << 40
IMAGE = ImageLayout(2, 513 * MIB, 980 * MIB, frozenset({1, 2}), 512, "mbr", 1)
MBR_INFO: dict[str, Any] = {
    "partition_table": "mbr",
    "active_partition": 1,
    "partitions": [
        {"number": 1, "start_bytes": MIB, "size_bytes": 980 * MIB, "type_guid": "0x83", "name": ""}
    ],
    "root_partition": 1,
    "root_uuid": "11111111-2222-4333-8444-555555555555",
    "has_esp": False,
    "has_bios_boot": True,
    "sector_bytes": 512,
}


def parts(*wishes: tuple[str, str, str | None]) -> list[Partition]:
    return [Partition.model_validate({"name": n, "size": s, "mount": m}) for n, s, m in wishes]


@pytest.mark.parametrize(("sector_bytes", "reach"), [(512, 2 * TIB), (4096, 16 * TIB)])
def test_an_mbr_reaches_as_far_as_32_bits_of_its_sectors_and_a_gpt_further(
    sector_bytes: int, reach: int
) -> None:
    fits = parts(("a", f"{reach - MIB}B", None))
    assert isinstance(lay_out_data(fits, 2 * reach, sector_bytes, "mbr"), DiskPlan)
    for size in (f"{reach}B", "rest", "50%"):
        found = lay_out_data(parts(("a", size, None)), 2 * reach, sector_bytes, "mbr")
        if size == "50%":
            assert isinstance(found, DiskPlan), "half of twice the reach, less the first MiB"
            continue
        assert isinstance(found, Refusal)
        assert found.reason == "layout-impossible"
        assert f"on sectors of {sector_bytes} bytes: make it smaller, or use a GPT" in found.message
    assert isinstance(lay_out_data(parts(("a", "rest", None)), 2 * reach, sector_bytes), DiskPlan)


def test_the_root_of_an_mbr_image_ends_within_its_reach() -> None:
    found = lay_out_root([], 4 * TIB, IMAGE)
    assert isinstance(found, Refusal)
    assert "root would end at 4 TiB, an MBR reaches 2 TiB" in found.message
    plan = lay_out_root(parts(("root", "1TiB", "/")), 4 * TIB, IMAGE)
    assert isinstance(plan, DiskPlan)
    assert (plan.table, plan.active_number, plan.root_size_bytes) == ("mbr", 1, TIB)


def test_an_image_s_partitions_are_counted_into_the_four() -> None:
    wished = parts(("root", "2GiB", "/"), ("a", "1GiB", None), ("b", "1GiB", None))
    plan = lay_out_root(wished, 8 * GIB, IMAGE)
    assert isinstance(plan, DiskPlan)
    assert [(one.number, one.type_guid) for one in plan.added] == [(3, "0x83"), (4, "0x83")]
    found = lay_out_root([*wished, *parts(("c", "1GiB", None))], 8 * GIB, IMAGE)
    assert isinstance(found, Refusal)
    assert "an MBR holds 4 partitions, the image has 2; extended partitions are not sup" in found.message


@pytest.mark.parametrize("kind", ["0x5", "0xf", "0x85"])
def test_an_image_with_an_extended_partition_is_unfit(kind: str) -> None:
    more = {"number": 2, "start_bytes": MIB // 2, "size_bytes": MIB, "type_guid": kind}
    found = read_image(MBR_INFO | {"partitions": [*MBR_INFO["partitions"], more]}, 512)
    assert isinstance(found, Refusal)
    assert (found.reason, "partition 2 of the image is an extended one" in found.message) == (
        "image-unfit",
        True,
    )


def planned(make_order, observe, hardware, hosts, image, name="db-01", **info: object) -> Plan:
    held = image.model_copy(update={"info": MBR_INFO | info})
    body = hosts["db-01"].model_dump(mode="json") | {"metadata": hosts[name].metadata.model_dump()}
    data = {"name": "data", "size": "1GiB", "filesystem": "ext4", "mount": "/data"}
    body |= {"root_device": {"serial": hardware[name].disks[0].serial}, "disks": []}
    body["disks"] = [{"device": "root", "partitions": [{"name": "root", "size": "4GiB", "mount": "/"}, data]}]
    spec = Host.model_validate(body | {"network": {}, "firmware": {}})
    return make_plan(make_order(name, spec=spec, image=held), observe(hardware[name]))


def test_an_mbr_image_is_grown_and_added_to_on_a_bios_machine(
    make_order, observe, hardware, hosts, image
) -> None:
    plan = planned(make_order, observe, hardware, hosts, image)
    assert plan.blocked is None
    step = next(one for one in plan.steps if one.kind == "partition")
    assert (step.args["table"], step.args["active"]) == ("mbr", 1)
    assert step.args["root"] == {"number": 1, "size_bytes": 4 * GIB}
    assert [(one["number"], one["type_guid"]) for one in step.args["add"]] == [(2, "0x83")]


@pytest.mark.parametrize(
    ("name", "info", "message"),
    [
        ("web-01", {}, "image debian-12 has no EFI system partition, so it cannot boot by uefi"),
        ("db-01", {"has_bios_boot": False}, "image debian-12 has no boot code in its MBR"),
    ],
)
def test_an_mbr_image_that_the_firmware_cannot_start_is_refused(
    name, info, message, make_order, observe, hardware, hosts, image
) -> None:
    plan = planned(make_order, observe, hardware, hosts, image, name, **info)
    assert plan.blocked == "image-unfit"
    assert any(message in step.reason for step in plan.steps)


KEPT = {"name": "data", "size": "1GiB", "filesystem": "xfs", "mount": "/data", "preserve": True}
SCRATCH = {"name": "scratch", "size": "rest", "filesystem": "ext4", "mount": "/scratch"}


def spec_with(hosts: dict[str, Host], *layout: dict[str, Any]) -> Host:
    body = hosts["db-01"].model_dump(mode="json")
    body["disks"] = [{"device": {"serial": "D1"}, "table": "mbr", "partitions": list(layout)}]
    return Host.model_validate(body)


def with_disk(hardware: Hardware, table: str | None = "dos", **data: object) -> Hardware:
    seen = PartitionFact(
        number=1,
        device="/dev/vdb1",
        start_bytes=MIB,
        size_bytes=GIB,
        filesystem="xfs",
        label="data",
        fs_uuid="55555555-6666-4777-8888-999999999999",
    ).model_copy(update=data)
    other = seen.model_copy(update={"number": 2, "device": "/dev/vdb2", "label": None, "filesystem": None})
    disk = hardware.disks[0].model_copy(
        update={
            "device": "/dev/vdb",
            "serial": "D1",
            "partition_table": table,
            "partitions": (seen, other),
            "found": ("dos with 2 partitions",),
        }
    )
    return hardware.model_copy(update={"disks": (*hardware.disks, disk)})


def test_what_is_preserved_is_known_by_number_and_label_and_its_sibling_made_anew(
    make_order, observe, hardware, hosts
) -> None:
    order = make_order("db-01", spec=spec_with(hosts, KEPT, SCRATCH))
    plan = make_plan(order, observe(with_disk(hardware["db-01"])))
    assert plan.blocked is None
    ids = [step.id for step in plan.steps]
    assert "mkfs:scratch" in ids
    assert not {"wipe:D1", "partition:D1", "mkfs:data"} & set(ids)
    made = plan.step("mkfs:scratch")
    assert made.args["number"] == 2
    mounts = plan.step("fstab").args["mounts"]
    assert [one["fs_uuid"] for one in mounts if one["name"] == "data"] == [
        "55555555-6666-4777-8888-999999999999"
    ]


@pytest.mark.parametrize(
    ("layout", "table", "seen", "message"),
    [
        ((KEPT, SCRATCH), "dos", {"label": "other"}, "preserved as data and is labelled other, not data"),
        ((KEPT, SCRATCH), "dos", {"label": None}, "preserved as data and is labelled nothing, not data"),
        ((SCRATCH | {"size": "1GiB"}, KEPT | {"size": "rest"}), "dos", {}, "partition 2 is to be preserved"),
        ((KEPT, SCRATCH), "gpt", {}, "in a table of kind gpt, wished mbr"),
        ((KEPT, SCRATCH), "dos", {"number": 3}, "no partition data"),
        ((KEPT, SCRATCH), "dos", {"filesystem": "ext4"}, "data is to be preserved and holds ext4"),
    ],
)
def test_what_is_not_surely_meant_is_refused(
    layout, table, seen, message, make_order, observe, hardware, hosts
) -> None:
    order = make_order("db-01", spec=spec_with(hosts, *layout))
    plan = make_plan(order, observe(with_disk(hardware["db-01"], table, **seen)))
    assert plan.blocked == "layout-impossible"
    assert [step.reason for step in plan.steps if message in step.reason], [s.reason for s in plan.steps]


LUKS = {"luks": {"key": {"secret": "k"}}, "filesystem": "ext4"}
RAW = {"filesystem": None, "mount": None}


@pytest.mark.parametrize("shows_nothing", [LUKS, RAW])
@pytest.mark.parametrize(("first", "refused"), [("data", False), ("scratch", True)])
def test_what_shows_no_label_is_preserved_where_the_spec_puts_it_alone(
    first, refused, shows_nothing, make_order, observe, hardware, hosts
) -> None:
    """Two entries of a spec were turned: the other partition would be kept, and the data made anew."""
    layout = [KEPT | shows_nothing, SCRATCH | shows_nothing | {"size": "2GiB"}]
    if first == "scratch":
        layout.reverse()
    held = {"filesystem": "crypto_LUKS" if shows_nothing is LUKS else None, "label": None}
    seen = with_disk(hardware["db-01"], **held)
    disk = seen.disks[-1]
    other = {"filesystem": held["filesystem"], "start_bytes": MIB + GIB, "size_bytes": 2 * GIB}
    parts = (disk.partitions[0], disk.partitions[1].model_copy(update=other))
    seen = seen.model_copy(
        update={"disks": (*seen.disks[:-1], disk.model_copy(update={"partitions": parts}))}
    )
    order = make_order("db-01", spec=spec_with(hosts, *layout), secrets={"ops-password": 3, "k": 1})
    plan = make_plan(order, observe(seen))
    assert (plan.blocked is not None) == refused
    if refused:
        (reason,) = [step.reason for step in plan.steps if step.blocked_by]
        told = "D1: partition 2 is to be preserved as data and has 2147483648 bytes from byte 1074790400"
        told += ", the spec makes 1073741824 from 2148532224: order and size its entries as they stand there"
        assert reason == told


def test_what_alone_shows_no_label_may_be_of_another_tool_s_size(
    make_order, observe, hardware, hosts
) -> None:
    """Fdisk ends a partition with the last sector; nothing else can be taken for it."""
    seen = with_disk(hardware["db-01"], filesystem="crypto_LUKS", label=None, size_bytes=GIB - 512)
    order = make_order(
        "db-01", spec=spec_with(hosts, KEPT | LUKS, SCRATCH), secrets={"ops-password": 3, "k": 1}
    )
    assert make_plan(order, observe(seen)).blocked is None


def test_a_blank_disk_is_cut_by_an_mbr(make_order, observe, hardware, hosts) -> None:
    blank = Disk(device="/dev/vdb", serial="D1", size_bytes=8 * GIB)
    seen = hardware["db-01"].model_copy(update={"disks": (*hardware["db-01"].disks, blank)})
    order = make_order("db-01", spec=spec_with(hosts, KEPT, SCRATCH))
    plan = make_plan(order, observe(seen))
    assert plan.blocked is None
    args = plan.step("partition:D1").args
    assert (args["table"], args["root"], [one["number"] for one in args["add"]]) == ("mbr", None, [1, 2])


@pytest.mark.parametrize(
    ("kept", "seen", "lost"),
    [
        (KEPT, {}, True),
        (KEPT, {"label": "other"}, False),
        (KEPT | {"luks": {"key": {"secret": "k"}}}, {"filesystem": "crypto_LUKS", "label": None}, True),
    ],
)
def test_what_is_preserved_is_not_erased_with_a_root_disk_that_keeps_no_names(
    kept, seen, lost, make_order, observe, hardware, hosts
) -> None:
    disk = with_disk(hardware["db-01"], **seen).disks[-1].model_copy(update={"serial": "RF-M1-D0"})
    body = hosts["db-01"].model_dump(mode="json")
    root = {"name": "root", "size": "4GiB", "mount": "/"}
    body["disks"] = [{"device": "root", "partitions": [root, kept]}]
    order = make_order("db-01", spec=Host.model_validate(body), secrets={"ops-password": 3, "k": 1})
    plan = make_plan(order, observe(hardware["db-01"].model_copy(update={"disks": (disk,)})))
    reasons = [step.reason for step in plan.steps if step.blocked_by]
    assert ["data is to be preserved, but writing the image erases the whole root disk"] * lost == reasons
