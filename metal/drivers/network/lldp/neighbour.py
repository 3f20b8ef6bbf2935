"""A neighbour, and what holds for it in every form."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from metal.drivers.tool_text import number, one_line

TOOL: Final = "lldp"

_LARGEST_VLAN: Final = 4094


@dataclass(frozen=True, slots=True)
class Neighbour:
    """The other end of a cable; `interface` is ours, None where the text is of one and does not say."""

    interface: str | None
    system: str | None = None
    chassis: str | None = None
    port: str | None = None
    port_description: str | None = None
    vlan: int | None = None
    management: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Neighbours:
    """All neighbours of a text."""

    neighbours: tuple[Neighbour, ...]


@dataclass(frozen=True, slots=True)
class Vlan:
    """A VLAN that a neighbour names; `untagged` is None where it does not say whether it is the PVID."""

    id: int | None
    untagged: bool | None


def said(text: str | None) -> str | None:
    """A text; lldpctl prints "Not received" for a TLV that was not, and "(none)" for one without text."""
    words = one_line(text)
    return None if words is None or words.lower() in ("not received", "(none)") else words


def pvid(vlans: Iterable[Vlan]) -> int | None:
    """The port's own VLAN: the one that says so, or an only one that does not say."""
    known = [vlan for vlan in vlans if vlan.id is not None]
    untagged = [vlan.id for vlan in known if vlan.untagged]
    if untagged:
        return untagged[-1]
    return known[0].id if len({*known}) == 1 and known[0].untagged is None else None


def vlan_id(text: str | None) -> int | None:
    """A VLAN's number; 0 is no VLAN."""
    found = number(text)
    return found if found is not None and 0 < found <= _LARGEST_VLAN else None


def merged(neighbours: Iterable[Neighbour]) -> tuple[Neighbour, ...]:
    """Of one neighbour that is told twice, as in a session, the last telling."""
    found = {(one.interface, one.chassis, one.port): one for one in neighbours}
    return tuple(found.values())
