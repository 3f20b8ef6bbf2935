"""MegaCli: lists of old and new versions, progress, battery, results of commands, sessions, refusals."""

import contextlib
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metal.drivers.raid.listing import Outcome
from metal.drivers.raid.megacli import parse
from metal.errors import Unparsable


def drive(slot="0", state="Online, Spun Up", foreign="None", **more):
    """A drive as -PDList prints it, SATA; `more` takes the place of lines or is added."""
    lines = {
        "Enclosure Device ID": " 252",
        "Slot Number": f" {slot}",
        "Drive's position": " DiskGroup: 0, Span: 0, Arm: 0",
        "WWN": " 5000AB00C0FFEE01",
        "Media Error Count": " 0",
        "Predictive Failure Count": " 0",
        "PD Type": " SATA",
        "Raw Size": " 931.512 GB [0x74706db0 Sectors]",
        "Sector Size": "  0",
        "Firmware state": f" {state}",
        "Device Firmware Level": " FW07",
        "Inquiry Data": "      RF-000000000421RACKFLOW DISK 1000                      FW07",
        "Foreign State": f" {foreign} ",
        "Media Type": " Hard Disk Device",
        "Drive has flagged a S.M.A.R.T alert ": " No",
    } | {key.replace("_", " "): f" {value}" for key, value in more.items()}
    return "\n".join(f"{key}:{value}" for key, value in lines.items() if value != " ") + "\n\n"


def volume(identity="0", level="Primary-5, Secondary-0, RAID Level Qualifier-3", **more):
    """A virtual drive as -LDInfo of version 8 prints it."""
    lines = {
        "Name": "",
        "RAID Level": level,
        "Size": "1.817 TB",
        "State": "Optimal",
        "Strip Size": "64 KB",
        "Number Of Drives": "3",
        "Span Depth": "1",
        "Default Cache Policy": "WriteBack, ReadAhead, Direct, No Write Cache if Bad BBU",
        "Current Cache Policy": "WriteBack, ReadAhead, Direct, No Write Cache if Bad BBU",
    } | {key.replace("_", " "): value for key, value in more.items()}
    head = f"Virtual Drive: {identity} (Target Id: {identity})\n"
    return head + "".join(f"{key:<20}: {value}\n" for key, value in lines.items() if value is not None)


def span(*drives):
    head = f"Number of Spans: 1\nSpan: 0 - Number of PDs: {len(drives)}\n\n"
    return head + "".join(f"PD: {place} Information\n{one}" for place, one in enumerate(drives))


DONE = "\nExit Code: 0x00\n"
LDPD = (
    "Adapter #0\n\nNumber of Virtual Disks: 1\n" + volume() + span(drive("0"), drive("1"), drive("2")) + DONE
)


def only(text):
    (controller,) = parse(text).value.controllers
    return controller


def test_volumes_with_their_drives():
    controller = only(LDPD)
    assert controller.index == "0"
    assert [(one.address, one.volume, one.state) for one in controller.drives] == [
        ("252:0", "0", "online"),
        ("252:1", "0", "online"),
        ("252:2", "0", "online"),
    ]
    (first,) = controller.volumes
    assert (first.level, first.state, first.raw_state) == ("raid5", "optimal", "Optimal")
    assert (first.size_bytes, first.stripe_bytes, first.name) == (round(1.817 * 2**40), 65536, None)
    assert first.members == ("252:0", "252:1", "252:2")
    assert parse(LDPD).value.outcome == Outcome(ok=True, code=0)


def test_a_sata_drive_is_read_by_columns():
    first = only("Adapter #0\n\n" + drive() + DONE).drives[0]
    assert (first.serial, first.model, first.firmware) == ("RF-000000000421", "RACKFLOW DISK 1000", "FW07")
    assert (first.size_bytes, first.sector_size) == (0x74706DB0 * 512, None)
    assert (first.media, first.interface, first.wwn) == ("hdd", "sata", "5000ab00c0ffee01")
    assert first.volume is None


