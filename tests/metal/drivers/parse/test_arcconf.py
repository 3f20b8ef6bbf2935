"""arcconf: ServeRAID, Adaptec and SmartRAID dialects, their drives, volumes and controllers."""

import pytest

from metal.drivers.raid.arcconf import parse
from metal.drivers.raid.listing import Outcome
from tests.metal.drivers.parse.arcconf_samples import (
    DONE,
    FOUND,
    SUBRULE,
    controller,
    drive,
    drives,
    only,
    section,
    volume,
    volumes,
)


def test_a_whole_configuration():
    places = [f"Present (Controller:1,Enclosure:0,Slot:{slot})    X" for slot in range(3)]
    text = FOUND + controller() + volumes(volume(0, *places)) + drives(drive(0), drive(1), drive(2)) + DONE
    one = only(text)
    assert (one.index, one.model, one.serial) == (None, "RackFlow SmartRAID 3100", "RF100421")
    assert (one.firmware, one.pci, one.jbod) == ("5.2-0", "0000:5e:00.1", False)
    assert (one.state, one.raw_state, one.conditions) == ("optimal", "Optimal", ())
    (data,) = one.volumes
    assert (data.id, data.name, data.level, data.state) == ("0", "data", "raid5", "optimal")
    assert (data.size_bytes, data.stripe_bytes) == (1000 << 20, 256 << 10)
    assert data.members == ("0,0", "0,1", "0,2")
    assert [(each.address, each.volume) for each in one.drives] == [("0,0", "0"), ("0,1", "0"), ("0,2", "0")]
    first = one.drives[0]
    assert (first.state, first.media, first.interface, first.sector_size) == ("online", "hdd", "sata", 512)
    assert (first.size_bytes, first.model, first.serial) == (1000 << 20, "DISK 1000", "RF000000")
    assert (first.wwn, first.firmware) == ("5000ab00c0ffee00", "FW07")
    assert parse(text).value.outcome == Outcome(ok=True)


@pytest.mark.parametrize(
    ("segment", "member"),
    [
        ("Present (0,1) ZZ", "0,1"),
        ("Inconsistent (0,1)", "0,1"),
        ("Present (1000MB, SATA, HDD, Enclosure:0, Slot:1) ZZ", "0,1"),
        ("Present (1000MB, SATA, HDD, Connector:CN0, Enclosure:7, Slot:7) RF000001", "0,1"),
        ("Present (Controller:1,Channel:0,Device:1) ZZ", "0,1"),
        ("Present (1000MB, SATA, SSD, Channel:0, Device:1)", "0,1"),
        ("Missing", None),
    ],
)
def test_a_segment_is_found_by_address_serial_or_place(segment, member):
    text = FOUND + volumes(volume(0, segment)) + drives(drive(0), drive(1)) + DONE
    assert only(text).volumes[0].members == ((member,) if member else ())


def test_a_line_that_a_terminal_broke_within_brackets_is_one():
    told = "Present (1000MB, SATA, HDD,\nEnclosure:0, Slot:1) ZZ"
    state = {"Status of logical device": "Impacted ( Build/Verify with fix :\n90 % )"}
    (one,) = only(FOUND + volumes(volume(0, told, **state)) + drives(drive(0), drive(1)) + DONE).volumes
    assert (one.members, one.state, one.progress) == (("0,1",), "initialising", 90.0)
    assert one.raw_state == "Impacted ( Build/Verify with fix : 90 % )"


def test_the_place_of_serveraid_has_a_key_of_its_own():
    text = drive(3, **{"Reported_Location": "", "Reported_Enclosure,Slot": "4,5"})
    places = volume(0, "Present (Controller:1,Enclosure:4,Slot:5) X")
    assert only(FOUND + volumes(places) + drives(text) + DONE).volumes[0].members == ("0,3",)


