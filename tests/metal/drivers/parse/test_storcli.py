"""storcli's text form: dialects, states, tasks, sessions, outcomes, and what is refused."""

import pytest

from metal.drivers.raid.listing import Condition, Outcome
from metal.drivers.raid.storcli import parse
from metal.errors import Unparsable
from tests.metal.drivers.parse.refusing import never_anything_else

GIB = 1 << 30
TIB = 1 << 40
LEGEND = """
EID=Enclosure Device ID|Slt=Slot No|DID=Device ID|DG=DriveGroup
UBad=Unconfigured Bad|Sntze=Sanitize|Onln=Online|Offln=Offline|Intf=Interface
UBUnsp=UBad Unsupported|Rbld=Rebuild
"""


def head(controller=0, status="Success", description="None", version="007.2612.0000.0000 Jun 13, 2023"):
    return (
        f"CLI Version = {version}\nOperating system = Linux 6.1.0-18-amd64\nController = {controller}\n"
        f"Status = {status}\nDescription = {description}\n\n"
    )


def table(title, *lines):
    """A titled table as storcli draws it: rulers as wide as the widest line."""
    ruler = "-" * max(map(len, lines))
    first, *rows = lines
    named = f"{title} :\n{'=' * len(title)}\n\n" if title else ""
    return "\n".join([named + ruler, first, ruler, *rows, ruler, LEGEND, ""])


PRODUCT = """Product Name = RackRAID 3108
Serial Number = RF-SK0001
SAS Address =  500605b00badf00d
PCI Address = 00:af:00:01
FW Package Build = 24.21.0-0028
FW Version = 4.680.00-8290
Current Personality = RAID-Mode
Bus Number = 175
"""
TOPOLOGY = table(
    "TOPOLOGY",
    "DG Arr Row EID:Slot DID Type  State BT     Size PDC  PI SED DS3  FSpace TR",
    " 0 -   -   -        -   RAID5 Dgrd  N  5.457 TB dflt N  N   dflt N      N",
    " 0 0   -   -        -   RAID5 Dgrd  N  5.457 TB dflt N  N   dflt N      N",
    " 0 0   0   32:1     11  DRIVE Onln  N  2.728 TB dflt N  N   dflt -      N",
    " 0 0   1   32:0     10  DRIVE Onln  N  2.728 TB dflt N  N   dflt -      N",
    " 0 0   2   -        -   DRIVE Msng  -  2.728 TB -    -  -   -    -      N",
)
VOLUMES = table(
    "VD LIST",
    "DG/VD TYPE  State Access Consist Cache Cac sCC     Size Name",
    "0/239 RAID5 Dgrd  RW     Yes     RWBD  -   ON  5.457 TB two words",
)
DRIVES = table(
    "PD LIST",
    "EID:Slt DID State DG     Size Intf Med SED PI SeSz Model             Sp Type",
    "32:0     10 Onln   0 2.728 TB SATA HDD N   N  512B WDC WD30EFRX-68AX U  -",
    "32:1     11 Onln   0 2.728 TB SAS  HDD N   N  4 KB ST3000NM0023      U  -",
    "32:2     12 UGood  - 2.728 TB SAS  SSD N   N  512B PX05SVB320        D  -",
)
LISTING = (
    head()
    + PRODUCT
    + "Drive Groups = 1\n\n"
    + TOPOLOGY
    + "Virtual Drives = 1\n\n"
    + VOLUMES
    + "Physical Drives = 3\n\n"
    + DRIVES
)
PROGRESS = head(description="Show Drive Rebuild Status Succeeded.") + table(
    "",
    "Drive-ID   Progress% Status          Estimated Time Left",
    "/c0/e32/s0 -         Not in progress -",
    "/c0/s7     41        In progress     4 Days 3 Hours 51 Minutes",
)


def only(text):
    (controller,) = parse(text).value.controllers
    return controller


def by_address(controller):
    return {drive.address: drive for drive in controller.drives}