@pytest.mark.parametrize(
    ("inquiry", "kind", "expected"),
    [
        ("RACKFLOWDISK15K300      0008RF0003SN            ", "SAS", ("DISK15K300", "RF0003SN", "FW07")),
        ("ATA     RACKFLOWDISK    FTA1            RF000421", "SATA", ("RACKFLOWDISK", "RF000421", "FW07")),
        ("ATA     RACKFLOWDISK    FTA1            RF000421", "", ("RACKFLOWDISK", "RF000421", "FW07")),
        ("RF000421 RACKFLOW DISK 1000 FW07", "SATA", ("RF000421 RACKFLOW DISK 1000 FW07", None, "FW07")),
    ],
    ids=["sas", "ata-behind-sas", "no-type", "blanks-lost"],
)
def test_inquiry_data(inquiry, kind, expected):
    first = only("Adapter #0\n\n" + drive(Inquiry_Data=inquiry, PD_Type=kind) + DONE).drives[0]
    assert (first.model, first.serial, first.firmware) == expected


def test_sectors_of_four_kibibytes_and_sectors_that_cannot_be():
    large = drive(Raw_Size="3.638 TB [0x3a3817d6 Sectors]", Sector_Size="4096")
    first = only("Adapter #0\n\n" + large + DONE).drives[0]
    assert (first.size_bytes, first.sector_size) == (0x3A3817D6 * 4096, 4096)
    garbled = drive(Raw_Size="931.512 GB [0xdb0 Sectors]")
    assert only("Adapter #0\n\n" + garbled + DONE).drives[0].size_bytes == round(931.512 * 2**30)


def test_a_title_that_is_glued_to_a_line_is_none_of_it():
    text = drive(state="Hotspare, Spun Up", PD_Type="SASHotspare Information:")
    text += "Type: Dedicated, is revertible\nArray #: 0\n"
    first = only("Adapter #0\n\n" + text + DONE).drives[0]
    assert (first.interface, first.state) == ("sas", "spare")


def test_a_sector_count_without_its_sign_is_none():
    text = drive(Raw_Size="931.512 GB [74706db0 Sectors]")
    assert only("Adapter #0\n\n" + text + DONE).drives[0].size_bytes == round(931.512 * 2**30)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("Online", "online"),
        ("Unconfigured(good), Spun down", "unconfigured"),
        ("Unconfigured(bad)", "failed"),
        ("Hotspare, Spun Up", "spare"),
        ("Rebuild", "rebuilding"),
        ("Copyback", "copyback"),
        ("Failed", "failed"),
        ("Offline", "offline"),
        ("JBOD", "jbod"),
        ("Some new state", None),
    ],
)
def test_drive_states(raw, expected):
    first = only("Adapter #0\n\n" + drive(state=raw) + DONE).drives[0]
    assert (first.state, first.raw_state) == (expected, raw)


def test_foreign_wins_and_is_a_condition():
    controller = only("Adapter #0\n\n" + drive(state="Unconfigured(bad)", foreign="Foreign") + DONE)
    assert controller.drives[0].state == "foreign"
    assert [one.kind for one in controller.conditions] == ["foreign-config"]


def test_errors_and_predictions_are_conditions():
    text = drive(Media_Error_Count="25", Predictive_Failure_Count="2")
    controller = only("Adapter #0\n\n" + text + DONE)
    assert controller.drives[0].state == "online"
    assert {one.kind for one in controller.conditions} == {"media-errors", "predictive-failure"}
    assert any(one.text.startswith("252:0: 25 ") for one in controller.conditions)


def test_no_enclosure_and_enclosures_that_are_no_drives():
    text = drive(Enclosure_Device_ID="N/A") + drive("9", "Unconfigured(good)", Raw_Size="0 KB [0x0 Sectors]")
    assert [one.address for one in only("Adapter #0\n\n" + text + DONE).drives] == [":0"]


