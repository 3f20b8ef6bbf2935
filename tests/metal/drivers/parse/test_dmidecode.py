"""dmidecode's text: with handles and without, blades, memory of every kind, placeholders, cut texts."""

import pytest

from metal.drivers.identity.dmi import parse, parse_dmidecode
from metal.drivers.identity.placeholders import Identities, is_placeholder
from metal.errors import Unparsable
from tests.metal.drivers.parse.refusing import never_anything_else, value_or_refusal

NODE = """\
# dmidecode 3.2
Getting SMBIOS data from sysfs.
SMBIOS 2.8 present.
9 structures occupying 900 bytes.
Table at 0x000E0000.

Handle 0x0000, DMI type 0, 24 bytes
BIOS Information
\tVendor: Acme Firmware
\tVersion: 4.1
\tRelease Date: 02/03/2021
\tCharacteristics:
\t\tPCI is supported
\t\tJapanese floppy for NEC 9800 1.2 MB is supported (int 13h)

Handle 0x0100, DMI type 1, 27 bytes
System Information
\tManufacturer: Acme
\tProduct Name: Blade  9
\tSerial Number: AC000123   \n\
\tUUID: 4C4C4544-0001-1010-8020-B0C04F313233
\tSKU Number: SKU=NotProvided;ModelName=Blade 9
\tFamily: Not Specified

Handle 0x0200, DMI type 2, 15 bytes
Base Board Information
\tManufacturer: Acme
\tProduct Name: MIDPLANE
\tSerial Number: MP1
\tType: Interconnect Board

Handle 0x0201, DMI type 2, 15 bytes
Base Board Information
\tManufacturer: Acme
\tProduct Name: 0ABC1
\tSerial Number: ..BB77.
\tChassis Handle: 0x0301
\tType: Server Blade

Handle 0x0300, DMI type 3, 22 bytes
Chassis Information
\tManufacturer: Acme
\tType: Blade
\tSerial Number: AC000123

Handle 0x0301, DMI type 3, 22 bytes
Chassis Information
\tManufacturer: Acme
\tType: Multi-system
\tSerial Number: ENC55
\tAsset Tag: Chassis Asset Tag

Handle 0x0400, DMI type 4, 42 bytes
Processor Information
\tSocket Designation: CPU1
\tType: Central Processor
\tVersion:        Acme   Core 12 @ 2.00GHz
\tStatus: Populated, Idle
\tCore Count: 12
\tThread Count: 24

Handle 0x2600, DMI type 38, 18 bytes
IPMI Device Information
\tInterface Type: SSIF (SMBus System Interface)
\tSpecification Version: 2.0

Handle 0x7F00, DMI type 127, 4 bytes
End Of Table
"""
MEMORY = """\
Handle 0x1000, DMI type 16, 23 bytes
Physical Memory Array
\tUse: System Memory

Handle 0x1001, DMI type 16, 23 bytes
Physical Memory Array
\tUse: Flash Memory

Handle 0x1100, DMI type 17, 84 bytes
Memory Device
\tArray Handle: 0x1000
\tSize: 16 GB
\tLocator: DIMM0
\tBank Locator: BANK 0
\tType: DDR4
\tSpeed: 2933 MT/s
\tManufacturer: 00CE00B300CE
\tSerial Number: 12AB34CD
\tPart Number: M393A2K40-CVF
\tConfigured Memory Speed: 2400 MT/s

Handle 0x1101, DMI type 17, 84 bytes
Memory Device
\tArray Handle: 0x1000
\tSize: 8192 MB
\tLocator: DIMM0
\tBank Locator: BANK 1
\tType: <OUT OF SPEC>
\tSpeed: 667 MHz (1.5 ns)
\tManufacturer: Manufacturer1
\tSerial Number: SerNum1
\tPart Number: Array1_PartNum1

Handle 0x1102, DMI type 17, 84 bytes
Memory Device
\tArray Handle: 0x1000
\tSize: 128 GB
\tLocator: DIMM1
\tType: Logical non-volatile device
\tNon-Volatile Size: 126 GB
\tVolatile Size: None

Handle 0x1103, DMI type 17, 84 bytes
Memory Device
\tArray Handle: 0x1000
\tSize: No Module Installed
\tLocator: DIMM2

Handle 0x1104, DMI type 17, 84 bytes
Memory Device
\tArray Handle: 0x1001
\tSize: 16 MB
\tLocator: SPI

Handle 0x1105, DMI type 17, 84 bytes
Memory Device
\tSize: 16 MB
\tLocator: System ROM
\tType: Flash
"""
QUIET = """\
BIOS Information
    Vendor: Acme Firmware

Cache Information
    Version: not a BIOS's

System Information
Manufacturer: Acme
Serial Number: Default string
UUID: 12345678-1234-5678-90AB-000000000000
"""

