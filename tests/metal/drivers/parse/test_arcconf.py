"""arcconf: ServeRAID, Adaptec and SmartRAID dialects, tasks, lists, results, sessions, refusals."""

import contextlib
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metal.drivers.raid.arcconf import parse
from metal.drivers.raid.listing import Outcome
from metal.errors import Unparsable

RULE = "-" * 70
SUBRULE = "   " + "-" * 56
DONE = "\n\nCommand completed successfully.\n"
FOUND = "Controllers found: 1\n"


def section(title, body):
    return f"{RULE}\n{title}\n{RULE}\n{body}\n"


def fields(indent=3, **lines):
    return "".join(f"{' ' * indent}{key.replace('_', ' '):<41}: {value}\n" for key, value in lines.items())


def controller(**more):
    lines = {
        "Controller Status": "Optimal",
        "Controller Mode": "RAID (Hide RAW)",
        "Controller Model": "RackFlow SmartRAID  3100",
        "Controller Serial Number": "RF100421",
        "Temperature": "41 C/ 105 F (Normal)",
        "PCI Address (Domain:Bus:Device:Function)": "0:5e:0:1",
        "Defunct disk drive count": "0",
    } | {key.replace("_", " "): value for key, value in more.items()}
    version = f"{SUBRULE}\n   Controller Version Information\n{SUBRULE}\n" + fields(Firmware="5.2-0 (19109)")
    return section("Controller information", fields(**lines) + version)


def volume(number, *segments, word="device", **more):
    lines = {
        f"Logical {word} name": "data",
        "RAID level": "5",
        f"Status of logical {word}": "Optimal",
        "Size": "1000 MB",
        "Stripe-unit size": "256 KB",
        "Failed stripes": "No",
    } | {key.replace("_", " "): value for key, value in more.items()}
    rows = "".join(
        f"   {f'Segment {place}':<41}: {text}\n" for place, text in enumerate(segments) if segments
    )
    title = f"{SUBRULE}\n   Logical {word} segment information\n{SUBRULE}\n" if segments else ""
    return f"Logical {word} number {number}\n{fields(**lines)}{title}{rows}\n"


def drive(number, **more):
    lines = {
        "State": "Online",
        "Block Size": "512 Bytes",
        "Transfer Speed": "SATA 6.0 Gb/s",
        "Reported Channel,Device(T:L)": f"0,{number}({number}:0)",
        "Reported Location": f"Enclosure 0, Slot {number}",
        "Vendor": "RACKFLOW",
        "Model": "DISK 1000",
        "Firmware": "FW07",
        "Serial number": f"RF00000{number}",
        "World-wide name": f"5000AB00C0FFEE0{number}",
        "Used Size": "900 MB",
        "Total Size": "1000 MB",
        "S.M.A.R.T.": "No",
        "S.M.A.R.T. warnings": "0",
        "SSD": "No",
    } | {key.replace("_", " "): value for key, value in more.items()}
    return f"      Device #{number}\n         Device is a Hard drive\n{fields(9, **lines)}"


ENCLOSURE = """      Device #9
         Device is an Enclosure services device
         Reported Channel,Device(T:L)       : 2,0(0:0)
         Type                               : SES2
         Model                              : BACKPLANE
"""


def volumes(*bodies):
    return section("Logical device information", "".join(bodies))


def drives(*bodies):
    return section("Physical Device information", "".join(bodies) + ENCLOSURE)


def only(text):
    (one,) = parse(text).value.controllers
    return one


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
        ("Missing", None),
    ],
)
def test_a_segment_is_found_by_address_serial_or_place(segment, member):
    text = FOUND + volumes(volume(0, segment)) + drives(drive(0), drive(1)) + DONE
    assert only(text).volumes[0].members == ((member,) if member else ())


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


LIST = (
    "Controllers found: 2\n"
    + section(
        "Controller information",
        "   Controller ID             : Status, Slot, Mode, Name, SerialNumber, WWN\n",
    )
    + "   Controller 1:             : Optimal, Slot 8, HBA, RackFlow HBA, 16 ports, RF100421, 5000AB0C0FFEE\n"
    + "   Controller 2:             : Failed, Slot 9, RAID, RackFlow RAID, RF100422, 5000AB00C0FFEF\n"
)


def test_list():
    first, second = parse(LIST + DONE).value.controllers
    assert (first.index, first.model, first.serial) == ("1", "RackFlow HBA, 16 ports", "RF100421")
    assert (first.state, first.jbod) == ("optimal", True)
    assert (second.index, second.state, second.raw_state, second.jbod) == ("2", "failed", "Failed", False)


def test_a_listed_serial_gives_getconfig_its_index():
    session = LIST + DONE + FOUND + controller() + DONE
    first, second = parse(session).value.controllers
    assert (first.index, first.firmware, second.firmware) == ("1", "5.2-0", None)


def test_no_controller():
    read = parse("Controllers found: 0\n" + DONE)
    assert (read.value.controllers, read.value.outcome) == ((), Outcome(ok=True))
    assert (
        parse("Controllers found: 0\nInvalid controller number.\n\nCommand aborted.\n").value.outcome is None
    )


def test_no_logical_devices():
    one = only(FOUND + volumes("   No logical devices configured\n") + DONE)
    assert (one.index, one.volumes, one.drives) == (None, (), ())


def task(number, operation, status="In Progress", percent="11"):
    return (
        f"Logical device Task:\n   Logical device                 : {number}\n   Task ID : 10{number}\n"
        f"   Current operation              : {operation}\n   Status                         : {status}\n"
        f"   Priority : High\n   Percentage complete            : {percent}\n\n"
    )


