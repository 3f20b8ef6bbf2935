"""Machines that the current set announces by `match`, before any of them was seen.

A spec that names a MAC, a UUID or a serial lets its machine in, whatever the site's `discovery` says:
who wrote it down expects it. Facts and BMC addresses show only after a boot, so they announce nobody.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from specs.identity import serial_in_uuid
from specs.model import Host


@dataclass(frozen=True, slots=True)
class Announced:
    """Identities in host specs -> names of the specs."""

    specs: Mapping[str, Host] = field(default_factory=dict)
    by_mac: Mapping[str, str] = field(default_factory=dict)
    by_uuid: Mapping[str, str] = field(default_factory=dict)
    by_serial: Mapping[str, str] = field(default_factory=dict)

    def spec_of(self, mac: str | None, uuid: str | None) -> str | None:
        """The spec that a machine with these identities is announced by; its UUID must not contradict."""
        name = self.by_uuid.get(uuid or "") or self.by_mac.get(mac or "")
        if name is None and self.by_serial:
            name = self.by_serial.get((serial_in_uuid(uuid) or "").lower())
        if name is None:
            return None
        match = self.specs[name].match
        contradicts = match is not None and match.uuid is not None and uuid is not None and match.uuid != uuid
        return None if contradicts else name


def announced(hosts: Mapping[str, Host]) -> Announced:
    """Index the specs of a set."""
    matches = {name: host.match for name, host in hosts.items() if host.match is not None}
    return Announced(
        specs=hosts,
        by_mac={match.mac: name for name, match in matches.items() if match.mac},
        by_uuid={match.uuid: name for name, match in matches.items() if match.uuid},
        by_serial={match.serial.strip().lower(): name for name, match in matches.items() if match.serial},
    )