OLD = """\
SMBIOS 2.3 present.
6 structures occupying 400 bytes.
DMI table at 0x000F04B0.
Handle 0x0000
\tDMI type 0, 20 bytes.
\tBIOS Information Block
\t\tVendor: Acme Firmware
\t\tRelease: 09/02/2003
Handle 0x0001
\tDMI type 1, 25 bytes.
\tSystem Information Block
\t\tVendor: Acme
\t\tProduct: Box 1
\t\tSerial Number: OLD7
Handle 0x0003
\tDMI type 3, 17 bytes.
\tChassis Information Block
\t\tVendor: Chassis Manufacture
\t\tChassis Type: Tower
Handle 0x0004
\tDMI type 4, 35 bytes.
\tProcessor
\t\tSocket Designation: CPU 1
\t\tProcessor Type: Central Processor
\t\tProcessor Version: Acme II
Handle 0x0021
\tDMI type 17, 23 bytes.
\tMemory Device
\t\tSize: 512 Mbyte
\t\tLocator: DIMM 1
Handle 0x0022
\tDMI type 127, 4 bytes.
\tEnd-of-Table
"""


def test_versions_before_handles_stood_with_types():
    read = value_or_refusal("dmidecode", parse, OLD)
    assert (read["bios"]["vendor"], read["bios"]["date"]) == ("Acme Firmware", "09/02/2003")
    system = read["system"]
    assert (system["manufacturer"], system["product"], system["serial"]) == ("Acme", "Box 1", "OLD7")
    assert (read["chassis"]["type"], read["chassis"]["manufacturer"]) == ("Tower", None)
    assert [cpu["model"] for cpu in read["cpus"]] == ["Acme II"]
    assert read["memory"]["total_bytes"] == 512 << 20


def test_a_node_is_read_whole():
    read = value_or_refusal("dmidecode", parse, NODE)
    assert read["bios"] == {"vendor": "Acme Firmware", "version": "4.1", "date": "02/03/2021"}
    assert read["system"] == {
        "manufacturer": "Acme",
        "product": "Blade 9",
        "serial": "AC000123",
        "uuid": "4c4c4544-0001-1010-8020-b0c04f313233",
        "sku": None,
        "family": None,
    }
    cpu = {"socket": "CPU1", "model": "Acme Core 12 @ 2.00GHz", "cores": 12, "threads": 24}
    assert read["cpus"] == [cpu]
    assert read["bmc"] == {"interface": "SSIF", "version": "2.0"}
    assert read["memory"] == {"total_bytes": None, "slots": None, "modules": []}
    assert "9 structures occupying 900 bytes." in read["ignored"]


def test_a_blade_is_its_own_board_and_the_enclosure_that_this_board_names():
    read = value_or_refusal("dmidecode", parse, NODE)
    assert read["baseboard"] == {"manufacturer": "Acme", "product": "0ABC1", "serial": "..BB77."}
    assert (read["chassis"]["type"], read["chassis"]["serial"]) == ("Multi-system", "ENC55")
    assert read["placeholders"] == ["system.sku", "system.family", "chassis.asset_tag"]


def test_memory_counts_what_is_ram_and_names_every_module_once():
    memory = value_or_refusal("dmidecode", parse, MEMORY)["memory"]
    assert memory["slots"] == 4
    assert memory["total_bytes"] == 24 << 30
    assert [(one["slot"], one["size_bytes"] >> 30) for one in memory["modules"]] == [
        ("BANK 0 DIMM0", 16),
        ("BANK 1 DIMM0", 8),
        ("DIMM1", 128),
    ]
    assert [one["speed_mts"] for one in memory["modules"]] == [2933, 667, None]


def test_fillers_of_a_slot_are_told_with_their_place():
    read = parse(MEMORY)
    module = read.value.memory.modules[1]
    assert (module.type, module.manufacturer, module.part, module.serial) == (None, None, None, None)
    assert read.placeholders == tuple(
        f"memory.modules[1].{name}" for name in ("type", "manufacturer", "part", "serial")
    )


