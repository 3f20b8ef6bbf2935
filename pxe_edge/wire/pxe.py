"""What PXE, UEFI HTTP boot and iPXE put into DHCP: architectures, machine GUID, classes.

Sources: RFC 4578 (93, 94, 97), RFC 5970 section 3.3 and the IANA table of processor architectures,
PXE 2.1 section 2.2, RFC 3004 (77), iPXE's dhcp.h (175).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from pxe_edge.wire.errors import WireError
from pxe_edge.wire.options import suboptions

Firmware = Literal["bios", "efi", "other"]

PXE_CLIENT: Final = b"PXEClient"
HTTP_CLIENT: Final = b"HTTPClient"
IPXE_CLASS: Final = b"iPXE"

OWN_CLASS: Final = b"rackflow"
"""User class that marks a site's own build of iPXE (`set user-class rackflow` in its embedded script)."""
IPXE_HTTP: Final = 19
_IPXE_FEATURES: Final = range(16, 48)
"""Sub-options of 175 by which iPXE lists what it was built with (its features.h)."""

IPXE_NO_PXEDHCP: Final = 176
"""iPXE's `no-pxedhcp`: 1 ends the 3 s wait for a proxy after the first offer (measured)."""
PXE_DISCOVERY_CONTROL: Final = 6
PXE_JUST_TAKE_THE_FILE: Final = 8


@dataclass(frozen=True, slots=True)
class Architecture:
    """One client system architecture of option 93."""

    code: int
    name: str
    firmware: Firmware
    http: bool = False


RASPBERRY_PI: Final = 41
ARCHITECTURES: Final[Mapping[int, Architecture]] = {
    arch.code: arch
    for arch in (
        Architecture(0, "bios", "bios"),
        Architecture(6, "ia32", "efi"),
        Architecture(7, "x64", "efi"),  # RFC 4578 says 7 is EFI byte code and 9 x64; firmware says 7
        Architecture(9, "x64", "efi"),
        Architecture(10, "arm32", "efi"),
        Architecture(11, "arm64", "efi"),
        Architecture(15, "ia32", "efi", http=True),
        Architecture(16, "x64", "efi", http=True),
        Architecture(18, "arm32", "efi", http=True),
        Architecture(19, "arm64", "efi", http=True),
        Architecture(20, "bios", "bios", http=True),
        Architecture(25, "riscv32", "efi"),
        Architecture(26, "riscv32", "efi", http=True),
        Architecture(27, "riscv64", "efi"),
        Architecture(28, "riscv64", "efi", http=True),
        Architecture(37, "loongarch32", "efi"),
        Architecture(38, "loongarch32", "efi", http=True),
        Architecture(39, "loongarch64", "efi"),
        Architecture(40, "loongarch64", "efi", http=True),
        Architecture(RASPBERRY_PI, "rpiboot", "other"),
    )
}

RASPBERRY_PI_OUIS: Final = frozenset(
    bytes.fromhex(oui) for oui in ("b827eb", "dca632", "e45f01", "28cdc1", "d83add")
)
"""A Raspberry Pi 5 reports architecture 0 and would be given a BIOS loader (seen by tinkerbell)."""


def choose_architecture(codes: tuple[int, ...], chaddr: bytes) -> int | None:
    """The first known type of option 93, a list in the client's order of preference; None if none is."""
    known = next((code for code in codes if code in ARCHITECTURES), None)
    if known == 0 and chaddr[:3] in RASPBERRY_PI_OUIS:
        return RASPBERRY_PI
    return known


def machine_uuid(value: bytes | None) -> str | None:
    """Option 97 as text: type 0 and 16 octets, the first three fields little-endian as SMBIOS has them."""
    if value is None or len(value) != 17 or value[0] != 0:
        return None
    h = value.hex()
    first = f"{h[8:10]}{h[6:8]}{h[4:6]}{h[2:4]}"
    return f"{first}-{h[12:14]}{h[10:12]}-{h[16:18]}{h[14:16]}-{h[18:22]}-{h[22:]}"


def user_classes(value: bytes) -> tuple[bytes, ...]:
    """Option 77 in both forms: RFC 3004 instances with lengths, or one raw text as iPXE sends it."""
    found: list[bytes] = []
    at = 0
    while at < len(value):
        part = value[at + 1 : at + 1 + value[at]]
        if value[at] == 0 or len(part) != value[at]:
            return (value,)  # not instances, so it is the raw form
        found.append(part)
        at += 1 + len(part)
    return tuple(found)


def is_ipxe(options: Mapping[int, bytes]) -> bool:
    """Whether it is iPXE, by user class or option 175; 175 in the request list alone says nothing."""
    return IPXE_CLASS in user_classes(options.get(77, b"")) or 175 in options


def ipxe_features(value: bytes) -> dict[int, bytes]:
    """Sub-options of 175; damaged ones are no features."""
    try:
        return suboptions(value)
    except WireError:
        return {}


def ipxe_speaks_http(value: bytes) -> bool:
    """Whether this iPXE can fetch by HTTP; one that lists no features at all is taken to."""
    listed = ipxe_features(value).keys()
    return IPXE_HTTP in listed or not any(code in _IPXE_FEATURES for code in listed)


def vendor_class_architecture(value: bytes) -> int | None:
    """The number in `PXEClient:Arch:00007:UNDI:003016`, for ROMs that leave option 93 out."""
    parts = value.split(b":")
    if len(parts) >= 3 and parts[1] == b"Arch" and parts[2].isdigit() and len(parts[2]) == 5:
        return int(parts[2])
    return None
