"""Smart Array: the commands of each operation in the tool's own words, and what is refused before any."""

from dataclasses import replace

import pytest

from metal.drivers.raid.family import VolumeWish
from metal.drivers.raid.listing import Controller, Drive, VirtualDrive
from metal.drivers.raid.ssacli.commands import QUERY, SSACLI
from metal.errors import Refused, Unparsable
from metal.protocols import Output

MIB = 1 << 20
DRIVES = tuple(Drive(f"1I:1:{n}", "unconfigured", serial=f"RF{n}") for n in range(1, 9))
PAIR = VirtualDrive("1", level="raid1", members=("1I:1:1", "1I:1:2"), wwn="600508b1001c01", groups=("A",))
FOUR = "drives=1I:1:1,1I:1:2,1I:1:3,1I:1:4"
FURTHER = VirtualDrive("3", level="raid1", members=("1I:1:1", "1I:1:2"), groups=("A",))
BARE = Controller("0b", "P440ar", jbod=False, drives=DRIVES)
FULL = replace(BARE, volumes=(PAIR,))
SHARED = replace(BARE, volumes=(PAIR, FURTHER))
HBA = replace(BARE, levels=("jbod",), jbod=True)


def words(commands):
    """Argvs without the part that they all share."""
    assert all(one.argv[:3] == ("ssacli", "ctrl", "slot=0b") for one in commands)
    assert all(one.stdin is None and 0 in one.ok_statuses for one in commands)
    return [" ".join(one.argv[3:]) for one in commands]


def wish(level, count, **options):
    return VolumeWish("data", level, DRIVES[:count], **options)


@pytest.mark.parametrize(
    ("asked", "controller", "expected"),
    [
        (
            wish("raid1", 2),
            BARE,
            ["create type=ld drives=1I:1:1,1I:1:2 raid=1 forced"],
        ),
        (
            wish("raid10", 4, strip_bytes=262144, write_cache="back", read_cache="ahead"),
            BARE,
            ["create type=ld " + FOUR + " raid=1+0 stripsize=256 caching=enable forced"],
        ),
        (
            wish("raid60", 8, spans=2, size_bytes=1000 * MIB + 5, write_cache="through"),
            BARE,
            [
                "create type=ld drives=" + ",".join(f"1I:1:{n}" for n in range(1, 9)) + " raid=60"
                " numberparitygroups=2 size=1000 caching=disable forced"
            ],
        ),
        (
            VolumeWish("data", "raid5", DRIVES[2:5], spares=DRIVES[5:7]),
            replace(BARE, volumes=(PAIR, replace(FURTHER, groups=("B",)))),
            [
                "create type=ld drives=1I:1:3,1I:1:4,1I:1:5 raid=5 forced",
                "ld 2 add spares=1I:1:6,1I:1:7 forced",
            ],
        ),
        (
            wish("raid5", 3, group=PAIR, size_bytes=MIB, spares=DRIVES[5:6]),
            FULL,
            ["array A create type=ld raid=5 size=1 forced", "array A add spares=1I:1:6 forced"],
        ),
        (
            wish("jbod", 2),
            BARE,
            ["create type=ld drives=1I:1:1 raid=0 forced", "create type=ld drives=1I:1:2 raid=0 forced"],
        ),
        (wish("jbod", 2), HBA, []),
    ],
)
def test_making_volumes(asked, controller, expected):
    assert words(SSACLI.create("ssacli", controller, asked)) == expected


def test_the_oldest_tool_has_another_word_for_the_cache():
    (command,) = SSACLI.create("hpacucli", BARE, wish("raid1", 2, write_cache="back"))
    assert command.argv[-2:] == ("aa=enable", "forced")


def test_people_are_told_serials():
    (command,) = SSACLI.create("ssacli", BARE, wish("raid1", 2))
    assert command.says == "make raid1 data of RF1 (1I:1:1), RF2 (1I:1:2)"


