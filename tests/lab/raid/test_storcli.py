"""The emulated storcli: its forms as the driver reads them, its refusals, jobs from dirty to done."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from lab.raid import model, storcli
from lab.raid.model import Drive, Plug
from metal.drivers.raid.family import VolumeWish
from metal.drivers.raid.storcli import parse
from metal.drivers.raid.storcli.commands import STORCLI, STORCLI2
from metal.errors import Refused
from tests.lab.raid.driven import Driven

GIB = 1 << 30
TOOLS = {"storcli": "storcli64", "storcli2": "storcli2"}
FAMILIES = {"storcli": STORCLI, "storcli2": STORCLI2}
DRIVE_STATES = {
    "good": "unconfigured",
    "online": "online",
    "spare": "spare",
    "jbod": "jbod",
    "bad": "failed",
    "rebuilding": "rebuilding",
}


def make(count=6, *, second=False, jbod=False, **values):
    """A controller with drives of 100 GiB and a little, the last of them without an enclosure."""
    drives = [
        Drive(
            None if n == count - 1 else 252, n, f"SN{n:06}", f"5000c500{n:08x}", "ST600MM0069",
            size_bytes=100 * GIB + (n << 20), **values,
        )
        for n in range(count)
    ]  # fmt: skip
    return storcli.controller(drives, second=second, jbod=jbod)


def call(one, line, **others):
    """A line for the tool of this controller."""
    return storcli.run([TOOLS[one.family], *line.split()], [one], **others)


def driven(*controllers):
    """The driver against the emulator, with the block devices that there are now."""
    family = controllers[0].family
    shown = {plug.key: plug for one in controllers for plug in model.plugged(one)}
    return Driven(FAMILIES[family], storcli, TOOLS[family], list(controllers), shown)


def listed(*controllers):
    """What the driver makes of the emulator's answers."""
    return driven(*controllers).listed()


def address(drive):
    return f"{'' if drive.enclosure is None else drive.enclosure}:{drive.slot}"


def state_of(drive):
    if drive.foreign:
        return "foreign"
    if drive.condition == "failed":
        return "offline" if drive.group is not None else "failed"
    return DRIVE_STATES[drive.condition]


def drives_of(one):
    """The model's drives, as a listing has to tell them."""
    return {
        address(drive): (
            state_of(drive), drive.serial, drive.wwn, drive.size_bytes, drive.coerced_bytes,
            drive.sector_bytes, drive.medium, drive.interface, drive.spun_down, drive.model, drive.firmware,
        )
        for drive in one.drives
        if drive.condition != "missing"
    }  # fmt: skip


def volumes_of(one):
    """The model's volumes, as a listing has to tell them."""
    found = {}
    for volume in one.volumes:
        state = model.volume_state(one, volume)
        state = "degraded" if state == "rebuilding" else state
        alone = sum(other.group == volume.group for other in one.volumes) == 1
        kept = [address(d) for d in one.drives if d.condition == "spare" and d.group == volume.group]
        found[str(volume.id)] = (
            volume.name or None,
            volume.level,
            "initialising" if volume.initialising is not None else state,
            volume.size_bytes,
            volume.strip_bytes,
            volume.wwn,
            (str(volume.group),),
            sorted(address(d) for d in model.members(one, volume.group) if d.condition != "missing"),
            sorted(kept) if alone else [],
        )
    return found


def agrees(view, one):
    """Whether the driver sees just what there is."""
    assert {
        d.address: (
            d.state, d.serial, d.wwn, d.size_bytes, d.usable_bytes, d.sector_size, d.media, d.interface,
            d.spun_down, d.model, d.firmware,
        )
        for d in view.drives
        if d.address is not None
    } == drives_of(one)  # fmt: skip
    gone = [d for d in one.drives if d.condition == "missing" and d.group is not None]
    assert [d.state for d in view.drives if d.address is None] == ["missing"] * len(gone)
    assert {
        v.id: (
            v.name, v.level, v.state, v.size_bytes, v.stripe_bytes, v.wwn, v.groups, sorted(v.members),
            sorted(v.spares),
        )
        for v in view.volumes
    } == volumes_of(one)  # fmt: skip
    told = " ".join(c.text for c in view.conditions if c.kind == "preserved-cache")
    assert all(f"VD {vd}" in told for vd in one.pinned)
    assert bool(told) == bool(one.pinned)
    assert view.pci == one.pci
    assert view.serial == one.serial


BOTH = pytest.mark.parametrize("second", [False, True], ids=["storcli", "storcli2"])


