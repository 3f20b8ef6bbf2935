"""Thin pools: what they take, what they promise, what is kept, what has drifted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metal.planning.steps import make_plan
from metal.planning.thin_pools import pool_of
from metal.planning.volume_drift import pool_drift
from specs.facts import Hardware, LogicalVolumeFact, Observation
from specs.model import Host, ThinPool, VolumeGroup
from tests.metal.planning.test_volume_groups import spec_with as group_over_two_disks
from tests.metal.planning.test_volume_groups import with_data_disks

MIB, GIB, TIB = 1 << 20, 1 << 30, 1 << 40
EXTENT = 4 * MIB
DATA = {"name": "data", "size": "40GiB", "thin_pool": "pool", "filesystem": "xfs", "mount": "/data"}
LOGS = {"name": "logs", "size": "1001MiB", "thin_pool": "pool", "filesystem": "ext4", "mount": "/logs"}
THIN = LogicalVolumeFact(name="data", uuid="L1", size_bytes=40 * GIB, layout="thin,sparse", pool="pool")
POOL = LogicalVolumeFact(name="pool", uuid="L2", size_bytes=8 * GIB, layout="thin,pool")


def spec_with(hosts, volumes, size: str = "rest") -> Host:
    body = group_over_two_disks(hosts, volumes).model_dump(mode="json")
    body["volume_groups"][0]["thin_pools"] = [{"name": "pool", "size": size}]
    return Host.model_validate(body)


def test_a_pool_is_cut_into_data_metadata_and_spare_and_its_overcommitment_is_shown(
    hosts, hardware, make_order, observe
) -> None:
    whole = {"name": "whole", "size": "2GiB", "filesystem": "ext4", "mount": "/whole"}
    seen = with_data_disks(hardware["db-01"])
    plan = make_plan(make_order("db-01", spec=spec_with(hosts, [whole, DATA, LOGS])), observe(seen))
    assert plan.blocked is None
    step = plan.step("volume-group:sys")
    each = (8 * GIB - 2 * MIB - MIB) // EXTENT
    taken = 2 * each - 512
    (pool,) = step.args["pools"]
    metadata = -(-(taken * EXTENT // (64 << 10) * 64) // EXTENT)
    assert pool == {
        "name": "pool",
        "extents": taken - 2 * metadata,
        "metadata_extents": metadata,
        "chunk_bytes": 64 << 10,
    }
    volumes = [(one["name"], one["extents"], one.get("pool")) for one in step.args["volumes"]]
    assert volumes == [("whole", 512, None), ("data", 10240, "pool"), ("logs", 251, "pool")]
    assert "overcommitted: 41 GiB promised, 2.9 times its data" in (step.new or "")
    assert {"mkfs:data", "mkfs:logs", "mkfs:whole"} <= {one.id for one in plan.steps}
    thin = {one["name"]: one.get("thin", False) for one in plan.step("fstab").args["mounts"]}
    assert thin == {"whole": False, "data": True, "logs": True}


def test_a_pool_that_keeps_its_promise_says_nothing_of_it(hosts, hardware, make_order, observe) -> None:
    seen = with_data_disks(hardware["db-01"])
    order = make_order("db-01", spec=spec_with(hosts, [DATA | {"size": "1GiB"}], "10GiB"))
    told = make_plan(order, observe(seen)).step("volume-group:sys").new or ""
    assert "thin pool pool 9.98 GiB with 12 MiB of metadata, data 1 GiB in pool" in told


@given(st.integers(6, 1 << 24))
def test_a_pool_never_takes_more_than_it_was_given_and_its_metadata_describes_its_data(taken: int) -> None:
    pool = pool_of(ThinPool(name="p", size="rest"), taken, VolumeGroup(name="g"), EXTENT)
    assert pool.extents + 2 * pool.metadata_extents == taken
    assert pool.metadata_extents * EXTENT >= pool.extents * EXTENT // pool.chunk_bytes * 64
    assert pool.metadata_extents * EXTENT <= 128 * MIB
    assert pool.chunk_bytes % (64 << 10) == 0


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ("17GiB", "volumes of group sys need 17 GiB, it has 16 GiB"),
        ("16MiB", "sys/pool would hold 8 MiB of data beside its metadata, the least is 16 MiB"),
    ],
)
def test_a_pool_that_does_not_fit_is_refused(size, message, hosts, hardware, make_order, observe) -> None:
    seen = with_data_disks(hardware["db-01"])
    plan = make_plan(make_order("db-01", spec=spec_with(hosts, [DATA], size)), observe(seen))
    assert plan.blocked == "layout-impossible"
    assert message in plan.steps[0].reason


def test_a_partition_smaller_than_a_pool_s_metadata_is_refused(hosts, hardware, make_order, observe) -> None:
    """LVM 2.03.16 ends by an assertion there, on disks that are erased by then."""
    seen = with_data_disks(hardware["db-01"])
    large = tuple(one.model_copy(update={"size_bytes": 64 * GIB}) for one in seen.disks)
    body = spec_with(hosts, [DATA], "40GiB").model_dump(mode="json")
    told = []
    for size in ("48MiB", "20MiB"):
        body["disks"][1]["partitions"][0]["size"] = size
        order = make_order("db-01", spec=Host.model_validate(body))
        told.append(make_plan(order, observe(seen.model_copy(update={"disks": large}))))
    assert [plan.blocked for plan in told] == [None, "layout-impossible"]
    assert "sys/pool has 40 MiB of metadata, and partition pv1 of the group 16 MiB" in told[1].steps[0].reason


def standing(hardware: Hardware, *volumes: LogicalVolumeFact) -> Hardware:
    return with_data_disks(hardware, standing=True, logical_volumes=volumes)


def test_what_is_preserved_in_a_pool_stays_there_and_its_sibling_is_made_anew(
    hosts, hardware, make_order, observe
) -> None:
    logs = THIN.model_copy(update={"name": "logs", "uuid": "L3"})
    seen = standing(hardware["db-01"], THIN, POOL, logs)
    spec = spec_with(hosts, [DATA | {"preserve": True}, LOGS])
    plan = make_plan(make_order("db-01", spec=spec), observe(seen))
    assert plan.blocked is None
    ids = {step.id for step in plan.steps if step.destructive}
    assert "mkfs:logs" in ids
    assert not {"volume-group:sys", "mkfs:data"} & ids
    assert all(one["thin"] for one in plan.step("fstab").args["mounts"] if one.get("lvm"))


@pytest.mark.parametrize(
    ("volumes", "message"),
    [
        ((THIN,), "pool is missing, wished a thin pool"),
        ((THIN, POOL.model_copy(update={"layout": "linear"})), "pool is linear, wished a thin pool"),
        ((THIN.model_copy(update={"pool": None}), POOL), "data is in no thin pool, wished pool"),
        ((THIN.model_copy(update={"pool": "other"}), POOL), "data is in thin pool other, wished pool"),
    ],
)
def test_what_is_to_be_preserved_and_lies_otherwise_is_refused(
    volumes, message, hosts, hardware, make_order, observe
) -> None:
    spec = spec_with(hosts, [DATA | {"preserve": True}])
    plan = make_plan(make_order("db-01", spec=spec), observe(standing(hardware["db-01"], *volumes)))
    assert plan.blocked == "layout-impossible"
    assert message in plan.steps[0].reason


def test_pools_that_have_changed_are_drift_and_unread_ones_are_not(hosts, hardware, observe) -> None:
    spec = spec_with(hosts, [DATA])

    def drift(*volumes: LogicalVolumeFact, **update: object) -> list[str]:
        seen: Observation = observe(standing(hardware["db-01"], *volumes)).model_copy(update=update)
        return [str(one) for one in pool_drift(spec, seen)]

    assert drift(THIN, POOL) == []
    assert drift(THIN) == ["volumeGroups.sys.pool: is missing, wished a thin pool"]
    assert drift(THIN.model_copy(update={"pool": None}), POOL) == [
        "volumeGroups.sys.data: is in no thin pool, wished in thin pool pool"
    ]
    assert drift(unknown={"hardware.volume_groups": "lvm: exit status 124"}) == []
    assert [str(one) for one in pool_drift(spec, observe(hardware["db-01"]))] == [
        "volumeGroups.sys: is no such group, wished a group with its thin pools"
    ]
