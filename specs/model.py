"""Spec documents: Host, Profile, Image, and `specs.site_model.Site`. What an operator wishes, typed.

These models hold user intent only; run state lives in the registry. YAML keys are camelCase and
unknown keys are refused, because a misspelt `rootDevise` that is ignored erases the wrong disk.
Findings with file and line are made in `specs.load`; here stand the shapes and the rules that one
document can be checked by alone.
"""

from ipaddress import IPv4Address
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from specs.erasure import WipeMethod
from specs.identity import Mac, Uuid
from specs.shapes import (
    API_VERSION,
    BARE_ON_OFF,
    IpAddress,
    IpInterface,
    IpNetwork,
    Metadata,
    Name,
    OnOff,
    Spec,
)
from specs.site_model import Site
from specs.sizes import Share, SizeBytes

Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
AbsolutePath = Annotated[str, StringConstraints(pattern=r"^/[^\x00]*$", max_length=4096)]
FileMode = Annotated[str, StringConstraints(pattern=r"^0[0-7]{3,4}$")]
Media = Literal["ssd", "hdd", "nvme"]
Transport = Literal["sata", "sas", "nvme", "virtio", "usb", "raid"]
RaidLevel = Literal[
    "raid0",
    "raid1",
    "raid1e",
    "raid1adm",
    "raid5",
    "raid6",
    "raid10",
    "raid10adm",
    "raid50",
    "raid60",
    "jbod",
]
Filesystem = Literal["ext4", "xfs", "btrfs", "vfat", "swap"]
SubvolumeName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9@_][A-Za-z0-9@._-]{0,254}$")]


class SecretRef(Spec):
    """A named secret of the site (`rackflow secret set NAME`); never its value."""

    secret: Name


PasswordFrom = Literal["generated"] | SecretRef


class FactRule(Spec):
    """One rule over hardware facts: a dotted path and exactly one comparison."""

    path: str
    equals: str | int | bool | None = None
    at_least: int | SizeBytes | None = None


class Match(Spec):
    """Which machine a host spec is about; every given key must hold, for exactly one machine."""

    serial: str | None = None
    uuid: Uuid | None = None
    mac: Mac | None = None
    bmc: IPv4Address | None = None
    facts: tuple[FactRule, ...] = ()

    @model_validator(mode="after")
    def _names_a_machine(self) -> "Match":
        if not (self.serial or self.uuid or self.mac or self.bmc or self.facts):
            raise ValueError("match is empty: give serial, uuid, mac, bmc or facts, or leave match out")
        return self


class Firmware(Spec):
    """How the machine must start."""

    boot_mode: Literal["bios", "uefi"] | None = None
    secure_boot: bool = False


class HostBmc(Spec):
    """The BMC's account and address; an absent address is the next free one of the site's bmc network."""

    address: IPv4Address | None = None
    user: str | None = None
    password_from: PasswordFrom = "generated"  # noqa: S105 - a way, not a password


class DriveRule(Spec):
    """Which physical drives make a volume: `count` of those that fit, or those of another volume.

    Of more than `count` that fit, those that are in the volume already come first, then free ones, smallest
    identity first. `all` takes every one that fits and is free.
    """

    count: Annotated[int, Field(ge=1)] | Literal["all"] | None = None
    media: Media | None = None
    min_size: SizeBytes | None = None
    max_size: SizeBytes | None = None
    model: str | None = None
    transport: Transport | None = None
    serials: tuple[str, ...] = ()
    slots: tuple[str, ...] = ()
    sharing: Name | None = None

    @model_validator(mode="after")
    def _says_how_many(self) -> "DriveRule":
        if self.sharing is None and self.count is None:
            raise ValueError("say how many drives: count: N, or all; or sharing: another volume's name")
        if self.sharing is not None and self.model_fields_set - {"sharing"}:
            raise ValueError("sharing stands alone: the drives are those of that volume")
        return self


class RaidCache(Spec):
    """Cache policy of a controller's volume; software RAID has none."""

    write: Literal["back", "through"] | None = None
    read: Literal["ahead", "none"] | None = None


class RaidVolume(Spec):
    """One RAID volume, by hardware controller or md, as the drivers find it."""

    name: Name
    level: RaidLevel
    drives: DriveRule
    controller: str | None = None
    size: SizeBytes | Literal["rest"] | None = None
    spans: Annotated[int, Field(ge=2)] | None = None
    spares: Annotated[int, Field(ge=0)] = 0
    stripe: SizeBytes | None = None
    cache: RaidCache | None = None