def test_a_listing_of_007():
    found = parse(LISTING)
    (controller,) = found.value.controllers
    drives = by_address(controller)
    (volume,) = controller.volumes

    assert found.value.outcome == Outcome(ok=True)
    assert (controller.index, controller.model, controller.serial) == ("0", "RackRAID 3108", "RF-SK0001")
    assert (controller.firmware, controller.pci) == ("4.680.00-8290", "0000:af:00.1")
    assert (controller.state, controller.levels, controller.jbod) == (None, (), None)
    assert (drives["32:0"].model, drives["32:0"].volume) == ("WDC WD30EFRX-68AX", "239")
    assert (drives["32:1"].interface, drives["32:1"].sector_size) == ("sas", 4096)
    assert (drives["32:2"].state, drives["32:2"].media, drives["32:2"].volume) == (
        "unconfigured",
        "ssd",
        None,
    )
    assert (volume.id, volume.name, volume.level, volume.state) == ("239", "two words", "raid5", "degraded")
    assert volume.members == ("32:1", "32:0")
    assert volume.size_bytes == round(5.457 * TIB)


def test_a_drive_that_is_gone_is_missing_without_an_address():
    gone = by_address(only(LISTING))[None]
    assert (gone.state, gone.raw_state, gone.volume) == ("missing", "Msng", "239")


def test_the_oldest_dialect_has_no_version_and_fewer_columns():
    text = (
        "Generating detailed summary of the adapter, it may take a while to complete.\n\n"
        "Controller = 1\nStatus = Success\nDescription = None\n\n\n"
        "Basics :\n======\nController = 1\nModel = RackRAID 9240\nSerial Number =\n\n"
        "Status :\n======\nController Status = Needs Attention\nMemory Correctable Errors = 3\n"
        "Any Offline VD Cache Preserved = Yes\n\n"
        "Capabilities :\n============\n"
        "RAID Level Supported = RAID0, RAID1(2 or more drives), RAID10RAID60, PRL 11, \n"
        "RAID1E, PRL11-RLQ0 DDF layout with no span\nEnable JBOD = Yes\n\n"
        "VD LIST :\n=======\n\n"
        + table(
            "",
            "DG/VD TYPE  State Access Consist Cache sCC      Size Name ",
            "0/0   RAID1 Pdgd  RW     Yes     NRWTD -   465.25 GB      ",
        )
        + table(
            "PD LIST",
            "EID:Slt DID State DG      Size Intf Med SED PI SeSz Model       Sp ",
            " :4       8 Onln   0 465.25 GB SATA HDD N   N  512B ST9500620NS U  ",
        )
    )
    controller = only(text)
    assert (controller.index, controller.serial, controller.state) == ("1", None, "needs-attention")
    assert controller.levels == ("raid0", "raid1", "raid10", "raid60", "raid1e")
    assert controller.jbod is True
    assert [condition.kind for condition in controller.conditions] == ["memory-errors", "preserved-cache"]
    assert [(one.name, one.state) for one in controller.volumes] == [(None, "partially-degraded")]
    assert controller.volumes[0].members == (":4",)


def test_storcli2_has_a_status_beside_the_state_and_means_gib():
    text = head(description="Show Drive Information Succeeded.", version="008.0011.0000.0014") + table(
        "Drive Information",
        "EID:Slt PID State Status  DG        Size Intf Med SED_Type SeSz Model         Sp LU/NS Count Alt-EID",  # noqa: E501
        "308:0   283 Conf  Online   0 223.062 GiB SATA SSD Opal     512B ACME MZ7 0000 U            1 -",
        "308:1   284 Conf  Rebuild  0   1.000 TiB NVMe SSD -        4 KB ACME QQ       U            1 -",
        "308:2   285 UConf Good     - 223.062 GiB SATA SSD -        512B ACME MZ7      U            1 -",
        "308:3   286 UConf Bad      - 223.062 GiB SATA SSD -        512B ACME MZ7      U            1 -",
        "308:4   287 GHS   Good     - 223.062 GiB SATA SSD -        512B ACME MZ7      U            1 -",
        "308:5   288 JBOD  Online   - 223.062 GiB SATA SSD -        512B ACME MZ7      U            1 -",
    )
    drives = only(text).drives
    states = [drive.state for drive in drives]
    assert states == ["online", "rebuilding", "unconfigured", "failed", "spare", "jbod"]
    assert drives[0].size_bytes == round(223.062 * GIB)
    assert (drives[1].interface, drives[1].raw_state) == ("nvme", "Conf Rebuild")
    assert drives[0].model == "ACME MZ7 0000"


