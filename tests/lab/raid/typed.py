"""A machine whose drives are known by their slots, and random work on it: what two families share.

Both are written for one controller at a time; the families say how a slot is addressed, and what else can
be typed.
"""

import contextlib
from collections.abc import Callable

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from lab.raid import model
from lab.raid.model import Controller
from metal.drivers.raid.family import VolumeWish
from metal.drivers.raid.listing import Controller as Listed
from metal.errors import Refused
from tests.lab.raid.driven import Driven

GIB = 1 << 30
SLOTS = 6
LEVELS = ("raid0", "raid1", "raid5", "raid6", "raid10", "raid50", "jbod")


class Typed(Driven):
    """A machine with emulated controllers; `address` is how a slot of it is written."""

    address = "{}"

    def __init__(self, family, emulator, tool, controllers, **more):
        shown = {plug.key: plug for one in controllers for plug in model.plugged(one)}
        super().__init__(family, emulator, tool, list(controllers), shown, **more)

    def call(self, *words, stdin=None):
        return self.ask(self.tool, *words, stdin=stdin)

    def only(self):
        (one,) = self.listed()
        return one

    def drives(self, *slots):
        listed = {one.address: one for one in self.only().drives}
        return tuple(listed[self.address.format(slot)] for slot in slots)

    def create(self, level, slots, **more):
        wish = VolumeWish("system", level, self.drives(*slots), **more)
        return self.send(self.family.create(self.tool, self.only(), wish))


class Commands(RuleBasedStateMachine):
    """Whatever is typed, the listing is what the controller is, and shows what is plugged.

    A family says what its machine is, when a drive can turn out to be another controller's, and what the
    listing has to show.
    """

    machine: Callable[[], Typed]
    assert_same: Callable[[Listed, Controller], None]
    may_be_foreign = ("good",)
    prepare_refuses: tuple[type[Exception], ...] = ()

    def __init__(self):
        super().__init__()
        self.here = self.machine()
        (self.one,) = self.here.controllers

    def work(self, what, seen, *given):
        commands = getattr(self.here.family, what)(self.here.tool, seen, *given)
        return self.here.send(commands)

    def drives(self, seen, slots):
        listed = {one.address: one for one in seen.drives}
        asked = (self.here.address.format(slot) for slot in slots)
        return tuple(listed[address] for address in asked if address in listed)

    @rule(
        level=st.sampled_from(LEVELS),
        slots=st.lists(st.integers(0, SLOTS - 1), min_size=1, max_size=SLOTS, unique=True),
        size=st.integers(0, 40),
    )
    def create(self, level, slots, size):
        seen = self.here.only()
        spans = 2 if level == "raid50" else 1
        wish = VolumeWish("v", level, self.drives(seen, slots), spans=spans, size_bytes=size * GIB or None)
        with contextlib.suppress(Refused):
            self.work("create", seen, wish)

    @rule(slots=st.lists(st.integers(0, SLOTS - 1), max_size=SLOTS))
    def prepare(self, slots):
        seen = self.here.only()
        with contextlib.suppress(*self.prepare_refuses):
            self.work("prepare", seen, self.drives(seen, slots))

    @rule(place=st.integers(0, 3), what=st.sampled_from(("delete_volume", "boot_from")))
    def of_volume(self, place, what):
        seen = self.here.only()
        if place < len(seen.volumes):
            self.work(what, seen, seen.volumes[place])

    @rule(place=st.integers(0, 3), slot=st.integers(0, SLOTS - 1))
    def keep(self, place, slot):
        seen = self.here.only()
        found = self.drives(seen, [slot])
        if place < len(seen.volumes) and found:
            self.work("add_spare", seen, seen.volumes[place], *found)

    @rule(slot=st.integers(0, SLOTS - 1), gone=st.booleans(), foreign=st.booleans())
    def misfortune(self, slot, gone, foreign):
        drive = self.one.drives[slot]
        if foreign and drive.condition in self.may_be_foreign:
            drive.foreign = "other"
        elif drive.condition != "missing":
            for effect in model.fail(self.one, drive, gone=gone):
                self.here.shown.pop(effect.key, None)

    @rule(seconds=st.integers(0, 30))
    def wait(self, seconds):
        model.tick(self.one, seconds)

    @invariant()
    def the_listing_is_the_model(self):
        self.assert_same(self.here.only(), self.one)

    @invariant()
    def what_is_plugged_was_told(self):
        assert self.here.shown.keys() == {plug.key for plug in model.plugged(self.one)}
