"""Emulated Integrated RAID: forms, questions and refusals, and the driver working with it."""

import copy

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from lab.raid import ircu, model
from lab.raid.model import Drive
from metal.drivers.raid.family import VolumeWish
from metal.drivers.raid.ircu.commands import SAS2IRCU, SAS3IRCU
from tests.lab.raid.driven import Driven
from tests.lab.raid.listing_scripts import ir_listing

GB = 10**9
FAMILIES = {one.name: one for one in (SAS2IRCU, SAS3IRCU)}


def driven(count=6, family="sas3ircu", **options):
    drives = [
        Drive(
            2, n, f"Z1{n:06d}", f"5000c500b{n:07x}", "ST1000NX0313", size_bytes=1000 * GB + n * 512,
            interface="sata",
        )
        for n in range(count)
    ]  # fmt: skip
    one = ircu.controller(drives, family=family, **options)
    host = Driven(FAMILIES[family], ircu, family, [one], scripted=ir_listing)
    host.shown = {plug.key: plug for plug in model.plugged(one)}
    return host


STATES = {"good": "jbod", "bad": "jbod"}


def agrees(host):
    """Assert that the driver's view is the model's state."""
    (one,), (listed,) = host.controllers, host.listed()
    assert (listed.index, listed.pci, listed.jbod) == (one.index, one.pci, True)
    there = [d for d in one.drives if d.condition != "missing" or d.group is not None]
    seen = {drive.serial: drive for drive in listed.drives}
    assert seen.keys() == {drive.serial for drive in there}
    for drive in there:
        told = seen[drive.serial]
        state = "online" if drive.foreign else STATES.get(drive.condition, drive.condition)
        assert told.state == state
        if drive.condition != "missing":
            assert (told.address, told.wwn) == (f"2:{drive.slot}", drive.wwn)
            assert (told.size_bytes, told.interface) == (drive.size_bytes, drive.interface)
    volumes = {volume.id: volume for volume in listed.volumes if int(volume.id) < 500}
    assert volumes.keys() == {str(volume.id) for volume in one.volumes}
    assert len(listed.volumes) - len(volumes) == len({d.foreign for d in one.drives if d.foreign})
    for volume in one.volumes:
        agrees_on(one, volume, volumes[str(volume.id)])
    assert sorted(host.shown) == sorted(plug.key for plug in model.plugged(one))


def agrees_on(one, volume, told):
    assert (told.level, told.wwn, told.name or "") == (volume.level, volume.wwn, volume.name)
    assert told.size_bytes == volume.size_bytes
    members = ["0:0" if d.condition == "missing" else f"2:{d.slot}" for d in model.members(one, volume.group)]
    assert list(told.members) == members
    states = {"optimal": "optimal", "rebuilding": "rebuilding", "offline": "failed"}
    wanted = states.get(model.volume_state(one, volume), "degraded")
    busy = any(d.condition == "rebuilding" for d in model.members(one, volume.group))
    if busy and wanted == "degraded":
        wanted = "rebuilding"
    if wanted == "optimal" and volume.initialising is not None:
        wanted = "initialising"
        assert abs(told.progress - volume.initialising) < 0.01
    if wanted != "failed" or not busy:
        assert told.state == wanted


def test_forms_of_the_tool():
    host = driven(2)
    said = host.ask("sas3ircu", "0", "create", "RAID1", "max", "2:0", "2:1", "boot", "noprompt")
    assert said.stdout.startswith("Avago Technologies SAS3 IR Configuration Utility.\nVersion ")
    assert said.stdout.endswith(
        "SAS3IRCU: Command CREATE Completed Successfully.\nSAS3IRCU: Utility Completed Successfully.\n"
    )
    shown = host.ask("sas3ircu", "0", "DISPLAY").stdout
    assert "  RAID Support                            : Yes\n" in shown
    assert "IR volume 1\n  Volume ID                               : 322\n  Volume Name      " in shown
    assert "  PHY[1] Enclosure#/Slot#                 : 2:1\n" in shown
    assert "  Size (in MB)/(in sectors)               : 953674/1953124999\n" in shown
    assert "Command bootir Completed" in host.ask("sas3ircu", "0", "bootir", "322").stdout
    rows = host.ask("sas3ircu", "LIST").stdout
    assert "   0     SAS3008     1000h    97h   00h:01h:00h:00h      1028h   1f53h \n" in rows


