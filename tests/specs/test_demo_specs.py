"""The committed specs: without findings, about the machines of the demo rack, and with a current schema."""

import json
from pathlib import Path

from lab.definition import DEFAULT_RACK, load
from specs.facts import Disk, Hardware, Nic
from specs.load import json_schema, load_tree, resolve
from specs.match import Machine, bind

ROOT = Path(__file__).parents[2]
SPECS = ROOT / "specs"


def test_no_findings() -> None:
    assert resolve(load_tree(SPECS)).findings == ()


def test_each_spec_is_about_its_machine_of_the_demo_rack() -> None:
    specs = resolve(load_tree(SPECS))
    machines = [
        Machine(id=one.name, serial=one.smbios.serial, macs=tuple(nic.mac for nic in one.nics))
        for one in load(DEFAULT_RACK).machines
    ]
    assert bind(specs.hosts, machines, {}, specs).bindings == {"db-01": "m1", "web-01": "m2"}


def test_disks_and_nics_of_the_demo_rack_are_the_ones_that_the_specs_name() -> None:
    specs, rack = resolve(load_tree(SPECS)), load(DEFAULT_RACK)
    for host, machine in (
        (specs.hosts["db-01"], rack.machine("m1")),
        (specs.hosts["web-01"], rack.machine("m2")),
    ):
        hardware = Hardware(
            nics=tuple(Nic(name=f"eth{n}", mac=nic.mac) for n, nic in enumerate(machine.nics)),
            disks=tuple(
                Disk(device=f"/dev/x{n}", serial=disk.serial, size_bytes=disk.size_bytes, transport=disk.bus)
                for n, disk in enumerate(machine.disks)
            ),
        )
        named = {one.match.macaddress for one in host.network.ethernets.values() if one.match}
        assert named <= {nic.mac for nic in hardware.nics}
        assert host.firmware.boot_mode == machine.firmware
        wanted = host.raid[0].drives if host.raid else None
        fitting = [one for one in hardware.disks if wanted is None or one.transport == wanted.transport]
        assert len(fitting) == (wanted.count if wanted else 1)
        assert wanted is not None or fitting[0].serial == host.root_device.serial


def test_the_committed_schema_is_current() -> None:
    committed = json.loads((SPECS / "schema" / "rackflow.schema.json").read_text())
    assert committed == json_schema(), "write specs.load.json_schema() to specs/schema/rackflow.schema.json"
