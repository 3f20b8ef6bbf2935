"""The argvs that arcconf gets for each operation, and what is refused before it is asked."""

import pytest

from metal.drivers.raid.arcconf.operations import ARCCONF
from metal.drivers.raid.family import VolumeWish
from metal.drivers.raid.listing import Condition, Controller, Drive, VirtualDrive
from metal.errors import Refused, Unparsable
from metal.protocols import Output

GIB = 1 << 30
END = ("noprompt", "nologs")
SMART = Controller("1", "Adaptec SmartRAID 3154-16i", jbod=True)
OLD = Controller("2", "Adaptec ASR8885Q", jbod=False)


def drive(number, state="unconfigured", raw="Ready", **more):
    return Drive(f"0,{number}", state, raw, serial=f"S{number}", **more)


def drives(count, **more):
    return tuple(drive(number, **more) for number in range(count))


def argvs(commands):
    assert all(command.argv[0] == "arcconf" and command.argv[-1] == "nologs" for command in commands)
    assert all(command.stdin is None and command.says for command in commands)
    return [command.argv[1:] for command in commands]


def create(controller, level, members, **more):
    return argvs(ARCCONF.create("arcconf", controller, VolumeWish("system", level, members, **more)))


def test_a_volume_with_everything():
    everything = {
        "size_bytes": 10 * GIB + 1, "strip_bytes": 65536, "write_cache": "back", "read_cache": "none",
    }  # fmt: skip
    assert create(OLD, "raid5", drives(3), **everything) == [
        ("CREATE", "2", "LOGICALDRIVE", "Stripesize", "64", "Name", "system", "Rcache", "ROFF",
         "Wcache", "WBB", "10241", "5", "0", "0", "0", "1", "0", "2", *END)
    ]  # fmt: skip
    assert create(SMART, "raid5", drives(3), **everything) == [
        ("CREATE", "1", "LOGICALDRIVE", "Stripesize", "64", "Name", "system", "10241", "5",
         "0", "0", "0", "1", "0", "2", *END),
        ("SETCACHE", "1", "LOGICALDRIVE", "0", "con", *END),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("controller", "level", "count", "spans", "word"),
    [
        (SMART, "raid0", 1, 1, ("0",)),
        (OLD, "raid0", 1, 1, ("simple_volume",)),
        (OLD, "raid1e", 3, 1, ("1E",)),
        (SMART, "raid1adm", 3, 1, ("1Triple",)),
        (SMART, "raid10adm", 6, 1, ("10Triple",)),
        (OLD, "raid50", 6, 2, ("50",)),
        (SMART, "raid60", 12, 3, ("60",)),
    ],
)
def test_the_words_of_levels(controller, level, count, spans, word):
    (argv,) = create(controller, level, drives(count), spans=spans)
    place = argv.index("MAX")
    assert argv[place + 1 : place + 2] == word
    assert ("Legs" in argv) == (spans > 2)
    assert len(argv[place + 2 :]) == 2 * count + 2


def test_spares_are_kept_for_what_the_volume_will_be():
    used = (VirtualDrive("0", groups=("0",)), VirtualDrive("2", groups=("1",)))
    smart = Controller("1", "Cisco 24G TriMode", volumes=used)
    old = Controller("1", "Adaptec 6405", volumes=used)
    kept = ("SETSTATE", "1", "DEVICE", "0", "9", "HSP")
    assert create(smart, "raid1", drives(2), spares=(drive(9),))[1] == (*kept, "ARRAY", "2", *END)
    assert create(old, "raid1", drives(2), spares=(drive(9),))[1] == (*kept, "LOGICALDRIVE", "1", *END)
    volume = VirtualDrive("4", groups=("3",))
    assert argvs(ARCCONF.add_spare("arcconf", smart, volume, drive(9))) == [(*kept, "ARRAY", "3", *END)]
    assert argvs(ARCCONF.add_spare("arcconf", old, volume, drive(9))) == [(*kept, "LOGICALDRIVE", "4", *END)]


def test_a_further_volume_lies_on_the_array_or_names_its_drives():
    members = drives(2, state="online", raw="Online")
    group = VirtualDrive("0", "first", groups=("3",))
    assert create(SMART, "raid1", members, group=group, size_bytes=GIB)[0][-6:] == (
        "1024",
        "1",
        "ARRAY",
        "3",
        *END,
    )
    assert create(OLD, "raid1", members, group=group)[0][-8:] == ("MAX", "1", "0", "0", "0", "1", *END)


def test_drives_are_passed_through_as_the_controller_can():
    passed = ("TASK", "START", "1", "DEVICE", "0", "1", "UNINITIALIZE", *END)
    assert create(SMART, "jbod", (drive(0, "jbod", "Raw (Pass Through)"), drive(1))) == [passed]
    assert create(Controller("1", "Adaptec 6405"), "jbod", drives(1)) == [
        ("CREATE", "1", "JBOD", "0", "0", *END)
    ]
    assert create(OLD, "jbod", drives(2)) == [
        ("CREATE", "2", "LOGICALDRIVE", "Name", "system-0", "MAX", "simple_volume", "0", "0", *END),
        ("CREATE", "2", "LOGICALDRIVE", "Name", "system-1", "MAX", "simple_volume", "0", "1", *END),
    ]


