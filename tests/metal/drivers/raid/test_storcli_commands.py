"""storcli's commands, and which of its answers are no listing."""

import json

import pytest

from metal.drivers.raid.family import VolumeWish
from metal.drivers.raid.listing import Condition, Controller, Drive, VirtualDrive
from metal.drivers.raid.storcli.commands import STORCLI, STORCLI2, numbered, per_span
from metal.errors import Refused, Unparsable
from metal.protocols import Output

GIB = 1 << 30


def drive(slot, state="unconfigured", **values):
    return Drive(f"252:{slot}", state, serial=f"S{slot}", **values)


def controller(*drives, index="0", **values):
    return Controller(index, model="MR 9460", serial="SV1", drives=drives, **values)


def wish(*drives, level="raid5", **values):
    return VolumeWish("data", level, drives, **values)


def argvs(commands):
    """The words after the tool's name, without `nolog`, which every command must end with."""
    assert all(one.argv[-1] == "nolog" and one.says for one in commands)
    return [" ".join(one.argv[1:-1]) for one in commands]


FOUR = tuple(drive(n) for n in range(4))
SIX = tuple(drive(n) for n in range(6))
BARE = (Drive(":4", "unconfigured", serial="A"), Drive(":5", "unconfigured", serial="B"))


@pytest.mark.parametrize(
    ("family", "wished", "line"),
    [
        (STORCLI, wish(*FOUR[:3]), "/c0 add vd r5 name=data drives=252:0,252:1,252:2"),
        (
            STORCLI,
            wish(*FOUR[:2], level="raid1", size_bytes=100 * GIB, write_cache="back", read_cache="ahead"),
            "/c0 add vd r1 size=102400MB name=data drives=252:0,252:1 wb ra",
        ),
        (
            STORCLI,
            wish(*FOUR[:3], strip_bytes=256 << 10, spares=FOUR[3:], write_cache="through", read_cache="none"),
            "/c0 add vd r5 name=data drives=252:0,252:1,252:2 wt nora strip=256 spares=252:3",
        ),
        (
            STORCLI,
            wish(*FOUR, level="raid10"),
            "/c0 add vd r10 name=data drives=252:0,252:1,252:2,252:3 pdperarray=2",
        ),
        (
            STORCLI,
            wish(*SIX, level="raid50", spans=2),
            "/c0 add vd r50 name=data drives=252:0,252:1,252:2,252:3,252:4,252:5 pdperarray=3",
        ),
        (STORCLI, wish(*BARE, level="raid1"), "/c0 add vd r1 name=data drives=4,5"),
        (STORCLI2, wish(FOUR[0], level="raid0"), "/c0 add vd raid0 name=data drives=252:0"),
    ],
)
def test_a_volume_is_made_by_one_line(family, wished, line):
    assert argvs(family.create("storcli64", controller(), wished)) == [line]


def test_a_further_volume_names_the_same_drives():
    first = VirtualDrive("239", "root", "raid5", members=("252:0", "252:1", "252:2"), groups=("0",))
    made = STORCLI.create("storcli64", controller(), wish(*FOUR[:3], group=first, size_bytes=GIB))
    assert argvs(made) == ["/c0 add vd r5 size=1024MB name=data drives=252:0,252:1,252:2"]
    with pytest.raises(Refused, match="can't be raid1: its drives hold raid5"):
        STORCLI.create("storcli64", controller(), wish(*FOUR[:3], level="raid1", group=first))


def test_drives_are_passed_through_or_made_a_volume_each_where_jbod_is_off():
    jbod = wish(drive(0), drive(1, "jbod"), level="jbod", write_cache="through")
    for able in (True, None):
        assert argvs(STORCLI.create("storcli64", controller(jbod=able), jbod)) == ["/c0/e252/s0 set jbod"]
    assert argvs(STORCLI.create("storcli64", controller(jbod=False), jbod)) == [
        "/c0 add vd r0 name=data-0 drives=252:0 wt",
        "/c0 add vd r0 name=data-1 drives=252:1 wt",
    ]