@pytest.mark.parametrize(
    ("printed", "more", "expected"),
    [
        ("Primary-0, Secondary-0, RAID Level Qualifier-0", {}, "raid0"),
        ("Primary-1, Secondary-0, RAID Level Qualifier-0", {"Number Of Drives": "2"}, "raid1"),
        ("Primary-1, Secondary-0, RAID Level Qualifier-0", {"Number Of Drives": "10"}, "raid10"),
        ("Primary-1, Secondary-0, RAID Level Qualifier-0", {"Span Depth": "2"}, "raid10"),
        ("Primary-1, Secondary-3, RAID Level Qualifier-0", {"Span Depth": "2"}, "raid10"),
        ("Primary-5, Secondary-3, RAID Level Qualifier-3", {"Span Depth": "2"}, "raid50"),
        ("Primary-6, Secondary-3, RAID Level Qualifier-3", {"Span Depth": "2"}, "raid60"),
        ("Primary-6, Secondary-0, RAID Level Qualifier-3", {}, "raid6"),
        ("Primary-0, Secondary-3, RAID Level Qualifier-0", {"Span Depth": "2"}, "raid00"),
        ("Primary-17, Secondary-0, RAID Level Qualifier-0", {}, "raid1e"),
        ("Primary-99, Secondary-0, RAID Level Qualifier-0", {}, None),
    ],
)
def test_levels(printed, more, expected):
    text = "Adapter 0 -- Virtual Drive Information:\n" + volume(level=printed, **more) + DONE
    assert only(text).volumes[0].level == expected


def test_the_old_dialect_of_2009():
    text = """Adapter 1 -- Virtual Drive Information:
Virtual Disk: 3 (target id: 3)
Name:scratch
RAID Level: Primary-1, Secondary-0, RAID Level Qualifier-0
Size:69376MB
State: Degraded
Stripe Size: 64kB
Number Of Drives:2
Span Depth:1
"""
    controller = only(text)
    (first,) = controller.volumes
    assert (controller.index, first.id, first.name, first.level) == ("1", "3", "scratch", "raid1")
    assert (first.size_bytes, first.stripe_bytes, first.state) == (69376 << 20, 65536, "degraded")
    assert parse(text).value.outcome is None


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("Background Initialization: Completed 0%, Taken 0 min.", ("initialising", 0.0)),
        ("Reconstruction           : Completed 23%, Taken 15 min.", ("migrating", 23.0)),
        ("Rebuild                  : Completed 5%, Taken 3 min.", ("rebuilding", 5.0)),
        ("Check Consistency        : Completed 36%, Taken 42 min.", ("optimal", None)),
    ],
)
def test_a_running_task_is_the_state(task, expected):
    text = "Adapter 0 -- Virtual Drive Information:\n" + volume() + f"Ongoing Progresses:\n  {task}\n" + DONE
    first = only(text).volumes[0]
    assert ((first.state, first.progress), first.raw_state) == (expected, "Optimal")


def test_a_rebuilding_member_makes_its_degraded_volume_rebuild():
    text = volume(State="Degraded") + span(drive("0"), drive("1", "Rebuild"))
    controller = only("Adapter #0\n\nNumber of Virtual Disks: 1\n" + text + DONE)
    assert (controller.volumes[0].state, controller.volumes[0].raw_state) == ("rebuilding", "Degraded")
    assert [one.kind for one in controller.conditions] == ["rebuild"]


def test_a_place_without_a_drive_is_a_missing_drive():
    text = volume(State="Degraded")
    text += "Span: 0 - Number of PDs: 2\n\nPD: 0 Information\nPD: 1 Information\n"
    controller = only("Adapter #0\n\n" + text + drive("1") + DONE)
    assert [(one.address, one.state, one.volume) for one in controller.drives] == [
        ("252:1", "online", "0"),
        (None, "missing", "0"),
    ]
    table = "    Adapter 0 - Missing Physical drives\n\n    No.   Array   Row   Size Expected\n"
    (missing,) = only(table + "    0     0       1     952720 MB\n" + DONE).drives
    assert (missing.state, missing.size_bytes) == ("missing", 952720 << 20)


def test_cachecade_is_no_volume_and_passed_through_drives_are_jbod():
    cache = "CacheCade Virtual Drive: 1 (Target Id: 1)\nState               : Optimal\n"
    text = volume("0", Name="NonRAID Disk 4") + cache + span(drive("5"))
    controller = only("Adapter #0\n\n" + text + DONE)
    assert [(one.id, one.level) for one in controller.volumes] == [("0", "jbod")]
    assert [(one.address, one.volume) for one in controller.drives] == [("252:5", None)]


