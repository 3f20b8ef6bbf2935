"""The argvs that MegaCli gets for each operation, and what is refused before it is asked."""

import pytest

from metal.drivers.raid.family import VolumeWish
from metal.drivers.raid.listing import Condition, Controller, Drive, VirtualDrive
from metal.drivers.raid.megacli.operations import MEGACLI
from metal.errors import Refused, Unparsable
from metal.protocols import Output

TOOL = "MegaCli64"
GIB = 1 << 30
END = ("-a0", "-NoLog")


def drive(slot, state="unconfigured", raw="Unconfigured(good), Spun Up", enclosure="32", **more):
    return Drive(f"{enclosure}:{slot}", state, raw, serial=f"S{slot}", **more)


def drives(count, **more):
    return tuple(drive(slot, **more) for slot in range(count))


def argvs(commands):
    assert all(command.argv[0] == TOOL and command.argv[-1] == "-NoLog" for command in commands)
    assert all(command.stdin is None and command.says for command in commands)
    return [command.argv[1:] for command in commands]


EMPTY = Controller("0", jbod=True)


def create(level, members, controller=EMPTY, **more):
    return argvs(MEGACLI.create(TOOL, controller, VolumeWish("system", level, members, **more)))


def test_a_plain_volume_with_everything_then_its_name():
    made, named = create(
        "raid5", drives(3), spares=(drive(9),), size_bytes=10 * GIB + 1, strip_bytes=65536,
        write_cache="back", read_cache="ahead",
    )  # fmt: skip
    assert made == (
        "-CfgLdAdd",
        "-r5[32:0,32:1,32:2]",
        "WB",
        "RA",
        "-sz10241",
        "-strpsz64",
        "-Hsp[32:9]",
        *END,
    )
    assert named == ("-LDSetProp", "-Name", "system", "-L0", *END)


def test_the_name_goes_to_the_lowest_free_id_only():
    used = Controller("0", volumes=(VirtualDrive("0"), VirtualDrive("2")))
    assert create("raid1", drives(2), used)[1] == ("-LDSetProp", "-Name", "system", "-L1", *END)


@pytest.mark.parametrize(
    ("level", "count", "spans", "arrays"),
    [
        ("raid10", 4, 1, 2),
        ("raid10", 16, 1, 8),
        ("raid10", 18, 1, 3),
        ("raid10", 20, 1, 5),
        ("raid10", 12, 2, 2),
        ("raid50", 6, 2, 2),
        ("raid50", 9, 3, 3),
        ("raid60", 8, 2, 2),
    ],
)
def test_spanned_levels_are_divided_into_arrays_that_firmware_takes(level, count, spans, arrays):
    argv = create(level, drives(count), spans=spans)[0]
    assert argv[:2] == ("-CfgSpanAdd", f"-r{level[4:]}")
    told = argv[2:-2]
    assert [one.partition("[")[0] for one in told] == [f"-Array{number}" for number in range(arrays)]
    assert ",".join(one.partition("[")[2].rstrip("]") for one in told) == ",".join(
        f"32:{slot}" for slot in range(count)
    )


@pytest.mark.parametrize(("level", "count", "spans"), [("raid10", 22, 1), ("raid50", 7, 2), ("raid1e", 3, 1)])
def test_what_can_not_be_laid_out_is_refused(level, count, spans):
    with pytest.raises(Refused, match=level):
        create(level, drives(count), spans=spans)


def test_spares_of_a_spanned_volume_are_kept_for_the_arrays_that_it_will_have():
    used = Controller("0", volumes=(VirtualDrive("0", groups=("0",)), VirtualDrive("1", groups=("2",))))
    kept = create("raid10", drives(4), used, spares=(drive(9),))[2]
    assert kept == ("-PDHSP", "-Set", "-Dedicated", "-Array1,3", "-PhysDrv[32:9]", *END)


def test_a_further_volume_names_the_drives_of_the_group():
    group = VirtualDrive("0", "first", "raid5", groups=("0",))
    used = Controller("0", volumes=(group,))
    members = drives(3, state="online", raw="Online, Spun Up")
    made = create("raid5", members, used, group=group, size_bytes=5 * GIB)[0]
    assert made == ("-CfgLdAdd", "-r5[32:0,32:1,32:2]", "-sz5120", *END)