def test_what_is_in_the_way_is_cleared_in_the_one_order_that_works():
    drives = (
        drive(0, "foreign"),
        drive(1, "jbod"),
        drive(2, "spare"),
        drive(3, "unconfigured", spun_down=True),
        drive(4, "online", spun_down=False),
    )
    pinned = (Condition("preserved-cache", "VD 5: Missing"), Condition("battery", "VD 6: x"))
    told = (*pinned, Condition("preserved-cache", "Any Offline VD Cache Preserved = Yes"))
    commands = STORCLI.prepare("perccli64", controller(*drives, index="1", conditions=told), drives)
    assert argvs(commands) == [
        "/c1/v5 delete preservedcache force",
        "/c1/fall delete",
        "/c1/e252/s1 set good force",
        "/c1/e252/s2 delete hotsparedrive",
        "/c1/e252/s3 spinup",
    ]
    assert {one.argv[0] for one in commands} == {"perccli64"}
    assert "S0 (252:0)" in commands[1].says


def test_a_controller_in_jbod_mode_passes_a_foreign_drive_through_once_it_is_cleared():
    foreign = drive(0, "foreign")
    commands = STORCLI.prepare("storcli64", controller(foreign, jbod=True), [foreign])
    assert argvs(commands) == ["/c0/fall delete", "/c0/e252/s0 set good force"]


def test_a_foreign_drive_that_counts_as_bad_is_called_good_before_it_is_cleared():
    pulled, other = drive(0, "foreign", raw_state="UBad"), drive(1, "foreign", raw_state="UGood")
    commands = STORCLI.prepare("storcli64", controller(pulled, other), [pulled, other])
    assert argvs(commands) == ["/c0/e252/s0 set good force", "/c0/fall delete"]


def test_foreign_drives_that_nobody_asked_about_stop_the_clearing():
    mine, other = drive(0, "foreign"), drive(1, "foreign")
    with pytest.raises(Refused, match=r"foreign too: S1 \(252:1\)"):
        STORCLI.prepare("storcli64", controller(mine, other), [mine])
    assert argvs(STORCLI.prepare("storcli64", controller(mine, other), [mine, other])) == ["/c0/fall delete"]


def test_the_cache_of_a_volume_that_is_still_there_is_not_discarded():
    told = (Condition("preserved-cache", "VD 3: Offline"),)
    offline = VirtualDrive("3", "old", state="offline")
    with pytest.raises(Refused, match=r"volume old of .* is offline and its cache is preserved"):
        STORCLI.prepare("storcli64", controller(volumes=(offline,), conditions=told), [])
    vague = (Condition("preserved-cache", "Any Offline VD Cache Preserved = Yes"),)
    with pytest.raises(Refused, match="does not say of which volume"):
        STORCLI.prepare("storcli64", controller(conditions=vague), [])


def test_one_volume_is_addressed_and_never_all():
    volume = VirtualDrive("239", "root", groups=("2",))
    spare, bare = drive(7), Drive(":3", "unconfigured", serial="X")
    assert argvs(STORCLI.delete_volume("storcli64", controller(), volume)) == ["/c0/v239 delete force"]
    assert argvs(STORCLI.boot_from("storcli64", controller(), volume)) == ["/c0/v239 set bootdrive=on"]
    assert argvs(STORCLI.add_spare("storcli64", controller(), volume, spare)) == [
        "/c0/e252/s7 add hotsparedrive dgs=2"
    ]
    assert argvs(STORCLI.add_spare("storcli64", controller(), volume, bare)) == [
        "/c0/s3 add hotsparedrive dgs=2"
    ]
    for number in ("all", "0-3", "1,2", ""):
        with pytest.raises(Refused, match="no volume's number"):
            STORCLI.delete_volume("storcli64", controller(), VirtualDrive(number))
    with pytest.raises(Refused, match="on which drive group"):
        STORCLI.add_spare("storcli64", controller(), VirtualDrive("239"), spare)
    for address in ("all:1", "252:all", "252", "252:1,2"):
        with pytest.raises(Refused, match="no enclosure and slot"):
            STORCLI.free_drive("storcli64", controller(), Drive(address, "jbod"))