STATES = {
    "Onln": "online",
    "Offln": "offline",
    "UGood": "unconfigured",
    "UGUnsp": "unconfigured",
    "UGShld": "unconfigured",
    "UBad": "failed",
    "UBUnsp": "failed",
    "Failed": "failed",
    "DHS": "spare",
    "GHS": "spare",
    "HSPShld": "spare",
    "Rbld": "rebuilding",
    "Cpybck": "copyback",
    "CBShld": "copyback",
    "Sntze": "erasing",
    "JBOD": "jbod",
    "Nvwrd": None,
}


@pytest.mark.parametrize(("word", "state"), STATES.items())
def test_each_state_word(word, state):
    text = table(
        "PD LIST",
        "EID:Slt DID State   DG     Size Intf Med SED PI SeSz Model Sp Type",
        f"8:3       9 {word:8} - 3.637 TB SAS  HDD N   N  512B ACME  U  -",
    )
    (drive,) = only(text).drives
    assert (drive.state, drive.raw_state) == (state, word)


def test_a_drive_of_a_foreign_group_is_foreign_whatever_its_word_is():
    text = DRIVES.replace("UGood  -", "UGood  F")
    controller = only(text)
    assert by_address(controller)["32:2"].state == "foreign"
    assert controller.conditions == (Condition("foreign-config", "32:2 is foreign"),)


def test_online_drives_that_are_passed_through():
    jbods = table(
        "JBOD LIST",
        "ID EID:Slt DID State Intf Med     Size SeSz Model                   Vendor   Port ",
        "8  252:8     1 Onln  NVMe SSD 1.746 TB 512B Acme Ent NVMe v2 1.92TB NVMe     00 x2",
    )
    drives = table(
        "PD LIST",
        "EID:Slt DID State DG     Size Intf Med SED PI SeSz Model                   Sp Type",
        "252:8     1 Onln  -  1.746 TB NVMe SSD N   N  512B Acme Ent NVMe v2 1.92TB U  JBOD",
    )
    for text in (jbods, drives, head() + "JBOD Drives = 1\n\n" + jbods + drives):
        (drive,) = only(text).drives
        assert (drive.state, drive.raw_state) == ("jbod", "Onln")
        assert drive.model == "Acme Ent NVMe v2 1.92TB"


def test_a_size_of_hundreds_of_digits_is_none():
    drives = by_address(only(DRIVES.replace("2.728 TB SATA", f"{'9' * 300} TB SATA")))
    assert drives["32:0"].size_bytes is None
    assert drives["32:1"].size_bytes == round(2.728 * TIB)


def test_squeezed_blanks_and_a_table_without_its_first_ruler():
    lines = [
        "EID:Slt DID State DG Size Intf Med SED PI SeSz Model Sp Type",
        "-" * 60,
        "8:0 10 JBOD - 10.914 TB SATA HDD N N 512B ACME MG07 TE U -",
        "8:1 13 UBUnsp - 0 KB SAS HDD N N 512B MZ6ER400HAGL/003 U -",
        "-" * 60,
    ]
    found = parse("\n".join(lines)).value
    drives = by_address(found.controllers[0])
    assert found.outcome is None
    assert found.controllers[0].index is None
    assert (drives["8:0"].model, drives["8:0"].size_bytes) == ("ACME MG07 TE", round(10.914 * TIB))
    assert (drives["8:1"].state, drives["8:1"].size_bytes) == ("failed", 0)


