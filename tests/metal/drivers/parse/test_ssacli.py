"""hpacucli, hpssacli, ssacli: lists and details of all generations, errors, banners, sessions, refusals."""

import pytest

from metal.drivers.raid.listing import Outcome
from metal.drivers.raid.ssacli import parse
from metal.errors import Unparsable
from tests.metal.drivers.parse.refusing import never_anything_else

CONFIG = """
Smart Array P440ar in Slot 0 (Embedded)   (sn: RFNLH0RACK0421)



   Internal Drive Cage at Port 1I, Box 1, OK


   Port Name: 1I

   Array A (SAS, Unused Space: 0  MB)

      logicaldrive 1 (279.37 GB, RAID 1, OK)

      physicaldrive 1I:1:1 (port 1I:box 1:bay 1, SAS HDD, 300 GB, OK)
      physicaldrive 1I:1:2 (port 1I:box 1:bay 2, SAS HDD, 300 GB, OK)
      physicaldrive 1I:1:9 (port 1I:box 1:bay 9, SAS HDD, 300 GB, OK, spare)

   Unassigned

      physicaldrive 2I:1:5 (port 2I:box 1:bay 5, SATA SSD, 480 GB, OK)

   SEP (Vendor ID PMCSIERA, Model SRCv8x6G) 380 (WWID: 50014380RACK0421)

"""

DETAIL = """
HPE Smart Array P408i-a SR Gen10 in Slot 12
   Bus Interface: PCI
   Slot: 12
   Serial Number: RFYHC0RACK0422
   Controller Status: OK
   Firmware Version: 1.34-0
   Cache Status: Permanently Disabled
   Cache Status Details: The cache is disabled because no battery is there.
   Battery/Capacitor Status: Failed (Replace Batteries/Capacitors)
   PCI Address (Domain:Bus:Device.Function): 0000:5C:00.0
   Controller Mode: Mixed
   Sensor ID: 0
      Location: ASIC
      Serial Number: WRONG

   Port Name: 1I
         Port Mode: Mixed

   Array: A
      Interface Type: Solid State SATA
      Unused Space: 0 MB (0.00%)
      Status: OK

      Logical Drive: 2
         Size: 1.75 TB
         Fault Tolerance: 5
         Strip Size: 256 KB
         Full Stripe Size: 512 KB
         Status: OK
         Unrecoverable Media Errors: Detected
         Parity Initialization Status: In Progress
         Parity Initialization Progress: 12.5% complete
         Disk Name: /dev/sda      Mount Points: / 1.0 TB Partition Number 2
         Logical Drive Label: data
         Parity Group 1:
            physicaldrive CN1:1:1 (port CN1:box 1:bay 1, SATA SSD, 960 GB, OK)
            physicaldrive CN1:1:2 (port CN1:box 1:bay 2, SATA SSD, 960 GB, OK, spare)
         Drive Type: Data

      physicaldrive CN1:1:1
         Port: CN1
         Status: Predictive Failure
         Drive Type: Data Drive
         Interface Type: Solid State SATA
         Size: 960 GB
         Logical/Physical Block Size: 512/4096
         Firmware Revision: HPG1
         Serial Number: RF0000000421
         WWID: 50014380408E6FC5
         Model: ATA     RACKFLOW960

   Unassigned

      physicaldrive CN1:1:7
         Status: Erase In Progress
         Drive Type: Unassigned Drive
         Interface Type: SAS
         Size: 1.2 TB
         Native Block Size: 520
         Rotational Speed: 10000
         Erase Progress: 40% complete
"""


def only(text):
    (controller,) = parse(text).value.controllers
    return controller


def listed(line):
    """The drive or volume of a line in array A."""
    return only(f"Smart Array P410 in Slot 1 (sn: RFCCRID1)\n\n   array A\n\n      {line}\n\n")


