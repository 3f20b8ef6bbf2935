"""Who asks for a boot: the one value that DHCP, TFTP and HTTP put to `decide`."""

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Final, Literal

from pxe_edge.wire import options as opt
from pxe_edge.wire import pxe
from pxe_edge.wire.dhcp import Packet

Client = Literal["plain", "pxe", "http", "ipxe", "grub"]
Via = Literal["dhcp", "tftp", "http"]
_ETHERNET: Final = 1
_MAX_KINDS: Final = 1024
_MAX_UUIDS: Final = 16384


@dataclass(slots=True, init=False)
class BootRequest:
    """A machine that may want to boot; `plain` is every client that is no firmware or loader.

    One is made per packet, so it is not frozen (see `wire.dhcp.Packet`); nobody changes one.
    """

    mac: str
    client: Client
    arch: int | None
    uuid: str | None
    network: str | None
    address: IPv4Address | IPv6Address | None
    via: Via
    http: bool
    """Of iPXE: whether it can fetch by HTTP; the feature list of its option 175 says so."""
    own: bool
    """Of iPXE: whether it bears the mark of a site's own build, the user class `rackflow`."""

    def __init__(
        self,
        mac: str,
        client: Client,
        arch: int | None = None,
        uuid: str | None = None,
        network: str | None = None,
        *,
        address: IPv4Address | IPv6Address | None = None,
        via: Via = "dhcp",
        http: bool = True,
        own: bool = False,
    ) -> None:
        self.mac = mac
        self.client = client
        self.arch = arch
        self.uuid = uuid
        self.network = network
        self.address = address
        self.via = via
        self.http = http
        self.own = own

    @property
    def boots(self) -> bool:
        """Whether it is firmware or a loader."""
        return self.client != "plain"


@dataclass(frozen=True, slots=True, eq=False)
class ClientKind:
    """What a client's classes say of it; one object per combination, so that it is a key by identity."""

    client: Client
    arch: int | None
    http: bool
    own: bool


def hardware_key(packet: Packet) -> str:
    """What bindings hang on: the hardware address, because one machine shows three client identities.

    OVMF sends no option 61, iPXE 01+MAC, the OS a DUID (measured). A client without hardware address
    (hlen 0) is known by its client identifier.
    """
    chaddr = packet.chaddr
    if packet.htype == _ETHERNET and len(chaddr) == 6:
        return chaddr.hex(":")
    if chaddr.strip(b"\0"):
        return f"{packet.htype:02x}-{chaddr.hex()}"
    return f"id-{packet.options.get(opt.CLIENT_ID, b'').hex()}"


def client_kind(packet: Packet) -> ClientKind:
    """Say what kind of client sent a message, on which architecture."""
    options = packet.options
    machine = options.get(opt.CLIENT_MACHINE_ID)
    return _kind(
        options.get(opt.VENDOR_CLASS, b""),
        options.get(opt.CLIENT_ARCH, b""),
        options.get(opt.USER_CLASS, b""),
        options.get(opt.IPXE),
        # A malformed 97 is no PXE client (RFC 4578 section 2.3); an absent one is, some ROMs leave it out.
        machine is None or (len(machine) == 17 and machine[0] == 0),
        packet.chaddr[:3] if packet.chaddr[:3] in pxe.RASPBERRY_PI_OUIS else b"",
    )


@lru_cache(_MAX_KINDS)
def _kind(
    vendor: bytes,
    told: bytes,
    user: bytes,
    ipxe: bytes | None,
    sound_97: int,
    oui: bytes,
) -> ClientKind:
    codes = opt.u16_list(told)
    if not codes and (named := pxe.vendor_class_architecture(vendor)) is not None:
        codes = (named,)
    client: Client = "plain"
    sound = bool(codes) and sound_97
    if ipxe is not None or pxe.is_ipxe({opt.USER_CLASS: user}):
        client = "ipxe"
    elif vendor.startswith(pxe.HTTP_CLIENT) and sound:
        client = "http"
    elif vendor.startswith(pxe.PXE_CLIENT) and sound:
        client = "pxe"
    return ClientKind(
        client,
        pxe.choose_architecture(codes, oui),
        http=client != "ipxe" or pxe.ipxe_speaks_http(ipxe or b""),
        own=pxe.OWN_CLASS in pxe.user_classes(user),
    )


_machine_uuid: Final = lru_cache(_MAX_UUIDS)(pxe.machine_uuid)


def read_boot_request(packet: Packet, kind: ClientKind | None = None, mac: str | None = None) -> BootRequest:
    """What a DHCP message is as a boot request; its kind and key may have been worked out before."""
    kind = kind or client_kind(packet)
    machine = packet.options.get(opt.CLIENT_MACHINE_ID)
    return BootRequest(
        mac or hardware_key(packet),
        kind.client,
        kind.arch,
        _machine_uuid(machine),
        address=IPv4Address(packet.ciaddr) if packet.ciaddr else None,
        http=kind.http,
        own=kind.own,
    )
