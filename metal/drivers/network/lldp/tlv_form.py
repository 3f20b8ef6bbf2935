"""lldptool -t -n: TLV by TLV, a title and indented lines; one neighbour per `End of LLDPDU TLV`."""

import re
from collections.abc import Iterator
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
from metal.drivers.tool_text import Line, shorten, unparsable

TLV: Final = re.compile(r"(?P<title>[A-Z][\w ()/.-]{2,60} TLV)$")
_ID = re.compile(
    r"(?:MAC|Local|Ifname|Ifalias|IPv4|IPv6|Component|Port component|Agent ?ID|Circuit ?ID|Unknown)\s*:\s*",
    re.IGNORECASE,
)
_ADDRESS = re.compile(r"(?:IPv4|IPv6|MAC)\s*:\s*(?P<address>\S+)", re.IGNORECASE)
_PVID = re.compile(r"PVID\s*:\s*(?P<id>\d{1,4})")
_FIRST: Final = "Chassis ID TLV"
_LAST: Final = "End of LLDPDU TLV"


def parse_tlvs(lines: tuple[Line, ...]) -> Parsed[Neighbours]:
    """Every neighbour of a text. One without its end is a text that is cut off."""
    ignored: list[str] = []
    found: list[Neighbour] = []
    tlvs: list[tuple[str, list[str]]] = []
    begun: Line | None = None
    for line in lines:
        match = TLV.match(line.text)
        if match is None:
            told = tlvs[-1][1] if tlvs else ignored
            told += [line.words] if line.words else []
        elif match["title"] == _LAST:
            found += [_neighbour(tlvs)] if tlvs else []
            tlvs, begun = [], None
        else:
            begun = begun or line
            tlvs.append((match["title"], []))
    if begun is not None:
        raise unparsable(
            TOOL, lines[-1].number, f"'{_LAST}' of the neighbour at line {begun.number}", "the end"
        )
    if not found:
        raise unparsable(TOOL, lines[0], f"'{_FIRST}' and others before '{_LAST}'")
    return Parsed(Neighbours(merged(found)), shorten(ignored))


def _neighbour(tlvs: list[tuple[str, list[str]]]) -> Neighbour:
    values: dict[str, list[str]] = {}
    for title, lines in tlvs:
        values.setdefault(title, []).extend(lines)
    return Neighbour(
        interface=None,
        system=said(_first(values, "System Name TLV")),
        chassis=_identity(values, _FIRST),
        port=_identity(values, "Port ID TLV"),
        port_description=said(_first(values, "Port Description TLV")),
        vlan=pvid(
            Vlan(vlan_id(match["id"]), untagged=True)
            for line in values.get("Port VLAN ID TLV", [])
            if (match := _PVID.match(line))
        ),
        management=tuple(_addresses(values.get("Management Address TLV", []))),
    )


def _first(values: dict[str, list[str]], title: str) -> str | None:
    return next(iter(values.get(title, [])), None)


def _identity(values: dict[str, list[str]], title: str) -> str | None:
    """The id without its kind (`Ifname: gi1/1`)."""
    return said(_ID.sub("", _first(values, title) or "", count=1))


def _addresses(lines: list[str]) -> Iterator[str]:
    for line in lines:
        if match := _ADDRESS.match(line):
            yield match["address"]