def test_devices_of_an_array_are_found_by_their_number():
    body = (
        volume(0)
        + f"{SUBRULE}\n   Array Physical Device Information\n{SUBRULE}\n"
        + "   Device 1                  : Present (1000MB, SAS, SSD, Connector:CN0, Backplane:7, Slot:7) ZZ\n"
    )
    assert only(FOUND + volumes(body) + drives(drive(0), drive(1)) + DONE).volumes[0].members == ("0,1",)


def test_drives_that_only_a_volume_names_have_no_address():
    places = [f"Present (1000MB, SAS, SSD, Enclosure:1, Slot:{slot}) RF00{slot}A" for slot in range(2)]
    one = only(FOUND + volumes(volume(0, *places), volume(1, places[0])) + DONE)
    assert [(each.address, each.serial, each.volume) for each in one.drives] == [
        (None, "RF000A", None),
        (None, "RF001A", "0"),
    ]
    assert (one.drives[0].media, one.drives[0].interface, one.drives[0].size_bytes) == (
        "ssd",
        "sas",
        1000 << 20,
    )
    assert [len(each.members) for each in one.volumes] == [2, 1]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("Online", "online"),
        ("Ready", "unconfigured"),
        ("Raw (Pass Through)", "jbod"),
        ("Online (JBOD)", "jbod"),
        ("Global Hot-Spare", "spare"),
        ("Dedicated Hot-Spare", "spare"),
        ("Auto Replace Hot-Spare", "spare"),
        ("Shared Hot-Spare for array 1", "spare"),
        ("Rebuilding", "rebuilding"),
        ("Rebuilding ( 12 % )", "rebuilding"),
        ("Failed", "failed"),
        ("Defunct", "failed"),
        ("Missing", "missing"),
        ("Some new state", None),
    ],
)
def test_drive_states(raw, expected):
    first = only(FOUND + drives(drive(0, State=raw)) + DONE).drives[0]
    assert (first.state, first.raw_state) == (expected, raw)


def test_a_failed_drive_whose_vendor_is_missing_is_missing():
    text = drive(0, State="Failed", Vendor="*MISSING*", Model="", Total_Size="0 MB", Serial_number="")
    first = only(FOUND + drives(text) + DONE).drives[0]
    assert (first.state, first.model, first.size_bytes) == ("missing", None, None)


@pytest.mark.parametrize(
    ("speed", "block", "ssd", "expected"),
    [
        ("SAS 12.0 Gb/s", "4K Bytes", "Yes", ("sas", 4096, "ssd")),
        ("PCIe 8.0 GT/s", "512 Bytes", "Yes", ("nvme", 512, "ssd")),
        ("Ultra320", "Unknown", "", ("scsi", None, None)),
        ("Defunct", "", "No", (None, None, "hdd")),
    ],
)
def test_what_a_drive_is(speed, block, ssd, expected):
    text = drive(0, Transfer_Speed=speed, Block_Size=block, SSD=ssd)
    first = only(FOUND + drives(text) + DONE).drives[0]
    assert (first.interface, first.sector_size, first.media) == expected


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ("0", "raid0"),
        ("Simple_volume", "raid0"),
        ("1", "raid1"),
        ("1E", "raid1e"),
        ("1(Triple)", "raid1"),
        ("1Triple", "raid1adm"),
        ("5", "raid5"),
        ("6 Reed-Solomon", "raid6"),
        ("10", "raid10"),
        ("10Triple", "raid10adm"),
        ("50", "raid50"),
        ("60", "raid60"),
        ("Spanned_volume", "concat"),
        ("5EE", None),
    ],
)
def test_levels(printed, expected):
    assert only(FOUND + volumes(volume(0, RAID_level=printed)) + DONE).volumes[0].level == expected