@pytest.mark.parametrize(
    ("operation", "status", "expected"),
    [
        ("Build/Verify", "In Progress", ("initialising", 11.0)),
        ("Rebuild", "In Progress", ("rebuilding", 11.0)),
        ("Compacting", "In Progress", ("migrating", 11.0)),
        ("Verify with fix", "In Progress", (None, None)),
        ("Rebuild", "Queued", (None, None)),
    ],
)
def test_getstatus(operation, status, expected):
    first, second = only(FOUND + task(0, operation, status) + task(1, "Clear") + DONE).volumes
    assert (first.id, (first.state, first.progress)) == ("0", expected)
    assert (second.id, second.state) == ("1", "initialising")


def test_getstatus_of_a_drive_and_of_nothing():
    text = "Physical device Task:\n   Physical device : 0,4\n"
    text += "   Current operation : Clear\n   Percentage complete : 5\n"
    (first,) = only(FOUND + text + DONE).drives
    assert (first.address, first.state, first.progress) == ("0,4", "erasing", 5.0)
    assert only(FOUND + "   Current operation              : None\n" + DONE).volumes == ()


def test_getversion():
    text = "Controller #1\n==============\nFirmware                  : 1.32[0] (0)\n"
    text += "Driver  : Linux 1.2.10-025 (0)\n"
    one = only(FOUND + text + DONE)
    assert (one.index, one.firmware) == ("1", "1.32")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\nCreating logical device: data\n" + DONE, Outcome(ok=True)),
        (
            "The specified logical device does not exist.\n\nCommand aborted.\n",
            Outcome(ok=False, message="The specified logical device does not exist."),
        ),
        (
            "Invalid number of devices\nfor the given RAID level.\nCommand failed.\n",
            Outcome(ok=False, message="Invalid number of devices for the given RAID level."),
        ),
        ("Command failed.\n", Outcome(ok=False, message="Command failed.")),
    ],
)
def test_outcomes(text, expected):
    read = parse(FOUND + text)
    assert (read.value.outcome, read.value.controllers) == (expected, ())


def test_a_session_keeps_the_last_word_and_the_first_failure():
    before = "# arcconf getconfig 1 LD\n" + FOUND + volumes(volume(0), volume(1)) + DONE
    failed = (
        "# arcconf delete 1 logicaldrive 7\n"
        + FOUND
        + "No such logical device is not found.\nCommand aborted.\n"
    )
    after = "# arcconf getconfig 1 LD\n" + FOUND + volumes(volume(1, Logical_device_name="rest")) + DONE
    other = "# arcconf getconfig 2 LD\n" + FOUND + volumes(volume(0)) + DONE
    read = parse(before + failed + after + other)
    assert [[(each.id, each.name) for each in one.volumes] for one in read.value.controllers] == [
        [("1", "rest")],
        [("0", "data")],
    ]
    assert read.value.outcome is not None
    assert not read.value.outcome.ok
    assert len(read.ignored) == 4


def test_one_volume_of_a_session_leaves_the_others():
    session = FOUND + volumes(volume(0), volume(1)) + DONE
    session += "[root@rf ~]# arcconf GETCONFIG 1 LD 1\n"
    session += FOUND + volumes(volume(1, Status_of_logical_device="Failed")) + DONE
    assert [each.state for each in only(session).volumes] == ["optimal", "failed"]


def test_the_help_is_understood():
    text = "  | UCLI |  Adaptec uniform command line interface\n"
    text += "  | UCLI |  Version 7.31 (B18856)\n\n CREATE | creates\n"
    assert parse(text).value.controllers == ()


@pytest.mark.parametrize(
    "text",
    [
        "Controller = 0\nStatus = Success\nDescription = None\n",
        "Smart Array P440ar in Slot 0 (Embedded)\n\n   Status: OK\n",
        "Adapter #0\n\nEnclosure Device ID: 32\nSlot Number: 0\n",
        "Device #0\nDevice is a Hard drive\n",
    ],
)
def test_other_tools_are_refused(text):
    with pytest.raises(Unparsable, match=r"^arcconf: line 1: expected a list of arcconf"):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        FOUND,
        FOUND + volumes("Logical device number 0\n   Logical device name : data\n"),
        FOUND + drives(drive(0)).partition("State")[0],
        FOUND + controller().partition("Controller Version")[0],
        FOUND + task(0, "Rebuild").partition("Status")[0],
    ],
    ids=["nothing", "volume", "drive", "controller", "task"],
)
def test_a_text_that_ends_inside_an_entry_is_refused(text):
    with pytest.raises(Unparsable, match=r"^arcconf: line \d+: expected .*, found "):
        parse(text)


WHOLE = LIST + DONE + FOUND + controller() + volumes(volume(0, "Present (0,0)")) + drives(drive(0)) + DONE


@settings(deadline=None)
@given(st.text())
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(Unparsable):
        json.dumps(parse(text).as_json())


@settings(deadline=None)
@given(st.randoms(use_true_random=False), st.integers(0, len(WHOLE)))
def test_a_damaged_text_is_read_or_refused(dice: random.Random, end):
    lines = WHOLE[:end].split("\n")
    dice.shuffle(lines)
    for text in (WHOLE[:end], "\n".join(lines)):
        with contextlib.suppress(Unparsable):
            json.dumps(parse(text).as_json())
