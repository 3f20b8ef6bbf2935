"""Which old volumes go when free drives are short, and that drives which stand alone already stay."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metal.planning.raid.pools import pools_of
from metal.planning.raid.volumes import VolumeChoice, choose_volume
from specs.facts import Hardware
from specs.model import RaidVolume
from tests.metal.planning.raid.conftest import array, controller, drives


def machine(free, *olds, **told):
    """A controller with free drives F0, F1, … and old volumes: name -> how many drives it has."""
    groups = [drives("F", free)]
    made = []
    for place, (name, count) in enumerate(olds):
        groups.append(drives(name, count, first=10 * (place + 1), state="online"))
        made.append(array(name, "raid0", [f"{name}{n}" for n in range(count)]))
    return Hardware(controllers=(controller(*groups, **told),), raids=tuple(made))


def members(choice):
    assert isinstance(choice, VolumeChoice), choice
    return sorted(one.identity for one in choice.members)


@pytest.mark.parametrize(
    ("free", "olds", "count", "taken"),
    [
        (4, (("A", 2),), 4, ["F0", "F1", "F2", "F3"]),
        (2, (("A", 4), ("B", 2)), 4, ["B0", "B1", "F0", "F1"]),
        (1, (("A", 3), ("B", 4)), 4, ["A0", "A1", "A2", "F0"]),
        (3, (("A", 4), ("B", 2), ("C", 2)), 4, ["B0", "B1", "F0", "F1"]),
        (0, (("A", 2), ("B", 2), ("C", 4)), 4, ["C0", "C1", "C2", "C3"]),
        (0, (("A", 2), ("B", 2), ("C", 5)), 4, ["A0", "A1", "B0", "B1"]),
        (3, (("A", 4), ("B", 8)), 4, ["A0", "A1", "A2", "A3"]),
    ],
)
def test_free_drives_go_first_then_whole_volumes_and_the_fewest(choose, free, olds, count, taken):
    assert members(choose(machine(free, *olds), {"level": "raid10", "drives": {"count": count}})) == taken


def test_volumes_on_one_group_of_drives_go_together(choose):
    two = machine(0, ("A", 4), ("B", 2), ("C", 2))
    beside = array("A-too", "raid0", ["A0", "A1", "A2", "A3"])
    shared = two.model_copy(update={"raids": (*two.raids, beside, *(
        array(f"{name}-too", "raid0", [f"{name}0", f"{name}1"]) for name in ("B",)
    ))})  # fmt: skip
    assert members(choose(shared, {"level": "raid10", "drives": {"count": 4}})) == ["A0", "A1", "A2", "A3"]


@given(st.integers(0, 4), st.lists(st.integers(1, 5), max_size=4), st.sampled_from([4, 6]))
def test_no_way_that_breaks_up_nothing_and_destroys_fewer_is_passed_by(free, sizes, count):
    """Compared with all subsets of old volumes, tried one by one."""
    olds = [("ABCD"[n], size) for n, size in enumerate(sizes)]
    wish = RaidVolume.model_validate({"name": "v", "level": "raid10", "drives": {"count": count}})
    found = choose_volume(wish, pools_of(machine(free, *olds)))
    if not isinstance(found, VolumeChoice):
        assert free + sum(sizes) < count
        return
    gone = {one.identity[0] for one in found.members} - {"F"}
    whole = sum(size for name, size in olds if name in gone)
    taken = [one for one in found.members if one.identity[0] != "F"]
    possible = [
        [place for place in range(len(sizes)) if mask >> place & 1] for mask in range(1 << len(sizes))
    ]
    exact = [len(some) for some in possible if count - free <= sum(sizes[place] for place in some) <= count]
    if exact:
        assert (len(gone), len(taken)) == (min(exact), whole)


def test_drives_that_are_each_a_volume_already_stay(choose):
    alone = [array(f"v-{n}", "raid0", [f"H{n}"], uuid=f"600{n}") for n in range(2)]
    wish = {"level": "jbod", "drives": {"count": 2}}
    standing = drives("H", 2, state="online")
    known = Hardware(
        controllers=(controller(drives("G", 2, first=5), standing, jbod=False),), raids=tuple(alone)
    )
    found = choose(known, wish)
    assert (members(found), found.how, found.kept) == (["H0", "H1"], "raid0-each", True)
    one_more = choose(known, wish | {"drives": {"count": 3}})
    assert (members(one_more), one_more.kept) == (["G0", "H0", "H1"], False)
    assert set(one_more.standing) == {"H0", "H1"}
    broken = [alone[0].model_copy(update={"state": "failed"}), alone[1]]
    assert not choose(known.model_copy(update={"raids": tuple(broken)}), wish | {"drives": {"count": 4}}).kept


def test_drives_that_are_passed_through_already_stay(choose):
    passed = (controller(drives("G", 1), drives("H", 2, first=5, state="jbod"), jbod=True),)
    found = choose(Hardware(controllers=passed), {"level": "jbod", "drives": {"count": 2}})
    assert (members(found), found.how, found.kept) == (["H0", "H1"], "jbod", True)


def test_a_volume_without_a_name_on_the_drives_is_the_one_asked_for(choose):
    """As MegaCli leaves it that was killed between making a volume and naming it."""
    made = array(None, "raid1", ["H0", "H1"], uuid="6001", driver="megacli")
    known = Hardware(
        controllers=(controller(drives("H", 2, state="online"), driver="megacli"),), raids=(made,)
    )
    assert choose(known, {"drives": {"count": 2}}).kept
    other = known.model_copy(update={"raids": (made.model_copy(update={"name": "other"}),)})
    assert not choose(other, {"drives": {"count": 2}}).kept


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("Adaptec ASR8405", []),
        ("Adaptec SmartRAID 3154-16i", ["volume v: cache.read"]),
        ("UCSC-RAID HBA 1100-8i", ["volume v: cache.read"]),
    ],
)
def test_one_cache_takes_no_wish_for_reading(choose, model, told):
    card = controller(drives("H", 2), driver="arcconf", model=model)
    wish = {"drives": {"count": 2}, "cache": {"write": "back", "read": "ahead"}}
    notes = choose(Hardware(controllers=(card,)), wish).notes
    assert [note.split(" can't")[0] for note in notes] == told
