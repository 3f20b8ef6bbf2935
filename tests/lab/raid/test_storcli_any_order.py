"""The emulated storcli under any commands in any order, and jobs from a dirty controller to done."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from lab.raid import model, storcli
from metal.drivers.raid.family import VolumeWish
from metal.drivers.raid.storcli.commands import STORCLI
from metal.errors import Refused
from tests.lab.raid.storcli_view import (
    BOTH,
    GIB,
    address,
    agrees,
    call,
    driven,
    listed,
    make,
)

WORDS = st.sampled_from(
    ["show", "all", "add", "vd", "r5", "type=raid1", "raid0", "drives=252:0-3", "drives=", "size=1e9GB",
     "set", "good", "force", "/c0", "/call", "/cx", "/e252", "/eall", "/s0-9", "/s99999", "/vall", "/v0",
     "/fall", "/f0", "/dall", "J", "nolog", "delete", "del", "preservedcache", "hotsparedrive", "name=",
     "strip=x", "dgs=x", "dgs=", "jbod=on", "bootdrive=on", "wrcache=", "import",
     "config", "-h", "", "\x00", "/", "//"]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(WORDS | st.text(max_size=12), max_size=8), st.sampled_from(["storcli64", "storcli2", ""]))
def test_whatever_is_asked_is_answered(words, tool):
    one = make(5, second=tool == "storcli2")
    said = storcli.run([tool, *words], [one], None)
    assert isinstance(said.stdout, str)
    assert listed(one)
    storcli.run([], [one])


LINES = (
    "/c0 add vd {level}1 drives=252:{a},252:{b} name=m{a}",
    "/c0 add vd {level}5 size=20GB drives=252:0-2 name=five",
    "/c0 add vd {level}5 drives=252:0-2 wt nora",
    "/c0 add vd {level}10 drives=252:{a}-{b} pdperarray=2 spares=252:{b}",
    "/c0 add vd each {level}0 drives=252:{a}",
    "/c0 add vd {level}0 drives=7",
    "/c0/v{v} del force",
    "/c0/v{v} del",
    "/c0/vall del discardcache force",
    "/c0/e252/s{a} set jbod",
    "/c0/s7 set jbod",
    "/c0/e252/s{a} set good force",
    "/c0/e252/s{a} set uconf",
    "/c0/e252/s{a} add hotsparedrive",
    "/c0/e252/s{a} add hotsparedrive dgs={g}",
    "/c0/e252/s{a} delete hotsparedrive",
    "/c0/e252/s{a} set offline",
    "/c0/e252/s{a} set online",
    "/c0/e252/s{a} spindown",
    "/c0/e252/s{a} spinup",
    "/c0 set jbod=on",
    "/c0 set jbod=off force",
    "/c0/fall delete",
    "/c0/v{v} delete preservedcache force",
    "/c0/v{v} start init full force",
    "/c0/v{v} set bootdrive=on",
    "/c0/v{v} set name=other",
    "/c0/v{v} set wrcache=wt",
)
PLACES = st.integers(0, 6)


class Commands(RuleBasedStateMachine):
    """Random lines and driver's commands: the driver sees what is there, and devices come and go as told."""

    def __init__(self):
        super().__init__()
        self.machine = None

    @property
    def one(self):
        return self.machine.controllers[0]

    @initialize(second=st.booleans(), jbod=st.booleans())
    def begin(self, second, jbod):
        self.machine = driven(make(8, second=second, jbod=jbod and not second))

    @rule(line=st.sampled_from(LINES), a=PLACES, b=PLACES, v=st.integers(0, 4), g=st.integers(0, 2))
    def say(self, line, a, b, v, g):
        second = self.one.family == "storcli2"
        vd = (v if second else 239 - v) if v else "all"
        words = line.format(level="raid" if second else "r", a=a, b=b, v=vd, g=g).split()
        self.machine.ask(self.machine.tool, *words, "nolog")

    @rule(words=st.lists(WORDS, max_size=6))
    def garble(self, words):
        self.machine.ask(self.machine.tool, *words)

    @rule(place=PLACES, gone=st.booleans(), seconds=st.integers(0, 15))
    def wear(self, place, gone, seconds):
        drive = self.one.drives[place]
        if drive.condition != "missing":
            for effect in model.fail(self.one, drive, gone=gone):
                self.machine.shown.pop(effect.key)
        model.tick(self.one, seconds)

    @rule(place=PLACES, vd=st.integers(0, 3))
    def dirty(self, place, vd):
        if self.one.drives[place].condition == "good":
            self.one.drives[place].foreign = "other"
        if vd not in self.one.pinned:
            self.one.pinned.append(vd)

    @rule(
        level=st.sampled_from(["raid0", "raid1", "raid5", "jbod"]),
        places=st.sets(PLACES, min_size=1, max_size=4),
    )
    def work(self, level, places):
        """Prepare some drives and make a volume of them, from what was listed."""
        (view,) = self.machine.listed()
        wanted = {address(self.one.drives[place]) for place in places}
        drives = tuple(drive for drive in view.drives if drive.address in wanted)
        if not drives:
            return
        family, tool = self.machine.family, self.machine.tool
        try:
            self.machine.send(family.prepare(tool, view, drives))
            (view,) = self.machine.listed()
            drives = tuple(drive for drive in view.drives if drive.address in wanted)
            self.machine.send(family.create(tool, view, VolumeWish("made", level, drives)))
        except Refused as error:
            assert error.hint  # noqa: PT017

    @precondition(lambda self: self.one.volumes)
    @rule(place=st.integers(0, 3))
    def drop(self, place):
        (view,) = self.machine.listed()
        volume = view.volumes[place % len(view.volumes)]
        self.machine.send(self.machine.family.delete_volume(self.machine.tool, view, volume))
        assert volume.wwn not in {one.wwn for one in self.one.volumes}

    @invariant()
    def the_driver_sees_what_is_there(self):
        if self.machine is not None:
            (view,) = self.machine.listed()
            agrees(view, self.one)
            assert sorted(self.machine.shown) == sorted(plug.key for plug in model.plugged(self.one))


