"""Controllers as a rack file has them, and a QEMU that only remembers what is plugged into it."""

from dataclasses import dataclass, field
from typing import Any

import yaml

from lab.definition import ControllerDefinition, MachineDefinition, parse

LONGEST_NODE = 31
"""QEMU's limit (include/block/block_int.h: 32 octets with the end)."""
MACHINE = """
machines:
  - name: r1
    firmware: bios
    memory_mib: 512
    nics: [{model: virtio-net-pci, mac: "52:54:00:77:11:00", network: prov}]
    disks: []
    smbios: {manufacturer: R, product: R, serial: R1, uuid: 7f3c1a52-6b0e-4d7a-9c11-0a5d31c0dea1}
    bmc: {factory_user: ADMIN, factory_password: factory, mac: "02:bc:00:00:11:01"}
"""


def drive(slot: int, **more: Any) -> dict[str, Any]:
    """A drive of a rack file."""
    return {"slot": slot, "size": "1GiB", "serial": f"RFD{slot:05d}", "medium": "ssd", **more}


def machine(*controllers: dict[str, Any]) -> MachineDefinition:
    """A machine with these controllers, through the rack file's reader."""
    raw = yaml.safe_load(MACHINE)
    raw["machines"][0]["controllers"] = list(controllers)
    return parse(yaml.safe_dump(raw), "rack.yaml").machine("r1")


def beside(*controllers: dict[str, Any]) -> MachineDefinition:
    """A machine without a controller, in a rack where another has these."""
    raw = yaml.safe_load(MACHINE)
    other = yaml.safe_load(
        MACHINE.replace("r1", "r2").replace(":11:", ":12:").replace("R1", "R2").replace("dea1", "dea2")
    )
    other["machines"][0]["controllers"] = list(controllers)
    raw["machines"] += other["machines"]
    return parse(yaml.safe_dump(raw), "rack.yaml").machine("r1")


def controllers(*given: dict[str, Any]) -> tuple[ControllerDefinition, ...]:
    """The same, controllers alone."""
    return machine(*given).controllers


def controller(family: str, *drives: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A controller of a rack file."""
    return {"family": family, "serial": f"{family.upper()}01", "drives": list(drives), **more}


@dataclass
class FakeQemu:
    """Answers what the bay asks of QEMU; `on` False is a machine that is off."""

    on: bool = True
    devices: dict[str, dict[str, Any]] = field(default_factory=dict)
    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    reorders: int = 0

    def reordered(self) -> None:
        """Count how often firmware was given another order."""
        self.reorders += 1

    async def execute(self, command: str, **arguments: Any) -> Any:
        """One command; None when it is refused, as `MachinePower.execute` answers."""
        if not self.on:
            return None
        answer = getattr(self, command.replace("-", "_"))(arguments)
        if answer is None:
            self.refused.append(f"{command} {arguments}")
        return answer

    def qom_list(self, _: dict[str, Any]) -> Any:
        return [{"name": name} for name in ("nic0", "disk0", *self.devices)]

    def query_named_block_nodes(self, _: dict[str, Any]) -> Any:
        return [{"node-name": name} for name in ("disk0-file", "disk0-raw", *self.nodes)]

    def blockdev_add(self, node: dict[str, Any]) -> Any:
        below = node["file"] if isinstance(node.get("file"), str) else None
        taken = len(node["node-name"]) > LONGEST_NODE or node["node-name"] in self.nodes
        if taken or (below is not None and below not in self.nodes):
            return None
        self.nodes[node["node-name"]] = node
        return {}

    def blockdev_del(self, given: dict[str, Any]) -> Any:
        name = given["node-name"]
        used = any(node.get("file") == name for node in self.nodes.values())
        if used or any(device["drive"] == name for device in self.devices.values()):
            return None
        return None if self.nodes.pop(name, None) is None else {}

    def device_add(self, device: dict[str, Any]) -> Any:
        taken = any(one["scsi-id"] == device["scsi-id"] for one in self.devices.values())
        if taken or device["drive"] not in self.nodes:
            return None
        self.devices[device["id"]] = device
        return {}

    def device_del(self, given: dict[str, Any]) -> Any:
        return None if self.devices.pop(given["id"], None) is None else {}
