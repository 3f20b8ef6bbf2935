"""lldpctl -f keyvalue: `lldp.INTERFACE.chassis.name=…`.

Keys repeat: an address per line, a `vlan-id` per VLAN, `via` for the next neighbour on an interface.
Interface names may hold dots, so they end at the first word that lldpctl puts behind them. A
description goes on in the next lines if the neighbour's own holds line ends.
"""

import re
from dataclasses import dataclass, field
from typing import Final

from metal.drivers.network.lldp.neighbour import (
    TOOL,
    Neighbour,
    Neighbours,
    Vlan,
    merged,
    pvid,
    said,
    vlan_id,
)
from metal.drivers.parsed import Parsed
from metal.drivers.tool_text import Line, is_prompt, shorten, unparsable

KEYVALUE: Final = re.compile(
    r"lldp\.(?P<interface>\S{1,64}?)\.(?P<key>(?:via|rid|age|chassis|port|vlan|ppvid|pi|ttl|lldp-med|unknown-tlvs|dot[13]"
    r"|power)(?:\.[^=]*)?)=(?P<value>.*)"
)
_ID_KINDS: Final = r"(?:mac|local|ifname|ifalias|ip|component|port|agent|subtype|unhandled)"
_CHASSIS_ID = re.compile(rf"chassis\.{_ID_KINDS}$")
_PORT_ID = re.compile(rf"port\.{_ID_KINDS}$")


@dataclass(slots=True)
class _Told:
    """A neighbour's lines: single values, and those that repeat."""

    interface: str
    values: dict[str, str] = field(default_factory=dict)
    management: list[str] = field(default_factory=list)
    vlans: list[Vlan] = field(default_factory=list)

    def take(self, key: str, value: str) -> None:
        if key == "chassis.mgmt-ip":
            self.management.append(value)
        elif key == "vlan.vlan-id":
            self.vlans.append(Vlan(vlan_id(value), None))
        elif key == "vlan.pvid" and self.vlans:
            self.vlans[-1] = Vlan(self.vlans[-1].id, value.lower() in ("yes", "true", "on"))
        elif _CHASSIS_ID.match(key):
            self.values["chassis id"] = value
        elif _PORT_ID.match(key):
            self.values["port id"] = value
        else:
            self.values[key] = value


def parse_keyvalue(lines: tuple[Line, ...]) -> Parsed[Neighbours]:
    """All lines with a key; a line without one continues a description, or is ignored."""
    found: list[_Told] = []
    last: dict[str, _Told] = {}
    ignored: list[str] = []
    open_key: tuple[_Told, str] | None = None
    for line in lines:
        match = KEYVALUE.match(line.words)
        if match is None:
            of_lldp = line.words.startswith("lldp.")
            if of_lldp and "=" not in line.words:
                raise unparsable(TOOL, line, "a key, '=' and its value")
            if is_prompt(line.words):
                open_key = None
            if open_key and line.words and not of_lldp and not line.words.startswith("#"):
                told, key = open_key
                told.values[key] = f"{told.values[key]} {line.words}"
            elif line.words:
                ignored.append(line.words)
            continue
        interface, key, value = match["interface"], match["key"], match["value"].strip()
        told_before = last.get(interface)
        if told_before is None or (key == "via" and "via" in told_before.values):
            found.append(_Told(interface))
            last[interface] = found[-1]
        told = last[interface]
        told.take(key, value)
        open_key = (told, key) if key.endswith(".descr") else None
    return Parsed(Neighbours(merged(_neighbour(told) for told in found)), shorten(ignored))


def _neighbour(told: _Told) -> Neighbour:
    return Neighbour(
        interface=told.interface,
        system=said(told.values.get("chassis.name")),
        chassis=said(told.values.get("chassis id")),
        port=said(told.values.get("port id")),
        port_description=said(told.values.get("port.descr")),
        vlan=pvid(told.vlans),
        management=tuple(dict.fromkeys(address for one in told.management if (address := said(one)))),
    )
