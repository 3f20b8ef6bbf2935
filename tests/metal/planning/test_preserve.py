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


KEPT = {"name": "data", "size": "1GiB", "filesystem": "xfs", "mount": "/data", "preserve": True}
SCRATCH = {"name": "scratch", "size": "rest", "filesystem": "ext4", "mount": "/scratch"}
KEY = {"luks": {"key": {"secret": "ops-password"}}}


def on_a_disk(hardware: Hardware, *parts: dict) -> Hardware:
    """A second disk with these partitions."""
    given = {"start_bytes": 1 << 20, "size_bytes": 1 << 30}
    facts = tuple(
        PartitionFact(**given | {"number": n, "device": f"/dev/sdz{n}"} | one)
        for n, one in enumerate(parts, 1)
    )
    told = {"device": "/dev/sdz", "serial": "Z", "partition_table": "gpt", "found": ("gpt",)}
    other = hardware.disks[0].model_copy(update=told | {"partitions": facts})
    return hardware.model_copy(update={"disks": (*hardware.disks, other)})


def of_a_disk(hosts: dict[str, Host], *parts: dict) -> Host:
    body = hosts["db-01"].model_dump(mode="json") | {"root_device": {"serial": "RF-M1-D0"}}
    return Host.model_validate({**body, "disks": [{"device": {"serial": "Z"}, "partitions": parts}]})


DATA_SEEN = {"name": "data", "filesystem": "xfs", "fs_uuid": "5f0e8f2e-0000-4000-8000-000000000001"}


@pytest.mark.parametrize(
    ("seen", "says"),
    [
        (
            ({"name": "data"}, {"name": "scratch"}),
            "Z: data is to be preserved and holds no file system, wished xfs",
        ),
        (
            (DATA_SEEN, {"name": "scratch"}, {"name": "scratch"}),
            "Z holds data to preserve, and partitions 2 and 3 are called scratch",
        ),
        (
            (DATA_SEEN, {"name": "scratch", "size_bytes": 8 << 20}),
            "scratch would get 8 MiB, the least is 16 MiB",
        ),
    ],
)
def test_what_would_not_be_there_afterwards_is_refused(
    seen, says, hosts, hardware, make_order, observe
) -> None:
    """A job that died too early has left a partition without a file system, and nobody would ever make it."""
    spec = of_a_disk(hosts, KEPT, SCRATCH)
    plan = make_plan(make_order("db-01", spec=spec), observe(on_a_disk(hardware["db-01"], *seen)))
    assert plan.blocked == "layout-impossible"
    assert says in plan.steps[0].reason
    whole = on_a_disk(hardware["db-01"], DATA_SEEN, {"name": "scratch"})
    assert make_plan(make_order("db-01", spec=spec), observe(whole)).blocked is None


@pytest.mark.parametrize(("label", "kept"), [("rf.none", False), (None, True), ("rf.5f0e8f2e", True)])
def test_a_header_that_never_held_anything_is_made_anew(
    label, kept, hosts, hardware, make_order, observe
) -> None:
    part = {"name": "data", "filesystem": "crypto_LUKS", "fs_uuid": "5f0e", "label": label}
    spec = of_a_disk(hosts, KEPT | KEY)
    plan = make_plan(make_order("db-01", spec=spec), observe(on_a_disk(hardware["db-01"], part)))
    assert plan.blocked is None
    ids = {step.id for step in plan.steps}
    assert ("luks-open:data" in ids, "mkfs:data" in ids) == (kept, not kept)
    (unlock,) = plan.step("crypttab").args["unlocks"]
    assert ("luks_uuid" in unlock) == kept


def test_an_array_that_stays_is_named_by_its_own_drives_alone(hosts, hardware, make_order, observe) -> None:
    """A drive that takes a lost one's place bears no superblock: with it mdadm would assemble nothing."""
    body = spec_with(hosts).model_dump(mode="json")
    parts = [{**DATA["partitions"][0], "size": "1GiB"}, SCRATCH]
    spec = Host.model_validate({**body, "disks": [{**DATA, "partitions": parts}]})
    held = (
        PART.model_copy(update={"filesystem": "xfs"}),
        PART.model_copy(update={"number": 2, "device": "/dev/md0p2", "name": "scratch"}),
    )
    seen = with_data_disks(hardware["web-01"], "held by md0")
    worn = array(parts=held).model_copy(update={"members": ("D2",)})
    order = make_order("web-01", spec=spec, phase=Phase.ACTIVE)
    plan = make_plan(order, observe(seen.model_copy(update={"raids": (worn,)})), reinstall=True)
    assert plan.blocked is None, [step.reason for step in plan.steps if step.blocked_by]
    size_bytes = seen.disks[-1].size_bytes
    target = {"raid": "data", "uuid": "u", "members": [{"identity": "D2", "size_bytes": size_bytes}]}
    assert plan.step("mkfs:scratch").args["target"] == target
    # It holds nothing of this host, so erasing it later takes a consent like any other.
    assert "D2" in plan.step("install-record").args["disks"]
    assert "D3" not in plan.step("install-record").args["disks"]


