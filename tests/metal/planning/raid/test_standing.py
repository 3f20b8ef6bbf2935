"""Volumes that stand: which are as asked for, what they lack, and that nothing else goes for their sake."""

import pytest

from metal.planning.disks import Refusal
from metal.planning.raid.pools import pools_of
from metal.planning.raid.standing import volume_drift
from metal.planning.raid.volumes import VolumeChoice, choose_volume
from specs.facts import Hardware, RaidController
from specs.model import RaidVolume
from tests.metal.planning.raid.conftest import GIB, array, controller, disk, drives

MIRROR = {"drives": {"count": 2}}
KIB = 1024


def one(name, state, slot):
    return drives(name, 1, state=state, first=slot)


def ids(found):
    assert isinstance(found, VolumeChoice), found
    return [drive.identity for drive in found.members]


def told(found):
    assert isinstance(found, Refusal), found
    return found.message


@pytest.mark.parametrize(
    ("second", "members", "state", "left"),
    [
        ("rebuilding", ["A0", "B0"], "rebuilding", ["A0", "B0"]),
        ("rebuilding", ["A0", "B0"], "degraded", ["A0", "B0"]),
        ("copyback", ["A0", "B0"], "optimal", ["A0", "B0"]),
        ("failed", ["A0", "B0"], "degraded", ["A0"]),
        ("missing", ["A0", "B0"], "degraded", ["A0"]),
        ("failed", ["A0"], "degraded", ["A0"]),
        ("failed", ["A0", "slot 252:1"], "degraded", ["A0"]),
    ],
)
@pytest.mark.parametrize("beside", ["a free drive", "another volume", "nothing"])
def test_a_volume_that_lacks_or_fills_a_drive_stays_and_takes_no_other(
    choose, second, members, state, left, beside
):
    """To make it anew would erase what it was made to save, and to fill it up another volume."""
    groups = [one("A", "online", 0), one("B", second, 1)]
    raids = [array("v", "raid1", members, state=state)]
    if beside == "a free drive":
        groups.append(one("C", "unconfigured", 2))
    elif beside == "another volume":
        groups.append(drives("D", 2, state="online", first=3))
        raids.append(array("other", "raid1", ["D0", "D1"]))
    machine = Hardware(controllers=(controller(*groups),), raids=tuple(raids))
    found = choose(machine, MIRROR)
    assert ids(found) == left
    assert found.kept
    assert found.size_bytes == 999 * GIB


def test_all_drives_are_those_that_the_worn_volume_has_left(choose):
    groups = [drives("A", 3, state="online"), one("E", "failed", 3)]
    worn = array("v", "raid5", ["A0", "A1", "A2", "E0"], state="degraded", size_gib=2990)
    machine = Hardware(controllers=(controller(*groups),), raids=(worn,))
    found = choose(machine, {"level": "raid5", "drives": {"count": "all"}})
    assert (ids(found), found.kept, found.size_bytes) == (["A0", "A1", "A2"], True, 3 * 999 * GIB)


def test_a_worn_volume_of_another_level_or_on_drives_that_are_not_meant_does_not_stay(choose):
    groups = [one("A", "online", 0), one("B", "failed", 1), drives("C", 2, first=2)]
    worn = array("v", "raid1", ["A0", "B0"], state="degraded")
    machine = Hardware(controllers=(controller(*groups),), raids=(worn,))
    assert not choose(machine, {"level": "raid0", "drives": {"count": 2}}).kept
    elsewhere = choose(machine, {"drives": {"count": 2, "slots": ["252:2", "252:3"]}})
    assert (ids(elsewhere), elsewhere.kept) == (["C0", "C1"], False)


def test_a_volume_with_other_strips_is_not_as_asked(choose):
    groups = [drives("A", 2, state="online")]
    machine = Hardware(
        controllers=(controller(*groups),), raids=(array("v", "raid1", ["A0", "A1"], stripe_bytes=64 * KIB),)
    )
    assert choose(machine, MIRROR | {"stripe": "64KiB"}).kept
    assert choose(machine, MIRROR).kept
    assert not choose(machine, MIRROR | {"stripe": "256KiB"}).kept