@pytest.mark.parametrize(
    ("raw", "state", "progress"),
    [
        ("Optimal", "optimal", None),
        ("Okay", "optimal", None),
        ("Critical", "degraded", None),
        ("Degraded", "degraded", None),
        ("Suboptimal, Fault Tolerant", "partially-degraded", None),
        ("Suboptimal, Fault Tolerant, Rebuilding", "rebuilding", None),
        ("Degraded, Rebuilding", "rebuilding", None),
        ("Failed", "failed", None),
        ("Offline", "offline", None),
        ("Impacted ( Build/Verify with fix : 90 % )", "initialising", 90.0),
        ("Optimal ( Verify with fix : 12 % )", "optimal", None),
        ("Degraded ( Rebuild : 5.2 % )", "rebuilding", 5.2),
        ("Optimal (Reconfiguration 7%)", "migrating", 7.0),
        ("Some new state", None, None),
    ],
)
def test_volume_states(raw, state, progress):
    first = only(FOUND + volumes(volume(0, Status_of_logical_device=raw)) + DONE).volumes[0]
    assert (first.state, first.raw_state, first.progress) == (state, raw, progress)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ({"Write-cache mode": "Enabled (write-back)"}, "back"),
        ({"Write-cache mode": "Disabled (write-through)"}, "through"),
        ({"Write-cache setting": "Enabled (write-back)", "Write-cache status": "Off"}, "through"),
        ({"Caching": "Enabled"}, "back"),
        ({"Write-cache mode": "Not supported"}, None),
        ({}, None),
    ],
)
def test_what_a_volume_does_with_what_is_written(lines, expected):
    (one,) = only(FOUND + volumes(volume(0, **lines)) + DONE).volumes
    assert one.write_cache == expected


@pytest.mark.parametrize(
    ("status", "state"),
    [("In Progress", "initialising"), ("Completed", "optimal"), ("Queued", "optimal")],
)
def test_parity_initialisation(status, state):
    text = volumes(volume(0, Parity_Initialization_Status=status))
    assert only(FOUND + text + DONE).volumes[0].state == state


def test_a_rebuilding_member_makes_its_degraded_volume_rebuild():
    text = volumes(volume(0, "Present (0,0)", "Rebuilding (0,1)", Status_of_logical_device="Degraded"))
    one = only(FOUND + text + drives(drive(0), drive(1)) + DONE)
    assert (one.volumes[0].state, one.volumes[0].raw_state) == ("rebuilding", "Degraded")
    assert [each.state for each in one.drives] == ["online", "rebuilding"]
    assert [each.kind for each in one.conditions] == ["rebuild"]


def test_the_dialect_of_serveraid_without_indentation():
    text = (
        FOUND
        + section(
            "Controller information", "Controller Status : Okay\nController Model : RF 8k\nFirmware : 5.2-0\n"
        )
        + section(
            "Logical drive information",
            volume(1, word="drive", **{"Drive(s)_(Channel,Device)": "0,0 0,1", "RAID_level": "1"}),
        )
        + drives(drive(0), drive(1))
        + DONE
    ).replace("\n   ", "\n")
    one = only(text)
    assert (one.state, one.raw_state) == ("optimal", "Okay")
    assert [(each.id, each.level, each.members) for each in one.volumes] == [("1", "raid1", ("0,0", "0,1"))]


def test_a_stripe_order_names_members_over_several_lines():
    text = volume(1, word="drive", **{"Stripe_order_(Channel,Device)": "0,0 0,1\n0,2"})
    one = only(FOUND + section("Logical drive information", text) + DONE)
    assert one.volumes[0].members == ("0,0", "0,1", "0,2")
    assert sorted(each.address for each in one.drives) == ["0,0", "0,1", "0,2"]
    assert {each.volume for each in one.drives} == {"1"}


