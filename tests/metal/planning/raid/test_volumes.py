"""Which drives a volume gets, what it keeps, and what it refuses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metal.planning.disks import Refusal
from metal.planning.raid.families import FAMILIES
from metal.planning.raid.pools import pools_of
from metal.planning.raid.volumes import VolumeChoice, choose_volume
from specs.facts import Hardware, RaidController
from specs.model import RaidVolume
from tests.metal.planning.raid.conftest import GIB, array, controller, disk, drives


def names(choice):
    assert isinstance(choice, VolumeChoice), choice
    return [one.identity for one in choice.members]


def refused(choice, reason):
    assert isinstance(choice, Refusal), choice
    assert choice.reason == reason, choice
    return choice.message


def test_the_drives_of_a_controller_become_a_volume(choose):
    machine = Hardware(controllers=(controller(drives("H", 6)),))
    found = choose(machine, {"level": "raid10", "drives": {"count": 4}, "spares": 1, "stripe": "256KiB"})
    assert names(found) == ["H0", "H1", "H2", "H3"]
    assert [one.identity for one in found.spares] == ["H4"]
    assert found.size_bytes == 2 * (1000 * GIB - GIB)
    assert (found.kept, found.how, found.notes) == (False, "volume", ())


def test_two_kinds_of_drive_that_both_fit_are_refused(choose):
    machine = Hardware(
        controllers=(controller(drives("H", 2), drives("S", 2, first=2, medium="ssd", transport="sata")),)
    )
    told = refused(choose(machine, {"drives": {"count": 2}}), "not-enough-drives")
    assert "drives of 2 kinds fit: 2 x sas hdd with sectors of 512; 2 x sata ssd with sectors of 512" in told
    assert names(choose(machine, {"drives": {"count": 2, "media": "ssd"}})) == ["S0", "S1"]


def test_drives_of_different_sectors_never_share_a_volume(choose):
    machine = Hardware(controllers=(controller(drives("A", 1), drives("B", 1, first=1, sector_bytes=4096)),))
    told = refused(choose(machine, {"drives": {"count": 2}}), "not-enough-drives")
    assert "2 drives are asked for, 1 fit of one kind" in told


def test_two_controllers_that_both_could_are_refused_until_one_is_named(choose):
    machine = Hardware(
        controllers=(
            controller(drives("A", 2)),
            controller(
                drives("B", 2), driver="mvcli", pci="0000:01:00.0", model="BOSS-S1", levels=("raid1",)
            ),
        )
    )
    told = refused(choose(machine, {"drives": {"count": 2}}), "ambiguous-disk")
    assert "BOSS-S1 at 0000:01:00.0 (252:0, 252:1)" in told
    for name in ("0000:01:00.0", "01:00.0", "boss*"):
        assert names(choose(machine, {"drives": {"count": 2}, "controller": name})) == ["B0", "B1"]


def test_software_raid_gives_way_to_a_controller_whose_drives_are_meant(choose):
    machine = Hardware(
        controllers=(controller(drives("H", 1)),), disks=(disk("N0", medium="hdd"), disk("N1", medium="hdd"))
    )
    told = refused(choose(machine, {"drives": {"count": 2, "media": "hdd"}}), "not-enough-drives")
    assert "MegaRAID 9460-16i at 0000:5e:00.0" in told
    assert names(choose(machine, {"drives": {"count": 2}, "controller": "software"})) == ["N0", "N1"]
    assert names(choose(machine, {"drives": {"count": 2, "serials": ["N0", "N1"]}})) == ["N0", "N1"]


def test_the_block_device_of_a_controllers_volume_is_no_drive(choose):
    seen = disk("volume", wwn="0x6d094660", transport="raid")
    made = array("other", "raid1", ["H0", "H1"], uuid="6d094660")
    machine = Hardware(
        controllers=(controller(drives("H", 2, state="online")),), raids=(made,), disks=(seen, disk("N0"))
    )
    told = refused(choose(machine, {"drives": {"count": 2}, "controller": "software"}), "not-enough-drives")
    assert "N0" in told
    assert "volume" not in told.split("seen:")[1]


@pytest.mark.parametrize(
    ("state", "why"),
    [("failed", "failed"), ("rebuilding", "rebuilding"), ("missing", "missing"), ("erasing", "being erased")],
)
def test_a_drive_in_trouble_takes_no_part_and_the_refusal_says_why(choose, state, why):
    machine = Hardware(controllers=(controller(drives("A", 1), drives("B", 1, first=1, state=state)),))
    told = refused(choose(machine, {"drives": {"count": 2}}), "not-enough-drives")
    assert f"0000:5e:00.0 252:1 B0 1000 GiB sas hdd, {state} on 0000:5e:00.0 [{why}]" in told


def test_identical_serials_are_nobodys(choose):
    machine = Hardware(controllers=(controller(drives("A", 1), drives("A", 1, first=1), drives("B", 1)),))
    told = refused(choose(machine, {"drives": {"count": 2}}), "not-enough-drives")
    assert told.count("[its identity is not unique]") == 2


def test_a_volume_as_asked_is_kept_and_nothing_else_is(choose):
    made = array("v", "raid1", ["H2", "H3"])
    machine = Hardware(
        controllers=(controller(drives("H", 2), drives("H", 4, state="online")[2:]),), raids=(made,)
    )
    found = choose(machine, {"drives": {"count": 2}})
    assert names(found) == ["H2", "H3"]
    assert found.kept
    other = choose(machine, {"level": "raid0", "drives": {"count": 2}})
    assert (names(other), other.kept, other.existing) == (["H2", "H3"], False, made)
    larger = choose(machine, {"drives": {"count": 2}, "size": "100GiB"})
    assert not larger.kept


def test_a_degraded_volume_is_kept_and_told(choose):
    made = array("v", "raid1", ["H0"], state="rebuilding", progress=8.5)
    machine = Hardware(controllers=(controller(drives("H", 3)),), raids=(made,))
    found = choose(machine, {"drives": {"count": 2}})
    assert found.kept
    assert found.notes == ("volume v is rebuilding (8.5 %), and is kept",)
    lost = array("v", "raid1", ["H0", "H1"], state="failed")
    assert not choose(machine.model_copy(update={"raids": (lost,)}), {"drives": {"count": 2}}).kept


def test_volumes_without_names_are_found_by_their_drives(choose):
    made = array(None, "raid1", ["H0", "H1"], driver="ssacli", uuid="w1", volume="1")
    machine = Hardware(
        controllers=(controller(drives("H", 4), driver="ssacli", model="P440ar"),), raids=(made,)
    )
    first, second = choose(
        machine, {"name": "a", "drives": {"count": 2}}, {"name": "b", "drives": {"count": 2}}
    )
    assert (names(first), first.kept) == (["H0", "H1"], True)
    assert (names(second), second.kept) == (["H2", "H3"], False)


def test_free_drives_come_before_those_of_other_volumes(choose):
    made = array("other", "raid1", ["H0", "H1"])
    machine = Hardware(controllers=(controller(drives("H", 4)),), raids=(made,))
    assert names(choose(machine, {"drives": {"count": 2}})) == ["H2", "H3"]


def test_all_takes_what_is_left(choose):
    machine = Hardware(controllers=(controller(drives("H", 7)),))
    first, second = choose(
        machine,
        {"name": "a", "drives": {"count": 2}},
        {"name": "b", "level": "raid5", "drives": {"count": "all"}, "spares": 1},
    )
    assert names(first) == ["H0", "H1"]
    assert names(second) == ["H2", "H3", "H4", "H5"]
    assert [one.identity for one in second.spares] == ["H6"]


def test_slots_are_the_controllers_own_addresses(choose):
    machine = Hardware(controllers=(controller(drives("H", 4)),))
    assert names(choose(machine, {"drives": {"count": 2, "slots": ["252:1", "252:3"]}})) == ["H1", "H3"]


def test_several_volumes_share_a_group_of_drives(choose):
    machine = Hardware(controllers=(controller(drives("H", 4)),))
    first, second, third = choose(
        machine,
        {"name": "system", "level": "raid5", "drives": {"count": 4}, "size": "100GiB"},
        {"name": "data", "level": "raid5", "drives": {"sharing": "system"}},
        {"name": "more", "level": "raid5", "drives": {"sharing": "system"}},
    )
    assert (first.size_bytes, first.sized_bytes) == (100 * GIB, 100 * GIB)
    assert second.members == first.members
    assert 3 * 999 * GIB - 101 * GIB < second.size_bytes <= 3 * 999 * GIB - 100 * GIB
    assert "data takes all of the drives; give it a size" in refused(third, "layout-impossible")


@pytest.mark.parametrize(
    ("driver", "wish", "told"),
    [
        (
            "sas3ircu",
            {"level": "raid5", "drives": {"count": 3}},
            "makes no raid5; it can raid0, raid1, raid1e",
        ),
        ("sas3ircu", {"drives": {"count": 3}}, "raid1 has exactly 2 drives there, got 3"),
        ("mvcli", {"drives": {"count": 2}, "spares": 1}, "at most 0 spares are possible there"),
        ("mvcli", {"drives": {"count": 2}, "size": "10GiB"}, "a volume always takes whole drives there"),
        (
            "mvcli",
            {"name": "much-too-long", "drives": {"count": 2}},
            "a name has at most 10 characters there",
        ),
        ("ssacli", {"drives": {"count": 2}, "stripe": "8KiB"}, "stripe may be 16 KiB, 32 KiB"),
        ("storcli", {"level": "raid0", "drives": {"count": 33}}, "a volume has at most 32 drives there"),
    ],
)
def test_what_a_family_cannot_is_refused(choose, driver, wish, told):
    machine = Hardware(controllers=(controller(drives("H", 40), driver=driver, levels=()),))
    assert told in refused(choose(machine, wish), "layout-impossible")


def test_options_without_a_place_are_told_and_do_not_stop(choose):
    machine = Hardware(controllers=(controller(drives("H", 2), driver="sas3ircu", levels=()),))
    found = choose(machine, {"drives": {"count": 2}, "stripe": "64KiB", "cache": {"write": "back"}})
    assert [note.split(" can't")[0] for note in found.notes] == ["volume v: stripe", "volume v: cache.write"]


def test_drives_are_passed_through_or_each_become_a_volume(choose):
    passing = Hardware(controllers=(controller(drives("H", 2), jbod=True),))
    assert choose(passing, {"level": "jbod", "drives": {"count": "all"}}).how == "jbod"
    without = Hardware(controllers=(controller(drives("H", 2), jbod=False),))
    assert choose(without, {"level": "jbod", "drives": {"count": "all"}}).how == "raid0-each"


def test_a_controller_without_its_tool_is_refused_unless_another_is_named(choose):
    problem = "tool missing: storcli64 (put it in bootos/vendor, see docs/raid.md)"
    blind = RaidController(driver="storcli", pci="0000:3b:00.0", model="1000:0016", problem=problem)
    machine = Hardware(controllers=(blind,), disks=(disk("N0"), disk("N1")))
    assert problem in refused(choose(machine, {"drives": {"count": 2}}), "tool-missing")
    assert names(choose(machine, {"drives": {"count": 2}, "controller": "software"})) == ["N0", "N1"]


SOME_DRIVES = st.lists(
    st.tuples(
        st.sampled_from(["unconfigured", "online", "failed", "foreign", "spare", "jbod", "unknown"]),
        st.sampled_from(["hdd", "ssd"]),
        st.integers(1, 4),
        st.booleans(),
    ),
    max_size=12,
)


@given(SOME_DRIVES, st.sampled_from(sorted(FAMILIES)), st.data())
def test_what_is_chosen_was_free_fits_and_is_the_same_in_any_order(rows, driver, data):
    seen = [
        drives(f"D{n}-" if named else "", 1, first=n, state=state, medium=medium, gib=gib)[0]
        for n, (state, medium, gib, named) in enumerate(rows)
    ]
    wish = RaidVolume.model_validate(
        {
            "name": "v",
            "level": data.draw(st.sampled_from(["raid0", "raid1", "raid5", "raid10", "jbod"])),
            "drives": {"count": data.draw(st.integers(1, 6)), "minSize": "2GiB"},
            "spares": data.draw(st.integers(0, 1)),
        }
    )
    mixed = data.draw(st.permutations(seen))
    one, other = (
        (
            choose_volume(
                wish, pools_of(Hardware(controllers=(controller(order, driver=driver, levels=()),)))
            )
            for order in (seen, mixed)
        )
        if driver != "md"
        else (None, None)
    )
    if isinstance(one, VolumeChoice):
        assert isinstance(other, VolumeChoice)
        assert names(one) == names(other)
        drives_taken = [*one.members, *one.spares]
        assert len({taken.identity for taken in drives_taken}) == len(drives_taken)
        assert len(one.members) == wish.drives.count
        assert len({taken.kind for taken in drives_taken}) == 1
        for taken in drives_taken:
            assert taken.why_not is None
            assert taken.disk.size_bytes >= 2 * GIB
    else:
        assert type(one) is type(other)


@pytest.mark.parametrize("turned", [False, True])
def test_of_two_volumes_of_one_name_the_one_beside_its_mate_shares_its_drives(choose, turned):
    pair = [
        array("data", "raid1", ["A0", "A1"], uuid="u1", size_gib=200),
        array("data", "raid1", ["B0", "B1"], uuid="u2", size_gib=200),
    ]
    behind = controller(drives("A", 2, state="online"), drives("B", 2, state="online", first=2))
    system = {"name": "system", "size": "100GiB", "drives": {"count": 2, "serials": ["A0", "A1"]}}
    _, data = choose(
        Hardware(controllers=(behind,), raids=tuple(reversed(pair) if turned else pair)),
        system,
        {"name": "data", "size": "200GiB", "drives": {"sharing": "system"}},
    )
    assert data.existing.uuid == "u1"


@pytest.mark.parametrize("seen", ["Samsung_SSD_870_EVO", "SAMSUNG SSD  870 EVO"])
def test_a_model_is_compared_as_that_of_a_disk_is(choose, seen):
    """What udev shows has `_` for each blank; a controller's tool shows the blanks."""
    found = choose(
        Hardware(disks=(disk("A", model=seen), disk("B", model=seen), disk("C", model="Samsung SSD 860"))),
        {"drives": {"count": 2, "model": "samsung ssd 870*"}},
    )
    assert names(found) == ["A", "B"]


