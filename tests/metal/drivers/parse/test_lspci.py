"""lspci's one-line, quoted and block forms."""

import pytest

from metal.drivers.identity.pci import PciDevice, parse
from metal.errors import Unparsable
from tests.metal.drivers.parse.refusing import never_anything_else, value_or_refusal

PLAIN = """\
pcilib: Cannot open /sys/bus/pci/devices/0000:00:00.0/label: Operation not permitted
00:1f.2 SATA controller: Acme Corporation C600 chipset 6-Port AHCI [Fast] (rev 05) (prog-if 01 [AHCI 1.0])
10000:e1:00.0 Non-Volatile memory controller: Acme Device 0a54
"""
NUMBERS = """\
00:1f.2 SATA controller [0106]: Acme Corporation C600 [8086:1d02] (rev 05)
05:00.0 0104: 1000:005b (rev 05)
06:00.0 Class 0200: 14e4:165f
"""
VERBOSE = """\
02:00.0 Ethernet controller: Acme BCM5720 (rev 01)
\tDeviceName: NIC1
\tSubsystem: Dell PowerEdge rNDC [1028:1f5b]
\tFlags: bus master, fast devsel, latency 0, IRQ 34
\tKernel driver in use: tg3
"""
QUOTED = """\
00:1f.2 "SATA controller" "Acme \\"Big\\" Corp" "C600 AHCI" -r05 -p01 "Dell" "Device 04f7"
0000:02:00.0 "Ethernet controller [0200]" "Acme [14e4]" "BCM5720 [165f]" "" ""
"""
BLOCKS = """\
Slot:\t00:07.1
Class:\tIDE interface [0101]
Vendor:\tAcme [8086]
Device:\tPIIX4 IDE [7111]
SVendor:\tVMware [15ad]
SDevice:\tVirtual Chipset [1976]
PhySlot:\t2
Rev:\t01
ProgIf:\t8a
NUMANode:\t0

Slot:\t0000:00:0f.0
Class:\tVGA compatible controller
Vendor:\tVMware
Device:\tSVGA II Adapter
Driver:\tvmwgfx
"""
OLD_BLOCKS = (
    "Device:\t00:02.0\nClass:\tVGA\nVendor:\tAcme\nDevice:\tGPU 1\n\n"
    "Device:\t00:03.0\nClass:\tAudio\nVendor:\tAcme\nDevice:\tSound\n"
)


def test_the_one_line_form_joins_vendor_and_device():
    read = parse(PLAIN)
    assert read.value.devices == (
        PciDevice(
            "0000:00:1f.2",
            "SATA controller",
            None,
            "Acme Corporation C600 chipset 6-Port AHCI [Fast]",
            None,
            "05",
        ),
        PciDevice("10000:e1:00.0", "Non-Volatile memory controller", None, "Acme Device 0a54", None, None),
    )
    assert len(read.ignored) == 1


def test_ids_in_brackets_are_left_out_and_bare_ones_kept():
    assert [(one.class_name, one.device) for one in parse(NUMBERS).value.devices] == [
        ("SATA controller", "Acme Corporation C600"),
        ("0104", "1000:005b"),
        ("0200", "14e4:165f"),
    ]


def test_details_below_a_line_name_the_subsystem():
    (device,) = parse(VERBOSE).value.devices
    assert (device.subsystem, device.revision) == ("Dell PowerEdge rNDC", "01")


def test_quoted_names():
    first, second = parse(QUOTED).value.devices
    assert (first.vendor, first.device, first.revision) == ('Acme "Big" Corp', "C600 AHCI", "05")
    assert first.subsystem == "Dell Device 04f7"
    assert (second.class_name, second.vendor, second.device) == ("Ethernet controller", "Acme", "BCM5720")
    assert second.subsystem is None


def test_blocks_and_the_name_of_a_class_in_json():
    first, second = value_or_refusal("lspci", parse, BLOCKS)["devices"]
    assert first == {
        "address": "0000:00:07.1",
        "class": "IDE interface",
        "vendor": "Acme",
        "device": "PIIX4 IDE",
        "subsystem": "VMware Virtual Chipset",
        "revision": "01",
    }
    assert (second["address"], second["subsystem"], second["revision"]) == ("0000:00:0f.0", None, None)


def test_old_blocks_call_the_address_a_device_too():
    assert [(one.address, one.device) for one in parse(OLD_BLOCKS).value.devices] == [
        ("0000:00:02.0", "GPU 1"),
        ("0000:00:03.0", "Sound"),
    ]


def test_the_last_telling_of_an_address_holds():
    read = parse(PLAIN + "00:1f.2 SATA controller: Other\n" + BLOCKS)
    assert [one.device for one in read.value.devices if one.address == "0000:00:1f.2"] == ["Other"]
    assert len(read.value.devices) == 4


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lspci: command not found\n", "line 1: expected a device's address"),
        (PLAIN + "00:1f.3 SMB", "line 4: expected a class, a colon and a device"),
        (QUOTED + '00:02.0 "VGA" "Acme', "line 3: expected quoted names, all closed"),
        ('00:02.0 "VGA" "Acme"\n', "line 1: expected class, vendor and device in quotes"),
        (BLOCKS[: BLOCKS.index("Device:\tSVGA")], "line 12: expected a block with class and device"),
        ("Class:\tVGA\nDevice:\tX\n", "line 1: expected a slot's address before its names"),
    ],
)
def test_refusals_say_where(text, said):
    with pytest.raises(Unparsable) as error:
        parse(text)
    assert said in error.value.message


test_nothing_but_a_value_or_a_refusal = never_anything_else(
    "lspci", parse, (PLAIN, NUMBERS, VERBOSE, QUOTED, BLOCKS, OLD_BLOCKS)
)


def test_a_list_that_a_page_shows_indented():
    text = "".join(
        f"    {slot}:00.0 Ethernet controller: Acme Corp. NIC {slot}\n" for slot in ("03", "04", "05")
    )
    assert [one.address for one in parse(text).value.devices] == [
        "0000:03:00.0",
        "0000:04:00.0",
        "0000:05:00.0",
    ]
