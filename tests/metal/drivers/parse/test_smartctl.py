"""smartctl: JSON of 7.0 and later, text of ATA, SCSI and NVMe drives, scans, and drives that do not open."""

import json

import pytest

from metal.drivers.storage.smart import parse
from metal.drivers.storage.smart_text import printed_bytes
from metal.errors import Unparsable
from tests.metal.drivers.parse.refusing import never_anything_else, value_or_refusal

BANNER = "smartctl 7.2 2020-12-30 r5155 [x86_64-linux-5.10.0] (local build)\nCopyright (C) 2002-20\n\n"
ATA = (
    BANNER
    + """\
=== START OF INFORMATION SECTION ===
Model Family:     Western Digital Something
Device Model:     WDC  WD4000X-00AA
Serial Number:    WD-INVENTED01
LU WWN Device Id: 5 0014ee 2b0000001
Firmware Version: 82.00A82
User Capacity:    4.000.787.030.016 bytes [4.00 TB]
Sector Sizes:     512 bytes logical, 4096 bytes physical
Rotation Rate:    5400 rpm
SMART support is: Available - device has SMART capability.
SMART support is: Enabled

=== START OF READ SMART DATA SECTION ===
SMART overall-health self-assessment test result: FAILED!
Drive failure expected in less than 24 hours. SAVE ALL DATA.

  Error: UNC 8 sectors at LBA = 0x0000
"""
)
SCSI = (
    BANNER
    + """\
=== START OF INFORMATION SECTION ===
Vendor:               SEAGATE
Product:              ST1200MM0009
Revision:             N003
User Capacity:        1,200,243,695,616 bytes [1.20 TB]
Logical block size:   512 bytes
Physical block size:  4096 bytes
Rotation Rate:        10500 rpm
Serial number:        W4INVENT
Device type:          disk

=== START OF READ SMART DATA SECTION ===
SMART Health Status: FAILURE PREDICTION THRESHOLD EXCEEDED [asc=5d, ascq=0]
"""
)
SCSI_5 = """\
smartctl 5.42 2011-10-20 r3458 [x86_64-linux-2.6.18] (local build)
Copyright (C) 2002-11 by Bruce Allen

Device: HITACHI  HUS156030VLS600  Version: A5D0
Serial number: JINVENT1
Device type: disk
SMART Health Status: OK
"""
NVME = (
    BANNER
    + """\
=== START OF INFORMATION SECTION ===
Model Number:                       INVENTED SSD 1TB
Serial Number:                      S0000X
Firmware Version:                   3B2QGXA7
Total NVM Capacity:                 1,024,209,543,168 [1.02 TB]
Namespace 1 Size/Capacity:          1.000.204.886.016 [1.00 TB]
Namespace 1 Formatted LBA Size:     4096

=== START OF SMART DATA SECTION ===
SMART overall-health self-assessment test result: PASSED
"""
)
SCAN = """\
/dev/sda -d sat # /dev/sda [SAT], ATA device
/dev/bus/0 -d megaraid,8 # /dev/bus/0 [megaraid_disk_08], SCSI device
/dev/bus/0 -d megaraid,9 # /dev/bus/0 [megaraid_disk_09], SCSI device
# /dev/sdc -d scsi # /dev/sdc, SCSI device open failed: No medium found
"""


def document(**more):
    return json.dumps(
        {"json_format_version": [1, 0], "smartctl": {"argv": ["smartctl", "-aj"], "exit_status": 4}, **more},
        indent=1,
    )


MEGARAID = document(
    device={"name": "/dev/bus/0", "type": "megaraid,1", "protocol": "SCSI"},
    vendor="TOSHIBA",
    product="MG08XX",
    model_name="TOSHIBA MG08XX",
    revision="EJ08",
    serial_number="unknown",
    user_capacity={"blocks": 1, "bytes": 16000900661248},
    logical_block_size=512,
    physical_block_size=4096,
    rotation_rate=7200,
    smart_status={"passed": False},
)
SAMPLES = (ATA, SCSI, SCSI_5, NVME, SCAN, MEGARAID)


def test_ata_text():
    drive = parse(ATA).value
    assert (drive.model, drive.serial, drive.firmware) == ("WDC WD4000X-00AA", "WD-INVENTED01", "82.00A82")
    assert (drive.capacity_bytes, drive.logical_sector, drive.physical_sector) == (4000787030016, 512, 4096)
    assert (drive.rpm, drive.passed, drive.exit_status, drive.device) == (5400, False, None, None)
    assert drive.messages == ()


def test_scsi_text():
    drive = parse(SCSI).value
    assert (drive.model, drive.serial, drive.firmware) == ("ST1200MM0009", "W4INVENT", "N003")
    assert (drive.logical_sector, drive.physical_sector, drive.rpm, drive.passed) == (512, 4096, 10500, False)


def test_scsi_text_of_version_5():
    drive = parse(SCSI_5).value
    assert (drive.model, drive.firmware, drive.serial) == ("HUS156030VLS600", "A5D0", "JINVENT1")
    assert (drive.passed, drive.capacity_bytes) == (True, None)


def test_nvme_text_prefers_the_namespace():
    drive = parse(NVME).value
    assert (drive.model, drive.capacity_bytes, drive.logical_sector) == (
        "INVENTED SSD 1TB",
        1000204886016,
        4096,
    )
    assert (drive.passed, drive.rpm, drive.physical_sector) == (True, None, None)


