"""All hardware at once: one round trip, and a missing tool spoils only its own part."""

import json

import pytest

from metal.drivers.hardware import QUERIES, read_hardware
from metal.drivers.raid import FAMILIES
from metal.drivers.raid.detection import first_questions
from metal.drivers.raid.ssacli.commands import SSACLI
from metal.protocols import Output
from metal.testing.fake_shell import FakeShell, UnexpectedCommandError

MC_INFO = (
    "Device ID                 : 32\nFirmware Revision         : 2.10\nManufacturer ID           : 343\n"
)
LAN = """\
channel 1
Invalid channel: 1
channel 2
IP Address Source       : Static Address
IP Address              : 10.77.9.30
Subnet Mask             : 255.255.255.0
MAC Address             : 52:54:00:77:01:99
Default Gateway IP      : 0.0.0.0
"""
ANSWERS = {
    "dmidecode": "System Information\n\tManufacturer: Acme\n\tSerial Number: RF-1\n"
    "Memory Device\n\tSize: 512 MB\n",
    "platform": "sys_vendor=Acme\nproduct_name=R1\nfirmware=bios\nmemtotal_kib=400000\narch=x86_64\ntpm=2\n",
    "lscpu": json.dumps({"lscpu": [{"field": "CPU(s):", "data": "2"}]}),
    "ip-link": json.dumps([{"ifname": "eth0", "address": "52:54:00:00:00:01"}]),
    "nic-sysfs": "eth0 1 virtio_net pf 1 -1 /sys/devices/pci0000:00/0000:00:03.0/virtio1\n",
    "udev-settle": "",
    "lsblk": json.dumps({"blockdevices": [{"name": "vda", "kname": "vda", "type": "disk", "size": 1024}]}),
    "disk-sysfs": "disk vda\nserial RF0001\n",
    "by-path": "",
    "disk-heads": "vda zero\n",
    "erasers": '{"vda": {"can": ["discard"], "problem": null}}\n',
    "md-detail": "",
    "lvm": '{"report": []}',
    "bmc-mc-info": MC_INFO,
    "bmc-guid": " d7 c6 b5 a4 02 01 04 43 85 06 07 08 09 0a 0b 0c\n",
    "bmc-lan": LAN,
    "pci-storage": "",
    "raid-tools": "",
}
ALL = (*QUERIES, *first_questions(FAMILIES))


def shell(**changed) -> FakeShell:
    answers = {**ANSWERS, **{key.replace("_", "-"): value for key, value in changed.items()}}
    return FakeShell({query.argv: answers[query.name] for query in ALL})


def missing(name: str) -> Output:
    return Output((name,), 127, "", f"timeout: failed to run command '{name}'\n")


def test_everything_is_read_in_one_round_trip():
    machine = shell()
    hardware, unknown = read_hardware(machine, "52:54:00:00:00:01")
    assert unknown == {}
    assert (hardware.manufacturer, hardware.product, hardware.serial) == ("Acme", "R1", "RF-1")
    assert (hardware.firmware, hardware.arch, hardware.memory_bytes) == ("bios", "amd64", 512 << 20)
    assert (hardware.tpm, hardware.nics[0].booted) == ("2.0", True)
    assert (hardware.disks[0].serial, hardware.disks[0].found) == ("RF0001", ())
    assert hardware.disks[0].erases == ("discard",)
    assert (hardware.bmc.channel, hardware.bmc.address, hardware.bmc.gateway) == (2, "10.77.9.30", None)
    assert hardware.bmc.guid == "a4b5c6d7-0102-4304-8506-0708090a0b0c"
    assert machine.writes == 0
    assert len(machine.asked) == len(ALL)


def test_a_raid_controllers_tool_is_asked_in_a_second_round_trip():
    machine = shell(raid_tools="/usr/local/sbin/ssacli\n")
    (query,) = SSACLI.queries("ssacli")
    machine.script = {**machine.script, query.argv: missing("ssacli")}
    hardware, unknown = read_hardware(machine, None)
    assert machine.asked[-1] == query.argv
    assert hardware.controllers == ()
    assert "controllers.ssacli" in unknown


def test_a_controller_whose_tool_is_missing_is_shown_with_the_tool_to_add():
    bus = "0000:03:00.0 0x010400 0x103c 0x3239 0x103c 0x21c0 hpsa\n"
    hardware, _ = read_hardware(shell(pci_storage=bus), None)
    assert [(one.pci, one.driver) for one in hardware.controllers] == [("0000:03:00.0", "ssacli")]
    assert "tool missing: ssacli (put it in bootos/vendor" in (hardware.controllers[0].problem or "")


def test_a_missing_tool_is_unknown_and_nothing_else_is():
    no_bmc = Output(("ipmitool",), 1, "", "Could not open device at /dev/ipmi0\n")
    broken = {"dmidecode": missing("dmidecode"), "lsblk": "{", "bmc_mc_info": no_bmc}
    hardware, unknown = read_hardware(shell(**broken), None)
    assert unknown.keys() == {"serial", "disks", "raids", "bmc"}
    assert "failed to run" in unknown["serial"]
    assert "Could not open device" in unknown["bmc"]
    assert (hardware.manufacturer, hardware.memory_bytes) == ("Acme", 400000 * 1024)
    assert hardware.bmc is None
    assert len(hardware.nics) == 1


def test_a_machine_that_answers_nothing_is_all_unknown():
    hardware, unknown = read_hardware(shell(**{key: missing(key) for key in ANSWERS}), None)
    assert unknown.keys() == {"arch", "cpu_model", "serial", "nics", "disks", "raids", "bmc"}
    assert hardware.disks == ()


def test_the_fake_shell_fails_a_test_that_asks_for_something_else():
    with pytest.raises(UnexpectedCommandError, match="rm -rf"):
        shell().read(("rm", "-rf", "/"))
