"""The world as the packet plane sees it: frozen views that the registry fills and swaps as a whole.

A packet is decided on one consistent view; nothing here is looked up in a database per packet.
MACs are `aa:bb:cc:dd:ee:ff`, UUIDs lower case with dashes, as `specs.identity` normalises them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from pxe_edge.policy.dhcp6_views import Network6View

Purpose = Literal["provisioning", "bmc", "os"]
Mode = Literal["full", "reservations", "proxy", "off"]
Discovery = Literal["off", "hold", "inspect", "register"]
BootOrder = Literal["disk-first", "network-first"]
LoaderKind = Literal["ipxe", "grub"]
Due = Literal["boot-os", "local-disk"]


@dataclass(frozen=True, slots=True)
class AddressRange:
    """Addresses from first to last, both included."""

    first: IPv4Address
    last: IPv4Address

    def __contains__(self, address: IPv4Address) -> bool:
        """Whether the address lies in the range."""
        return self.first <= address <= self.last


@dataclass(frozen=True, slots=True)
class SiteOption:
    """A DHCP option of the Site document, already encoded; a key that is set restricts who gets it."""

    code: int
    value: bytes
    arch: int | None = None
    vendor_class: bytes = b""
    """What option 60 begins with."""
    user_class: bytes = b""
    """One of the classes of option 77."""
    host: str = ""
    mac: str = ""

    @property
    def keys(self) -> int:
        """How many keys restrict it: the more, the more specific."""
        given = (self.vendor_class, self.user_class, self.host, self.mac)
        return (self.arch is not None) + sum(map(bool, given))


@dataclass(frozen=True, slots=True)
class NetworkView:
    """One network, and what the edge does on it."""

    name: str
    purpose: Purpose
    subnet: IPv4Network
    interface: str | None = None
    """Where the edge is on its link; None: reached through relays."""
    gateway: IPv4Address | None = None
    pool: tuple[AddressRange, ...] = ()
    exclude: tuple[AddressRange, ...] = ()
    dns: tuple[IPv4Address, ...] = ()
    ntp: tuple[IPv4Address, ...] = ()
    mtu: int | None = None
    lease_s: int = 3600
    mode: Mode = "full"
    router_advertisements: bool = True
    conflict_probe: bool = True
    """Ask by ARP whether somebody has an address before it is offered."""
    relays: tuple[IPv4Address, ...] = ()
    """Relay addresses (giaddr) that are this network; empty: any inside the subnet."""
    trusted: bool = False
    """Take option 82 also without giaddr (RFC 3046 section 2.1)."""
    reservations: Mapping[str, IPv4Address] = field(default_factory=lambda: MappingProxyType({}))
    kept: Mapping[IPv4Address, frozenset[str]] = field(default_factory=lambda: MappingProxyType({}))
    """Addresses that IPAM keeps or a spec names, and the MACs that may lease them all the same."""
    options: tuple[SiteOption, ...] = ()
    """Most specific last: of several with one code that fit a client, the last one counts."""


@dataclass(frozen=True, slots=True)
class BootPlan:
    """One boot of the boot OS: its number and the path of its seed on the boot plane."""

    boot_no: int
    seed_url: str
    """A path such as `/seed/3f…`; the server puts its own address before it."""


@dataclass(frozen=True, slots=True)
class HostView:
    """A registered host, as far as boot requests care."""

    host_id: str
    name: str
    macs: frozenset[str] = frozenset()
    uuid: str | None = None
    due: Due | None = None
    boot: BootPlan | None = None
    fixed: int | None = None
    """The IPv4 address that it gets by DHCP, also by a NIC that was not seen yet."""
    fixed6: IPv6Address | None = None
    """The same of IPv6."""
    presumed: bool = False
    """Not sure to be this one: a spec announces it, or the serial in its UUID; who is known for sure wins."""


_CPUS: Final = {
    "amd64": (0, 7, 9, 16, 20),
    "i386": (6, 15),
    "armhf": (10, 18),
    "arm64": (11, 19),
    "riscv32": (25, 26),
    "riscv64": (27, 28),
}
ARCHITECTURES: Final[Mapping[int, str]] = MappingProxyType(
    {number: name for name, numbers in _CPUS.items() for number in numbers}
)
"""Option 93 (RFC 4578 section 2.1, IANA's list) -> the processors behind it. BIOS does not tell 32 from 64
bit. IA32 firmware stands on 64-bit processors too, but starts no 64-bit kernel."""


@dataclass(frozen=True, slots=True)
class BootOsView:
    """The built boot OS: paths relative to the boot folder, and its kernel arguments."""

    kernel: str
    initrds: tuple[str, ...]
    firmware: str | None = None
    """The firmware add-on cpio, loaded behind the base."""
    kernel_args: str = ""
    architecture: str = "amd64"
    """Debian's name of the processors that its kernel runs on."""

    def runs_on(self, arch: int | None) -> bool:
        """Whether machines of an option 93 architecture can run it; those that tell none may."""
        return arch is None or ARCHITECTURES.get(arch, self.architecture) == self.architecture


@dataclass(frozen=True, slots=True)
class SiteView:
    """The site as one immutable value."""

    name: str
    discovery: Discovery = "hold"
    boot_order: BootOrder = "disk-first"
    loader: LoaderKind = "ipxe"
    secure_boot: bool = False
    absent_loaders: frozenset[str] = frozenset()
    """Loaders that are not in the boot folder: no machine is told to fetch them."""
    networks: tuple[NetworkView, ...] = ()
    server_addresses: Mapping[str, IPv4Address] = field(default_factory=lambda: MappingProxyType({}))
    """Network name -> the edge's address for it; absent: that of the interface a packet came in by."""
    networks6: "tuple[Network6View, ...]" = ()
    server_addresses6: Mapping[str, IPv6Address] = field(default_factory=lambda: MappingProxyType({}))
    http_port: int = 8080
    bootos: BootOsView | None = None
    what_is_missing: str = "No boot OS is built: run `rackflow bootos build`."
    """Shown on the machine's screen when there is nothing to boot."""