@pytest.mark.parametrize("key", ["Namespace 3 Size/Capacity", "Namespace 1 Size"])
def test_a_namespace_of_any_number_and_one_that_is_thin(key):
    text = NVME.replace("Namespace 1 Size/Capacity", key) + "Namespace 1 Capacity: 9 [9 B]\n"
    assert parse(text).value.capacity_bytes == 1000204886016


def test_a_separator_that_is_no_utf_8():
    assert parse(NVME.replace("1.000.204", "1\ufffd000\ufffd204")).value.capacity_bytes == 1000204886016


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("Rotation Rate:    Solid State Device", "rpm", 0),
        ("Sector Size:      512 bytes logical/physical", "physical_sector", 512),
        ("SMART overall-health self-assessment test result: UNKNOWN!", "passed", None),
    ],
)
def test_other_values_of_lines(line, field, value):
    key = line.partition(":")[0]
    kept = [old for old in ATA.split("\n") if not old.startswith(key[:11])]
    assert getattr(parse("\n".join([*kept, line])).value, field) == value


def test_json_of_a_drive_behind_a_controller():
    parsed = parse(f"sudo: unable to resolve host\n{MEGARAID}")
    drive = parsed.value
    assert (drive.device, drive.type, drive.model, drive.firmware) == (
        "/dev/bus/0",
        "megaraid,1",
        "MG08XX",
        "EJ08",
    )
    assert (drive.capacity_bytes, drive.rpm, drive.passed, drive.exit_status) == (
        16000900661248,
        7200,
        False,
        4,
    )
    assert (drive.serial, parsed.placeholders) == (None, ("serial",))
    assert parsed.ignored == ("sudo: unable to resolve host",)


def test_json_of_an_nvme_controller_and_of_its_namespace():
    whole = parse(document(nvme_total_capacity=100, device={"name": "/dev/nvme0", "type": "nvme"})).value
    assert (whole.capacity_bytes, whole.logical_sector) == (100, None)
    namespaces = [{"id": 1, "size": {"bytes": 90}, "formatted_lba_size": 4096}]
    one = parse(document(nvme_total_capacity=100, nvme_namespaces=namespaces)).value
    assert (one.capacity_bytes, one.logical_sector) == (90, 4096)


def test_json_of_a_drive_that_does_not_open():
    failed = {"string": "Smartctl open device: /dev/sdz failed: No such device", "severity": "error"}
    text = json.dumps({"smartctl": {"exit_status": 2, "messages": [failed]}})
    drive = parse(text).value
    assert (drive.messages, drive.exit_status, drive.model) == ((failed["string"],), 2, None)


@pytest.mark.parametrize(
    "message",
    [
        "/dev/sda: requires option '-d cciss,N'",
        "/dev/sdb: USB to NVMe bridge [please try '-d sntjmicron' and report result]",
        "Smartctl open device: /dev/sdz failed: Permission denied",
        "/dev/vda: Unable to detect device type",
        "Device is in STANDBY mode, exit(2)",
        "Read Device Identity failed: scsi error unsupported scsi opcode",
    ],
)
def test_text_of_a_drive_that_does_not_open(message):
    drive = parse(f"{BANNER}{message}\n").value
    assert (drive.messages, drive.model, drive.passed) == ((message,), None, None)


def test_settings_without_a_word_about_the_drive():
    drive = parse(f"{BANNER}ATA Security is:  Disabled, NOT FROZEN [SEC1]\n").value
    assert (drive.model, drive.messages) == (None, ())


def test_scan_text_keeps_devices_behind_one_node_apart():
    parsed = parse(SCAN)
    assert [(device.name, device.type) for device in parsed.value.devices] == [
        ("/dev/sda", "sat"),
        ("/dev/bus/0", "megaraid,8"),
        ("/dev/bus/0", "megaraid,9"),
    ]
    assert parsed.ignored[0].startswith("# /dev/sdc -d scsi")


def test_scan_json_may_find_nothing():
    found = document(devices=[{"name": "/dev/nvme0", "type": "nvme"}])
    assert value_or_refusal("smartctl", parse, found)["devices"] == [{"name": "/dev/nvme0", "type": "nvme"}]
    empty = json.dumps(
        {"json_format_version": [1, 0], "smartctl": {"argv": ["smartctl", "--scan-open", "-j"]}}
    )
    assert value_or_refusal("smartctl", parse, empty)["devices"] == []


def test_of_several_drives_the_last():
    assert parse(ATA + SCSI).value.model == "ST1200MM0009"
    assert parse(f"{MEGARAID}\n{document(model_name='LAST')}").value.model == "LAST"


@pytest.mark.parametrize(
    ("text", "size"),
    [("1 000 204 886 016 bytes", 1000204886016), ("256,060,514,304 [256 GB]", 256060514304), ("none", None)],
)
def test_numbers_of_any_locale(text, size):
    assert printed_bytes(text) == size


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BANNER, "line 2: expected 'Device Model:'"),
        ("BIOS Information\n\tVendor: Dell Inc.\n", "line 1: expected 'Device Model:'"),
        (MEGARAID[:-20], "expected JSON"),
        ('{"blockdevices": []}', "line 1: expected an object of smartctl"),
        (document(devices=[{"type": "scsi"}]), "expected a scanned device with its name"),
    ],
)
def test_refusals_say_where(text, said):
    with pytest.raises(Unparsable) as error:
        parse(text)
    assert said in error.value.message


test_nothing_but_a_value_or_a_refusal = never_anything_else("smartctl", parse, SAMPLES)
