"""lldpctl's form for people: a block per neighbour, begun by `Interface:    eno1, via: LLDP, RID: 1`."""

import re
from typing import Final

from metal.drivers.network.lldp.neighbour import Neighbour, Neighbours, Vlan, merged, pvid, said, vlan_id
from metal.drivers.parsed import Parsed
from metal.drivers.tool_text import Line, blocks, key_value, shorten

INTERFACE: Final = re.compile(r"Interface:\s+(?P<name>[^,\s]{1,64}), via: ")
_ID = re.compile(r"(?:mac|local|ifname|ifalias|ip|component|port|agent|unhandled)\s+(?P<id>\S.*)")
_VLAN = re.compile(r"(?P<id>\d{1,4})(?:, pvid: (?P<pvid>yes|no))?")

_MED: Final = "LLDP-MED"
"""Begins the last part of a block; a VLAN in it is one for phones, and not the port's."""


def parse_plain(lines: tuple[Line, ...]) -> Parsed[Neighbours]:
    """Every block of a text; rules and the title are no data."""
    found = [_neighbour(block) for block in blocks(lines, INTERFACE)]
    ignored = []
    for line in lines:
        if INTERFACE.match(line.words):
            break
        if line.words.strip("-") and line.words != "LLDP neighbors:":
            ignored.append(line.words)
    return Parsed(Neighbours(merged(found)), shorten(ignored))


def _neighbour(block: tuple[Line, ...]) -> Neighbour:
    interface = INTERFACE.match(block[0].words)
    values: dict[str, str] = {}
    management: list[str] = []
    vlans: list[Vlan] = []
    of_med = False
    for line in block[1:]:
        key, value = key_value(line) or ("", "")
        of_med = of_med or key == _MED
        if key == "MgmtIP":
            management.append(value)
        elif key == "VLAN" and not of_med and (match := _VLAN.match(value)):
            untagged = match["pvid"] == "yes" if match["pvid"] else None
            vlans.append(Vlan(vlan_id(match["id"]), untagged))
        elif key:
            values.setdefault(key, value)
    return Neighbour(
        interface=interface["name"] if interface else None,
        system=said(values.get("SysName")),
        chassis=_identity(values.get("ChassisID")),
        port=_identity(values.get("PortID")),
        port_description=said(values.get("PortDescr")),
        vlan=pvid(vlans),
        management=tuple(address for one in management if (address := said(one))),
    )


def _identity(text: str | None) -> str | None:
    match = _ID.match(text or "")
    return said(match["id"] if match else text)
