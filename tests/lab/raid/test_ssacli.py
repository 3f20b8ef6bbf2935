"""The emulated Smart Array tools: forms and refusals of the real ones, and the driver working with them."""

import copy

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from lab.raid import model, ssacli
from lab.raid.model import Drive
from metal.drivers.raid.family import VolumeWish
from metal.drivers.raid.ssacli import parse
from metal.drivers.raid.ssacli.commands import SSACLI
from metal.errors import Refused
from tests.lab.raid.driven import Driven

GB = 10**9
CTRL = ("ssacli", "ctrl", "slot=0")


def drives(count=8, **options):
    return [
        Drive(
            1 if n <= 4 else 2, n, f"WFK{n:05d}", f"5000c500a{n:07x}", "EG000300JWBHR", vendor="HP",
            size_bytes=300 * GB + n, **options,
        )
        for n in range(1, count + 1)
    ]  # fmt: skip


def driven(count=8, tool="ssacli", **options):
    one = ssacli.controller(drives(count), **options)
    host = Driven(SSACLI, ssacli, tool, [one])
    host.shown = {plug.key: plug for plug in model.plugged(one)}
    return host


def expected_state(one, drive):
    hba = {
        "good": "unconfigured",
        "online": "online",
        "spare": "spare",
        "jbod": "jbod",
        "bad": "unconfigured",
    }
    return {**hba, "failed": "failed", "missing": "failed", "rebuilding": "rebuilding"}[drive.condition]


def agrees(host):
    """Assert that the driver's view is the model's state."""
    (one,), (listed,) = host.controllers, host.listed()
    assert (listed.index, listed.serial, listed.pci) == (one.index, one.serial, one.pci)
    seen = {drive.address: drive for drive in listed.drives}
    grouped = {volume.group for volume in one.volumes}
    there = [d for d in one.drives if d.condition != "missing" or d.group in grouped]
    assert len(seen) == len(there)
    for drive in there:
        told = seen[f"{drive.enclosure}I:1:{drive.slot}"]
        assert told.state == expected_state(one, drive)
        if drive.condition != "missing":
            assert (told.serial, told.media, told.interface) == (drive.serial, drive.medium, drive.interface)
            assert abs(told.size_bytes - drive.size_bytes) <= drive.size_bytes / 100
    volumes = {volume.id: volume for volume in listed.volumes}
    assert volumes.keys() == {str(volume.id) for volume in one.volumes}
    for volume in one.volumes:
        agrees_on(one, volume, volumes[str(volume.id)])
    assert sorted(host.shown) == sorted(plug.key for plug in model.plugged(one))


def agrees_on(one, volume, told):
    names = {f"{d.enclosure}I:1:{d.slot}": d for d in one.drives}
    assert (told.level, told.wwn, told.name) == (volume.level, volume.wwn, volume.name)
    assert told.stripe_bytes == volume.strip_bytes
    assert abs(told.size_bytes - volume.size_bytes) <= max(volume.size_bytes / 100, 6 << 20)
    held = [f"{d.enclosure}I:1:{d.slot}" for d in model.members(one, volume.group)]
    assert sorted(told.members) == sorted(held), "cages list a drive that is gone last"
    kept = [d for d in one.drives if d.condition == "spare" and d.group in (volume.group, None)]
    assert [names[place] for place in told.spares] == ([] if volume.level == "raid0" else kept)
    state = model.volume_state(one, volume)
    states = {"optimal": "optimal", "rebuilding": "rebuilding", "offline": "failed"}
    wanted = states.get(state, "degraded")
    if wanted == "optimal" and volume.initialising is not None:
        wanted = "initialising"
    assert told.state == wanted


def drives_of(listed, *places):
    return tuple(listed.drives[place] for place in places)


