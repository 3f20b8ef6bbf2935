"""What ethtool says of an interface, in one value for its many forms.

| command | told                                             |
| IFACE   | speed, duplex, port, link, auto-negotiation      |
| -i      | driver, its version, firmware, bus               |
| -P      | the permanent MAC                                |
| -m      | the module: vendor, part, serial, connector      |
| -k      | features, on or off                              |
| others  | `settings`, the lines of -a, -c, -g, -l, -S, …   |

A fact that the text does not state is None; texts of several commands for one interface add up.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from metal.drivers.identity.placeholders import Identities
from metal.drivers.parsed import Parsed
from metal.drivers.tool_text import Line, key_value, lines_of, one_line, shorten, unparsable

TOOL: Final = "ethtool"

_LONGEST: Final = 64
_HEADING = re.compile(
    r"(?P<form>Settings|Features|Offload parameters|Pause parameters|Coalesce parameters|Ring parameters"
    r"|Channel parameters|FEC parameters|EEE [sS]ettings|Time stamping parameters|Time stamping capabilities"
    r"|Private flags|RX flow hash indirection table|Module parameters|Tunnel information"
    r"|Show permanent address|Cable test|Module EEPROM)"
    r" (?:for|of) (?P<interface>\S{1,64}?):?(?: with .*)?$"
)
_STATISTICS = re.compile(
    r"(?:(?:NIC|Standard|PHY|FEC) statistics|Standard stats)(?: for (?P<interface>\S{1,64}?))?:$"
    r"|Private flags"
)
_COUNTED = re.compile(r"(?:(?P<rings>\d{1,9}) RX rings available|Total (?P<rules>\d{1,9}) rules)$")
"""-n has sentences only, unless there are rules."""
_LINK_KEYS: Final = frozenset({"speed", "duplex", "port", "auto-negotiation", "link detected"})
_DRIVER_KEYS: Final = frozenset({"driver", "version", "firmware-version", "bus-info"})
_MODULE_KEYS: Final = frozenset({"identifier", "vendor name", "vendor pn", "vendor sn", "connector"})
_SWITCH: Final = {"on": True, "off": False, "yes": True, "no": False}
_SPEED = re.compile(r"(\d{1,9})\s*(Mb/s|Gb/s)")
_ERROR = re.compile(
    r"(?:Cannot |netlink error|ethtool:|.*\b(?:No such device|Operation not (?:supported|permitted)))"
)


@dataclass(frozen=True, slots=True)
class Ethtool:
    """An interface as one or several forms of ethtool tell it."""

    interface: str | None = None
    speed_mbps: int | None = None
    duplex: str | None = None
    port: str | None = None
    link: bool | None = None
    autoneg: bool | None = None
    driver: str | None = None
    version: str | None = None
    firmware: str | None = None
    bus: str | None = None
    mac: str | None = None
    vendor: str | None = None
    part: str | None = None
    serial: str | None = None
    connector: str | None = None
    features: dict[str, bool] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Told:
    """The lines of a text by what they are: of a form without a heading, or below one."""

    interface: str | None = None
    facts: dict[str, str] = field(default_factory=dict)
    features: dict[str, bool] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)


def parse(text: str) -> Parsed[Ethtool]:
    """Read every form in a text. One that has only a heading, or only errors, is refused."""
    lines = lines_of(TOOL, text)
    told = _tell(lines)
    if not (told.facts or told.features or told.settings):
        first = next(line for line in lines if line.words)
        raise unparsable(TOOL, first, "settings of an interface, with values")
    ids = Identities()
    facts = told.facts
    speed = _SPEED.match(facts.get("speed", ""))
    connector = re.search(r"\((.+)\)$", facts.get("connector", ""))
    value = Ethtool(
        interface=told.interface,
        speed_mbps=int(speed[1]) * (1000 if speed[2] == "Gb/s" else 1) if speed else None,
        duplex=(_known(facts.get("duplex")) or "").lower() or None,
        port=_known(facts.get("port")),
        link=_switch(facts.get("link detected")),
        autoneg=_switch(facts.get("auto-negotiation")),
        driver=ids.name(facts.get("driver"), "driver"),
        version=ids.name(facts.get("version"), "version"),
        firmware=ids.name(facts.get("firmware-version"), "firmware"),
        bus=ids.name(facts.get("bus-info"), "bus"),
        mac=ids.mac(facts.get("permanent address"), "mac"),
        vendor=ids.name(facts.get("vendor name"), "vendor"),
        part=ids.name(facts.get("vendor pn"), "part"),
        serial=ids.serial(facts.get("vendor sn"), "serial"),
        connector=connector[1] if connector else one_line(facts.get("connector")),
        features=told.features,
        settings=told.settings,
    )
    return Parsed(value, shorten(told.ignored), tuple(ids.paths))


def _tell(lines: Iterable[Line]) -> _Told:
    told = _Told()
    take: Callable[[_Told, Line], bool] = _fact
    for line in lines:
        if not line.words:
            continue
        if match := _HEADING.match(line.words):
            if match["interface"] != told.interface:  # another interface: what is told of it is told last
                told = _Told(match["interface"], ignored=told.ignored)
            take = _READERS.get(match["form"], _Section())
        elif match := _STATISTICS.match(line.words):
            told.interface = match["interface"] or told.interface
            take = _Section()
        elif match := _COUNTED.match(line.words):
            told.settings |= {key: count for key, count in match.groupdict().items() if count}
        elif _ERROR.match(line.words) or not take(told, line):
            told.ignored.append(line.words)
    return told


def _fact(told: _Told, line: Line) -> bool:
    """A line of a form that has no heading: -i, -P, -m; and of the plain one. The last of a key holds."""
    pair = key_value(line)
    if pair is None:
        return False
    key = pair[0].lower()
    if key in _LINK_KEYS | _DRIVER_KEYS | _MODULE_KEYS | {"permanent address"}:
        told.facts[key] = pair[1]
        return True
    return bool(told.facts) or line.text[:1].isspace()


def _link(told: _Told, line: Line) -> bool:
    """A line below `Settings for`; the lists of modes go on in lines without a key."""
    _fact(told, line)
    return bool(line.text[:1].isspace())


def _feature(told: _Told, line: Line) -> bool:
    """`tx-checksum-ipv4: off [fixed]`."""
    pair = key_value(line)
    state = _SWITCH.get(pair[1].partition(" ")[0]) if pair else None
    if pair is None or state is None or len(pair[0]) > _LONGEST:
        return False
    told.features[pair[0]] = state
    return True


class _Section:
    """Lines below another heading, their keys led by the section that they stand in."""

    def __init__(self) -> None:
        self._section = ""

    def __call__(self, told: _Told, line: Line) -> bool:
        pair = key_value(line)
        if pair is None or len(pair[0]) > _LONGEST:
            return False
        if not pair[1]:
            self._section = f"{pair[0]}: "
        else:
            told.settings[f"{self._section}{pair[0]}"] = pair[1]
        return True


_READERS: Final[Mapping[str, Callable[[_Told, Line], bool]]] = {
    "Settings": _link,
    "Features": _feature,
    "Offload parameters": _feature,
}


def _switch(text: str | None) -> bool | None:
    """`yes`, `on`, and `no (No cable)`."""
    return _SWITCH.get((text or "").partition(" ")[0].lower())


def _known(text: str | None) -> str | None:
    """A word that is not `Unknown! (255)`."""
    words = one_line(text)
    return None if words is None or words.lower().startswith("unknown") else words