def test_drives_are_made_ready_one_by_one():
    stale = Condition("foreign-config", "drive 0,4: configuration of another controller")
    members = (
        drive(0, "foreign", "Foreign"), drive(1, "jbod", "Raw (Pass Through)"),
        drive(2, "jbod", "Online (JBOD)"), drive(3, "spare", "Global Hot-Spare"), drive(4), drive(5),
    )  # fmt: skip
    dirty = Controller("1", "SmartRAID", drives=members, conditions=(stale,))
    initialised = [("TASK", "START", "1", "DEVICE", "0", str(n), "INITIALIZE", *END) for n in (0, 1, 4)]
    assert argvs(ARCCONF.prepare("arcconf", dirty, members)) == [
        *initialised[:2],
        ("DELETE", "1", "JBOD", "0", "2", *END),
        ("SETSTATE", "1", "DEVICE", "0", "3", "RDY", *END),
        initialised[2],
    ]
    assert create(dirty, "raid0", (drive(4),))[0] == initialised[2]


def test_smartraid_gets_its_one_cache_set_for_the_volume_just_made():
    taken = Controller("1", "SmartRAID", volumes=(VirtualDrive("0", "a"), VirtualDrive("2", "b")))
    words = ("SETCACHE", "1", "LOGICALDRIVE")
    assert create(taken, "raid1", drives(2), write_cache="back")[1:] == [(*words, "1", "con", *END)]
    assert create(taken, "raid1", drives(2), write_cache="through")[1:] == [(*words, "1", "coff", *END)]
    each = Controller("1", "SmartRAID", jbod=False, volumes=taken.volumes)
    assert create(each, "jbod", drives(2), write_cache="back")[2:] == [
        (*words, "1", "con", *END), (*words, "3", "con", *END)
    ]  # fmt: skip
    assert len(create(OLD, "raid1", drives(2), write_cache="back")) == 1
    assert len(create(taken, "raid1", drives(2), read_cache="ahead")) == 1


def test_one_volume_is_deleted_and_one_started_from():
    volume = VirtualDrive("7", "old")
    assert argvs(ARCCONF.delete_volume("arcconf", SMART, volume)) == [
        ("DELETE", "1", "LOGICALDRIVE", "7", *END)
    ]  # fmt: skip
    boot = ("SETBOOT", "1", "LOGICALDRIVE", "7", "TYPE", "Primary", "nologs")
    assert argvs(ARCCONF.boot_from("arcconf", SMART, volume)) == [boot]
    assert argvs(ARCCONF.boot_from("arcconf", OLD, volume)) == [
        ("SETBOOT", "2", "LOGICALDRIVE", "7", "nologs")
    ]


@pytest.mark.parametrize(
    "ask",
    [
        lambda: ARCCONF.delete_volume("arcconf", SMART, VirtualDrive(None, "old")),
        lambda: ARCCONF.delete_volume("arcconf", Controller(None), VirtualDrive("0")),
        lambda: ARCCONF.add_spare("arcconf", SMART, VirtualDrive(None, groups=("1",)), drive(5)),
        lambda: ARCCONF.create("arcconf", SMART, VolumeWish("a", "raid1", (drive(0), Drive(None)))),
        lambda: ARCCONF.create("arcconf", SMART, VolumeWish("a", "raid00", drives(4))),
    ],
)
def test_what_has_no_address_or_word_is_refused(ask):
    with pytest.raises(Refused):
        ask()


WHOLE = """Controllers found: {count}
----------------------------------------------------------------------
Controller information
----------------------------------------------------------------------
   Controller Status                          : Optimal
   Controller Mode                            : Mixed
   Controller Model                           : RackFlow SmartRAID
   Controller Serial Number                   : RF{count}
   Firmware                                   : 4.11
----------------------------------------------------------------------
Logical device information
----------------------------------------------------------------------
   No logical devices configured

Command completed successfully.
"""
MISSING = "Controllers found: 1\n\nInvalid controller number.\n\nCommand aborted.\n"


def answers(*texts):
    asked = ARCCONF.queries("arcconf")
    texts = (*texts, *[MISSING] * (len(asked) - len(texts)))
    return {
        query.name: Output(query.argv, 0, text, "") for query, text in zip(asked, texts, strict=True)
    }  # fmt: skip


def test_as_many_controllers_as_are_found():
    assert ARCCONF.controllers(answers("Controllers found: 0\n\nCommand completed successfully.\n")) == ()
    found = ARCCONF.controllers(answers(WHOLE.format(count=2), WHOLE.format(count=2)))
    assert [(one.index, one.model, one.jbod) for one in found] == [
        ("1", "RackFlow SmartRAID", True), ("2", "RackFlow SmartRAID", True)
    ]  # fmt: skip


@pytest.mark.parametrize(
    "texts",
    [
        ("",),
        ("arcconf: error while loading shared libraries\n",),
        (WHOLE.format(count=2),),
        (WHOLE.format(count=1).replace("Command completed successfully.", ""),),
        (MISSING,),
        (WHOLE.format(count=9),),
        ("Controllers found: 1\n\nCommand completed successfully.\n",),
    ],
)
def test_an_answer_that_is_not_whole_is_no_empty_listing(texts):
    with pytest.raises(Unparsable):
        ARCCONF.controllers(answers(*texts))
