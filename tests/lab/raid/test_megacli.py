"""MegaCli emulated: listings tell the model, refusals change nothing, the driver gets what it wants."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from lab.raid import megacli, model
from lab.raid.megacli import forms, groups
from lab.raid.model import Drive
from metal.drivers.raid.family import VolumeWish
from metal.drivers.raid.megacli import parse
from metal.drivers.raid.megacli.operations import MEGACLI
from metal.errors import Refused
from metal.protocols import Output
from tests.lab.raid import typed

TOOL = "MegaCli64"
GIB = 1 << 30
STATES = {"good": "unconfigured", "bad": "failed"}


def disk(slot, enclosure=32, **more):
    size = 100 * GIB + slot * 4096
    return Drive(
        enclosure, slot, f"SN{slot:04d}", f"5000c500{slot:08x}", "ST900MM0006", size_bytes=size, **more
    )


def machine(count=8, **more):
    return megacli.controller([disk(slot) for slot in range(count)], **more)


def devices(here):
    """What the script of the listing tells beside the tool: the controllers' block devices."""
    plugs = [plug for one in here.controllers for plug in model.plugged(one)]
    names = {plug.key: f"sd{place}" for place, plug in enumerate(plugs)}
    return Output(("sh",), 0, megacli.devices(here.controllers, names, plugs), "")


class Machine(typed.Typed):
    """Controllers, and MegaCli on them, which never asks anything."""

    address = "32:{}"

    def __init__(self, *controllers):
        super().__init__(MEGACLI, megacli, TOOL, controllers, scripted=devices)

    def ask(self, *argv, stdin=None):
        reply = super().ask(*argv, stdin=stdin)
        assert not reply.asks
        return reply


def assert_same(seen, one):
    """What the driver sees is what the model holds."""
    assert (seen.index, seen.model, seen.serial, seen.pci) == (one.index, one.model, one.serial, one.pci)
    assert (seen.jbod, seen.firmware, set(seen.levels)) == (
        one.jbod_mode,
        one.firmware,
        set(one.limits.levels),
    )
    present = [drive for drive in one.drives if drive.condition != "missing"]
    assert [drive.serial for drive in seen.drives if drive.state != "missing"] == [
        one.serial for one in present
    ]
    for shown, drive in zip(seen.drives, present, strict=False):
        state = "foreign" if drive.foreign else STATES.get(drive.condition, drive.condition)
        assert (shown.state, shown.wwn, shown.size_bytes) == (state, drive.wwn, drive.size_bytes)
        assert (shown.media, shown.interface) == (drive.medium, drive.interface)
        assert (shown.usable_bytes, shown.sector_size) == (drive.coerced_bytes, drive.sector_bytes)
        assert (shown.model, shown.firmware) == (drive.model, drive.firmware)
    assert [volume.id for volume in seen.volumes] == [str(volume.id) for volume in one.volumes]
    for shown, volume in zip(seen.volumes, one.volumes, strict=True):
        assert_same_volume(shown, volume, one)
    preserved = sum(condition.kind == "preserved-cache" for condition in seen.conditions)
    assert preserved == len(one.pinned) + bool(one.pinned)


def assert_same_volume(shown, volume, one):
    members = model.members(one, volume.group)
    where = {f"{drive.enclosure}:{drive.slot}" for drive in members if drive.condition != "missing"}
    spares = [
        f"{drive.enclosure}:{drive.slot}"
        for drive in one.drives
        if drive.condition == "spare" and drive.group == volume.group and not drive.foreign
    ]
    assert (shown.name or "", shown.level) == (volume.name, volume.level)
    assert (set(shown.members), list(shown.spares)) == (where, spares)
    assert abs(shown.size_bytes - volume.size_bytes) <= volume.size_bytes // 1000
    assert shown.stripe_bytes == volume.strip_bytes
    state = model.volume_state(one, volume)
    if any(drive.condition == "rebuilding" and not drive.foreign for drive in members) and state != "offline":
        state = "rebuilding"
    if volume.initialising is not None:
        state = "initialising"
    assert shown.state == state
    if model.volume_state(one, volume) != "offline":
        assert (shown.wwn, shown.device is not None) == (volume.wwn, True)


def test_no_controller_and_several():
    assert Machine().listed() == ()
    two = Machine(machine(3), machine(2, index="1", jbod=False))
    for seen, one in zip(two.listed(), two.controllers, strict=True):
        assert_same(seen, one)