def test_what_a_drive_is_the_controller_says_and_what_lies_on_it_the_system(choose):
    passed = drives("A", 1, state="jbod")
    shown = disk("A0", medium="ssd", transport=None, found=("ext4",))
    machine = Hardware(controllers=(controller(passed, drives("B", 1, first=1)),), disks=(shown,))
    found = choose(machine, {"drives": {"count": 2, "media": "hdd"}})
    assert names(found) == ["A0", "B0"]
    assert found.members[0].disk.found == ("ext4",)


@pytest.mark.parametrize(
    ("gib", "refused"),
    [(100, True), (996, False)],  # of one kind, by two makers
)
@pytest.mark.parametrize("software", [True, False])
def test_a_spare_that_could_stand_in_for_no_member_is_refused(choose, gib, refused, software):
    """A controller takes none, and mdadm would make the whole array no larger than its spare."""
    if software:
        machine = Hardware(disks=(disk("A"), disk("B"), disk("C", gib=gib)))
    else:
        machine = Hardware(controllers=(controller(drives("A", 2), drives("C", 1, gib=gib, first=2)),))
    found = choose(machine, {"drives": {"count": 2}, "spares": 1})
    assert isinstance(found, Refusal) == refused
    if refused:
        assert "C has 100 GiB" in found.message or "C0 has 99 GiB" in found.message
        assert "minSize or serials" in found.message