def test_details_of_a_drive_are_laid_over_its_row():
    text = (
        head(description="Show Drive Information Succeeded.")
        + table(
            "Drive /c0/e252/s3",
            "EID:Slt DID State DG     Size Intf Med SED PI SeSz Model Sp Type",
            "252:3     9 Onln   0 3.637 TB SAS  HDD N   N  512B ACME  U  -",
        )
        + "Drive /c0/e252/s3 - Detailed Information :\n====\n\n"
        "Drive /c0/e252/s3 State :\n=====\nMedia Error Count = 7\nPredictive Failure Count = 0\n"
        "S.M.A.R.T alert flagged by drive = Yes\n\n\n"
        "Drive /c0/e252/s3 Device attributes :\n=====\nSN =  RF-77\nManufacturer Id = ACME    \n"
        "WWN = 0x5000C500ABCDEF01\nFirmware Revision = A001\n"
        "Raw size = 3.638 TB [0x1d1c0beb0 Sectors]\nLogical Sector Size = 512B\n\n"
        "Inquiry Data = \n5a 0c ff 3f 37 c8 10 00 00 00 00 00 3f 00 00 00\n"
    )
    (drive,) = only(text).drives
    assert (drive.serial, drive.wwn, drive.firmware) == ("RF-77", "5000c500abcdef01", "A001")
    assert drive.size_bytes == 0x1D1C0BEB0 * 512
    assert (drive.state, drive.volume) == ("online", None)
    assert [one.kind for one in only(text).conditions] == ["media-errors", "predictive-failure"]


def test_properties_of_a_volume_and_its_running_task():
    text = (
        head()
        + table(
            "/c0/v1",
            "DG/VD TYPE  State Access Consist Cache Cac sCC     Size Name",
            "1/1   RAID1 Optl  RW     No      RWBD  -   ON  2.181 TB boot",
        )
        + table(
            "PDs for VD 1",
            "EID:Slt DID State DG     Size Intf Med SED PI SeSz Model Sp Type",
            "252:3     9 Onln   1 2.181 TB SAS  HDD N   N  4 KB ACME  U  -",
            "252:2     8 Onln   1 2.181 TB SAS  HDD N   N  4 KB ACME  U  -",
        )
        + "VD1 Properties :\n====\nStrip Size = 64 KB\nNumber of Blocks = 585691648\nSpan Depth = 2\n"
        "Active Operations = Consistency Check (3%), Background Initialization (12%)\n"
    )
    (volume,) = only(text).volumes
    assert (volume.level, volume.stripe_bytes, volume.members) == ("raid10", 65536, ("252:3", "252:2"))
    assert volume.size_bytes == 585691648 * 4096
    assert (volume.state, volume.progress, volume.raw_state) == ("initialising", 12, "Optl")


def test_a_consistency_check_changes_nothing():
    rows = ("0 CC        36        In progress     5 Minutes", "1 BGI       4.5       In progress     -")
    text = head() + table(
        "VD Operation Status", "VD Operation Progress% Status          Estimated Time Left", *rows
    )
    assert [(one.id, one.state, one.progress) for one in only(text).volumes] == [
        ("0", None, None),
        ("1", "initialising", 4.5),
    ]


@pytest.mark.parametrize(
    ("kind", "name", "levels"),
    [
        ("RAID00", "", ["raid00"]),
        ("Cac0", "", []),
        ("RAID0", "NonRAID Disk 4", ["jbod"]),
        ("Nytro1", "x", [None]),
    ],
)
def test_which_volumes_are_volumes(kind, name, levels):
    text = table(
        "VD LIST",
        "DG/VD TYPE    State Access Consist Cache Cac sCC     Size Name",
        f"3/7   {kind:7} Optl  RW     Yes     RWBD  -   ON  2.181 TB {name}",
    )
    assert [volume.level for volume in only(text).volumes] == levels


def test_drives_of_a_group_with_several_volumes_belong_to_none():
    two = VOLUMES.replace("two words", "two words\n0/238 RAID5 Dgrd  RW     Yes     RWBD  -   ON  1.000 TB b")
    controller = only(LISTING.replace(VOLUMES, two))
    assert [drive.volume for drive in controller.drives] == [None] * 4
    assert [volume.members for volume in controller.volumes] == [("32:1", "32:0")] * 2


def test_progress_of_drives():
    drives = by_address(only(PROGRESS))
    assert (drives["32:0"].state, drives["32:0"].progress) == (None, None)
    assert (drives[":7"].state, drives[":7"].progress) == ("rebuilding", 41)


def test_progress_of_drives_in_storcli2():
    text = head(description="Show PD Rebuild Status Succeeded.") + table(
        "",
        "EID:Slt PID Progress% Status          Estimated Time Left",
        "268:0   257 -         Not in progress -",
        "268:1   258 7.5       In progress     2 Hours",
    )
    drives = by_address(only(text))
    assert (drives["268:0"].state, drives["268:0"].progress) == (None, None)
    assert (drives["268:1"].state, drives["268:1"].progress) == ("rebuilding", 7.5)