@pytest.mark.parametrize(
    ("members", "state"),
    [
        (("D8", "D9"), "unknown"),  # the spec came to mean other drives
        (("D2", "D9"), "clean"),
        (("D2",), "clean"),  # of one drive, in order
    ],
)
def test_data_to_preserve_on_other_drives_than_the_spec_means_is_refused(
    hosts, hardware, make_order, observe, members, state
) -> None:
    """It would stay where it is, and drives that hold somebody else's would be recorded as this host's."""
    seen = with_data_disks(hardware["web-01"], "xfs")
    disk = seen.disks[-1]
    more = tuple(disk.model_copy(update={"device": f"/dev/sd{n}", "serial": f"D{n}"}) for n in (8, 9))
    held = array(parts=(PART.model_copy(update={"filesystem": "xfs"}),))
    held = held.model_copy(update={"members": members, "state": state})
    seen = seen.model_copy(update={"disks": (*seen.disks, *more), "raids": (held,)})
    order = make_order("web-01", spec=spec_with(hosts), phase=Phase.ACTIVE)
    plan = make_plan(order, observe(seen), reinstall=True)
    assert plan.blocked == "layout-impossible"
    (reason,) = [step.reason for step in plan.steps if step.blocked_by]
    assert f"data holds data to preserve on {', '.join(members)}, and the spec means D2, D3" in reason


def rebuilt(hosts, hardware, **held) -> tuple[Host, Hardware]:
    """A spec of all drives but the root's with one spare, and the array as `held` says; D9 holds another."""
    seen = with_data_disks(hardware["web-01"])
    disk = seen.disks[-1]
    more = tuple(disk.model_copy(update={"device": f"/dev/sd{n}", "serial": f"D{n}"}) for n in (4, 9))
    mine = array(parts=(PART.model_copy(update={"filesystem": "xfs"}),)).model_copy(update=held)
    other = array().model_copy(
        update={"name": "other", "uuid": "o", "members": ("D9",), "device": "/dev/md1"}
    )
    return spec_with(hosts), seen.model_copy(update={"disks": (*seen.disks, *more), "raids": (mine, other)})


def with_drives(spec: Host, **volume: object) -> Host:
    system, data = spec.model_dump(mode="json")["raid"]
    return Host.model_validate({**spec.model_dump(mode="json"), "raid": [system, {**data, **volume}]})


@pytest.mark.parametrize(
    ("held", "volume"),
    [
        # D2 was lost, D4 took over, D2 came back as the spare.
        ({"members": ("D3", "D4"), "spares": ("D2",), "state": "clean"},
         {"drives": {"serials": ["D2", "D3", "D4"], "count": 2}, "spares": 1}),
        # D4 was put in; who wishes for all drives gets the array when it is made anew.
        ({"state": "clean"}, {"drives": {"serials": ["D2", "D3", "D4"], "count": "all"}}),
    ],
)  # fmt: skip
def test_an_array_of_the_drives_that_are_meant_stays(
    hosts, hardware, make_order, observe, held, volume
) -> None:
    spec, seen = rebuilt(hosts, hardware, **held)
    order = make_order("web-01", spec=with_drives(spec, **volume), phase=Phase.ACTIVE)
    plan = make_plan(order, observe(seen), reinstall=True)
    assert plan.blocked is None, [step.reason for step in plan.steps if step.blocked_by]
    assert "raid-create:data" not in [step.id for step in plan.steps]


def test_an_array_that_does_not_run_says_so(hosts, hardware, make_order, observe) -> None:
    spec, seen = rebuilt(hosts, hardware, members=(), spares=("D2", "D3"), state="inactive", partitions=())
    plan = make_plan(make_order("web-01", spec=spec, phase=Phase.ACTIVE), observe(seen), reinstall=True)
    assert plan.blocked == "layout-impossible"
    (reason,) = [step.reason for step in plan.steps if step.blocked_by]
    assert reason.startswith("array data does not run, so nobody sees what is to be preserved in it")


def test_what_is_on_a_waiting_drive_stays(hosts, hardware, make_order, observe) -> None:
    """Nothing is written to a drive that will take a lost one's place, so nothing on it is in the way."""
    spec, seen = rebuilt(hosts, hardware, members=("D2",), state="degraded")
    spec = with_drives(spec, drives={"serials": ["D2", "D9"], "count": 2})
    plan = make_plan(make_order("web-01", spec=spec, phase=Phase.ACTIVE), observe(seen), reinstall=True)
    assert plan.blocked is None, [step.reason for step in plan.steps if step.blocked_by]
    assert "D9" not in plan.step("install-record").args["disks"]
    touched = [step for step in plan.steps if step.kind != "install-record" and "D9" in str(step.args)]
    assert not touched
    assert not [step.id for step in plan.steps if step.kind == "raid-delete"]