def test_one_volume_is_deleted_by_its_number():
    assert words(SSACLI.delete_volume("ssacli", SHARED, FURTHER)) == ["ld 3 delete forced"]
    assert words(SSACLI.boot_from("ssacli", SHARED, PAIR)) == ["ld 1 modify bootvolume=primary"]


def test_an_array_is_named_by_its_letter_only_where_it_has_several_volumes():
    spare = replace(DRIVES[5], state="spare")
    kept = [replace(one, spares=(spare.address,)) for one in (PAIR, FURTHER)]
    alone, both = replace(BARE, volumes=tuple(kept[:1])), replace(BARE, volumes=tuple(kept))
    assert words(SSACLI.free_drive("ssacli", alone, spare)) == ["ld 1 remove spares=1I:1:6"]
    assert words(SSACLI.free_drive("ssacli", both, spare)) == ["array A remove spares=1I:1:6"]
    assert words(SSACLI.add_spare("ssacli", FULL, PAIR, DRIVES[4])) == ["ld 1 add spares=1I:1:5 forced"]
    assert words(SSACLI.add_spare("ssacli", SHARED, FURTHER, DRIVES[4])) == [
        "array A add spares=1I:1:5 forced"
    ]


def test_a_spare_leaves_every_array_that_it_serves():
    spare = replace(DRIVES[5], state="spare")
    other = VirtualDrive("2", level="raid5", groups=("B",), spares=(spare.address,))
    both = replace(BARE, volumes=(replace(PAIR, spares=(spare.address,)), other))
    assert words(SSACLI.prepare("ssacli", both, (spare, DRIVES[0]))) == [
        "ld 1 remove spares=1I:1:6",
        "ld 2 remove spares=1I:1:6",
    ]


def test_an_erased_drive_is_enabled():
    erased = replace(DRIVES[0], raw_state="Erase Complete. Reenable Before Using.")
    assert words(SSACLI.prepare("ssacli", BARE, (erased,))) == ["pd 1I:1:1 modify enableeraseddrive"]


@pytest.mark.parametrize(
    ("operation", "told"),
    [
        (lambda: SSACLI.create("ssacli", HBA, wish("raid1", 2)), "HBA mode"),
        (lambda: SSACLI.prepare("ssacli", HBA, (replace(DRIVES[0], state="jbod"),)), "HBA mode"),
        (lambda: SSACLI.free_drive("ssacli", BARE, replace(DRIVES[0], state="failed")), "is failed"),
        (lambda: SSACLI.free_drive("ssacli", FULL, replace(DRIVES[0], state="spare")), "no array is listed"),
        (lambda: SSACLI.create("ssacli", FULL, wish("raid1", 2, group=replace(PAIR, groups=()))), "no array"),
        (lambda: SSACLI.delete_volume("ssacli", replace(FULL, index=None), PAIR), "no index"),
        (lambda: SSACLI.delete_volume("ssacli", FULL, replace(PAIR, id=None)), "no id"),
        (lambda: SSACLI.create("ssacli", BARE, VolumeWish("a", "raid0", (Drive(None),))), "no address"),
    ],
)
def test_what_is_refused(operation, told):
    with pytest.raises(Refused, match=told):
        operation()


def answered(stdout, status=0, stderr=""):
    argv = SSACLI.queries("ssacli")[0].argv
    return {QUERY: Output(argv, status, stdout, stderr)}


def test_no_controller_is_an_empty_list_and_a_failure_is_not():
    assert SSACLI.controllers(answered("\nError: No controllers detected.\n", 1)) == ()
    whole = "Smart Array P410 in Slot 1\n   Slot: 1\n   Serial Number: RFP1\n"
    assert SSACLI.controllers(answered(whole))[0].jbod is False
    for said in (
        answered("", 1),
        answered("", 255, "the answer is missing or cut off: closed"),
        answered(whole, 124),
        answered(whole + "\nError: Another instance of ssacli is running! Stop it first.\n", 1),
        answered("", 127, "sh: ssacli: not found"),
    ):
        with pytest.raises(Unparsable):
            SSACLI.controllers(said)
