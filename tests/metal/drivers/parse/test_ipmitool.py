"""ipmitool's tables: controller, LAN, users, FRUs, chassis."""

import pytest

from metal.drivers.bmc.ipmitool import chassis, fru, lan, mc, users
from metal.errors import Unparsable
from tests.metal.drivers.parse.refusing import never_anything_else, value_or_refusal

MC = """\
Device ID                 : 32
Device Revision           : 1
Firmware Revision         : 2.41
IPMI Version              : 2.0
Manufacturer ID           : 19046
Manufacturer Name         : Unknown (0x4A66)
Product ID                : 1044 (0x0414)
Product Name              : Unknown (0x414)
Device Available          : yes
Additional Device Support :
    Sensor Device
    SEL Device
Aux Firmware Rev Info     :
    0x00
"""
GUID = "System GUID  : 31303043-534d-2500-90d8-7a1600000000\nTimestamp    : 01/02/1996 03:04:05\n"
LAN = """\
Get HPM.x Capabilities request failed, compcode = c9
Set in Progress         : Set Complete
Auth Type Enable        : Callback : MD2 MD5 PASSWORD
                        : User     : MD2 MD5 PASSWORD
IP Address Source       : DHCP Address
IP Address              : 10.9.8.7
Subnet Mask             : 255.255.255.0
MAC Address             : 00:25:90:AA:BB:0c
SNMP Community String   : a : b
Default Gateway IP      : 0.0.0.0
802.1q VLAN ID          : 120
RMCP+ Cipher Suites     : 1,3,17
Cipher Suite Priv Max   : XaaaXX
                        :     X=Cipher Suite Unused
"""
USERS = """\
ID  Name\t     Callin  Link Auth\tIPMI Msg   Channel Priv Limit
1                    false   false      true       ADMINISTRATOR
2   a name of two    true    true       true       OPERATOR
3   (Empty User)     true    false      false      NO ACCESS
4   true             true    false      false      Unknown (0x00)
"""
ACCESS = """\
Maximum User IDs     : 16
Enabled User IDs     : 1

User ID              : 2
User Name            : ADMIN
Fixed Name           : Yes
Access Available     : call-in / callback
Link Authentication  : enabled
IPMI Messaging       : disabled
Privilege Level      : ADMINISTRATOR
Enable Status        : disabled
"""
FRUS = """\
FRU Device Description : Builtin FRU Device (ID 0)
 Chassis Type          : Other
 Chassis Part Number   : CSE-1
 Chassis Serial        : C1X2
 Board Mfg Date        : Mon Jan  1 00:00:00 1996
 Board Mfg             : Acme
 Board Product         : NONE
 Board Serial          : B33          \n\
 Board Part Number     : X11
 Board Extra           : one
 Board Extra           : two
 Product Manufacturer  : Acme
 Product Name          : Node  7
 Product Part Number   : SYS-7
 Product Serial        : 0123456789
 Product Asset Tag     :

FRU Device Description : AST2500
 Board Mfg             : Acme

FRU Device Description : PS2 (ID 2)
 Device not present (Timeout)

FRU Device Description : CPU0 DIMM0 (ID 18)
 Memory Type           : DDR4 SDRAM

FRU Device Description : OEM fru (ID 17)

"""
CHASSIS = """\
System Power         : on
Power Overload       : false
Main Power Fault     : false
Power Restore Policy : always-off
Last Power Event     : ac-failed
Drive Fault          : false
Cooling/Fan Fault    : true
Chassis Identify State : Indefinite On
"""


def test_names_that_ipmitool_does_not_know_are_placeholders():
    read = value_or_refusal("ipmitool-mc", mc.parse, MC)
    assert (read["device_id"], read["manufacturer_id"], read["product_id"]) == (32, 19046, 1044)
    assert (read["manufacturer"], read["product"], read["guid"]) == (None, None, None)
    assert read["placeholders"] == ["manufacturer", "product"]
    assert read["ignored"] == []


def test_a_guid_alone_is_a_controller_without_ids():
    read = mc.parse(GUID + MC.replace("2.41", "2.50")).value
    assert read.guid == "31303043-534d-2500-90d8-7a1600000000"
    assert read.firmware == "2.50"
    assert mc.parse(GUID).value.device_id is None


