"""How a DHCPv6 answer looks: identifiers first, then associations, then what the client asked for.

Options of the network are sent in the order of the client's option request, and only those in it
(RFC 8415 section 18.3); the boot file goes to every boot client, asked or not. Option 60 is never
sent unasked: EDK2 stumbles over one that it does not expect (edk2 #10114).
"""

from ipaddress import IPv6Address
from typing import Final

from pxe_edge.policy.boot import BootAnswer, LocalDisk, Script
from pxe_edge.policy.dhcp6_links import Place6
from pxe_edge.policy.dhcp6_requests import Request6
from pxe_edge.policy.loaders import Loader
from pxe_edge.policy.replies import script_url
from pxe_edge.policy.requests import BootRequest
from pxe_edge.policy.views import HostView, SiteOption, SiteView
from pxe_edge.wire import dhcp6, pxe
from pxe_edge.wire import options as opt
from pxe_edge.wire.dhcp6 import Association, Message, Relay, Status

INTEL: Final = 343
"""The enterprise number under which firmware names its class (UEFI specification, HTTP boot)."""
_REFRESH_S: Final = 86400
_NTP_ADDRESS: Final = 1
_FULL_PREFERENCE: Final = b"\xff"

NEVER_FROM_SITE: Final = frozenset(
    {1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 14, 18, 19, 20, 25, 26, 61, 62, 79, 135}
)
"""What the protocol itself sets."""
_ONLY_WITH_BOOT: Final = frozenset({dhcp6.VENDOR_CLASS, dhcp6.BOOT_FILE_URL, dhcp6.BOOT_FILE_PARAMETERS})


def url_base(server: IPv6Address, port: int) -> str:
    """The boot plane on an IPv6 address (RFC 3986 section 3.2.2)."""
    return f"http://[{server}]:{port}"


def boot_url(answer: BootAnswer, request: BootRequest, place: Place6, site: SiteView) -> str:
    """The boot file as the URL of option 59 (RFC 5970 section 3.1); empty: nothing to boot."""
    base = url_base(place.server, site.http_port)
    match answer:
        case Loader(file=file, http=True):
            return f"{base}/{file}"
        case Loader(file=file):
            return f"tftp://[{place.server}]/{file}"
        case Script():
            return _script(base, request)
        case LocalDisk() if request.client == "ipxe":
            return _script(base, request)
        case _:
            return ""


def _script(base: str, request: BootRequest) -> str:
    # Without a MAC the machine is told to come back with it: only iPXE knows it then.
    return f"{base}/boot.ipxe" if request.mac.startswith("duid-") else script_url(base, request)


def network_options(
    request: Request6, place: Place6, url: str, host: HostView | None
) -> list[tuple[int, bytes]]:
    """What network and boot answer give, in the order of the client's request; the Site document wins."""
    network = place.network
    values: dict[int, bytes] = {}
    if network.dns:
        values[dhcp6.DNS] = b"".join(address.packed for address in network.dns)
    if network.ntp:
        values[dhcp6.SNTP] = b"".join(address.packed for address in network.ntp)
        values[dhcp6.NTP] = dhcp6.write_options((_NTP_ADDRESS, each.packed) for each in network.ntp)
    if request.message.kind == dhcp6.INFORMATION_REQUEST:
        values[dhcp6.REFRESH_TIME] = opt.u32(_REFRESH_S)
    if url:
        values[dhcp6.BOOT_FILE_URL] = url.encode()
        if request.boot.client == "http":
            # Without its class in the answer the firmware takes the offer for no HTTP boot.
            enterprise = request.vendor_enterprise or INTEL
            values.update([dhcp6.write_vendor_class(enterprise, pxe.HTTP_CLIENT)])
    for option in network.options:
        allowed = option.code not in NEVER_FROM_SITE and (url or option.code not in _ONLY_WITH_BOOT)
        if allowed and _fits(option, request, host):
            values[option.code] = option.value
    always = {dhcp6.BOOT_FILE_URL, dhcp6.VENDOR_CLASS}
    order = dict.fromkeys((*request.asked, *(code for code in values if code in always)))
    return [(code, values[code]) for code in order if code in values]


def _fits(option: SiteOption, request: Request6, host: HostView | None) -> bool:
    # Every key that is set must hold, as `policy.replies.option_fits` has it for DHCPv4.
    return (
        (option.arch is None or option.arch == request.boot.arch)
        and (
            not option.vendor_class
            or any(each.startswith(option.vendor_class) for each in request.vendor_classes)
        )
        and (not option.user_class or option.user_class in request.user_classes)
        and option.mac in ("", request.key)
        and (not option.host or (host is not None and option.host == host.name))
    )


def build(
    request: Request6,
    duid: bytes,
    kind: int,
    *,
    associations: tuple[Association, ...] = (),
    options: list[tuple[int, bytes]] | None = None,
    status: Status | None = None,
    rapid: bool = False,
) -> Message:
    """Assemble an answer, addressed back through the relays that the message came by."""
    head: list[tuple[int, bytes]] = []
    if request.duid is not None:
        head.append((dhcp6.CLIENT_ID, request.duid.raw))
    head.append((dhcp6.SERVER_ID, duid))
    if kind == dhcp6.ADVERTISE:
        # Ends the client's wait for more offers (section 18.2.1): a second of every boot.
        head.append((dhcp6.PREFERENCE, _FULL_PREFERENCE))
    if rapid:
        head.append((dhcp6.RAPID_COMMIT, b""))
    head += (dhcp6.write_association(each) for each in associations)
    if status is not None:
        head.append(dhcp6.write_status(status))
    message = request.message
    return Message(kind, message.transaction, (*head, *(options or ())), tuple(map(_back, message.relays)))


def _back(relay: Relay) -> Relay:
    # Section 19.3: interface-id as it came; RFC 8357 section 5: so too the wish for the source port.
    kept = tuple(o for o in relay.options if o[0] in (dhcp6.INTERFACE_ID, dhcp6.RELAY_PORT))
    return Relay(relay.hop_count, relay.link, relay.peer, kept)
