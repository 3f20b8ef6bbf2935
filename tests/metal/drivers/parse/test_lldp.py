"""Neighbours in each form of lldpctl and lldptool."""

import json

import pytest

from metal.drivers.network.lldp import parse
from metal.errors import Unparsable
from tests.metal.drivers.parse.refusing import never_anything_else, value_or_refusal

KEYVALUE = """\
# lldpctl -f keyvalue
lldp.eth0.via=LLDP
lldp.eth0.rid=1
lldp.eth0.chassis.mac=02:00:00:00:00:01
lldp.eth0.chassis.name=sw1
lldp.eth0.chassis.descr=Acme OS
Copyright (c) Acme
lldp.eth0.chassis.mgmt-ip=192.0.2.1
lldp.eth0.chassis.mgmt-ip=fe80::1
lldp.eth0.port.local=512
lldp.eth0.port.descr=Not received
lldp.eth0.vlan.vlan-id=10
lldp.eth0.vlan=ten
lldp.eth0.vlan.vlan-id=20
lldp.eth0.vlan.pvid=yes
lldp.eth0.vlan=twenty
lldp.eth0.via=CDPv2
lldp.eth0.chassis.local=cdp-sw
lldp.eth0.port.ifname=Gi1/0/1
lldp.bond0.100.chassis.name=sw2
lldp.bond0.100.port.mac=02:00:00:00:00:22
lldp.bond0.100.vlan.vlan-id=300
"""
CHASSIS = {"id": {"type": "mac", "value": "02:00:00:00:00:01"}, "mgmt-ip": ["192.0.2.1", "fe80::1"]}
PORT = {"id": {"type": "ifname", "value": "swp1"}, "descr": "to\n m1"}
ONE = {
    "via": "LLDP",
    "chassis": {"sw1": CHASSIS},
    "port": PORT,
    "vlan": [{"vlan-id": "10", "pvid": False, "value": "ten"}, {"vlan-id": 20, "pvid": True}],
}
NAMELESS = {"via": "LLDP", "chassis": CHASSIS, "port": {"id": {"type": "local", "value": "5"}}}
SEVERAL = json.dumps({"lldp": {"interface": [{"eno1": ONE}, {"eno2": NAMELESS}]}}, indent=1)
JSON0 = json.dumps(
    {
        "lldp": [
            {
                "interface": [
                    {
                        "name": "eno1",
                        "via": "LLDP",
                        "chassis": [
                            {
                                "id": [{"type": "mac", "value": "02:00:00:00:00:01"}],
                                "name": [{"value": "sw1"}],
                                "mgmt-ip": [{"value": "192.0.2.1"}],
                            }
                        ],
                        "port": [{"id": [{"type": "ifname", "value": "swp1"}], "descr": [{"value": "d"}]}],
                        "vlan": [{"vlan-id": "20", "pvid": "yes", "value": "twenty"}],
                    }
                ]
            }
        ]
    },
    indent=1,
)
PLAIN = """\
-------------------------------------------------------------------------------
LLDP neighbors:
-------------------------------------------------------------------------------
Interface:    eno1, via: LLDP, RID: 1, Time: 0 day, 00:01:05
  Chassis:
    ChassisID:    mac 02:00:00:00:00:01
    SysName:      sw1
    SysDescr:     Acme OS
    MgmtIP:       192.0.2.1
    MgmtIP:       fe80::1
    Capability:   Bridge, on
  Port:
    PortID:       ifname swp1
    PortDescr:    to m1
    TTL:          120
  VLAN:         10 ten
  VLAN:         20, pvid: yes twenty
-------------------------------------------------------------------------------
Interface:    eno2, via: LLDP, RID: 2, Time: 0 day, 00:01:05
  Chassis:
    ChassisID:    local 77
  Port:
    PortID:       local 5
  VLAN:         30 thirty
-------------------------------------------------------------------------------
"""
TLVS = """\
Chassis ID TLV
\tMAC: 02:00:00:00:00:01
Port ID TLV
\tIfname: Ethernet1/14
Time to Live TLV
\t120
Port Description TLV
\tto m1
System Name TLV
\tsw1
System Description TLV
\tAcme OS
support: http://example.test
Management Address TLV
\tIPv4: 192.0.2.1
\tIfindex: 7
Port VLAN ID TLV
\tPVID: 20
End of LLDPDU TLV
"""


def brief(text):
    return [
        (one["interface"], one["system"], one["chassis"], one["port"], one["vlan"], one["management"])
        for one in value_or_refusal("lldp", parse, text)["neighbours"]
    ]


MAC = "02:00:00:00:00:01"


def test_keyvalue_has_a_neighbour_per_protocol_and_interfaces_with_dots():
    assert brief(KEYVALUE) == [
        ("eth0", "sw1", MAC, "512", 20, ["192.0.2.1", "fe80::1"]),
        ("eth0", None, "cdp-sw", "Gi1/0/1", None, []),
        ("bond0.100", "sw2", None, "02:00:00:00:00:22", 300, []),
    ]
    read = parse(KEYVALUE)
    assert read.value.neighbours[0].port_description is None
    assert read.ignored == ("# lldpctl -f keyvalue",)