def test_a_lan_channel():
    read = value_or_refusal("ipmitool-lan", lan.parse, LAN)
    assert read["ip_source"] == "dhcp"
    assert (read["address"], read["gateway"], read["netmask"]) == ("10.9.8.7", None, "255.255.255.0")
    assert (read["mac"], read["vlan"]) == ("00:25:90:aa:bb:0c", 120)
    assert read["cipher_suites"] == [1, 3, 17]
    assert read["ignored"] == ["Get HPM.x Capabilities request failed, compcode = c9"]


@pytest.mark.parametrize(
    ("printed", "read"),
    [
        ("Static Address", "static"),
        ("BIOS Assigned Address", "bios"),
        ("Other", "other"),
        ("Something new", "other"),
        ("Unspecified", None),
    ],
)
def test_sources_of_an_address(printed, read):
    assert lan.parse(f"IP Address Source : {printed}\n").value.ip_source == read


def test_a_channel_that_is_not_set_up_has_no_address_and_no_vlan():
    text = "IP Address : 0.0.0.0\nMAC Address : 00:00:00:00:00:00\n802.1q VLAN ID : Disabled\n"
    read = lan.parse(text + "RMCP+ Cipher Suites : None\n")
    assert (read.value.address, read.value.mac, read.value.vlan) == (None, None, None)
    assert read.value.cipher_suites == ()
    assert read.placeholders == ("mac",)


def test_a_user_table_keeps_empty_names_and_privileges_as_printed():
    read = users.parse("# ipmitool user list 1\n" + USERS)
    assert [(user.id, user.name, user.callin, user.privilege) for user in read.value.users] == [
        (1, None, False, "ADMINISTRATOR"),
        (2, "a name of two", True, "OPERATOR"),
        (3, None, True, "NO ACCESS"),
        (4, "true", True, "Unknown (0x00)"),
    ]
    assert read.ignored == ("# ipmitool user list 1",)


def test_a_later_line_of_a_user_holds():
    (first, *_) = users.parse(USERS + "1,root,true,true,false,USER\n").value.users
    assert (first.name, first.link_auth, first.ipmi_msg, first.privilege) == ("root", True, False, "USER")


def test_access_blocks_tell_who_is_enabled():
    (user,) = users.parse(ACCESS).value.users
    assert (user.id, user.name, user.enabled, user.ipmi_msg, user.callin) == (2, "ADMIN", False, False, None)


def test_a_summary_names_nobody():
    assert users.parse("Maximum IDs         : 10\nEnabled User Count  : 2\n").value.users == ()


def test_frus_are_present_if_they_show_a_field():
    read = value_or_refusal("ipmitool-fru", fru.parse, "Get Device ID failed\n" + FRUS)
    assert [(one["id"], one["description"], one["present"]) for one in read["frus"]] == [
        (0, "Builtin FRU Device", True),
        (None, "AST2500", True),
        (2, "PS2", False),
        (18, "CPU0 DIMM0", True),
        (17, "OEM fru", False),
    ]
    board = {"manufacturer": "Acme", "product": None, "serial": "B33", "part": "X11"}
    assert read["frus"][0]["board"] == board
    assert read["frus"][0]["chassis"] == {"type": "Other", "serial": "C1X2", "part": "CSE-1"}
    product = read["frus"][0]["product"]
    assert (product["name"], product["serial"], product["asset_tag"]) == ("Node 7", None, None)
    assert read["placeholders"] == ["frus[0].board.product", "frus[0].product.serial"]
    assert read["ignored"] == ["Get Device ID failed"]


ONE_FRU = """\
 Chassis Type          : Rack Mount Chassis
 Board Mfg Date        : Mon Jan  1 00:00:00 1996 UTC
 Board Mfg             : Acme
 Product Name          : Node 7
"""


def test_one_device_asked_for_by_its_id_has_no_line_that_names_it():
    read = value_or_refusal("ipmitool-fru", fru.parse, "Get Device ID failed\n" + ONE_FRU)
    (one,) = read["frus"]
    assert (one["id"], one["description"], one["present"]) == (None, None, True)
    assert (one["board"]["manufacturer"], one["product"]["name"]) == ("Acme", "Node 7")
    assert one["chassis"]["type"] == "Rack Mount Chassis"
    assert read["ignored"] == ["Get Device ID failed"]


def test_a_session_tells_the_ids_of_devices_that_were_asked_for():
    absent = "# ipmitool fru list 0x3\n Device not present (Timeout)\n"
    frus = fru.parse(f"root@node7:~# ipmitool fru print 0\n{ONE_FRU}{absent}").value.frus
    assert [(one.id, one.present, one.board.manufacturer) for one in frus] == [
        (0, True, "Acme"),
        (3, False, None),
    ]