@pytest.mark.parametrize(
    ("third", "spares", "notes"),
    [
        ("spare", ["C0"], ()),
        ("unconfigured", ["C0"], ()),
        ("failed", [], ("volume v has 0 of 1 spares, and is kept as it is",)),
    ],
)
def test_a_volume_without_its_spare_stays_and_gets_an_unused_drive(choose, third, spares, notes):
    groups = [drives("A", 2, state="online"), one("C", third, 2)]
    machine = Hardware(controllers=(controller(*groups),), raids=(array("v", "raid1", ["A0", "A1"]),))
    found = choose(machine, MIRROR | {"spares": 1})
    assert (ids(found), found.kept) == (["A0", "A1"], True)
    assert [drive.identity for drive in found.spares] == spares
    assert found.notes == notes


def test_a_volume_that_does_not_write_as_asked_stays_and_is_told(choose):
    groups = [drives("A", 2, state="online")]
    held = array("v", "raid1", ["A0", "A1"], write_cache="through")
    machine = Hardware(controllers=(controller(*groups),), raids=(held,))
    found = choose(machine, MIRROR | {"cache": {"write": "back"}})
    assert found.kept
    assert found.notes == ("volume v writes through its cache, not as asked, and is kept as it is",)
    assert choose(machine, MIRROR | {"cache": {"write": "through"}}).notes == ()


def test_a_spare_that_took_over_is_a_member_and_its_place_is_empty(choose):
    groups = [one("A", "online", 0), one("B", "failed", 1), one("S", "online", 2)]
    machine = Hardware(controllers=(controller(*groups),), raids=(array("v", "raid1", ["A0", "S0"]),))
    found = choose(machine, MIRROR | {"spares": 1})
    assert (ids(found), found.kept) == (["A0", "S0"], True)
    assert found.notes == ("volume v has 0 of 1 spares, and is kept as it is",)


def test_a_volume_stays_where_it_is_though_another_controller_could_make_it_too(choose):
    here = controller(drives("A", 2, state="online"))
    there = controller(drives("B", 2), pci="0000:5f:00.0")
    machine = Hardware(controllers=(here, there), raids=(array("v", "raid1", ["A0", "A1"]),))
    assert (ids(choose(machine, MIRROR)), choose(machine, MIRROR).kept) == (["A0", "A1"], True)


def ir(count, *raids):
    made = controller(
        drives("A", count, state="jbod"), driver="sas3ircu", levels=(), jbod=True, model="SAS3008"
    )
    return Hardware(controllers=(made,), raids=raids)


def test_no_controller_is_asked_for_more_volumes_than_it_can_have(choose):
    three = [{"name": f"v{n}", **MIRROR} for n in range(3)]
    first, second, third = choose(ir(6), *three)
    assert (ids(first), ids(second)) == (["A0", "A1"], ["A2", "A3"])
    assert "at most 2 volumes: 3 to be made beside those that stay (none)" in told(third)
    old = [
        array(name, "raid1", [f"A{2 * n}", f"A{2 * n + 1}"], driver="sas3ircu", uuid=name)
        for n, name in enumerate(["x", "y"])
    ]
    assert "1 to be made beside those that stay (x, y)" in told(choose(ir(6, *old), MIRROR))
    # one of them gives way
    slots = {"drives": {"count": 2, "slots": ["252:0", "252:1"]}}
    assert ids(choose(ir(6, *old), slots)) == ["A0", "A1"]


def test_a_size_that_the_drives_do_not_hold_is_refused(choose):
    machine = Hardware(controllers=(controller(drives("A", 2)),))
    assert "1.95 TiB are asked for, its drives hold 999 GiB" in told(
        choose(machine, MIRROR | {"size": "2000GiB"})
    )
    assert (
        choose(machine, MIRROR | {"size": "1000GiB"}).sized_bytes == 1000 * GIB
    )  # what is taken off is a guess


def test_a_controller_that_is_named_and_has_no_tool_is_told_so(choose):
    problem = "tool missing: storcli64 (put it in bootos/vendor, see docs/raid.md)"
    blind = RaidController(driver="storcli", pci="0000:3b:00.0", model="PCI 1000:0016", problem=problem)
    machine = Hardware(controllers=(blind,), disks=(disk("N0"), disk("N1")))
    refused = choose(machine, MIRROR | {"controller": "3b:00.0"})
    assert (refused.reason, problem in told(refused)) == ("tool-missing", True)