def test_a_further_spanned_volume_names_drives_by_the_arrays_that_they_are_in():
    group = VirtualDrive(
        "0", "first", "raid10", members=("32:0", "32:2", "32:1", "32:3"), groups=("0", "1")
    )  # fmt: skip
    made = create("raid10", drives(4), Controller("0", volumes=(group,)), group=group)[0]
    assert made[:4] == ("-CfgSpanAdd", "-r10", "-Array0[32:0,32:2]", "-Array1[32:1,32:3]")


def test_drives_are_passed_through_or_made_volumes_of_their_own():
    assert create("jbod", drives(2)) == [("-PDMakeJBOD", "-PhysDrv[32:0,32:1]", *END)]
    assert create("jbod", drives(2), Controller("0", jbod=False), write_cache="through") == [
        ("-CfgLdAdd", "-r0[32:0]", "WT", *END),
        ("-CfgLdAdd", "-r0[32:1]", "WT", *END),
    ]


def test_drives_without_enclosure_and_those_that_are_spun_down():
    down = drive(1, raw="Unconfigured(good), Spun down", enclosure="")
    spun_up, made, _ = create("raid1", (drive(0, enclosure=""), down))
    assert spun_up == ("-PDPrpRmv", "-UnDo", "-PhysDrv[:1]", *END)
    assert made == ("-CfgLdAdd", "-r1[:0,:1]", *END)


def test_what_is_in_the_way_is_cleared_in_the_order_that_works():
    bad = drive(0, "foreign", "Unconfigured(bad)")
    members = (bad, drive(1, "foreign"), drive(2, "jbod", "JBOD"), drive(3, "spare", "Hotspare, Spun down"))
    lost = Condition("preserved-cache", "virtual drive 2: Missing")
    dirty = Controller("0", drives=(*members, drive(4)), conditions=(lost,))
    assert argvs(MEGACLI.prepare(TOOL, dirty, members)) == [
        ("-DiscardPreservedCache", "-L2", *END),
        ("-PDMakeGood", "-PhysDrv[32:0]", "-Force", *END),
        ("-CfgForeign", "-Clear", *END),
        ("-PDMakeGood", "-PhysDrv[32:2]", "-Force", *END),
        ("-PDHSP", "-Rmv", "-PhysDrv[32:3]", *END),
        ("-PDPrpRmv", "-UnDo", "-PhysDrv[32:3]", *END),
    ]
    assert MEGACLI.prepare(TOOL, EMPTY, drives(2)) == ()


def test_foreign_drives_that_are_not_meant_are_not_cleared():
    mine, other = drive(0, "foreign"), drive(7, "foreign")
    with pytest.raises(Refused, match="32:7 S7"):
        MEGACLI.prepare(TOOL, Controller("0", drives=(mine, other)), [mine])
    assert MEGACLI.prepare(TOOL, Controller("0", drives=(drive(0), other)), [drive(0)]) == ()


@pytest.mark.parametrize(
    "text", ["virtual drive 3: Offline", "cache of an offline virtual drive is preserved"]
)
def test_writes_that_are_kept_for_a_volume_that_stays_are_not_discarded(text):
    stays = VirtualDrive("3", "data", "raid5", "offline")
    dirty = Controller("0", volumes=(stays,), conditions=(Condition("preserved-cache", text),))
    with pytest.raises(Refused, match="data"):
        MEGACLI.prepare(TOOL, dirty, drives(2))


def test_one_volume_is_deleted_and_one_started_from():
    volume = VirtualDrive("12", "old", groups=("1", "2"))
    assert argvs(MEGACLI.delete_volume(TOOL, EMPTY, volume)) == [("-CfgLdDel", "-L12", "-Force", *END)]
    assert argvs(MEGACLI.boot_from(TOOL, EMPTY, volume)) == [("-AdpBootDrive", "-Set", "-L12", *END)]
    assert argvs(MEGACLI.add_spare(TOOL, EMPTY, volume, drive(5))) == [
        ("-PDHSP", "-Set", "-Dedicated", "-Array1,2", "-PhysDrv[32:5]", *END)
    ]