def test_all_kinds_of_drives_are_told_apart():
    one = megacli.controller([
        disk(0, enclosure=None),
        disk(1, interface="sata", medium="ssd", firmware="DL2DG201"),
        disk(2, condition="bad", foreign="other"),
        disk(3, condition="jbod"),
        disk(4, condition="spare", predictive_failure=True),
        disk(5, condition="missing"),
        disk(6, spun_down=True, media_errors=4, sector_bytes=4096),
    ])  # fmt: skip
    one.battery = "failed"
    one.pinned = [7]
    seen = Machine(one).only()
    assert_same(seen, one)
    assert seen.drives[0].address == ":0"
    assert {condition.kind for condition in seen.conditions} == {
        "battery", "foreign-config", "media-errors", "other", "predictive-failure", "preserved-cache"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("level", "count", "spans"),
    [("raid0", 1, 1), ("raid1", 2, 1), ("raid5", 3, 1), ("raid6", 4, 1), ("raid10", 8, 1), ("raid50", 6, 2),
     ("raid60", 8, 2)],
)  # fmt: skip
def test_every_level_with_a_spare_that_is_kept_for_it(level, count, spans):
    here = Machine(machine(10))
    here.create("raid0", [9])
    (made, *_) = here.create(
        level, range(count), spans=spans, spares=here.drives(8), size_bytes=20 * GIB, strip_bytes=131072,
        write_cache="back", read_cache="ahead",
    )  # fmt: skip
    assert "Adapter 0: Created VD 1" in made.stdout
    seen = here.only()
    assert_same(seen, here.controllers[0])
    volume = seen.volumes[1]
    assert (volume.name, volume.level, volume.state, volume.size_bytes) == (
        "system",
        level,
        "optimal",
        20 * GIB,
    )
    assert (volume.stripe_bytes, volume.spares, len(volume.members)) == (131072, ("32:8",), count)
    assert (here.controllers[0].volumes[1].write_cache, here.controllers[0].volumes[1].read_cache) == (
        "back",
        "ahead",
    )


def test_further_volumes_in_a_spanned_group_and_one_of_them_deleted():
    here = Machine(machine())
    here.create("raid10", range(4), size_bytes=10 * GIB)
    first = here.only().volumes[0]
    wish = VolumeWish("data", "raid10", here.drives(3, 1, 2, 0), group=first)
    here.send(MEGACLI.create(TOOL, here.only(), wish))
    seen = here.only()
    assert_same(seen, here.controllers[0])
    assert [(one.name, one.groups) for one in seen.volumes] == [("system", ("0", "1")), ("data", ("0", "1"))]
    here.send(MEGACLI.delete_volume(TOOL, seen, seen.volumes[0]))
    assert [one.name for one in here.only().volumes] == ["data"]
    here.send(MEGACLI.add_spare(TOOL, here.only(), here.only().volumes[0], *here.drives(6)))
    assert here.only().volumes[0].spares == ("32:6",)
    here.send(MEGACLI.free_drive(TOOL, here.only(), *here.drives(6)))
    assert here.drives(6)[0].state == "unconfigured"


def dirty():
    """Old volumes, a failed drive, foreign ones, one passed through, spares, kept writes of a lost volume."""
    one = machine(10)
    model.create(one, "raid5", one.drives[:3], name="old", spares=one.drives[8:9])
    model.create(one, "raid1", one.drives[3:5], name="stays")
    model.fail(one, one.drives[3])
    one.volumes[0].has_data = True
    one.drives[5].condition, one.drives[5].foreign = "bad", "other"
    one.drives[6].foreign = "other"
    model.set_jbod(one, one.drives[7])
    model.set_spare(one.drives[9])
    one.pinned = [12]
    return Machine(one)


def test_from_a_dirty_controller_to_the_wished_volume_and_nothing_left_to_do():
    here = dirty()
    seen = here.only()
    old = next(one for one in seen.volumes if one.name == "old")
    here.send(MEGACLI.delete_volume(TOOL, seen, old))
    wanted = (0, 1, 2, 5, 6, 7, 9)
    here.send(MEGACLI.prepare(TOOL, here.only(), here.drives(*wanted)))
    here.create("raid6", wanted[:6], spares=here.drives(9))
    seen = here.only()
    assert_same(seen, here.controllers[0])
    made = next(one for one in seen.volumes if one.name == "system")
    assert (made.level, made.state, made.spares) == ("raid6", "optimal", ("32:9",))
    assert set(made.members) == {f"32:{slot}" for slot in wanted[:6]}
    assert [one.name for one in seen.volumes if one is not made] == ["stays"]
    assert MEGACLI.prepare(TOOL, seen, here.drives(*wanted[:6])) == ()