def test_lists_have_the_forms_of_the_real_tools():
    host = driven(3)
    host.ask(*CTRL, "create", "type=ld", "drives=1I:1:1,1I:1:2", "raid=1")
    said = host.ask("ssacli", "ctrl", "all", "show", "config").stdout
    assert "Smart Array P440ar in Slot 0 (Embedded)   (sn: PDNLHRACK001)\n" in said
    assert "   Array A (SAS, Unused Space: 0  MB)\n\n      logicaldrive 1 (279.38 GB, RAID 1, OK)\n" in said
    assert "      physicaldrive 1I:1:1 (port 1I:box 1:bay 1, SAS HDD, 300 GB, OK)\n" in said
    assert "   Unassigned\n\n      physicaldrive 1I:1:3 (port 1I" in said
    old = host.ask("hpacucli", "controller", "slot=0", "logicaldrive", "all", "show").stdout
    assert old == (
        "\nSmart Array P440ar in Slot 0 (Embedded)\n\n   array A\n\n"
        "      logicaldrive 1 (279.4 GB, RAID 1, OK)\n\n"
    )
    status = host.ask(*CTRL, "pd", "all", "show", "status").stdout
    assert "   physicaldrive 1I:1:1 (port 1I:box 1:bay 1, 300 GB): OK\n" in status


@pytest.mark.parametrize("how", ["", "detail", "status", "config", "config detail"])
@pytest.mark.parametrize("tool", SSACLI.tools)
def test_the_parser_reads_every_list_of_every_tool(tool, how):
    host = driven(6)
    host.ask(*CTRL, "create", "type=ld", "drives=1I:1:1-1I:1:3", "raid=5")
    for what in ((), ("ld", "all"), ("pd", "all"), ("array", "A")):
        if how.startswith("config") and what:
            continue
        said = host.ask(tool, "ctrl", "slot=0", *what, "show", *how.split())
        assert said.status == 0
        if what != ("array", "A"):
            parse(said.stdout)


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("ctrl slot=7 show", 'identified by "slot=7" was not detected'),
        ("ctrl show", "must be identified by slot, chassisname"),
        ("ctrl slot=0 ld all show", "does not have any logical drives."),
        ("ctrl slot=0 ld 4 delete forced", "does not have any logical drives."),
        ("ctrl slot=0 ld all delete forced", "does not have any logical drives."),
        ("ctrl slot=0 create type=ld drives=1I:1:1 raid=7", '"raid=7" is not a valid option'),
        ("ctrl slot=0 create type=ld drives=1I:1:1,1I:1:2 raid=5", "Invalid raid/drives"),
        ("ctrl slot=0 create type=ld drives=1I:1:1,1I:1:1 raid=1", "Invalid raid/drives"),
        ("ctrl slot=0 create type=ld drives=1I:1:99 raid=0", "invalid physical drive"),
        ("ctrl slot=0 create type=ld drives=1I:1:1 raid=0 stripsize=8", "Available options are:\n       256"),
        ("ctrl slot=0 create type=ld drives=1I:1:1 raid=0 size=99999999", "Space for creation not available"),
        ("ctrl slot=0 create type=ld drives=all raid=6", "Feature requires license key"),
        ("ctrl slot=0 create drives=1I:1:1 raid=0", "Syntax error"),
        ("ctrl slot=0 array A add spares=1I:1:1", "does not have any arrays"),
        ("ctrl slot=0 pd 1I:1:1 modify enableeraseddrive", "not supported with the current"),
        ("ctrl slot=0 explode", 'Syntax error at "explode"'),
        ("ld all show", 'Syntax error at "ld"'),
    ],
)
def test_refusals_are_told_and_change_nothing(command, told):
    host = driven(advanced=False)
    before = repr(host.controllers)
    said = host.ask("ssacli", *command.split())
    assert told in said.stdout
    assert (said.status, said.effects, repr(host.controllers)) == (1, (), before)


def test_without_a_controller_nothing_is_listed():
    host = Driven(SSACLI, ssacli, "ssacli", [])
    assert "No controllers detected" in host.ask("ssacli", "ctrl", "all", "show").stdout
    assert host.listed() == ()


def test_a_question_waits_and_changes_nothing():
    host = driven(2)
    assert host.ask(*CTRL, "create", "type=ld", "drives=1I:1:1", "raid=0").stdout == ""
    before = repr(host.controllers)
    asked = host.ask(*CTRL, "ld", "1", "delete")
    assert asked.asks
    assert "Continue? (y/n)" in asked.stdout
    assert not host.ask(*CTRL, "ld", "1", "delete", stdin="n\n").asks
    assert repr(host.controllers) == before
    host.ask(*CTRL, "ld", "1", "delete", stdin="y\n")
    assert host.controllers[0].volumes == []