@pytest.mark.parametrize(
    "ask",
    [
        lambda: MEGACLI.delete_volume(TOOL, EMPTY, VirtualDrive(None, "old")),
        lambda: MEGACLI.delete_volume(TOOL, Controller(None), VirtualDrive("0")),
        lambda: MEGACLI.add_spare(TOOL, EMPTY, VirtualDrive("0"), drive(5)),
        lambda: MEGACLI.create(TOOL, EMPTY, VolumeWish("a", "raid1", (drive(0), Drive(None, serial="S")))),
    ],
)
def test_what_has_no_address_is_refused(ask):
    with pytest.raises(Refused):
        ask()


def answers(**texts):
    """Answers to all queries of a machine with one empty controller; `texts` by the names' last words."""
    whole = {
        "count": "\nController Count: 1.\n\nExit Code: 0x01\n",
        "adapters": "Adapter #0\n\nProduct Name    : RF 9\nSerial No       : RF1\n\nExit Code: 0x00\n",
        "drives": "Adapter #0\n\n\nExit Code: 0x00\n",
        "volumes": "Adapter #0\n\nNumber of Virtual Disks: 0\n\nExit Code: 0x00\n",
        "groups": "Adapter: 0\nProduct Name: RF 9\nNumber of DISK GROUPS: 0\n\nExit Code: 0x00\n",
        "pci": "PCI information for Controller 0\nBus Number      : 8\nDevice Number   : 0\n"
        "Function Number : 0\n\nExit Code: 0x00\n",
        "jbod": "Adapter 0: JBOD: Disabled\n\nExit Code: 0x00\n",
        "battery": "Adapter 0: Get BBU Status Failed.\n\nExit Code: 0x22\n",
        "preserved": "Fatal error - Command Tool invoked with wrong parameters\n\nExit Code: 0x01\n",
        "foreign": "There is no foreign configuration on controller 0.\n\nExit Code: 0x00\n",
        "devices": "",
    } | texts
    asked = {query.name: query.argv for query in MEGACLI.queries(TOOL)}
    assert set(asked) == {f"megacli-{name}" for name in whole}
    return {f"megacli-{name}": Output(asked[f"megacli-{name}"], 0, text, "") for name, text in whole.items()}


def test_no_controller_and_an_empty_one():
    assert MEGACLI.controllers(answers(count="Controller Count: 0.\n\nExit Code: 0x00\n", drives="")) == ()
    (one,) = MEGACLI.controllers(answers())
    assert (one.index, one.model, one.pci, one.jbod) == ("0", "RF 9", "0000:08:00.0", False)
    assert (one.drives, one.volumes) == ((), ())


@pytest.mark.parametrize(
    "texts",
    [
        {"count": ""},
        {"count": "MegaCli64: error while loading shared libraries: libncurses.so.5\n"},
        {"drives": "Adapter #0\n\n"},
        {"drives": ""},
        {"volumes": "Adapter #0\n\nNumber of Virtual Disks: 0\n"},
        {"count": "Controller Count: 2.\n\nExit Code: 0x02\n"},
        {"adapters": "\nExit Code: 0x00\n"},
        {"drives": "Adapter 0: Failed to get physical drive list\n\nExit Code: 0x03\n"},
        {"preserved": "Adapter #0\n"},
    ],
)
def test_an_answer_that_is_not_whole_is_no_empty_listing(texts):
    with pytest.raises(Unparsable):
        MEGACLI.controllers(answers(**texts))


VOLUME = """Adapter #0

Number of Virtual Disks: 1
Virtual Drive: {number} (Target Id: 3)
Name                :data
RAID Level          : Primary-0, Secondary-0, RAID Level Qualifier-0
Size                : 10.0 GB
State               : Optimal
Number Of Drives    : 1
Span Depth          : 1

Exit Code: 0x00
"""


def test_a_volume_is_told_with_its_device():
    devices = (
        "0000:08:00.0 0:2:3:0 sdb naa.600605b00a\n0000:08:00.0 0:0:3:0 sdc \n0000:09:00.0 1:2:3:0 sdd x\n"
    )
    (one,) = MEGACLI.controllers(answers(volumes=VOLUME.format(number=3), devices=devices))
    (volume,) = one.volumes
    assert (volume.id, volume.device, volume.wwn) == ("3", "/dev/sdb", "600605b00a")


def test_a_volume_whose_number_is_not_its_target_has_no_id_to_delete_it_by():
    (one,) = MEGACLI.controllers(answers(volumes=VOLUME.format(number=0)))
    assert (one.volumes[0].id, one.volumes[0].name) == (None, "data")
