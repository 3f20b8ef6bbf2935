"""What an emulated controller does, and that its own bookkeeping always agrees with itself."""

import contextlib

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from lab.raid import model
from lab.raid.model import Controller, Drive, Limits, Plug, Refusal, Unplug

GIB = 1 << 30
LEVELS = ("raid0", "raid1", "raid5", "raid6", "raid10", "raid50")


def make(count=8, **limits):
    drives = [
        Drive(252, n, f"S{n}", f"5000c500{n:08x}", "ST1000", size_bytes=100 * GIB + n * 1000)
        for n in range(count)
    ]
    return Controller("storcli", "0", "9460", "SR1", "5.1", "0000:5e:00.0", Limits(LEVELS, **limits), drives)


def test_a_volume_takes_drives_and_appears():
    one = make()
    volume, effects = model.create(one, "raid5", one.drives[:3], name="a", spares=one.drives[3:4])
    assert volume.size_bytes == 2 * (100 * GIB)
    assert effects == [Plug(f"v{volume.wwn}", volume.wwn, volume.wwn, volume.size_bytes)]
    assert [drive.condition for drive in one.drives[:5]] == ["online"] * 3 + ["spare", "good"]
    assert model.delete(one, volume.id) == [Unplug(f"v{volume.wwn}")]
    assert {drive.condition for drive in one.drives} == {"good"}


def test_several_volumes_share_a_group_and_the_last_frees_it():
    one = make()
    first, _ = model.create(one, "raid5", one.drives[:3], size_bytes=10 * GIB)
    second, _ = model.create_in(one, first.group, "raid5")
    assert second.size_bytes == 190 * GIB
    with pytest.raises(Refusal, match="space"):
        model.create_in(one, first.group, "raid5")
    model.delete(one, first.id)
    assert one.drives[0].condition == "online"
    model.delete(one, second.id)
    assert one.drives[0].condition == "good"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"condition": "online"}, "drive-state"),
        ({"condition": "jbod"}, "drive-state"),
        ({"foreign": "old"}, "foreign"),
        ({"spun_down": True}, "spun-down"),
        ({"medium": "ssd"}, "mixed-kinds"),
        ({"sector_bytes": 4096}, "mixed-kinds"),
    ],
)
def test_what_firmware_refuses_it_refuses_and_changes_nothing(change, code):
    one = make()
    for name, value in change.items():
        setattr(one.drives[1], name, value)
    before = repr(one)
    with pytest.raises(Refusal, match=code):
        model.create(one, "raid1", one.drives[:2])
    assert repr(one) == before


def test_preserved_cache_stops_every_new_volume():
    one = make()
    one.pinned.append(3)
    with pytest.raises(Refusal, match="preserved-cache 3"):
        model.create(one, "raid1", one.drives[:2])


def test_a_lost_drive_degrades_and_a_spare_is_rebuilt():
    one = make()
    volume, _ = model.create(one, "raid1", one.drives[:2], spares=one.drives[2:3])
    assert model.fail(one, one.drives[0]) == []
    assert model.volume_state(one, volume) == "rebuilding"
    model.tick(one, 21)
    assert model.volume_state(one, volume) == "optimal"
    model.fail(one, one.drives[1])
    assert model.volume_state(one, volume) == "degraded"
    assert model.fail(one, one.drives[2]) == [Unplug(f"v{volume.wwn}")]
    assert model.volume_state(one, volume) == "offline"


def test_ids_count_down_where_the_firmware_does():
    one = make(first_volume_id=239, volume_id_step=-1)
    assert [model.create(one, "raid1", one.drives[n : n + 2])[0].id for n in (0, 2)] == [239, 238]


class Commands(RuleBasedStateMachine):
    """Random commands: what is plugged is what the effects told, and no drive is used twice."""

    def __init__(self):
        super().__init__()
        self.one = make(10)
        self.shown = {}

    def apply(self, effects):
        for effect in effects:
            if isinstance(effect, Plug):
                assert effect.key not in self.shown
                self.shown[effect.key] = effect
            else:
                assert self.shown.pop(effect.key, None) is not None

    @rule(
        level=st.sampled_from(LEVELS),
        places=st.lists(st.integers(0, 9), max_size=8),
        size=st.integers(0, 200),
    )
    def create(self, level, places, size):
        with contextlib.suppress(Refusal):
            drives = [self.one.drives[place] for place in places]
            self.apply(model.create(self.one, level, drives, size_bytes=size * GIB or None)[1])

    @rule(place=st.integers(0, 3), size=st.integers(0, 50))
    def create_beside(self, place, size):
        with contextlib.suppress(Refusal, IndexError):
            volume = self.one.volumes[place]
            effects = model.create_in(self.one, volume.group, volume.level, size_bytes=size * GIB or None)[1]
            self.apply(effects)

    @rule(place=st.integers(0, 3))
    def delete(self, place):
        with contextlib.suppress(IndexError):
            dead = model.volume_state(self.one, self.one.volumes[place]) == "offline"
            effects = model.delete(self.one, self.one.volumes[place].id)
            self.apply([] if dead else effects)

    @rule(place=st.integers(0, 9), gone=st.booleans())
    def fail(self, place, gone):
        self.apply(model.fail(self.one, self.one.drives[place], gone=gone))

    @rule(place=st.integers(0, 9))
    def pass_through(self, place):
        with contextlib.suppress(Refusal):
            self.apply(model.set_jbod(self.one, self.one.drives[place]))

    @rule(place=st.integers(0, 9), spare=st.booleans())
    def free_or_keep(self, place, spare):
        with contextlib.suppress(Refusal):
            drive = self.one.drives[place]
            self.apply([] if spare else model.set_good(drive))
            if spare:
                model.set_spare(drive)

    @rule(seconds=st.integers(0, 30))
    def wait(self, seconds):
        model.tick(self.one, seconds)

    @invariant()
    def what_is_told_is_what_is(self):
        assert sorted(self.shown) == sorted(one.key for one in model.plugged(self.one))

    @invariant()
    def every_group_has_a_volume_and_room_for_it(self):
        groups = {one.group for one in self.one.volumes}
        for drive in self.one.drives:
            if drive.condition in ("online", "rebuilding"):
                assert drive.group in groups
        for group in groups:
            assert model.members(self.one, group)
            assert model.free_bytes(self.one, group) >= 0
        assert len({one.id for one in self.one.volumes}) == len(self.one.volumes)
        assert len({one.wwn for one in self.one.volumes}) == len(self.one.volumes)


Commands.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestCommands = Commands.TestCase
