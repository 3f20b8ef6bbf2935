"""`kind: Site`: networks and what the edge does on them, who is answered, boot and BMC policy.

A later version merges Sites from several documents; no field changes its name for it.
"""

from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints, model_validator

from specs.durations import Duration
from specs.identity import Mac
from specs.shapes import API_VERSION, BARE_ON_OFF, IpAddress, IpNetwork, Metadata, Name, Spec

DiscoveryMode = Annotated[Literal["off", "hold", "inspect", "register"], BARE_ON_OFF]
NetworkMode = Annotated[Literal["full", "reservations", "proxy", "off"], BARE_ON_OFF]
_VALUES: Final = ("text", "hex", "addresses", "integers")
ClassText = Annotated[str, StringConstraints(min_length=1, max_length=255)]


class Reservation(Spec):
    """An address kept for a hardware address."""

    mac: Mac
    address: IpAddress


class OptionMatch(Spec):
    """Which clients get an option: all given keys must hold."""

    arch: Annotated[int, Field(ge=0, le=0xFFFF)] | None = None
    vendor_class: Annotated[ClassText | None, Field(alias="class")] = None
    user_class: ClassText | None = None
    host: Name | None = None
    mac: Mac | None = None

    @model_validator(mode="after")
    def _names_clients(self) -> "OptionMatch":
        if not self.model_dump(exclude_none=True):
            raise ValueError("match is empty: give arch, class, userClass, host or mac, or leave match out")
        return self


class DhcpOption(Spec):
    """One DHCP option of the site; exactly one of text, hex, addresses, integers."""

    code: Annotated[int, Field(ge=1, le=0xFFFF)]
    text: str | None = None
    hex: Annotated[str, StringConstraints(pattern=r"^([0-9a-fA-F]{2})*$")] | None = None
    addresses: tuple[IpAddress, ...] | None = None
    integers: dict[str, list[int]] | tuple[int, ...] | None = None
    match: OptionMatch | None = None

    @model_validator(mode="after")
    def _one_value(self) -> "DhcpOption":
        given = [key for key in _VALUES if getattr(self, key) is not None]
        if len(given) != 1:
            told = " and ".join(given) or "none"
            raise ValueError(f"option {self.code} needs exactly one of {', '.join(_VALUES)}; got {told}")
        return self


class SiteNetwork(Spec):
    """One network of the site, and what the edge does on it; its subnet says whether it is IPv4 or IPv6."""

    name: Name
    purpose: Literal["provisioning", "bmc", "os"]
    subnet: IpNetwork
    interface: str | None = None
    gateway: IpAddress | None = None
    pool: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    dns: tuple[IpAddress, ...] = ()
    ntp: tuple[IpAddress, ...] = ()
    mtu: Annotated[int, Field(ge=576, le=9216)] | None = None
    lease: Duration = "1h"
    mode: NetworkMode = "full"
    router_advertisements: bool = True
    conflict_probe: bool = True
    relays: tuple[IpAddress, ...] = ()
    trusted: bool = False
    reservations: tuple[Reservation, ...] = ()
    options: tuple[DhcpOption, ...] = ()
    vlan: int | None = None


class SiteBoot(Spec):
    """Boot order and loader of the site."""

    order: Literal["disk-first", "network-first"] = "disk-first"
    loader: Literal["ipxe", "grub"] = "ipxe"
    secure_boot: bool = False


class SiteBmc(Spec):
    """How BMCs of the site are set up."""

    user: str = "rackflow"
    network: Name | None = None


class Site(Spec):
    """The site: networks, what an unknown machine gets, boot and BMC policy."""

    api_version: Literal["rackflow/v1"] = API_VERSION
    kind: Literal["Site"] = "Site"
    metadata: Metadata
    discovery: DiscoveryMode = "hold"
    networks: tuple[SiteNetwork, ...] = ()
    boot: SiteBoot = SiteBoot()
    bmc: SiteBmc = SiteBmc()
    trust: Literal["proof", "lan"] = "proof"
    consent_form: bool = True