@BOTH
def test_what_is_listed_is_what_is_there(second):
    one = make(10, second=second)
    level = "raid10" if second else "r10"
    strip = "strip=256" if second else "strip=1024"
    for line in (
        f"/c0 add vd {level} size=30GB name=root drives=252:0-3 pdperarray=2 wb nora {strip}",
        f"/c0 add vd {level} name=data drives=252:0-3 pdperarray=2 wt ra",
        f"/c0 add vd {'raid1' if second else 'type=raid1'} drives=252:4,5 spares=252:6",
        "/c0/e252/s7 add hotsparedrive",
    ):
        assert '"Status" : "Success"' in call(one, f"{line} nolog J").stdout
    one.drives[8].foreign = "old"
    one.drives[9].spun_down = True
    one.pinned.append(7)
    model.fail(one, one.drives[0])
    model.fail(one, one.drives[5], gone=True)
    one.volumes[0].initialising = 4.0
    (view,) = listed(one)
    agrees(view, one)
    assert view.jbod is (None if second else False)
    assert view.levels == one.limits.levels
    assert one.drives[6].condition == "rebuilding"


@BOTH
@pytest.mark.parametrize(
    "words", ["/call show all", "/c0/eall/sall show all", "/c0/vall show all", "/c0/fall show"]
)
def test_text_and_json_say_the_same(second, words):
    one = make(second=second)
    call(one, f"/c0 add vd {'raid5' if second else 'r5'} name=two drives=252:0-2 spares=252:3")
    one.drives[4].foreign = "old"
    text, data = (parse(call(one, f"{words} {form}").stdout).value for form in ("", "J"))
    assert text.outcome == data.outcome
    assert text.controllers == data.controllers


def test_hbas_come_after_and_make_nothing():
    raid, hba = make(2), make(3)
    hba.family, hba.model, hba.serial = "sas3ircu", "LSI3008-IR", "500605b0badf00d0"
    (view,) = listed(raid, hba)
    agrees(view, raid)
    for line in ("/c1 add vd r0 drives=252:0", "/c1/vall show", "/c1/s2 set jbod"):
        said = storcli.run(["storcli64", *line.split()], [raid, hba])
        assert (said.status, "Un-supported command" in said.stdout) == (255, True)
    overview = storcli.run(["storcli64", "show", "J"], [raid, hba]).stdout
    assert '"Number of Controllers" : 2' in overview
    assert '"IT System Overview"' in overview
    shown = parse(storcli.run(["storcli64", "/c1", "show"], [raid, hba]).stdout).value.controllers
    assert [drive.state for drive in shown[0].drives] == ["unconfigured"] * 3


@pytest.mark.parametrize(
    ("tool", "line", "status", "words"),
    [
        (
            "storcli64",
            "/call show J",
            255,
            '"Status" : "Failure",\n\t\t"Description" : "No Controller found"',
        ),
        ("storcli2", "/call show", 0, "Status = Success\nDescription = No Controller found"),
        ("storcli64", "show ctrlcount J", 0, '"Controller Count" : 0'),
        ("storcli64", "show", 0, "Status = Success"),
    ],
)
def test_without_a_controller_a_success_says_little(tool, line, status, words):
    said = storcli.run([tool, *line.split()], [])
    assert (said.status, words in said.stdout) == (status, True)


def fails(name, value):
    """A change of the drive in slot 1."""
    return lambda one: setattr(one.drives[1], name, value)


REFUSED = [
    (fails("foreign", "old"), "drives=252:0-1", 11, "resources already in use"),
    (fails("spun_down", True), "drives=252:0-1", 38, "physical disk does not have appropriate attributes"),
    (fails("condition", "jbod"), "drives=252:0-1", 38, "physical disk does not have appropriate attributes"),
    (fails("medium", "ssd"), "drives=252:0-1", 38, "physical disk does not have appropriate attributes"),
    (
        lambda one: one.pinned.append(3),
        "drives=252:0-1",
        84,
        "controller has data in cache for offline or missing",
    ),
    (id, "drives=252:0,252:0", 11, "resources already in use"),
    (id, "drives=252:0-2", 255, "Number of drives is not valid"),
    (id, "drives=252:0,252:77", 255, "Drive not found"),
    (id, "size=101GB drives=252:0-1", 13, "disk doesn't have enough capacity"),
    (id, "drives=252:0-1 strip=8", 255, "Strip size"),
    (id, "drives=252:0-1 name=longer-than-it-may-be", 255, "longer than 15"),
    (lambda one: call(one, "/c0 add vd r0 drives=252:0"), "drives=252:0-1", 13, "disk doesn't have enough"),
]


