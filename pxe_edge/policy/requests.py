"""Who asks for a boot: the one value that DHCP, TFTP and HTTP put to `decide`."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final, Literal

from pxe_edge.wire import options as opt
from pxe_edge.wire import pxe
from pxe_edge.wire.dhcp import Packet

Client = Literal["plain", "pxe", "http", "ipxe", "grub"]
Via = Literal["dhcp", "tftp", "http"]
_ETHERNET: Final = 1


@dataclass(frozen=True, slots=True)
class BootRequest:
    """A machine that may want to boot; `plain` is every client that is no firmware or loader."""

    mac: str
    client: Client
    arch: int | None = None
    uuid: str | None = None
    network: str | None = None
    address: IPv4Address | IPv6Address | None = None
    via: Via = "dhcp"
    http: bool = True
    """Of iPXE: whether it can fetch by HTTP; the feature list of its option 175 says so."""
    own: bool = False
    """Of iPXE: whether it bears the mark of a site's own build, the user class `rackflow`."""

    @property
    def boots(self) -> bool:
        """Whether it is firmware or a loader."""
        return self.client != "plain"


def hardware_key(packet: Packet) -> str:
    """What bindings hang on: the hardware address, because one machine shows three client identities.

    OVMF sends no option 61, iPXE 01+MAC, the OS a DUID (measured). A client without hardware address
    (hlen 0) is known by its client identifier.
    """
    if packet.htype == _ETHERNET and len(packet.chaddr) == 6:
        return packet.chaddr.hex(":")
    if packet.chaddr.strip(b"\0"):
        return f"{packet.htype:02x}-{packet.chaddr.hex()}"
    return f"id-{packet.options.get(opt.CLIENT_ID, b'').hex()}"


def read_boot_request(packet: Packet, network: str | None = None) -> BootRequest:
    """Say what kind of client sent a DHCP message, on which architecture, with which machine id."""
    options = packet.options
    vendor = options.get(opt.VENDOR_CLASS, b"")
    uuid = pxe.machine_uuid(options.get(opt.CLIENT_MACHINE_ID))
    codes = opt.u16_list(options.get(opt.CLIENT_ARCH, b""))
    if not codes and (told := pxe.vendor_class_architecture(vendor)) is not None:
        codes = (told,)
    client: Client = "plain"
    # A malformed 97 is no PXE client (RFC 4578 section 2.3); an absent one is, some ROMs leave it out.
    sound = bool(codes) and (uuid is not None or opt.CLIENT_MACHINE_ID not in options)
    if pxe.is_ipxe(options):
        client = "ipxe"
    elif vendor.startswith(pxe.HTTP_CLIENT) and sound:
        client = "http"
    elif vendor.startswith(pxe.PXE_CLIENT) and sound:
        client = "pxe"
    return BootRequest(
        mac=hardware_key(packet),
        client=client,
        arch=pxe.choose_architecture(codes, packet.chaddr),
        uuid=str(uuid) if uuid is not None else None,
        network=network,
        address=packet.ciaddr if int(packet.ciaddr) else None,
        http=client != "ipxe" or pxe.ipxe_speaks_http(options.get(opt.IPXE, b"")),
        own=pxe.OWN_CLASS in pxe.user_classes(options.get(opt.USER_CLASS, b"")),
    )
