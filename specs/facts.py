"""What was seen of a machine: facts, observations, the report-in of a booted boot OS.

`None` means that the value could not be read, and only that; an empty tuple means that there is
none. `Observation.unknown` names what could not be known and why, so that a planner can say
"unknown" and never "absent".
"""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from specs.erasure import WipeMethod

FirmwareMode = Literal["bios", "uefi"]
SeenFrom = Literal["boot-os", "running-os", "bmc"]
Tpm = Literal["none", "1.2", "2.0"]


class Fact(BaseModel):
    """Base of all fact shapes: immutable; unknown keys from an older or newer edge are dropped."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Nic(Fact):
    """A physical network interface."""

    name: str
    mac: str
    link: bool | None = None
    speed_mbps: int | None = None
    driver: str | None = None
    pci_address: str | None = None
    booted: bool = False


class PartitionFact(Fact):
    """A partition as the kernel and blkid show it."""

    number: int
    device: str
    start_bytes: int
    size_bytes: int
    type_guid: str | None = None
    part_uuid: str | None = None
    name: str | None = None
    filesystem: str | None = None
    label: str | None = None
    fs_uuid: str | None = None
    mount: str | None = None


class Disk(Fact):
    """A block device that could be written, and what lies on it.

    `serial` and `wwn` are its identity. `found` says in words what was seen on it ("gpt with 3
    partitions", "linux_raid_member of rf:system"); empty means blank, which is the only content that
    `destroy: allow` covers without an install record.

    A namespace of an NVMe drive that has several bears no serial of its own: it is known by its WWN, and
    `drive_serial` is what its siblings bear too.
    """

    device: str
    serial: str | None = None
    wwn: str | None = None
    drive_serial: str | None = None
    by_path: str | None = None
    other_paths: tuple[str, ...] = ()
    """Further names of `/dev/disk/by-path` that lead to it: udev gives SATA disks two."""
    size_bytes: int
    logical_block_bytes: int = 512
    model: str | None = None
    vendor: str | None = None
    medium: Literal["ssd", "hdd", "nvme", "unknown"] = "unknown"
    transport: str | None = None
    removable: bool = False
    read_only: bool = False
    holders: tuple[str, ...] = ()
    found: tuple[str, ...] = ()
    partition_table: str | None = None
    partitions: tuple[PartitionFact, ...] = ()
    erases: tuple[str, ...] | None = None
    """How it can be erased beside being overwritten, the best way first; only the boot OS can ask."""
    erase_problem: str | None = None
    """Why it may not erase itself now: frozen, locked, other namespaces."""

    @property
    def identity(self) -> str | None:
        """Serial, else WWN: what a destructive command must carry."""
        return self.serial or self.wwn


class RaidArray(Fact):
    """A RAID volume, software or hardware.

    `uuid` is what never changes of it: md's array UUID, a controller's unique identifier. `volume` is how
    the controller's tool addresses it, which does change; it is read anew right before it is used.
    """

    name: str | None
    driver: str
    uuid: str
    level: str
    device: str | None
    size_bytes: int
    members: tuple[str, ...]
    spares: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    """Members that md has given up and still holds; those of controllers are told by their drives' states."""
    state: str = "unknown"
    progress: float | None = None
    metadata: str | None = None
    stripe_bytes: int | None = None
    write_cache: Literal["back", "through"] | None = None
    controller: str | None = None
    volume: str | None = None
    partition_table: str | None = None
    partitions: tuple[PartitionFact, ...] = ()
    found: tuple[str, ...] = ()


class PhysicalVolumeFact(Fact):
    """A partition that LVM uses."""

    uuid: str
    device: str


class LogicalVolumeFact(Fact):
    """A logical volume, active or not."""

    name: str
    uuid: str
    size_bytes: int
    layout: str
    tags: tuple[str, ...] = ()
    pool: str | None = None
    """The thin pool that it is in."""


class VolumeGroupFact(Fact):
    """An LVM volume group as its metadata on the disks describes it; two may have one name."""

    name: str
    uuid: str
    extent_bytes: int
    physical_volumes: tuple[PhysicalVolumeFact, ...] = ()
    logical_volumes: tuple[LogicalVolumeFact, ...] = ()


class PhysicalDrive(Fact):
    """A drive behind a RAID controller, which may be no block device at all.

    `state` is the word of the common model (`metal/drivers/raid/listing.py`); `usable_bytes` what the
    controller makes of the drive in a volume, where it says so (coerced size).
    """

    address: str
    serial: str | None = None
    wwn: str | None = None
    model: str | None = None
    firmware: str | None = None
    size_bytes: int | None = None
    usable_bytes: int | None = None
    sector_bytes: int | None = None
    medium: Literal["ssd", "hdd", "nvme", "unknown"] = "unknown"
    transport: str | None = None
    state: str = "unknown"
    raw_state: str | None = None
    volume: str | None = None
    progress: float | None = None

    @property
    def identity(self) -> str | None:
        """Serial, else WWN."""
        return self.serial or self.wwn


class ControllerCondition(Fact):
    """Something about a controller that is no state of a drive or volume: battery, cache, foreign config."""

    kind: str
    text: str


class RaidController(Fact):
    """A RAID controller with its drives; its volumes are among `Hardware.raids`.

    `problem` says why it can't be worked with ("tool missing: storcli64 …"); then it is known by its PCI
    device alone, and a spec with `raid` on such a machine is refused.
    """

    driver: str | None
    index: str | None = None
    pci: str | None = None
    model: str | None = None
    serial: str | None = None
    firmware: str | None = None
    state: str | None = None
    levels: tuple[str, ...] = ()
    jbod: bool | None = None
    drives: tuple[PhysicalDrive, ...] = ()
    conditions: tuple[ControllerCondition, ...] = ()
    problem: str | None = None

    @property
    def id(self) -> str:
        """What never changes of it: its PCI address, else its serial, else how its tool addresses it."""
        return self.pci or self.serial or f"{self.driver}:{self.index}"


class BmcFacts(Fact):
    """The BMC as seen in band."""

    manufacturer: str | None = None
    product: str | None = None
    firmware: str | None = None
    guid: str | None = None
    mac: str | None = None
    address: str | None = None
    netmask: str | None = None
    gateway: str | None = None
    channel: int | None = None


class Hardware(Fact):
    """The machine: identity, processor, memory, NICs, disks, RAID, BMC."""

    manufacturer: str | None = None
    product: str | None = None
    serial: str | None = None
    uuid: str | None = None
    firmware: FirmwareMode | None = None
    arch: str | None = None
    cpu_model: str | None = None
    cpu_sockets: int | None = None
    cpu_cores: int | None = None
    cpu_threads: int | None = None
    memory_bytes: int | None = None
    tpm: Tpm | None = None
    """The version of the TPM that the boot OS's kernel drives; only the boot OS says `none`."""
    nics: tuple[Nic, ...] = ()
    disks: tuple[Disk, ...] = ()
    raids: tuple[RaidArray, ...] = ()
    controllers: tuple[RaidController, ...] = ()
    volume_groups: tuple[VolumeGroupFact, ...] = ()
    bmc: BmcFacts | None = None


class UserFact(Fact):
    """An account of the deployed system; never its password hash."""

    name: str
    ssh_keys: tuple[str, ...] = ()
    sudo: bool = False
    shell: str | None = None
    password_is: dict[str, bool] = {}
    """`secret:NAME@VERSION` -> whether the machine has it; compared on the worker, only the answer kept."""


class FileFact(Fact):
    """A managed file."""

    path: str
    sha256: str | None
    mode: str | None = None
    owner: str | None = None
    group: str | None = None
    matches: dict[str, bool] = {}
    """`secret:NAME@VERSION` -> whether the content is that secret."""


class MountFact(Fact):
    """A mounted file system."""

    mount: str
    device: str
    filesystem: str
    fs_uuid: str | None = None
    size_bytes: int | None = None


class RootVolumeFact(Fact):
    """The logical volume that the image brought its root in, by names and by ids."""

    vg: str
    lv: str
    vg_uuid: str
    lv_uuid: str
    pv_uuid: str
    filesystem: str


class InstallRecord(Fact):
    """`/etc/rackflow/install.json`: what the installer made, and under which job."""

    host: str
    job: int
    image_digest: str
    specset: str
    layout_hash: str
    disks: tuple[str, ...] = ()
    root_disks: tuple[str, ...] = ()
    """Of `disks`, those that the root is on: what `rootDevice` meant when the host was installed."""
    volumes: dict[str, tuple[str, ...]] = {}
    """RAID volume of the spec -> its drives: how it is known again where the controller keeps no names."""
    root_uuid: str | None = None
    root_volume: RootVolumeFact | None = None


class WipeReport(BaseModel):
    """What an erasing did to one disk, and what was read of it afterwards; as rf-wipe says it, and closed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    identity: Annotated[str, StringConstraints(max_length=256)]
    method: WipeMethod
    how: Annotated[str, StringConstraints(max_length=300)]
    size_bytes: Annotated[int, Field(ge=0, lt=1 << 63)]
    began: Annotated[
        float, Field(ge=0, lt=1 << 40, description="seconds of the epoch, by the machine's clock")
    ]
    ended: Annotated[float, Field(ge=0, lt=1 << 40)]
    samples: Annotated[int, Field(ge=0, lt=1 << 31)]
    zero_samples: Annotated[int, Field(ge=0, lt=1 << 31)]
    proven: bool
    """Whether what was read is what the method promises; else the drive's word alone stands."""


class SystemFacts(Fact):
    """The deployed system as seen over SSH, or in its mounted root."""

    hostname: str | None = None
    os_release: str | None = None
    kernel: str | None = None
    boot_id: str | None = None
    root_device: str | None = None
    record: InstallRecord | None = None
    users: tuple[UserFact, ...] = ()
    files: tuple[FileFact, ...] = ()
    network_files: dict[str, str] = {}
    """Path -> sha256 of every network file that rackflow writes."""
    addresses: dict[str, tuple[str, ...]] = {}
    """Interface -> addresses with prefix."""
    bonds: dict[str, tuple[str, ...]] = {}
    bond_modes: dict[str, str] = {}
    mounts: tuple[MountFact, ...] = ()
    fstab: tuple[str, ...] = ()
    ssh_host_key: str | None = None
    management_key: bool | None = None


class BmcState(Fact):
    """What the BMC says over the LAN."""

    power: Literal["on", "off"] | None = None
    boot_device: str | None = None
    boot_persistent: bool | None = None
    boot_efi: bool | None = None
    address: str | None = None
    mac: str | None = None
    guid: str | None = None


class Observation(Fact):
    """One reading of a host: when, from where, what, and what could not be known."""

    at: datetime
    seen_from: SeenFrom
    hardware: Hardware | None = None
    system: SystemFacts | None = None
    bmc: BmcState | None = None
    unknown: dict[str, str] = {}
    """Field path -> why it could not be read."""


ShortText = Annotated[str, StringConstraints(max_length=64)]


class ReportIn(BaseModel):
    """The report-in of a booted boot OS, as the machine sent it: hostile input, closed and bounded."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    boot_no: Annotated[int, Field(ge=0, lt=1 << 63)]
    mac: ShortText
    uuid: ShortText | None = None
    serial: Annotated[str, StringConstraints(max_length=256)] | None = None
    addresses: Annotated[tuple[ShortText, ...], Field(max_length=256)] = ()
    ssh_host_key: Annotated[str, StringConstraints(max_length=1024)]
    arch: ShortText
    firmware: FirmwareMode
    mem_bytes: Annotated[int, Field(ge=0, lt=1 << 63)]


class Discovery(Fact):
    """A checked report-in: which machine, where it is reached, with which host key."""

    host_id: str | None
    boot_no: int
    mac: str
    uuid: str | None
    serial: str | None
    address: str
    ssh_host_key: str
    arch: str
    firmware: FirmwareMode
    memory_bytes: int