def test_cfgdsply_spans_and_volumes_that_share_drives():
    group = (
        "DISK GROUP: 0\nNumber of Spans: 1\nSPAN: 0\nNumber of VDs: 2\nVirtual Drive Information:\n"
        + volume("0")
        + volume("1")
        + "Physical Disk Information:\nPhysical Disk: 0\n"
        + drive("0")
        + "Physical Disk: 1\n"
        + drive("1", "Hotspare, Spun Up")
    )
    head = "=====\nAdapter: 0\nProduct Name: RackFlow RAID 9\nMemory: 512MB\n"
    head += "BBU: Absent\nSerial No: RF900421\n====\n"
    controller = only(head + "Number of DISK GROUPS: 1\n\n" + group + DONE)
    assert (controller.model, controller.serial) == ("RackFlow RAID 9", "RF900421")
    assert [(one.id, one.members) for one in controller.volumes] == [("0", ("252:0",)), ("1", ("252:0",))]
    assert [(one.address, one.volume) for one in controller.drives] == [("252:0", None), ("252:1", None)]


ADAPTER = """Adapter #0

==============================================================================
                    Versions
                ================
Product Name    : RackFlow  RAID 9
Serial No       : RF900421
FW Package Build: 23.1.0-0007

                Image Versions In Flash:
                ================
FW Version         : 3.130.05-1796

                Capabilities
                ================
RAID Level Supported             : RAID0, RAID1, RAID5, RAID10RAID60, PRL 11, SRL 3 supported

                Device Present
                ================
Virtual Drives    : 2
  Degraded        : 1
  Offline         : 0
Physical Devices  : 5
  Failed Disks    : 0

                Error Counters
                ================
Memory Correctable Errors   : 3
Memory Uncorrectable Errors : 0

Any Offline VD Cache Preserved   : Yes
Enable JBOD                      : No
"""


def test_the_adapter():
    controller = only(ADAPTER + DONE)
    assert (controller.model, controller.serial) == ("RackFlow RAID 9", "RF900421")
    assert controller.firmware == "3.130.05-1796"
    assert controller.levels == ("raid0", "raid1", "raid5", "raid10", "raid60")
    assert controller.jbod is False
    kinds = sorted(one.kind for one in controller.conditions)
    assert kinds == ["memory-errors", "other", "preserved-cache"]


def test_a_filler_is_no_serial():
    read = parse(ADAPTER.replace("RF900421", "1122334455667788") + DONE)
    assert read.value.controllers[0].serial is None
    assert read.placeholders == ("controllers[0].serial",)


def test_pci_numbers_are_hexadecimal():
    text = "PCI information for Controller 0\n----\nBus Number      : 5e\n"
    text += "Device Number   : 0\nFunction Number : 1\n"
    assert only(text + DONE).pci == "0000:5e:00.1"


@pytest.mark.parametrize(("word", "expected"), [("Enabled", True), ("Disabled", False)])
def test_jbod_property(word, expected):
    assert only(f"Adapter 2: JBOD: {word}\n{DONE}").jbod is expected


BATTERY = """BBU status for Adapter: 0

BatteryType: iBBU
Temperature: 36 C
Battery State: Optimal
BBU Firmware Status:

  Voltage                      : OK
  Temperature                  : OK
  Battery Replacement required : No
  Remaining Capacity Low       : No

isSOHGood: Yes
"""


def test_a_battery_in_order_is_no_condition_and_its_troubles_are():
    assert only(BATTERY + DONE).conditions == ()
    bad = BATTERY.replace("required : No", "required : Yes").replace("Optimal", "Degraded(Charging)")
    found = only(bad + DONE).conditions
    assert [(one.kind, one.text) for one in found] == [
        ("battery", "Battery State: Degraded(Charging)"),
        ("battery", "Battery Replacement required: Yes"),
    ]