def test_storcli2_has_a_word_of_its_own_for_unconfigured():
    assert argvs(STORCLI2.free_drive("storcli2", controller(), drive(1, "jbod"))) == [
        "/c0/e252/s1 set uconf force",
        "/c0/e252/s1 set uconf",
    ]


@pytest.mark.parametrize(
    ("level", "count", "spans", "size"),
    [
        ("raid10", 16, 1, 2),
        ("raid10", 20, 1, 4),
        ("raid10", 32, 1, 4),
        ("raid50", 9, 3, 3),
        ("raid60", 16, 2, 8),
        ("raid50", 8, 1, 4),
    ],
)
def test_spans_hold_equally_many_drives_and_are_eight_at_most(level, count, spans, size):
    assert per_span(level, count, spans) == size


@pytest.mark.parametrize(
    ("level", "count", "spans"), [("raid10", 22, 1), ("raid50", 27, 9), ("raid60", 7, 2)]
)
def test_what_makes_no_equal_spans_is_refused(level, count, spans):
    with pytest.raises(Refused, match="can't divide"):
        per_span(level, count, spans)


def test_names_of_several_volumes_fit_the_controller():
    assert numbered("a-very-long-name", 0, 1) == "a-very-long-nam"
    assert numbered("a-very-long-name", 11, 12) == "a-very-long--11"


def test_a_level_that_megaraid_has_not_is_refused():
    with pytest.raises(Refused, match="makes no raid1e"):
        STORCLI.create("storcli64", controller(), wish(*FOUR[:3], level="raid1e"))


# What is no listing.

CONTROLLER = {
    "Basics": {"Model": "MR 9460", "Serial Number": "SV1", "PCI Address": "00:5e:00:00"},
    "Version": {"Firmware Version": "5.1", "Driver Name": "megaraid_sas"},
    "PD LIST": [
        {
            "EID:Slt": "252:0",
            "DID": 1,
            "State": "Onln",
            "DG": 0,
            "Size": "1.0 TB",
            "Intf": "SAS",
            "Med": "HDD",
        },
        {
            "EID:Slt": " :1",
            "DID": 2,
            "State": "UGood",
            "DG": "-",
            "Size": "1.0 TB",
            "Intf": "SAS",
            "Med": "HDD",
        },
    ],
    "VD LIST": [{"DG/VD": "0/239", "TYPE": "RAID0", "State": "Optl", "Size": "1.0 TB", "Name": "a"}],
}
DETAILS = {
    "Drive /c0/e252/s0 - Detailed Information": {"Drive /c0/e252/s0 Device attributes": {"SN": "SN0001"}}
}
DIRECT = {"Drive /c0/s1 - Detailed Information": {"Drive /c0/s1 Device attributes": {"SN": "SN0002"}}}
VOLUMES = {"VD239 Properties": {"Strip Size": "64 KB", "SCSI NAA Id": "600605b0" + "1" * 24}}
PINNED = {"whatever it is called": [{"VD": 4, "State": "Missing"}]}


def said(data=None, status="Success", description="None", index=0, rows=()):
    head = {"Controller": index, "Status": status, "Description": description}
    if rows:
        head["Detailed Status"] = list(rows)
    return {"Command Status": head, **({"Response Data": data} if data else {})}


def answers(**changed):
    """What the five readings say; a change is a list of answers, or a text as it was printed."""
    whole = {
        "controllers": [said(CONTROLLER)],
        "drives": [said(DETAILS)],
        "direct": [said(DIRECT)],
        "volumes": [said(VOLUMES)],
        "pinned": [said(PINNED)],
    } | changed
    asked = {query.name.removeprefix("storcli-"): query for query in STORCLI.queries("storcli64")}
    assert set(asked) == set(whole)
    return {
        asked[name].name: Output(
            asked[name].argv, 0, text if isinstance(text, str) else json.dumps({"Controllers": text}), ""
        )
        for name, text in whole.items()
    }