@pytest.mark.parametrize(
    ("command", "told", "status"),
    [
        ("0 STATUS", "SAS3IRCU: there are no IR volumes on the controller!", 1),
        ("4 DISPLAY", "No Controller Found", 2),
        ("0 CREATE RAID5 MAX 2:0 2:1 2:2 noprompt", "Invalid RAID level", 1),
        ("0 CREATE RAID 1 MAX 2:0 2:1 noprompt", "Invalid RAID level", 1),
        ("0 CREATE RAID1 MAX 2:0 2:1 2:2 noprompt", "Invalid number of disks", 1),
        ("0 CREATE RAID10 MAX 2:0 2:1 2:2 noprompt", "Invalid number of disks", 1),
        ("0 CREATE RAID1 MAX 2:0 2:0 noprompt", "more than once", 1),
        ("0 CREATE RAID1 MAX 2:0 2:99 noprompt", "The disk at 2:99 was not found", 1),
        ("0 CREATE RAID1 9999999 2:0 2:1 noprompt", "volume size is too large", 1),
        ("0 CREATE RAID1 MAX 2:0 2:1 a-name-that-is-too-long noprompt", "Invalid parameters", 1),
        ("0 DELETEVOLUME 322 noprompt", "volume was not found", 1),
        ("0 HOTSPARE 2:0", "Hot spare cannot be created", 1),
        ("0 HOTSPARE DELETE 2:0", "is not a hot spare", 1),
        ("0 EXPLODE", "Invalid command", 1),
    ],
)
def test_refusals_change_nothing(command, told, status):
    host = driven()
    before = repr(host.controllers)
    said = host.ask("sas3ircu", *command.split())
    assert told in said.stdout
    assert (said.status, said.effects, repr(host.controllers)) == (status, (), before)


def test_adapters_of_the_other_generation_are_not_seen():
    host = driven()
    said = host.ask("sas2ircu", "LIST")
    assert (said.stdout.splitlines()[-1], said.status) == ("SAS2IRCU: MPTLib2 Error 1", 1)
    assert Driven(SAS2IRCU, ircu, "sas2ircu", host.controllers, scripted=ir_listing).listed() == ()


def test_two_questions_of_which_the_second_is_the_other_way_round():
    host = driven()
    words = ("sas3ircu", "0", "CREATE", "RAID1", "MAX", "2:0", "2:1")
    before = repr(host.controllers)
    assert host.ask(*words).asks
    assert host.ask(*words, stdin="YES\n").asks
    assert "aborted" in host.ask(*words, stdin="YES\nYES\n").stdout
    assert repr(host.controllers) == before
    assert host.ask(*words, stdin="YES\nNO\n").status == 0
    assert len(host.controllers[0].volumes) == 1


def test_it_firmware_makes_nothing():
    host = driven(3, raid=False)
    (listed,) = host.listed()
    assert (listed.levels, {one.state for one in listed.drives}) == (("jbod",), {"jbod"})
    said = host.ask("sas3ircu", "0", "CREATE", "RAID1", "MAX", "2:0", "2:1", "noprompt")
    assert "not supported by the firmware" in said.stdout


def test_a_third_volume_is_refused():
    host = driven(6)
    sent = [
        host.ask("sas3ircu", "0", "CREATE", "RAID1", "MAX", f"2:{n}", f"2:{n + 1}", "NOPROMPT").status
        for n in (0, 2, 4)
    ]
    assert sent == [0, 0, 1]


def wanted(host):
    """As the engine: delete what lies on the drives, prepare, make a RAID 10 with a spare, boot from it."""
    (listed,) = host.listed()
    if any(one.level == "raid10" and len(one.members) == 4 for one in listed.volumes):
        return []
    sent = []
    while host.listed()[0].volumes:
        (listed,) = host.listed()
        sent += host.send(host.family.delete_volume(host.tool, listed, listed.volumes[0]))
    (listed,) = host.listed()
    usable = [one for one in listed.drives if one.state in ("jbod", "spare")]
    sent += host.send(host.family.prepare(host.tool, listed, usable))
    (listed,) = host.listed()
    usable = [one for one in listed.drives if one.state == "jbod"]
    wish = VolumeWish("data", "raid10", tuple(usable[:4]), spares=tuple(usable[4:5]))
    sent += host.send(host.family.create(host.tool, listed, wish))
    (listed,) = host.listed()
    return [*sent, *host.send(host.family.boot_from(host.tool, listed, listed.volumes[0]))]