def test_drive_groups_name_drives_where_nothing_else_does():
    spare = TOPOLOGY.replace(" 0 0   2   -   ", " -  -  -  32:9").replace("Msng  - ", "GHS   - ")
    drives = by_address(only(head() + spare))
    assert {address: drive.state for address, drive in drives.items()} == {
        "32:0": "online",
        "32:1": "online",
        "32:9": "spare",
    }


@pytest.mark.parametrize(
    ("task", "state"), [("Erase", "erasing"), ("Copyback", "copyback"), ("Initialization", "erasing")]
)
def test_the_description_says_what_progresses(task, state):
    assert by_address(only(PROGRESS.replace("Rebuild", task)))[":7"].state == state


def test_the_system_overview():
    text = "Status Code = 0\nStatus = Success\nDescription = None\n\nNumber of Controllers = 2\n\n" + table(
        "System Overview",
        "Ctl Model         Ports PDs DGs DNOpt VDs VNOpt BBU  sPR DS  EHS ASOs Hlth ",
        "  0 RackRAID3108      8  12   1     0   1     0 Opt  On  1&2 N      3 Opt  ",
        "  1 RackRAID9240      8   2   1     0   1     1 Fail On  1&2 N      3 NdAtn",
    )
    first, second = parse(text).value.controllers
    assert (first.index, first.model, first.state) == ("0", "RackRAID3108", "optimal")
    assert (second.state, second.raw_state) == ("needs-attention", "NdAtn")
    assert second.conditions == (Condition("battery", "BBU: Fail"),)


def test_a_battery_that_is_not_well():
    text = LISTING + table(
        "Cachevault_Info", "Model  State   Temp Mode MfgDate    ", "CVPM05 Failed  32C  -    2017/11/28 "
    )
    assert only(text).conditions == (Condition("battery", "Cachevault_Info CVPM05: Failed"),)
    assert only(text.replace("Failed ", "Optimal")).conditions == ()


def test_a_session_merges_and_a_later_listing_replaces():
    gone = LISTING.replace(VOLUMES, "").replace("Virtual Drives = 1\n\n", "").replace(TOPOLOGY, "")
    gone = gone.replace("Drive Groups = 1\n\n", "").replace("Onln   0", "UGood  -")
    text = (
        f"root@node:~# storcli64 /c0 show\n{LISTING}"
        f"root@node:~# ./storcli64 /c0/v239 del\n{head(description='Delete VD succeeded')}"
    )
    kept = parse(text)
    assert [volume.id for volume in kept.value.controllers[0].volumes] == ["239"]
    assert "root@node:~# storcli64 /c0 show" in kept.ignored

    after = only(f"{text}root@node:~# storcli64 /c0 show\n{gone}")
    assert after.volumes == ()
    assert {drive.state for drive in after.drives} == {"unconfigured"}
    assert {drive.volume for drive in after.drives} == {None}


def test_the_command_of_a_session_gives_the_index():
    assert only(f"C:\\> .\\storcli64.exe /c3 show\n\n{DRIVES}").index == "3"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_line_ends_and_indentation_do_not_matter(end):
    plain = parse(LISTING)
    moved = parse(end.join("        " + line for line in LISTING.split("\n")))
    assert moved.value == plain.value


def result(*lines):
    return table("Detailed Status", *lines)


