"""Which spec is about which machine.

A match is a binding: the first publish that fits stores it, and it never moves by itself, because a
spec that silently follows a swapped serial number erases the wrong machine.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from specs.facts import Hardware
from specs.identity import mac_identity, serial_identity, uuid_identity
from specs.model import FactRule, Host
from specs.records import Finding
from specs.specset import SpecSet
from specs.tree import Mark

_ABSENT: Final = object()


@dataclass(frozen=True, slots=True)
class Machine:
    """What is known of a registered host, as far as a match can ask."""

    id: str
    name: str = ""
    macs: tuple[str, ...] = ()
    uuid: str | None = None
    serial: str | None = None
    manufacturer: str | None = None
    hardware: Hardware | None = None
    bmc_address: str | None = None

    def __str__(self) -> str:
        """The machine as a finding names it."""
        told = [self.name or self.id]
        told += [f"serial {self.serial}"] if self.serial else []
        told += [f"mac {self.macs[0]}"] if self.macs else []
        return ", ".join(told)


@dataclass(frozen=True, slots=True)
class Binding:
    """Spec name -> host id after this publish, what is new in it, and what is wrong.

    `unbound` are specs whose machine was not seen yet: no fault when publishing (a spec may come first),
    but a plan of such a host has nothing to plan.
    """

    bindings: Mapping[str, str]
    added: Mapping[str, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    unbound: Mapping[str, Finding] = field(default_factory=dict)


def fits(host: Host, machine: Machine) -> bool:
    """Whether every given key of the match holds. A spec without match is about the host of its name."""
    match = host.match
    if match is None:
        return machine.name == host.name
    return (
        (match.serial is None or _same(match.serial, serial_identity(machine.serial)))
        and (match.uuid is None or _same(match.uuid, uuid_identity(machine.uuid)))
        and (match.mac is None or match.mac in {mac_identity(mac) for mac in machine.macs})
        and (match.bmc is None or str(match.bmc) == machine.bmc_address)
        and all(_holds(rule, machine.hardware) for rule in match.facts)
    )


class SpecIndex:
    """Specs by one identity of their match, so that a machine is held only against those it may be.

    A fleet's machines report in by the thousand: each held against each spec would be the square of that.
    """

    def __init__(self, hosts: Mapping[str, Host]) -> None:
        self._names: dict[tuple[str, str], list[str]] = {}
        for name in sorted(hosts):
            self._names.setdefault(_key(hosts[name]), []).append(name)

    def candidates(self, machine: Machine) -> list[str]:
        """Names of the specs that may fit, sorted; every spec that fits is among them."""
        return sorted(name for key in _keys(machine) for name in self._names.get(key, ()))


def _key(host: Host) -> tuple[str, str]:
    match = host.match
    if match is None:
        return "name", host.name
    if match.mac is not None:
        return "mac", match.mac
    if match.uuid is not None:
        return "uuid", match.uuid.lower()
    if match.serial is not None:
        return "serial", match.serial.strip().lower()
    return ("bmc", str(match.bmc)) if match.bmc is not None else ("facts", "")


def _keys(machine: Machine) -> Iterator[tuple[str, str]]:
    yield "facts", ""
    yield "name", machine.name
    yield from {("mac", mac) for mac in map(mac_identity, machine.macs) if mac is not None}
    if (uuid := uuid_identity(machine.uuid)) is not None:
        yield "uuid", uuid.lower()
    if (serial := serial_identity(machine.serial)) is not None:
        yield "serial", serial.lower()
    if machine.bmc_address is not None:
        yield "bmc", machine.bmc_address


def bind(
    hosts: Mapping[str, Host],
    machines: Sequence[Machine],
    bindings: Mapping[str, str],
    specs: SpecSet | None = None,
) -> Binding:
    """Bind specs to machines, beside the bindings that are stored; `specs` gives findings their lines."""
    kept = {name: machine_id for name, machine_id in bindings.items() if name in hosts}
    known = {machine.id: machine for machine in machines}
    taken = {machine_id: name for name, machine_id in kept.items()}
    added: dict[str, str] = {}
    findings: list[Finding] = []
    unbound: dict[str, Finding] = {}
    for name in sorted(hosts):
        at = specs.where("Host", name, "match") if specs else Mark("", 1, 1, "match")
        fitting = [machine for machine in machines if fits(hosts[name], machine)]
        if name in kept:
            findings += _moved(at, name, known.get(kept[name]), fitting)
        elif len(fitting) > 1:
            told = "; ".join(map(str, fitting))
            message = f"{_wish(hosts[name])} fits {len(fitting)} machines: {told}"
            findings.append(at.finding(message, "add a key that only one of them has"))
        elif not fitting:
            seen = "; ".join(map(str, machines)) or "none"
            message = f"{_wish(hosts[name])} fits no machine; known machines: {seen}"
            unbound[name] = at.finding(
                message, f"power the machine on, or rackflow host add {name} --mac MAC"
            )
        elif fitting[0].id in taken:
            message = f"{_wish(hosts[name])} fits {fitting[0]}, which is bound to {taken[fitting[0].id]}"
            findings.append(at.finding(message, "two hosts must not claim one machine"))
        else:
            added[name] = fitting[0].id
            taken[fitting[0].id] = name
    # A binding of a spec that is no longer in the set waits for it, unless another spec got its machine.
    waiting = {name: one for name, one in bindings.items() if name not in hosts and one not in taken}
    return Binding({**waiting, **kept, **added}, added, tuple(findings), unbound)


def _moved(at: Mark, name: str, bound: Machine | None, fitting: Sequence[Machine]) -> list[Finding]:
    elsewhere = [machine for machine in fitting if bound is None or machine.id != bound.id]
    if not elsewhere or (bound is not None and bound in fitting and len(fitting) == 1):
        return []
    told = "; ".join(map(str, elsewhere))
    stays = str(bound) if bound else "a host that is gone"
    return [
        at.finding(f"now fits {told}, but is bound to {stays} and stays so", f"rackflow host rebind {name}")
    ]


def _wish(host: Host) -> str:
    if host.match is None:
        return f"the name {host.name}"
    given = host.match.model_dump(mode="json", exclude_none=True, exclude={"facts"})
    told = [f"{key} {value}" for key, value in given.items()] + [rule.path for rule in host.match.facts]
    return " and ".join(told)


def _same(wished: str, seen: str | None) -> bool:
    return seen is not None and wished.strip().lower() == seen.strip().lower()


def _holds(rule: FactRule, hardware: Hardware | None) -> bool:
    """Whether a rule holds; what is unknown holds nothing."""
    value = _ABSENT if hardware is None else _look_up(hardware.model_dump(), rule.path)
    if value is _ABSENT or value is None:
        return False
    if rule.at_least is not None:
        count = len(value) if isinstance(value, list | tuple) else value
        return isinstance(count, int) and count >= rule.at_least
    if isinstance(rule.equals, str) and isinstance(value, str):
        return _same(rule.equals, value)
    return rule.equals is not None and bool(value == rule.equals)


def _look_up(value: Any, path: str) -> Any:
    """`memoryBytes`, `memory_bytes`, `disks.0.model`; _ABSENT where there is nothing."""
    for part in path.split("."):
        if isinstance(value, list | tuple):
            index = int(part) if part.isdigit() else -1
            value = value[index] if 0 <= index < len(value) else _ABSENT
        elif isinstance(value, dict):
            names = {key.replace("_", "").lower(): key for key in value}
            value = value.get(names.get(part.replace("_", "").lower(), ""), _ABSENT)
        else:
            return _ABSENT
    return value