def test_letters_shift_and_numbers_stay():
    host = driven(3)
    for place in "123":
        host.ask(*CTRL, "create", "type=ld", f"drives=1I:1:{place}", "raid=0")
    host.ask(*CTRL, "ld", "1", "delete", "forced")
    assert [(one.id, one.groups) for one in host.listed()[0].volumes] == [("2", ("A",)), ("3", ("B",))]
    said = host.ask(*CTRL, "create", "type=ld", "drives=1I:1:1", "raid=0").stdout
    assert said.strip().startswith("Warning: Creation of this logical drive has caused array letters")
    assert [one.id for one in host.listed()[0].volumes] == ["1", "2", "3"]
    full = host.ask(*CTRL, "create", "type=ld", "drives=1I:1:1", "raid=0")
    assert full.stdout.endswith("configuration.\nReason: Space for creation not available\n\n")


def test_what_is_possible_can_be_asked():
    host = driven(4)
    said = host.ask(*CTRL, "create", "type=ld", "drives=1I:1:1,1I:1:2,1I:1:3", "raid=5", "size=?").stdout
    assert said == "\nAvailable options are:\n   Max: 572160 (Units in MB)\n   Min: 16 (Units in MB)\n\n"
    assert host.controllers[0].volumes == []


def test_a_controller_in_hba_mode_makes_no_volumes():
    host = driven(2, mode="hba")
    (listed,) = host.listed()
    assert (listed.levels, listed.jbod) == (("jbod",), True)
    assert {one.state for one in listed.drives} == {"jbod"}
    with pytest.raises(Refused, match="HBA mode"):
        SSACLI.create("ssacli", listed, VolumeWish("a", "raid1", listed.drives))
    assert "HBA mode" in host.ask(*CTRL, "create", "type=ld", "drives=all", "raid=1").stdout


def test_a_drive_of_a_mixed_port_is_shown_until_a_volume_takes_it():
    host = driven(3, mode="mixed")
    agrees(host)
    (listed,) = host.listed()
    assert SSACLI.create("ssacli", listed, VolumeWish("a", "jbod", listed.drives)) == ()
    host.send(SSACLI.create("ssacli", listed, VolumeWish("a", "raid1", listed.drives[:2])))
    agrees(host)
    assert len(host.shown) == 2
    host.send(SSACLI.delete_volume("ssacli", host.listed()[0], host.listed()[0].volumes[0]))
    assert len(host.shown) == 3


def dirty(host):
    """Old volumes, a spare, a drive that failed, an erased one, one from another controller."""
    (one,) = host.controllers
    host.ask(*CTRL, "create", "type=ld", "drives=1I:1:1,1I:1:2", "raid=1", "forced")
    host.ask(*CTRL, "create", "type=ld", "drives=1I:1:3,1I:1:4", "raid=0", "size=10000", "forced")
    host.ask(*CTRL, "array", "B", "create", "type=ld", "raid=0", "forced")
    host.ask(*CTRL, "array", "A", "add", "spares=2I:1:5", "forced")
    host.ask(*CTRL, "pd", "2I:1:6", "modify", "erase", "forced")
    one.drives[6].foreign = "other"
    for effect in model.fail(one, one.drives[7]):
        host.shown.pop(effect.key)
    agrees(host)


def wanted(host, level="raid10"):
    """The steps of the engine: delete what lies on the drives, prepare, list again, create."""
    places = (0, 1, 2, 3, 5, 6)
    names = {host.controllers[0].drives[place].serial for place in places}
    spare = host.controllers[0].drives[4].serial

    def now(serials):
        return tuple(drive for drive in host.listed()[0].drives if drive.serial in serials)

    def there():
        return [
            volume
            for volume in host.listed()[0].volumes
            if {one.serial for one in now(names) if one.address in volume.members} == names
            and volume.level == level
        ]

    if there():
        return []
    sent = []
    while host.listed()[0].volumes:
        (listed,) = host.listed()
        sent += host.send(SSACLI.delete_volume(host.tool, listed, listed.volumes[0]))
    sent += host.send(SSACLI.prepare(host.tool, host.listed()[0], now({*names, spare})))
    wish = VolumeWish("data", level, now(names), spares=now({spare}), strip_bytes=131072, write_cache="back")
    sent += host.send(SSACLI.create(host.tool, host.listed()[0], wish))
    sent += host.send(SSACLI.boot_from(host.tool, host.listed()[0], there()[0]))
    return sent