def test_a_configuration():
    read = parse(CONFIG)
    controller = only(CONFIG)
    assert (controller.index, controller.model, controller.serial) == (
        "0",
        "Smart Array P440ar",
        "RFNLH0RACK0421",
    )
    (volume,) = controller.volumes
    assert (volume.id, volume.level, volume.state, volume.raw_state) == ("1", "raid1", "optimal", "OK")
    assert volume.size_bytes == round(279.37 * 2**30), "volumes are binary"
    assert volume.members == ("1I:1:1", "1I:1:2"), "a spare is no member"
    assert [(one.address, one.state, one.volume) for one in controller.drives] == [
        ("1I:1:1", "online", "1"),
        ("1I:1:2", "online", "1"),
        ("1I:1:9", "spare", None),
        ("2I:1:5", "unconfigured", None),
    ]
    first, last = controller.drives[0], controller.drives[-1]
    assert first.size_bytes == 300 * 10**9, "drives are decimal"
    assert (first.interface, first.media) == ("sas", "hdd")
    assert (last.interface, last.media) == ("sata", "ssd")
    assert (read.value.outcome, controller.jbod, controller.conditions) == (None, None, ())


def test_details():
    controller = only(DETAIL)
    assert (controller.index, controller.serial, controller.firmware) == ("12", "RFYHC0RACK0422", "1.34-0")
    assert (controller.pci, controller.state, controller.raw_state) == ("0000:5c:00.0", "optimal", "OK")
    assert controller.jbod is True, "Mixed exposes drives"
    (volume,) = controller.volumes
    assert (volume.name, volume.level, volume.stripe_bytes) == ("data", "raid5", 256 << 10)
    assert (volume.state, volume.raw_state, volume.progress) == ("initialising", "OK", 12.5)
    assert volume.members == ("CN1:1:1",)
    drive, spare, erasing = controller.drives
    assert (drive.state, drive.raw_state, drive.volume) == ("online", "Predictive Failure", "2")
    assert (drive.sector_size, drive.firmware, drive.serial) == (512, "HPG1", "RF0000000421")
    assert (drive.model, drive.wwn) == ("ATA RACKFLOW960", "50014380408e6fc5")
    assert (spare.state, spare.volume) == ("spare", None)
    assert (erasing.state, erasing.progress, erasing.media) == ("erasing", 40.0, "hdd")
    assert (erasing.size_bytes, erasing.sector_size) == (1200 * 10**9, 520)


@pytest.mark.parametrize(("word", "expected"), [("Enabled", "back"), ("Disabled", "through")])
@pytest.mark.parametrize("key", ["Caching", "Array Accelerator"])
def test_the_cache_of_a_volume(key, word, expected):
    text = "Smart Array P440 in Slot 2\n   Array: A\n      Logical Drive: 1\n"
    (one,) = only(f"{text}         Status: OK\n         {key}: {word}\n").volumes
    assert one.write_cache == expected


def test_details_tell_conditions():
    assert [(one.kind, one.text.partition(": ")[0]) for one in only(DETAIL).conditions] == [
        ("cache", "cache status"),
        ("cache", "cache status details"),
        ("battery", "battery/capacitor status"),
        ("media-errors", "logicaldrive 2"),
        ("predictive-failure", "physicaldrive CN1:1:1"),
    ]


@pytest.mark.parametrize(
    ("line", "level", "state", "progress"),
    [
        ("logicaldrive 1 (136.7 GB, RAID 5, Interim Recovery Mode)", "raid5", "degraded", None),
        ("logicaldrive 1 (33.9 GB, RAID 1+0, Recovering, 26% complete)", "raid10", "rebuilding", 26.0),
        ("logicaldrive 1 (2.0 TB, RAID 6 (ADG), Ready for Rebuild)", "raid6", "degraded", None),
        ("logicaldrive 1 (2.0 TB, RAID 1 (ADM), Queued for Expansion)", "raid1adm", "optimal", None),
        ("logicaldrive 1 (2.0 TB, RAID 50, Transforming, 3.5% complete)", "raid50", "migrating", 3.5),
        ("logicaldrive 1 (--- GB, RAID 60, Failed)", "raid60", "failed", None),
        ("logicaldrive 1 (2.0 TB, RAID 0, Disabled)", "raid0", "offline", None),
        ("logicaldrive 1 (931.48 GB, 1+0): OK", "raid10", "optimal", None),
        ("logicaldrive 1 (931.48 GB, RAID 5): Something New", "raid5", None, None),
    ],
)
def test_lines_of_volumes(line, level, state, progress):
    (volume,) = listed(line).volumes
    assert (volume.id, volume.level, volume.state, volume.progress) == ("1", level, state, progress)