OUTCOMES = [
    (head(description="Add VD Succeeded."), Outcome(ok=True)),
    (
        head(status="Failure", description="Un-supported command"),
        Outcome(False, None, "Un-supported command"),
    ),
    (head(description="Couldn't find any foreign Configuration"), Outcome(ok=True)),
    (head(status="Failure", description="No Controller found"), None),
    (head(status="Success", description="No Controller found"), None),
    (head(status="Failure", description="No VDs have been configured."), None),
    (head(description="No VD's have been configured."), Outcome(ok=True)),
    (
        head(status="Failure", description="Set Drive Good Failed.")
        + result(
            "Drive       Status  ErrCd ErrMsg",
            "/c0/e252/s5 Success     0 -",
            "/c0/e252/s6 Failure    50 device state doesn't support requested command",
            "/c0/e252/s7 Failure   255 Drive is JBOD! Use -force option to confirm.",
        ),
        Outcome(False, 50, "device state doesn't support requested command"),
    ),
    (
        head(status="Failure", description="Show Drive Information Failed.")
        + result("Drive     Status  ErrCd ErrMsg ", "/c0/e8/s1 Failure    46 -      "),
        Outcome(False, 46, "Show Drive Information Failed."),
    ),
    (
        head() + result("VD Property Value Status  ErrCd ErrMsg", " 0 wrCache  AWB   Success     0 -"),
        Outcome(ok=True, code=0),
    ),
    (
        head() + result("Ctrl Status Property ErrMsg      ErrCd", "   0 Failed JBOD     Not allowed   255"),
        Outcome(False, 255, "Not allowed"),
    ),
    (
        head() + head(controller=1, status="Failure", description="Controller 1 not found"),
        Outcome(False, None, "Controller 1 not found"),
    ),
    ("syntax error, unexpected $end, expecting TOKEN_SLASH", None),
]


@pytest.mark.parametrize(("text", "outcome"), OUTCOMES)
def test_outcomes(text, outcome):
    if text.startswith("syntax"):
        outcome = Outcome(False, None, text)
    assert parse(text).value.outcome == outcome


@pytest.mark.parametrize("place", [0, 1, 3])
def test_results_of_commands_list_no_controller(place):
    assert parse(OUTCOMES[place][0]).value.controllers == ()


def test_settings_list_no_controller_but_say_jbod_of_a_listed_one():
    settings = head() + table("Controller Properties", "Ctrl_Prop Value", "JBOD      ON   ")
    assert parse(settings).value.controllers == ()
    assert only(LISTING + settings).jbod is True


def test_foreign_configuration():
    text = head(description="Operation on foreign configuration Succeeded") + table(
        "FOREIGN CONFIGURATION",
        "DG EID:Slot Type   State     Size NoVDs",
        " 0 -        Nytro1 Frgn  3.637 TB     1",
    )
    controller = only(text)
    assert (controller.drives, controller.volumes) == ((), ())
    assert controller.conditions == (Condition("foreign-config", "drive group 0 Nytro1 3.637 TB"),)


@pytest.mark.parametrize(
    "text",
    [
        "     Storage Command Line Tool  Ver 007.1017.0000.0000 May 10, 2019\n\n     (c)Copyright 2019",
        "Status Code = 0\nStatus = Success\nDescription = None\n\nController Count = 1\n",
    ],
)
def test_versions_and_counts_are_understood(text):
    assert parse(text).value.controllers == ()


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("", 1, "the output of storcli"),
        ("Adapter #0\n\nEnclosure Device ID: 252\nSlot Number: 0\n", 1, "an answer of storcli"),
        (LISTING[: LISTING.index("32:2")], None, "the ruler that ends the table"),
        (LISTING[: LISTING.index("EID:Slt")], None, "a table with its rows"),
        (LISTING[: LISTING.index("VD LIST")], None, "what the title announces"),
        (LISTING[: LISTING.index("VD LIST")] + "VD LIST :\n=======\n", None, "what the title announces"),
        ("key = value\nanother = value\n", 1, "an answer of storcli"),
        ("-" * 20 + "\nName Size\n" + "-" * 20 + "\nx 1\n" + "-" * 20, 1, "an answer of storcli"),
        ("CLI Version = 007\nOperating system = Linux\n", 2, "Status"),
        ("CLI Version = 007\nController = 0\nStatus = Success", 3, "Status and Description"),
        (DRIVES.replace("512B", "half"), 7, "a row of the table EID:Slt"),
        (DRIVES.replace("ST3000NM0023", "x" * 500), 8, "a row of the table EID:Slt"),
    ],
)
def test_what_is_refused(text, line, expected):
    with pytest.raises(Unparsable) as refused:
        parse(text)
    where = f"storcli: line {line}: expected " if line else "storcli: line "
    assert refused.value.message.startswith(where)
    assert expected in refused.value.message


test_never_anything_else = never_anything_else(
    "storcli", parse, [LISTING, PROGRESS, LISTING + OUTCOMES[7][0]]
)
