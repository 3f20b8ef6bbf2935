"""Rack files: strict, with every finding at once; and the command line they become."""

import pytest
import yaml

from lab.definition import DEFAULT_RACK, RACKS_DIR, load, parse
from lab.errors import LabError
from lab.machine import Machine, require
from lab.network import batches


def demo() -> dict:
    return yaml.safe_load(DEFAULT_RACK.read_text())


def test_the_demo_rack_is_one_bios_and_one_uefi_machine():
    rack = load(DEFAULT_RACK)

    assert [(machine.name, machine.firmware) for machine in rack.machines] == [("m1", "bios"), ("m2", "uefi")]
    assert rack.machine("m2").disks[1].wwn == 0x5000C50077020001


def test_all_findings_come_at_once_with_their_path():
    raw = demo()
    raw["machines"][0]["memroy_mib"] = 1
    raw["machines"][0]["nics"][0]["modle"] = "x"
    raw["machines"][1]["firmware"] = "openfirmware"
    raw["machines"][1]["cpus"] = 0
    raw["colour"] = "red"

    with pytest.raises(LabError) as error:
        parse(yaml.safe_dump(raw), "rack.yaml")

    text = str(error.value)
    assert "rack.yaml: 5 finding(s)" in text
    for expected in ("colour: unknown key", "machines[0].memroy_mib", "machines[0].nics[0].modle"):
        assert expected in text
    assert "machines[1].firmware: expected one of bios, uefi, got 'openfirmware'" in text


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("memory_mib",), True),
        (("memory_mib",), "512"),
        (("name",), "a-name-too-long"),
        (("nics", 0, "mac"), "01:00:5e:00:00:01"),
        (("disks", 0, "size"), "8GB"),
        (("disks", 0, "serial"), "x" * 21),
        (("smbios", "uuid"), "not-a-uuid"),
        (("bmc",), "none"),
        (("nics",), {}),
    ],
)
def test_a_wrong_value_is_refused(path, value):
    raw = demo()
    where = raw["machines"][0]
    for key in path[:-1]:
        where = where[key]
    where[path[-1]] = value

    with pytest.raises(LabError, match="1 finding"):
        parse(yaml.safe_dump(raw), "rack.yaml")


def test_two_machines_with_one_address_are_refused():
    raw = demo()
    raw["machines"][1]["nics"][0]["mac"] = raw["machines"][0]["nics"][1]["mac"]

    with pytest.raises(LabError, match="used twice"):
        parse(yaml.safe_dump(raw), "rack.yaml")


IMPOSTOR = RACKS_DIR / "impostor.yaml"


def test_an_impostor_shows_another_machines_identity_but_its_own_bmc_and_disk():
    honest, impostor = load(IMPOSTOR).machines

    assert impostor.smbios == honest.smbios
    assert [nic.mac for nic in impostor.nics] == [nic.mac for nic in honest.nics]
    assert impostor.bmc.mac != honest.bmc.mac
    assert impostor.disks[0].serial != honest.disks[0].serial


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        (("claims: m1", "claims: m9"), "no machine 'm9' that claims nobody"),
        (("claims: m1", "claims: mx"), "no machine 'mx' that claims nobody"),
        (("claims: m1", "cpus: 2"), "smbios: missing"),
        (("RF-MX-D0", "RF-M1-D0"), "disk serial RF-M1-D0 is used twice"),
        (("02:bc:00:00:09:01", "02:bc:00:00:01:01"), "mac 02:bc:00:00:01:01 is used twice"),
    ],
)
def test_an_impostor_must_claim_somebody_and_may_share_only_what_it_claims(change, finding):
    with pytest.raises(LabError, match=finding):
        parse(IMPOSTOR.read_text().replace(*change), "rack.yaml")


def test_a_lockout_is_off_unless_it_is_set_whole():
    raw = demo()
    assert load(DEFAULT_RACK).machine("m1").bmc.lockout is None
    raw["machines"][0]["bmc"]["lockout"] = {"threshold": 3}

    with pytest.raises(LabError, match=r"lockout\.seconds: missing"):
        parse(yaml.safe_dump(raw), "rack.yaml")


@pytest.mark.parametrize("text", ["", "machines: []", "machines: 3", "- 1", "{", "machines: [1]"])
def test_nonsense_is_a_finding(text):
    with pytest.raises(LabError):
        parse(text, "rack.yaml")


def test_the_usual_order_is_disk_then_first_nic_and_an_override_goes_first(tmp_path):
    machine = Machine(load(DEFAULT_RACK).machine("m2"), tmp_path)

    usual = [word for word in machine.command("tcg") if "bootindex" in word]
    assert [word.partition("id=")[2].split(",")[0] for word in usual] == ["nic0", "disk0"]
    assert "bootindex=2" in usual[0]
    assert "bootindex=1" in usual[1]
    pxe = [word for word in machine.command("tcg", boot_first="pxe") if "bootindex" in word]
    assert "bootindex=1" in pxe[0]


def test_hardware_is_what_the_rack_file_says(tmp_path):
    command = " ".join(Machine(load(DEFAULT_RACK).machine("m2"), tmp_path).command("tcg"))

    assert "mac=52:54:00:77:02:01,romfile=" in command
    assert "serial=RF-M2-D1,wwn=0x5000c50077020001" in command
    assert "type=1,manufacturer=Rackflow,product=RF-200 UEFI" in command
    assert "if=pflash,format=raw,unit=1,file=nvram.fd" in command


def test_a_blank_machine_has_lost_everything(tmp_path):
    machine = Machine(load(DEFAULT_RACK).machine("m1"), tmp_path / "m1")
    machine.prepare()
    machine.disk(0).write_bytes(b"data")
    machine.serial_log.write_text("old")

    machine.blank()

    assert machine.disk(0).stat().st_size == 8 << 30
    assert machine.disk(0).stat().st_blocks == 0
    assert not machine.serial_log.exists()


def test_every_tap_is_on_the_bridge_of_its_network():
    raw = demo()
    raw["machines"][0]["nics"][1]["network"] = "prov-b"
    lines = [line for batch in batches(parse(yaml.safe_dump(raw), "x")) for line in batch.lines]

    assert "link set m1n0 master br-prov up" in lines
    assert "link set m1n1 master br-prov-b up" in lines
    assert "link set eth0 address 02:bc:00:00:02:01" in lines


def test_a_closed_tun_device_is_told_with_the_fix(tmp_path, monkeypatch):
    monkeypatch.setattr("lab.machine.needs", lambda _definitions: [])
    with pytest.raises(LabError, match="modprobe tun"):
        require(load(DEFAULT_RACK).machines, tun=tmp_path / "tun")


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(LabError, match=r"qemu-system-x86_64.*\n.*apt-get install.*qemu-system-x86"):
        require(load(DEFAULT_RACK).machines)
