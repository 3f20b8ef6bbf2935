"""How a DHCP answer looks and where it goes (RFC 2131 section 4.1, 4.3, tables 3 and 4).

Options stand in this order: 53, what the server must say and the client did not list, what the
client listed in its own order (mask before router), the rest, and 82 last. Option 67 ends with NUL,
because EDK2 ends it in place and would overwrite the option behind it.

OFFER and ACK are made from forms (`wire.forms`), one per network and kind of client: `form_for` works
out what such clients are told.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from pxe_edge.policy.boot import BootAnswer, LocalDisk, Script
from pxe_edge.policy.loaders import Loader
from pxe_edge.policy.networks import Place, ServedNetwork
from pxe_edge.policy.requests import BootRequest
from pxe_edge.policy.views import HostView, SiteOption, SiteView
from pxe_edge.wire import dhcp, pxe
from pxe_edge.wire import options as opt
from pxe_edge.wire.dhcp import Packet
from pxe_edge.wire.forms import Form

SERVER_PORT: Final = 67
CLIENT_PORT: Final = 68
LIMITED_BROADCAST: Final = 0xFFFFFFFF

MANDATORY: Final = frozenset({53, 54, 51, 61, 1, 97})
"""Never dropped for want of room."""
MAX_FORMS: Final = 1024
"""Forms kept of one network; made-up request lists only cost the time of making one."""
_NEVER_FROM_SITE: Final = frozenset({50, 51, 52, 53, 54, 55, 57, 61, 82, 97, 118})
_ONLY_WITH_BOOT: Final = frozenset({opt.VENDOR_SPECIFIC, opt.VENDOR_CLASS, opt.BOOT_FILE})
FILE_FIELD_BYTES: Final = 127
_LEAST_MESSAGE_BYTES: Final = 576
_ECHOED: Final = (opt.CLIENT_ID, opt.CLIENT_MACHINE_ID, opt.SUBNET_SELECTION)
"""61 unaltered iff sent (RFC 6842), 97 for PXE clients (RFC 4578 section 2.3), 118 (RFC 3011)."""


class Target(NamedTuple):
    """Where an answer goes; `layer2`: a frame to `mac`, because nobody answers ARP for the address yet."""

    address: int
    port: int
    how: Literal["unicast", "broadcast", "layer2"]
    mac: bytes = b""


@dataclass(frozen=True, slots=True)
class BootFile:
    """What the answer says about booting: file or URL, and the options that go with it."""

    file: str = ""
    options: Mapping[int, bytes] | None = None


_BROADCAST: Final = Target(LIMITED_BROADCAST, CLIENT_PORT, "broadcast")


def target_of(
    request: Packet, kind: int, yiaddr: int, network: ServedNetwork, source_port: int | None
) -> Target:
    """Choose the destination by RFC 2131 section 4.1, whatever the source address of a relay.

    `source_port` is the relay's own one when it wants its answers there (RFC 8357), else None.
    """
    if request.giaddr:
        return Target(request.giaddr, source_port or SERVER_PORT, "unicast")
    if kind == dhcp.NAK:
        return _BROADCAST
    if request.ciaddr in network:
        # Any other one is a forger's, who would have us send to somebody else.
        return Target(request.ciaddr, CLIENT_PORT, "unicast")
    if request.flags & dhcp.BROADCAST_FLAG or len(request.chaddr) != 6 or not yiaddr:
        return _BROADCAST
    return Target(yiaddr, CLIENT_PORT, "layer2", request.chaddr)


def max_reply_bytes(request: Packet, mtu: int) -> int:
    """Octets of DHCP that fit: option 57 counts the IP header (OVMF says 65280), the link's MTU rules."""
    value = request.options.get(opt.MAX_SIZE)
    told = value[0] << 8 | value[1] if value is not None and len(value) == 2 else 0
    limit = min(told, mtu)
    return max(_LEAST_MESSAGE_BYTES, limit) - dhcp.UDP_HEADERS_BYTES