def test_five_readings_are_one_controller():
    (one,) = STORCLI.controllers(answers())
    assert [(drive.address, drive.serial) for drive in one.drives] == [
        ("252:0", "SN0001"),
        (":1", "SN0002"),
    ]
    (volume,) = one.volumes
    assert (volume.wwn, volume.groups, volume.members) == ("600605b0" + "1" * 24, ("0",), ("252:0",))
    assert Condition("preserved-cache", "VD 4: Missing") in one.conditions


@pytest.mark.parametrize(
    "gone",
    [
        [{"Command Status": {"Status": "Failure", "Description": "No Controller found"}}],
        [{"Command Status": {"Status": "Success", "Description": "No Controller found"}}],
        "Status = Failure\nDescription = No Controller found\n",
    ],
)
def test_no_controller_is_none_whatever_the_status_says(gone):
    assert (
        STORCLI.controllers(answers(controllers=gone, drives=gone, direct=gone, volumes=gone, pinned=gone))
        == ()
    )


HIDING = said(status="Failure", description="Show Drive Information Failed.", rows=(
    {"Drive": "/c0/e252/s0", "Status": "Failure", "ErrCd": 46, "ErrMsg": "-"},))  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"controllers": ""}, "an answer to storcli64 /call show all"),
        ({"controllers": '{"Controllers": [{"Command Status": '}, "expected JSON"),
        (
            {"controllers": [said(status="Failure", description="Un-supported command")]},
            "what controller 0 is",
        ),
        ({"controllers": "Status = Failure\nDescription = syntax error, unexpected TOKEN_UNKNOWN\n"}, "what"),
        ({"drives": [HIDING]}, r"details of drive 252:0 of controller 0.*/c0/e252/s0 46"),
        ({"direct": [said(status="Failure", description="No drive found!")]}, "details of drive :1"),
        ({"volumes": [said(status="Failure", description="None")]}, "properties of volume 239"),
        ({"controllers": []}, "what controllers there are"),
        ({"pinned": ""}, "an answer to storcli64 /call show preservedcache"),
    ],
)
def test_an_answer_that_hides_something_is_no_listing(changed, expected):
    with pytest.raises(Unparsable, match=expected):
        STORCLI.controllers(answers(**changed))


def test_a_failure_with_all_data_is_a_listing():
    stale = said(CONTROLLER, status="Failure", description="Incomplete foreign configuration")
    (one,) = STORCLI.controllers(answers(controllers=[stale]))
    assert len(one.drives) == 2
    assert ("foreign-config", "Incomplete foreign configuration") in {
        (c.kind, c.text) for c in one.conditions
    }


@pytest.mark.parametrize(
    "hba",
    [
        {"Product Name": "UCSC-SAS-M5HD", "Driver Name": "mpt3sas"},
        {"Product Name": "LSI3008-IT", "Driver Name": "mpt3sas"},
        {"Product Name": "LSI3008-IR"},
        {"Basics": {"Model": "HBA 9400-16i"}},
    ],
)
def test_hbas_of_ir_and_it_firmware_are_not_offered(hba):
    listing = hba | {"PD LIST": CONTROLLER["PD LIST"]}
    unable = said(status="Failure", description="Un-supported command", index=1)
    two = [said(CONTROLLER), said(listing, index=1)]
    found = STORCLI.controllers(answers(controllers=two, volumes=[said(VOLUMES), unable], pinned=[unable]))
    assert [one.index for one in found] == ["0"]
    alone = {"controllers": [said(listing)], "drives": [], "direct": [], "volumes": [], "pinned": []}
    assert STORCLI.controllers(answers(**alone)) == ()


def test_a_raid_controller_in_hba_personality_is_there_and_has_nothing_to_offer():
    passing = CONTROLLER | {"Status": {"Current Personality": "HBA-Mode "}}
    (one,) = STORCLI.controllers(answers(controllers=[said(passing)], drives=[HIDING], volumes=[HIDING]))
    assert (one.pci, one.drives, one.volumes, one.jbod) == ("0000:5e:00.0", (), (), True)
    assert any(condition.kind == "advisory" for condition in one.conditions)
