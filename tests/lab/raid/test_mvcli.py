"""Emulated Marvell boot cards: forms, questions and refusals, and the driver working with them."""

import copy

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from lab.raid import model, mvcli
from lab.raid.model import Drive
from metal.drivers.raid.family import VolumeWish
from metal.drivers.raid.mvcli.commands import MVCLI
from tests.lab.raid.driven import Driven
from tests.lab.raid.listing_scripts import mv_listing

GB = 10**9
MODELS = {"mvcli": "1b4b-9230", "mnv_cli": "88NR2241"}


def disks(count, base=0, **options):
    return [
        Drive(
            None,
            n,
            f"18341E{base + n:06d}",
            "",
            "MTFDDAV240TCB",
            size_bytes=240057409536,
            medium="ssd",
            **options,
        )
        for n in range(count)
    ]


def driven(count=2, tool="mvcli", cards=1, **options):
    interface = "sata" if tool == "mvcli" else "nvme"
    made = [
        mvcli.controller(
            disks(count, 10 * n, interface=interface),
            str(n),
            model=MODELS[tool],
            serial=f"BOSS00{n}",
            **options,
        )
        for n in range(cards)
    ]
    host = Driven(MVCLI, mvcli, tool, made, scripted=mv_listing)
    host.shown = {plug.key: plug for one in made for plug in model.plugged(one)}
    return host


def agrees(host):
    """Assert that the driver's view is the model's state."""
    listed = host.listed()
    assert [one.index for one in listed] == [one.index for one in host.controllers]
    for one, told in zip(host.controllers, listed, strict=True):
        agrees_on(one, told, nvme=host.tool == "mnv_cli")
    shown = sorted(plug.key for one in host.controllers for plug in model.plugged(one))
    assert sorted(host.shown) == shown


def agrees_on(one, told, *, nvme):
    seen = {drive.address: drive for drive in told.drives}
    assert seen.keys() == {str(drive.slot) for drive in one.drives if drive.condition != "missing"}
    for drive in one.drives:
        if drive.condition == "missing":
            continue
        states = {"good": "jbod", "bad": "failed", "rebuilding": "online"}
        state = "online" if drive.foreign else states.get(drive.condition, drive.condition)
        shown = seen[str(drive.slot)]
        assert (shown.state, shown.serial, shown.media) == (state, drive.serial, "ssd")
        assert abs(shown.size_bytes - drive.size_bytes) < 1024
    volumes = {volume.id: volume for volume in told.volumes if int(volume.id) < 8}
    assert volumes.keys() == {str(volume.id) for volume in one.volumes}
    for volume in one.volumes:
        shown = volumes[str(volume.id)]
        assert (shown.level, shown.name, shown.stripe_bytes) == (
            volume.level,
            volume.name,
            volume.strip_bytes,
        )
        assert abs(shown.size_bytes - volume.size_bytes) <= (1 << 30 if nvme else 0)
        there = [d for d in model.members(one, volume.group) if d.condition in ("online", "rebuilding")]
        assert list(shown.members) == [str(d.slot) for d in there]
        state = model.volume_state(one, volume)
        assert shown.state == {"partially-degraded": "degraded"}.get(state, state)


def test_forms_of_the_tool():
    host = driven()
    assert host.ask("mvcli", "create", "-o", "vd", "-r1", "-d", "0,1", "--waiveconfirmation").stdout == (
        "SG driver version 3.5.36.\n"
    )
    said = host.ask("mvcli", "info", "-o", "vd").stdout
    assert said.startswith(
        "SG driver version 3.5.36.\n\nVirtual Disk Information\n-------------------------\n"
        "id:                  0\nname:                Logical ra\nstatus:              functional\n"
        "Stripe size:         64\n"
    )
    assert "PD RAID setup:       0 1 \n" in said
    assert "block ids:           4 \n" in host.ask("mvcli", "info", "-o", "pd", "-i", "1").stdout
    assert "Supported RAID mode: RAID1 \n" in host.ask("mvcli", "info", "-o", "hba").stdout


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("create -o vd -r 0 -d 0,1 --waiveconfirmation", "RAID mode is not supported"),
        ("create -o vd -r 1 -d 0 --waiveconfirmation", "Invalid number of PDs"),
        ("create -o vd -r 1 -d 0,0 --waiveconfirmation", "Duplicated PD"),
        ("create -o vd -r 1 -d 0,7 --waiveconfirmation", "PD does not exist"),
        ("create -o vd -r 1 -d 0,1 -b 16 --waiveconfirmation", "stripe size"),
        ("create -o pd -r 1 -d 0,1 --waiveconfirmation", "Invalid object"),
        ("delete -o vd -i 0 -f --waiveconfirmation", "VD does not exist"),
        ("delete -o vd -i", "needs a value"),
        ("info -o nothing", "Invalid object"),
        ("info -o vd -i 3", "VD does not exist"),
        ("adapter -i 9", "adapter does not exist"),
        ("explode", "Unknown command"),
    ],
)
def test_refusals_change_nothing_whatever_the_status(command, told):
    host = driven()
    before = repr(host.controllers)
    said = host.ask("mvcli", *command.split())
    assert told in said.stdout.splitlines()[1]
    assert (said.effects, repr(host.controllers)) == ((), before)


def test_a_question_waits_and_changes_nothing():
    host = driven()
    create = ("mvcli", "create", "-o", "vd", "-r", "1", "-d", "0,1")
    before = repr(host.controllers)
    assert host.ask(*create).asks
    host.ask(*create, stdin="n\n")
    assert repr(host.controllers) == before
    host.ask(*create, stdin="y\n")
    assert host.ask("mvcli", "delete", "-o", "vd", "-i", "0").asks
    assert len(host.controllers[0].volumes) == 1