class DeviceRule(Spec):
    """A root device hint: exactly one disk must fit all given keys."""

    raid: Name | None = None
    wwn: str | None = None
    serial: str | None = None
    by_path: str | None = None
    min_size: SizeBytes | None = None
    max_size: SizeBytes | None = None
    media: Media | None = None
    model: str | None = None
    transport: Transport | None = None

    @model_validator(mode="after")
    def _names_a_disk(self) -> "DeviceRule":
        if not self.model_fields_set:
            raise ValueError("an empty rule fits every disk: give raid, wwn, serial, byPath or a property")
        return self


class Lvm(Spec):
    """Make the partition a physical volume of this group, and its file system a logical volume."""

    vg: Name


class Subvolume(Spec):
    """A subvolume of a btrfs file system, made with it."""

    name: SubvolumeName
    mount: AbsolutePath | None = None
    options: tuple[str, ...] = ()


class Luks(Spec):
    """Encrypt with LUKS2; the installed system unlocks it at each start, by its TPM or a copy of the key."""

    key: SecretRef
    tpm2: Annotated[Literal["require", "prefer", "off"], BARE_ON_OFF] = "off"


class Formatted(Spec):
    """What a file system is made in: a partition or a logical volume."""

    name: Name
    size: SizeBytes | Share | Literal["rest"]
    filesystem: Filesystem | None = None
    label: str | None = None
    mount: AbsolutePath | None = None
    options: tuple[str, ...] = ()
    subvolumes: tuple[Subvolume, ...] = ()
    luks: Luks | None = None
    preserve: bool = False


class Partition(Formatted):
    """One partition; the one mounted at / is the image's own root, grown to `size`."""

    lvm: Lvm | None = None


class ThinPool(Spec):
    """A pool of a volume group whose volumes take room only as they are written."""

    name: Name
    size: SizeBytes | Share | Literal["rest"]


class LogicalVolume(Formatted):
    """One logical volume of a volume group; in a thin pool its size is a promise."""

    thin_pool: Name | None = None


class VolumeGroup(Spec):
    """An LVM volume group over every partition that names it by `lvm`."""

    name: Name
    thin_pools: tuple[ThinPool, ...] = ()
    logical_volumes: tuple[LogicalVolume, ...] = ()


class DiskLayout(Spec):
    """Partitions of one disk; `root` is the disk the image is written to."""

    device: Literal["root"] | DeviceRule
    table: Literal["gpt", "mbr"] = "gpt"
    wipe: WipeMethod = "metadata"
    partitions: tuple[Partition, ...] = ()


class NicMatch(Spec):
    """Which NIC an ethernet id is."""

    macaddress: Mac | None = None
    pci_address: str | None = None
    lldp: dict[str, str] | None = None
    role: Literal["pxe"] | None = None


class PoolAddress(Spec):
    """An address allocated once from a named network and kept until the host retires."""

    pool: Name


Address = IpInterface | PoolAddress


class Route(Spec):
    """One route; `default` is 0.0.0.0/0."""

    to: Literal["default"] | IpNetwork
    via: IpAddress


class Nameservers(Spec):
    """DNS servers and search domains."""

    addresses: tuple[IpAddress, ...] = ()
    search: tuple[str, ...] = ()


class Link(Spec):
    """What every kind of interface has, in netplan's words."""

    addresses: tuple[Address, ...] = ()
    routes: tuple[Route, ...] = ()
    nameservers: Nameservers | None = None
    dhcp4: bool = False
    mtu: Annotated[int, Field(ge=576, le=9216)] | None = None


class Ethernet(Link):
    """A physical NIC."""

    match: NicMatch | None = None


class BondParameters(BaseModel):
    """Bond parameters in netplan's spelling (with dashes)."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=lambda name: name.replace("_", "-"),
        populate_by_name=True,
    )

    mode: Literal[
        "active-backup", "802.3ad", "balance-rr", "balance-xor", "broadcast", "balance-tlb", "balance-alb"
    ]
    lacp_rate: Literal["slow", "fast"] | None = None
    mii_monitor_interval: Annotated[int, Field(ge=0, description="milliseconds")] = 100
    primary: str | None = None
    transmit_hash_policy: Literal["layer2", "layer2+3", "layer3+4"] | None = None


class Bond(Link):
    """Several NICs as one link."""

    interfaces: Annotated[tuple[str, ...], Field(min_length=1)]
    parameters: BondParameters


class Vlan(Link):
    """A tagged VLAN on a link."""

    id: Annotated[int, Field(ge=1, le=4094)]
    link: str


class HostNetwork(Spec):
    """The host's network, in the vocabulary of netplan v2."""

    ethernets: dict[str, Ethernet] = Field(default={})
    bonds: dict[str, Bond] = Field(default={})
    vlans: dict[str, Vlan] = Field(default={})