def test_the_quiet_form_keeps_structures_apart_and_needs_no_indentation():
    read = value_or_refusal("dmidecode", parse, QUIET)
    assert read["bios"]["version"] is None
    assert read["system"]["manufacturer"] == "Acme"
    assert read["placeholders"] == ["system.serial", "system.uuid"]


def test_a_second_listing_of_a_session_replaces_the_first():
    again = "# dmidecode 3.2\n" + MEMORY.replace("12AB34CD", "99AB34CD")
    memory = parse("# dmidecode 3.2\n" + MEMORY + "\n" + again).value.memory
    assert (memory.slots, memory.modules[0].serial) == (4, "99AB34CD")


def test_sockets_without_a_processor_are_left_out():
    empty = "Handle 0x4, DMI type 4, 42 bytes\nProcessor Information\n\tVersion: Not Specified\n"
    coprocessor = (
        "Handle 0x5, DMI type 4, 42 bytes\nProcessor Information\n\tType: Math Processor\n\tVersion: X\n"
    )
    gone = "Handle 0x6, DMI type 4, 42 bytes\nProcessor Information\n\tVersion: X\n\tStatus: Unpopulated\n"
    old = "Handle 0x7, DMI type 4, 32 bytes\nProcessor Information\n\tVersion: Acme II\n"
    cpus = parse(f"{empty}\n{coprocessor}\n{gone}\n{old}").value.cpus
    assert [(cpu.model, cpu.cores) for cpu in cpus] == [("Acme II", None)]


def test_the_identity_of_a_machine_is_of_the_same_reading():
    got = parse_dmidecode(NODE + "\n" + MEMORY)
    assert (got.product, got.serial, got.memory_bytes) == ("Blade 9", "AC000123", 24 << 30)


@pytest.mark.parametrize(
    "text",
    [
        "To Be Filled By O.E.M.",
        ".........",
        "Chassis Serial Number",
        "System manufacturer",
        "SerNum0",
        "A1_AssetTagNum0",
        "00000000",
        "0xFFFFFFFF",
        "000000-000",
        "Not Set",
        "Type2 - Board Serial Number",
        "Type1 - 123456789",
        "Type1Sku0",
        "0123456789ABCDEF",
        "01234567890123456789AB",
        "123456789012345",
        "<BAD INDEX>",
        "(^_^)",
        "Unknown (0x4A66)",
    ],
)
def test_placeholders(text):
    assert is_placeholder(text)


@pytest.mark.parametrize(
    "text",
    [
        "42",
        "ProLiant",
        "0MD99X",
        "00CE00B300CE",
        "SN0",
        "Family 17h",
        "F0F9053F",
        "12345678",
        "Type 2",
        "0123456780",
    ],
)
def test_no_placeholders(text):
    assert not is_placeholder(text)


def test_an_absent_text_is_no_placeholder_and_an_unprogrammed_one_is():
    ids = Identities()
    assert ids.serial(None, "a") is None
    assert ids.serial("  ", "b") is None
    assert ids.serial("11111", "c") is None
    assert ids.mac("ff:ff:ff:ff:ff:ff", "d") is None
    assert ids.uuid("78563412-3412-7856-90AB-CDDEEFAABBCC", "e") is None
    assert ids.paths == ["c", "d", "e"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("# dmidecode 3.3\n/dev/mem: Permission denied\n", "line 1: expected SMBIOS structures"),
        ("# No SMBIOS nor DMI entry point found, sorry.\n", "expected SMBIOS structures"),
        (NODE[: NODE.index("System Information")], "expected a structure after its handle"),
        (NODE[: NODE.index("\tUUID")], "expected 9 structures, as announced"),
        ("00:1f.2 SATA controller: Acme\n", "expected SMBIOS structures"),
    ],
)
def test_refusals_say_where(text, said):
    with pytest.raises(Unparsable) as error:
        parse(text)
    assert said in error.value.message


def test_a_table_that_is_broken_itself_is_read_as_far_as_it_goes():
    broken = NODE[: NODE.index("\tUUID")] + "Wrong DMI structures count: 9 announced, only 2 decoded.\n"
    assert parse(broken).value.system.serial == "AC000123"


test_nothing_but_a_value_or_a_refusal = never_anything_else("dmidecode", parse, (NODE, MEMORY, QUIET, OLD))