def test_foreign_drives_that_are_not_wanted_stay_what_they_are():
    here = dirty()
    here.controllers[0].pinned.clear()
    before = repr(here.controllers[0])
    with pytest.raises(Refused, match="32:6 SN0006"):
        MEGACLI.prepare(TOOL, here.only(), here.drives(5))
    assert repr(here.controllers[0]) == before


def test_drives_passed_through_and_drives_as_volumes():
    passed = Machine(machine(3))
    passed.create("jbod", (0, 2))
    assert [one.state for one in passed.only().drives] == ["jbod", "unconfigured", "jbod"]
    each = Machine(machine(3, jbod=False))
    each.create("jbod", (0, 2))
    assert [(one.level, one.members) for one in each.only().volumes] == [
        ("raid0", ("32:0",)), ("raid0", ("32:2",))
    ]  # fmt: skip


def test_the_volume_to_start_from():
    here = Machine(machine())
    here.create("raid1", (0, 1))
    here.create("raid1", (2, 3))
    here.send(MEGACLI.boot_from(TOOL, here.only(), here.only().volumes[1]))
    assert [one.boot for one in here.controllers[0].volumes] == [False, True]
    assert "Boot Virtual Drive - #1" in here.call("AdpBootDrive", "-get", "-aALL").stdout


@pytest.mark.parametrize(
    ("line", "code", "sentence"),
    [
        ("-CfgLdAdd -r1[32:0,32:1] -a0", 0x0D, "Configure Adapter Failed"),
        ("-CfgLdAdd -r1[32:0,32:2] -a0", 0x26, "appropriate attributes"),
        ("-CfgLdAdd -r5[32:5,32:6,32:99] -a0", 0x0C, "SlotId-99"),
        ("-CfgLdAdd -r0[32:6] -sz999999999 -a0", 0x0D, "Configure Adapter Failed"),
        ("-CfgLdAdd -r0[32:6] -strpsz3 -a0", 0x03, "Configure Adapter Failed"),
        ("-CfgLdAdd -r0[32:7] -a0", 0x26, "appropriate attributes"),
        ("-CfgSpanAdd -r10 -Array0[32:5,32:6] -a0", 0x1E, "At least two arrays"),
        ("-CfgLdDel -L0 -a0", 0x01, "Please Use force option"),
        ("-CfgLdDel -L9 -Force -a0", 0x03, "Does not Exist"),
        ("-PDMakeGood -PhysDrv[32:6] -Force -a0", 0x01, "Failed to change PD state at EnclId-32 SlotId-6."),
        ("-PDHSP -Set -PhysDrv[32:0] -a0", 0x26, "as Hot Spare Failed"),
        ("-PDHSP -Set -Dedicated -Array7 -PhysDrv[32:6] -a0", 0x26, "as Hot Spare Failed"),
        ("-DiscardPreservedCache -L5 -a0", 0x03, "Failed"),
        ("-AdpSetProp -EnableJBOD -0 -a0", 0x01, "Failed to Set Adapter Properties."),
        ("-PDList -a4", 0x01, "controller is not present"),
        ("-CfgLdAdd -r5[32:5 -a0", 0x01, "Invalid input"),
        ("-CfgLdAdd -r7[32:5] -a0", 0x01, "wrong parameters"),
        ("-PDList", 0x01, "wrong parameters"),
        ("show all", 0x01, ""),
    ],
)  # fmt: skip
def test_what_is_refused_changes_nothing(line, code, sentence):
    one = machine()
    model.create(one, "raid1", one.drives[:2])
    one.volumes[0].has_data = True
    one.drives[5].foreign = "other"
    model.set_jbod(one, one.drives[7])
    here = Machine(one)
    before = repr(one)
    reply = here.call(*line.split())
    assert (reply.status, sentence in reply.stdout) == (code, True)
    assert reply.stdout.endswith(f"\nExit Code: 0x{code:02x}\n")
    assert parse(reply.stdout).value.outcome.ok is False
    assert repr(one) == before


def test_preserved_cache_refuses_every_volume_until_it_is_discarded():
    one = machine()
    one.pinned = [2]
    here = Machine(one)
    assert here.call("-CfgLdAdd", "-r0", "[32:1]", "-a0").status == 0x54
    assert "Virtual Drive(Target ID 02): Missing." in here.call("-GetPreservedCacheList", "-a0").stdout
    assert (
        "Target ID 02): Preserved Cache Data Cleared."
        in here.call("-DiscardPreservedCache", "-L2", "-a0").stdout
    )
    assert "Created VD 0" in here.call("cfgldadd", "-R0", "[32:1]", "wb", "-A0", "-NoLog").stdout