def test_write_through_where_write_back_is_set_is_a_condition():
    text = volume(Current_Cache_Policy="WriteThrough, ReadAhead, Direct, No Write Cache if Bad BBU")
    controller = only("Adapter 0 -- Virtual Drive Information:\n" + text + DONE)
    assert [one.kind for one in controller.conditions] == ["cache"]


SUMMARY = """System
\tOperating System:  Linux version 5.10
\tCLI Version: 8.07.14

Hardware
        Controller
                 ProductName       : RackFlow RAID 9(Bus 0, Dev 0)
                 FW Package Version: 21.2.0-0007
                 Status            : Needs Attention
        BBU
                 BBU Type          : BBU
                 Status            : Failed
        Enclosure
                 Product Id        : SGPIO
                 Status            : OK

        PD
                Connector          : Port 0 - 3<Internal><Encl Pos 1 >: Slot 4
                Vendor Id          : RACKFLOW
                Product Id         : DISK15K300
                State              : Dedicated Hotspare
                Disk Type          : SAS,Solid State Device
                Capacity           : 278.464 GB

                Connector          : 00<Internal>: Slot 0
                Vendor Id          : RF
                Product Id         : BACKPLANE
                State              : Unconfigured Good
                Disk Type          : Unknown,Hard Disk Device
                Capacity           : 0 KB
Storage

       Virtual Drives
                Virtual drive      : Target Id 5 ,VD name data
                Size               : 5.455 TB
                State              : Optimal
                RAID Level         : 10

"""


def test_show_summary():
    controller = only(SUMMARY + DONE)
    assert (controller.index, controller.model, controller.firmware) == (None, "RackFlow RAID 9", None)
    assert (controller.state, controller.raw_state) == ("needs-attention", "Needs Attention")
    (first,) = controller.drives
    assert (first.address, first.state, first.model) == (":4", "spare", "DISK15K300")
    assert (first.media, first.interface) == ("ssd", "sas")
    assert [(one.id, one.name, one.level) for one in controller.volumes] == [("5", "data", "raid10")]
    assert [one.text for one in controller.conditions] == ["BBU status: Failed"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Adapter 0: Created VD 0\n\nAdapter 0: Configured the Adapter!!\n" + DONE, Outcome(ok=True, code=0)),
        ("Adapter 0: Deleted Virtual Drive-5(target id-5)\n", Outcome(ok=True)),
        ("Start Reconstruction of Virtual Drive Success.\n", Outcome(ok=True)),
        ("Started rebuild progress on device(Encl-252 Slot-4)\n", Outcome(ok=True)),
        ("Adapter 0-VD 0(target id: 0): Cache Policy:WriteThrough, Direct\n", None),
        (
            "Fatal error - Command Tool invoked with wrong parameters\nExit Code: 0x01\n",
            Outcome(ok=False, code=1, message="Fatal error - Command Tool invoked with wrong parameters"),
        ),
        (
            "Adapter: 0: Failed to change PD state at EnclId-32 SlotId-4.\n\nExit Code: 0x01\n",
            Outcome(ok=False, code=1, message="Failed to change PD state at EnclId-32 SlotId-4."),
        ),
        (
            (
                "The specified physical disk does not have the appropriate attributes\n"
                "to complete the requested command.\n\nExit Code: 0x26\n"
            ),
            Outcome(
                ok=False,
                code=0x26,
                message="The specified physical disk does not have the appropriate attributes "
                "to complete the requested command.",
            ),
        ),
        (
            (
                "Adapter 0: Get BBU Status Failed.\n\nFW error description:\n"
                " The hardware is not present.\n\nExit Code: 0x22\n"
            ),
            Outcome(ok=False, code=0x22, message="Get BBU Status Failed. The hardware is not present."),
        ),
        ("Adapter 0: No Virtual Drive Configured.\n\nExit Code: 0x01\n", None),
        ("Controller Count: 2.\n\nExit Code: 0x02\n", None),
        ("Number of Physical Drives on Adapter 0: 13\n\nExit Code: 0x0d\n", None),
    ],
)
def test_outcomes(text, expected):
    assert parse(text).value.outcome == expected


