"""Who sent a DHCPv6 message: its identifiers, its associations, and the boot request that it makes.

The hardware address comes, in this order, from the relay nearest to the client (option 79, RFC 6939),
from a DUID of type LL or LLT, from a link-local address made of it (EUI-64, RFC 4291 appendix A).
A DUID's address may be that of another NIC of the machine; option 79 and EUI-64 are of the NIC that
asks, and only then `own_nic` is true.
"""

from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Final

from pxe_edge.policy.requests import BootRequest, Client
from pxe_edge.wire import dhcp6, duid, pxe
from pxe_edge.wire import options as opt
from pxe_edge.wire.dhcp6 import Association, Message
from pxe_edge.wire.duid import Duid
from pxe_edge.wire.errors import WireError

MAX_ASSOCIATIONS: Final = 8
_ETHERNET: Final = 1
_ENTERPRISE_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class Request6:
    """One client message, read."""

    message: Message
    duid: Duid | None
    """None: an Information-request may leave it out."""
    key: str
    """What its bindings hang on; of one without MAC it is completed by the association, see `holder`."""
    own_nic: bool
    """The MAC is that of the NIC that asks."""
    boot: BootRequest
    associations: tuple[Association, ...]
    asked: tuple[int, ...]
    """The option request option, in the client's order."""
    server_id: bytes | None
    vendor_enterprise: int = 0
    vendor_classes: tuple[bytes, ...] = ()
    user_classes: tuple[bytes, ...] = ()

    @property
    def has_mac(self) -> bool:
        """Whether the hardware address is known."""
        return not self.key.startswith("duid-")

    def holder(self, iaid: int) -> str:
        """The holder of an association's addresses."""
        return self.key if self.has_mac else f"{self.key}-{iaid:08x}"


def read_request(message: Message, source: IPv6Address) -> Request6:
    """Read what a client says; raise WireError where an identifier or an association is damaged."""
    raw = message.option(dhcp6.CLIENT_ID)
    client = duid.read(raw) if raw is not None else None
    mac, own_nic = _hardware_address(message, client, source)
    associations = tuple(
        dhcp6.read_association(value, code)
        for code, value in message.options
        if code in (dhcp6.IA_NA, dhcp6.IA_TA, dhcp6.IA_PD)
    )
    if len(associations) > MAX_ASSOCIATIONS:
        raise WireError(f"DHCPv6: {len(associations)} associations, at most {MAX_ASSOCIATIONS} are served")
    key = mac.hex(":") if mac is not None else f"duid-{raw.hex() if raw else f'none-{source}'}"
    vendor = message.option(dhcp6.VENDOR_CLASS) or b""
    vendors = dhcp6.classes(vendor[_ENTERPRISE_BYTES:])
    users = dhcp6.classes(message.option(dhcp6.USER_CLASS) or b"")
    return Request6(
        message=message,
        duid=client,
        key=key,
        own_nic=own_nic,
        boot=_boot_request(message, key, mac or b"", client, (vendors, users)),
        associations=associations,
        asked=opt.u16_list(message.option(dhcp6.OPTION_REQUEST) or b""),
        server_id=message.option(dhcp6.SERVER_ID),
        vendor_enterprise=int.from_bytes(vendor[:_ENTERPRISE_BYTES], "big"),
        vendor_classes=vendors,
        user_classes=users,
    )


def _hardware_address(
    message: Message, client: Duid | None, source: IPv6Address
) -> tuple[bytes | None, bool]:
    nearest = message.relays[-1] if message.relays else None
    told = nearest.option(dhcp6.CLIENT_LINK_ADDRESS) if nearest is not None else None
    if told is not None and len(told) == 8 and int.from_bytes(told[:2], "big") == _ETHERNET:
        return told[2:], True
    here = eui64_mac(nearest.peer if nearest is not None else source)
    if client is not None and client.mac is not None:
        return client.mac, client.mac == here
    return here, here is not None


def eui64_mac(address: IPv6Address) -> bytes | None:
    """The MAC in a link-local address that was made of one (fe80::, ff:fe in the middle)."""
    octets = address.packed
    if not address.is_link_local or octets[11:13] != b"\xff\xfe":
        return None
    return bytes((octets[8] ^ 2,)) + octets[9:11] + octets[13:]


def _boot_request(
    message: Message,
    key: str,
    mac: bytes,
    client: Duid | None,
    classes: tuple[tuple[bytes, ...], tuple[bytes, ...]],
) -> BootRequest:
    vendors, users = classes
    codes = opt.u16_list(message.option(dhcp6.CLIENT_ARCH) or b"")
    if not codes:
        told = (pxe.vendor_class_architecture(name) for name in vendors)
        codes = tuple(code for code in told if code is not None)
    arch = pxe.choose_architecture(codes, mac)
    kind: Client = "plain"
    if pxe.IPXE_CLASS in users:
        kind = "ipxe"
    elif any(name.startswith(pxe.HTTP_CLIENT) for name in vendors):
        kind = "http"
    elif any(name.startswith(pxe.PXE_CLIENT) for name in vendors):
        kind = "pxe"
    elif arch is not None:
        kind = "http" if pxe.ARCHITECTURES[arch].http else "pxe"
    uuid = None
    if client is not None and client.uuids:
        # EDK2 puts the octets of SMBIOS into its DUID as they stand, everybody else in network order.
        uuid = str(client.uuids[0 if kind in ("pxe", "http") else 1])
    return BootRequest(mac=key, client=kind, arch=arch, uuid=uuid)