def test_arrays_name_volumes_and_drives():
    array = (
        "Array Number 0\n   Name           : A\n   Status         : Has Failed Physical Device\n"
        f"{SUBRULE}\n   Array Logical Device Information\n{SUBRULE}\n"
        "   Logical 3                : Optimal (10, Data, 2000 MB) my data\n"
        f"{SUBRULE}\n   Array Physical Device Information\n{SUBRULE}\n"
        "   Device 8                 : Present (1000MB, SAS, HDD, Connector:CN0, Enclosure:1, Slot:0) RF8A\n"
    )
    one = only(FOUND + section("Array Information", array) + DONE)
    (first,) = one.volumes
    assert (first.id, first.name, first.level, first.state) == ("3", "my data", "raid10", "optimal")
    assert (first.size_bytes, len(first.members)) == (2000 << 20, 1)
    assert [(each.serial, each.volume) for each in one.drives] == [("RF8A", "3")]
    assert [each.kind for each in one.conditions] == ["other"]


def test_maxcache_is_no_volume():
    cache = section(
        "maxCache 3.0 information", "maxCache device number 100\n   RAID level : 5\n   Size : 9 MB\n"
    )
    assert [each.id for each in only(FOUND + volumes(volume(0)) + cache + DONE).volumes] == ["0"]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("HBA", True),
        ("Mixed", True),
        ("RAID (Expose RAW)", False),
        ("RAID (Hide RAW)", False),
        ("Simple Volume", False),
        ("Something else", None),
    ],
)
def test_modes(mode, expected):
    assert only(FOUND + controller(Controller_Mode=mode) + DONE).jbod is expected


def test_troubles_are_conditions():
    text = controller(Temperature="98 C/ 208 F (Abnormal)", Defunct_disk_drive_count="2")
    battery = f"{SUBRULE}\n   Controller Battery Information\n{SUBRULE}\n   Status        : Charging\n"
    cache = f"{SUBRULE}\n   Cache Properties\n{SUBRULE}\n   Cache Status        : Temporarily Disabled\n"
    bad = drive(0, **{"S.M.A.R.T._warnings": "3", "Media_Failures": "7"})
    stripes = volume(0, Failed_stripes="Yes")
    one = only(FOUND + text + battery + cache + volumes(stripes) + drives(bad) + DONE)
    kinds = sorted(each.kind for each in one.conditions)
    assert kinds == [
        "battery",
        "cache",
        "media-errors",
        "media-errors",
        "other",
        "predictive-failure",
        "temperature",
    ]


ARRAYS = """Controllers found: 1
----------------------------------------------------------------------
Logical device information
----------------------------------------------------------------------
Logical Device number 1
   Logical Device name                        : data
   Disk Name                                  : /dev/sdc (Disk0) (Bus: 0, Target: 1, Lun: 0)
   Array                                      : 2
   RAID level                                 : 1
   Status of Logical Device                   : Optimal
   Size                                       : 1000 MB
   {unique}
----------------------------------------------------------------------
Physical Device information
----------------------------------------------------------------------
      Device #4
         Device is a Hard drive
         State                                : Dedicated Hot-Spare
         Reported Channel,Device(T:L)         : 0,4(4:0)
         Dedicated Spare for                  : {kept}
         Reserved Size                        : 32768 KB
         Total Size                           : 1064 MB

Command completed successfully.
"""


@pytest.mark.parametrize(
    ("unique", "wwn"),
    [
        ("Volume Unique Identifier : 600508B1001CF1A2E058530BA221FBBB", "600508b1001cf1a2e058530ba221fbbb"),
        ("Unique Identifier : B83F682D", None),
    ],
)
@pytest.mark.parametrize(
    ("kept", "spares"),
    [("Array 2", ("0,4",)), ("logical device 1", ("0,4",)), ("Array 1", ()), ("logical device 2", ())],
)
def test_volumes_are_told_with_device_id_array_and_spares(unique, wwn, kept, spares):
    (controller,) = parse(ARRAYS.format(unique=unique, kept=kept)).value.controllers
    (volume,) = controller.volumes
    assert (volume.device, volume.wwn, volume.groups, volume.spares) == ("/dev/sdc", wwn, ("2",), spares)
    assert controller.drives[0].usable_bytes == 1032 << 20