def test_a_volume_without_a_size_states_none():
    assert listed("logicaldrive 1 (--- GB, RAID 60, Failed)").volumes[0].size_bytes is None


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("2:0 (port 2:id 0 , Parallel SCSI, 36.4 GB, OK)", ("2:0", "online", "OK", "scsi", 36_400_000_000)),
        ("1:1 (port 1:id 1 , Parallel SCSI, --- GB, Failed)", ("1:1", "failed", "Failed", "scsi", None)),
        (
            "1I:1:3 (port 1I:box 1:bay 3, SATA, 1 TB, Rebuilding)",
            ("1I:1:3", "rebuilding", "Rebuilding", "sata", 10**12),
        ),
        (
            "1I:1:3 (port 1I:box 1:bay 3, NVMe SSD, 1.6 TB, OK)",
            ("1I:1:3", "online", "OK", "nvme", 16 * 10**11),
        ),
        ("2I:0:1 (port 2I:box 0:bay 1, 1 TB): OK", ("2I:0:1", "online", "OK", None, 10**12)),
        ("2I:0:1 (port 2I:box 0:bay 1, 1 TB): Offline", ("2I:0:1", "offline", "Offline", None, 10**12)),
        (
            "1I:1:3 (port 1I:box 1:bay 3, SATA SSD, 480 GB, OK, transient data drive)",
            ("1I:1:3", "online", "OK", "sata", 480 * 10**9),
        ),
        ("2I:0:1: Odd", ("2I:0:1", None, "Odd", None, None)),
    ],
)
def test_lines_of_drives(line, expected):
    (drive,) = listed(f"physicaldrive {line}").drives
    assert (drive.address, drive.state, drive.raw_state, drive.interface, drive.size_bytes) == expected


def test_a_drive_in_an_array_of_two_volumes_belongs_to_neither():
    text = CONFIG.replace(
        "OK)\n\n      phy", "OK)\n      logicaldrive 2 (10.0 GB, RAID 0, OK)\n\n      phy", 1
    )
    controller = only(text)
    assert [volume.members for volume in controller.volumes] == [("1I:1:1", "1I:1:2")] * 2
    assert [drive.volume for drive in controller.drives] == [None] * 4


@pytest.mark.parametrize(
    ("heading", "lines", "jbod"),
    [
        (" (HBA Mode)", "", True),
        (" (RAID Mode)", "", False),
        ("", "   HBA Mode Enabled: True\n", True),
        ("", "   HBA Mode Enabled: False\n", False),
        ("", "   Controller Mode: RAID\n   Pending Controller Mode: HBA\n", False),
        ("", "   Port Name: 1I (Mixed)\n", True),
        ("", "", None),
    ],
)
def test_pass_through_by_mode(heading, lines, jbod):
    assert only(f"Smart HBA H240 in Slot 1{heading} (sn: RF1)\n   Slot: 1\n{lines}").jbod is jbod


def test_drives_of_a_controller_in_hba_mode_are_passed_through():
    drive = "physicaldrive 1I:1:1 (port 1I:box 1:bay 1, SAS, 3 TB, OK)"
    text = f"Smart Array P840ar in Slot 0 (Embedded) (HBA Mode)\n\n   {{}}\n\n      {drive}\n"
    for section in ("HBA Drives", "unassigned"):
        assert [drive.state for drive in only(text.format(section)).drives] == ["jbod"]


def test_a_cage_without_drives_is_no_cut():
    text = "Smart HBA H240 in Slot 1 (sn: RF1)\n\n   Physical Drives\n      None attached\n"
    assert (only(text).drives, parse(text).ignored) == ((), ())


def test_a_cage_names_drives_without_their_state():
    line = "physicaldrive 1I:1:4 (port 1I:box 1:bay 4, SAS HDD, 900 GB, OK)"
    (drive,) = only(f"Smart HBA H240 in Slot 1 (sn: RF1)\n\n   Physical Drives\n      {line}\n").drives
    assert (drive.state, drive.raw_state) == (None, "OK")