def boot_file(answer: BootAnswer, request: BootRequest, place: Place, site: SiteView) -> BootFile:
    """Turn the boot answer into file name and options (facts: what OVMF, iPXE and BIOS ROMs take)."""
    base = f"http://{opt.dotted(place.server)}:{site.http_port}"
    extra: dict[int, bytes] = {}
    if request.client == "ipxe":
        # Ends iPXE's wait for a proxy: REQUEST right after the first OFFER instead of 3 s later.
        extra[opt.IPXE] = opt.encapsulate({pxe.IPXE_NO_PXEDHCP: b"\x01"})
    match answer:
        case Loader(file=file, http=True):
            # Without 60=HTTPClient in OFFER and ACK the firmware never asks for the address (measured).
            return BootFile(f"{base}/{file}", {opt.VENDOR_CLASS: pxe.HTTP_CLIENT})
        case Loader(file=file):
            # No option 60: with it and without 43, OVMF takes us for BINL and fails with PXE-E16.
            return BootFile(file, extra)
        case Script():
            return BootFile(script_url(base, request), extra)
        case LocalDisk() if request.client == "ipxe":
            return BootFile(script_url(base, request), extra)
        case _:
            return BootFile("", extra)


def script_url(base: str, request: BootRequest) -> str:
    """The script's URL; short enough for the 127 octets of the `file` field."""
    uuid = f"&uuid={request.uuid}" if request.uuid else ""
    arch = f"&arch={request.arch}" if request.arch is not None else ""
    return f"{base}/boot.ipxe?mac={request.mac}{uuid}{arch}"


def option_fits(option: SiteOption, request: Packet, who: BootRequest, host: HostView | None) -> bool:
    """Whether an option of the Site is for this client: every key that is set must hold."""
    return (
        (option.arch is None or option.arch == who.arch)
        and request.options.get(opt.VENDOR_CLASS, b"").startswith(option.vendor_class)
        and (
            not option.user_class
            or option.user_class in pxe.user_classes(request.options.get(opt.USER_CLASS, b""))
        )
        and option.mac in ("", who.mac)
        and (not option.host or (host is not None and option.host == host.name))
    )


def network_options(
    request: Packet, place: Place, boot: BootFile, who: BootRequest, host: HostView | None
) -> dict[int, bytes]:
    """Everything the network and the boot answer give, unordered; the Site document wins."""
    network = place.network.view
    asked = frozenset(request.options.get(opt.PARAMETER_LIST, b""))
    values: dict[int, bytes] = {opt.SUBNET_MASK: network.subnet.netmask.packed}
    if network.gateway is not None:
        values[opt.ROUTER] = network.gateway.packed
    if network.dns:
        values[opt.DNS] = opt.addresses(network.dns)
    optional = {
        opt.BROADCAST_ADDRESS: network.subnet.broadcast_address.packed,
        opt.NTP: opt.addresses(network.ntp),
        opt.INTERFACE_MTU: opt.u16(network.mtu) if network.mtu is not None else b"",
    }
    values.update({code: value for code, value in optional.items() if value and (code in asked or not asked)})
    if boot.file:
        name = boot.file.encode()
        if opt.BOOT_FILE in asked or len(name) > FILE_FIELD_BYTES:
            values[opt.BOOT_FILE] = name + b"\0"
        if opt.TFTP_SERVER_NAME in asked:
            values[opt.TFTP_SERVER_NAME] = opt.dotted(place.server).encode()
        if opt.TFTP_SERVERS in asked:
            values[opt.TFTP_SERVERS] = opt.packed(place.server)
    values.update(boot.options or {})
    for option in network.options:
        fits = option_fits(option, request, who, host)
        allowed = option.code not in _NEVER_FROM_SITE and (boot.file or option.code not in _ONLY_WITH_BOOT)
        if fits and allowed:
            values[option.code] = option.value
    return values