def test_no_card_of_the_tools_kind():
    assert Driven(MVCLI, mvcli, "mnv_cli", driven().controllers, scripted=mv_listing).listed() == ()


@pytest.mark.parametrize("tool", MODELS)
def test_from_a_dirty_card_to_the_wished_volume(tool):
    host = driven(tool=tool, cards=2)
    first, second = host.controllers
    for drive in second.drives:
        host.shown.pop(f"d{drive.serial}")
        drive.condition, drive.foreign = "good", "other"
    host.ask(tool, "adapter", "-i", "0")
    host.ask(tool, "create", "-o", "vd", "-r1", "-d", "0,1", "-n", "old", "--waiveconfirmation")
    agrees(host)

    def wanted(place):
        listed = host.listed()[place]
        if [one.name for one in listed.volumes] == ["boot"]:
            return []
        sent = []
        for volume in listed.volumes:
            sent += host.send(MVCLI.delete_volume(tool, listed, volume))
        listed = host.listed()[place]
        return sent + host.send(MVCLI.create(tool, listed, VolumeWish("boot", "raid1", listed.drives)))

    for place in (0, 1):
        assert not [reply for reply in wanted(place) if "Error" in reply.stdout]
        agrees(host)
        assert wanted(place) == [], "a second run has nothing to do"
    assert [[one.name for one in card.volumes] for card in (first, second)] == [["boot"], ["boot"]]


def test_a_disk_is_lost_and_another_rebuilt():
    host = driven(3)
    host.ask("mvcli", "create", "-o", "vd", "-r1", "-d", "0,1", "--waiveconfirmation")
    (one,) = host.controllers
    model.fail(one, one.drives[0], gone=True)
    agrees(host)
    host.ask("mvcli", "rebuild", "-a", "start", "-i", "0", "-d", "2")
    model.tick(one, 3)
    (volume,) = host.listed()[0].volumes
    assert (volume.state, volume.progress, volume.members) == ("rebuilding", 15.0, ("1", "2"))
    model.tick(one, 30)
    agrees(host)


LINES = tuple(
    line.split(" ")
    for line in (
        "info -o hba",
        "info -o blk",
        "info -o pd -i 1",
        "create -o vd -r 1 -d 0,1 -n name -b 32 --waiveconfirmation",
        "create -o vd -r0 -d 1,2",
        "create -r 1 -d 2,1",
        "delete -o vd -i 0 --waiveconfirmation",
        "delete --object vd --id 8 -f --waiveconfirmation",
        "rebuild -a start -i 0 -d 2",
        "adapter -i 1",
        "event -s 5",
        "-- -\x00 \u00b2 -ovd",
    )
)


class Commands(RuleBasedStateMachine):
    """Driver operations and raw command lines in any order: listing, model and devices always agree."""

    @initialize(tool=st.sampled_from(sorted(MODELS)), foreign=st.booleans())
    def begin(self, tool, foreign):
        self.host = driven(3, tool, cards=2, levels=("raid0", "raid1"), most_volumes=2)
        if foreign:
            drive = self.host.controllers[1].drives[0]
            self.host.shown.pop(f"d{drive.serial}")
            drive.condition, drive.foreign = "good", "other"

    @rule(
        card=st.integers(0, 1),
        level=st.sampled_from(("raid0", "raid1", "jbod")),
        places=st.lists(st.integers(0, 2), min_size=1, unique=True),
    )
    def create(self, card, level, places):
        listed = self.host.listed()[card]
        chosen = tuple(listed.drives[n] for n in places if n < len(listed.drives))
        if chosen:
            made = self.host.send(MVCLI.create(self.host.tool, listed, VolumeWish("x", level, chosen)))
            if level != "jbod" and "Error" not in made[-1].stdout:
                after = self.host.listed()[card].volumes
                assert {one.address for one in chosen} in [set(one.members) for one in after]

    @rule(card=st.integers(0, 1), place=st.integers(0, 2))
    def delete(self, card, place):
        listed = self.host.listed()[card]
        for volume in listed.volumes[place : place + 1]:
            self.host.send(MVCLI.delete_volume(self.host.tool, listed, volume))
            assert volume.id not in {one.id for one in self.host.listed()[card].volumes}

    @rule(card=st.integers(0, 1), place=st.integers(0, 2), gone=st.booleans())
    def fail(self, card, place, gone):
        one = self.host.controllers[card]
        if not one.drives[place].foreign:
            for effect in model.fail(one, one.drives[place], gone=gone):
                assert self.host.shown.pop(effect.key, None) is not None

    @rule(seconds=st.integers(1, 30))
    def wait(self, seconds):
        for one in self.host.controllers:
            model.tick(one, seconds)

    @rule(line=st.sampled_from(LINES), other=st.sampled_from(LINES), cut=st.sampled_from((99, 99, 1, 3, 5)))
    def type_anything(self, line, other, cut):
        words = [*line[:cut], *other[cut:]]
        before = copy.deepcopy(self.host.controllers)
        reply = self.host.ask(self.host.tool, *words)
        if reply.asks or words[:1] == ["info"] or "Error" in reply.stdout:
            assert self.host.controllers == before

    @invariant()
    def the_driver_sees_the_model(self):
        agrees(self.host)


Commands.TestCase.settings = settings(max_examples=12, stateful_step_count=15, deadline=None)
TestCommands = Commands.TestCase