@pytest.mark.parametrize(
    ("name", "index", "model"),
    [
        ("Dynamic Smart Array B140i in Slot 0b", "0b", "Dynamic Smart Array B140i"),
        ("MSCC SmartRAID 3154-8e in Slot 2085", "2085", "MSCC SmartRAID 3154-8e"),
        ("MSA1500 CS in MY STORAGE", None, "MSA1500 CS"),
        ("Smart Array P400 in Slot ATTR_VALUE_SLOT_UNKNOWN", None, "Smart Array P400"),
    ],
)
def test_names_of_controllers(name, index, model):
    controller = only(f"{name}\n   Controller Status: Failed\n")
    assert (controller.index, controller.model, controller.state) == (index, model, "failed")


def test_several_controllers_one_of_them_empty():
    text = (
        "Smart Array P410 in Slot 1                (sn: RFCCRID1)\nSmart HBA P222 in Slot 3 (sn: 00000000)\n"
    )
    read = parse(text)
    assert [(one.index, one.serial, one.drives) for one in read.value.controllers] == [
        ("1", "RFCCRID1", ()),
        ("3", None, ()),
    ]
    assert read.placeholders == ("controllers[1].serial",)


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("Error: No controllers detected. Possible causes:\n       - no driver\n", None),
        ("Error: The specified device does not have any logical drives.\n", None),
        ("Error: The specified controller does not have any physical drive.\n", None),
        ("Error: The specified device does not have any unassigned physical drives.\n", None),
        ("\n   SSACLI Version: 4.21.7.0 2020-07-15\n", None),
        ("Available options are:\n   Max: 1042188 (Units in MB)\n   Min: 16 (Units in MB)\n", None),
        ("=> ctrl slot=0 create type=ld drives=1I:1:1 raid=0\n", None),
        (
            'Error: "raid=1" is not a valid option for array A\n\nAvailable options are:\n       0\n',
            Outcome(ok=False, message='"raid=1" is not a valid option for array A'),
        ),
        (
            "Error: This operation is not supported with\n       this configuration.\nReason: No space\n",
            Outcome(
                ok=False, message="This operation is not supported with this configuration. Reason: No space"
            ),
        ),
        (
            "Another instance of hpssacli is running! Stop it first.\n",
            Outcome(ok=False, message="Another instance of hpssacli is running! Stop it first."),
        ),
    ],
)
def test_texts_without_a_listing(text, outcome):
    read = parse(text).value
    assert (read.outcome, read.controllers) == (outcome, ())


def test_banners_belong_to_the_controller_that_they_stand_before_or_within():
    text = (
        "FIRMWARE UPGRADE REQUIRED: An update is recommended\n                           for this one.\n\n"
        "Smart Array E200i in Slot 0 (Embedded) (sn: RF1)\n\n"
        "CACHE STATUS PROBLEM DETECTED: The cache has a problem.\n\n   Slot: 0\n\n"
        "APPLICATION UPGRADE REQUIRED: Configured by a newer version.\n\n"
        "Smart Array P212 in Slot 1 (sn: RF2)\n"
    )
    first, second = parse(text).value.controllers
    assert [(one.kind, one.text) for one in first.conditions] == [
        ("advisory", "FIRMWARE UPGRADE REQUIRED: An update is recommended for this one."),
        ("cache", "CACHE STATUS PROBLEM DETECTED: The cache has a problem."),
    ]
    assert [one.kind for one in second.conditions] == ["advisory"]


@pytest.mark.parametrize(
    "array", ["array A (Failed)", "array A: Failed", "Array A (SATA, Unused Space: 0 MB) (Failed)"]
)
def test_an_array_that_failed_is_a_condition(array):
    controller = only(
        f"Smart Array P212 in Slot 1 (sn: RF2)\n\n   {array}\n\n      logicaldrive 1 (2.0 TB, RAID 5, OK)\n"
    )
    assert [(one.kind, one.text) for one in controller.conditions] == [("other", "array A: Failed")]
    assert controller.volumes[0].state == "optimal"


def test_the_part_of_an_array_that_is_free_is_no_status():
    head = "Smart Array P212 in Slot 1 (sn: RF2)\n\n   array A (SAS, Unused Space: 1024 MB (50.0%))\n\n"
    assert only(head + "      logicaldrive 1 (2.0 TB, RAID 5, OK)\n").conditions == ()