@pytest.mark.parametrize("tool", SSACLI.tools)
@pytest.mark.parametrize("mode", ["raid", "mixed"])
def test_from_a_dirty_controller_to_the_wished_volume(tool, mode):
    host = driven(8, tool=tool, mode=mode)
    dirty(host)
    said = wanted(host)
    assert [reply.stdout for reply in said if reply.status] == []
    agrees(host)
    (volume,) = host.listed()[0].volumes
    assert (volume.level, volume.stripe_bytes, len(volume.members)) == ("raid10", 131072, 6)
    assert volume.spares == ("2I:1:5",)
    assert host.controllers[0].volumes[0].boot
    assert host.controllers[0].volumes[0].write_cache == "back"
    assert wanted(host) == [], "a second run has nothing to do"


def test_spares_in_a_shared_array_and_across_arrays():
    host = driven(8)
    (listed,) = host.listed()
    first = VolumeWish("a", "raid1", drives_of(listed, 0, 1), size_bytes=1000 << 20)
    host.send(SSACLI.create("ssacli", listed, first))
    (listed,) = host.listed()
    beside = VolumeWish("b", "raid1", drives_of(listed, 0, 1), group=listed.volumes[0])
    host.send(SSACLI.create("ssacli", listed, beside))
    host.send(SSACLI.create("ssacli", host.listed()[0], VolumeWish("c", "raid5", drives_of(listed, 2, 3, 4))))
    (listed,) = host.listed()
    assert [one.groups for one in listed.volumes] == [("A",), ("A",), ("B",)]
    host.send(SSACLI.add_spare("ssacli", listed, listed.volumes[1], listed.drives[6]))
    host.ask(*CTRL, "array", "all", "add", "spares=2I:1:8")
    (listed,) = host.listed()
    assert [one.spares for one in listed.volumes] == [("2I:1:7", "2I:1:8")] * 2 + [("2I:1:8",)]
    agrees(host)
    host.send(SSACLI.prepare("ssacli", listed, listed.drives[6:]))
    assert [one.spares for one in host.listed()[0].volumes] == [(), (), ()]
    agrees(host)


def test_a_rebuild_is_followed():
    host = driven(4)
    host.ask(*CTRL, "create", "type=ld", "drives=1I:1:1,1I:1:2", "raid=1")
    host.ask(*CTRL, "ld", "1", "add", "spares=1I:1:3")
    (one,) = host.controllers
    model.fail(one, one.drives[0])
    model.tick(one, 5)
    (listed,) = host.listed()
    assert (listed.volumes[0].state, listed.volumes[0].progress) == ("rebuilding", 25.0)
    agrees(host)
    model.fail(one, one.drives[1])
    for effect in [key for key in host.shown if key.startswith("v")]:
        host.shown.pop(effect)
    agrees(host)
    host.send(SSACLI.delete_volume("ssacli", listed, listed.volumes[0]))
    agrees(host)


LINES = tuple(
    line.split(" ")
    for line in (
        "ctrl all show config detail",
        "ctrl slot=0 show status",
        "ctrl slot=0 array A show detail",
        "ctrl slot=0 pd allunassigned show detail",
        "ctrl slot=0 ld 2 show",
        "ctrl slot=0 create type=ld drives=all raid=5",
        "ctrl slot=0 create type=ld drives=1I:1:1-2I:1:5 raid=? forced",
        "ctrl sn=PDNLHRACK001 create type=ld drives=1I:1:2,2I:1:7 raid=1 ss=64 aa=disable",
        "ctrl slot=0 array B create type=ld raid=0 size=100 logicaldrivelabel=two caching=enable",
        "ctrl slot=0 array A create type=ld raid=0 size=? numberparitygroups=0 stripsize=x",
        "controller slot=0 logicaldrive 1 delete forced",
        "ctrl slot=0 array all delete forced",
        "ctrl slot=0 delete",
        "ctrl slot=0 array all add spares=2I:1:9,2I:1:10 forced",
        "ctrl slot=0 array A remove spares=all",
        "ctrl slot=0 ld 1 remove spares=2I:1:9",
        "ctrl slot=0 pd 1I:1:1 modify erase forced",
        "ctrl slot=0 pd 1I:1:1 modify enableeraseddrive",
        "ctrl slot=0 ld 1 modify bootvolume=primary",
        "ctrl slot=0 modify hbamode=on forced",
        "rescan  = \x00 \u00e9",
    )
)