Commands.TestCase.settings = settings(
    max_examples=25, stateful_step_count=15, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestCommands = Commands.TestCase


def reach(machine, serials, wish_of):
    """As the engine does it: delete what stands there, prepare, create, each from a fresh listing."""
    family, tool = machine.family, machine.tool
    (view,) = machine.listed()
    wanted = {drive.address for drive in view.drives if drive.serial in serials}
    doomed = [volume.wwn for volume in view.volumes if wanted & {*volume.members, *volume.spares}]
    for wwn in doomed:
        (view,) = machine.listed()
        volume = next(volume for volume in view.volumes if volume.wwn == wwn)
        machine.send(family.delete_volume(tool, view, volume))
    (view,) = machine.listed()
    machine.send(family.prepare(tool, view, [d for d in view.drives if d.serial in serials]))
    (view,) = machine.listed()
    drives = {drive.serial: drive for drive in view.drives}
    machine.send(family.create(tool, view, wish_of(drives)))
    (view,) = machine.listed()
    volume = next(volume for volume in view.volumes if volume.name == "root")
    machine.send(family.boot_from(tool, view, volume))
    return machine.listed()[0], volume


@BOTH
def test_a_dirty_controller_becomes_what_is_wished_and_stays_so(second):
    one = make(9, second=second, jbod=not second)
    first = "raid5" if second else "r5"
    call(one, f"/c0 add vd {first} drives=252:0-2 spares=252:3 name=old")
    call(one, "/c0/e252/s4 set jbod")
    call(one, f"/c0 add vd {'raid0' if second else 'r0'} drives=252:5 name=keep")
    call(one, "/c0/e252/s6 add hotsparedrive")
    one.drives[7].foreign = "other"
    one.pinned.append(9)
    one.volumes[0].has_data = True
    model.fail(one, one.drives[1])
    machine = driven(one)
    kept = next(volume.wwn for volume in one.volumes if volume.name == "keep")
    serials = [one.drives[place].serial for place in (0, 2, 4, 6, 7)]

    def wish_of(drives):
        members = tuple(drives[serial] for serial in serials[:4])
        return VolumeWish(
            "root", "raid10", members, spares=(drives[serials[4]],), size_bytes=50 * GIB,
            strip_bytes=256 << 10, write_cache="back", read_cache="none",
        )  # fmt: skip

    view, made = reach(machine, set(serials), wish_of)
    agrees(view, one)
    assert (made.level, made.state, made.size_bytes, made.stripe_bytes) == (
        "raid10",
        "optimal",
        50 * GIB,
        262144,
    )
    assert set(made.members) == {"252:0", "252:2", "252:4", "252:6"}
    assert made.spares == ("252:7",)
    assert {volume.wwn for volume in view.volumes} == {kept, made.wwn}
    assert next(volume for volume in one.volumes if volume.wwn == made.wwn).boot
    assert not one.pinned
    drives = [drive for drive in view.drives if drive.serial in serials[:4]]
    before = repr(one)
    machine.send(machine.family.prepare(machine.tool, view, drives))
    assert repr(one) == before, "a second run has nothing to prepare"


def test_a_further_volume_takes_what_is_left_of_its_drives():
    machine = driven(make())
    (view,) = machine.listed()
    drives = view.drives[:3]
    for name, size in (("root", 10 * GIB), ("data", None)):
        (view,) = machine.listed()
        group = view.volumes[0] if view.volumes else None
        wish = VolumeWish(name, "raid5", drives, size_bytes=size, group=group)
        machine.send(STORCLI.create("storcli64", view, wish))
    (view,) = machine.listed()
    assert {volume.name: volume.size_bytes for volume in view.volumes} == {
        "root": 10 * GIB,
        "data": 190 * GIB,
    }
    assert len({volume.groups for volume in view.volumes}) == 1
    machine.send(STORCLI.add_spare("storcli64", view, view.volumes[0], view.drives[4]))
    (view,) = machine.listed()
    assert (view.drives[4].state, view.drives[4].groups) == ("spare", view.volumes[0].groups)