SESSION = (
    "[root@node7:~]# ssacli ctrl all show config\n"
    + CONFIG
    + "[root@node7:~]# ssacli ctrl slot=0 ld 1 delete\n\nWarning: Data is lost.\n         Go on? (y/n) y\n\n"
    + "[root@node7:~]# ssacli ctrl slot=0 ld all show\n\n"
    + "Error: The specified device does not have any logical drives.\n\n"
)


def test_a_session_forgets_what_a_later_list_leaves_out():
    controller = only(SESSION)
    assert (controller.volumes, len(controller.drives)) == ((), 4)
    assert parse(SESSION).value.outcome is None
    freed = CONFIG.replace("      logicaldrive 1 (279.37 GB, RAID 1, OK)\n", "").replace(
        "Array A", "Unassigned drives\n#"
    )
    later = only(SESSION + "[root@node7:~]# ssacli ctrl all show config\n" + freed)
    assert (later.drives[0].state, later.drives[0].volume) == ("unconfigured", None)


def test_status_lists_belong_to_the_slot_of_their_command():
    text = (
        "=> ctrl slot=0 show config\n"
        + CONFIG
        + "=> ctrl slot=0 pd all show status\n\n"
        + "   physicaldrive 1I:1:1 (port 1I:box 1:bay 1, 300 GB): OK\n"
        + "   physicaldrive 1I:1:2 (port 1I:box 1:bay 2, 300 GB): Failed\n\n"
    )
    first, second = only(text).drives
    assert (first.state, first.media, first.volume) == ("online", "hdd", "1")
    assert (second.state, second.raw_state) == ("failed", "Failed")


def test_one_error_makes_the_outcome_of_a_session():
    text = (
        SESSION
        + "[root@node7:~]# ssacli ctrl slot=7 show\n\nError: The specified controller was not found.\n"
    )
    assert parse(text).value.outcome == Outcome(ok=False, message="The specified controller was not found.")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Controller = 0\nStatus = Success\n", "line 1: expected a controller's name line, or an error"),
        (
            "Smart Array P420 in Slot 2                (sn: RFKR",
            "line 1: expected a controller's name line with",
        ),
        ("Smart Array P420 in Slot 2\n", "expected what the controller holds"),
        (
            CONFIG.split(", OK, spare", maxsplit=1)[0],
            "line 17: expected a drive's line with its closing bracket",
        ),
        (CONFIG.split("      physicaldrive 2I", maxsplit=1)[0], "the drives or volumes under the last title"),
        (DETAIL.split("         Status: Predictive", maxsplit=1)[0], "the keys of drive CN1:1:1"),
        (DETAIL.split("         Size: 1.75", maxsplit=1)[0], "the keys of volume 2"),
        (DETAIL.split(": 10000", maxsplit=1)[0], "a whole line"),
        (DETAIL[: DETAIL.index("Serial Number:") + 17], "the end of the line"),
        ("Error:\n", "an error's text"),
        (CONFIG + "      physicaldrive 1I:1:", "or a whole address"),
    ],
)
def test_refusals(text, told):
    with pytest.raises(Unparsable) as refused:
        parse(text)
    assert refused.value.message.startswith("ssacli: line ")
    assert told in refused.value.message


test_any_text_is_read_or_refused = never_anything_else("ssacli", parse, (CONFIG, DETAIL, SESSION))


def test_a_text_that_lost_its_blank_lines():
    one = only(
        "Smart Array P212 in Slot 1\n"
        "CACHE STATUS PROBLEM DETECTED: The cache has a problem.\n"
        "                               Replace it.\n"
        "   Bus Interface: PCI\n   Serial Number: RF2\n   Controller Status: OK\n   Firmware Version: 6.60\n"
    )
    assert (one.serial, one.state, one.firmware) == ("RF2", "optimal", "6.60")
    assert [told.text for told in one.conditions] == [
        "CACHE STATUS PROBLEM DETECTED: The cache has a problem. Replace it."
    ]
    refused = parse('Error: "raid=6" is not a valid option for array A\nAvailable options are:\n0\n5\n').value
    assert refused.outcome == Outcome(False, None, '"raid=6" is not a valid option for array A')