@pytest.mark.parametrize(("change", "options", "code", "words"), REFUSED)
def test_what_firmware_refuses_is_told_with_its_code_and_nothing_changes(change, options, code, words):
    one = make()
    change(one)
    before = repr(one)
    said = call(one, f"/c0 add vd r1 {options}")
    assert (said.status, words in said.stdout, repr(one)) == (code, True, before)
    assert parse(said.stdout).value.outcome.code == code


def test_storcli2_ends_with_0_and_says_no_free_space():
    one = make(second=True)
    assert '"VDID" : 1' in call(one, "/c0 add vd raid0 drives=252:0 wb nora J").stdout
    said = call(one, "/c0 add vd raid0 drives=252:0 J")
    assert (said.status, "No freespace available to create VD." in said.stdout) == (0, True)
    said = call(one, "/c0/v9 delete J")
    assert (said.status, '"ErrMsg" : "Invalid VD number"' in said.stdout) == (0, True)
    for line in ("add vd type=raid0 drives=252:1", "set jbod=on"):
        assert "Status = Failure\nDescription = syntax error" in call(one, f"/c0 {line} J").stdout
    said = call(one, "/c0/v1 set rdcache=RA wrcache=WT J").stdout
    assert "Description = syntax error, unexpected TOKEN_WRCACHE, expecting $end" in said


DRIVE_CASES = [
    ("jbod", "set good", 255, "Drive is JBOD! Use -force option to confirm.", "jbod"),
    ("jbod", "set good force", 0, "Set Drive Good Succeeded.", "good"),
    ("jbod", "del jbod", 255, "Use -force", "jbod"),
    ("good", "set good force", 255, "Operation not allowed.", "good"),
    ("good", "set jbod", 255, "Operation not allowed.", "good"),
    ("good", "spinup", 50, "device state doesn't support requested command", "good"),
    ("good", "set offline", 50, "device state doesn't support", "good"),
    ("jbod", "set offline", 255, "Drive not found", "jbod"),
    ("good", "add hotsparedrive", 0, "Add Hot Spare Succeeded.", "spare"),
    ("good", "add hotsparedrive dgs=9", 255, "Invalid Drive Group", "good"),
    ("spare", "delete hotsparedrive", 0, "Delete Hot Spare Succeeded.", "good"),
    ("spare", "set good force", 50, "device state doesn't support", "spare"),
    ("failed", "set good", 0, "Set Drive Good Succeeded.", "good"),
    ("good", "start locate", 0, "Start Drive Locate Succeeded.", "good"),
]


@pytest.mark.parametrize(("before", "words", "status", "told", "after"), DRIVE_CASES)
def test_what_is_done_to_a_drive(before, words, status, told, after):
    one = make()
    one.drives[0].condition = before
    said = call(one, f"/c0 /e252 /s0 {words}")
    assert (said.status, told in said.stdout, one.drives[0].condition) == (status, True, after)


def test_a_volume_with_data_is_deleted_by_force_only():
    one = make()
    call(one, "/c0 add vd r1 drives=252:0-1 name=os")
    one.volumes[0].has_data = True
    said = call(one, "/c0/v239 del")
    assert (said.status, "VD has OS/FS, use 'force' option" in said.stdout, len(one.volumes)) == (
        255,
        True,
        1,
    )
    said = call(one, "/c0/v239 del force")
    assert (said.status, "Delete VD succeeded" in said.stdout, one.volumes) == (0, True, [])
    assert [effect.key for effect in said.effects] == ["v" + said.effects[0].key[1:]]
    said = call(one, "/c0/v239 del force")
    assert (said.status, "Some of the specified VDs does not exist" in said.stdout) == (255, True)
    assert "No VDs have been configured" in call(one, "/c0/vall del force").stdout


def test_jbod_mode_takes_all_drives_that_are_free():
    one = make(3)
    one.drives[1].foreign = "old"
    said = call(one, "/c0 set jbod=on")
    assert [drive.condition for drive in one.drives] == ["jbod", "good", "jbod"]
    assert [type(effect) for effect in said.effects] == [Plug, Plug]
    assert listed(one)[0].jbod is True


def test_the_one_command_that_asks_waits_for_an_answer():
    one = make()
    before = repr(one)
    assert call(one, "/c0 flasherase").asks
    assert not call(one, "/c0 flasherase", stdin="Yes\n").asks
    assert repr(one) == before


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
