"""What lvm tells, and what it must not get away with."""

import json

import pytest

from metal.drivers.hardware import parse_hardware
from metal.drivers.partitions import Target
from metal.drivers.storage.lvm import LVM, GroupWish, PhysicalVolume, VolumeWish, lvm_id, mapper_path, parse
from metal.errors import Refused, Unparsable
from metal.protocols import Output
from specs.facts import LogicalVolumeFact, PhysicalVolumeFact, VolumeGroupFact
from tests.metal.drivers.test_hardware import ALL, ANSWERS

MIB = 1 << 20
GROUP = VolumeGroupFact(
    name="sys",
    uuid="V1",
    extent_bytes=4 * MIB,
    physical_volumes=(PhysicalVolumeFact(uuid="P1", device="/dev/sda2"),),
    logical_volumes=(LogicalVolumeFact(name="a", uuid="L1", size_bytes=8 * MIB, layout="linear"),),
)


def wish(**fields) -> GroupWish:
    place = PhysicalVolume(Target("S1", 64 * MIB), 2, "P1")
    given = {"name": "sys", "extent_bytes": 4 * MIB, "physical_volumes": (place,)}
    return GroupWish(**{**given, "volumes": (VolumeWish("a", 2, None),)} | fields)


@pytest.mark.parametrize(
    "text",
    [
        "lvm: not a report",
        '{"report": [{"vg": [{}], "pv": [], "lv": []}]}',
        '{"report": [{"vg": [{"vg_name": "a", "vg_uuid": "u", "vg_extent_size": "4m"}], "pv": []}]}',
        '{"report": [7]}',
        "[" * 100_000,
    ],
)
def test_what_is_no_report_is_told(text: str) -> None:
    with pytest.raises(Unparsable):
        parse(text)


def test_a_system_without_lvm_has_no_groups_and_one_that_hangs_is_unknown() -> None:
    answers = {query.name: Output(query.argv, 0, ANSWERS[query.name], "") for query in ALL}
    for status, why in ((127, None), (124, "lvm: exit status 124")):
        hardware, unknown = parse_hardware({**answers, LVM.name: Output(LVM.argv, status, "", "")}, None)
        assert (hardware.volume_groups, unknown.get("volume_groups")) == ((), why)


@pytest.mark.parametrize("whole", [True, False])
def test_a_system_without_lvm_does_not_know_the_groups_of_physical_volumes_it_sees(*, whole: bool) -> None:
    part = {"name": "vda1", "kname": "vda1", "type": "part", "size": 1 << 30, "fstype": "LVM2_member"}
    disk = {"name": "vda", "kname": "vda", "type": "disk", "size": 2 << 30}
    seen = disk | ({"fstype": "LVM2_member"} if whole else {"children": [part]})
    answers = {query.name: Output(query.argv, 0, ANSWERS[query.name], "") for query in ALL}
    answers["lsblk"] = Output(("lsblk",), 0, json.dumps({"blockdevices": [seen]}), "")
    answers[LVM.name] = Output(LVM.argv, 127, "", "")
    _, unknown = parse_hardware(answers, None)
    assert unknown["volume_groups"] == f"no lvm here to ask what /dev/vda{'' if whole else 1} is a part of"


def test_ids_are_lvm_s_and_differ() -> None:
    made = {lvm_id(str(n)) for n in range(50)}
    assert len(made) == 50
    assert [len(part) for part in lvm_id("x").split("-")] == [6, 4, 4, 4, 4, 4, 6]
    assert mapper_path("a-b", "c-d") == "/dev/mapper/a--b-c--d"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "other"}, "volume group other is sys of 1 partitions, expected 1"),
        ({"volumes": (VolumeWish("a", 3, None),)}, "sys/a has 8388608 bytes, expected 12582912"),
        ({"kept": "V9"}, r"no volume group sys \(V9\)"),
    ],
)
def test_what_stands_and_is_another_one_is_never_changed(fields, message: str) -> None:
    with pytest.raises(Refused, match=message):
        wish(**fields).differences((GROUP,))


def test_what_stands_is_not_made_again_and_other_groups_are_not_looked_at() -> None:
    assert wish().differences((GROUP,)) == ()
    assert list(wish().commands((GROUP,))) == []
    namesake = GROUP.model_copy(
        update={"uuid": "V2", "physical_volumes": (PhysicalVolumeFact(uuid="P2", device="/dev/sdb1"),)}
    )
    assert wish().differences((namesake,)) == ("volume group sys is missing",)
    ours = PhysicalVolume(Target("S1", 64 * MIB), 2, "P1", "LVM2_member", "P1")
    commands = list(wish(physical_volumes=(ours,)).commands((namesake,)))
    assert [one.argv[1] for one in commands] == ["vgcreate", "lvcreate"]
    other = PhysicalVolume(Target("S1", 64 * MIB), 2, "P1", "LVM2_member", "of another group")
    commands_anew = list(wish(physical_volumes=(other,)).commands((namesake,)))
    assert [one.argv[:2] for one in commands_anew][:2] == [("wipefs", "--all"), ("lvm", "pvcreate")]
    assert all(one.argv[3:5] == ("--devices", "{disk0:p2}") for one in commands)


def test_a_volume_that_others_fill_never_says_that_it_holds_nothing() -> None:
    """The mark would stand when they have filled it, and a plan would take that for nothing to preserve."""
    made = wish(volumes=(VolumeWish("a", 2, None), VolumeWish("b", 2, None, raw=True)))
    bare = GROUP.model_copy(update={"logical_volumes": ()})
    tags = [" ".join(one.argv).partition("--addtag ")[2].split()[0] for one in made.commands((bare,))]
    assert tags == ["rackflow.fs.none", "rackflow.raw"]
    thin = wish(volumes=(VolumeWish("a", 2, None, pool="p", raw=True),))
    seen = LogicalVolumeFact(name="a", uuid="L", size_bytes=8 * MIB, layout="thin", pool="p", tags=(tags[1],))
    assert thin.unsure(GROUP.model_copy(update={"logical_volumes": (seen,)})) == (seen,)