def test_a_description_may_hold_brackets_and_be_of_any_length():
    line = "FRU Device Description : "
    told = fru.parse(
        f"{line}PSU (left) (ID 3)\n{line}x{' ' * 200_000}y\n{line}{'(ID 4) ' * 30_000}z\n"
    ).value.frus
    assert [(one.id, (one.description or "")[:10]) for one in told] == [
        (3, "PSU (left)"),
        (None, "x y"),
        (None, "(ID 4) (ID"),
    ]


def test_fields_are_known_without_their_indentation():
    plain = "\n".join(line.strip() for line in FRUS.splitlines())
    assert fru.parse(plain).value.frus[0] == fru.parse(FRUS).value.frus[0]


def test_a_fru_printed_again_replaces_the_first():
    frus = fru.parse(FRUS + FRUS.replace("B33", "B44")).value.frus
    assert [one.board.serial for one in frus if one.id == 0] == ["B44"]
    assert len(frus) == 6  # those without an id are not known to be the same


def test_the_chassis_has_a_fault_if_any_line_says_so():
    read = value_or_refusal("ipmitool-chassis", chassis.parse, CHASSIS)
    assert read["power"] == "on"
    assert read["restore_policy"] == "always-off"
    assert read["fault"] is True
    assert read["identify"] == "indefinite on"
    assert chassis.parse(CHASSIS.replace("true", "false")).value.fault is False


def test_the_sentence_of_a_power_status_is_read_and_the_last_one_holds():
    read = chassis.parse(CHASSIS + "Chassis Power is off\r\n").value
    assert (read.power, read.restore_policy) == ("off", "always-off")
    assert chassis.parse("Chassis Power is on\n").value.fault is None


@pytest.mark.parametrize("parse", [mc.parse, lan.parse, users.parse, fru.parse, chassis.parse])
@pytest.mark.parametrize(
    "text",
    [
        "Could not open device at /dev/ipmi0 or /dev/ipmi/0: No such file or directory\n",
        "Error: Unable to establish IPMI v2 / RMCP+ session\n",
        "Invalid channel: 8\n",
        "Set Chassis Power Control to Up/On failed: Command not supported in present state\n",
        "CPU Temp         | 35 degrees C      | ok\n",
    ],
)
def test_texts_of_errors_alone_are_refused(parse, text):
    with pytest.raises(Unparsable, match="line 1: expected"):
        parse(text)


@pytest.mark.parametrize(
    ("parse", "text", "said"),
    [
        (users.parse, USERS.splitlines()[0], "line 2: expected a user below the header"),
        (users.parse, "User ID : none\n", "line 1: expected a number of a user"),
        (mc.parse, "Device Available : yes\n", "expected a controller's ids"),
    ],
)
def test_refusals_say_where(parse, text, said):
    with pytest.raises(Unparsable) as error:
        parse(text)
    assert said in error.value.message


test_any_mc_text = never_anything_else("ipmitool-mc", mc.parse, (MC, GUID))
test_any_lan_text = never_anything_else("ipmitool-lan", lan.parse, (LAN,))
test_any_user_text = never_anything_else("ipmitool-user", users.parse, (USERS, ACCESS))
test_any_fru_text = never_anything_else("ipmitool-fru", fru.parse, (FRUS, ONE_FRU))
test_any_chassis_text = never_anything_else("ipmitool-chassis", chassis.parse, (CHASSIS,))


def test_a_user_table_with_a_column_of_who_is_enabled():
    rows = (
        "ID  Name             Enabled Callin  Link Auth  IPMI Msg   Channel Priv Limit\n"
        "1                    false   true    false      false      NO ACCESS\n"
        "2   rack admin       true    true    true       true       ADMINISTRATOR\n"
        "3   (Empty User)     false   true    false      false      NO ACCESS\n"
    )
    first, second, empty = users.parse(rows).value.users
    assert (first.name, first.enabled, first.callin) == (None, False, True)
    assert (second.name, second.enabled, second.privilege) == ("rack admin", True, "ADMINISTRATOR")
    assert (empty.name, empty.enabled) == (None, False)
    plain = "ID  Name\t     Callin  Link Auth\tIPMI Msg   Channel Priv Limit\n"
    plain += "3   is true          true    false      true       USER\n"
    (third,) = users.parse(plain).value.users
    assert (third.name, third.enabled) == ("is true", None)
