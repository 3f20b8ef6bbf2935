"""Neighbours on the network, from lldpctl (json, json0, keyvalue, plain) and from lldptool.

What is taken of a neighbour is what is needed to find the cable's other end: system name, chassis id,
port id of any kind, its description, the untagged VLAN, management addresses.
"""

import re
from typing import Final

from metal.drivers.network.lldp.json_form import parse_json
from metal.drivers.network.lldp.keyvalue_form import KEYVALUE, parse_keyvalue
from metal.drivers.network.lldp.neighbour import TOOL, Neighbours
from metal.drivers.network.lldp.plain_form import INTERFACE, parse_plain
from metal.drivers.network.lldp.tlv_form import TLV, parse_tlvs
from metal.drivers.parsed import Parsed
from metal.drivers.tool_text import lines_of, unparsable

_NOBODY: Final = re.compile(r"LLDP neighbors:$")


def parse(text: str) -> Parsed[Neighbours]:
    """Tell the forms apart by their lines; the empty listing of lldpctl is understood."""
    lines = lines_of(TOOL, text)
    if any(line.words.startswith("{") for line in lines):
        return parse_json(text)
    if any(KEYVALUE.match(line.words) for line in lines):
        return parse_keyvalue(lines)
    if any(INTERFACE.match(line.words) for line in lines):
        return parse_plain(lines)
    if any(TLV.match(line.text) for line in lines):
        return parse_tlvs(lines)
    if any(_NOBODY.match(line.words) for line in lines):
        return Parsed(Neighbours(()))
    raise unparsable(
        TOOL, next(line for line in lines if line.words), "neighbours in a form of lldpctl or lldptool"
    )
