"""storcli's text form: dialects, states, tasks, sessions."""

import pytest

from metal.drivers.raid.listing import Condition, Outcome
from metal.drivers.raid.storcli import parse
from tests.metal.drivers.parse.storcli_samples import (
    DRIVES,
    GIB,
    LISTING,
    PROGRESS,
    TIB,
    TOPOLOGY,
    VOLUMES,
    head,
    table,
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
    assert volume.write_cache == "back"
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
    "Frgn": "foreign",
    "Frgn-Bad": "foreign",
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


def test_a_drive_that_tells_no_model_has_none():
    text = (
        "Controller = 0\nStatus = Success\nDescription = Show Drive Information Succeeded.\n\n\n"
        "Drive Information :\n=================\n\n" + "-" * 70 + "\n"
        "EID:Slt DID State DG       Size Intf Med SED PI SeSz Model     Sp Type\n" + "-" * 70 + "\n"
        "32:0      0 UBad   -       0 KB SATA HDD N   N  512B           U  -\n"
        "32:1      1 UGood  - 558.375 GB SAS  HDD N   N  512B  ST600 MM D  -\n" + "-" * 70 + "\n"
    )
    found = by_address(only(text))
    assert (found["32:0"].model, found["32:0"].spun_down, found["32:0"].state) == (None, False, "failed")
    assert (found["32:1"].model, found["32:1"].spun_down) == ("ST600 MM", True)


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
        "Raw size = 3.638 TB [0x1d1c0beb0 Sectors]\nCoerced size = 3.637 TB [0x1d1a94800 Sectors]\n"
        "Logical Sector Size = 512B\n\n"
        "Inquiry Data = \n5a 0c ff 3f 37 c8 10 00 00 00 00 00 3f 00 00 00\n"
    )
    (drive,) = only(text).drives
    assert (drive.serial, drive.wwn, drive.firmware) == ("RF-77", "5000c500abcdef01", "A001")
    assert (drive.size_bytes, drive.usable_bytes) == (0x1D1C0BEB0 * 512, 0x1D1A94800 * 512)
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
        "OS Drive Name = /dev/sda\nSCSI NAA Id = 600605B00BADF00D\n"
    )
    (volume,) = only(text).volumes
    assert (volume.level, volume.stripe_bytes, volume.members) == ("raid10", 65536, ("252:3", "252:2"))
    assert volume.size_bytes == 585691648 * 4096
    assert (volume.wwn, volume.device) == ("600605b00badf00d", "/dev/sda")
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


def test_a_dedicated_spare_is_no_member():
    controller = only(LISTING.replace("UGood  -", "DHS    0"))
    assert controller.volumes[0].spares == ("32:2",)
    assert "32:2" not in controller.volumes[0].members
    assert by_address(controller)["32:2"].volume is None


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


def test_a_battery_that_has_to_be_replaced():
    rows = ("Replacement required   Yes", "Battery Pack Missing   No ", "Remaining Capacity Low No ")
    text = LISTING + table("BBU_Firmware_Status", "Property               Value", *rows)
    assert only(text).conditions == (Condition("battery", "Replacement required: Yes"),)


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


def test_preserved_cache_is_told_in_a_table_without_a_title():
    told = only(head() + table("", "VD State", " 3 Missing", "17 Offline")).conditions
    assert [one.text for one in told if one.kind == "preserved-cache"] == ["VD 3: Missing", "VD 17: Offline"]


def test_storcli2_has_foreign_drives_and_controllers_without_an_energy_pack():
    rows = table(
        "PD LIST",
        "EID:Slt PID State Status  DG     Size Intf Med SED_Type SeSz Model       Sp LU/NS Count Alt-EID",
        "306:0   301 UConf Foreign -  1.745 TiB SATA SSD -        512B RF-SSD 1920 U            1 -",
    )
    one = only(head() + "Product Name = RackHBA 9600\nController Personality = eHBA\n" + rows)
    assert (one.jbod, [drive.state for drive in one.drives]) == (True, ["foreign"])
    assert [condition.kind for condition in one.conditions] == ["foreign-config"]
    overview = table(
        "System Overview",
        "Ctrl Product Name SASAddress         Personality Status  PD(s) VD(s) VNOpt EPack SerialNumber",
        "   0 RackHBA 9600 0X500062B2000000A0 eHBA        Optimal     8     0     0 NA    RF-SK2",
    )
    assert only(head() + overview).conditions == ()