def test_mirrors_of_three_are_made_by_smartraid_alone(choose):
    def on(model):
        made = controller(drives("A", 3), driver="arcconf", levels=(), model=model)
        return choose(Hardware(controllers=(made,)), {"level": "raid1adm", "drives": {"count": 3}})

    assert ids(on("Adaptec SmartRAID 3154-8i")) == ["A0", "A1", "A2"]
    assert "makes no raid1adm" in told(on("Adaptec ASR8405"))


def test_options_that_mean_nothing_there_are_told(choose):
    passing = Hardware(controllers=(controller(drives("A", 2), jbod=True),))
    wish = {"level": "jbod", "drives": {"count": 2}, "stripe": "64KiB", "cache": {"write": "back"}}
    assert [note.split(" can't")[0] for note in choose(passing, wish).notes] == [
        "volume v: stripe", "volume v: cache.write"
    ]  # fmt: skip
    assert choose(Hardware(controllers=(controller(drives("A", 2), jbod=False),)), wish).notes == ()
    plain = Hardware(disks=(disk("N0"), disk("N1")))
    assert [note.split(" can't")[0] for note in choose(plain, MIRROR | {"stripe": "64KiB"}).notes] == [
        "volume v: stripe"
    ]


def test_a_volume_of_an_installed_host_that_lost_its_spare_or_has_other_strips_is_drift():
    wished = RaidVolume.model_validate(
        {"name": "v", "level": "raid1", **MIRROR, "spares": 1, "stripe": "64KiB"}
    )
    plain = array("v", "raid1", ["A0", "A1"], stripe_bytes=128 * KIB)

    def drift(held, *groups):
        machine = Hardware(controllers=(controller(drives("A", 2, state="online"), *groups),), raids=(held,))
        return [(one.field, one.wished, one.seen) for one in volume_drift(wished, held, machine)]

    assert drift(plain) == [("raid.v.stripe", "64 KiB", "128 KiB"), ("raid.v.spares", "1", "0")]
    assert drift(array("v", "raid1", ["A0", "A1"], spares=("S0",))) == []
    assert drift(array("v", "raid1", ["A0", "A1"]), one("S", "spare", 2)) == []


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("serials", "meant"), [(["A0", "A1"], "u1"), (["B0", "B1"], "u2")])
def test_of_two_volumes_of_one_name_the_one_on_the_drives_that_are_meant_is_it(
    choose, serials, meant, turned
):
    """Drives of another machine bring a volume of the same name; which is listed first is chance."""
    pair = [array("v", "raid1", ["A0", "A1"], uuid="u1"), array("v", "raid1", ["B0", "B1"], uuid="u2")]
    behind = controller(drives("A", 2, state="online"), drives("B", 2, state="online", first=2))
    machine = Hardware(controllers=(behind,), raids=tuple(reversed(pair) if turned else pair))
    found = choose(machine, {"drives": {"count": 2, "serials": serials}})
    assert (ids(found), found.existing.uuid, found.kept) == (serials, meant, True)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("installed", ["u1", "u2"])
def test_of_two_volumes_of_one_name_the_installed_one_goes_before_others(installed, turned):
    pair = [array("v", "raid1", ["A0", "A1"], uuid="u1"), array("v", "raid1", ["B0", "B1"], uuid="u2")]
    behind = controller(drives("A", 2, state="online"), drives("B", 2, state="online", first=2))
    machine = Hardware(controllers=(behind,), raids=tuple(reversed(pair) if turned else pair))
    lay_on = next(one.members for one in pair if one.uuid == installed)
    wished = RaidVolume.model_validate({"name": "v", "level": "raid1", "drives": {"count": 2}})
    assert choose_volume(wished, pools_of(machine), lay_on=lay_on).existing.uuid == installed


@pytest.mark.parametrize("spare", range(5))
def test_a_volume_of_all_drives_stays_whichever_of_them_is_its_spare(choose, spare):
    """A hot spare that was there first, or took its place later, is not the last one by its serial."""
    names = [f"A{n}" for n in range(5) if n != spare]
    states = ["spare" if n == spare else "online" for n in range(5)]
    behind = controller(
        *(drives(f"A{n}", 1, state=state, first=n) for n, state in enumerate(states)),
    )
    members = [f"{name}0" for name in names]
    stands = array("v", "raid5", members, spares=(f"A{spare}0",), size_gib=3996)
    found = choose(
        Hardware(controllers=(behind,), raids=(stands,)),
        {"level": "raid5", "drives": {"count": "all"}, "spares": 1},
    )
    assert (ids(found), found.kept) == (members, True)