@pytest.mark.parametrize("family", FAMILIES)
def test_from_a_dirty_controller_to_the_wished_volume(family):
    host = driven(8, family=family)
    (one,) = host.controllers
    host.ask(family, "0", "CREATE", "RAID1", "MAX", "2:0", "2:1", "old", "noprompt")
    host.ask(family, "0", "HOTSPARE", "2:2")
    for drive in one.drives[3:5]:
        host.shown.pop(f"d{drive.serial}")
        drive.condition, drive.foreign = "good", "other"
    for effect in model.fail(one, one.drives[0]):
        host.shown.pop(effect.key, None)
    agrees(host)
    assert [reply.stdout for reply in wanted(host) if reply.status] == []
    agrees(host)
    (volume,) = host.listed()[0].volumes
    assert (volume.level, volume.name, len(volume.members)) == ("raid10", "data", 4)
    assert [drive.condition for drive in one.drives].count("spare") == 1
    assert one.volumes[0].boot
    assert wanted(host) == [], "a second run has nothing to do"


LINES = tuple(
    line.split(" ")
    for line in (
        "LIST",
        "0 DISPLAY",
        "0 status",
        "0 CREATE RAID0 1000 2:0 2:3 noprompt",
        "0 create raid1e max 2:1 2:2 2:4 name noprompt",
        "0 DELETE noprompt",
        "0 DELETEVOLUME 322 noprompt",
        "0 DELETEVOLUME 500 noprompt",
        "0 HOTSPARE 2:5",
        "0 HOTSPARE DELETE 2:5",
        "0 ALTBOOTIR 323",
        "0 CONSTCHK 322",
        "0 LOCATE 2:0 ON",
        "1 DISPLAY \x00 : \u00b2",
    )
)


class Commands(RuleBasedStateMachine):
    """Driver operations and raw command lines in any order: listing, model and devices always agree."""

    @initialize(family=st.sampled_from(sorted(FAMILIES)), foreign=st.booleans())
    def begin(self, family, foreign):
        self.host = driven(7, family=family)
        self.one = self.host.controllers[0]
        if foreign:
            drive = self.one.drives[6]
            self.host.shown.pop(f"d{drive.serial}")
            drive.condition, drive.foreign = "good", "other"

    @rule(
        level=st.sampled_from(("raid0", "raid1", "raid1e", "raid10", "jbod")),
        places=st.lists(st.integers(0, 6), min_size=1, max_size=5, unique=True),
        size=st.none() | st.integers(1, 2_000_000),
        spare=st.integers(0, 6),
    )
    def create(self, level, places, size, spare):
        (listed,) = self.host.listed()
        chosen = tuple(listed.drives[n] for n in places if n < len(listed.drives))
        spares = tuple(one for one in listed.drives[spare : spare + 1] if one not in chosen)
        if chosen:
            wish = VolumeWish("x", level, chosen, spares, size_bytes=size << 20 if size else None)
            said = self.host.send(self.host.family.create(self.host.tool, listed, wish))
            if said and said[0].status == 0:
                volumes = {one.id: one for one in self.host.listed()[0].volumes}
                (made,) = volumes.keys() - {one.id for one in listed.volumes}
                assert set(volumes[made].members) == {one.address for one in chosen}

    @rule(place=st.integers(0, 2))
    def delete(self, place):
        (listed,) = self.host.listed()
        for volume in listed.volumes[place : place + 1]:
            self.host.send(self.host.family.delete_volume(self.host.tool, listed, volume))
            assert volume.id not in {one.id for one in self.host.listed()[0].volumes}

    @rule()
    def prepare_all(self):
        (listed,) = self.host.listed()
        self.host.send(self.host.family.prepare(self.host.tool, listed, listed.drives))
        assert "spare" not in {one.state for one in self.host.listed()[0].drives}

    @rule(place=st.integers(0, 6), gone=st.booleans())
    def fail(self, place, gone):
        if self.one.drives[place].foreign:
            return
        dead = {one.wwn for one in self.one.volumes if model.volume_state(self.one, one) == "offline"}
        for effect in model.fail(self.one, self.one.drives[place], gone=gone):
            if effect.key[1:] not in dead:
                assert self.host.shown.pop(effect.key, None) is not None

    @rule(seconds=st.integers(1, 30))
    def wait(self, seconds):
        model.tick(self.one, seconds)

    @rule(line=st.sampled_from(LINES), other=st.sampled_from(LINES), cut=st.sampled_from((99, 99, 1, 2, 3)))
    def type_anything(self, line, other, cut):
        words = [*line[:cut], *other[cut:]]
        before = copy.deepcopy(self.one)
        reply = self.host.ask(self.host.tool, *words)
        if reply.status or reply.asks or words[1:2] in (["DISPLAY"], ["status"]):
            assert self.one == before

    @invariant()
    def the_driver_sees_the_model(self):
        agrees(self.host)


Commands.TestCase.settings = settings(max_examples=12, stateful_step_count=15, deadline=None)
TestCommands = Commands.TestCase