def test_the_first_failure_of_a_session_is_told():
    text = (
        "Adapter 0: Created VD 0\n\nExit Code: 0x00\n\n"
        "At least two arrays must be specified to configure spanned VD.\n\nExit Code: 0x1e\n"
        "Adapter 0: Failed to Set Adapter Properties.\n\nExit Code: 0x01\n"
    )
    assert parse(text).value.outcome == Outcome(
        ok=False, code=0x1E, message="At least two arrays must be specified to configure spanned VD."
    )


def test_preserved_cache_is_told_by_the_refusal_and_by_the_list():
    refusal = (
        "Adapter 0: Configure Adapter Failed\n\nFW error description:\n  The current operation is not "
        "allowed because the controller has data in cache for offline or missing virtual drives.\n\n"
        "Exit Code: 0x54\n"
    )
    assert [one.kind for one in only(refusal).conditions] == ["preserved-cache"]
    listed = (
        "# MegaCli -GetPreservedCacheList -a0\nAdapter #0\n\nVirtual Drive(Target ID 02): Missing.\n" + DONE
    )
    assert [one.text for one in only(listed).conditions] == ["virtual drive 2: Missing"]
    cleared = "Adapter #0\nVirtual Drive(Target ID 02): Preserved Cache Data Cleared.\n" + DONE
    assert only(cleared).conditions == ()


@pytest.mark.parametrize(("many", "kinds"), [("are 1", ["foreign-config"]), ("is no", [])])
def test_foreign_configurations(many, kinds):
    controller = only(f"There {many} foreign configuration(s) on controller 0.\n{DONE}")
    assert (controller.index, [one.kind for one in controller.conditions]) == ("0", kinds)


@pytest.mark.parametrize(
    ("text", "address", "state", "progress"),
    [
        (
            "Rebuild Progress on Device at Enclosure 8, Slot 3 Completed 7% in 0 Minutes.",
            "8:3",
            "rebuilding",
            7.0,
        ),
        (
            "Clear Progress on Device at Enclosure N/A, Slot 3 Completed 0% in 0 Minutes.",
            ":3",
            "erasing",
            0.0,
        ),
        ("Device(Encl-8 Slot-3) is not in rebuild process", "8:3", None, None),
        (
            "Rebuild progress of physical drives...\n 008 :03  ###87 %###***  01:59:07",
            "8:3",
            "rebuilding",
            87.0,
        ),
    ],
)
def test_progress_of_drives(text, address, state, progress):
    (first,) = only(f"{text}\n{DONE}").drives
    assert (first.address, first.state, first.progress) == (address, state, progress)


@pytest.mark.parametrize(
    ("text", "state", "progress"),
    [
        ("Background Initialization on VD #4 (target id #4) Complete 0% in 0 Minutes.", "initialising", 0.0),
        ("Initialization on VD #4 is not in progress.", None, None),
        ("Reconstruction on VD #4 (target id #4) Completed 23% in 15 Minutes.", "migrating", 23.0),
        ("Check Consistency on VD #4 (target id #4) Completed 5% in 1 Minutes.", None, None),
    ],
)
def test_progress_of_volumes(text, state, progress):
    (first,) = only(f"{text}\n{DONE}").volumes
    assert (first.id, first.state, first.progress) == ("4", state, progress)


def test_a_session_keeps_the_last_word():
    before = (
        "[root@rf ~]# MegaCli64 -PDList -aALL\nAdapter #0\n\n" + drive("0", "Unconfigured(good)") + drive("1")
    )
    created = "[root@rf ~]# MegaCli64 -CfgLdAdd -r0[252:0] -a0\nAdapter 0: Created VD 0\n"
    after = "[root@rf ~]# MegaCli64 -PDList -aALL\nAdapter #0\n\n" + drive("0")
    read = parse(before + DONE + created + DONE + after + DONE)
    (controller,) = read.value.controllers
    assert [(one.address, one.state) for one in controller.drives] == [("252:0", "online")]
    assert len(read.ignored) == 3


def test_a_drive_without_an_adapter_is_of_the_only_one():
    assert only("# MegaCli64 -PDInfo -PhysDrv [252:0] -a1\n" + drive() + DONE).index is None
    text = "Adapter #1\n\n" + drive(state="Offline") + DONE + drive(state="Rebuild") + DONE
    assert (only(text).index, [one.state for one in only(text).drives]) == ("1", ["rebuilding"])


