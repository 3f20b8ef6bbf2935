"""arcconf emulated: listings tell the model, refusals change nothing, the driver gets what it wants."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import rule

from lab.raid import arcconf, model
from lab.raid.model import Drive
from metal.drivers.raid.arcconf import parse
from metal.drivers.raid.arcconf.operations import ARCCONF
from metal.drivers.raid.family import VolumeWish
from tests.lab.raid import typed

MIB = 1 << 20
GIB = 1 << 30
STATES = {"good": "unconfigured", "bad": "failed"}
VOLUME_STATES = {"partially-degraded": "degraded", "offline": "failed"}


def disk(slot, enclosure=1, **more):
    more |= {"size_bytes": 100 * GIB + (slot + 32) * MIB}
    return Drive(enclosure, slot, f"SN{slot:04d}", f"5000c500{slot:08x}", "AL15SEB060N", **more)


def machine(count=8, **more):
    return arcconf.controller([disk(slot) for slot in range(count)], **more)


class Machine(typed.Typed):
    """Controllers, and ARCCONF on them."""

    address = "0,{}"

    def __init__(self, *controllers):
        super().__init__(ARCCONF, arcconf, "arcconf", controllers)


def assert_same(seen, one):
    """What the driver sees is what the model holds."""
    assert (seen.index, seen.model, seen.serial, seen.pci) == (one.index, one.model, one.serial, one.pci)
    assert (seen.jbod, seen.firmware, seen.state) == (one.jbod_mode, one.firmware, "optimal")
    present = {f"0,{place}": drive for place, drive in enumerate(one.drives) if drive.condition != "missing"}
    assert [drive.address for drive in seen.drives if drive.address] == list(present)
    for shown in seen.drives:
        if shown.address is None:
            continue
        drive = present[shown.address]
        ready = drive.condition in ("good", "jbod")
        state = "foreign" if drive.foreign and ready else STATES.get(drive.condition, drive.condition)
        assert (shown.state, shown.wwn) == (state, drive.wwn)
        assert (shown.serial, shown.model, shown.firmware) == (drive.serial, drive.model, drive.firmware)
        assert (shown.media, shown.interface) == (drive.medium, drive.interface)
        assert (shown.size_bytes, shown.usable_bytes) == (drive.size_bytes, drive.coerced_bytes)
        assert shown.sector_size == drive.sector_bytes
    assert [volume.id for volume in seen.volumes] == [str(volume.id) for volume in one.volumes]
    for shown, volume in zip(seen.volumes, one.volumes, strict=True):
        assert_same_volume(shown, volume, one)
    stale = {address for address, drive in present.items() if drive.foreign}
    told = [condition.text for condition in seen.conditions if condition.kind == "foreign-config"]
    assert {text.split()[1].rstrip(":") for text in told} == stale


def assert_same_volume(shown, volume, one):
    places = {id(drive): f"0,{place}" for place, drive in enumerate(one.drives)}
    members = model.members(one, volume.group)
    kept = [drive for drive in one.drives if (drive.condition, drive.group) == ("spare", volume.group)]
    spares = [places[id(drive)] for drive in kept]
    assert (shown.name, shown.level) == (volume.name, volume.level)
    assert set(shown.members) == {places[id(drive)] for drive in members if drive.condition != "missing"}
    assert list(shown.spares) == spares
    assert (shown.size_bytes, shown.stripe_bytes, shown.wwn) == (
        volume.size_bytes, volume.strip_bytes, volume.wwn
    )  # fmt: skip
    state = model.volume_state(one, volume)
    if any(drive.condition == "rebuilding" for drive in members) and state != "offline":
        state = "rebuilding"
    assert shown.state == VOLUME_STATES.get(state, state)
    assert (shown.device is not None) == (state != "offline")


def test_no_controller_and_several():
    assert Machine().listed() == ()
    two = Machine(machine(3), machine(2, index="2", jbod=False))
    for seen, one in zip(two.listed(), two.controllers, strict=True):
        assert_same(seen, one)
    listed = parse(two.call("LIST", "nologs").stdout).value.controllers
    assert [(one.index, one.serial, one.jbod) for one in listed] == [
        ("1", "1A17G3003F1", True), ("2", "1A17G3003F2", False)
    ]  # fmt: skip


def test_all_kinds_of_drives_are_told_apart():
    one = arcconf.controller([
        disk(0, enclosure=None),
        disk(1, interface="sata", medium="ssd"),
        disk(2, condition="bad"),
        disk(3, condition="jbod"),
        disk(4, condition="spare", predictive_failure=True),
        disk(5, condition="missing"),
        disk(6, foreign="other", media_errors=4, sector_bytes=4096),
    ])  # fmt: skip
    one.battery = "failed"
    seen = Machine(one).only()
    assert_same(seen, one)
    assert {condition.kind for condition in seen.conditions} == {
        "battery", "foreign-config", "media-errors", "predictive-failure"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("level", "count", "spans"),
    [("raid0", 1, 1), ("raid1", 2, 1), ("raid1adm", 3, 1), ("raid5", 3, 1), ("raid6", 4, 1), ("raid10", 8, 1),
     ("raid10adm", 6, 1), ("raid50", 6, 2), ("raid60", 8, 2)],
)  # fmt: skip
def test_every_level_with_a_spare_that_is_kept_for_it(level, count, spans):
    here = Machine(machine(10))
    here.create("raid0", [9])
    (made, _) = here.create(
        level, range(count), spans=spans, spares=here.drives(8), size_bytes=20 * GIB, strip_bytes=131072,
    )  # fmt: skip
    assert made.stdout.splitlines() == [
        "Controllers found: 1", "", "Creating logical device: system", "", "Command completed successfully."
    ]  # fmt: skip
    seen = here.only()
    assert_same(seen, here.controllers[0])
    volume = seen.volumes[1]
    assert (volume.name, volume.level, volume.size_bytes) == ("system", level, 20 * GIB)
    assert (volume.stripe_bytes, volume.spares, len(volume.members)) == (131072, ("0,8",), count)


def test_further_volumes_on_an_array_and_one_of_them_deleted():
    here = Machine(machine())
    here.create("raid10", range(4), size_bytes=10 * GIB)
    first = here.only().volumes[0]
    wish = VolumeWish("data", "raid5", here.drives(*range(4)), group=first)
    here.send(ARCCONF.create("arcconf", here.only(), wish))
    seen = here.only()
    assert_same(seen, here.controllers[0])
    assert [(one.name, one.level, one.groups) for one in seen.volumes] == [
        ("system", "raid10", ("0",)), ("data", "raid5", ("0",))
    ]  # fmt: skip
    here.send(ARCCONF.delete_volume("arcconf", seen, seen.volumes[0]))
    assert [one.name for one in here.only().volumes] == ["data"]
    here.send(ARCCONF.add_spare("arcconf", here.only(), here.only().volumes[0], *here.drives(6)))
    assert here.only().volumes[0].spares == ("0,6",)
    here.send(ARCCONF.free_drive("arcconf", here.only(), *here.drives(6)))
    assert here.drives(6)[0].state == "unconfigured"


def dirty():
    """Old volumes, a failed drive, a drive of another controller, one passed through, spares."""
    one = machine(9)
    model.create(one, "raid5", one.drives[:3], name="old")
    model.create(one, "raid1", one.drives[3:5], name="stays")
    model.fail(one, one.drives[3])
    one.drives[5].foreign = "other"
    model.set_jbod(one, one.drives[6])
    model.set_spare(one.drives[7])
    one.drives[8].foreign = "another"
    return Machine(one)


def test_from_a_dirty_controller_to_the_wished_volume_and_nothing_left_to_do():
    here = dirty()
    seen = here.only()
    here.send(ARCCONF.delete_volume("arcconf", seen, seen.volumes[0]))
    wanted = (0, 1, 2, 5, 6, 7)
    here.send(ARCCONF.prepare("arcconf", here.only(), here.drives(*wanted[4:])))
    here.create("raid6", wanted[:5], spares=here.drives(7))
    seen = here.only()
    assert_same(seen, here.controllers[0])
    made = next(one for one in seen.volumes if one.name == "system")
    assert (made.level, made.state, made.spares) == ("raid6", "optimal", ("0,7",))
    assert set(made.members) == {f"0,{place}" for place in wanted[:5]}
    assert [(one.name, one.state) for one in seen.volumes if one is not made] == [("stays", "degraded")]
    assert here.controllers[0].drives[8].foreign == "another"
    assert ARCCONF.prepare("arcconf", seen, here.drives(*wanted[:5])) == ()


def test_drives_passed_through_and_drives_as_volumes():
    passed = Machine(machine(3))
    passed.create("jbod", (0, 2))
    assert [one.state for one in passed.only().drives] == ["jbod", "unconfigured", "jbod"]
    passed.create("jbod", (0, 2))
    passed.send(ARCCONF.prepare("arcconf", passed.only(), passed.drives(0)))
    assert [one.state for one in passed.only().drives] == ["unconfigured", "unconfigured", "jbod"]
    each = Machine(machine(3, jbod=False))
    each.create("jbod", (0, 2))
    assert [(one.name, one.level, one.members) for one in each.only().volumes] == [
        ("system-0", "raid0", ("0,0",)), ("system-1", "raid0", ("0,2",))
    ]  # fmt: skip


def test_the_volume_to_start_from():
    here = Machine(machine())
    here.create("raid1", (0, 1))
    here.create("raid1", (2, 3))
    here.send(ARCCONF.boot_from("arcconf", here.only(), here.only().volumes[1]))
    assert [one.boot for one in here.controllers[0].volumes] == [False, True]
    told = here.call("getconfig", "1", "ad").stdout
    assert "   Primary Boot Volume                        : Logical device 1(system)\n" in told


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("CREATE 1 LOGICALDRIVE MAX 1 0 0 0 1 noprompt", 1),
        ("CREATE 1 LOGICALDRIVE MAX 1 0 0 0 2 noprompt", 1),
        ("CREATE 1 LOGICALDRIVE MAX 5 0 2 0 3 0 5 noprompt", 1),
        ("CREATE 1 LOGICALDRIVE MAX 0 0 77 noprompt", 1),
        ("CREATE 1 LOGICALDRIVE 999999999 0 0 2 noprompt", 1),
        ("CREATE 1 LOGICALDRIVE Stripesize 3 MAX 0 0 2 noprompt", 1),
        ("CREATE 1 LOGICALDRIVE MAX 50 0 2 0 3 0 4 noprompt", 1),
        ("CREATE 1 LOGICALDRIVE MAX 1 ARRAY 4 noprompt", 1),
        ("CREATE 1 LOGICALDRIVE MAX 0 0 7 noprompt", 1),
        ("CREATE 1 LOGICALDRIVE MAX 0 0 noprompt", 3),
        ("CREATE 1 LOGICALDRIVE MAX seven 0 2 noprompt", 3),
        ("DELETE 1 LOGICALDRIVE 9 noprompt", 1),
        ("DELETE 1 LOGICALDRIVE noprompt", 3),
        ("DELETE 1 ARRAY 3 noprompt", 1),
        ("TASK START 1 DEVICE 0 0 INITIALIZE noprompt", 1),
        ("TASK START 1 DEVICE 0 2 EXPLODE noprompt", 3),
        ("SETSTATE 1 DEVICE 0 0 HSP noprompt", 1),
        ("SETSTATE 1 DEVICE 0 2 RDY noprompt", 1),
        ("SETSTATE 1 DEVICE 0 2 HSP ARRAY 5 noprompt", 1),
        ("SETBOOT 1 LOGICALDRIVE 8", 1),
        ("SETCONTROLLERMODE 1 3 noprompt", 1),
        ("GETCONFIG 7 AL", 3),
        ("GETCONFIG 1 XX", 3),
        ("show all", 3),
    ],
)
def test_what_is_refused_changes_nothing(line, status):
    one = machine()
    model.create(one, "raid1", one.drives[:2])
    one.drives[5].foreign = "other"
    model.set_jbod(one, one.drives[7])
    here = Machine(one)
    before = repr(one)
    reply = here.call(*line.split())
    assert (reply.status, reply.asks) == (status, False)
    assert reply.stdout.endswith("\nCommand aborted.\n")
    assert parse(reply.stdout).value.outcome.ok is False
    assert repr(one) == before


@pytest.mark.parametrize(
    "line",
    [
        "CREATE 1 LOGICALDRIVE MAX 0 0 5", "DELETE 1 LOGICALDRIVE ALL", "DELETE 1 ARRAY 0",
        "TASK START 1 DEVICE ALL INITIALIZE", "SETSTATE 1 DEVICE 0 5 HSP", "SETCONTROLLERMODE 1 3",
    ],
)  # fmt: skip
def test_without_the_word_against_questions_it_asks_and_does_nothing(line):
    one = machine()
    model.create(one, "raid1", one.drives[:2])
    one.drives[4].foreign = "other"
    here = Machine(one)
    before = repr(one)
    reply = here.call(*line.split(), "nologs")
    assert (reply.asks, "Press y, then ENTER" in reply.stdout) == (True, True)
    assert here.call(*line.split(), stdin="\n").status == 2
    assert repr(one) == before
    assert here.call(*line.split(), stdin="y\n").status == 0
    assert repr(one) != before


LINES = (
    "create 1 logicaldrive max 0 0 0 noprompt",
    "CREATE 1 LOGICALDRIVE name other stripesize 64 1024 1 0 1 0 2 noprompt nologs",
    "CREATE 1 LOGICALDRIVE MAX 10 ARRAY 0 noprompt",
    "CREATE 1 RAIDZEROARRAY ALL noprompt",
    "CREATE 1 JBOD 0 3 noprompt",
    "DELETE 1 JBOD ALL noprompt",
    "DELETE 1 LOGICALDRIVE 0 1 noprompt",
    "DELETE 1 ARRAY ALL noprompt",
    "TASK START 1 DEVICE ALL INITIALIZE noprompt",
    "TASK START 1 DEVICE 0 4 UNINITIALIZE noprompt",
    "SETSTATE 1 DEVICE 0 5 HSP noprompt",
    "SETSTATE 1 DEVICE 0 4 HSP LOGICALDRIVE 0 noprompt",
    "SETSTATE 1 DEVICE 0 1 RDY noprompt",
    "SETSTATE 1 DEVICE 0 0 DDD noprompt",
    "SETNAME 1 LOGICALDRIVE 0 renamed",
    "SETCONTROLLERMODE 1 3 noprompt",
    "SETCONTROLLERMODE 1 5 noprompt",
    "GETCONFIG 1 LD 0",
    "GETCONFIG 1 PD 0 2",
    "GETSTATUS 1",
    "GETVERSION",
    "RESCAN 1",
    "",
)


class Commands(typed.Commands):
    """Whatever is typed, the listing is what the controller is, and shows what is plugged."""

    machine = staticmethod(lambda: Machine(machine(typed.SLOTS)))
    assert_same = staticmethod(assert_same)

    @rule(line=st.sampled_from(LINES))
    def type_in(self, line):
        self.here.call(*line.split())

    @rule(
        words=st.lists(st.text(max_size=8), max_size=4),
        start=st.sampled_from(sorted(words for words in arcconf.CHANGES)),
        end=st.sampled_from(("noprompt", "nologs")),
    )
    def type_nonsense(self, words, start, end):
        before = repr(self.one)
        reply = self.here.call(start[0], *start[1:-1], "1", *start[-1:], *words, end)
        assert not (reply.asks and repr(self.one) != before)


Commands.TestCase.settings = settings(max_examples=12, stateful_step_count=12, deadline=None)
TestCommands = Commands.TestCase
