"""What a rack is made of: the values of a rack file, read strictly.

Every finding is reported at once with its path, and unknown keys are findings: a mistyped key in a rack file
must not become a machine that is silently different.
"""

import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, cast

import yaml

from lab.errors import LabError

RACKS_DIR = Path(__file__).parent / "racks"
DEFAULT_RACK = RACKS_DIR / "demo.yaml"
FIRMWARES = ("bios", "uefi")
NIC_MODELS = ("virtio-net-pci", "e1000e", "e1000", "vmxnet3", "rtl8139", "igb")
NETWORKS = ("prov", "prov-b")
DISK_BUSES = ("virtio", "sata")
SATA_PORTS = 6
SIZE_UNITS = {"MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
T = TypeVar("T")


@dataclass(frozen=True)
class Nic:
    """A network card; without `rom` the firmware's own PXE driver is used instead of the card's iPXE."""

    model: str
    mac: str
    network: str
    rom: bool


@dataclass(frozen=True)
class Disk:
    """A disk: a raw sparse file behind a virtio or SATA port. virtio has no WWN."""

    bus: str
    size_bytes: int
    serial: str
    wwn: int | None


@dataclass(frozen=True)
class Smbios:
    """The identity the machine tells its firmware and operating system."""

    manufacturer: str
    product: str
    serial: str
    uuid: uuid.UUID


@dataclass(frozen=True)
class LockoutRule:
    """An account is locked for `seconds` after `threshold` wrong passwords in a row."""

    threshold: int
    seconds: int


@dataclass(frozen=True)
class BmcIdentity:
    """The BMC as it left the factory: one user, no LAN address; accounts are never locked unless told so."""

    factory_user: str
    factory_password: str
    mac: str
    lockout: LockoutRule | None = None


@dataclass(frozen=True)
class MachineDefinition:
    """One virtual server."""

    name: str
    firmware: str
    memory_mib: int
    cpus: int
    nics: tuple[Nic, ...]
    disks: tuple[Disk, ...]
    smbios: Smbios
    bmc: BmcIdentity
    claims: str | None = None
    """An impostor: the machine whose UUID and serial it shows; it may have its hardware addresses too."""


@dataclass(frozen=True)
class RackDefinition:
    """All machines of a rack."""

    machines: tuple[MachineDefinition, ...]

    def machine(self, name: str) -> MachineDefinition:
        """The machine of that name; an error that lists the names when there is none."""
        for machine in self.machines:
            if machine.name == name:
                return machine
        names = ", ".join(machine.name for machine in self.machines)
        raise LabError(f"the rack has no machine {name!r}", f"one of: {names}")


NOBODY = Smbios("", "", "", uuid.UUID(int=0))
"""Stands in for the identity of an impostor until the one it claims is known."""


class _Unusable(Exception):
    """This block can't become a value; its findings are already noted."""


class _Block:
    """One mapping of the file; takes keys out one by one and notes what is wrong with them.

    A key that is wrong reads as None and the block goes on, so that its other findings are seen too; `_build`
    throws the value made of it away.
    """

    def __init__(self, raw: Mapping[str, Any], path: str, findings: list[str]) -> None:
        self.path = path
        self.findings = findings
        self.broken = False
        self._left = dict(raw)

    def where(self, key: str) -> str:
        """A key's path in the file."""
        return f"{self.path}.{key}" if self.path else key

    def take(self, key: str, read: Callable[[Any], T], default: T | None = None) -> T:
        """The value of a key through `read`."""
        if key not in self._left:
            if default is None:
                self.note(f"{self.where(key)}: missing")
            return cast("T", default)
        try:
            return read(self._left.pop(key))
        except (ValueError, TypeError) as error:
            self.note(f"{self.where(key)}: {error}")
        except _Unusable:
            self.broken = True
        return cast("T", None)

    def maybe(self, key: str, read: Callable[[Any], T]) -> T | None:
        """The value of a key that may be left out."""
        return self.take(key, read) if key in self._left else None

    def note(self, finding: str) -> None:
        """Remember what is wrong."""
        self.findings.append(finding)
        self.broken = True

    def done(self) -> None:
        """Note the keys nobody asked for."""
        for key in sorted(map(str, self._left)):
            self.note(f"{self.where(key)}: unknown key")


def _build(raw: object, path: str, findings: list[str], build: Callable[[_Block], T]) -> T:
    """A value of one mapping, or _Unusable with everything that is wrong noted."""
    if not isinstance(raw, Mapping):
        findings.append(f"{path or 'rack'}: expected a mapping, got {raw!r}")
        raise _Unusable
    block = _Block(raw, path, findings)
    value = build(block)
    block.done()
    if block.broken:
        raise _Unusable
    return value


def _each(block: _Block, key: str, build: Callable[[_Block], T]) -> tuple[T, ...]:
    """A list of mappings; every one is looked at."""
    values = []
    for index, raw in enumerate(block.take(key, _list) or ()):
        try:
            values.append(_build(raw, f"{block.where(key)}[{index}]", block.findings, build))
        except _Unusable:
            block.broken = True
    return tuple(values)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"expected a text, got {value!r}")
    return value