class Commands(RuleBasedStateMachine):
    """Driver operations and raw command lines in any order: listing, model and block devices always agree."""

    @initialize(mode=st.sampled_from(("raid", "mixed")))
    def begin(self, mode):
        self.host = driven(10, mode=mode)
        self.one = self.host.controllers[0]

    def listed(self):
        return self.host.listed()[0]

    @rule(
        level=st.sampled_from(("raid0", "raid1", "raid5", "raid6", "raid10", "raid50", "jbod", "raid1adm")),
        places=st.lists(st.integers(0, 9), min_size=1, max_size=7, unique=True),
        size=st.none() | st.integers(16, 300_000),
        spare=st.integers(0, 9),
    )
    def create(self, level, places, size, spare):
        listed = self.listed()
        known = {one.serial: one for one in listed.drives}
        chosen = tuple(
            known[one.serial] for one in (self.one.drives[n] for n in places) if one.serial in known
        )
        spares = tuple(one for one in listed.drives[spare : spare + 1] if one not in chosen)
        if chosen:
            size_bytes = size << 20 if size else None
            wish = VolumeWish(
                "x", level, chosen, spares, size_bytes=size_bytes, spans=2 if level == "raid50" else 1
            )
            said = self.host.send(SSACLI.create("ssacli", listed, wish))
            if level != "jbod" and not any(one.status for one in said):
                (made,) = {one.id: one for one in self.listed().volumes}.keys() - {
                    v.id for v in listed.volumes
                }
                volume = next(one for one in self.listed().volumes if one.id == made)
                assert set(volume.members) == {one.address for one in chosen}
                assert {one.address for one in spares} <= set(volume.spares)

    @rule(place=st.integers(0, 5), size=st.none() | st.integers(16, 100_000))
    def create_beside(self, place, size):
        listed = self.listed()
        for volume in listed.volumes[place : place + 1]:
            wish = VolumeWish("x", volume.level, (), size_bytes=size << 20 if size else None, group=volume)
            self.host.send(SSACLI.create("ssacli", listed, wish))

    @rule(place=st.integers(0, 5))
    def delete(self, place):
        listed = self.listed()
        for volume in listed.volumes[place : place + 1]:
            self.host.send(SSACLI.delete_volume("ssacli", listed, volume))
            assert volume.wwn not in {one.wwn for one in self.listed().volumes}

    @rule(place=st.integers(0, 5), drive=st.integers(0, 9))
    def add_spare(self, place, drive):
        listed = self.listed()
        for volume in listed.volumes[place : place + 1]:
            for one in listed.drives[drive : drive + 1]:
                self.host.send(SSACLI.add_spare("ssacli", listed, volume, one))

    @rule()
    def prepare_all(self):
        listed = self.listed()
        self.host.send(SSACLI.prepare("ssacli", listed, listed.drives))
        assert "spare" not in {one.state for one in self.listed().drives}

    @rule(place=st.integers(0, 9), gone=st.booleans())
    def fail(self, place, gone):
        dead = {one.wwn for one in self.one.volumes if model.volume_state(self.one, one) == "offline"}
        for effect in model.fail(self.one, self.one.drives[place], gone=gone):
            if effect.key[1:] not in dead:
                assert self.host.shown.pop(effect.key, None) is not None

    @rule(seconds=st.integers(1, 30))
    def wait(self, seconds):
        model.tick(self.one, seconds)

    @rule(
        line=st.sampled_from(LINES),
        other=st.sampled_from(LINES),
        cut=st.sampled_from((99, 99, 1, 2, 3, 4)),
        tool=st.sampled_from((*SSACLI.tools, "x")),
    )
    def type_anything(self, line, other, cut, tool):
        words = [*line[:cut], *other[cut:]]
        before = copy.deepcopy(self.one)
        reply = self.host.ask(tool, *words)
        if reply.status or reply.asks or "show" in words:
            assert self.one == before

    @invariant()
    def the_driver_sees_the_model(self):
        agrees(self.host)


Commands.TestCase.settings = settings(max_examples=12, stateful_step_count=15, deadline=None)
TestCommands = Commands.TestCase