def options_of(
    request: Packet, place: Place, message_type: int, values: Mapping[int, bytes], lease_s: int | None
) -> dict[int, bytes]:
    """All options of an OFFER or ACK but 82, in their order; without lease time for an INFORM."""
    all_values: dict[int, bytes] = {opt.SERVER_ID: opt.packed(place.server_id)}
    if lease_s is not None:
        all_values[opt.LEASE_TIME] = opt.u32(lease_s)
        all_values[opt.RENEWAL_T1] = opt.u32(lease_s // 2)
        all_values[opt.REBINDING_T2] = opt.u32(lease_s * 7 // 8)
    all_values.update(_echoes(request))
    times = () if lease_s is not None else (opt.RENEWAL_T1, opt.REBINDING_T2)
    all_values.update({code: value for code, value in values.items() if code not in times})
    return {opt.MESSAGE_TYPE: bytes((message_type,)), **_ordered(all_values, request)}


def form_for(
    request: Packet,
    place: Place,
    message_type: int,
    who: tuple[BootRequest, HostView | None],
    file: BootFile,
    *,
    own_file: bool,
    lease_s: int | None,
) -> Form:
    """The form of an answer for all clients that are told the same.

    Blank is what is echoed, and the file where every client has its own. A client that echoes nothing
    gets the same form as one that does: its blanks stay empty.
    """
    values = network_options(request, place, file, *who)
    name = file.file.encode()
    asked = Packet(1, 0, b"", options={**dict.fromkeys(_ECHOED, b""), **request.options})
    options: dict[int, bytes | None] = {**options_of(asked, place, message_type, values, lease_s)}
    options.update(dict.fromkeys(_ECHOED))
    if own_file and options.get(opt.BOOT_FILE) == name + b"\0":
        options[opt.BOOT_FILE] = None
    return Form(options, place.server, None if own_file else name)


def build_nak(request: Packet, place: Place, reason: str) -> Packet:
    """Assemble a NAK; through a relay with the broadcast flag, so that the relay broadcasts it (4.3.2)."""
    options = {
        opt.MESSAGE_TYPE: bytes((dhcp.NAK,)),
        opt.SERVER_ID: opt.packed(place.server_id),
        opt.MESSAGE: reason.encode(),
    }
    echoes = _echoes(request)
    echoes.pop(opt.CLIENT_MACHINE_ID, None)
    return Packet(
        op=dhcp.BOOTREPLY,
        xid=request.xid,
        chaddr=request.chaddr,
        htype=request.htype,
        flags=request.flags | dhcp.BROADCAST_FLAG if request.giaddr else request.flags,
        giaddr=request.giaddr,
        options={**options, **echoes, **_relay(request)},
    )


def _echoes(request: Packet) -> dict[int, bytes]:
    return {code: request.options[code] for code in _ECHOED if code in request.options}


def _relay(request: Packet) -> dict[int, bytes]:
    value = request.options.get(opt.RELAY_AGENT)
    return {} if value is None else {opt.RELAY_AGENT: value}


def _ordered(values: Mapping[int, bytes], request: Packet) -> dict[int, bytes]:
    asked = list(request.options.get(opt.PARAMETER_LIST, b""))
    if opt.ROUTER in asked:
        # RFC 2132 section 3.3: the mask stands before the router, whatever the client's order.
        at = asked.index(opt.ROUTER)
        if opt.SUBNET_MASK not in asked[:at]:
            asked.insert(at, opt.SUBNET_MASK)
    head = [code for code in (opt.SERVER_ID, opt.LEASE_TIME, opt.SUBNET_MASK) if code not in asked]
    order = dict.fromkeys([*head, *asked, *values])
    if opt.BOOT_FILE in order and opt.BOOT_FILE not in asked:
        order[opt.BOOT_FILE] = order.pop(opt.BOOT_FILE)
    return {code: values[code] for code in order if code in values}