@pytest.mark.parametrize(
    ("line", "sentence", "status"),
    [
        ("-adpCount", "Controller Count: 1.", 1),
        ("-LDGetNum -aALL", "Number of Virtual Drives Configured on Adapter 0: 0", 0),
        ("-PDGetNum -a0", "Number of Physical Drives on Adapter 0: 8", 8),
        ("-LDInfo -Lall -aALL", "Adapter 0: No Virtual Drive Configured.", 0),
        ("-CfgForeign -Scan -a0", "There is no foreign configuration on controller 0.", 0),
        ("-PDRbld -ShowProg -PhysDrv [32:0] -a0", "Device(Encl-32 Slot-0) is not in rebuild process", 0),
        ("-AdpGetProp -EnableJBOD -aALL", "Adapter 0: JBOD: Enabled", 0),
        ("-v", "MegaCLI SAS RAID Management Tool", 0),
    ],
)
def test_sentences_of_listings(line, sentence, status):
    reply = Machine(machine()).call(*line.split())
    assert (sentence in reply.stdout, reply.status) == (True, status)


@pytest.mark.parametrize(
    ("count", "text"),
    [(465 * GIB + GIB // 4, "465.25 GB"), (930 * GIB + GIB // 2, "930.5 GB"), (223 * GIB, "223.0 GB"),
     (int(8.984 * 1024 * GIB), "8.984 TB"), (100 << 20, "100.0 MB")],
)  # fmt: skip
def test_sizes_are_binary_and_called_decimal(count, text):
    assert forms.size(count) == text


LINES = (
    "-CfgLdAdd -r0[32:0] -a0",
    "-CfgLdAdd -r1 [32:1,32:2] WB Direct -a0",
    "cfgldadd -r5[32:3,32:4,32:5] -sz100 -a0",
    "-CfgSpanAdd -r10 -Array0[32:0,32:1] -Array1[32:2,32:3] -a0",
    "-CfgEachDskRaid0 -a0",
    "-CfgClr -a0",
    "-CfgLdDel -L0 -a0",
    "-CfgLdDel -L1,0 -Force -aALL",
    "-CfgForeign -Clear -aALL",
    "-PDHSP -Set -PhysDrv[32:5] -a0",
    "-PDHSP -Set -Dedicated -Array0 -PhysDrv[32:4,32:5] -a0",
    "-PDHSP -Rmv -PhysDrv[32:5] -a0",
    "-PDMakeJBOD -PhysDrv[32:3,32:4] -a0",
    "-PDMakeGood -PhysDrv[32:3] -a0",
    "-PDOffline -PhysDrv [32:1] -a0",
    "-PDPrpRmv -PhysDrv[32:2] -a0",
    "-PDPrpRmv -UnDo -PhysDrv[32:2] -a0",
    "-LDInit -Start -L0 -a0",
    "-LDSetProp -Name other -L0 -a0",
    "-LDSetProp WT NORA -Lall -a0",
    "-LDSetProp -Name",
    "-AdpSetProp -EnableJBOD -0 -a0",
    "-AdpSetProp EnableJBOD -1 -aALL",
    "-DiscardPreservedCache -Lall -a0",
    "-EncInfo -aALL",
    "-LDInfo -L3 -a0",
    "-L0",
    "[32:0]",
    "",
)


class Commands(typed.Commands):
    """Whatever is typed, the listing is what the controller is, and shows what is plugged."""

    may_be_foreign = ("good", "bad")
    prepare_refuses = (Refused,)

    machine = staticmethod(lambda: Machine(machine(typed.SLOTS)))
    assert_same = staticmethod(assert_same)

    @rule(line=st.sampled_from(LINES))
    def type_in(self, line):
        self.here.call(*line.split())

    @rule(words=st.lists(st.text(max_size=8), max_size=4), start=st.sampled_from(sorted(megacli.HANDLERS)))
    def type_nonsense(self, words, start):
        reply = self.here.call(start, *words)
        assert "Exit Code: 0x" in reply.stdout

    @precondition(lambda self: not self.one.pinned)
    @rule()
    def pin(self):
        self.one.pinned = [40]

    @invariant()
    def arrays_are_numbered_once(self):
        numbers = [one for kept in groups.arrays(self.one).values() for one in kept]
        assert numbers == list(range(len(numbers)))


Commands.TestCase.settings = settings(max_examples=12, stateful_step_count=12, deadline=None)
TestCommands = Commands.TestCase
