"""lldpctl -f json and json0.

json makes an object of one interface and a list of several, keys a chassis by its system's name, and
a text of one value where json0 has a list of {"value": …}. Both are read by asking for "all of" a key.
"""

from collections.abc import Iterator
from typing import Any, Final

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
from metal.drivers.tool_text import json_documents, unparsable

_OF_INTERFACE: Final = {"via", "rid", "age", "chassis", "port", "vlan", "lldp-med", "unknown-tlvs"}
_OF_CHASSIS: Final = {"id", "name", "descr", "mgmt-ip", "mgmt-iface", "capability"}


def parse_json(text: str) -> Parsed[Neighbours]:
    """Every object `lldp` of a text; one without interfaces says that there is nobody."""
    read = json_documents(TOOL, text, opening="{")
    documents = [one for one in read.found if "lldp" in one.value]
    if not documents:
        raise unparsable(TOOL, read.found[0].line if read.found else 1, "an object 'lldp'", "other JSON")
    found: list[Neighbour] = []
    for document in documents:
        for tables in _all(document.value["lldp"]):
            if not isinstance(tables, dict):
                raise unparsable(TOOL, document.line, "an object below 'lldp'", str(tables)[:80])
            found += [_neighbour(name, told) for name, told in _interfaces(tables, document.line)]
    return Parsed(Neighbours(merged(found)), read.ignored)


def _interfaces(tables: dict[str, Any], line: int) -> Iterator[tuple[str | None, dict[str, Any]]]:
    for one in _all(tables.get("interface")):
        if not isinstance(one, dict):
            raise unparsable(TOOL, line, "an object of an interface", str(one)[:80])
        if "name" in one and one.keys() & _OF_INTERFACE:
            yield _text(one["name"]), one
            continue
        for name, told in one.items():
            for each in _all(told):
                if not isinstance(each, dict):
                    raise unparsable(TOOL, line, f"an object of the interface {name[:20]}", str(each)[:80])
                yield name, each


def _neighbour(interface: str | None, told: dict[str, Any]) -> Neighbour:
    system, chassis = _chassis(told.get("chassis"))
    port = _first(told.get("port"))
    vlans = [
        Vlan(vlan_id(_text(vlan.get("vlan-id"))), _flag(vlan.get("pvid")))
        for vlan in _all(told.get("vlan"))
        if isinstance(vlan, dict)
    ]
    return Neighbour(
        interface=interface,
        system=said(system),
        chassis=said(_text(chassis.get("id"))),
        port=said(_text(port.get("id"))),
        port_description=said(_text(port.get("descr"))),
        vlan=pvid(vlans),
        management=tuple(
            address for one in _all(chassis.get("mgmt-ip")) if (address := said(_text(one))) is not None
        ),
    )


def _chassis(told: Any) -> tuple[str | None, dict[str, Any]]:
    """System name and chassis; json keys it by the name, if there is one."""
    chassis = _first(told)
    if chassis and not chassis.keys() & _OF_CHASSIS and len(chassis) == 1:
        name, inner = next(iter(chassis.items()))
        return name, _first(inner)
    return _text(chassis.get("name")), chassis


def _all(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _first(value: Any) -> dict[str, Any]:
    return next((one for one in _all(value) if isinstance(one, dict)), {})


def _text(value: Any) -> str | None:
    """The text of `"x"`, `{"value": "x"}`, `[{"value": "x"}]`; a number as text."""
    for one in _all(value):
        told = one.get("value") if isinstance(one, dict) else one
        if isinstance(told, str | int) and not isinstance(told, bool):
            return str(told)
    return None


def _flag(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    return {"yes": True, "true": True, "no": False, "false": False}.get((_text(value) or "").lower())