class User(Spec):
    """An account of the deployed system."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")]
    ssh_keys: tuple[str, ...] = ()
    sudo: bool = False
    password_from: PasswordFrom | None = None
    shell: AbsolutePath = "/bin/bash"


class HostFile(Spec):
    """A file of the deployed system, with exactly one origin of its content."""

    path: AbsolutePath
    content: str | None = None
    source: str | None = None
    secret: Name | None = None
    mode: FileMode = "0644"
    owner: str = "root"
    group: str = "root"

    @model_validator(mode="after")
    def _one_origin(self) -> "HostFile":
        given = [key for key in ("content", "source", "secret") if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(f"a file needs exactly one of content, source, secret; got {given or 'none'}")
        if ".." in self.path.split("/"):
            raise ValueError(f"a file's path has no '..': {self.path}")
        return self


class Lifecycle(Spec):
    """Consent that stands in the spec."""

    destroy: Literal["never", "ask", "allow"] = "ask"
    take_disks: bool = False
    maintenance_window: str | None = None


class HostBase(Spec):
    """Every Host field a Profile may also carry."""

    extends: tuple[Name, ...] = ()
    hostname: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,252})$")] | None = None
    power: OnOff = "on"
    firmware: Firmware = Firmware()
    bmc: HostBmc = HostBmc()
    raid: tuple[RaidVolume, ...] = ()
    root_device: DeviceRule | None = None
    disks: tuple[DiskLayout, ...] = ()
    volume_groups: tuple[VolumeGroup, ...] = ()
    image: Name | None = None
    network: HostNetwork = HostNetwork()
    users: tuple[User, ...] = ()
    files: tuple[HostFile, ...] = ()
    management: bool = True
    cloud_init: Annotated[Literal["auto", "seed", "off"], BARE_ON_OFF] = "auto"
    role: Literal["none", "hypervisor"] = "none"
    lifecycle: Lifecycle = Lifecycle()


class Host(HostBase):
    """What one machine should be."""

    api_version: Literal["rackflow/v1"] = API_VERSION
    kind: Literal["Host"] = "Host"
    metadata: Metadata
    match: Match | None = None

    @property
    def name(self) -> str:
        """The spec's name, which its host bears once bound."""
        return self.metadata.name


class Profile(HostBase):
    """Fields shared by hosts that extend it."""

    api_version: Literal["rackflow/v1"] = API_VERSION
    kind: Literal["Profile"] = "Profile"
    metadata: Metadata


class ImageSource(Spec):
    """Where an image comes from; exactly one."""

    url: str | None = None
    file: str | None = None
    upload: bool | None = None
    glance: str | None = None
    s3: str | None = None
    oci: str | None = None

    @model_validator(mode="after")
    def _one_source(self) -> "ImageSource":
        given = sorted(key for key in self.model_fields_set if getattr(self, key) is not None)
        if len(given) != 1:
            raise ValueError(f"an image needs exactly one source; got {given or 'none'}")
        if self.url is not None and not self.url.startswith(("https://", "http://")):
            raise ValueError(
                f"expected an http:// or https:// URL, got {self.url[:80]!r}; a path goes into file"
            )
        return self


class RootFilesystem(Spec):
    """How the root file system of an image is found."""

    label: str | None = None
    uuid: str | None = None
    partition: int | None = None


class ImageOs(Spec):
    """What the image holds."""

    family: Literal["debian", "ubuntu", "rhel", "fedora", "suse"]
    version: str
    arch: Literal["amd64", "arm64"] = "amd64"
    boot_modes: tuple[Literal["bios", "uefi"], ...] = ("bios", "uefi")
    cloud_init: bool = False
    root_filesystem: RootFilesystem = RootFilesystem(label="root")


class Image(Spec):
    """An OS image by digest."""

    api_version: Literal["rackflow/v1"] = API_VERSION
    kind: Literal["Image"] = "Image"
    metadata: Metadata
    source: ImageSource
    digest: Digest | None = None
    format: Literal["qcow2", "raw"] = "qcow2"
    os: ImageOs


Document = Annotated[Host | Profile | Site | Image, Field(discriminator="kind")]
