"""MegaCli: lists of old and new versions, their drives, volumes and adapters."""

import pytest

from metal.drivers.raid.listing import Outcome
from metal.drivers.raid.megacli import parse
from tests.metal.drivers.parse.megacli_samples import ADAPTER, BATTERY, DONE, LDPD, drive, only, span, volume


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
        ("RF000421 RACKFLOW DISK 1000 FW07", "SATA", (None, None, "FW07")),
        ("RF-000000000421RACKFLOW DISK 10", "SATA", (None, None, "FW07")),
        (
            "RF-000000000421RACKFLOW DISK 1000                      00.0FW07",
            "SATA",
            ("RACKFLOW DISK 1000", "RF-000000000421", "FW07"),
        ),
        ("RACKFLOW DISK 15K FW07RF0003SN", "SAS", ("DISK 15K", "RF0003SN", "FW07")),
        ("RACKFLOWDISK15K300FW07RF0003SN", "SAS", (None, None, "FW07")),
        ("ATA RACKFLOWDISK FTA1 RF000421", "SATA", ("RACKFLOWDISK", "RF000421", "FW07")),
        ("ATA RACKFLOW DISK FTA1 RF000421", "SATA", (None, None, "FW07")),
    ],
    ids=[
        "sas",
        "ata-behind-sas",
        "no-type",
        "blanks-lost",
        "cut",
        "blanks-in-front-lost",
        "sas-blanks-lost",
        "sas-glued",
        "ata-blanks-lost",
        "ata-in-doubt",
    ],
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


def test_lost_redundancy_under_another_task_is_a_condition():
    text = "Adapter 0 -- Virtual Drive Information:\n" + volume(State="Degraded")
    controller = only(
        text + "Ongoing Progresses:\n  Background Initialization: Completed 3%, Taken 1 min.\n" + DONE
    )
    assert controller.volumes[0].state == "initialising"
    assert [one.text for one in controller.conditions] == ["volume 0: Degraded"]


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
    assert controller.volumes[0].write_cache == "through"
    assert only("Adapter #0\n\n" + volume() + DONE).volumes[0].write_cache == "back"


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