def test_a_description_over_several_lines_is_one_text():
    text = "lldp.e.port.descr=one\ntwo\nlldp.e.port.ifname=x\n"
    assert parse(text).value.neighbours[0].port_description == "one two"


def test_a_prompt_is_no_part_of_a_description():
    read = parse("lldp.e.port.ifname=x\nlldp.e.port.descr=one\n[root@rf ~]#\n")
    assert read.value.neighbours[0].port_description == "one"
    assert read.ignored == ("[root@rf ~]#",)


def test_json_of_several_interfaces_with_and_without_a_system_name():
    assert brief("warning: lldpd is old\n" + SEVERAL) == [
        ("eno1", "sw1", MAC, "swp1", 20, ["192.0.2.1", "fe80::1"]),
        ("eno2", None, MAC, "5", None, ["192.0.2.1", "fe80::1"]),
    ]
    assert parse(SEVERAL).value.neighbours[0].port_description == "to m1"


def test_json_of_one_interface_is_an_object():
    text = json.dumps({"lldp": {"interface": {"eno1": [ONE, NAMELESS]}}})
    assert [port for *_, port, _, _ in brief(text)] == ["swp1", "5"]


def test_json0_has_lists_everywhere():
    assert brief(JSON0) == [("eno1", "sw1", MAC, "swp1", 20, ["192.0.2.1"])]


def test_the_form_for_people():
    assert brief(PLAIN) == [
        ("eno1", "sw1", MAC, "swp1", 20, ["192.0.2.1", "fe80::1"]),
        ("eno2", None, "77", "5", 30, []),
    ]


def test_a_vlan_for_phones_is_not_that_of_the_port():
    begin, end = PLAIN.split("  VLAN:         10 ten\n  VLAN:         20, pvid: yes twenty\n")
    policy = (
        "  LLDP-MED:     \n    LLDP-MED Network Policy for: Voice, Defined: yes\n      VLAN:         99\n"
    )
    assert [vlan for *_, vlan, _ in brief(begin + policy + end)] == [None, 30]
    assert [vlan for *_, vlan, _ in brief(begin + "  VLAN:         40, pvid: yes\n" + policy + end)] == [
        40,
        30,
    ]


def test_a_name_without_text_is_absent():
    assert brief(PLAIN.replace("sw1", "(none)"))[0][1] is None


def test_lldptool_does_not_name_the_interface():
    assert brief("# lldptool -t -n -i eno1\n" + TLVS) == [
        (None, "sw1", MAC, "Ethernet1/14", 20, ["192.0.2.1"])
    ]


def test_two_outputs_are_two_neighbours_and_the_same_one_twice_is_one():
    other = TLVS.replace("1/14", "1/15")
    assert [port for *_, port, _, _ in brief(TLVS + other + TLVS)] == ["Ethernet1/14", "Ethernet1/15"]


@pytest.mark.parametrize(
    "text",
    [
        '{"lldp": {}}',
        '{"lldp": [{}]}',
        '{"lldp": {"interface": []}}',
        PLAIN.split("Interface", maxsplit=1)[0],
    ],
)
def test_nobody_is_an_empty_list(text):
    assert value_or_refusal("lldp", parse, text)["neighbours"] == []


@pytest.mark.parametrize(
    ("lines", "vlan"),
    [
        ("vlan-id=7", 7),
        ("vlan-id=7\nlldp.e.vlan.pvid=no", None),
        ("vlan-id=7\nlldp.e.vlan.vlan-id=8", None),
        ("vlan-id=7\nlldp.e.vlan.vlan-id=7", 7),
        ("vlan-id=0\nlldp.e.vlan.pvid=yes", None),
        ("vlan-id=5000", None),
    ],
)
def test_the_vlan_is_the_untagged_one_or_the_only_one(lines, vlan):
    assert parse(f"lldp.e.vlan.{lines}\n").value.neighbours[0].vlan == vlan


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"lldp": {"interface": 3}}', "line 1: expected an object of an interface"),
        ('{"lldp": {"interface": {"eno1": 3}}}', "expected an object of the interface eno1"),
        ('{"other": 1}', "expected an object 'lldp'"),
        (SEVERAL[:-20], "expected JSON"),
        (TLVS.replace("End of LLDPDU TLV\n", ""), "expected 'End of LLDPDU TLV' of the neighbour at line 1"),
        ("End of LLDPDU TLV\n", "line 1: expected 'Chassis ID TLV'"),
        (KEYVALUE + "lldp.bond0.100.vl", "line 23: expected a key, '=' and its value"),
        ("unable to get connection to lldpd\n", "line 1: expected neighbours"),
    ],
)
def test_refusals_say_where(text, said):
    with pytest.raises(Unparsable) as error:
        parse(text)
    assert said in error.value.message


test_nothing_but_a_value_or_a_refusal = never_anything_else(
    "lldp", parse, (KEYVALUE, SEVERAL, JSON0, PLAIN, TLVS)
)