def test_grepped_lists():
    text = "Enclosure Device ID: 32\nSlot Number: 0\nFirmware state: JBOD\n"
    text += "Enclosure Device ID: 32\nSlot Number: 1\n"
    found = only(text + "Firmware state: Failed\n").drives
    assert [(one.address, one.state) for one in found] == [("32:0", "jbod"), ("32:1", "failed")]
    states = only("Firmware state: Online, Spun Up\nFirmware state: Rebuild\n").drives
    assert [(one.address, one.state) for one in states] == [(None, "online"), (None, "rebuilding")]


def test_two_adapters_one_of_them_empty():
    text = (
        "Adapter #0\n\n"
        + drive()
        + "Adapter 1 -- Virtual Drive Information:\nAdapter 1: No Virtual Drive Configured.\n"
    )
    assert [(one.index, len(one.drives)) for one in parse(text + DONE).value.controllers] == [
        ("0", 1),
        ("1", 0),
    ]


def test_what_the_model_has_no_place_for_is_understood():
    text = "    Number of enclosures on adapter 0 -- 1\n\n    Enclosure 0:\n"
    text += "    Device ID : 32\n    Status : Normal\n"
    assert (parse(text + DONE).value.controllers, parse(text + DONE).value.outcome.code) == ((), 0)
    version = "      MegaCLI SAS RAID Management Tool  Ver 8.07.14 Dec 16, 2013\n"
    assert parse(version).value.controllers == ()


@pytest.mark.parametrize(
    "text",
    [
        "Controller = 0\nStatus = Success\nDescription = None\n",
        "Smart Array P440ar in Slot 0 (Embedded)\n\n   Status: OK\n",
        "System\nStorage\n  Physical Disk: 0\n",
        "SAS2IRCU: Utility Completed Successfully.\n",
    ],
)
def test_other_tools_are_refused(text):
    with pytest.raises(Unparsable, match=r"^megacli: line \d: expected .*, found"):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "Adapter #0\n",
        "Adapter 0 -- Virtual Drive Information:\nVirtual Drive: 0 (Target Id: 0)\n",
        "Adapter #0\n\n" + drive() + drive("1")[: drive("1").index("Firmware state")],
        "Adapter 0 -- Virtual Drive Information:\n" + volume() + volume("1")[:90],
    ],
    ids=["adapter", "volume-heading", "drive", "volume"],
)
def test_a_text_that_ends_inside_an_entry_is_refused(text):
    with pytest.raises(Unparsable, match=r"^megacli: line \d+: expected .*, found "):
        parse(text)


WHOLE = ADAPTER + DONE + LDPD + BATTERY + DONE + SUMMARY + DONE


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


def test_arrays_of_spans_and_spares_that_are_kept_for_them():
    spare = drive("8", "Hotspare, Spun Up", Coerced_Size="465.25 GB [0x3a280000 Sectors]")
    spare += "Hotspare Information:\nType: Dedicated, is revertible\nArray #: 3\n\n"
    group = (
        "DISK GROUP: 1\nNumber of Spans: 2\nSPAN: 0\nSpan Reference: 0x02\nNumber of VDs: 1\n"
        "Virtual Drive Information:\n"
        + volume("4", "Primary-1, Secondary-3, RAID Level Qualifier-0", Span_Depth="2")
        + "Physical Disk Information:\nPhysical Disk: 0\n"
        + drive("0")
        + "SPAN: 1\nSpan Reference: 0x03\nNumber of VDs: 1\nVirtual Drive Information:\n"
        + "Physical Disk Information:\nPhysical Disk: 0\n"
        + spare
    )
    controller = only("Adapter: 0\nProduct Name: RackFlow\nNumber of DISK GROUPS: 1\n\n" + group + DONE)
    (volume_read,) = controller.volumes
    assert (volume_read.groups, volume_read.spares) == (("2", "3"), ("252:8",))
    assert controller.drives[-1].usable_bytes == 0x3A280000 * 512