def _name(value: object) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,8}", _text(value)):
        raise ValueError(f"expected up to 9 of a-z, 0-9 and - (it names interfaces), got {value!r}")
    return str(value)


def _short(limit: int) -> Callable[[object], str]:
    def read(value: object) -> str:
        if len(_text(value)) > limit:
            raise ValueError(f"at most {limit} characters, got {value!r}")
        return str(value)

    return read


def _one_of(choices: tuple[str, ...]) -> Callable[[object], str]:
    def read(value: object) -> str:
        if value not in choices:
            raise ValueError(f"expected one of {', '.join(choices)}, got {value!r}")
        return str(value)

    return read


def _number(low: int, high: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"expected a number from {low} to {high}, got {value!r}")
        return value

    return read


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"expected true or false, got {value!r}")
    return value


def _mac(value: object) -> str:
    mac = _text(value).lower()
    if not re.fullmatch(r"[0-9a-f][02468ace](:[0-9a-f]{2}){5}", mac):
        raise ValueError(f"expected a unicast hardware address such as 52:54:00:77:01:00, got {value!r}")
    return mac


def _size(value: object) -> int:
    match = re.fullmatch(r"([1-9][0-9]*)(MiB|GiB|TiB)", str(value))
    if not match:
        raise ValueError(f"expected a size such as 8GiB, got {value!r}")
    return int(match[1]) * SIZE_UNITS[match[2]]


def _wwn(value: object) -> int:
    if not re.fullmatch(r"0x[0-9a-f]{16}", _text(value)):
        raise ValueError(f'expected "0x" and 16 lower-case hex digits, got {value!r}')
    return int(str(value), 16)


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError(f"expected a list, got {value!r}")
    return value


def _nic(block: _Block) -> Nic:
    return Nic(
        model=block.take("model", _one_of(NIC_MODELS)),
        mac=block.take("mac", _mac),
        network=block.take("network", _one_of(NETWORKS), "prov"),
        rom=block.take("rom", _flag, default=True),
    )


def _disk(block: _Block) -> Disk:
    bus = block.take("bus", _one_of(DISK_BUSES))
    return Disk(
        bus=bus,
        size_bytes=block.take("size", _size),
        serial=block.take("serial", _short(20)),
        wwn=block.take("wwn", _wwn, 0) or None if bus == "sata" else None,
    )


def _smbios(block: _Block) -> Smbios:
    return Smbios(
        manufacturer=block.take("manufacturer", _short(48)),
        product=block.take("product", _short(48)),
        serial=block.take("serial", _short(40)),
        uuid=block.take("uuid", lambda value: uuid.UUID(_text(value))),
    )


def _lockout(block: _Block) -> LockoutRule:
    return LockoutRule(
        threshold=block.take("threshold", _number(1, 255)), seconds=block.take("seconds", _number(1, 655350))
    )


