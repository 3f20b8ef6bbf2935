"""What a rack is made of: the values of a rack file, read strictly.

Every finding is reported at once with its path (see `strict.py`).
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from lab.errors import LabError
from lab.raid.delivered import MOST_CONTROLLERS, ControllerDefinition, controller
from lab.raid.leftovers import KINDS
from lab.strict import (
    Block,
    Unusable,
    each,
    flag,
    inner,
    mac_address,
    number,
    one_of,
    read_block,
    short,
    short_name,
    size,
    text,
    wwn,
)

RACKS_DIR = Path(__file__).parent / "racks"
DEFAULT_RACK = RACKS_DIR / "demo.yaml"
FIRMWARES = ("bios", "uefi")
NIC_MODELS = ("virtio-net-pci", "e1000e", "e1000", "vmxnet3", "rtl8139", "igb")
NETWORKS = ("prov", "prov-b")
DISK_BUSES = ("virtio", "sata")
SATA_PORTS = 6


@dataclass(frozen=True)
class Nic:
    """A network card; without `rom` the firmware's own PXE driver is used instead of the card's iPXE."""

    model: str
    mac: str
    network: str
    rom: bool


@dataclass(frozen=True)
class Disk:
    """A disk: a raw sparse file behind a virtio or SATA port. virtio has no WWN.

    `content` is what an earlier life left on it (see `lab.raid.leftovers`).
    """

    bus: str
    size_bytes: int
    serial: str
    wwn: int | None
    content: str | None = None


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
    controllers: tuple[ControllerDefinition, ...] = ()
    raid_tools: bool = False
    """Whether its RAID tools are answered, as in a rack with controllers; it may have none itself."""
    tpm: bool = False
    """Whether it has a TPM 2.0."""
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


def _nic(block: Block) -> Nic:
    return Nic(
        model=block.take("model", one_of(NIC_MODELS)),
        mac=block.take("mac", mac_address),
        network=block.take("network", one_of(NETWORKS), "prov"),
        rom=block.take("rom", flag, default=True),
    )


def _disk(block: Block) -> Disk:
    bus = block.take("bus", one_of(DISK_BUSES))
    return Disk(
        bus=bus,
        size_bytes=block.take("size", size),
        serial=block.take("serial", short(20)),
        wwn=block.take("wwn", wwn, 0) or None if bus == "sata" else None,
        content=block.maybe("content", one_of(tuple(KINDS))),
    )


def _smbios(block: Block) -> Smbios:
    return Smbios(
        manufacturer=block.take("manufacturer", short(48)),
        product=block.take("product", short(48)),
        serial=block.take("serial", short(40)),
        uuid=block.take("uuid", lambda value: uuid.UUID(text(value))),
    )


def _lockout(block: Block) -> LockoutRule:
    return LockoutRule(
        threshold=block.take("threshold", number(1, 255)), seconds=block.take("seconds", number(1, 655350))
    )


def _bmc(block: Block) -> BmcIdentity:
    return BmcIdentity(
        factory_user=block.take("factory_user", short(16)),
        factory_password=block.take("factory_password", short(20)),
        mac=block.take("mac", mac_address),
        lockout=block.maybe("lockout", inner(block, "lockout", _lockout)),
    )


def _machine(block: Block) -> MachineDefinition:
    claims = block.maybe("claims", short_name)
    smbios = NOBODY if claims else block.take("smbios", inner(block, "smbios", _smbios))
    return MachineDefinition(
        name=block.take("name", short_name),
        firmware=block.take("firmware", one_of(FIRMWARES)),
        memory_mib=block.take("memory_mib", number(256, 65536)),
        cpus=block.take("cpus", number(1, 64), 1),
        nics=each(block, "nics", _nic),
        disks=each(block, "disks", _disk),
        smbios=smbios,
        bmc=block.take("bmc", inner(block, "bmc", _bmc)),
        controllers=each(block, "controllers", controller, default=[]),
        tpm=block.take("tpm", flag, default=False),
        claims=claims,
    )


def _rack(block: Block) -> RackDefinition:
    machines = each(block, "machines", _machine)
    if not machines and not block.broken:
        block.note("machines: expected at least one machine")
    honest = {machine.name: machine for machine in machines if machine.claims is None}
    for machine in machines:
        if machine.claims is not None and machine.claims not in honest:
            block.note(f"machines.{machine.name}.claims: no machine {machine.claims!r} that claims nobody")
    for finding in _doubles(machines):
        block.note(finding)
    tools = any(machine.controllers for machine in machines)
    return RackDefinition(tuple(replace(_dressed(one, honest), raid_tools=tools) for one in machines))


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
        own += [f"disk serial {drive.serial}" for one in machine.controllers for drive in one.drives]
        own += [f"controller serial {one.serial}" for one in machine.controllers]
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
        if len(machine.controllers) > MOST_CONTROLLERS:
            findings.append(
                f"machines.{machine.name}: a machine has {MOST_CONTROLLERS} RAID controllers at most"
            )
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
        return read_block(raw, "", findings, _rack)
    except Unusable:
        listed = "\n".join(f"  {line}" for line in findings)
        raise LabError(f"{source}: {len(findings)} finding(s):\n{listed}") from None


def load(path: Path) -> RackDefinition:
    """The rack of a file."""
    try:
        text = path.read_text()
    except OSError as error:
        raise LabError(f"cannot read the rack file {path}: {error.strerror}") from error
    return parse(text, str(path))
