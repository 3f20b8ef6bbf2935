"""A reading of a machine as the registry keeps it: JSON text, and the few values that rows are made of.

A reading may have a megabyte. Turned into objects and back it holds the interpreter, and with it every
packet, for tens of milliseconds in one go; so it is checked once, and after that stored, merged and
answered as the text that the check brought forth.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from specs.facts import Hardware, Observation, SeenFrom
from specs.identity import mac_identity, serial_identity, uuid_identity

PARTS: Final = ("hardware", "system", "bmc")
"""What a reading may lack; it keeps its newest value then."""


@dataclass(frozen=True, slots=True)
class Identities:
    """Which machine the hardware says it is; values that name nobody are left out."""

    manufacturer: str | None
    uuid: str | None
    serial: str | None
    macs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """A checked observation: `head` and `parts` are its JSON text, `identities` come from its hardware."""

    at: datetime
    seen_from: SeenFrom
    head: str
    """An object of all that is not a part."""
    parts: Mapping[str, str] = field(default_factory=dict)
    identities: Identities | None = None

    def text(self, before: Mapping[str, str]) -> str:
        """The observation as JSON, with the parts that it lacks from the one before."""
        known = {**before, **self.parts}
        parts = (f'"{name}":{known.get(name, "null")}' for name in PARTS)
        return f"{self.head[:-1]},{','.join(parts)}}}"


def of(observation: Observation) -> Reading:
    """A checked observation as text."""
    parts = {name: value for name in PARTS if (value := getattr(observation, name)) is not None}
    return Reading(
        at=observation.at,
        seen_from=observation.seen_from,
        head=observation.model_dump_json(exclude=set(PARTS)),
        parts={name: value.model_dump_json() for name, value in parts.items()},
        identities=_identities(observation.hardware) if observation.hardware is not None else None,
    )


def _identities(hardware: Hardware) -> Identities:
    return Identities(
        hardware.manufacturer,
        uuid_identity(hardware.uuid),
        serial_identity(hardware.serial),
        tuple(mac for mac in (mac_identity(nic.mac) for nic in hardware.nics) if mac),
    )