def _bmc(block: _Block) -> BmcIdentity:
    return BmcIdentity(
        factory_user=block.take("factory_user", _short(16)),
        factory_password=block.take("factory_password", _short(20)),
        mac=block.take("mac", _mac),
        lockout=block.maybe("lockout", _inner(block, "lockout", _lockout)),
    )


def _inner(block: _Block, key: str, build: Callable[[_Block], T]) -> Callable[[Any], T]:
    """A reader of a mapping inside a mapping."""
    return lambda raw: _build(raw, block.where(key), block.findings, build)


def _machine(block: _Block) -> MachineDefinition:
    claims = block.maybe("claims", _name)
    smbios = NOBODY if claims else block.take("smbios", _inner(block, "smbios", _smbios))
    return MachineDefinition(
        name=block.take("name", _name),
        firmware=block.take("firmware", _one_of(FIRMWARES)),
        memory_mib=block.take("memory_mib", _number(256, 65536)),
        cpus=block.take("cpus", _number(1, 64), 1),
        nics=_each(block, "nics", _nic),
        disks=_each(block, "disks", _disk),
        smbios=smbios,
        bmc=block.take("bmc", _inner(block, "bmc", _bmc)),
        claims=claims,
    )


def _rack(block: _Block) -> RackDefinition:
    machines = _each(block, "machines", _machine)
    if not machines and not block.broken:
        block.note("machines: expected at least one machine")
    honest = {machine.name: machine for machine in machines if machine.claims is None}
    for machine in machines:
        if machine.claims is not None and machine.claims not in honest:
            block.note(f"machines.{machine.name}.claims: no machine {machine.claims!r} that claims nobody")
    for finding in _doubles(machines):
        block.note(finding)
    return RackDefinition(tuple(_dressed(machine, honest) for machine in machines))


def _dressed(machine: MachineDefinition, honest: Mapping[str, MachineDefinition]) -> MachineDefinition:
    """An impostor in the identity that it claims."""
    claimed = honest.get(machine.claims or "")
    return machine if claimed is None else replace(machine, smbios=claimed.smbios)


def _doubles(machines: Sequence[MachineDefinition]) -> list[str]:
    """Names, hardware addresses and identities that two machines share; such a rack has no meaning.

    But for an impostor: it may have the hardware addresses of the machine that it claims to be.
    """
    seen: dict[str, str] = {}
    findings = []
    for machine in sorted(machines, key=lambda machine: machine.claims is not None):
        macs = [f"mac {nic.mac}" for nic in machine.nics]
        own = [f"name {machine.name}", f"mac {machine.bmc.mac}"]
        own += [f"disk serial {disk.serial}" for disk in machine.disks]
        if machine.claims is None:
            own += [f"uuid {machine.smbios.uuid}", f"serial {machine.smbios.serial}", *macs]
        else:
            own += [mac for mac in macs if seen.get(mac) != machine.claims]
        for thing in own:
            if thing in seen:
                findings.append(f"machines.{machine.name}: {thing} is used twice (also by {seen[thing]})")
            seen[thing] = machine.name
        if sum(disk.bus == "sata" for disk in machine.disks) > SATA_PORTS:
            findings.append(f"machines.{machine.name}: a machine has {SATA_PORTS} SATA ports")
        if not machine.nics:
            findings.append(f"machines.{machine.name}: a machine needs a network card")
    return findings


def parse(text: str, source: str) -> RackDefinition:
    """The rack a YAML text describes; LabError with every finding when it describes none."""
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise LabError(f"{source}: not YAML: {error}") from error
    findings: list[str] = []
    try:
        return _build(raw, "", findings, _rack)
    except _Unusable:
        listed = "\n".join(f"  {line}" for line in findings)
        raise LabError(f"{source}: {len(findings)} finding(s):\n{listed}") from None


def load(path: Path) -> RackDefinition:
    """The rack of a file."""
    try:
        text = path.read_text()
    except OSError as error:
        raise LabError(f"cannot read the rack file {path}: {error.strerror}") from error
    return parse(text, str(path))
